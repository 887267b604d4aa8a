"""Beyond one number: agreement about each value, of each annotator, between groups of annotators, over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import polars as pl

from dfar_toolkit.agreement import drift, group_agreement, leave_one_rater_out, rater_agreement, value_agreement
from dfar_toolkit.agreement.statistic import Ci, Scope
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Interval

_Level = Literal["nominal", "ordinal", "interval"]  # at which groups and left-out raters are compared


class Rated(NamedTuple):
    """Ratings of one question as they went into the statistics: columns ``item_id, annotator_id, value``.

    ``group`` names the column of the resampling unit, ``kind`` is the question's.
    """

    question: str
    ratings: pl.DataFrame
    order: list[str] | None
    kind: str = "nominal"
    group: str | None = None


class Wanted(NamedTuple):
    """Which tables beside the statistics are asked for, and how their intervals are made."""

    values: bool = False
    raters: bool = False
    groups: str | None = None
    drift: str | None = None
    ci: Ci | None = "bootstrap"
    scope: Scope = "items"
    confidence: float = 0.95
    n_boot: int = 2000
    seed: int = 0

    @property
    def drawn(self) -> Interval | None:
        """The interval of tables that have no analytic one."""
        return "jackknife" if self.ci == "jackknife" else None if self.ci is None else "bootstrap"


def further_tables(rated: Sequence[Rated], wanted: Wanted) -> dict[str, pl.DataFrame]:
    """The tables that were asked for, by name, with the question in front; empty ones are left out.

    Args:
        rated: The ratings of each question.
        wanted: Which tables.

    Returns:
        ``values``, ``raters``, ``groups``, ``drift``.

    Raises:
        TableError: No column of that name, or as the statistics do.
    """
    makers: dict[str, Callable[[Rated, Wanted], pl.DataFrame]] = {
        **({"values": _values} if wanted.values else {}),
        **({"raters": _raters} if wanted.raters else {}),
        **({"groups": _groups} if wanted.groups is not None else {}),
        **({"drift": _drift} if wanted.drift is not None else {}),
    }
    found = {}
    for name, make in makers.items():
        parts = [make(part, wanted).select(pl.lit(part.question).alias("question"), pl.all()) for part in rated]
        whole = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
        if whole.height:
            found[name] = whole
    return found


def _values(part: Rated, wanted: Wanted) -> pl.DataFrame:
    found = value_agreement(
        part.ratings, group=part.group, ci=wanted.ci, confidence=wanted.confidence, n_boot=wanted.n_boot,
        seed=wanted.seed,
    )  # fmt: skip
    return found.with_columns(pl.col("category").cast(pl.String))


def _raters(part: Rated, wanted: Wanted) -> pl.DataFrame:
    """Each annotator's agreement with the rest, and alpha without them."""
    share = rater_agreement(
        part.ratings, group=part.group, ci=wanted.drawn, confidence=wanted.confidence, n_boot=wanted.n_boot,
        seed=wanted.seed,
    )  # fmt: skip
    beyond = rater_agreement(part.ratings, statistic="kappa", ci=None).select("rater", kappa="value")
    without = leave_one_rater_out(part.ratings, level=_level(part), order=_order(part))
    without = without.select("rater", "alpha_without", alpha_change="value")
    return share.join(beyond, on="rater", how="left").join(without, on="rater", how="left").sort("value", "rater")


def _groups(part: Rated, wanted: Wanted) -> pl.DataFrame:
    column = str(wanted.groups)
    if column not in part.ratings.columns:
        raise TableError(f"no column {column!r} of annotators to compare by; found {', '.join(part.ratings.columns)}.")
    return group_agreement(
        part.ratings.with_columns(pl.col(column).cast(pl.String)), by_rater=column, level=_level(part),
        order=_order(part), group=part.group, ci=wanted.drawn, confidence=wanted.confidence, n_boot=wanted.n_boot,
        seed=wanted.seed,
    )  # fmt: skip


def _drift(part: Rated, wanted: Wanted) -> pl.DataFrame:
    at = str(wanted.drift)
    if at not in part.ratings.columns or part.ratings[at].null_count() == part.ratings.height:
        raise TableError(f"no times in a column {at!r} of the ratings; name it with --drift COLUMN, or leave it out.")
    times = part.ratings[at]
    whole = times.cast(pl.Int64, strict=False) if times.dtype == pl.String else times
    # A table of text has its whole numbers as text too; anything else must be a date.
    ratings = part.ratings.with_columns(whole) if whole.null_count() == times.null_count() else part.ratings
    return drift(
        ratings, at=at, group=part.group, ci=wanted.drawn, confidence=wanted.confidence, n_boot=wanted.n_boot,
        seed=wanted.seed,
    )  # fmt: skip


def _level(part: Rated) -> _Level:
    return "ordinal" if part.kind == "ordinal" else "interval" if part.kind in ("interval", "ratio") else "nominal"


def _order(part: Rated) -> list[str] | None:
    return part.order if part.kind == "ordinal" else None
