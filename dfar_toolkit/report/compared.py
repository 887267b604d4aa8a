"""The comparison of runs as a section: differences of every pair, ranks, and how many items either alone got right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from dfar_toolkit.report.cells import (
    confidence_text,
    count_text,
    estimate_cells,
    finite,
    interval_text,
    over_text,
    p_text,
    value_text,
)
from dfar_toolkit.report.document import Comparison, plain_text
from dfar_toolkit.report.shared_notes import Place, Row, SharedNotes, note_parts, shared_notes
from dfar_toolkit.report.table import Section, Table

_TITLE: Final = "Comparison of runs"
_ANSWERED: Final = "accuracy_answered"


def comparison_section(compared: Comparison | None) -> Section:
    """Every pair of runs: one table of differences, with more than two runs also ranks; then wins, ties and losses."""
    rows = [] if compared is None else _in_order(compared)
    if compared is None or not rows:
        return Section("comparisons", _TITLE, (), ())
    several = len(compared.runs) > 2
    if several:
        rows = [_with_test(row) for row in rows]
    shared = shared_notes(rows, ["metric"])
    of_subsets = _subset_notes(compared)
    first = [row for row in rows if _stands_first(row, compared.primary)]
    rest = [row for row in rows if not _stands_first(row, compared.primary)]
    caption = "Differences" if several else _pair(rows[0])
    tables = [
        _differences(first, shared, several=several, caption=caption),
        _differences(rest, shared, several=several, caption="Further metrics of parts of the items", folded=True),
        *([_ranks(compared)] if several else []),
        _wins(compared, several=several),
        *shared.tables(),
    ]
    text = [*_introduction(compared, rows), *of_subsets.lines(), *shared.lines()]
    return Section("comparisons", _TITLE, tuple(text), tuple(t for t in tables if t.rows))


def _introduction(compared: Comparison, rows: Sequence[Row]) -> list[str]:
    paired = "Differences are paired on the same items, second run minus first, and are about these runs, not about "
    several = len(compared.runs) > 2
    lines = [f"{paired}ways of training. {confidence_text(rows)[:-1]}{_resampled(rows) if several else ''}."]
    declared = f"One metric was declared beforehand, {compared.primary}; every other one is exploratory."
    if not several:
        return [*lines, declared]
    corrected = "Its p are corrected by Holm over the pairs of a subset, and its intervals under"
    return [*lines, f'{declared} {corrected} "all together" hold for all these pairs at once.']


def _in_order(compared: Comparison) -> list[Row]:
    """Rows by subset, then by metric, the declared one first; pairs stay in their order."""
    rows = compared.differences.to_dicts()
    subsets = list(dict.fromkeys(plain_text(r.get("subset")) for r in rows))
    metrics = list(dict.fromkeys([compared.primary, _ANSWERED, *(plain_text(r.get("metric")) for r in rows)]))
    return sorted(
        rows, key=lambda r: (subsets.index(plain_text(r.get("subset"))), metrics.index(plain_text(r.get("metric"))))
    )


def _stands_first(row: Row, primary: str) -> bool:
    """Whether a row is about all items, or about what parts of them are mostly asked for."""
    metric = plain_text(row.get("metric"))
    return plain_text(row.get("subset")) in ("", "all") or metric in (primary, _ANSWERED) or metric.startswith("mar_")


def _with_test(row: Row) -> Row:
    """The row with its test in the note, in place of the two runs' values, which stand with the scores."""
    names = (re.escape(plain_text(row.get(side))) for side in ("run_a", "run_b"))
    values = " \\S+, ".join(names) + r" \S+?"
    note = re.sub(rf"(^|; ){values}(?=; |$)", "", plain_text(row.get("note"))).removeprefix("; ")
    test = plain_text(row.get("test")) if finite(row.get("p_value")) else ""
    return {**row, "note": "; ".join(part for part in (note, test) if part)}


def _resampled(rows: Sequence[Row]) -> str:
    """What the intervals are over, and how they were made, to go on a sentence."""
    methods: dict[str, list[str]] = {}
    for row in (r for r in rows if over_text(r)):
        methods.setdefault(plain_text(row.get("unit")), []).append(plain_text(row.get("method")))
    said = (f"over {unit} ({', '.join(dict.fromkeys(made))})" for unit, made in methods.items())
    return f" {' or '.join(said)}" if methods else ""


def _subset_notes(compared: Comparison) -> SharedNotes:
    parts: dict[Place, list[str]] = {(subset,): note_parts({"note": note}) for subset, note in compared.notes.items()}
    return SharedNotes(("subset",), parts, {})


def _pair(row: Row) -> str:
    return f"{plain_text(row.get('run_b'))} − {plain_text(row.get('run_a'))}"


def _differences(
    rows: Sequence[Row], shared: SharedNotes, *, several: bool, caption: str, folded: bool = False
) -> Table:
    """A line per difference; of two runs with what the interval is over and the test, of more with the correction."""
    lines: list[tuple[str, ...]] = []
    for r in rows:
        subset, metric = plain_text(r.get("subset")), plain_text(r.get("metric"))
        value, interval, n, over, note = estimate_cells({**r, "note": shared.own(r)})
        p = p_text(r.get("p_value"))
        if several:
            ends = interval_text(r.get("low_simultaneous"), r.get("high_simultaneous"))
            corrected = p_text(r.get("p_holm")) if r.get("p_holm") is not None else ""
            together = ends if finite(r.get("low_simultaneous")) else ""
            lines.append((subset, metric, _pair(r), value, interval, n, p, corrected, together, note))
        else:
            test = plain_text(r.get("test")) if finite(r.get("p_value")) else ""
            lines.append((subset, metric, value, interval, n, over, p, test, note))
    columns: tuple[str, ...]
    if several:
        columns = ("subset", "metric", "runs", "difference", "interval", "n", "p", "p Holm", "all together", "note")
        numeric = {"difference", "interval", "n", "p", "p Holm", "all together"}
    else:
        columns = ("subset", "metric", "difference", "interval", "n", "over", "p", "test", "note")
        numeric = {"difference", "interval", "n", "p"}
    alone = {line[0] for line in lines} <= {"", "all"}  # no parts of the items to tell apart
    absent = {name for k, name in enumerate(columns) if not any(line[k] for line in lines)}
    left = (absent & {"p Holm", "all together", "note"}) | ({"subset"} if alone else set())
    kept = [k for k, name in enumerate(columns) if name not in left]
    cells = tuple(tuple(line[k] for k in kept) for line in lines)
    return Table(
        caption, tuple(columns[k] for k in kept), cells,
        frozenset(place for place, k in enumerate(kept) if columns[k] in numeric), folded,
    )  # fmt: skip


def _ranks(compared: Comparison) -> Table:
    """Which run is best, and how often it would be on other items."""
    columns = ("subset", "run", compared.primary, "rank", "rank interval", "best in", "order kept (tau)")
    rows = tuple(
        (
            plain_text(r.get("subset")), plain_text(r.get("run_id")), value_text(r.get("value")), _rank(r.get("rank")),
            _rank_interval(r), value_text(r.get("share_best")), value_text(r.get("kendall_tau")),
        )
        for r in compared.ranks.to_dicts()
    )  # fmt: skip
    return Table("Ranks, and how they hold on resampled items", columns, rows, frozenset(range(2, len(columns))))


def _rank(value: object) -> str:
    return f"{value:g}" if finite(value) else value_text(value)


def _rank_interval(row: Row) -> str:
    low, high = row.get("rank_low"), row.get("rank_high")
    return f"[{_rank(low)}, {_rank(high)}]" if finite(low) and finite(high) else interval_text(None, None)


def _wins(compared: Comparison, *, several: bool) -> Table:
    """Items that the second run alone has right (wins), the first alone (losses), and both or neither (ties)."""
    counted: dict[tuple[str, str, str], dict[tuple[bool, bool], int]] = {}
    for r in compared.right_wrong.to_dicts():
        place = (plain_text(r.get("subset")), plain_text(r.get("run_a")), plain_text(r.get("run_b")))
        counted.setdefault(place, {})[bool(r["a_right"]), bool(r["b_right"])] = int(r["count"])
    subsets = list(dict.fromkeys(place[0] for place in counted))
    lines = [
        (subset, *([f"{b} − {a}"] if several else []), *map(count_text, _outcomes(cells)))
        for (subset, a, b), cells in sorted(counted.items(), key=lambda entry: subsets.index(entry[0][0]))
        if sum(cells.values())
    ]
    columns = ("subset", *(["runs"] if several else []), "wins", "ties", "losses", "both right", "both wrong")
    who = "the second run" if several else compared.runs[1]
    caption = f"Items on which {who} is right alone (wins), or wrong alone (losses)"
    return Table(caption, columns, tuple(lines), frozenset(range(len(columns) - 5, len(columns))))


def _outcomes(cells: Mapping[tuple[bool, bool], int]) -> tuple[int, int, int, int, int]:
    right, wrong = cells.get((True, True), 0), cells.get((False, False), 0)
    return cells.get((False, True), 0), right + wrong, cells.get((True, False), 0), right, wrong
