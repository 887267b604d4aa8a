"""Metrics: scores of every run with intervals, confusion matrices, and the runs against each other."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.data import (
    Arguments,
    Runs,
    arguments,
    comparison,
    confusion,
    key,
    load_folder,
    load_judgements,
    load_runs,
    reliability,
    scores,
    source,
)
from dfar_toolkit._viewer.sinks import show_chart, show_problem, show_text
from dfar_toolkit._viewer.tables import show_glossary, show_tables
from dfar_toolkit.errors import DfarError
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.plots import confusion_plot, reasons_plot, scores_plot
from dfar_toolkit.report.reliability_plot import predicted_ends, reliability_plot
from dfar_toolkit.report.sections import sections
from dfar_toolkit.tables import HUMAN_RUN

Key = tuple[str, str]
FIRST_COMPARED = 4  # runs: six pairs


def gather(runs: Runs, items: Key, judged: Key | None) -> pl.DataFrame:
    """Scores of all files together; where some do not fit, of each that fits the items, and why the others do not."""
    files = tuple(dict.fromkeys(key(s) for s in runs.files.values()))
    try:
        whole: pl.DataFrame = scores(items, files, judged)
        return whole
    except DfarError:
        parts = list(_one_by_one(files, items, judged))
    if not parts:
        return pl.DataFrame()
    # Human reasons are judged once, whichever file they were scored with; they stand last.
    named = ["run_id", "metric", "subset", "label", "predictor"]
    table = pl.concat(parts).unique(named, keep="first", maintain_order=True)
    return table.sort(pl.col("run_id") == HUMAN_RUN, maintain_order=True)


def _one_by_one(files: tuple[Key, ...], items: Key, judged: Key | None) -> Iterator[pl.DataFrame]:
    for found in files:
        try:
            yield scores(items, (found,), judged)
        except DfarError as error:
            show_problem(f"{found[0]}: {error}")


def show_scores(table: pl.DataFrame, curves: pl.DataFrame) -> None:
    """Each part of the scores: plots, then text and tables, as in the report."""
    plots = {"scores": scores_plot, "reasons": reasons_plot}
    for section in sections(ReportData("", scores=table, reliability=curves)):
        if section.key == "glossary":
            continue
        st.subheader(section.title)
        if section.key in plots:
            show_chart(plots[section.key](table), name=section.title)
        for line in section.text:
            show_text(line)
        if section.key == "calibration" and curves.width:
            show_curves(curves)
        show_tables(section)


def show_curves(curves: pl.DataFrame) -> None:
    """A reliability curve per run, two in a line."""
    ends = predicted_ends(curves)
    columns = st.columns(2)
    for i, ((run,), curve) in enumerate(curves.partition_by("run_id", as_dict=True, maintain_order=True).items()):
        with columns[i % 2]:
            show_text(run)
            show_chart(reliability_plot(curve, ends=ends), name=f"reliability{i}")


def gather_curves(runs: Runs, items: Key) -> pl.DataFrame:
    """The curves of all runs whose files fit the items; no columns where none has distributions."""
    found = []
    for file in dict.fromkeys(key(s) for s in runs.files.values()):
        try:
            found.append(reliability(items, file))
        except DfarError:
            continue  # said above, with the scores
    known = [curve for curve in found if curve.width]
    return pl.concat(known) if known else pl.DataFrame()


def show_confusions(runs: Runs, items: Key) -> None:
    """A heat map per run, two in a line, and its counts."""
    st.subheader("Confusion matrices")
    columns = st.columns(2)
    for i, (run, found) in enumerate(runs.files.items()):
        try:
            cells = confusion(items, key(found)).filter(pl.col("run_id") == run)
        except DfarError:
            continue  # said above, with the scores
        with columns[i % 2]:
            show_text(run)
            whole = cells.filter(pl.col("subset") == "all")
            show_chart(confusion_plot(whole), name=f"confusion{i}")
            data = ReportData("", confusions={run: whole})
            show_tables(next(s for s in sections(data) if s.key == "confusions"), captions=False)


def show_comparison(runs: Runs, items: Key, judged: Key | None) -> None:
    """All pairs of the runs chosen; at first of the first few."""
    st.subheader("Comparison")
    names = list(runs.files)
    chosen = st.multiselect("Runs to compare", names, default=names[:FIRST_COMPARED], key="compared",
                            bind="query-params")  # fmt: skip
    if len(chosen) < 2:
        st.text("choose two or more runs")
        return
    try:
        found = comparison(items, tuple((*key(runs.files[run]), run) for run in chosen), judged)
    except DfarError as error:
        show_problem(error)
        return
    if found is None:
        st.text("no item has a label, or shares and probabilities, to compare these runs by")
    for section in (s for s in sections(ReportData("", comparison=found)) if s.key == "comparisons"):
        for text in section.text:
            show_text(text)
        show_tables(section)


def main() -> None:
    """The page."""
    try:
        given: Arguments = arguments()
        load_folder(given.items)
        items = key(source(given.items))
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    runs = load_runs(given)
    judgements, problem = load_judgements(given)
    for message in [*runs.problems, *([problem] if problem else [])]:
        show_problem(message)
    if not runs.files:
        st.text("No outputs to score. Give outputs files after the items folder.")
        return
    judged = key(source(given.judgements)) if judgements is not None and given.judgements else None
    table = gather(runs, items, judged)
    if table.width:
        show_scores(table, gather_curves(runs, items))
        show_confusions(runs, items)
    if len(runs.files) > 1:
        show_comparison(runs, items, judged)
    if table.width:
        show_glossary(ReportData("", scores=table))


main()
