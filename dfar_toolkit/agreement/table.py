"""The default family of agreement statistics of one question, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

import polars as pl

from dfar_toolkit.agreement.alpha import alpha_statistic
from dfar_toolkit.agreement.categories import offered
from dfar_toolkit.agreement.counting import Counts, count_ratings
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.fleiss import fleiss_statistic
from dfar_toolkit.agreement.gwet import ac_statistic
from dfar_toolkit.agreement.kappa import pairs_frame
from dfar_toolkit.agreement.observed import observed_statistic
from dfar_toolkit.agreement.ratings import By, RatingsLike, read_ratings
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import Ci, Resampling, estimate_statistic
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

_PAIRWISE: Final = 8  # raters up to which the pairs are listed without being asked for

_COLUMNS: Final = (
    *("statistic", "level", "value", "low", "high", "n", "note"),
    *("name", "n_units", "unit", "scope", "method", "confidence"),
)


class _Row(NamedTuple):
    statistic: str
    level: str | None
    estimate: Estimate


def agreement_table(
    ratings: RatingsLike,
    *,
    kind: str = "nominal",
    everything: bool = False,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    """Percent agreement, Krippendorff's alpha, Fleiss' kappa and Gwet's AC1 of one question, with intervals.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        kind: What the question asks for: nominal (or pair), ordinal, interval or ratio. Alpha is given at the
            nominal level and at this one.
        everything: Cohen's kappa of every pair of raters too, however many raters there are (without it: up to 8).
        order: Names of the values from lowest to highest, for ordinal text.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        A frame with the columns of ``by`` and ``statistic, level, value, low, high, n, note, name, n_units, unit,
        scope, method, confidence, rater_a, rater_b``; the last two are null except for ``cohen_kappa``.

    Undefined:
        Row by row, with the note.

    Raises:
        TableError: As the statistics do.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> agreement_table(rows, ci=None).select("statistic", "level", pl.col("value").round(3)).rows()[:2]
        [('percent_agreement', None, 0.5), ('krippendorff_alpha', 'nominal', 0.0)]
    """
    levels = _levels(kind)
    how = Resampling(ci, confidence, n_boot, seed)
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    clash = [name for name in checked.by if name in (*_COLUMNS, "rater_a", "rater_b")]
    if clash:
        raise ValueError(
            f'agreement_table: by cannot be "{clash[0]}", which names a column of the result; rename the column'
        )
    slices = count_ratings(checked)
    rows = [_family(part.counts, levels, order, how) for part in slices]
    frame = slices_frame(
        [part.key for part in slices], [[row.estimate for row in listed] for listed in rows], checked.by
    )
    flat = [row for listed in rows for row in listed]
    statistic = pl.Series("statistic", [row.statistic for row in flat], dtype=pl.String)
    level = pl.Series("level", [row.level for row in flat], dtype=pl.String)
    frame = frame.with_columns(statistic, level).select(*checked.by, *_COLUMNS)
    if len(checked.raters) >= 2 and (everything or len(checked.raters) <= _PAIRWISE):
        pairs = pairs_frame(checked, how).with_columns(
            pl.lit("cohen_kappa").alias("statistic"), pl.col("rater_a", "rater_b").cast(pl.String)
        )
        frame = pl.concat([frame, pairs], how="diagonal")
    for name in ("rater_a", "rater_b"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    return frame.sort(checked.by, maintain_order=True) if checked.by else frame


def _levels(kind: str) -> list[Level]:
    if kind in ("nominal", "pair"):
        return ["nominal"]
    for level in get_args(Level):
        if kind == level:
            return ["nominal", level]
    raise TableError(
        f"agreement is offered for questions of kind {', '.join(get_args(Level))}; found kind {kind!r}; "
        f"turn the values into one of these, e.g. one yes/no question per value of a set."
    )


def _family(counts: Counts, levels: list[Level], order: Sequence[str] | None, how: Resampling) -> list[_Row]:
    plain = offered(counts, None)
    alphas = [
        ("krippendorff_alpha", level, alpha_statistic(counts, level, order=order if level == "ordinal" else None))
        for level in levels
    ]
    family = [
        ("percent_agreement", None, observed_statistic(counts)),
        *alphas,
        ("fleiss_kappa", None, fleiss_statistic(counts, plain)),
        ("gwet_ac1", None, ac_statistic(counts, plain)),
    ]
    return [_Row(name, level, estimate_statistic(statistic, how)) for name, level, statistic in family]
