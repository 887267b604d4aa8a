"""The agreement statistics that suit one question, as one table, with what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.cells import slices_of
from dfar_toolkit.agreement.counting import count_ratings
from dfar_toolkit.agreement.family import MOST_SAME_OR_NOT, Asked, Counted, counted, same_or_not_says_nothing, singles
from dfar_toolkit.agreement.kappa import pairs_frame
from dfar_toolkit.agreement.pairs import MOST_RATERS
from dfar_toolkit.agreement.ratings import By, Ratings, RatingsLike, read_ratings
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import Ci, Resampling, Scope, estimate_statistic
from dfar_toolkit.agreement.two_way import check_scope, estimate_two_way
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame

LEFT_OUT: Final = "left out: "  # how the note of a statistic that does not apply begins

_PAIRWISE: Final = 8  # raters up to which the pairs are listed without being asked for
_EVERY_PAIR: Final = 100  # the same with everything: 4,950 pairs

_COLUMNS: Final = (
    *("statistic", "level", "value", "low", "high", "n", "note"),
    *("name", "n_units", "unit", "scope", "method", "confidence"),
)


class _Named(NamedTuple):
    statistic: str
    level: str | None


def agreement_table(
    ratings: RatingsLike,
    *,
    kind: str = "nominal",
    everything: bool = False,
    pairs: bool | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    scope: Scope = "items",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    """The statistics that suit one question, with intervals: observed agreement, alpha, Fleiss' kappa, AC1, or all.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        kind: What the question asks for: nominal (or pair), ordinal, interval, ratio, circular or bipolar. Alpha is
            given at the nominal level and at this one. Where numbers are so many that two people hardly ever give the
            same (more than 64 of them), statistics of "the same or not" are left out.
        everything: Every statistic that applies to the kind; what does not apply to the data (two raters only, complete
            tables only) has a row without a value, whose note begins with "left out: " and says why.
        pairs: Cohen's kappa of every pair of raters (at most 2,000 raters); None: with up to 8 raters, or with
            ``everything`` up to 100, beyond which one row says that they are left out.
        order: Names of the values from lowest to highest, for ordinal text.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (bootstrap where a statistic has none), or None.
        scope: What the intervals are over, where a statistic can: these raters and other items, or other raters too.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        A frame with the columns of ``by`` and ``statistic, level, value, low, high, n, note, name, n_units, unit,
        scope, method, confidence, rater_a, rater_b``; the last two are null except for ``cohen_kappa``. ``level`` is
        the level, the weights, the form or the method.

    Undefined:
        Row by row, with the note.

    Raises:
        TableError: As the statistics do.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> agreement_table(rows, ci=None).select("statistic", "level", pl.col("value").round(3)).rows()[:2]
        [('percent_agreement', None, 0.5), ('krippendorff_alpha', 'nominal', 0.0)]
    """
    how = Resampling(ci, confidence, n_boot, seed, scope)
    check_scope(how)
    checked = read_ratings(ratings, item=item, rater=rater, value=value, group=group, by=by)
    _refuse_clash(checked.by)
    n_values, n_raters = len(checked.values), len(checked.raters)
    frame = _of_counts(checked, counted(kind, n_values, order, everything=everything), how)
    nominal = not same_or_not_says_nothing(kind, n_values)
    further = _of_singles(checked, kind, order, how) if everything else []
    gone = [] if nominal else [_same_or_not(n_values, how)]
    frame = pl.concat([frame, *further, *gone], how="diagonal_relaxed")
    wanted = pairs if pairs is not None else (everything or n_raters <= _PAIRWISE) and nominal
    if n_raters >= 2 and wanted:
        listed = _of_pairs(checked, how) if pairs or n_raters <= _EVERY_PAIR else _no_pairs(n_raters, how)
        frame = pl.concat([frame, listed], how="diagonal_relaxed")
    for name in ("rater_a", "rater_b"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    frame = frame.select(*checked.by, *_COLUMNS, "rater_a", "rater_b")
    return frame.sort(checked.by, maintain_order=True) if checked.by else frame


def _refuse_clash(by: Sequence[str]) -> None:
    clash = [name for name in by if name in (*_COLUMNS, "rater_a", "rater_b")]
    if clash:
        raise ValueError(
            f'agreement_table: by cannot be "{clash[0]}", which names a column of the result; rename the column'
        )


def _of_counts(checked: Ratings, family: Sequence[Counted], how: Resampling) -> pl.DataFrame:
    if how.scope == "items":
        slices = count_ratings(checked)
        keys = [part.key for part in slices]
        found = [[estimate_statistic(one.of(part.counts), how) for one in family] for part in slices]
    else:
        parts = slices_of(checked)
        keys = [part.key for part in parts]
        found = [[estimate_two_way(part.cells, one.of, how) for one in family] for part in parts]
    names = [_Named(one.statistic, one.level) for _ in keys for one in family]
    return _with_names(slices_frame(keys, found, checked.by), names, checked.by)


def _of_singles(checked: Ratings, kind: str, order: Sequence[str] | None, how: Resampling) -> list[pl.DataFrame]:
    """One frame per further statistic, or its row that says why it is left out."""
    by = {f"by{i}": name for i, name in enumerate(checked.by)}
    names = {"item": "item_id", "rater": "annotator_id"}
    columns = ["item", "rater", "value", *(["group"] if checked.has_group else []), *by]
    plain = checked.frame.select(columns).rename({**names, **by})
    asked = Asked("group" if checked.has_group else None, checked.by or None, how._replace(scope="items"))
    frames = []
    for one in singles(kind, len(checked.values), order):
        try:
            found = one.of(plain, asked)
        except TableError as refusal:
            found = _left_out(one.statistic, str(refusal), how)
        rows = estimates_frame([found]) if isinstance(found, Estimate) else found
        frames.append(_with_names(rows, [_Named(one.statistic, one.level)] * len(rows), checked.by))
    return frames


def _of_pairs(checked: Ratings, how: Resampling) -> pl.DataFrame:
    own = how if how.scope == "items" else how._replace(scope="items")
    return pairs_frame(checked, own).with_columns(
        pl.lit("cohen_kappa").alias("statistic"), pl.col("rater_a", "rater_b").cast(pl.String)
    )


def _no_pairs(n_raters: int, how: Resampling) -> pl.DataFrame:
    """The row that stands for more pairs of raters than anybody reads."""
    why = f"{n_raters * (n_raters - 1) // 2:,} pairs of raters; "
    few = n_raters <= MOST_RATERS
    why += "pairs=True (--pairs) lists them" if few else f"pairs are listed up to {MOST_RATERS:,} raters; filter them"
    return _with_names(estimates_frame([_left_out("cohen_kappa", why, how)]), [_Named("cohen_kappa", None)], ())


def _same_or_not(n_values: int, how: Resampling) -> pl.DataFrame:
    """Rows of the default statistics that are left out where there are as many numbers as that."""
    why = f"{n_values} distinct numbers (more than {MOST_SAME_OR_NOT}): the same or not says nothing here"
    names = [_Named("percent_agreement", None), _Named("krippendorff_alpha", "nominal"), _Named("gwet_ac1", None)]
    return _with_names(estimates_frame([_left_out(n.statistic, why, how) for n in names]), names, ())


def _left_out(name: str, why: str, how: Resampling) -> Estimate:
    nan = float("nan")
    return Estimate(name, nan, nan, nan, 0, 0, method="none", confidence=how.confidence, note=LEFT_OUT + why)


def _with_names(frame: pl.DataFrame, names: Sequence[_Named], by: Sequence[str]) -> pl.DataFrame:
    statistic = pl.Series("statistic", [name.statistic for name in names], dtype=pl.String)
    level = pl.Series("level", [name.level for name in names], dtype=pl.String)
    present = [name for name in by if name in frame.columns]
    return frame.with_columns(statistic, level).select(*present, *_COLUMNS)
