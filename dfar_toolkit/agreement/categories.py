"""The categories that were on offer, and how near to one another they count: what kappas and AC need beside counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats
from dfar_toolkit.agreement.distances import LARGEST, Weights, disagreement_weights, given_table, named
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.agreement.scales import numbers_of, reading_order, texts_of
from dfar_toolkit.errors import TableError


class Offered(NamedTuple):
    """Disagreement of the values counted, and what was on offer beside them.

    ``table`` (V, V) is None for same or not; ``q`` is the number of categories on offer, ``agreement`` the sum of the
    agreement weights over all pairs of them (q where only equal ones agree).
    """

    table: Floats | None
    q: int
    agreement: float


def offered(
    counts: Counts,
    weights: Weights | None,
    *,
    order: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
) -> Offered:
    """As :func:`offered_values`, for counted ratings; the table is over all of ``counts.values``."""
    used = counts.codes_in_use
    own = offered_values(counts.values.gather(used), weights, order=order, categories=categories)
    if own.table is None:
        return own
    table = np.zeros((len(counts.values), len(counts.values)))
    table[np.ix_(used, used)] = own.table
    return own._replace(table=table)


def offered_values(
    in_use: pl.Series,
    weights: Weights | None,
    *,
    order: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
) -> Offered:
    """The categories on offer and their weights.

    Args:
        in_use: The distinct values in use (V,), sorted.
        weights: Name of the weights, a matrix of agreement weights over the categories (in the order of ``order`` or
            ``categories``, else of the sorted values), a function, or None.
        order: Categories from lowest to highest; their ranks are then the numbers that weights go by.
        categories: Categories on offer, in any order; None: those in use, or those of ``order``.

    Returns:
        What was on offer; the table is over ``in_use``.

    Raises:
        TableError: A value in use is not among those on offer, or is no number where weights need numbers.
        ValueError: Weights that are none, or both ``order`` and ``categories``.
    """
    if order is not None and categories is not None:
        raise ValueError("agreement: give order or categories, not both; order names the categories on offer")
    if order is not None and len(set(texts_of(order, in_use))) < len(order):
        raise ValueError(f"agreement: order names a value twice: {', '.join(map(str, order))}")
    names = texts_of(order if order is not None else categories or (), in_use)
    if names:
        _check_offered(in_use, names, "order" if order is not None else "categories")
    if weights is None:
        q = len(set(names)) if names else len(in_use)
        return Offered(None, q, float(q))
    if len(names or in_use) > LARGEST:
        raise TableError(
            f"weights compare all pairs of values and take at most {LARGEST}; found {len(names or in_use)}."
        )
    every = _all_categories(in_use, names)
    whole, place = _weighted(weights, every, in_use, names if order is not None else None)
    return Offered(whole[np.ix_(place, place)], len(whole), float(len(whole) ** 2 - whole.sum()))


def _all_categories(in_use: pl.Series, names: list[str]) -> pl.Series:
    if not names:
        return in_use.gather(reading_order(in_use))
    every = pl.Series(list(dict.fromkeys(names)), dtype=pl.String)
    typed = every.cast(in_use.dtype, strict=False)
    return every if typed.null_count() else typed


def _weighted(
    weights: Weights, every: pl.Series, in_use: pl.Series, order: list[str] | None
) -> tuple[Floats, np.typing.NDArray[np.int64]]:
    """Disagreement (q, q) over all categories, and the place of each value in use among them."""
    name = named(weights)
    if order is not None:
        x = np.arange(len(every), dtype=np.float64) + 1
    elif name is not None:
        x = numbers_of(every, f"weights {name!r}")
        _check_numbers(every, x, name)
        every = every.gather(np.argsort(x, kind="stable"))
        x = np.sort(x)
    texts = every.cast(pl.String).to_list()
    rank = {text: i for i, text in enumerate(texts)}
    place = np.array([rank[text] for text in in_use.cast(pl.String).to_list()], dtype=np.int64)
    if name is not None:
        return disagreement_weights(name, x), place
    given = given_table(weights, every, what="weights")  # type: ignore[arg-type]
    largest = np.diag(given)
    if not np.allclose(largest, 1.0) or given.max(initial=1.0) > 1:
        raise ValueError("agreement: weights must be agreement weights, 1 on the diagonal and at most 1 elsewhere; "
                         "found others (disagreement weights d become 1 - d / d.max())")  # fmt: skip
    return 1 - given, place


def _check_numbers(every: pl.Series, x: Floats, name: str) -> None:
    """Two names of one number would be one category by the weights and two by their number; ratios need a true zero."""
    found, place, count = np.unique(x, return_inverse=True, return_counts=True)
    if len(found) < len(x):
        twice = ", ".join(f'"{shown(v)}"' for v in every.filter(count[place] > 1).head(4))
        raise TableError(f"weights {name!r} go by numbers; several values are one number ({twice}); write them alike.")
    if name == "ratio" and (x < 0).any():
        raise TableError(f"weights 'ratio' need values of at least 0; found {x.min():g}; use weights 'quadratic'.")


def _check_offered(in_use: pl.Series, names: list[str], argument: str) -> None:
    known = set(names)
    lost = [v for v in in_use.cast(pl.String).to_list() if v not in known]
    if lost:
        raise TableError(
            f"{argument} must name every value in use; {len(lost)} are missing "
            f'(e.g. "{shown(lost[0])}"); add what is missing.'
        )
