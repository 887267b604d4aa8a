"""Whether somebody rated an item twice, or an item stands in two groups: cheap suspicion, then proof on the true keys.

Each rater sets one bit of a word; the words of an item's ratings are joined by OR. As many bits as ratings prove that
no rater occurs twice. Up to 128 raters have a bit of their own; beyond that the bit comes from a hash of the rater's
id, in two independent words, and items with too few bits are only suspected. Suspected items are looked at on their
true ids, so the verdict never rests on a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.ratings import Ratings, is_unknown, shown
from dfar_toolkit.errors import TableError

_OWN: Final = 128  # raters with a bit of their own
_BITS: Final = 64


def rater_bits(raters: pl.Series) -> list[pl.Expr]:
    """One or two UInt64 columns (``bit0``, ``bit1``) with the bit of the row's rater."""
    if len(raters) > _OWN:
        mixed = pl.col("rater").hash(1)
        parts = (mixed % _BITS, mixed // _BITS % _BITS)
        table = pl.Series([1 << i for i in range(_BITS)], dtype=pl.UInt64)
        return [_look_up(part, table).alias(f"bit{k}") for k, part in enumerate(parts)]
    if raters.dtype == pl.String:
        code = pl.col("rater").cast(pl.Enum(raters)).to_physical()
    else:
        code = pl.col("rater").map_batches(raters.search_sorted, return_dtype=pl.UInt32, is_elementwise=True)
    tables = [
        pl.Series([1 << (i - start) if start <= i < start + _BITS else 0 for i in range(len(raters))], dtype=pl.UInt64)
        for start in range(0, max(1, len(raters)), _BITS)
    ]
    return [_look_up(code, table).alias(f"bit{k}") for k, table in enumerate(tables)]


def check_items(ratings: Ratings, items: pl.DataFrame) -> None:
    """Refuse repeated (item, rater) pairs and items in two groups.

    Args:
        ratings: The ratings behind ``items``.
        items: One row per item with ``key``, ``len``, the bits joined by OR, and ``group``, ``group_max`` if grouped.

    Raises:
        TableError: One is confirmed on the true ids.
    """
    ones = [pl.col(name).bitwise_count_ones() for name in ("bit0", "bit1") if name in items.columns]
    if len(ratings.raters) > _OWN:
        proven = pl.any_horizontal(one == pl.col("len") for one in ones)
    else:
        proven = pl.sum_horizontal(ones) == pl.col("len")
    suspected = items.filter(~proven)["key"]
    if len(suspected):
        _confirm_repeats(ratings, suspected)
    if ratings.has_group:
        torn = items.filter(pl.col("group") != pl.col("group_max"))["key"]
        if len(torn):
            _confirm_groups(ratings, torn)


def refuse_repeats(ratings: Ratings, rows: pl.DataFrame) -> None:
    """Refuse repeated (item, rater) pairs, and items in two groups, among rows with true ids.

    Args:
        ratings: The ratings behind ``rows``.
        rows: One row per rating, sorted by ``item``, ``rater`` and the ``by`` columns; ``group`` where there are any.

    Raises:
        TableError: One is found.
    """
    same = [pl.col(name).eq_missing(pl.col(name).shift()) for name in ("item", "rater", *_by_names(ratings))]
    repeated = rows.filter(pl.all_horizontal(same))["item"]
    if len(repeated):
        _confirm_repeats(ratings, repeated.hash(0))
    if ratings.has_group:
        torn = rows.group_by("item").agg(pl.col("group").n_unique()).filter(pl.col("group") > 1)["item"]
        if len(torn):
            _confirm_groups(ratings, torn.hash(0))


def _by_names(ratings: Ratings) -> list[str]:
    return [f"by{i}" for i in range(len(ratings.by))]


def _look_up(code: pl.Expr, table: pl.Series) -> pl.Expr:
    return code.map_batches(table.gather, return_dtype=table.dtype, is_elementwise=True)


def _suspects(ratings: Ratings, keys: pl.Series) -> pl.LazyFrame:
    return ratings.frame.filter(pl.col("item").hash(0).is_in(keys.unique().implode()))


def _confirm_repeats(ratings: Ratings, keys: pl.Series) -> None:
    by = _by_names(ratings)
    one_rating = pl.col("rating_id").n_unique() == 1 if ratings.has_rating_id else pl.lit(False)
    repeats = (
        _suspects(ratings, keys)
        .group_by(*by, "item", "rater")
        .agg(pl.len(), one_rating.alias("as_set"), pl.col("value").unique().sort().head(4).alias("values"))
        .filter(pl.col("len") > 1)
        .sort("item", "rater", *by)
        .collect(engine="streaming")
    )
    if not len(repeats):
        return
    unknown = repeats.filter(pl.Series([is_unknown(rater) for rater in repeats["rater"]], dtype=pl.Boolean))
    sets = repeats.filter("as_set")
    told = next(kind for kind in (unknown, sets, repeats) if len(kind)).row(0, named=True)
    raise repeats_error(Repeats(len(repeats), len(unknown), len(sets), told["item"], told["rater"], told["values"]))


class Repeats(NamedTuple):
    """How many (item, rater) pairs stand twice, and an example.

    ``total`` pairs; ``unknown`` of them by a rater nobody knows, ``sets`` of them several values of one rating. The
    example is of the first of these kinds that occurs, with its first values, sorted.
    """

    total: int
    unknown: int
    sets: int
    item: object
    rater: object
    values: Sequence[object]

    @property
    def example(self) -> str:
        """The pair and its values, on one line."""
        values = ", ".join(shown(value) for value in self.values)
        return f'e.g. item "{shown(self.item)}", rater "{shown(self.rater)}": {values}'


def repeats_error(repeats: Repeats) -> TableError:
    """The refusal of repeated (item, rater) pairs."""
    if repeats.unknown:
        return TableError(_unknown_message(repeats))
    return TableError(_sets_message(repeats) if repeats.sets else _twice_message(repeats))


def groups_error(torn: int, item: object, groups: Sequence[object]) -> TableError:
    """The refusal of items (``torn`` of them) that stand in several groups."""
    return TableError(
        f"an item must stand in the same group on all its rows; {torn} do not "
        f'(e.g. item "{shown(item)}" in {", ".join(shown(g) for g in groups[:3])}); give each item one group.'
    )


def _times(count: int) -> str:
    return f"{count} time{'s' if count != 1 else ''}"


def _twice_message(repeats: Repeats) -> str:
    return (
        f"the same rater rated an item twice, {_times(repeats.total)} ({repeats.example}); agreement needs one value "
        f'per person and item: keep one of them: without_repeats(ratings, keep="first"), at the command line '
        f"--repeats first."
    )


def _sets_message(repeats: Repeats) -> str:
    further = repeats.total - repeats.sets
    rest = f" ({further} further repeats are separate ratings)" if further else ""
    return (
        f"the same rater stands twice on an item because one person gave several values in one rating, "
        f"{_times(repeats.sets)} ({repeats.example}){rest}; agreement needs one value per person and item: keep the "
        f"items with one value per person, or split the question into one yes/no question per value."
    )


def _unknown_message(repeats: Repeats) -> str:
    return (
        f"agreement needs to know who gave which rating; an unknown annotator has more than one rating on an item, "
        f"{_times(repeats.unknown)} ({repeats.example}), which may be one person twice or several people; "
        f"give the raters' ids, or leave these rows out."
    )


def _confirm_groups(ratings: Ratings, keys: pl.Series) -> None:
    torn = (
        _suspects(ratings, keys)
        .group_by("item")
        .agg(pl.col("group").unique().sort().alias("groups"))
        .filter(pl.col("groups").list.len() > 1)
        .sort("item")
        .collect(engine="streaming")
    )
    if len(torn):
        item, groups = torn.row(0)
        raise groups_error(len(torn), item, groups)
