"""What to say about item ids that the items do not have: how many, the first of them, and what ids look like."""

from __future__ import annotations

from typing import Final

import polars as pl

_SHOWN: Final = 5
_LONGEST: Final = 80


def unknown_items(ids: pl.Series, items: pl.DataFrame) -> pl.Series:
    """The ids that are not among the items, each once, sorted.

    Args:
        ids: Item ids.
        items: The table items, or its ``item_id``.

    Returns:
        Those that no item has.
    """
    given = ids.alias("item_id").to_frame()
    return given.join(items.select("item_id"), on="item_id", how="anti")["item_id"].unique().sort()


def unknown_items_message(strange: pl.Series, items: pl.DataFrame) -> str:
    """Part of a sentence: how many ids are not among the items, up to five of them, and an id that is.

    Args:
        strange: The unknown ids, each once.
        items: The table items, or its ``item_id``.

    Returns:
        The words.

    Example:
        >>> items = pl.DataFrame({"item_id": ["x:test:0"]})
        >>> unknown_items_message(pl.Series(["a", "b"]), items)
        "2 item ids are not among them, e.g. 'a', 'b'; the items have ids such as 'x:test:0'"
    """
    shown = ", ".join(repr(name[:_LONGEST]) for name in strange.head(_SHOWN))
    known = f"such as {items['item_id'][0]!r}" if len(items) else "(there are no items)"
    many = "1 item id is" if len(strange) == 1 else f"{len(strange)} item ids are"
    return f"{many} not among them, e.g. {shown}; the items have ids {known}"
