"""A report as sections of text and tables; every renderer shows the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from dfar_toolkit.report.annotators import annotators_section
from dfar_toolkit.report.answer_shares import answer_shares_section
from dfar_toolkit.report.as_annotator import as_annotator_section
from dfar_toolkit.report.calibrated import calibration_section
from dfar_toolkit.report.cells import confidence_line, count_text, estimate_cells, estimates_table
from dfar_toolkit.report.compared import comparison_section
from dfar_toolkit.report.distributions import distributions_section
from dfar_toolkit.report.document import NO_LABEL, ReportData, plain_text
from dfar_toolkit.report.glossary import meanings
from dfar_toolkit.report.rationales import rationales_section
from dfar_toolkit.report.reasons import reasons_section
from dfar_toolkit.report.scored import scores_section
from dfar_toolkit.report.table import Section, Table

MOST_PAIRS: Final = 300  # pairs of annotators that are listed and drawn
MOST_DRAWN: Final = 40  # labels of a confusion matrix that is drawn: its cells are their square
_SEVERITIES: Final = ("fail", "warn", "info")


def sections(data: ReportData) -> list[Section]:
    """The sections of a report that have something to show, in reading order."""
    found = [
        _data(data), _findings(data), _agreement(data), annotators_section(data), scores_section(data.scores),
        distributions_section(data.scores), calibration_section(data.scores, data.reliability),
        as_annotator_section(data.scores), answer_shares_section(data.scores), _confusions(data),
        comparison_section(data.comparison), reasons_section(data.scores, data.protocol),
        rationales_section(data.rationales, data.rationale_differences), _notes(data), glossary_section(data),
    ]  # fmt: skip
    return [s for s in found if s.text or s.tables]


def is_pair(row: Mapping[str, object]) -> bool:
    """Whether a row of agreement is about two annotators and not about all of them."""
    return row.get("rater_a") is not None


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
    clean = [r for r in ranked if not r.get("count") and r.get("total") != 0]
    blind = [r for r in ranked if not r.get("count") and r.get("total") == 0]  # such as times that nobody gave
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
    none = tuple((str(r.get("finding", "")), str(r.get("severity", ""))) for r in blind)
    unseen = Table("Nothing to look at", ("finding", "severity"), none, folded=True)
    text = f"{_number_of(len(data.findings), 'check')}, {len(found)} with findings."
    return Section("findings", "Audit", (text,), tuple(t for t in (shown, absent, unseen) if t.rows))


def _examples(examples: object) -> str:
    """Up to three examples, a line each."""
    if not isinstance(examples, (list, tuple)):
        return plain_text(examples)
    shown = [" ".join(plain_text(e).split()) for e in examples[:3]]
    lines = [t if len(t) <= 160 else t[:159] + "…" for t in shown]
    return "\n".join([*lines, f"… and {len(examples) - 3} more"] if len(examples) > 3 else lines)


def _agreement(data: ReportData) -> Section:
    if not data.agreement:
        return Section("agreement", "Agreement among annotators", (), ())
    several = len({r.get("question") for r in data.agreement}) > 1
    head = (["question"] if several else []) + ["statistic", "level"]
    whole = [r for r in data.agreement if not is_pair(r)]
    tables = [estimates_table(head, [[*(plain_text(r.get(c)) for c in head), *estimate_cells(r)] for r in whole])]
    if pairs := [r for r in data.agreement if is_pair(r)]:
        caption = f"Pairs of annotators, the first {MOST_PAIRS} of {len(pairs):,}"
        head = [*head[:-1], "rater_a", "rater_b"]
        rows = [[*(plain_text(r.get(c)) for c in head), *estimate_cells(r)] for r in pairs[:MOST_PAIRS]]
        shown = caption if len(pairs) > MOST_PAIRS else "Pairs of annotators"
        tables.append(estimates_table(head, rows, caption=shown, folded=True))
    text = (confidence_line(whole),)
    return Section("agreement", "Agreement among annotators", text, tuple(t for t in tables if t.rows))


def confusion_cells(frame: pl.DataFrame) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
    """Gold labels, predicted labels ("no label" last) and counts of a confusion matrix, in the order of its rows."""
    gold = frame["gold"].unique(maintain_order=True).to_list()
    options = [p for p in frame["pred"].unique(maintain_order=True).to_list() if p is not None]
    last = NO_LABEL if NO_LABEL not in options else f"({NO_LABEL})"
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
    said = "Rows are people's labels, columns the run's; every item with a human label is counted, in the last column "
    text = [f"{said}those whose answer was unread, failed or is missing."] if tables else []
    if any(frame["gold"].n_unique() > MOST_DRAWN for frame in data.confusions.values()):
        text.append(f"Matrices of more than {MOST_DRAWN} labels are not drawn.")
    return Section("confusions", "Confusion matrices", tuple(text), tuple(tables))


def _notes(data: ReportData) -> Section:
    return Section("notes", "Notes", tuple(data.notes), ())


def glossary_section(data: ReportData) -> Section:
    """What the names of the numbers that occur mean, folded."""
    names = {plain_text(r.get("statistic")) for r in data.agreement}
    compared = [] if data.comparison is None else [data.comparison.differences]
    for frame in (data.scores, *compared, data.rationales):
        for column in {"metric", "subset"} & set(frame.columns):
            names |= set(frame[column].drop_nulls().unique().to_list())
    if {"part", "predictor"} <= set(data.scores.columns):
        beside = data.scores.filter(pl.col("part") != "judging")  # there it is a judge, of any name
        names |= set(beside["predictor"].drop_nulls().unique().to_list())
    rows = tuple(meanings(names).items())
    tables = (Table("One line per name", ("name", "meaning"), rows, folded=True),) if rows else ()
    return Section("glossary", "What the numbers mean", (), tables)


def _number_of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
