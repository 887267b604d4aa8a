"""Whether people agree beyond chance at all: a coefficient against its value where nobody heeds the item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import polars as pl

from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.coefficients import Coefficient, Name, coefficient
from dfar_toolkit.agreement.distances import Level, Weights
from dfar_toolkit.agreement.null_errors import Alternative, NullTest, analytic_test
from dfar_toolkit.agreement.permuted_ratings import permutation_test
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import Resampling, estimate_statistic
from dfar_toolkit.estimate import Estimate, Interval, estimates_frame

_CALLER: Final = "agreement_test"
_COLUMNS: Final = pl.Schema(
    {
        "null": pl.Float64,
        "se_null": pl.Float64,
        "z": pl.Float64,
        "p": pl.Float64,
        "smallest_p": pl.Float64,
        "test": pl.String,
        "alternative": pl.String,
        "test_note": pl.String,
    }
)


class _Row(NamedTuple):
    estimate: Estimate
    test: NullTest


def agreement_test(
    ratings: RatingsLike,
    *,
    statistic: Name = "krippendorff_alpha",
    test: Literal["permutation", "analytic"] = "permutation",
    alternative: Alternative = "two-sided",
    level: Level = "nominal",
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    n_permutations: int = 1999,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> pl.DataFrame:
    r"""How surprising the agreement would be if raters did not heed the items: a p-value, beside the interval.

    ``permutation`` shuffles the ratings of each rater among the items that they rated, independently of the other
    raters, which keeps who rated what and every rater's distribution of values. It assumes that without agreement a
    rater's ratings are exchangeable between items; with ``group``, that whole groups are, between groups of which the
    rater rated equally many items: only those change places. With b of B shufflings at least as extreme,

        $p = \frac{1 + b}{1 + B}$, two-sided twice that of the nearer tail; $z = (T - \bar T_0) / s_0$

    with mean $\bar T_0$ and standard deviation $s_0$ of the shufflings. Each costs one pass over the ratings.

    ``analytic`` is $z = T / s_0$ against the normal distribution, with the standard error under no agreement of Fleiss,
    Nee and Landis (Fleiss' kappa without weights, equally many ratings an item) or of Fleiss, Cohen and Everitt
    (Cohen's kappa, with weights too), both for independent items. Everywhere else it is T over its linearised standard
    error, against Student's t; the column ``test`` says so. That one is the error at the agreement found.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        statistic: Name of the coefficient, that of its own function.
        test: permutation or analytic.
        alternative: two-sided, or greater (more agreement than by chance).
        level: Level of measurement, for alpha.
        weights: Partial credit, for coefficients that take weights.
        order: Values from lowest to highest, for ordinal text or weights on words.
        categories: Categories on offer, for AC1, AC2, Brennan-Prediger and Randolph.
        bounds: Ends of the scale, for alpha at the circular and bipolar levels.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        n_permutations: Random shufflings; fewer (at least 99) where shufflings times ratings are above 1e8, and
            ``test_note`` says so.
        ci: Interval of the coefficient beside the test: bootstrap, jackknife, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws of that interval.
        seed: Seed of shufflings and draws.
        by: Column or columns to slice by.

    Returns:
        One row, or with ``by`` one per slice: its columns, Estimate's fields (n = items with two or more ratings),
        ``null`` (the coefficient expected without agreement), ``se_null``, ``z``, ``p``, ``smallest_p`` (the least
        that p could have been; nan for analytic tests), ``test``, ``alternative``, ``test_note``.

    Undefined:
        p where the coefficient is, where shuffling changes nothing, where more than 5 % of the shufflings have no
        value, or where the standard error is 0; ``test_note`` says which.

    Raises:
        TableError: As the coefficient's own function.
        ValueError: An unknown statistic, test or alternative, options that the statistic does not take, or an analytic
            test of percent agreement (whose value by chance is not 0) or Light's kappa.

    Example:
        Two raters of four items, half of them "a": 36 arrangements; full agreement in 6, full disagreement in 6.

        >>> rows = [(i, who, v) for i, v in enumerate("aabb") for who in ("ann", "bob")]
        >>> found = agreement_test(rows, statistic="cohen_kappa", alternative="greater", ci=None)
        >>> found.select("value", pl.col("p").round(1), pl.col("smallest_p").round(3)).row(0)
        (1.0, 0.2, 0.167)

    Reference:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39 (p); Fleiss, Nee and Landis (1979), Psychol. Bull.
        86:974-977; Fleiss, Cohen and Everitt (1969), Psychol. Bull. 72:323-327, eq. 8 and 14.
    """
    _check(test, alternative, n_permutations)
    chosen = coefficient(
        _CALLER, statistic, level=level, weights=weights, order=order, categories=categories, bounds=bounds
    )
    if test == "analytic" and statistic in ("percent_agreement", "light_kappa"):
        why = "is not 0 by chance" if statistic == "percent_agreement" else "has no standard error of its own"
        raise ValueError(f'{_CALLER}: {statistic} {why}; ask for test="permutation"')
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    how = Resampling(ci, confidence, n_boot, seed)
    rows = [_row(chosen, part.cells, test, alternative, n_permutations, how) for part in slices]
    columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    clash = [name for name in columns if name in _COLUMNS]
    if clash:
        raise ValueError(f'{_CALLER}: by cannot be "{clash[0]}", which names a column of the result; rename the column')
    estimates = estimates_frame(row.estimate for row in rows)
    if columns:
        estimates = slices_frame([part.key for part in slices], [[row.estimate] for row in rows], columns)
    tests = pl.DataFrame([[*row.test[:6], alternative, row.test.note] for row in rows], schema=_COLUMNS, orient="row")
    return pl.concat([estimates, tests], how="horizontal")


def _row(
    chosen: Coefficient, cells: Cells, test: str, alternative: Alternative, n_permutations: int, how: Resampling
) -> _Row:
    found = estimate_statistic(chosen.of_cells(cells), how)
    if test == "analytic":
        return _Row(found, analytic_test(chosen, cells, alternative))
    return _Row(found, permutation_test(chosen, cells, alternative, n_permutations, how.seed))


def _check(test: str, alternative: str, n_permutations: int) -> None:
    if test not in ("permutation", "analytic"):
        raise ValueError(f'{_CALLER}: test must be "permutation" or "analytic", found {test!r}')
    if alternative not in get_args(Alternative):
        raise ValueError(f'{_CALLER}: alternative must be "two-sided" or "greater", found {alternative!r}')
    if n_permutations < 1:
        raise ValueError(f"{_CALLER}: n_permutations must be at least 1, found {n_permutations}")
