"""Agreement among the annotators of an items folder: each question apart, with the unit and the level it needs."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.agreement import agreement_table, set_alpha
from dfar_toolkit.agreement.statistic import Ci, Scope
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval, estimates_frame
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

_SET_DISTANCES: Final[tuple[Literal["jaccard", "masi"], ...]] = ("jaccard", "masi")


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
    if parts:
        tables += set_statistics(with_units(annotations, items), questions, n_boot=n_boot, seed=seed)
    return pl.concat(tables, how="diagonal_relaxed") if tables else pl.DataFrame()


def _or_refused(part: SingleValued, *, n_boot: int, seed: int) -> pl.DataFrame:
    """The statistics, or alpha as undefined with the words of the refusal (somebody rated an item twice, say)."""
    try:
        return statistics_of([part], n_boot=n_boot, seed=seed)
    except TableError as refusal:
        refused = _refused("Krippendorff's alpha", part.ratings, refusal)
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
    pairs: bool | None = None,
    by: str | None = None,
    ci: Ci | None = "bootstrap",
    scope: Scope = "items",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """The agreement table of every part, with its question in front."""
    tables = [
        agreement_table(
            part.ratings, kind=part.kind, order=part.order, group="group", everything=everything, pairs=pairs, by=by,
            ci=ci, scope=scope, confidence=confidence, n_boot=n_boot, seed=seed,
        ).select(pl.lit(part.question).alias("question"), pl.all())
        for part in parts
    ]  # fmt: skip
    return pl.concat(tables, how="diagonal_relaxed")


def set_statistics(
    rows: pl.DataFrame,
    questions: pl.DataFrame,
    *,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[pl.DataFrame]:
    """Alpha of whole sets, by Jaccard and MASI distance, for questions where one person may give several values."""
    found = []
    for name in questions.filter(pl.col("kind") == "set")["question"]:
        ratings = rows.filter(pl.col("question") == name)
        for distance in _SET_DISTANCES if ratings.height else ():
            try:
                alpha = set_alpha(
                    ratings, distance=distance, group="group", ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
                )
            except TableError as refusal:
                alpha = _refused(f"Krippendorff's alpha ({distance})", ratings, refusal)
            beside = {"question": name, "statistic": "set_alpha", "level": distance}
            found += [estimates_frame([alpha], beside=[beside])] if isinstance(alpha, Estimate) else []
    return found


def _refused(name: str, ratings: pl.DataFrame, refusal: TableError) -> Estimate:
    """An undefined statistic with the words of a refusal."""
    nan, n = float("nan"), ratings["item_id"].n_unique()
    return Estimate(name, nan, nan, nan, n, n, note=str(refusal))
