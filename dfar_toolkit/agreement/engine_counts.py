"""Counting in the engine that holds the ratings (PySpark, DuckDB, ...): only patterns of counts leave it.

The plan is that of the counting step, written for any lazy frame narwhals knows: the counts of an item are summed into
a few integer words by one group-by on the item, a second group-by on these words collects equal items. What travels
is one row per distinct pattern (with ``group``: per group and pattern), however many ratings there are. Where the
values are too many for words (more than 54 with 100 raters), one row per item and value travels instead.

A few smaller queries go before: null ids, several questions, who is known, the distinct values, the same rater twice
on an item. Each is a pass over the ratings, so a frame that is dear to compute is worth caching in its engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import (
    Packing,
    Slice,
    by_names,
    from_entries,
    from_patterns,
    packing_of,
    value_code,
)
from dfar_toolkit.agreement.ratings import (
    Ratings,
    all_unknown,
    check_columns,
    nan_notes,
    no_id,
    no_value,
    null_ids,
    several_questions,
)
from dfar_toolkit.agreement.repeats import Repeats, groups_error, repeats_error
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

Frame = nw.LazyFrame[Any]


class EngineCounts(NamedTuple):
    """The counted slices, and what is known of the ratings behind them; their ``frame`` and ``raters`` are empty."""

    ratings: Ratings
    slices: list[Slice]


def count_in_engine(
    ratings: Frame, *, item: str, rater: str, value: str, group: str | None = None, by: Sequence[str] = ()
) -> EngineCounts:
    """Count the ratings of each item where they are, after the same checks as anywhere.

    Args:
        ratings: A lazy narwhals frame.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null (and NaN) is a missing rating.
        group: Column of the resampling unit of the item, or None.
        by: Columns to slice by.

    Returns:
        The slices, as :func:`~dfar_toolkit.agreement.counting.count_ratings` gives them for the same rows.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.ratings.read_ratings`, a rater twice on an item, or an item in two
            groups.
    """
    frame = _selected(ratings, item, rater, value, group, by)
    names = frame.collect_schema().names()
    rated = frame.filter(~nw.col("value").is_null())
    if "question" in names:
        _check_question(rated)
    facts = _facts(rated, (item, rater, group))
    if facts["nan"]:
        rated = rated.filter(~nw.col("value").is_nan())
    values = _collected(rated.select("value").unique())["value"].sort()
    nobody = pl.Series(dtype=pl.String)
    has_rating_id = "rating_id" in names
    checked = Ratings(
        pl.LazyFrame(), values, nobody, group is not None, has_rating_id, tuple(by), nan_notes(facts["nan"])
    )
    _refuse_repeats(checked, rated)
    if group is not None:
        _refuse_groups(checked, rated)
    packing = packing_of(len(values), facts["raters"])
    if packing.fits:
        patterns = _patterns(checked, rated, packing)
        if packing.holds(patterns["most"].max()):
            return EngineCounts(checked, list(from_patterns(checked, patterns.drop("most"), packing)))
    return EngineCounts(checked, list(from_entries(checked, *_entries(checked, rated))))


def _selected(ratings: Frame, item: str, rater: str, value: str, group: str | None, by: Sequence[str]) -> Frame:
    """The columns that are needed, under fixed names and in plain types."""
    schema = ratings.collect_schema()
    check_columns(schema, {"item": item, "rater": rater, "value": value, "group": group}, by)
    chosen = [_key(item, schema).alias("item"), _key(rater, schema).alias("rater"), _plain(value, schema)]
    if group is not None:
        chosen.append(_key(group, schema).alias("group"))
    chosen += [
        nw.col(name)
        for name in ("rating_id", "question")
        if name in schema and name not in (item, rater, value) and not (name == "question" and name in (group, *by))
    ]
    return ratings.select(*chosen, *(nw.col(name).alias(f"by{i}") for i, name in enumerate(by)))


def _key(name: str, schema: Mapping[str, Any]) -> nw.Expr:
    dtype = schema[name]
    if dtype.is_nested() or dtype in (nw.Object, nw.Binary):
        raise no_id(name, dtype)
    if dtype.is_float():  # NaN is no id
        return nw.when(~nw.col(name).is_nan()).then(nw.col(name)).cast(nw.String)
    return nw.col(name) if dtype == nw.String or dtype.is_integer() else nw.col(name).cast(nw.String)


def _plain(name: str, schema: Mapping[str, Any]) -> nw.Expr:
    dtype, column = schema[name], nw.col(name).alias("value")
    if dtype.is_nested() or dtype in (nw.Object, nw.Binary):
        raise no_value(name, dtype)
    if dtype == nw.Boolean:
        return column.cast(nw.Int64)
    if dtype.is_float() or dtype == nw.Decimal:
        return column.cast(nw.Float64) + 0.0  # -0.0 is 0.0
    return column if dtype.is_integer() else column.cast(nw.String)


def _collected(frame: Frame) -> pl.DataFrame:
    return frame.collect("polars").to_polars()


def _count(condition: nw.Expr) -> nw.Expr:
    """Number of rows where a condition holds; 0 without rows."""
    return nw.when(condition).then(nw.lit(1, nw.Int64)).otherwise(nw.lit(0, nw.Int64)).sum()


def _unknown(rater: nw.Expr) -> nw.Expr:
    return (rater == UNKNOWN_ANNOTATOR) | rater.str.ends_with(f":{UNKNOWN_ANNOTATOR}")


def _check_question(rated: Frame) -> None:
    questions = _collected(rated.select("question").unique())["question"].sort()
    if len(questions) > 1:
        raise several_questions(questions)


def _facts(rated: Frame, names: tuple[str, str, str | None]) -> dict[str, int]:
    """Numbers of raters and NaN values; refuses null ids and ratings by nobody known."""
    schema = rated.collect_schema()
    keys = [key for key in ("item", "rater", "group") if key in schema]
    text = schema["rater"] == nw.String
    row = _collected(
        rated.select(
            *(_count(nw.col(key).is_null()).alias(f"null_{key}") for key in keys),
            nw.len().alias("rows"),
            nw.col("rater").n_unique().alias("raters"),
            nw.col("rater").min().alias("first"),
            *([_count(_unknown(nw.col("rater"))).alias("unknown")] if text else []),
            *([_count(nw.col("value").is_nan()).alias("nan")] if schema["value"].is_float() else []),
        )
    ).row(0, named=True)
    for key, name in zip(keys, [name for name in names if name is not None], strict=True):
        if row[f"null_{key}"]:
            raise null_ids(name, row[f"null_{key}"])
    if row["rows"] and text and row["unknown"] == row["rows"]:
        raise all_unknown(row["first"])
    return {"raters": int(row["raters"]), "nan": int(row.get("nan") or 0)}


def _refuse_repeats(ratings: Ratings, rated: Frame) -> None:
    by = by_names(ratings)
    n_ids = [nw.col("rating_id").n_unique().alias("ids")] if ratings.has_rating_id else []
    pairs = rated.group_by(*by, "item", "rater").agg(nw.len().alias("n"), *n_ids).filter(nw.col("n") > 1)
    text = rated.collect_schema()["rater"] == nw.String
    kinds = {
        **({"unknown": _unknown(nw.col("rater"))} if text else {}),
        **({"sets": nw.col("ids") == 1} if ratings.has_rating_id else {}),
    }
    found = _collected(pairs.select(nw.len().alias("total"), *(_count(c).alias(name) for name, c in kinds.items())))
    n = {name: int(count or 0) for name, count in found.row(0, named=True).items()}
    if not n["total"]:
        return
    kind = next((name for name in kinds if n[name]), None)
    told = pairs if kind is None else pairs.filter(kinds[kind])
    first = _collected(told.sort("item", "rater", *by).head(1).select("item", "rater", *by)).row(0, named=True)
    here = rated
    for name, thing in first.items():
        here = here.filter(nw.col(name).is_null() if thing is None else nw.col(name) == thing)
    values = _collected(here.select("value").unique())["value"].sort().head(4).to_list()
    raise repeats_error(
        Repeats(n["total"], n.get("unknown", 0), n.get("sets", 0), first["item"], first["rater"], values)
    )


def _refuse_groups(ratings: Ratings, rated: Frame) -> None:
    ends = rated.group_by(*by_names(ratings), "item").agg(
        nw.col("group").min().alias("first"), nw.col("group").max().alias("last")
    )
    torn = ends.filter(nw.col("first") != nw.col("last"))
    n = int(_collected(torn.select(nw.len().alias("n")))["n"].item())
    if n:
        item = _collected(torn.sort("item").head(1).select("item"))["item"].item()
        groups = _collected(rated.filter(nw.col("item") == item).select("group").unique())["group"].sort()
        raise groups_error(n, item, groups.to_list())


def _patterns(ratings: Ratings, rated: Frame, packing: Packing) -> pl.DataFrame:
    """One row per pattern of items: ``by``, ``group`` (hash), words, ``times``, and ``most`` ratings of an item."""
    by = by_names(ratings)
    grouped = ["group"] if ratings.has_group else []
    sums: dict[str, nw.Expr] = {}
    for code, value in enumerate(ratings.values):
        word, shift = packing.place(code)
        name = packing.names[word]
        here = nw.when(nw.col("value") == value).then(nw.lit(1 << shift, nw.Int64)).otherwise(nw.lit(0, nw.Int64))
        sums[name] = sums[name] + here if name in sums else here
    words = rated.select(*by, "item", *grouped, *(expr.alias(name) for name, expr in sums.items()))
    items = words.group_by(*by, "item").agg(
        nw.len().alias("len"), *(nw.col(name).sum() for name in sums), *(nw.col(name).min() for name in grouped)
    )
    keys = [*by, *grouped, *sums]
    if not keys:  # no rating and no slice
        return pl.DataFrame(schema={"times": pl.Int64, "most": pl.Int64})
    patterns = _collected(items.group_by(*keys).agg(nw.len().alias("times"), nw.col("len").max().alias("most")))
    return patterns.with_columns(pl.col(name).hash(0) for name in grouped)


def _entries(ratings: Ratings, rated: Frame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per item, and one per rating, from one row per item and value."""
    by = by_names(ratings)
    grouped = ["group"] if ratings.has_group else []
    cells = _collected(
        rated.group_by(*by, "item", "value").agg(nw.len().alias("n"), *(nw.col(name).min() for name in grouped))
    )
    code = value_code(ratings.values) if ratings.values.dtype == pl.String else pl.col("value")
    key = pl.col("item").hash(0).alias("key")
    cells = cells.select(*by, key, code.alias("code"), "n", *(pl.col(name).hash(0) for name in grouped))
    items = cells.group_by(*by, "key").agg(pl.col(name).first() for name in grouped)
    again = np.repeat(np.arange(len(cells)), cells["n"].to_numpy())
    return items, cells.select(*by, "key", "code")[again]
