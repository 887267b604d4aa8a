"""The comparisons of runs as a section: differences, what all of them share, and the 2x2 of right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dfar_toolkit.report.cells import count_text, estimate_cells, finite
from dfar_toolkit.report.document import Comparison, plain_text
from dfar_toolkit.report.table import Section, Table

_PARTS: Final = "; "  # between the parts of a note


def comparisons_section(comparisons: Sequence[Comparison]) -> Section:
    """Every pair of runs; parts of notes that all rows of a subset share stand once, above the tables."""
    rows = [row for pair in comparisons for row in pair.differences.to_dicts()]
    common = _common(rows)
    tables = [table for pair in comparisons for table in _tables(pair, common)]
    if not tables:
        return Section("comparisons", "Comparison of runs", (), ())
    text = ["Differences are paired on the same items, second run minus first."]
    text += _common_lines(common)
    return Section("comparisons", "Comparison of runs", tuple(text), tuple(tables))


def _note_parts(row: Mapping[str, object]) -> list[str]:
    return [p for p in plain_text(row.get("note")).split(_PARTS) if p]


def _common(rows: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Parts of notes that stand in every row of a subset, by subset; one row alone shares nothing."""
    by_subset: dict[str, list[list[str]]] = {}
    for row in rows:
        by_subset.setdefault(plain_text(row.get("subset")), []).append(_note_parts(row))
    return {
        subset: [p for p in notes[0] if all(p in other for other in notes)] if len(notes) > 1 else []
        for subset, notes in by_subset.items()
    }


def _common_lines(common: Mapping[str, list[str]]) -> list[str]:
    """The shared parts as sentences; those of one subset only are said of it."""
    lines = []
    for part in dict.fromkeys(p for parts in common.values() for p in parts):
        subsets = [s for s, parts in common.items() if part in parts]
        named = len(subsets) == len(common) or any(part.startswith(f"{s}:") for s in subsets)
        sentence = part if named else f"{', '.join(subsets)}: {part}"
        lines.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    return lines


def _tables(pair: Comparison, common: Mapping[str, list[str]]) -> list[Table]:
    title = f"{pair.run_b} − {pair.run_a}"
    rows = []
    for r in pair.differences.to_dicts():
        subset = plain_text(r.get("subset"))
        own = [p for p in _note_parts(r) if p not in common[subset]]
        value, interval, n, over, note = estimate_cells(r | {"note": _PARTS.join(own)})
        p = f"{r['p_value']:.3g}" if finite(r.get("p_value")) else "–"
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
