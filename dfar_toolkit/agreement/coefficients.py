"""A coefficient of agreement by the name of its public function, for what compares, tests or splits coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import alpha_statistic
from dfar_toolkit.agreement.brennan_prediger import uniform_statistic
from dfar_toolkit.agreement.categories import Offered, offered
from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.conger import conger_statistic
from dfar_toolkit.agreement.counting import Counts
from dfar_toolkit.agreement.distances import Level, Weights
from dfar_toolkit.agreement.fleiss import fleiss_statistic
from dfar_toolkit.agreement.gwet import ac_statistic
from dfar_toolkit.agreement.light import light_statistic
from dfar_toolkit.agreement.observed import observed_statistic
from dfar_toolkit.agreement.pairs import Pair, cohen_statistic, scott_statistic
from dfar_toolkit.agreement.statistic import Statistic
from dfar_toolkit.errors import TableError

Name = Literal[
    "percent_agreement", "krippendorff_alpha", "fleiss_kappa", "gwet_ac1", "gwet_ac2", "brennan_prediger",
    "randolph_kappa", "cohen_kappa", "scott_pi", "conger_kappa", "light_kappa",
]  # fmt: skip

_ALPHA: Final = ("krippendorff_alpha",)
_OFFERED: Final = ("gwet_ac1", "gwet_ac2", "brennan_prediger", "randolph_kappa")
_UNWEIGHTED: Final = ("krippendorff_alpha", "gwet_ac1", "randolph_kappa")
_TWO: Final = ("cohen_kappa", "scott_pi")


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient and its options, as its public function takes them; :func:`coefficient` checks that they fit."""

    name: Name
    level: Level = "nominal"
    weights: Weights | None = None
    order: Sequence[str] | None = None
    categories: Sequence[str] | None = None
    bounds: tuple[float, float] | None = None

    @property
    def takes_two(self) -> bool:
        """Whether it is about exactly two raters."""
        return self.name in _TWO

    @property
    def counts_categories(self) -> bool:
        """Whether the value depends on which values were on offer, beyond those given."""
        by_number = self.name in _OFFERED and self.categories is None
        by_ends = isinstance(self.weights, str) or self.name == "gwet_ac2"
        return self.order is None and (by_number or by_ends)

    def of_cells(self, cells: Cells, *, apart: bool = False) -> Statistic:
        """The statistic of single ratings.

        Args:
            cells: The ratings.
            apart: Keep the units in the order of :func:`~dfar_toolkit.agreement.units.owners`; else units that are
                alike are collapsed.

        Returns:
            The statistic.

        Raises:
            TableError: Not exactly two raters where the coefficient is about two.
        """
        match self.name:
            case "conger_kappa":
                return conger_statistic(cells, self.weights, self.order)
            case "light_kappa":
                return light_statistic(cells, self.weights, self.order)
            case "cohen_kappa" | "scott_pi":
                return self._of_two(cells, apart=apart)
            case _:
                return self.of_counts(_apart(cells.counts(), apart=apart))

    def of_counts(self, counts: Counts) -> Statistic:
        """The statistic of counted ratings, for coefficients that need no more than counts."""
        match self.name:
            case "krippendorff_alpha":
                return alpha_statistic(counts, self.level, order=self.order, bounds=self.bounds)
            case "percent_agreement":
                return observed_statistic(counts, self._offered(counts, self.weights))
            case "fleiss_kappa":
                return fleiss_statistic(counts, self._offered(counts, self.weights))
            case "gwet_ac1":
                return ac_statistic(counts, self._offered(counts, None))
            case "gwet_ac2":
                weights = "quadratic" if self.weights is None else self.weights
                return ac_statistic(counts, self._offered(counts, weights), weights)
            case "randolph_kappa":
                return uniform_statistic(counts, self._offered(counts, None), "Randolph's kappa")
            case _:
                return uniform_statistic(counts, self._offered(counts, self.weights))

    def _offered(self, counts: Counts, weights: Weights | None) -> Offered:
        return offered(counts, weights, order=self.order, categories=self.categories)

    def _of_two(self, cells: Cells, *, apart: bool) -> Statistic:
        if len(cells.raters) != 2:
            raise TableError(
                f"{self.name} compares exactly two raters; found {len(cells.raters)}; use krippendorff_alpha, "
                f"fleiss_kappa or conger_kappa for all raters at once, or filter to two."
            )
        table = offered(cells.counts(), self.weights, order=self.order).table
        pair = pair_of(cells)
        pair = pair._replace(counts=_apart(pair.counts, apart=apart))
        return (cohen_statistic if self.name == "cohen_kappa" else scott_statistic)(pair, table)


def coefficient(
    caller: str,
    name: Name,
    *,
    level: Level = "nominal",
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Coefficient:
    """A coefficient by name, with options that it takes.

    Args:
        caller: The public function, for messages.
        name: Name of the coefficient's own public function.
        level: Level of measurement, for alpha.
        weights: Partial credit, for coefficients that take weights.
        order: Values from lowest to highest.
        categories: Categories on offer, for AC1, AC2, Brennan-Prediger and Randolph.
        bounds: Ends of the scale, for alpha at the circular and bipolar levels.

    Returns:
        The coefficient.

    Raises:
        ValueError: An unknown name, or an option that this coefficient does not take.
    """
    if name not in get_args(Name):
        raise ValueError(f"{caller}: statistic must be one of {', '.join(get_args(Name))}, found {name!r}")
    if level not in get_args(Level):
        raise ValueError(f"{caller}: level must be one of {', '.join(get_args(Level))}, found {level!r}")
    wrong = [
        ("level", level != "nominal" and name not in _ALPHA),
        ("bounds", bounds is not None and name not in _ALPHA),
        ("weights", weights is not None and name in _UNWEIGHTED),
        ("categories", categories is not None and name not in _OFFERED),
    ]
    for option, given in wrong:
        if given:
            raise ValueError(f"{caller}: {name} takes no {option}; leave {option} away")
    return Coefficient(name, level, weights, order, categories, bounds)


def pair_of(cells: Cells) -> Pair:
    """The items that two raters both rated, one pattern per item, as :class:`~dfar_toolkit.agreement.pairs.Pair`."""
    both = np.flatnonzero(cells.n_per_item == 2)
    first = np.searchsorted(cells.item, both)  # sorted by item, then rater
    used, codes = np.unique(np.stack([cells.value[first], cells.value[first + 1]], axis=1), return_inverse=True)
    codes = codes.reshape(-1, 2).astype(np.int64)
    codes[:, 1] += len(used)
    n = len(both)
    groups = None if cells.group is None else cells.group[both].astype(np.uint64)
    counts = Counts(
        pl.Series(np.arange(2 * len(used))), np.repeat(np.arange(n), 2), codes.ravel(), np.ones(2 * n), np.ones(n),
        groups, cells.notes,
    )  # fmt: skip
    return Pair(0, 1, counts, used.astype(np.int64))


def _apart(counts: Counts, *, apart: bool) -> Counts:
    """Counts whose units are not collapsed: ``mass`` is what tells weighted counts, which are never collapsed."""
    return replace(counts, mass=counts.pairs) if apart else counts
