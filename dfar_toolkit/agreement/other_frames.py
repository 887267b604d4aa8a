"""A second frame beside the ratings (labels, runs, pairs), in any library, as a polars frame."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import polars as pl


def as_frame(data: Any, caller: str) -> pl.DataFrame:
    """The frame as polars holds it.

    Args:
        data: A polars frame or lazy frame, or any frame narwhals knows.
        caller: Name of the function that was called, for the message.

    Raises:
        TypeError: It is no frame.

    Example:
        >>> as_frame(pl.LazyFrame({"a": [1]}), "f").rows()
        [(1,)]
    """
    native = nw.from_native(data, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        native = native.collect("polars")
    if isinstance(native, nw.DataFrame):
        return native.to_polars()
    raise TypeError(f"{caller}: wanted a frame with named columns, found {type(data).__name__}; make it a data frame")
