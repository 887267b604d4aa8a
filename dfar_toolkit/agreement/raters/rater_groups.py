"""Groups of raters: agreement within each, between them, and whether that is more than any split of the raters gives.

Raters, not items, are what a comparison of groups has too few of. So the test moves raters from group to group. Cost:
permutations times ratings (items on which the same raters gave the same values count once). The product is bounded
for each two groups, at about half a minute: beyond it fewer splits are drawn, at least 99, and the note says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Final, NamedTuple, cast, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.marks import telling_units, thin
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.raters.group_pairs import GroupLevel, GroupPairs, GroupStatistic
from dfar_toolkit.agreement.raters.rater_splits import PermutationTest, RaterSplits
from dfar_toolkit.agreement.raters.shared_items import numbered, ratings_of, shared_items
from dfar_toolkit.agreement.ratings import RatingsLike, shown
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval, estimate_by_weights, estimates_frame

_WORK: Final = 500_000_000  # splits times (ratings + cells) of two groups: about 30 s
_FEWEST: Final = 99  # random splits that are drawn whatever they cost: p down to .01
_NO_ITEMS: Final = "no item has the ratings that this compares"
_NO_VALUE: Final = "agreement of one of the two groups, or between them, has no value"
_FIXED: Final = "the interval is over items with these raters fixed; p is over raters"


def group_agreement(
    ratings: RatingsLike,
    *,
    by_rater: str,
    statistic: GroupStatistic = "krippendorff_alpha",
    level: GroupLevel = "nominal",
    order: Sequence[str] | None = None,
    min_raters: int = 5,
    n_permutations: int = 9999,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Agreement within groups of raters, between each two groups, and a test of what the groups have to do with it.

    ``within``: the statistic of the group's own ratings. ``between``, over the items u that both groups rated, for
    ``percent_agreement`` and ``krippendorff_alpha``:

        $p_{AB} = \frac{1}{N} \sum_u \frac{\sum_c n^A_{uc} n^B_{uc}}{m^A_u m^B_u}$,
        $\alpha_{AB} = 1 - (n - 1) \frac{\sum_u m_u d_u}{\sum_{c,k} n_c n_k \delta_{ck}}$,
        $d_u = \frac{\sum_{c,k} n^A_{uc} n^B_{uk} \delta_{ck}}{m^A_u m^B_u}$

    with $n^A_{uc}$ ratings of value c by group A, $m^A_u$ in all, $m_u = m^A_u + m^B_u$, and $n$, $n_c$ the ratings of
    both groups on these items: Krippendorff's alpha with the pairs across groups alone as observed. For groups of one
    rater each it is Krippendorff's alpha. ``difference`` is within B minus within A; ``within - between`` is the mean
    of the two minus between, above 0 where people agree more with their own group.

    The test gives the group labels to the raters anew, all distinct splits of the same sizes where these are at most
    ``n_permutations``, else so many random ones: p is the share of splits, the real one among them, whose number is at
    least as far from 0. ``smallest_p`` is the least that p could have been: with 3 and 3 raters there are 20 splits in
    mirrored pairs, so .10.

    Args:
        ratings: Long ratings with a column that says which group the rater of each row belongs to.
        by_rater: That column; raters without a group are left out.
        statistic: krippendorff_alpha or percent_agreement.
        level: nominal, ordinal or interval, for alpha.
        order: Names of the values from lowest to highest, for ordinal text.
        min_raters: Raters below which a group is described, not tested.
        n_permutations: Most splits looked at; fewer where they would take long, and the note says so.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, over items with these raters fixed; None: none. It says nothing about other raters.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws and of the splits.

    Returns:
        ``comparison`` (within, between, difference, within - between), ``group_a``, ``group_b`` (null within),
        Estimate's fields, ``p``, ``smallest_p``, ``n_raters_a``, ``n_raters_b``: first each group, then each two. n =
        items with two ratings of the group (within), with one of each (between), with either (difference), with any.

    Undefined:
        The statistic where it is (a group of one rater has no agreement within). p and smallest_p within and between;
        p where a group has too few raters, or where more than 5 % of the splits are undefined.

    Raises:
        ValueError: An unknown statistic or level, or fewer than two groups.
        TableError: A rater in two groups, missing columns, a rater twice on an item, several questions.

    Example:
        >>> given = {"ann": "xxy", "bob": "xxy", "cat": "yxy", "dan": "xyx"}
        >>> rows = [(i, who, v[i], "A" if who in ("ann", "bob") else "B") for who, v in given.items() for i in range(3)]
        >>> frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")
        >>> found = group_agreement(frame, by_rater="side", statistic="percent_agreement", min_raters=2, ci=None)
        >>> found.select("comparison", "value", pl.col("p", "smallest_p").round(3)).row(3)
        ('difference', -1.0, 0.333, 0.333)

    Reference:
        Krippendorff (2011), paper 43 (alpha); Wong, Paritosh and Aroyo (2021), ACL, 7053-7065 (agreement across two
        panels, there with each panel's own distribution for chance, as Cohen's kappa); Phipson and Smyth (2010), Stat.
        Appl. Genet. Mol. Biol. 9:39 (p of random permutations).
    """
    if statistic not in get_args(GroupStatistic):
        known = " or ".join(get_args(GroupStatistic))
        raise ValueError(f"group_agreement: statistic must be {known}, found {statistic!r}")
    if level not in get_args(GroupLevel):
        raise ValueError(f"group_agreement: level must be nominal, ordinal or interval, found {level!r}")
    if n_permutations < 1:
        raise ValueError(f"group_agreement: n_permutations must be at least 1, found {n_permutations}")
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group, beside=(by_rater,))
    cells, labels = _labelled(cells, by_rater)
    names = sorted({name for name in labels if name is not None})
    if len(names) < 2:
        raise ValueError(
            f'group_agreement: wanted two or more groups of raters, found {len(names)} in the column "{by_rater}"; '
            f"name the column that tells the groups apart"
        )
    how = _How(statistic, level, order, min_raters, n_permutations, ci, confidence, n_boot, seed)
    rows = [_within(cells, labels, name, how) for name in names]
    rows += [row for a, b in combinations(names, 2) for row in _pair(cells, labels, (a, b), how)]
    return _frame(rows)


class _How(NamedTuple):
    statistic: GroupStatistic
    level: GroupLevel
    order: Sequence[str] | None
    min_raters: int
    n_permutations: int
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


class _Row(NamedTuple):
    comparison: str
    group_a: str
    group_b: str | None
    estimate: Estimate
    p: float
    smallest_p: float
    n_raters_a: int
    n_raters_b: int | None


def _labelled(cells: Cells, by_rater: str) -> tuple[Cells, list[str | None]]:
    """The ratings of raters with a group, and the group of every rater (R,)."""
    label = cells.beside[by_rater]
    if label.dtype.is_nested():
        raise TableError(f'the column "{by_rater}" must hold one group per row; found {label.dtype}; use text.')
    frame = pl.DataFrame({"rater": cells.rater, "label": label.cast(pl.String)})
    found = frame.group_by("rater").agg(pl.col("label").unique().sort()).sort("rater")
    torn = found.filter(pl.col("label").list.len() > 1)
    if len(torn):
        index, several = torn.row(0)
        raise TableError(
            f'a rater must stand in the same group ("{by_rater}") on all rows; {len(torn)} do not (e.g. rater '
            f'"{shown(cells.raters[index])}" in {", ".join(shown(x) for x in several[:3])}); give each rater one group.'
        )
    labels: list[str | None] = [None] * len(cells.raters)
    for index, (name,) in zip(found["rater"].to_list(), found["label"].to_list(), strict=True):
        labels[index] = name
    lost = sum(name is None for name in labels)
    kept = cells.only(label.is_not_null().to_numpy())
    note = f"{lost} rater{'s' if lost != 1 else ''} without a group left out"
    return replace(kept, notes=(*kept.notes, note)) if lost else kept, labels


def _within(cells: Cells, labels: list[str | None], name: str, how: _How) -> _Row:
    mine = np.array([label == name for label in labels])
    own = ratings_of(cells.only(mine[cells.rater]))
    group = "group" if "group" in own.columns else None
    if how.statistic == "percent_agreement":
        found = percent_agreement(
            own, group=group, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed
        )
    else:
        found = krippendorff_alpha(
            own, level=how.level, order=how.order, group=group, ci=how.ci, confidence=how.confidence,
            n_boot=how.n_boot, seed=how.seed,
        )  # fmt: skip
    nan = float("nan")
    estimate = cast("Estimate", found)
    note = "; ".join(filter(None, [estimate.note, *cells.notes]))
    return _Row("within", name, None, replace(estimate, note=note), nan, nan, int(mine.sum()), None)


def _pair(cells: Cells, labels: list[str | None], names: tuple[str, str], how: _How) -> list[_Row]:
    """Between two groups, and the two tested comparisons of them."""
    side = np.array([names.index(label) if label in names else -1 for label in labels])
    own = shared_items(cells.only(side[cells.rater] >= 0))
    used, rater = np.unique(own.rater, return_inverse=True)
    own = replace(own, rater=rater.astype(np.int64), raters=own.raters.gather(used))
    own = numbered(own, how.level, how.order)
    member = (side[used] == 0).astype(np.float64)
    n_a, n_b = (sum(label == name for label in labels) for name in names)
    rows = []
    tests = _tests(own, member, names, how)
    for (comparison, _), estimate, test in zip(_COMPARED, _estimates(own, member, names, how), tests, strict=True):
        note = "; ".join(filter(None, [estimate.note, test.note, *cells.notes]))
        p = float("nan") if np.isnan(estimate.value) else test.p
        found = replace(estimate, note=note)
        rows.append(_Row(comparison, *names, found, p, test.smallest_p, n_a, n_b))
    return rows


def _difference(found: Floats) -> Floats:
    return np.asarray(found[:, 1] - found[:, 0])


def _own_rather(found: Floats) -> Floats:
    return np.asarray((found[:, 0] + found[:, 1]) / 2 - found[:, 2])


# From within A, within B and between (B, 3) to each number; the first is described, the others are tested.
_COMPARED: Final[tuple[tuple[str, Callable[[Floats], Floats]], ...]] = (
    ("between", lambda found: np.asarray(found[:, 2])),
    ("difference", _difference),
    ("within - between", _own_rather),
)


def _estimates(cells: Cells, member: Floats, names: tuple[str, str], how: _How) -> list[Estimate]:
    pairs = GroupPairs(cells, how.statistic, how.level, member=member)
    times, unit = pairs.times, "items"
    belongs = None if cells.group is None else pairs.units(cells.group)
    if belongs is not None:
        times, unit = np.ones(belongs.shape[0]), "groups"
    a, b = names
    what = "percent agreement" if how.statistic == "percent_agreement" else f"Krippendorff's alpha ({how.level})"
    titles = (f"{what} between {a} and {b}", f"{what}, {b} - {a}", f"{what}, within - between")
    short = thin(*telling_units(cells.counts()), unit)
    found = []
    for (_, number), name, n in zip(_COMPARED, titles, pairs.n_items(member), strict=True):

        def statistic(weights: Floats, number: Callable[[Floats], Floats] = number) -> Floats:
            own = weights if belongs is None else np.asarray(weights @ belongs)
            return number(pairs.statistics(member[None, :], own))

        estimate = estimate_by_weights(
            name, times, statistic, n=n, unit=unit, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot,
            seed=how.seed, undefined=_NO_VALUE if n else _NO_ITEMS,
        )  # fmt: skip
        found.append(_marked(estimate, short) if len(times) else replace(estimate, note=_NO_ITEMS))
    return found


def _marked(estimate: Estimate, notes: list[str]) -> Estimate:
    """The estimate with what must be said of its interval, where it has one."""
    said = [] if np.isnan(estimate.low) else notes
    return replace(estimate, note="; ".join(filter(None, [estimate.note, *said])))


def _tests(cells: Cells, member: Floats, names: tuple[str, str], how: _How) -> list[PermutationTest]:
    """The permutation test of each comparison; the first, between, has none."""
    nan, n, n_a = float("nan"), len(member), int(member.sum())
    untested = PermutationTest(nan, nan, "")
    few = [
        f"{name} has {count} rater{'s' if count != 1 else ''} with shared items"
        for name, count in zip(names, (n_a, n - n_a), strict=True)
        if count < max(1, how.min_raters)
    ]
    if few:
        splits = RaterSplits(n, n_a, how.n_permutations, how.seed)
        note = f"described, not tested: {' and '.join(few)}, {max(1, how.min_raters)} needed"
        return [untested, *[PermutationTest(nan, splits.least, note)] * (len(_COMPARED) - 1)]
    pairs = GroupPairs(cells, how.statistic, how.level)
    asked = min(how.n_permutations, comb(n, n_a))
    drawn = min(asked, max(_FEWEST, _WORK // max(1, pairs.cost)))
    fewer = f"not {asked} splits: they are bounded by splits times ratings" if drawn < asked else ""
    splits = RaterSplits(n, n_a, drawn, how.seed)
    times = pairs.times[None, :]
    found = np.concatenate([pairs.statistics(block, times) for block in splits.blocks()])
    real = pairs.statistics(member[None, :], times)
    tests = [untested]
    for _, number in _COMPARED[1:]:
        test = splits.test(float(number(real)[0]), number(found))
        tests.append(test._replace(note="; ".join(filter(None, [_FIXED if how.ci else "", test.note, fewer]))))
    return tests


def _frame(rows: Sequence[_Row]) -> pl.DataFrame:
    names = ["comparison", "group_a", "group_b"]
    left = pl.DataFrame([row[:3] for row in rows], schema=dict.fromkeys(names, pl.String), orient="row")
    right = pl.DataFrame(
        [row[4:] for row in rows], orient="row",
        schema={"p": pl.Float64, "smallest_p": pl.Float64, "n_raters_a": pl.Int64, "n_raters_b": pl.Int64},
    )  # fmt: skip
    return pl.concat([left, estimates_frame(row.estimate for row in rows), right], how="horizontal")
