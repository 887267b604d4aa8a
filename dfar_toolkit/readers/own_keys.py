"""Rows of our own format that name an item by its own key alone: ``q0`` for ``x:test:q0``.

An item id is source, split and own key; whoever kept only the last part has lost nothing as long as it names one item.
Whole numbers are numbers ("17" is "00017"). Rows that hold the statement as well must hold that item's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.matching import in_splits
from dfar_toolkit.tabular import quoted

_FRONT: Final = r"^[^:]*:[^:]*:"  # source and split
_SHOWN: Final = 5


def with_whole_ids(
    rows: pl.DataFrame, items: pl.DataFrame, *, where: str, split: str | Sequence[str] | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows with whole item ids in place of own keys; ids that are no own key either stay as they are.

    Args:
        rows: Rows with ``item_id`` as text; left alone where there is no such column.
        items: The table items.
        where: File named in errors.
        split: Splits that the rows are about; None means any.

    Returns:
        The rows, and a note where own keys were taken.

    Raises:
        TableError: An own key that several items have, or rows with another statement than that of their item.

    Example:
        >>> items = pl.DataFrame({"item_id": ["x:test:q0"], "split": ["test"], "statement": ["a"]})
        >>> rows, notes = with_whole_ids(pl.DataFrame({"item_id": ["q0"]}), items, where="f")
        >>> rows["item_id"].to_list(), notes
        (['x:test:q0'], ('1 row matched by the own key of an item (e.g. "q0" for "x:test:q0")',))
    """
    if "item_id" not in rows.columns:
        return rows, ()
    strange = rows.select(given="item_id").drop_nulls().join(items.select(given="item_id"), on="given", how="anti")
    strange = strange.unique().sort("given")
    if not strange.height:
        return rows, ()
    scope = items if split is None else in_splits(items, split)
    own = scope.select("item_id", "statement", key=_plain(pl.col("item_id").str.replace(_FRONT, "")))
    keyed = strange.with_columns(key=_plain(pl.col("given"))).filter(pl.col("key") != "")
    found = keyed.join(own, on="key", how="inner", maintain_order="left_right")
    _check_single(found, where, chosen=split is not None)
    if not found.height:
        return rows, ()
    _check_statements(rows, found, where)
    taken = rows.filter(pl.col("item_id").is_in(found["given"].implode())).height
    whole = pl.col("item_id").replace(found["given"].implode(), found["item_id"].implode())
    example = f"{quoted([found['given'][0]])} for {quoted([found['item_id'][0]])}"
    note = f"{taken} row{'s' if taken != 1 else ''} matched by the own key of an item (e.g. {example})"
    return rows.with_columns(whole), (note,)


def _plain(text: pl.Expr) -> pl.Expr:
    """Without blanks at the ends, and a whole number without zeros in front."""
    return text.str.strip_chars().str.replace(r"^0+([0-9]+)$", "${1}")


def _check_single(found: pl.DataFrame, where: str, *, chosen: bool) -> None:
    """Refuse own keys that several items have."""
    several = found.filter(pl.len().over("given") > 1)
    if not several.height:
        return
    keys = several["given"].unique(maintain_order=True)
    first = several.filter(given=keys[0])["item_id"]
    hint = "" if chosen else ", or choose the split that the file is about (--split)"
    raise TableError(
        f"{where}: {len(keys)} item ids are own keys that several items have: {quoted(keys, most=_SHOWN)} (e.g. "
        f"{quoted([keys[0]])} could be {quoted(first, most=3)}); write whole item ids{hint}."
    )


def _check_statements(rows: pl.DataFrame, found: pl.DataFrame, where: str) -> None:
    """Refuse own keys where the rows' statements say that another item is meant."""
    if "statement" not in rows.columns or rows.schema["statement"] != pl.String:
        return
    said = rows.select(given="item_id", said=pl.col("statement").str.strip_chars()).drop_nulls()
    beside = said.join(found, on="given", how="inner", maintain_order="left")
    other = beside.filter(pl.col("said") != pl.col("statement").str.strip_chars())
    if other.height:
        row = other.row(0, named=True)
        raise TableError(
            f"{where}: {other.height} rows name an item by its own key and hold the statement of another, e.g. "
            f"item_id {quoted([row['given']])}, which would be {quoted([row['item_id']])}; write whole item ids."
        )
