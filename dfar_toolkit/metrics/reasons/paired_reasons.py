"""Reasons of a run with what they are compared with: what every metric of reasons starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.labels import Column, group_series

# Scripts that put no spaces between words: a run of them is one word to every metric that counts words.
_UNSPACED: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{2}"

Texts = Column | Sequence[Sequence[str] | None]  # a column's name, texts, or lists of texts


class PairedReasons(NamedTuple):
    """N reasons, none null or blank, in an order that does not depend on that of the rows.

    ``reasons`` (N,) texts; ``human`` (N,) lists of the item's human reasons without blank ones, empty where there is
    none; ``labels``, ``statements``, ``items`` (N,) or None where not given; ``groups`` (N,) the resampling units, or
    None where rows stand alone; ``rows`` (N,) the row each came from; ``n_items`` rows before those without a reason
    were left out; ``note`` says how many were, and how many reasons are in a script without spaces between words.
    """

    reasons: pl.Series
    human: pl.Series
    labels: pl.Series | None
    statements: pl.Series | None
    items: pl.Series | None
    groups: pl.Series | None
    rows: pl.Series
    n_items: int
    note: str

    def units(self) -> pl.Series:
        """What must not lend its reason to itself: the group, else the item, else the row (N,)."""
        if self.groups is not None:
            return self.groups
        return self.items if self.items is not None else self.rows


def pair_reasons(
    name: str,
    frame: pl.DataFrame | None,
    *,
    reason: Column = "reason",
    human: Texts | None = None,
    label: Column | None = None,
    statement: Column | None = None,
    item: Column | None = None,
    group: Column | None = None,
) -> PairedReasons:
    """Read reasons and what stands beside them from a frame's columns or from values.

    Args:
        name: Function named in errors.
        frame: One row per reason; None where the values themselves are given.
        reason: Column or texts (N,); null or blank where the model gave no reason.
        human: Column or lists of texts (N,), or of records with a field ``text``; null where there is none.
        label: Column or the model's labels (N,).
        statement: Column or texts (N,).
        item: Column or item ids (N,); several reasons (samples) of an item share its id.
        group: Column or resampling units (N,). None means the column ``group`` where the frame has one, else the
            items where given, else rows.

    Returns:
        The rows with a reason.

    Raises:
        TableError: An item id or a group is null, reasons are not text.
        ValueError: A column is missing or the lengths differ.
    """
    texts = _text(name, column_values(name, frame, reason, "reason"), "reason")
    columns = {"reason": texts}
    for role, column in (("label", label), ("statement", statement), ("item", item)):
        if column is not None:
            columns[role] = _text(name, column_values(name, frame, column, role), role)
    if human is not None:
        columns["human"] = human_lists(name, frame, human)
    wrong = [(role, len(c)) for role, c in columns.items() if len(c) != len(texts)]
    if wrong:
        raise ValueError(f"{name}: {len(texts)} reasons, but {wrong[0][0]} has {wrong[0][1]} values; give one each")
    groups = group_series(name, frame, group, len(texts))
    if groups is not None:
        columns["group"] = groups.cast(pl.String)
    elif "item" in columns:
        columns["group"] = columns["item"]
    return _kept(name, pl.DataFrame([column.alias(role) for role, column in columns.items()]))


def column_values(name: str, frame: pl.DataFrame | None, column: Texts, role: str) -> pl.Series:
    """A column by name, or the values themselves, as a series; a missing column is a ValueError that names it."""
    if isinstance(column, pl.Series):
        return column
    if not isinstance(column, str):
        return pl.Series(role, column, strict=False)
    if frame is None:
        raise ValueError(f'{name}: {role}="{column}" names a column, but no frame is given; pass a frame or the values')
    if column not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise ValueError(f'{name}: the frame has no column "{column}" for {role}; found {found}')
    return frame[column]


def human_lists(name: str, frame: pl.DataFrame | None, human: Texts) -> pl.Series:
    """Human reasons as lists of text without null and blank ones; null is an empty list."""
    series = column_values(name, frame, human, "human")
    if series.dtype == pl.Null:
        series = series.cast(pl.List(pl.String))
    if series.dtype == pl.String:
        raise ValueError(f"{name}: human must hold a list of reasons per item, found text; wrap each in a list")
    if not isinstance(series.dtype, pl.List):
        raise ValueError(f"{name}: human must hold lists of text, found {series.dtype}")
    inner: Any = series.dtype.inner
    if isinstance(inner, pl.Struct):
        if "text" not in [field.name for field in inner.fields]:
            raise ValueError(f'{name}: human records need a field "text", found {inner}')
        series = series.list.eval(pl.element().struct.field("text"))
    elif inner not in (pl.String, pl.Null):
        raise ValueError(f"{name}: human must hold lists of text, found {series.dtype}")
    lists = series.cast(pl.List(pl.String)).fill_null(pl.Series([[]], dtype=pl.List(pl.String)))
    return lists.list.eval(pl.element().filter(pl.element().str.strip_chars() != "").sort())


def _text(name: str, series: pl.Series, role: str) -> pl.Series:
    if role in ("reason", "statement") and series.dtype not in (pl.String, pl.Null, pl.Categorical):
        raise TableError(f"{name}: {role} must be text, found {series.dtype}.")
    return series.cast(pl.String)


def _kept(name: str, frame: pl.DataFrame) -> PairedReasons:
    nulls = frame["item"].null_count() if "item" in frame.columns else 0
    if nulls:
        raise TableError(f"{name}: every reason needs an item id; {nulls} of {len(frame)} have none (null).")
    empty = pl.lit(pl.Series([[]], dtype=pl.List(pl.String))).first()
    if "human" not in frame.columns:
        frame = frame.with_columns(human=empty)
    present = pl.col("reason").str.strip_chars().str.len_chars() > 0
    kept = frame.with_row_index("row").filter(present)
    # Seeded draws run over rows in this order: it must not be that of the file.
    keys = [c for c in ("item", "group", "label", "reason", "statement") if c in kept.columns]
    kept = kept.with_columns(pl.col("human").list.join("\x1f").alias("_human")).sort(*keys, "_human", "row")
    lost, runs = len(frame) - len(kept), int(kept["reason"].str.contains(_UNSPACED).sum())
    notes = [f"{lost} of {len(frame)} without a reason left out" if lost else ""]
    notes.append(f"{runs} of {len(kept)} in a script without spaces, where a whole run is one word" if runs else "")
    optional = {role: kept[role] if role in kept.columns else None for role in ("label", "statement", "item", "group")}
    return PairedReasons(
        reasons=kept["reason"],
        human=kept["human"],
        labels=optional["label"],
        statements=optional["statement"],
        items=optional["item"],
        groups=optional["group"],
        rows=kept["row"].cast(pl.Int64),
        n_items=len(frame),
        note="; ".join(filter(None, notes)),
    )
