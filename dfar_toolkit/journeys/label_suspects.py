"""Labels that a cheap classifier disagrees with, from an items folder: train, predict out of fold, list."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from dfar_toolkit.corpus.annotator_findings import rater_bands
from dfar_toolkit.corpus.findings import Finding, excerpt
from dfar_toolkit.corpus.label_suspects import suspect_finding, suspect_labels, suspects_by_band
from dfar_toolkit.corpus.records import context_text
from dfar_toolkit.corpus.shortcut_findings import named_configs
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.finetune.classical import cross_validated_probs

_NOTHING = pl.Schema(
    {
        "item_id": pl.String,
        "label": pl.String,
        "other": pl.String,
        "prob_label": pl.Float64,
        "prob_other": pl.Float64,
        "threshold": pl.Float64,
        "margin": pl.Float64,
        "config": pl.String,
        "split": pl.String,
        "statement": pl.String,
    }
)


class LabelSuspects(NamedTuple):
    """The items listed (with their statements), whose ratings lie on them, and the finding."""

    suspects: pl.DataFrame
    bands: pl.DataFrame
    finding: Finding


def label_suspects(folder: ItemsFolder, *, folds: int = 5, seed: int = 0) -> LabelSuspects:
    """Items whose label a classifier of the other items confidently disagrees with, per config.

    Statement and context are read by TF-IDF and logistic regression, cross-validated by group. What it lists is
    disagreement with consensus: mistakes, rare views and hard items alike. Nothing is dropped or changed.

    Args:
        folder: An items folder, read.
        folds: Folds of the cross-validation.
        seed: Of the folds.

    Returns:
        The suspects (``config``, ``statement`` and what ``suspect_labels`` gives, largest margin first), the share of
        ratings on them by band of the raters, and the finding ``label.suspect``.

    Raises:
        TableError: scikit-learn is missing.
    """
    parts, bands, said, skipped, tested = [], [], list[str](), list[str](), 0
    for config, question, options in named_configs(folder.questions):
        items = folder.items.filter(pl.col("config") == config).filter(pl.col("label").is_in(options))
        if items["label"].n_unique() < 2 or items["group"].n_unique() < folds:
            skipped.append(config)
            continue
        text = pl.concat_str(pl.col("statement").fill_null(""), context_text(items), separator="\n")
        code = items["label"].replace_strict(options, list(range(len(options))), return_dtype=pl.Int64)
        used = sorted(set(code.to_list()))  # options that occur
        own = code.replace_strict(used, list(range(len(used))), return_dtype=pl.Int64)
        probs = cross_validated_probs(
            items.select(text).to_series().to_list(), own.to_numpy(), items["group"].to_list(), folds=folds, seed=seed
        )
        names = [options[k] for k in used]
        found = suspect_labels(probs, items["label"].to_list(), names, items["item_id"].to_list())
        tested += items.height
        right = (probs.argmax(axis=1) == own.to_numpy()).mean()
        common = _top_share(own)
        weak = ", so the list says little" if right <= common else ""
        said.append(f"{excerpt(config, length=30)}: right on {right:.3f}, commonest label {common:.3f}{weak}")
        parts.append(
            found.join(items.select("item_id", "config", "split", "statement"), on="item_id", maintain_order="left")
        )
        ratings = folder.annotations.filter(pl.col("question") == question)
        ratings = ratings.join(items.select("item_id", "group"), on="item_id", maintain_order="left")
        listed = rater_bands(folder.raters)
        shares = suspects_by_band(found, ratings, folder.raters, bands=listed)
        bands.append(shares.with_columns(pl.lit(config).alias("config")).select("config", pl.exclude("config")))
    suspects, of_bands = pl.concat(parts or [_NOTHING.to_frame()]), pl.concat(bands or [pl.DataFrame()])
    if skipped:
        said.append(f"not looked at, fewer than two labels or {folds} groups: {', '.join(skipped)}")
    note = "; ".join(said) or "not looked for: no question with named options"
    return LabelSuspects(suspects, of_bands, suspect_finding(suspects, tested, note))


def _top_share(codes: pl.Series) -> float:
    """Share of the commonest value."""
    return float(codes.value_counts()["count"].to_numpy().max()) / codes.len()
