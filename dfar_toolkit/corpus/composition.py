"""What a data set is made of, as facts for the manifest: splits, annotators, disagreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import entr

from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, primary_questions

BINS: Final = 10  # of the size of the minority, beside "none"
_SINGLE: Final = ("nominal", "ordinal")  # kinds in which a rating is one option
_EXACT: Final = 1e-9  # shares are quotients of small numbers; rounding stays below this


def config_facts(items: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """Rows, bytes, groups and labels of every split of every config, in the order of the items."""
    facts: dict[str, Any] = {}
    for (config, split), part in items.group_by("config", "split", maintain_order=True):
        labels = part.group_by("label").len().drop_nulls().sort("len", "label", descending=[True, False])
        facts.setdefault(str(config), {"splits": {}})["splits"][str(split)] = {
            "rows": part.height,
            "n_bytes": (folder / "data" / str(config) / f"{split}.parquet").stat().st_size,
            "groups": part["group"].n_unique(),
            "labels": dict(labels.iter_rows()),
            "unlabelled": part["label"].null_count(),
        }
    return facts


def annotator_facts(
    annotations: pl.DataFrame, raters: pl.DataFrame, questions: pl.DataFrame, *, pseudonymous: bool
) -> dict[str, Any]:
    """How many people, in which bands, with how many ratings each; unknown annotators are not counted as people."""
    known = raters.filter(pl.col("annotator_id").str.split(":").list.last() != UNKNOWN_ANNOTATOR)
    ratings = annotations.unique(["item_id", "question", "rating_id"])
    primary = ratings.filter(pl.col("question").is_in(list(primary_questions(questions).values())))
    named = primary.join(known.select("annotator_id"), on="annotator_id", how="semi")
    with_reason = annotations.filter(pl.col("reason").str.strip_chars().str.len_chars() > 0)
    return {
        "count": known.height,
        "known": known.height > 0,
        "models": known.filter(pl.col("kind").cast(pl.String) == "model")["annotator_id"].sort().to_list(),
        "pseudonyms": pseudonymous,
        "bands": {band: _counts(known[band]) for band in known.columns if _is_band(band, known)},
        "ratings_per_item": _spread(primary.group_by("item_id").len()["len"]),
        "ratings_per_annotator": _spread(named.group_by("annotator_id").len()["len"]),
        "ratings": ratings.height,
        "unnamed": ratings.join(known.select("annotator_id"), on="annotator_id", how="anti").height,
        "with_reason": with_reason.unique(["item_id", "question", "rating_id"]).height,
    }


def _is_band(column: str, raters: pl.DataFrame) -> bool:
    """A column that tells groups of people apart: text, not an id, fewer values than people."""
    if column in ("annotator_id", "kind") or raters[column].dtype != pl.String:
        return False
    return 0 < raters[column].drop_nulls().n_unique() < max(2, raters.height)


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.fill_null("unknown").value_counts(sort=False).sort(values.name)
    return dict(counted.iter_rows())


def _spread(counts: pl.Series) -> dict[str, float | int | None]:
    smallest, middle, largest = counts.min(), counts.median(), counts.max()
    return {"min": _number(smallest), "median": _number(middle), "max": _number(largest)}


def _number(value: object) -> float | int | None:
    if not isinstance(value, (int, float)):
        return None
    return int(value) if float(value).is_integer() else float(value)


def disagreement_facts(annotations: pl.DataFrame, questions: pl.DataFrame) -> dict[str, int]:
    """Items on which ratings differ (primary question), of those that two or more people rated.

    A set of values is one rating; each rating by somebody unknown counts as that of another person.
    """
    primary = annotations.filter(pl.col("question").is_in(list(primary_questions(questions).values())))
    given = pl.col("value").unique().sort().alias("given")
    unknown = pl.col("annotator_id").str.split(":").list.last() == UNKNOWN_ANNOTATOR
    person = pl.when(unknown).then("rating_id").otherwise("annotator_id").first().alias("person")
    ratings = primary.group_by("item_id", "rating_id").agg(given, person)
    of_items = ratings.group_by("item_id").agg(pl.col("person", "given").n_unique())
    several = of_items.filter(pl.col("person") >= 2)
    return {"items": several.filter(pl.col("given") > 1).height, "of": several.height}


def shown_facts(items: pl.DataFrame) -> list[dict[str, Any]]:
    """What stood beside the statement: every field of the context, and how many items of which config have it."""
    rows = items.lazy().select("config", "context").filter(pl.col("context").list.len() > 0).explode("context")
    fields = rows.select("config", pl.col("context").struct.field("field", "role")).collect()
    counted = fields.group_by("config", "field", "role").len("items").sort("config", "field", "role")
    own = items.filter(pl.col("option_texts").is_not_null()).group_by("config").len("items").sort("config")
    texts = own.select("config", pl.lit("").alias("field"), pl.lit("option_texts").alias("role"), "items")
    return [*counted.to_dicts(), *texts.to_dicts()]


def divided_facts(targets: pl.DataFrame, questions: pl.DataFrame) -> list[dict[str, Any]]:
    """How far the votes on a question are spread, over its items with two ratings or more.

    With shares ``p_k`` of an item's ``K`` options: ``minority = 1 - max p_k``; ``entropy = -sum p_k log p_k / log K``.
    ``minority`` counts the items with none, then in steps of a tenth that include their upper end. Questions of sets
    and of numbers have no such shares and are left out.
    """
    facts = []
    for asked in questions.iter_rows(named=True):
        options = len(asked["options"])
        if str(asked["kind"]) not in _SINGLE or options < 2:
            continue
        voted = (pl.col("n_ratings") >= 2) & (pl.col("label_probs").list.len() == options)
        rows = targets.filter((pl.col("question") == asked["question"]) & voted).select("label", "label_probs")
        rows = rows.filter(pl.col("label_probs").list.sum() > 0)
        if rows.height:
            shares = rows["label_probs"].explode().to_numpy().reshape(-1, options)
            facts.append({"question": asked["question"], "of": rows.height, **_spread_of(shares)})
    return facts


def _spread_of(shares: NDArray[np.float64]) -> dict[str, Any]:
    """Counts by the size of the minority, items where no option leads, and the mean entropy."""
    most = shares.max(axis=1)
    steps = np.ceil((1 - most) * BINS - _EXACT).astype(np.int64).clip(0, BINS)
    tied = (np.abs(shares - most[:, None]) < _EXACT).sum(axis=1) > 1
    entropy = entr(shares).sum(axis=1).mean() / np.log(shares.shape[1])
    return {
        "minority": np.bincount(steps, minlength=BINS + 1).tolist(),
        "tied": int(tied.sum()),
        "entropy": round(float(entropy), 6),  # no more digits than the order of summing leaves the same
    }
