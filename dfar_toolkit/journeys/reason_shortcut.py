"""How well is a label read off the wording of its reason alone? By named labels, and by a cheap classifier."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.corpus.findings import ON_DEMAND, Finding, excerpt
from dfar_toolkit.corpus.shortcut_findings import named_configs
from dfar_toolkit.corpus.text_findings import given_reasons
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, estimate_together, estimates_frame, mean_of
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.finetune.classical import cross_validated_probs, dealt_folds
from dfar_toolkit.metrics.reasons.named_labels import named_labels, readable_labels

_NAME = "shortcut.reason"
_NOTHING = pl.Schema([("config", pl.String()), ("metric", pl.String()), *ESTIMATE_SCHEMA.items()])
_GAIN = 0.05  # of accuracy over the majority, from which the interval counts


class ReasonShortcut(NamedTuple):
    """Shares and accuracies, and the finding."""

    shares: pl.DataFrame
    finding: Finding


def reason_shortcut(folder: ItemsFolder, *, folds: int = 5, seed: int = 0, n_boot: int = 2000) -> ReasonShortcut:
    """Labels recovered from reasons alone, per config: a reason that gives the label away explains little.

    Args:
        folder: An items folder, read; reasons of the primary questions count, each with the value it was given for.
        folds: Folds of the cross-validation, by group of items.
        seed: Of folds and draws.
        n_boot: Bootstrap draws.

    Returns:
        Rows ``config, metric`` and Estimate's fields, over the reasons with text: ``named`` (share whose words name
        the own label alone, negation read), ``named_other`` (another label alone), ``classifier`` (out-of-fold
        accuracy of TF-IDF and logistic regression), ``majority`` (accuracy of the commonest label of the other
        folds), ``gain`` (classifier minus majority). And the finding ``shortcut.reason``, which counts the configs
        whose gain has an interval above .05.

    Undefined:
        ``named`` where the options cannot be read in running text.

    Raises:
        TableError: scikit-learn is missing.
    """
    reasons = given_reasons(folder.items, folder.annotations)
    parts, said, counted, tested = [], [], 0, 0
    for config, question, options in named_configs(folder.questions):
        items = folder.items.filter(pl.col("config") == config).select("item_id", "group")
        rows = reasons.filter((pl.col("question") == question) | pl.col("question").is_null())
        rows = rows.filter(pl.col("value").is_in(options) & (pl.col("text").str.strip_chars() != ""))
        rows = rows.join(items, on="item_id", how="inner", maintain_order="left")
        if rows["value"].n_unique() < 2 or rows["group"].n_unique() < folds:
            continue
        found = _of_config(rows, options, folds=folds, seed=seed, n_boot=n_boot)
        tested += 1
        gain = found["gain"]
        counted += int(gain.low > _GAIN)
        said.append(f"{excerpt(config, length=30)}: {found['classifier']}, majority {found['majority'].value:.3f}")
        beside: list[dict[str, object]] = [{"config": config, "metric": metric} for metric in found]
        parts.append(estimates_frame(found.values(), beside=beside))
    if not parts:
        why = f"not looked for: no config has reasons for two labels in {folds} groups or more"
        return ReasonShortcut(_NOTHING.to_frame(), Finding(_NAME, ON_DEMAND[_NAME], 0, 0, (), why))
    note = f"gain over the majority counted where its interval is above {_GAIN:g}; {'; '.join(said)}"
    finding = Finding(_NAME, ON_DEMAND[_NAME], counted, tested, tuple(said) if counted else (), note)
    return ReasonShortcut(pl.concat(parts), finding)


def _of_config(
    rows: pl.DataFrame, options: list[str], *, folds: int, seed: int, n_boot: int
) -> dict[str, Estimate]:  # fmt: skip
    used = [o for o in options if o in set(rows["value"])]
    code = rows["value"].replace_strict(used, list(range(len(used))), return_dtype=pl.Int64).to_numpy()
    groups = rows["group"]
    probs = cross_validated_probs(rows["text"].to_list(), code, groups.to_list(), folds=folds, seed=seed)
    known = np.asarray(np.isfinite(probs).all(axis=1))
    hit = known & (np.where(known[:, None], probs, -1.0).argmax(axis=1) == code)
    blank = _majority_hits(code, dealt_folds(groups.to_list(), folds=folds, seed=seed), len(used))
    own, other = _named(rows, options)
    why = "the options cannot be read in running text"
    scores = [
        mean_of("named", "share of reasons that name their own label alone", own, undefined=why),
        mean_of("named_other", "share of reasons that name another label alone", other, undefined=why),
        mean_of("classifier", "accuracy of a classifier of the reason alone", hit.astype(np.float64)),
        mean_of("majority", "accuracy of the commonest label", blank),
        mean_of("gain", "accuracy gained by reading the reason", hit - blank),
    ]
    found = estimate_together(scores, groups=groups, n_boot=n_boot, seed=seed)
    return {s.metric: e for s, e in zip(scores, found, strict=True)}


def _majority_hits(code: npt.NDArray[np.int64], fold: npt.NDArray[np.int64], n_labels: int) -> npt.NDArray[np.float64]:
    """Whether each label is the commonest of the other folds."""
    counts = np.zeros((int(fold.max()) + 1, n_labels), dtype=np.int64)
    np.add.at(counts, (fold, code), 1)
    best = np.asarray((counts.sum(axis=0) - counts).argmax(axis=1))
    return np.asarray(best[fold] == code, dtype=np.float64)


def _named(rows: pl.DataFrame, options: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Whether each reason names its own label alone, and another alone; nan where labels cannot be read."""
    if not readable_labels(options):
        return np.full(rows.height, np.nan), np.full(rows.height, np.nan)
    named = named_labels(rows["text"], options).to_numpy()
    code = rows["value"].replace_strict(options, list(range(len(options))), return_dtype=pl.Int64).to_numpy()
    alone = named.sum(axis=1) == 1
    own = named[np.arange(len(code)), code]
    return (alone & own).astype(np.float64), (alone & ~own).astype(np.float64)
