"""Agreement among the annotators of an items folder: each question apart, with the unit and the level it needs."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from dfar_toolkit.agreement import agreement_table
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR


class SingleValued(NamedTuple):
    """Ratings in which everybody gives one value, their kind, and the order of the values where it matters."""

    question: str
    kind: str
    ratings: pl.DataFrame
    order: list[str] | None


def folder_agreement(
    annotations: pl.DataFrame, questions: pl.DataFrame, items: pl.DataFrame, *, n_boot: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """Agreement on every question, intervals over the groups of ``items``; empty where no annotator is known.

    Args:
        annotations: The table of that name.
        questions: The table of that name.
        items: The items with their ``group``.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Columns ``question, statistic, level, value, low, high, n, note, ...``.
    """
    parts = single_valued_questions(with_units(annotations, items), questions)
    tables = [_or_refused(part, n_boot=n_boot, seed=seed) for part in parts]
    return pl.concat(tables, how="diagonal_relaxed") if tables else pl.DataFrame()


def _or_refused(part: SingleValued, *, n_boot: int, seed: int) -> pl.DataFrame:
    """The statistics, or alpha as undefined with the words of the refusal (somebody rated an item twice, say)."""
    try:
        return statistics_of([part], n_boot=n_boot, seed=seed)
    except TableError as refusal:
        nan, n = float("nan"), part.ratings["item_id"].n_unique()
        refused = Estimate("Krippendorff's alpha", nan, nan, nan, n, n, note=str(refusal))
        beside = {"question": part.question, "statistic": "krippendorff_alpha", "level": part.kind}
        return estimates_frame([refused], beside=[beside])


def with_units(
    annotations: pl.DataFrame, items: pl.DataFrame, *, raters: pl.DataFrame | None = None, by: str | None = None
) -> pl.DataFrame:
    """The annotations of known people with the group of their item, and the column ``by`` from wherever it stands.

    Raises:
        TableError: No table has the column ``by``.
    """
    rows = annotations.filter(pl.col("annotator_id").str.split(":").list.last() != UNKNOWN_ANNOTATOR)
    rows = rows.join(items.select("item_id", "group"), on="item_id", how="left", maintain_order="left")
    if by is None or by in rows.columns:
        return rows
    if by in items.columns:
        return rows.join(items.select("item_id", by), on="item_id", how="left", maintain_order="left")
    if raters is not None and by in raters.columns:
        return rows.join(raters.select("annotator_id", by), on="annotator_id", how="left", maintain_order="left")
    known = sorted({*rows.columns, *items.columns, *(raters.columns if raters is not None else [])})
    raise TableError(f"no column {by!r} to slice by; annotations, items and raters have {', '.join(known)}.")


def single_valued_questions(rows: pl.DataFrame, questions: pl.DataFrame) -> list[SingleValued]:
    """Each question's ratings; no statistic pools questions.

    A question of kind ``set``, where one person may give several values, becomes one yes/no question per option,
    named ``question=option``.
    """
    parts = []
    for asked in questions.iter_rows(named=True):
        name, kind, options = asked["question"], asked["kind"], list(asked["options"])
        ratings = rows.filter(pl.col("question") == name).drop("question")
        if ratings.height == 0:
            continue
        if kind == "set":
            parts += [SingleValued(f"{name}={option}", "nominal", _chose(ratings, option), None) for option in options]
        else:
            parts.append(SingleValued(name, kind, ratings, options if kind == "ordinal" and options else None))
    return parts


def _chose(ratings: pl.DataFrame, option: str) -> pl.DataFrame:
    """One row per rating: whether the option is among its values."""
    said = ["value", "value_num", "reason", "evidence", "foil", "weight"]
    keep = [c for c in ratings.columns if c not in said]
    chosen = pl.when((pl.col("value") == option).any()).then(pl.lit("yes")).otherwise(pl.lit("no"))
    return ratings.group_by(keep, maintain_order=True).agg(chosen.alias("value"))


def statistics_of(
    parts: list[SingleValued],
    *,
    everything: bool = False,
    by: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """The agreement table of every part, with its question in front."""
    tables = [
        agreement_table(
            part.ratings, kind=part.kind, order=part.order, group="group", everything=everything, by=by,
            confidence=confidence, n_boot=n_boot, seed=seed,
        ).select(pl.lit(part.question).alias("question"), pl.all())
        for part in parts
    ]  # fmt: skip
    return pl.concat(tables, how="diagonal_relaxed")
