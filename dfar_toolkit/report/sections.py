"""A report as sections of text and tables; every renderer shows the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from dfar_toolkit.report.document import UNPARSED, Comparison, ReportData, plain_text

Key = Literal["data", "findings", "agreement", "scores", "confusions", "comparisons", "reasons", "notes"]

# Metrics about people's verdicts on reasons; everything else is about labels.
_REASON_METRICS: Final = ("mar", "misalignment", "judge", "reason")
_COUNTS: Final = ("missing_outputs", "failed_outputs", "no_gold")  # whole numbers, not shares
MOST_PAIRS: Final = 300  # pairs of annotators that are listed and drawn
_SEVERITIES: Final = ("fail", "warn", "info")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under named columns; ``numeric`` holds the positions of columns that are aligned as numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with paragraphs and tables. All text is plain; renderers escape it."""

    key: Key
    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...]


def sections(data: ReportData) -> list[Section]:
    """The sections of a report that have something to show, in reading order."""
    found = [
        _data(data), _findings(data), _agreement(data), _scores(data),
        _confusions(data), _comparisons(data), _reasons(data), _notes(data),
    ]  # fmt: skip
    return [s for s in found if s.text or s.tables]


def is_reason_metric(metric: str) -> bool:
    """Whether a metric is about the judgement of reasons."""
    return metric.startswith(_REASON_METRICS)


def is_pair(row: Mapping[str, object]) -> bool:
    """Whether a row of agreement is about two annotators and not about all of them."""
    return row.get("rater_a") is not None


def finite(value: object) -> bool:
    """Whether a cell holds a defined number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def value_text(value: object, note: object = "") -> str:
    """A statistic's value, or in words that it is undefined and why.

    Example:
        >>> value_text(0.5), value_text(float("nan"), "no items"), value_text(None)
        ('0.500', 'undefined: no items', 'undefined')
    """
    if finite(value):
        return f"{value:.3f}"
    return f"undefined: {note}" if note else "undefined"


def interval_text(low: object, high: object) -> str:
    """An interval, or a dash where there is none.

    Example:
        >>> interval_text(0.25, 0.5), interval_text(None, None)
        ('[0.250, 0.500]', '–')
    """
    return f"[{low:.3f}, {high:.3f}]" if finite(low) and finite(high) else "–"


def count_text(value: object) -> str:
    """A count with thousands apart.

    Example:
        >>> count_text(12345), count_text(None)
        ('12,345', '')
    """
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain_text(value)


def severity_rank(row: Mapping[str, object]) -> int:
    """Position of a finding's severity, gravest first; unknown ones last."""
    severity = row.get("severity")
    return _SEVERITIES.index(str(severity)) if severity in _SEVERITIES else len(_SEVERITIES)


def _data(data: ReportData) -> Section:
    tables = [Table("", ("fact", "value"), tuple(data.facts.items()))] if data.facts else []
    return Section("data", "Data set", (), tuple(tables))


def _findings(data: ReportData) -> Section:
    if not data.findings:
        return Section("findings", "Audit", (), ())
    ranked = sorted(data.findings, key=severity_rank)
    found = [r for r in ranked if r.get("count")]
    clean = [r for r in ranked if not r.get("count")]
    rows = tuple(
        (
            str(r.get("finding", "")), str(r.get("severity", "")), count_text(r.get("count")),
            count_text(r.get("total")), str(r.get("note") or ""), _examples(r.get("examples")),
        )
        for r in found
    )  # fmt: skip
    shown = Table("Found", ("finding", "severity", "count", "of", "note", "examples"), rows, frozenset({2, 3}))
    looked = tuple((str(r.get("finding", "")), str(r.get("severity", "")), count_text(r.get("total"))) for r in clean)
    absent = Table("Looked for and not found", ("finding", "severity", "of"), looked, frozenset({2}), folded=True)
    text = f"{_number_of(len(data.findings), 'check')}, {len(found)} with findings."
    return Section("findings", "Audit", (text,), tuple(t for t in (shown, absent) if t.rows))


def _examples(examples: object) -> str:
    if not isinstance(examples, (list, tuple)):
        return plain_text(examples)
    shown = [plain_text(e) for e in examples[:3]]
    more = f" ‖\n… and {len(examples) - 3} more" if len(examples) > 3 else ""
    return " ‖\n".join(t if len(t) <= 160 else t[:159] + "…" for t in shown) + more


def _agreement(data: ReportData) -> Section:
    if not data.agreement:
        return Section("agreement", "Agreement among annotators", (), ())
    several = len({r.get("question") for r in data.agreement}) > 1
    head = (["question"] if several else []) + ["statistic", "level"]
    whole = [r for r in data.agreement if not is_pair(r)]
    tables = [_estimates(head, [[*(plain_text(r.get(c)) for c in head), *_estimate(r)] for r in whole])]
    if pairs := [r for r in data.agreement if is_pair(r)]:
        caption = f"Pairs of annotators, the first {MOST_PAIRS} of {len(pairs):,}"
        head = [*head[:-1], "rater_a", "rater_b"]
        rows = [[*(plain_text(r.get(c)) for c in head), *_estimate(r)] for r in pairs[:MOST_PAIRS]]
        shown = caption if len(pairs) > MOST_PAIRS else "Pairs of annotators"
        tables.append(_estimates(head, rows, caption=shown, folded=True))
    text = (_interval_line(whole),)
    return Section("agreement", "Agreement among annotators", text, tuple(t for t in tables if t.rows))


def _estimate(row: Mapping[str, object]) -> list[str]:
    """Value, interval, n and note of a row with Estimate's fields; the note moves to the value where undefined."""
    note = plain_text(row.get("note"))
    value = row.get("value")
    shown = value_text(value, note)
    if row.get("metric") in _COUNTS and isinstance(value, float) and value.is_integer():
        shown = count_text(int(value))
    beside = note if finite(value) else ""
    return [shown, interval_text(row.get("low"), row.get("high")), count_text(row.get("n")), beside]


def _estimates(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", folded: bool = False) -> Table:
    """A table of statistics; the column of notes only where some row has one."""
    listed = [tuple(r) for r in rows]
    columns = [*head, "value", "interval", "n", "note"]
    if not any(r[-1] for r in listed):
        columns, listed = columns[:-1], [r[:-1] for r in listed]
    first = len(head)
    return Table(caption, tuple(columns), tuple(listed), frozenset({first, first + 1, first + 2}), folded)


def _interval_line(rows: Iterable[Mapping[str, object]]) -> str:
    """What the intervals are, in words, from the rows themselves."""
    drawn = [r for r in rows if finite(r.get("low")) and finite(r.get("high"))]
    if not drawn:
        return "No intervals are given."
    widths = _listed(f"{r['confidence']:.0%}".replace("%", " %") for r in drawn if finite(r.get("confidence")))
    methods = _listed(plain_text(r.get("method")) for r in drawn)
    units = _listed(plain_text(r.get("unit")) for r in drawn)
    over = f", over {units}" if units else ""
    return f"Intervals: {widths}{', ' if widths and methods else ''}{methods}{over}."


def _listed(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(n for n in names if n))


def _label_scores(data: ReportData) -> list[dict[str, object]]:
    return [r for r in data.scores.to_dicts() if not is_reason_metric(str(r.get("metric")))]


def _score_row(row: Mapping[str, object], head: Sequence[str]) -> list[str]:
    names = {"run": "run_id"}
    return [*(plain_text(row.get(names.get(c, c))) for c in head), *_estimate(row)]


def _scores(data: ReportData) -> Section:
    rows = _label_scores(data)
    if not rows:
        return Section("scores", "Scores", (), ())
    whole = [r for r in rows if r.get("label") is None]
    by_label = [r for r in rows if r.get("label") is not None]
    head = ("run", "subset", "metric")
    tables = [_estimates(head, [_score_row(r, head) for r in whole])]
    if by_label:
        named = (*head, "label")
        tables.append(_estimates(named, [_score_row(r, named) for r in by_label], caption="By label", folded=True))
    return Section("scores", "Scores", (_interval_line(whole),), tuple(tables))


def confusion_cells(frame: pl.DataFrame) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
    """Gold labels, predicted labels ("unparsed" last) and counts of a confusion matrix, in the order of its rows."""
    gold = frame["gold"].unique(maintain_order=True).to_list()
    options = [p for p in frame["pred"].unique(maintain_order=True).to_list() if p is not None]
    last = UNPARSED if UNPARSED not in options else f"({UNPARSED})"
    shown = frame.select("gold", pl.col("pred").fill_null(last), "count")
    counts: dict[tuple[str, str], int] = {(g, p): c for g, p, c in shown.iter_rows()}
    return gold, [*options, last], counts


def _confusions(data: ReportData) -> Section:
    tables = []
    for run, frame in data.confusions.items():
        gold, pred, counts = confusion_cells(frame)
        rows = tuple((g, *(count_text(counts.get((g, p), 0)) for p in pred)) for g in gold)
        columns = ("gold \\ predicted", *pred)
        tables.append(Table(run, columns, rows, frozenset(range(1, len(columns)))))
    text = ("Rows are people's labels, columns the run's; every item of the split is counted.",) if tables else ()
    return Section("confusions", "Confusion matrices", text, tuple(tables))


def _comparisons(data: ReportData) -> Section:
    tables = [t for c in data.comparisons for t in _comparison(c)]
    text = ("Differences are paired on the same items, second run minus first.",) if tables else ()
    return Section("comparisons", "Comparison of runs", text, tuple(tables))


def _comparison(pair: Comparison) -> list[Table]:
    title = f"{pair.run_b} − {pair.run_a}"
    rows = []
    for r in pair.differences.to_dicts():
        value, interval, n, note = _estimate(r)
        p = f"{r['p_value']:.3g}" if finite(r.get("p_value")) else "–"
        test = plain_text(r.get("test"))
        rows.append((plain_text(r.get("subset")), plain_text(r.get("metric")), value, interval, n, p, test, note))
    columns = ("subset", "metric", "difference", "interval", "n", "p", "test", "note")
    last = len(columns) if any(r[-1] for r in rows) else -1
    tables = [Table(title, columns[:last], tuple(r[:last] for r in rows), frozenset({2, 3, 4, 5}))]
    if pair.right_wrong.width:
        cells = tuple(tuple(count_text(v) for v in row) for row in pair.right_wrong.rows())
        numeric = frozenset(i for i, t in enumerate(pair.right_wrong.dtypes) if t.is_numeric())
        tables.append(Table(f"{title}: right and wrong", tuple(pair.right_wrong.columns), cells, numeric))
    return tables


def _reasons(data: ReportData) -> Section:
    rows = [r for r in data.scores.to_dicts() if is_reason_metric(str(r.get("metric")))]
    tables = []
    if rows:
        head = ("run", "subset", "metric") + (("label",) if any(r.get("label") is not None for r in rows) else ())
        tables.append(_estimates(head, [_score_row(r, head) for r in rows]))
    if data.protocol:
        lines = tuple((k, plain_text(v)) for k, v in data.protocol.items())
        tables.append(Table("How reasons were judged", ("", ""), lines))
    text = []
    if rows:
        text.append("The share of reasons that judges reject. Human reasons judged alike are the floor.")
        text.append(_interval_line(rows))
    return Section("reasons", "Reasons", tuple(text), tuple(tables))


def _notes(data: ReportData) -> Section:
    return Section("notes", "Notes", tuple(data.notes), ())


def _number_of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
