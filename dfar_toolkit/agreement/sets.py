"""Agreement where one rating is a set of values: alpha with a distance between sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import alpha_statistic, estimate_alpha
from dfar_toolkit.agreement.counting import Counts
from dfar_toolkit.agreement.distances import LARGEST
from dfar_toolkit.agreement.ratings import By, RatingsLike, shown
from dfar_toolkit.agreement.rows import rows_of
from dfar_toolkit.agreement.set_distances import SetDistance, SetDistanceName, set_distance_table
from dfar_toolkit.agreement.slices import estimate_slices
from dfar_toolkit.agreement.statistic import Ci, Resampling, Scope, Statistic
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

_CODE: Final = "dfar set"  # names that no caller's column has
_RATING: Final = "dfar rating"
_ONE_SET: Final = "no two sets in use differ, so agreement beyond chance has no meaning"


class CodedSets(NamedTuple):
    """Ratings with each distinct set as one value: ``frame`` has it as a text in ``column``.

    ``codes`` (S,) are the distinct texts, sorted, ``sets`` (S,) the sets behind them.
    """

    frame: pl.DataFrame
    column: str
    codes: pl.Series
    sets: list[frozenset[Any]]
    notes: tuple[str, ...]


def set_alpha(
    ratings: RatingsLike,
    *,
    distance: SetDistanceName | SetDistance = "jaccard",
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
) -> Estimate | pl.DataFrame:
    r"""Krippendorff's alpha of set-valued ratings, sets that nearly agree counting as near.

    With each distinct set c as a value and the distance $d_{ck}$ of two sets in place of the squared difference,

        $\alpha = 1 - (n - 1) \frac{\sum_u \frac{1}{m_u - 1} \sum_{c,k} n_{uc} n_{uk} d_{ck}}
        {\sum_{c,k} n_c n_k d_{ck}}$

    over the items u with $m_u \ge 2$ ratings; $n = \sum_u m_u$ ratings, $n_c$ of them the set c. Jaccard:
    $d = 1 - |A \cap B| / |A \cup B|$; MASI: $1 - J M$ with M = 1, 2/3, 1/3, 0 for equal, nested, overlapping and
    disjoint sets. Two empty sets are equal.

    Args:
        ratings: Long rows, one per value, where the rows of one item and rater are one set (with a column
            ``rating_id``: those that share it; two ids are two ratings, which is refused); a value named twice counts
            once, null is no value, and a rating of nulls only is missing. Or rows with a list of values each: an empty
            list is the empty set, null is missing. Or (item, rater, values) triples.
        distance: jaccard, masi, or a function of two frozensets: symmetric, not negative, 0 for equal sets.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the values.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic, or None.
        scope: What the interval is over: these raters and other items, or other raters as well (bootstrap only).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice. The cost
        grows with the ratings, and with the square of the number of distinct sets.

    Undefined:
        No item has two or more ratings, or only one set is in use.

    Raises:
        TableError: More than 2,000 distinct sets, null inside a list, and as for
            :func:`~dfar_toolkit.agreement.alpha.krippendorff_alpha`.
        ValueError: ``distance`` is none.

    Example:
        Two items; observed distances 0 and 1/2, so $D_o$ = 1/4; of the 12 ordered pairs of {a}, {a}, {b}, {a, b}, 4 are
        at distance 1 and 6 at 1/2: $D_e$ = 7/12.

        >>> rows = [("x", "ann", ["a"]), ("x", "bob", ["a"]), ("y", "ann", ["b"]), ("y", "bob", ["a", "b"])]
        >>> print(set_alpha(rows, ci=None))  # 1 - (1/4) / (7/12)
        Krippendorff's alpha (sets, jaccard) = 0.571

    Reference:
        Passonneau (2006), LREC, 831-836 (distances of sets in alpha); Krippendorff (2011), Computing Krippendorff's
        Alpha-Reliability.
    """
    coded = code_sets(ratings, item=item, rater=rater, value=value, group=group, by=by)
    table = set_distance_table(coded.sets, distance)
    name = f"Krippendorff's alpha (sets, {'own distance' if callable(distance) else distance})"

    def statistic(counts: Counts) -> Statistic:
        place = np.asarray(coded.codes.search_sorted(counts.values.gather(counts.codes_in_use)), dtype=np.int64)
        noted = replace(counts, notes=(*coded.notes, *counts.notes))
        own: Any = table[np.ix_(place, place)]
        found = alpha_statistic(noted, "nominal", distance=own)
        return replace(found, name=name, undefined=_ONE_SET)

    return estimate_slices(
        coded.frame,
        statistic,
        Resampling(ci, confidence, n_boot, seed, scope),
        item=item,
        rater=rater,
        value=coded.column,
        group=group,
        by=by,
        estimator=estimate_alpha,
    )


def code_sets(ratings: RatingsLike, *, item: str, rater: str, value: str, group: str | None, by: By) -> CodedSets:
    """Ratings with each set as one text, in the shape of ordinary ratings, so that every check of these holds.

    Args:
        ratings: As :func:`set_alpha` takes them.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the values.
        group: Column of the resampling unit, or None.
        by: Column or columns to slice by.

    Returns:
        The coded ratings.

    Raises:
        TableError: A column is missing, a list holds null, or there are more than 2,000 distinct sets.
    """
    slicing = (by,) if isinstance(by, str) else tuple(by or ())
    named = [item, rater, *([group] if group else []), *slicing]
    rows = rows_of(ratings, names=(item, rater, value), keep={*named, value, "question", "rating_id"})
    absent = [name for name in (*named, value) if name not in rows.columns]
    if absent:
        found = ", ".join(f'"{shown(name)}"' for name in rows.columns)
        raise TableError(f'agreement on sets needs the column "{absent[0]}"; found {found}; name another.')
    keys = list(dict.fromkeys([*named, *(["question"] if "question" in rows.columns else [])]))
    n_nan = 0
    if isinstance(rows.schema[value], pl.List | pl.Array):
        marked = _from_lists(rows, keys, value)
    else:
        rows, n_nan = _without_nan(rows, value)
        marked = _from_rows(rows, keys, value)
    texts = pl.col(value).cast(pl.List(pl.String)).list.eval(_quoted()).list.sort().list.join(", ")
    marked = marked.with_columns(pl.format("{{{}}}", texts).alias(_CODE))
    listed = marked.filter(pl.col(value).is_not_null()).select(_CODE, value).unique(_CODE).sort(_CODE)
    if len(listed) > LARGEST:
        raise TableError(
            f"alpha of sets compares all pairs of distinct sets and takes at most {LARGEST} of them; found "
            f"{len(listed)}; use fewer values, or one yes/no question per value."
        )
    notes = (f"{n_nan} NaN value{'s' if n_nan != 1 else ''} taken as missing",) if n_nan else ()
    sets = [frozenset(one) for one in listed[value].to_list()]
    return CodedSets(marked.select(*keys, _CODE), _CODE, listed[_CODE], sets, notes)


def _from_lists(rows: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """One row per rating as they are; a second row of an item and rater is a second rating."""
    inner: Any = rows.schema[value].inner  # type: ignore[attr-defined]
    lists = pl.col(value).cast(pl.List(_plain(inner, value)))
    rows = rows.select(*keys, lists.list.unique().list.sort().alias(value))
    held = rows[value].explode()
    nulls = rows.select(pl.col(value).list.eval(pl.element().is_null()).list.any().sum()).item() or 0
    if nulls or (held.dtype.is_float() and held.drop_nulls().is_nan().any()):
        raise TableError(f'the lists in the column "{value}" must hold values only; found null or NaN; leave it out.')
    return rows


def _from_rows(rows: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """One row per rating: the rows of an item and rater that share a rating id, if there are any."""
    rating = pl.col("rating_id") if "rating_id" in rows.columns else pl.lit(0)
    rows = rows.with_columns(rating.alias(_RATING), pl.col(value).cast(_plain(rows.schema[value], value)))
    sets = rows.group_by(*keys, _RATING).agg(pl.col(value).drop_nulls().unique().sort())
    return sets.filter(pl.col(value).list.len() > 0).drop(_RATING)


def _without_nan(rows: pl.DataFrame, value: str) -> tuple[pl.DataFrame, int]:
    if not rows.schema[value].is_float():
        return rows, 0
    n_nan = int(rows[value].is_nan().sum())
    return (rows.with_columns(pl.col(value).fill_nan(None)), n_nan) if n_nan else (rows, 0)


def _plain(dtype: Any, value: str) -> Any:
    """The type as which values of a set are held: whole numbers, floats or text."""
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        raise TableError(f'the column "{value}" must hold texts or numbers, or lists of them; found {dtype}.')
    if dtype.is_integer() or dtype.is_float():
        return dtype
    return pl.Float64 if dtype.is_decimal() else pl.String


def _quoted() -> pl.Expr:
    """A value in quotes, so that no two sets have the same text."""
    escaped = pl.element().str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return pl.format('"{}"', escaped)
