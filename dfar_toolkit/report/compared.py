"""The comparisons of runs as a section: differences, what all of them share, and the 2x2 of right and wrong."""

from __future__ import annotations

from collections.abc import Sequence

from dfar_toolkit.report.cells import count_text, estimate_cells, finite, p_text
from dfar_toolkit.report.document import Comparison, plain_text
from dfar_toolkit.report.shared_notes import SharedNotes, shared_notes
from dfar_toolkit.report.table import Section, Table


def comparisons_section(comparisons: Sequence[Comparison]) -> Section:
    """Every pair of runs; parts of notes that all rows of a subset share stand once, above the tables."""
    rows = [row for pair in comparisons for row in pair.differences.to_dicts()]
    shared = shared_notes(rows, ["subset"])
    tables = [table for pair in comparisons for table in _tables(pair, shared)]
    if not tables:
        return Section("comparisons", "Comparison of runs", (), ())
    text = ["Differences are paired on the same items, second run minus first."]
    text += shared.lines()
    return Section("comparisons", "Comparison of runs", tuple(text), (*tables, *shared.tables()))


def _tables(pair: Comparison, shared: SharedNotes) -> list[Table]:
    title = f"{pair.run_b} − {pair.run_a}"
    rows = []
    for r in pair.differences.to_dicts():
        subset = plain_text(r.get("subset"))
        value, interval, n, over, note = estimate_cells(r | {"note": shared.own(r)})
        p = p_text(r.get("p_value"))
        test = plain_text(r.get("test")) if finite(r.get("p_value")) else ""
        rows.append((subset, plain_text(r.get("metric")), value, interval, n, over, p, test, note))
    columns = ("subset", "metric", "difference", "interval", "n", "over", "p", "test", "note")
    last = len(columns) if any(r[-1] for r in rows) else -1
    tables = [Table(title, columns[:last], tuple(r[:last] for r in rows), frozenset({2, 3, 4, 6}))] if rows else []
    return [*tables, *_right_wrong(pair, title)]


def _right_wrong(pair: Comparison, title: str) -> list[Table]:
    """How many items either, both or neither run got right, in the names of the runs."""
    frame = pair.right_wrong
    if not frame.width:
        return []
    names = {"a_right": pair.run_a, "b_right": pair.run_b, "count": "items"}
    words = {True: "right", False: "wrong"}
    cells = tuple(
        tuple(words[v] if isinstance(v, bool) and c in names else count_text(v) for c, v in row.items())
        for row in frame.to_dicts()
    )
    numeric = frozenset(i for i, t in enumerate(frame.dtypes) if t.is_numeric())
    return [Table(f"{title}: right and wrong", tuple(names.get(c, c) for c in frame.columns), cells, numeric)]
