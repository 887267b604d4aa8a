"""Numbers with their intervals as the cells of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.table import Table

_COUNTS: Final = ("missing_outputs", "failed_outputs", "no_gold")  # whole numbers, not shares
_NONE: Final = "–"


def finite(value: object) -> bool:
    """Whether a cell holds a defined number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def value_text(value: object) -> str:
    """A statistic's value, or a dash where it is undefined; the note says why.

    Example:
        >>> value_text(0.5), value_text(-0.0001), value_text(float("nan")), value_text(None)
        ('0.500', '0.000', '–', '–')
    """
    return f"{value:z.3f}" if finite(value) else _NONE


def interval_text(low: object, high: object) -> str:
    """An interval, or a dash where there is none.

    Example:
        >>> interval_text(0.25, 0.5), interval_text(None, None)
        ('[0.250, 0.500]', '–')
    """
    return f"[{low:z.3f}, {high:z.3f}]" if finite(low) and finite(high) else _NONE


def over_text(row: Mapping[str, object]) -> str:
    """What a row's interval is over and how it was made; empty where there is no interval.

    Example:
        >>> over_text({"low": 0.1, "high": 0.2, "n_units": 1055, "unit": "groups", "method": "bootstrap"})
        '1,055 groups, bootstrap'
    """
    if not (finite(row.get("low")) and finite(row.get("high"))):
        return ""
    unit = plain_text(row.get("unit"))
    number = count_text(row.get("n_units"))
    scope = plain_text(row.get("scope"))
    units = f"{number} {unit.removesuffix('s') if number == '1' else unit}".strip()
    wider = f"over {scope}" if scope not in ("", "items") else ""
    return ", ".join(part for part in (units, plain_text(row.get("method")), wider) if part)


def count_text(value: object) -> str:
    """A count with thousands apart.

    Example:
        >>> count_text(12345), count_text(None)
        ('12,345', '')
    """
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain_text(value)


def estimate_cells(row: Mapping[str, object]) -> list[str]:
    """Value, interval, n, what the interval is over, and note of a row with Estimate's fields."""
    value, note = row.get("value"), plain_text(row.get("note"))
    shown = value_text(value)
    if row.get("metric") in _COUNTS and isinstance(value, float) and value.is_integer():
        shown = count_text(int(value))
    if not finite(value):
        note = f"undefined: {note}" if note else "undefined"
    return [shown, interval_text(row.get("low"), row.get("high")), count_text(row.get("n")), over_text(row), note]


def estimates_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", folded: bool = False
) -> Table:
    """A table of statistics.

    Args:
        head: Names of the columns before the numbers.
        rows: Their cells, followed by those of :func:`estimate_cells`.
        caption: Title of the table.
        folded: Whether it opens on demand only.

    Returns:
        The table; columns that would be empty everywhere (over, note) are left out.
    """
    listed = [tuple(r) for r in rows]
    first = len(head)
    columns = [*head, "value", "interval", "n", "over", "note"]
    kept = [i for i in range(len(columns)) if i < first + 3 or any(r[i] for r in listed)]
    cells = tuple(tuple(r[i] for i in kept) for r in listed)
    return Table(caption, tuple(columns[i] for i in kept), cells, frozenset({first, first + 1, first + 2}), folded)


def p_text(value: object) -> str:
    """A p-value in three digits, or a dash where there is none.

    Example:
        >>> p_text(0.000123), p_text(None)
        ('0.000123', '–')
    """
    return f"{value:.3g}" if finite(value) else _NONE


def confidence_line(rows: Iterable[Mapping[str, object]]) -> str:
    """How much the intervals cover, in words, from the rows themselves, and where it says what they are over."""
    covered = confidence_text(rows)
    if not covered.startswith("Intervals"):
        return covered
    over = 'the column "over" says over which units, and by which method'
    return f"{covered[:-1]}; {over}." if covered != "Intervals." else f"Intervals: {over}."


def confidence_text(rows: Iterable[Mapping[str, object]]) -> str:
    """How much the intervals cover, in words, from the rows themselves.

    Example:
        >>> confidence_text([{"low": 0.1, "high": 0.2, "confidence": 0.9}]), confidence_text([])
        ('Intervals of 90 %.', 'No intervals are given.')
    """
    drawn = [r for r in rows if finite(r.get("low")) and finite(r.get("high"))]
    if not drawn:
        return "No intervals are given."
    widths = (f"{r['confidence']:.0%}".replace("%", " %") for r in drawn if finite(r.get("confidence")))
    listed = " or ".join(dict.fromkeys(widths))
    return f"Intervals of {listed}." if listed else "Intervals."
