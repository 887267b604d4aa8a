"""Tables to stdout, as text or JSON; nothing from data can steer the terminal."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Final, NoReturn

import typer

_AS_WIDE_AS_NEEDED: Final = 100_000  # characters; a table narrower than that is never cut


def one_line(text: str) -> str:
    r"""The text with control and format characters written as escapes, so that it stays one harmless line.

    Example:
        >>> one_line("a\x1b[31m\nb")
        'a\\x1b[31m\\nb'
    """
    return "".join(c if c.isprintable() or c == " " else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def print_json(rows: Sequence[Mapping[str, object]]) -> None:
    """Print a JSON list; undefined numbers are null, as JSON has no nan; times are text."""
    plain = [{k: _finite(v) for k, v in row.items()} for row in rows]
    text = json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False)
    print("".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text))


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, (time, timedelta)):
        return str(value)
    if isinstance(value, Decimal):
        return _finite(float(value))
    return value


def number(value: object, *, digits: int = 3) -> str:
    """A number for a table; undefined is said in words.

    Example:
        >>> number(0.5), number(float("nan")), number(-0.0001), number(None)
        ('0.500', 'undefined', '0.000', '')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return "undefined" if math.isnan(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no "-0.000"
    return str(value)


def percent(share: float) -> str:
    """A confidence as a percentage that is not rounded away.

    Example:
        >>> percent(0.95), percent(0.999)
        ('95 %', '99.9 %')
    """
    return f"{round(100 * share, 10):g} %"


def interval(low: object, high: object) -> str:
    """An interval for a table, empty where there is none.

    Example:
        >>> interval(0.25, 0.5), interval(float("nan"), float("nan"))
        ('[0.250, 0.500]', '')
    """
    if not (isinstance(low, float) and isinstance(high, float)) or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low)}, {number(high)}]"


def print_noted(header: Sequence[str], rows: Iterable[Sequence[object]], *, title: str, about: Sequence[str]) -> None:
    """Print a table of numbers whose last column is the note: notes are numbered and stand below, each once.

    Columns of ``about`` that have one value in all rows, and columns that are empty, are left out; that value then
    stands in the title.
    """
    listed = [list(row) for row in rows]
    notes: dict[str, int] = {}
    for row in listed:
        marks = [notes.setdefault(part, len(notes) + 1) for part in str(row[-1]).split("; ") if part]
        row[-1] = " ".join(map(str, dict.fromkeys(marks)))
    kept, said = [], []
    for place, name in enumerate(header):
        cells = {str(row[place]) for row in listed}
        if name in about and len(cells) == 1:
            said += sorted(cells - {""})
        elif cells - {""}:
            kept.append(place)
    where = f" ({', '.join(said)})" if said else ""
    print_table(
        [header[k] for k in kept], [[row[k] for k in kept] for row in listed], title=f"{title}{where}", fold=False
    )
    for note, mark in notes.items():
        print(f"  {mark}  {one_line(note)}")
    if notes:
        print()


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", fold: bool = True) -> None:
    """Print a table to stdout; cells are plain text, wrapped at the width of the terminal (not of a pipe).

    With ``fold`` false no cell is wrapped: a table that is too wide keeps its lines whole.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=Text(one_line(title)) if title else None, title_justify="left")
    for name in header:
        table.add_column(Text(one_line(name)), overflow="fold", no_wrap=not fold)
    for row in rows:
        table.add_row(*(Text(one_line(cell if isinstance(cell, str) else number(cell))) for cell in row))
    width = (None if sys.stdout.isatty() else 200) if fold else _AS_WIDE_AS_NEEDED
    Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False).print(table)


def say(text: str) -> None:
    """A line of talk on stderr."""
    print(one_line(text), file=sys.stderr)


def usage(message: str) -> NoReturn:
    """Stop with a one-line message about how the command was called, exit 2."""
    say(f"dfar: {message}")
    raise typer.Exit(2)
