"""Agreement of an index's ratings person by person, value by value, and between groups, remembered once computed.

At a million items of five ratings each of these takes some seconds the first time; more ratings than
``MANY`` are therefore only counted when a reader asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.agreement import (
    agreement_table,
    group_agreement,
    krippendorff_alpha,
    rater_matrix,
    value_agreement,
)
from dfar_toolkit.agreement.raters.rater_matrix import Pairwise
from dfar_toolkit.agreement.value_confusion import value_confusion
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.rated_question import (
    RatedQuestion,
    busiest_raters,
    closest_raters,
    rated_question,
    with_rater_column,
)
from dfar_toolkit.browsing.slow_results import slow_results
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Interval

MANY: Final = 500_000  # ratings from which a part takes more than about a second
RATERS_SHOWN: Final = 20
_MOST_VALUES: Final = 30  # values up to which all pairs are shown
_WITH_INTERVALS: Final = 6  # values up to which each pair has an interval
_WORK: Final = 20_000_000  # ratings times splits of raters that a test looks at: about a second
_FEWEST: Final = 99  # splits, whatever they cost; with more than MANY ratings there is no test
_NEVER: Final = 10**9


class Found(NamedTuple):
    """A table, or why there is none."""

    table: pl.DataFrame
    refused: str


class RaterMatrix(NamedTuple):
    """Raters, and the cells ``rater_a, rater_b, value, n, note`` of every two of them.

    ``first`` counts from 0 where these stand in the order of all ``n_raters``, the busiest first.
    """

    raters: list[tuple[str, int]]
    cells: dict[tuple[str, str], tuple[float, int, str]]
    first: int
    n_raters: int
    refused: str


def statistics(index: ItemIndex, config: str) -> Found:
    """The statistics that suit the question of a config, where the folder itself has none."""

    def made() -> Found:
        asked = rated_question(index, config)
        return _found(
            asked,
            lambda: agreement_table(asked.ratings, kind=asked.kind, order=asked.order, group="group", pairs=False),
        )

    return slow_results(index).get(("agreement table", config), made)


def matrix_of_raters(
    index: ItemIndex, config: str, *, statistic: Pairwise, number: int = 0, rater: str = ""
) -> RaterMatrix:
    """Agreement of every two of twenty raters: the busiest, the next of them, or one and those who share most with him.

    Args:
        index: The items.
        config: The config whose question is looked at.
        statistic: kappa, percent or overlap.
        number: Which twenty of the busiest, counted from 0.
        rater: A rater to be among them, with the nineteen who rated most of the same items; empty: nobody.
    """

    def made() -> RaterMatrix:
        asked = rated_question(index, config)
        if asked.refused:
            return RaterMatrix([], {}, 0, 0, asked.refused)
        busiest = busiest_raters(asked.ratings)
        known = bool(rater) and bool((busiest["annotator_id"] == rater).any())
        listed = closest_raters(asked.ratings, rater) if known else busiest
        last = max(0, -(-len(listed) // RATERS_SHOWN) - 1)
        first = 0 if known else min(number, last) * RATERS_SHOWN
        names = listed["annotator_id"][first : first + RATERS_SHOWN].to_list()
        own = asked.ratings.filter(pl.col("annotator_id").is_in(names))
        try:
            pairs = rater_matrix(own, statistic=statistic)
        except TableError as error:
            return RaterMatrix([], {}, first, len(busiest), str(error))
        cells = {}
        for a, b, value, n, note in pairs.select("rater_a", "rater_b", "value", "n", "note").iter_rows():
            cells[str(a), str(b)] = cells[str(b), str(a)] = (value, n, note)
        totals = dict(busiest.filter(pl.col("annotator_id").is_in(names)).iter_rows())
        return RaterMatrix([(name, totals[name]) for name in names], cells, first, len(busiest), "")

    return slow_results(index).get(("rater matrix", config, statistic, number, rater), made)


def agreement_by_value(index: ItemIndex, config: str) -> Found:
    """Alpha and specific agreement on each value: ``category, n_ratings, share``, Estimate's fields, ``specific``."""

    def made() -> Found:
        asked = rated_question(index, config)

        def both() -> pl.DataFrame:
            alpha = value_agreement(asked.ratings, group="group")
            specific = value_agreement(asked.ratings, statistic="specific_agreement", group="group")
            beside = specific.select("category", specific="value", specific_low="low", specific_high="high")
            return alpha.join(beside, on="category", how="left", maintain_order="left")

        return _found(asked, both)

    return slow_results(index).get(("by value", config), made)


def values_together(index: ItemIndex, config: str) -> Found:
    """Which values are given together, as :func:`value_confusion` has it; of few values with intervals."""

    def made() -> Found:
        asked = rated_question(index, config)
        n_values = asked.ratings["value"].n_unique()
        if n_values > _MOST_VALUES:
            return Found(pl.DataFrame(), f"{n_values:,} values are too many to show every two of them.")
        ci: Interval | None = "bootstrap" if n_values <= _WITH_INTERVALS and len(asked.ratings) <= MANY else None
        return _found(asked, lambda: value_confusion(asked.ratings, group="group", ci=ci))

    return slow_results(index).get(("together", config), made)


def agreement_by_items(index: ItemIndex, config: str, column: str) -> Found:
    """Alpha of the items of each source or split: the column and Estimate's fields."""

    def made() -> Found:
        asked = rated_question(index, config)

        def alpha() -> object:
            level: Literal["ordinal", "nominal"] = "ordinal" if asked.order else "nominal"
            return krippendorff_alpha(asked.ratings, level=level, order=asked.order, group="group", by=column)

        return _found(asked, alpha)

    return slow_results(index).get(("by items", config, column), made)


def agreement_by_people(index: ItemIndex, config: str, column: str) -> Found:
    """Agreement within and between groups of raters, as :func:`group_agreement` has it; tested where that is quick."""

    def made() -> Found:
        asked = rated_question(index, config)
        n = len(asked.ratings)
        splits = max(_FEWEST, min(9999, _WORK // max(1, n))) if n <= MANY else 1

        def table() -> pl.DataFrame:
            rows = with_rater_column(index, asked.ratings, column)
            return group_agreement(
                rows, by_rater=column, level="ordinal" if asked.order else "nominal", order=asked.order,
                min_raters=5 if n <= MANY else _NEVER, n_permutations=splits, group="group",
                ci="bootstrap" if n <= MANY else None,
            )  # fmt: skip

        return _found(asked, table)

    return slow_results(index).get(("by people", config, column), made)


def _found(asked: RatedQuestion, make: Callable[[], object]) -> Found:
    """What is made, or why it cannot be."""
    if asked.refused:
        return Found(pl.DataFrame(), asked.refused)
    try:
        table = make()
    except (TableError, ValueError) as error:
        return Found(pl.DataFrame(), str(error))
    return Found(table, "") if isinstance(table, pl.DataFrame) else Found(pl.DataFrame(), "")
