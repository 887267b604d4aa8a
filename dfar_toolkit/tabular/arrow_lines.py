"""Large JSON-lines files by Arrow, where it reads exactly what the line-by-line reader would, but much faster."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import polars as pl

SMALLEST: Final = 1 << 20  # bytes from which it is worth while
_LONGEST: Final = 1 << 26  # bytes of a block, hence of the longest line
_EXACT: Final = 2.0**53  # whole numbers beyond it are not exact as floats


def arrow_lines(data: bytes) -> pl.DataFrame | None:
    r"""The objects on the lines as rows, or None where only the line-by-line reader can say what they are.

    Arrow refuses what that reader refuses (a key twice, half a surrogate pair), and mixed types. Left to the other
    reader are also texts that all look like times, empty objects, numbers beyond 2^53 beside floats, two objects on one
    line, lines that are no object, and lists that begin with null before any value of their column.

    Example:
        >>> arrow_lines(b'{"a": 1}\n{"a": "x"}') is None
        True
    """
    import pyarrow as pa
    from pyarrow import json

    lines = _lines_of_objects(data)
    if lines is None:
        return None
    try:
        table = json.read_json(io.BytesIO(data), read_options=json.ReadOptions(block_size=_LONGEST))
        table.validate()  # it loses nulls that stand before the first value in a column of lists
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
        return None
    if table.num_rows != lines or not all(_plain(field.type) for field in table.schema):
        return None
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        return None
    return frame if all(_exact(frame[c]) for c in frame.columns) else None


def _lines_of_objects(data: bytes) -> int | None:
    """Lines of more than white space; None where one begins with no object, as Arrow takes null for one."""
    text = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    after = text[ends[ends < len(text) - 1] + 1]
    if data[:1] == b"{" and (after == ord("{")).all():
        return len(ends) + (not data.endswith(b"\n"))
    filled = [line for line in map(bytes.strip, data.split(b"\n")) if line]
    return len(filled) if all(line.startswith(b"{") for line in filled) else None


def _plain(dtype: Any) -> bool:
    """Whether a type is one that JSON has: Arrow also finds times in texts."""
    from pyarrow import types

    if types.is_list(dtype):
        return _plain(dtype.value_type)
    if types.is_struct(dtype):
        return dtype.num_fields > 0 and all(_plain(dtype.field(i).type) for i in range(dtype.num_fields))
    known = (types.is_string, types.is_int64, types.is_float64, types.is_boolean, types.is_null)
    return any(is_kind(dtype) for is_kind in known)


def _exact(column: pl.Series) -> bool:
    """Whether no float of the column stands where a whole number may have lost its last digits."""
    if isinstance(column.dtype, pl.List):
        return _exact(column.explode(empty_as_null=False)) if column.dtype.inner != pl.Null else True
    if isinstance(column.dtype, pl.Struct):
        return all(_exact(column.struct.field(f.name)) for f in column.dtype.fields)
    if column.dtype != pl.Float64:
        return True
    return not bool((column.abs() > _EXACT).any())
