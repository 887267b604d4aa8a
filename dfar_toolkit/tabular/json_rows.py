"""JSON documents and lines, types kept, nothing nulled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import polars as pl

from dfar_toolkit.tabular.wording import ContentError, quoted, repeated

_TRAILING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\[{,:\s])(\s*),(?=\s*[}\]])', re.DOTALL)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, refused if a key stands in it twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ContentError(f"the key {quoted(repeated(key for key, _ in pairs))} stands twice in one object.")
    return made


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once)


def parsed_json(text: str, *, line: int | None = None) -> object:
    """The value of a document, or of the given line of a file."""
    at = "" if line is None else f"line {line}: "
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        place = f"line {line or fault.lineno}, column {fault.colno}"
        raise ContentError(f"{place}: not valid JSON ({fault.msg}).") from fault
    except RecursionError as fault:
        raise ContentError(f"{at}nested too deeply to be read.") from fault
    except ContentError as bad:
        raise ContentError(f"{at}{bad}") from None
    except ValueError as fault:  # Python reads no whole number of more than some thousand digits
        raise ContentError(f"{at}a number with too many digits to be read.") from fault


def mended_json(text: str, name: str, repair: bool) -> tuple[object, tuple[str, ...]]:
    """A document, without its trailing commas if these are all that is wrong with it and ``repair`` allows."""
    try:
        return parsed_json(text), ()
    except ContentError as bad:
        mended = _TRAILING.sub(lambda match: match[0] if match[1] is None else match[1], text)
        n = len(text) - len(mended)
        try:
            document = parsed_json(mended)
        except ContentError:
            raise bad from None
        commas = f"{n} trailing comma{'s' if n != 1 else ''}"
        if not repair:
            only = f"The only damage is {commas} before a closing brace or bracket: remove them."
            raise ContentError(f"{bad} {only}") from bad
        return document, (f"{name}: removed {commas}",)


def cut_short(fault: ContentError, lines: Sequence[str], number: int) -> str:
    """A sentence where a line (from 1) that is no JSON is the last one of several; else nothing."""
    last = number > 1 and not any(map(str.strip, lines[number:]))
    if not last or "not valid JSON" not in str(fault):
        return ""
    return " It is the last line, as when a run is stopped: remove it, or let the run finish."


def json_lines(text: str) -> Iterator[dict[str, object]]:
    """The object on each line that is not blank."""
    lines = text.split("\n")
    listed = " A file with one JSON list is to be named .json." if text.lstrip().startswith("[") else ""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = parsed_json(line.strip(), line=number)
            except ContentError as bad:
                raise ContentError(f"{bad}{listed or cut_short(bad, lines, number)}") from bad.__cause__
            if not isinstance(row, dict):
                raise ContentError(f"line {number}: wanted one JSON object per line, found {_json_kind(row)}.{listed}")
            yield row


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def json_table(document: object) -> pl.DataFrame:
    """A list of objects as rows."""
    if not isinstance(document, list):
        raise ContentError(f"wanted a list of objects, found {_json_kind(document)}.")
    for number, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise ContentError(f"entry {number} of the list: wanted an object, found {_json_kind(row)}.")
    return rows_frame(document)


def rows_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Objects as rows, a column per key, each under the one type that holds its values unchanged."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _column(name: str, values: list[object]) -> pl.Series:
    """One key's values under the one type that holds them all unchanged; text where there is none."""
    try:
        dtype = _dtype(values)
        if dtype is not None:
            given = [_with_floats(v, dtype) for v in values] if dtype.is_nested() else values
            return pl.Series(name, given, dtype=dtype, strict=True)
        texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        return pl.Series(name, texts, dtype=pl.String)
    except UnicodeEncodeError as fault:
        at = next((f"entry {number}: " for number, one in enumerate(values, start=1) if _is_broken(one)), "")
        raise ContentError(
            f"{at}the key {quoted([ascii(name)[1:-1]])} holds a text with half a surrogate pair (\\ud800...); write "
            "that text again, whole."
        ) from fault
    except RecursionError as fault:
        raise ContentError(f"the key {quoted([name])} holds a value that is nested too deeply to be read.") from fault


def _is_broken(value: object) -> bool:
    """Whether a text in it holds half a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _with_floats(value: object, dtype: pl.DataType) -> object:
    """The value with whole numbers as floats where the type says so: polars does not mix both inside lists."""
    if isinstance(value, int) and dtype == pl.Float64:
        return float(value)
    if isinstance(value, list) and isinstance(dtype, pl.List):
        return [_with_floats(v, cast(pl.DataType, dtype.inner)) for v in value]
    if isinstance(value, dict) and isinstance(dtype, pl.Struct):
        return {f.name: _with_floats(value.get(f.name), cast(pl.DataType, f.dtype)) for f in dtype.fields}
    return value


def _dtype(values: Iterable[object]) -> pl.DataType | None:
    """The type of JSON values (null: ``Null``), or None where no one type holds them all unchanged."""
    present = [v for v in values if v is not None]
    kinds = {type(v) for v in present}
    if not kinds:
        return pl.Null()
    if kinds == {list}:
        inner = _dtype(x for v in present if isinstance(v, list) for x in v)
        return None if inner is None else pl.List(inner)
    if kinds == {dict}:
        objects = [v for v in present if isinstance(v, dict)]
        fields = {key: _dtype(o.get(key) for o in objects) for key in dict.fromkeys(k for o in objects for k in o)}
        known = [pl.Field(key, dtype) for key, dtype in fields.items() if dtype is not None]
        return pl.Struct(known) if known and len(known) == len(fields) else None
    if kinds == {bool} or kinds == {str}:
        return pl.Boolean() if kinds == {bool} else pl.String()
    if not kinds <= {int, float}:
        return None
    most = max((abs(v) for v in present if isinstance(v, int)), default=0)
    if kinds == {int}:
        return pl.Int64() if most < 2**63 else None
    return pl.Float64() if most <= 2**53 else None
