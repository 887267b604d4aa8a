"""Scores of labels and of reasons as sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.cells import confidence_line, count_text, estimate_cells, estimates_table, finite
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.table import Section, Table

# Metrics about people's verdicts on reasons; everything else is about labels.
_REASON_METRICS: Final = ("mar", "misalignment", "judge", "reason")

Row = Mapping[str, object]


def is_reason_metric(metric: str) -> bool:
    """Whether a metric is about the judgement of reasons."""
    return metric.startswith(_REASON_METRICS)


def runs_without_verdicts(rows: Iterable[Row]) -> list[str]:
    """Runs whose misalignment rate is undefined in every subset: nothing of theirs was judged."""
    defined: dict[str, bool] = {}
    for row in rows:
        if row.get("metric") == "mar_mean":
            run = str(row.get("run_id", ""))
            defined[run] = defined.get(run, False) or finite(row.get("value"))
    return [run for run, found in defined.items() if not found]


def scores_section(scores: pl.DataFrame) -> Section:
    """Every metric about labels, with the label mix of each subset; per label folded."""
    rows = [r for r in scores.to_dicts() if not is_reason_metric(str(r.get("metric")))]
    if not rows:
        return Section("scores", "Scores", (), ())
    whole = [r for r in rows if r.get("label") is None]
    by_label = [r for r in rows if r.get("label") is not None]
    head = ("run", "subset", "metric")
    tables = [estimates_table(head, _cells(whole, head))]
    if by_label:
        named = (*head, "label")
        tables.append(estimates_table(named, _cells(by_label, named), caption="By label", folded=True))
    return Section("scores", "Scores", (confidence_line(whole), *_label_mixes(rows)), tuple(tables))


def _cells(rows: Iterable[Row], head: Sequence[str]) -> list[list[str]]:
    names = {"run": "run_id"}
    return [[*(plain_text(r.get(names.get(c, c))) for c in head), *estimate_cells(r)] for r in rows]


def _label_mixes(rows: Iterable[Row]) -> list[str]:
    """One line per subset, or one per run where runs were asked about other items."""
    mixes: dict[str, dict[str, list[Row]]] = {}
    for row in (r for r in rows if r.get("metric") == "label_share" and finite(r.get("value"))):
        runs = mixes.setdefault(plain_text(row.get("subset")), {})
        runs.setdefault(plain_text(row.get("run_id")), []).append(row)
    lines = []
    for subset, runs in mixes.items():
        alike: dict[str, list[str]] = {}
        for run, shares in runs.items():
            alike.setdefault(_mix(shares), []).append(run)
        for mix, names in alike.items():
            of = f"{subset}, {', '.join(names)}" if len(alike) > 1 else subset
            lines.append(f"Label mix ({of}): {mix}.")
    return lines


def _mix(shares: Sequence[Row]) -> str:
    """Shares of labels with the number of items."""
    listed = ", ".join(f"{plain_text(r.get('label'))} {100 * float(str(r['value'])):.0f} %" for r in shares)
    return f"{listed} (n = {count_text(shares[0].get('n'))})"


def reasons_section(scores: pl.DataFrame, protocol: Mapping[str, object]) -> Section:
    """Misalignment rates and the judges' agreement; runs without a judged reason in one line and folded."""
    rows = [r for r in scores.to_dicts() if is_reason_metric(str(r.get("metric")))]
    silent = runs_without_verdicts(rows)
    judged = [r for r in rows if str(r.get("run_id", "")) not in silent]
    unjudged = [r for r in rows if str(r.get("run_id", "")) in silent]
    head = ("run", "subset", "metric") + (("label",) if any(r.get("label") is not None for r in rows) else ())
    text: list[str] = []
    tables: list[Table] = []
    if judged:
        text += ["The share of reasons that judges reject. Human reasons judged alike are the floor."]
        text += [confidence_line(judged)]
        tables.append(estimates_table(head, _cells(judged, head)))
    if unjudged:
        text += [_why_silent(run, unjudged) for run in silent]
        caption = "Runs without a judged reason"
        tables.append(estimates_table(head, _cells(unjudged, head), caption=caption, folded=True))
    if protocol:
        lines = tuple((k, plain_text(v)) for k, v in protocol.items())
        tables.append(Table("How reasons were judged", ("", ""), lines))
    return Section("reasons", "Reasons", tuple(text), tuple(tables))


def _why_silent(run: str, rows: Iterable[Row]) -> str:
    shares = [r.get("value") for r in rows if r.get("run_id") == run and r.get("metric") == "reason_missing_share"]
    if shares and all(s == 1 for s in shares):
        return f"{run} gave no reasons."
    return f"No reason of {run} was judged."
