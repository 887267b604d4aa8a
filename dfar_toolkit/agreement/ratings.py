"""Ratings from any frame or from triples, in one checked long shape: item, rater, value, one row per rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.rating_frames import RatingsLike as RatingsLike
from dfar_toolkit.agreement.rating_frames import as_lazy as as_lazy
from dfar_toolkit.agreement.rating_frames import collected, quoted, schema_of
from dfar_toolkit.agreement.rating_frames import foreign_lazy as foreign_lazy
from dfar_toolkit.agreement.rating_frames import shown as shown
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

By = str | Sequence[str] | None

LARGEST_SQUARED: Final = 1e150  # numbers from here on are listed, whatever their number: their squares overflow
_EXACT: Final = 2**53  # whole numbers from here on may fall together as floats
_ADVICE: Final = "name another with item=, rater= or value=, or turn wide data round with from_wide()"


@dataclass(frozen=True, slots=True)
class Ratings:
    """Checked ratings, not yet counted.

    ``frame`` is lazy and holds ``item, rater, value`` (none of them null), ``group`` where groups were asked for,
    ``rating_id`` where the data has it, and the columns of ``by``. ``values`` (V,) and ``raters`` (R,) are the distinct
    values and raters in use, sorted; ``values`` is empty where there are more numbers than were to be ``listed``.
    """

    frame: pl.LazyFrame
    values: pl.Series
    raters: pl.Series
    has_group: bool
    has_rating_id: bool
    by: tuple[str, ...]
    notes: tuple[str, ...]
    listed: bool = True


def read_ratings(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    by: By = None,
    most: int | None = None,
) -> Ratings:
    """Check ratings and bring them into one shape; missing values are left out, NaN among them counted in the notes.

    Args:
        ratings: A polars DataFrame or LazyFrame, any frame narwhals knows, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value.
        group: Column of the resampling unit of the item, or None.
        by: Column or columns whose values tell the slices apart.
        most: Distinct finite numbers up to which they are listed, which sorts them; None: however many there are.

    Returns:
        The ratings, lazy, with the distinct values and raters.

    Raises:
        TableError: A column is missing or cannot be used, ids are null, several questions are mixed, nobody knows who
            the raters are, or the frame cannot be read.
        ValueError: A role names no column, or ``by`` one column twice.
    """
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    roles = {"item": item, "rater": rater, "value": value, "group": group}
    check_names(roles, columns)
    needed = (item, rater, value, *([group] if group is not None else []), *columns)
    source = as_lazy(ratings, (item, rater, value), needed)
    schema = schema_of(source)
    check_columns(schema, roles, columns)
    has_rating_id = "rating_id" in schema and "rating_id" not in (item, rater, value)
    selected = {"item": _key(item, schema), "rater": _key(rater, schema), "value": _plain(value, schema)}
    if group is not None:
        selected["group"] = _key(group, schema)
    if has_rating_id:
        selected["rating_id"] = pl.col("rating_id")
    slices = {f"by{i}": pl.col(name) for i, name in enumerate(columns)}
    asks = "question" in schema and "question" not in needed
    if asks:
        selected["question"] = _question(schema)
    frame = source.select(**selected, **slices)
    rated = frame.filter(pl.col("value").is_not_null())
    if asks:
        _check_question(rated)
    # One query after the other: together they would share, and hold, the whole scan.
    found = _values(rated, most)
    raters = _raters(rated, names=(item, rater, group))
    if len(raters) and all(is_unknown(rater) for rater in raters):
        raise all_unknown(raters[0])
    if found.n_nan:
        rated = rated.filter(pl.col("value").is_not_nan())
    return Ratings(
        rated, found.values, raters, group is not None, has_rating_id, columns, nan_notes(found.n_nan), found.listed
    )


def from_wide(
    frame: RatingsLike,
    *,
    item: str = "item_id",
    raters: Sequence[str] | None = None,
    rater: str = "annotator_id",
    value: str = "value",
) -> pl.DataFrame:
    """Wide ratings (one row per item, one column per rater) as long ratings.

    Args:
        frame: A frame with the column ``item`` and one column per rater, a dict of such columns or a list of dicts;
            null is a missing rating.
        item: Column of the item.
        raters: The columns of the raters; None: every column but ``item``.
        rater: Name of the rater column of the result.
        value: Name of the value column of the result.

    Returns:
        A frame of ``item, rater, value`` with one row per item and rater, missing ratings as null.

    Raises:
        TableError: A column is missing, the frame is long already, or the raters' columns mix text and numbers.

    Example:
        >>> from_wide(pl.DataFrame({"item_id": ["x"], "ann": ["yes"], "bob": ["no"]})).rows()
        [('x', 'ann', 'yes'), ('x', 'bob', 'no')]
    """
    if isinstance(frame, Mapping) or (isinstance(frame, list) and frame and isinstance(frame[0], Mapping)):
        frame = pl.DataFrame(frame, strict=False)
    source = as_lazy(frame, (item, rater, value), None)
    schema = schema_of(source)
    chosen = [name for name in schema if name != item] if raters is None else list(raters)
    for name in (item, *chosen):
        if name not in schema:
            raise TableError(
                f'from_wide needs the column "{name}"; found {quoted(list(schema))}; check item and raters.'
            )
    taken = [name for name in (rater, value) if name in (item, *chosen)]
    if taken:
        raise TableError(
            f"from_wide makes the columns {quoted([rater, value])}; the frame has {quoted(taken)} already, so it looks "
            f"long; use it as it is, or name the columns of the result with rater= and value=."
        )
    texts = {name: schema[name] == pl.String or isinstance(schema[name], pl.Categorical | pl.Enum) for name in chosen}
    filled = [name for name in chosen if schema[name] != pl.Null]
    if len({texts[name] for name in filled}) > 1:
        shown = ", ".join(f'"{name}" ({schema[name]})' for name in filled[:6])
        raise TableError(f"the raters' columns must be all text or all numbers; found {shown}; cast them to one type.")
    source = source.select(item, *(pl.col(name).cast(pl.String) if texts[name] else name for name in chosen))
    return collected(source.unpivot(on=chosen, index=item, variable_name=rater, value_name=value))


def check_names(names: Mapping[str, str | None], by: Sequence[str]) -> None:
    """Refuse a role without a column, and a column given twice to slice by.

    Args:
        names: The column of each role; None where the role is not used.
        by: The columns to slice by.

    Raises:
        ValueError: ``item``, ``rater`` or ``value`` is None, a name is no text, or ``by`` names a column twice.
    """
    for role, name in [*names.items(), *(("by", name) for name in by)]:
        unused = name is None and role not in ("item", "rater", "value", "by")
        if not (unused or isinstance(name, str)):
            raise ValueError(f"agreement needs the name of the {role} column; found {shown(repr(name))}")
    twice = next((name for place, name in enumerate(by) if name in by[:place]), None)
    if twice is not None:
        raise ValueError(f'agreement: by names the column "{shown(twice)}" twice; name each column once')


def check_columns(schema: Mapping[str, Any], names: Mapping[str, str | None], by: Sequence[str]) -> None:
    """Refuse data that lack a column.

    Args:
        schema: The columns that are there.
        names: The column of each role; None where the role is not used.
        by: The columns to slice by.

    Raises:
        TableError: One of them is missing.
        ValueError: As :func:`check_names`.
    """
    check_names(names, by)
    for role, name in [*names.items(), *(("by", name) for name in by)]:
        if name is not None and name not in schema:
            raise TableError(f'agreement needs the column "{name}" ({role}); found {quoted(list(schema))}; {_ADVICE}.')


def _is_odd(dtype: pl.DataType) -> bool:
    """Whether a type holds neither texts nor numbers, nor what can be written as either."""
    return dtype.is_nested() or isinstance(dtype, pl.Object | pl.Binary | pl.BaseExtension)


def _question(schema: pl.Schema) -> pl.Expr:
    if _is_odd(schema["question"]):
        raise TableError(
            f'the column "question" must hold one text per row; found {schema["question"]}; make it text, or rename it.'
        )
    return pl.col("question")


def _key(name: str, schema: pl.Schema) -> pl.Expr:
    """An id column as text or numbers; categories as text, because their codes mean nothing outside their column."""
    dtype = schema[name]
    if _is_odd(dtype):
        raise no_id(name, dtype)
    if dtype.is_float():  # NaN is no id
        return pl.col(name).fill_nan(None).cast(pl.String)
    return pl.col(name) if dtype == pl.String or dtype.is_integer() else pl.col(name).cast(pl.String)


def _plain(name: str, schema: pl.Schema) -> pl.Expr:
    """The value column as text, whole numbers or floats."""
    dtype = schema[name]
    if _is_odd(dtype):
        raise no_value(name, dtype)
    if dtype == pl.Boolean:
        return pl.col(name).cast(pl.UInt8)
    if dtype.is_float() or dtype.is_decimal():
        return pl.col(name).cast(pl.Float64) + 0.0  # -0.0 is 0.0
    return pl.col(name) if dtype.is_integer() else pl.col(name).cast(pl.String)


class _Values(NamedTuple):
    """The distinct values, sorted, unless they are too many to be listed, and the number of NaN values."""

    values: pl.Series
    n_nan: int
    listed: bool


def _values(rated: pl.LazyFrame, most: int | None) -> _Values:
    dtype = schema_of(rated)["value"]
    if most is not None and dtype.is_numeric():
        value = pl.col("value").cast(pl.Float64)
        whole = value.filter(value.is_not_nan())
        wanted = rated.select(
            whole.approx_n_unique().alias("distinct"),
            pl.max_horizontal(whole.max(), -whole.min()).alias("largest"),
            value.is_nan().sum().alias("nan"),
        )
        distinct, largest, n_nan = collected(wanted, streaming=True).row(0)
        # Far above the limit an estimate of the number says enough; near it the values are few, and are counted.
        if distinct > 2 * most and largest < (_EXACT if dtype.is_integer() else LARGEST_SQUARED):
            return _Values(pl.Series(dtype=dtype), int(n_nan), False)
    by_value = collected(rated.group_by("value").len(), streaming=True)
    n_nan = 0
    if dtype.is_float():
        nan = pl.col("value").is_nan()
        n_nan = int(by_value.filter(nan)["len"].sum())
        by_value = by_value.filter(~nan)
    values = by_value["value"].sort()
    few = most is None or not dtype.is_numeric() or len(values) <= most
    numbers = pl.Series(dtype=pl.Float64) if few else values.cast(pl.Float64)
    merged = numbers.n_unique() < len(values)  # listed, so that the level refuses them
    listed = few or merged or not (numbers.abs() < LARGEST_SQUARED).all()
    return _Values(values if listed else values.clear(), n_nan, listed)


def _raters(rated: pl.LazyFrame, *, names: tuple[str, str, str | None]) -> pl.Series:
    """Distinct raters, sorted; refuses null ids."""
    by_rater = collected(rated.group_by("rater").len().sort("rater"), streaming=True)
    keys = ["item", *(["group"] if names[2] is not None else [])]
    null = pl.any_horizontal(pl.col(keys).is_null())
    nulls = collected(rated.filter(null).select(pl.col(keys).null_count()), streaming=True)
    missing = {
        names[0]: int(nulls["item"][0]),
        names[1]: int(by_rater.filter(pl.col("rater").is_null())["len"].sum()),
        **({names[2]: int(nulls["group"][0])} if names[2] is not None else {}),
    }
    for name, count in missing.items():
        if count:
            raise null_ids(name, count)
    return by_rater["rater"]


def _check_question(rated: pl.LazyFrame) -> None:
    questions = collected(rated.select("question").unique().sort("question"), streaming=True)["question"]
    if len(questions) > 1:
        raise several_questions(questions)


def is_unknown(rater: object) -> bool:
    """Whether an id says that nobody knows who rated."""
    return isinstance(rater, str) and (rater == UNKNOWN_ANNOTATOR or rater.endswith(f":{UNKNOWN_ANNOTATOR}"))


def nan_notes(n_nan: int) -> tuple[str, ...]:
    """The note about NaN values, if there are any."""
    return (f"{n_nan} NaN value{'s' if n_nan != 1 else ''} taken as missing",) if n_nan else ()


def no_id(name: str, dtype: object) -> TableError:
    """The refusal of an id column that holds no ids."""
    return TableError(f'the column "{name}" must hold one id per row; found {dtype}; use text or whole numbers.')


def no_value(name: str, dtype: object) -> TableError:
    """The refusal of a value column that holds no single values."""
    return TableError(
        f'the column "{name}" must hold one text or number per row; found {dtype}; give each value its own row.'
    )


def null_ids(name: str | None, count: int) -> TableError:
    """The refusal of rows with a value but without an id."""
    return TableError(
        f'the column "{name}" must name one on every row with a value; found {count} nulls; '
        f"fill them or leave these rows out."
    )


def several_questions(questions: pl.Series) -> TableError:
    """The refusal of ratings of several questions (Q,), sorted."""
    return TableError(
        f"agreement is about one question; the ratings hold {len(questions)} "
        f'({quoted([str(q) for q in questions.head(4)])}); filter to one question, or give by="question".'
    )


def all_unknown(rater: object) -> TableError:
    """The refusal of ratings of which nobody knows who gave them."""
    return TableError(
        f"agreement needs to know who gave which rating; every rating is by an unknown annotator "
        f'("{shown(rater)}"); give the raters\' ids if the data has them.'
    )
