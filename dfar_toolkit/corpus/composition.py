"""What a data set is made of, as facts for the manifest: splits, annotators, disagreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, primary_questions


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
        "pseudonyms": pseudonymous,
        "bands": {band: _counts(known[band]) for band in known.columns if _is_band(band, known)},
        "ratings_per_item": _spread(primary.group_by("item_id").len()["len"]),
        "ratings_per_annotator": _spread(named.group_by("annotator_id").len()["len"]),
        "ratings": ratings.height,
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
    """Items on which ratings differ (primary question), of those with two or more; a set of values is one rating."""
    primary = annotations.filter(pl.col("question").is_in(list(primary_questions(questions).values())))
    given = pl.col("value").unique().sort().alias("given")
    ratings = primary.group_by("item_id", "rating_id").agg(given)
    of_items = ratings.group_by("item_id").agg(pl.len().alias("ratings"), pl.col("given").n_unique().alias("different"))
    several = of_items.filter(pl.col("ratings") >= 2)
    return {"items": several.filter(pl.col("different") > 1).height, "of": several.height}
