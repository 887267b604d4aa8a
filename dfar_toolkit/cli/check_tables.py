"""The tables behind the findings of `dfar check`, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dfar_toolkit.cli.printing import interval, print_table, say

if TYPE_CHECKING:
    import polars as pl

    from dfar_toolkit.journeys.checking import Checked, Detail

_SHOWN: Final = 20  # rows of a table; the JSON has them all
_WIDEST: Final = 60  # characters of a text in a table
_LEFT_OUT: Final = ("name", "low", "high", "n_units", "unit", "scope", "method", "confidence", "note")


def finding_rows(checked: Checked) -> list[dict[str, Any]]:
    """Findings as rows for JSON, each with the tables behind it (``tables``, where there are any)."""
    failed = [f.finding for f in checked.failed]
    rows = []
    for finding in checked.findings:
        own = [d for d in checked.details if d.finding == finding.finding]
        tables = [{"title": d.title, "rows": _plain(d.table)} for d in own]
        rows.append(finding.as_row() | {"failed": finding.finding in failed} | ({"tables": tables} if tables else {}))
    return rows


def print_details(details: list[Detail]) -> None:
    """Print the first rows of each table; how many more there are goes to stderr."""
    for detail in details:
        if detail.table.is_empty():
            continue
        rows = list(detail.table.head(_SHOWN).iter_rows(named=True))
        estimated = {"value", "low", "high"} <= set(detail.table.columns)
        shown = [c for c in detail.table.columns if not (estimated and c in _LEFT_OUT)]
        header = shown + (["interval"] if estimated else [])
        cells = [[_cell(r[c]) for c in shown] + ([interval(r["low"], r["high"])] if estimated else []) for r in rows]
        print_table(header, cells, title=detail.title)
        if detail.table.height > _SHOWN:
            say(f"{detail.title}: {_SHOWN} of {detail.table.height} rows shown; --json has them all")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value if len(value) <= _WIDEST else value[: _WIDEST - 1] + "…"


def _plain(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: undefined numbers are null."""
    from polars import selectors

    return table.with_columns(selectors.float().fill_nan(None)).to_dicts()
