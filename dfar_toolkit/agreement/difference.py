"""Whether people agree more on one question, or in one subset, than on another: B - A with a paired interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.coefficients import Coefficient, Name, coefficient
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.distances import Level, Weights
from dfar_toolkit.agreement.marks import telling_units, thin
from dfar_toolkit.agreement.ratings import RatingsLike, shown
from dfar_toolkit.agreement.statistic import Scope, Statistic
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval, collapse, estimate_by_weights

_CALLER: Final = "agreement_difference"
_COLUMNS: Final = 200  # columns of both sides' rows together up to which equal units are looked for
_BY_ENDS: Final = ("circular", "bipolar")


class _Side(NamedTuple):
    """One side: its statistic, the unit of each row of the statistic (U,), and the items with two ratings."""

    statistic: Statistic
    keys: Ints
    pairable: pl.Series
    in_use: list[str]


def agreement_difference(
    a: RatingsLike,
    b: RatingsLike,
    *,
    statistic: Name = "krippendorff_alpha",
    level: Level = "nominal",
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    scope: Scope = "items",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""How much more people agree in B than in A: two questions about the same items, or two subsets of items.

    $\Delta = T_B - T_A$ with T the coefficient of each side on its own. A draw (or a unit left out) takes an item, or a
    group of items, together on both sides, so that what makes it hard for both cancels; one that stands on one side
    only counts for that side. The same ids on both sides give a paired interval, no common id that of two independent
    samples, and anything between is as it is.

    Units that are alike on both sides are collapsed, so a draw of few values costs their distinct patterns; at the
    ordinal level, for Conger's and Light's kappa and with many values it costs the ratings.

    Args:
        a: Ratings of side A, one row per item and rater; a frame or (item, rater, value) triples.
        b: Ratings of side B, with the same columns. Ids of items (and groups) mean the same on both sides.
        statistic: Name of the coefficient, that of its own function.
        level: Level of measurement, for alpha.
        weights: Partial credit, for coefficients that take weights.
        order: Values from lowest to highest, for ordinal text or weights on words.
        categories: Categories on offer, for AC1, AC2, Brennan-Prediger and Randolph.
        bounds: Ends of the scale, for alpha at the circular and bipolar levels, where both sides must share them.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, or None.
        scope: What the interval is over: items, with these raters. Other raters as well is refused.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        An Estimate of B - A; n = items with two or more ratings on either side, n_units = units drawn. The note says
        how many items each side has, and how many both.

    Undefined:
        Where the coefficient is on either side; the note says which. No interval as for the coefficients.

    Raises:
        TableError: As the coefficient's own function; ids of another type on the other side; an item whose group is
            another one on the other side.
        ValueError: An unknown statistic, options that it does not take, or a scope over raters.

    Example:
        Percent agreement is 1/2 on A and 1 on B.

        >>> a = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> b = [("x", "ann", 1), ("x", "bob", 1), ("y", "ann", 2), ("y", "bob", 2)]
        >>> print(agreement_difference(a, b, statistic="percent_agreement", ci=None))
        difference in percent agreement (B - A) = 0.500; A: 2 items, B: 2 items, 2 in both

    Reference:
        Vanbelle and Albert (2008), Statistica Neerlandica 62:81-93 (bootstrap of items for dependent kappas); McKenzie
        et al. (1996), Stat. Med. 15:1007-1017.
    """
    if scope != "items":
        raise ValueError(
            f"{_CALLER}: the interval is over items, with these raters; found scope {scope!r}; leave scope away, and "
            f'give each side its own interval over raters with the coefficient\'s function (scope="items+raters")'
        )
    chosen = coefficient(
        _CALLER, statistic, level=level, weights=weights, order=order, categories=categories, bounds=bounds
    )
    if level in _BY_ENDS and bounds is None:
        raise ValueError(f"{_CALLER}: alpha at the {level} level needs bounds=, so that both sides share a scale")
    extra = () if group is None else (group,)
    cells = [read_cells(r, item=item, rater=rater, value=value, group=group, beside=extra) for r in (a, b)]
    units = _joint_units(cells, group)
    sides = [_side(chosen, own, unit) for own, unit in zip(cells, units, strict=True)]
    times, values = _paired(sides[0], sides[1])
    found = estimate_by_weights(
        f"difference in {sides[0].statistic.name} (B - A)",
        times,
        values,
        n=_n_items(sides),
        unit="items" if all(len(np.unique(own)) == len(own) for own in units) else "groups",
        ci=ci,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=_undefined(sides),
    )
    short = [] if np.isnan(found.low) else _short(sides)
    return replace(found, note="; ".join(part for part in (found.note, *short, *_notes(chosen, sides)) if part))


def _joint_units(cells: list[Cells], group: str | None) -> list[Ints]:
    """The unit of every item of each side (N,), numbered over both sides."""
    names = [_unit_names(own, group) for own in cells]
    what = "items" if group is None else f'groups (column "{group}")'
    pairs = [([own.items for own in cells], "items"), (names, what)]
    for listed, called in pairs:
        first, second = (series.dtype for series in listed)
        if first != second and len(listed[0]) and len(listed[1]):
            raise TableError(
                f"ids of {called} must have one type; found {first} in a and {second} in b; cast one side."
            )
    if not len(cells[0].items) or not len(cells[1].items):
        return [np.arange(len(own.items), dtype=np.int64) if group is None else _codes(name)
                for own, name in zip(cells, names, strict=True)]  # fmt: skip
    _check_groups(cells, names)
    codes = _codes(pl.concat([name.alias("unit") for name in names]))
    return [codes[: len(names[0])], codes[len(names[0]) :]]


def _unit_names(cells: Cells, group: str | None) -> pl.Series:
    if group is None:
        return cells.items
    first = np.flatnonzero(np.diff(cells.item, prepend=-1))
    return cells.beside[group].gather(first)


def _codes(names: pl.Series) -> Ints:
    return names.rank("dense").to_numpy().astype(np.int64) - 1


def _check_groups(cells: list[Cells], names: list[pl.Series]) -> None:
    a, b = (pl.DataFrame({"item": own.items, "group": name}) for own, name in zip(cells, names, strict=True))
    torn = a.join(b, on="item", maintain_order="left").filter(pl.col("group") != pl.col("group_right"))
    if len(torn):
        where = torn.row(0)
        raise TableError(
            f"an item must stand in the same group on both sides; {len(torn)} do not "
            f'(e.g. item "{shown(where[0])}" in {shown(where[1])} and {shown(where[2])}); give each item one group.'
        )


def _side(chosen: Coefficient, cells: Cells, units: Ints) -> _Side:
    own = chosen.of_cells(replace(cells, group=units), apart=True)
    groups = own.counts.groups
    keys = np.empty(0, dtype=np.int64) if groups is None else groups.astype(np.int64)
    if len(keys) != len(own.unit.times):  # units in the order of owners(): by group
        keys = np.unique(keys)
    pairable = cells.items.filter(pl.Series(cells.n_per_item > 1))
    return _Side(own, keys, pairable, [str(v) for v in cells.values.to_list()])


def _paired(a: _Side, b: _Side) -> tuple[Floats, Callable[[Floats], Floats]]:
    """How often each joint unit occurs (J,), and the difference as a function of their weights (B, J)."""
    every = np.union1d(a.keys, b.keys)
    at = [np.searchsorted(every, side.keys) for side in (a, b)]
    first, second = a.statistic, b.statistic
    rows = [first.unit.rows, second.unit.rows]
    formulas = first.of_weights is None and second.of_weights is None
    dense = [row for row in rows if isinstance(row, np.ndarray)]
    width = [row.shape[1] for row in dense]
    if not formulas or len(dense) < 2 or sum(width) > _COLUMNS:

        def by_weights(weights: Floats) -> Floats:
            return second.values(weights[:, at[1]]) - first.values(weights[:, at[0]])

        return np.ones(len(every)), by_weights
    joint = np.zeros((len(every), sum(width)))
    joint[at[0], : width[0]] = dense[0]
    joint[at[1], width[0] :] = dense[1]
    patterns = collapse(joint)

    def by_sums(weights: Floats) -> Floats:
        sums = weights @ patterns.rows
        return second.formula(sums[:, width[0] :]) - first.formula(sums[:, : width[0]])

    return patterns.times, by_sums


def _n_items(sides: list[_Side]) -> int:
    """Items with two or more ratings on either side; a side without any has no type of ids."""
    filled = [side.pairable for side in sides if len(side.pairable)]
    return pl.concat(filled).n_unique() if filled else 0


def _undefined(sides: list[_Side]) -> str:
    why = []
    for name, side in zip("AB", sides, strict=True):
        if not len(side.pairable):
            why.append(f"{name}: no item has two or more ratings")
        elif np.isnan(side.statistic.point()):
            why.append(f"{name}: {side.statistic.undefined}")
    return "; ".join(why) or "the difference has no value here"


def _short(sides: list[_Side]) -> list[str]:
    """Where a side's values are so much alike that the interval may be too short."""
    found = []
    for name, side in zip("AB", sides, strict=True):
        own = side.statistic
        found += [f"{name}: {note}" for note in thin(*telling_units(own.counts, own.paired), own.unit.unit)]
    return found


def _notes(chosen: Coefficient, sides: list[_Side]) -> list[str]:
    """How many items each side has and both have, what each side's statistic notes, and unlike values in use."""
    a, b = sides
    both = int(a.pairable.is_in(b.pairable.implode()).sum()) if len(a.pairable) and len(b.pairable) else 0
    count = [f"{len(s.pairable)} item{'s' if len(s.pairable) != 1 else ''}" for s in sides]
    notes = [f"A: {count[0]}, B: {count[1]}, {both} in both"]
    for name, side in zip("AB", sides, strict=True):
        notes += [f"{name}: {note}" for note in side.statistic.counts.notes]
    if chosen.counts_categories and set(a.in_use) != set(b.in_use):
        mend = "order" if chosen.weights is not None else "categories"
        notes.append(
            f"values in use differ ({len(a.in_use)} in A, {len(b.in_use)} in B), and {chosen.name} goes by those on "
            f"offer: give {mend}= where both sides offer the same"
        )
    return notes
