"""Runs: every run's metrics beside people and baselines, its calibration, its label shares, its reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer import scored
from dfar_toolkit._viewer.addresses import link, parameter
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.scored import (
    Key,
    Runs,
    items_source,
    judged_source,
    key,
    load_folder,
    load_runs,
    reliability,
    scores,
)
from dfar_toolkit._viewer.sinks import show_chart, show_problem
from dfar_toolkit._viewer.sources import items_folder, opened, resolved
from dfar_toolkit._viewer.tables import show_glossary, show_section
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.one_question import chosen_config, within_config
from dfar_toolkit.browsing.rated_question import rated_configs
from dfar_toolkit.browsing.run_standing import run_states
from dfar_toolkit.errors import DfarError
from dfar_toolkit.journeys.runs_by_splits import once_each
from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.headline_panels import headline_panels
from dfar_toolkit.report.plots import reasons_plot
from dfar_toolkit.report.reliability_plot import predicted_ends, reliability_plot
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.sections import sections
from dfar_toolkit.report.table import Section

_LABELS: Final = 12  # labels whose shares are drawn
_SUBSETS: Final = {
    "all": ItemFilter(),
    "leaked": ItemFilter(leak=("identical_row", "exact", "near")),
    "clean": ItemFilter(leak=(NO_LEAK, "stem")),
    "stem": ItemFilter(leak=("stem",)),
}


def gather(runs: Runs, items: Key, judged: Key | None, config: str = "") -> pl.DataFrame:
    """Scores of all files together; where some do not fit, of each that fits the items, and why the others do not."""
    files = tuple(dict.fromkeys(key(found) for found in runs.files.values()))
    if not files:
        return pl.DataFrame()
    try:
        whole: pl.DataFrame = scores(items, files, judged, config)
        return whole
    except (DfarError, ValueError):
        parts = list(_one_by_one(files, items, judged, config))
    if not parts:
        return pl.DataFrame()
    return once_each(parts)


def _one_by_one(files: tuple[Key, ...], items: Key, judged: Key | None, config: str) -> Iterator[pl.DataFrame]:
    """Each file by itself; without the judgements where it is they that do not fit."""
    said: set[str] = set()
    for found in files:
        for own in dict.fromkeys((judged, None)):
            try:
                yield scores(items, (found,), own, config)
                break
            except (DfarError, ValueError) as error:
                problem = f"{found[0]}: {error}"
                if problem not in said:
                    show_problem(problem)
                said.add(problem)


def gather_curves(runs: Runs, items: Key, config: str = "") -> pl.DataFrame:
    """The curves of all runs whose files fit the items; no columns where none has distributions."""
    found = []
    for file in dict.fromkeys(key(s) for s in runs.files.values()):
        try:
            found.append(reliability(items, file, config))
        except (DfarError, ValueError):
            continue  # said above, with the scores
    known = [curve for curve in found if curve.width]
    return pl.concat(known) if known else pl.DataFrame()


def show_answers(index: ItemIndex, config: str) -> None:
    """What became of every run's answers, each number a link to these items."""
    rows, asked = [], within_config(config)
    for run in index.runs:
        states = run_states(index, run, config=config)
        links = {state: link("items", replace(asked, state=((run, state),))) for state in states}
        wrong = link("errors", asked, more={"run": run})
        rows.append({"run": run, "states": states, "links": links, "errors": wrong})
    show("runs_answers.jinja", {"rows": rows, "names": index.runs})


def show_headlines(index: ItemIndex, table: pl.DataFrame) -> None:
    """Each headline metric of all runs on one scale, with what it is read against."""
    without = table.filter(pl.col("metric") == "missing_outputs", pl.col("subset") == "all", pl.col("value") > 0)
    missing = [(str(run), int(n)) for run, n in without.select("run_id", "value").iter_rows()]
    panels = headline_panels(table)
    show("runs_headlines.jinja", {"panels": panels, "missing": missing, "names": index.runs, "finite": finite})


def show_subsets(index: ItemIndex, table: pl.DataFrame, config: str) -> None:
    """Accuracy on leaked and clean items."""
    rows = [r for r in rows_of(table, "labels") if r["metric"] == "accuracy" and r.get("label") is None]
    subsets = list(dict.fromkeys(str(r["subset"]) for r in rows))
    if len(subsets) < 2:
        return
    cells = {(str(r["run_id"]), str(r["subset"])): r for r in rows}
    runs = list(dict.fromkeys(str(r["run_id"]) for r in rows))
    links = {name: link("items", _within(config, _SUBSETS[name])) for name in subsets if name in _SUBSETS}
    values = {"runs": runs, "subsets": subsets, "cells": cells, "links": links, "names": index.runs}
    show("runs_subsets.jinja", values)


def _within(config: str, wanted: ItemFilter) -> ItemFilter:
    return replace(wanted, config=within_config(config).config)


def show_shares(index: ItemIndex, table: pl.DataFrame, section: Section, config: str) -> None:
    """How often each run gives each label beside how often people do, and who has collapsed onto one."""
    rows = by_subset(rows_of(table, "bias"))[0]
    places = {(str(r["run_id"]), str(r["metric"]), str(r["label"])): r for r in rows}
    drawn = []
    for run in dict.fromkeys(str(r["run_id"]) for r in rows):
        own = [r for r in rows if str(r["run_id"]) == run and r["metric"] == "predicted_share"]
        labels = [
            {
                "label": str(r["label"]), "run": r, "people": places.get((run, "gold_share", str(r["label"]))),
                "difference": places.get((run, "share_difference", str(r["label"]))),
                "href": _predicted(index, run, str(r["label"]), config),
            }
            for r in (own if len(own) <= _LABELS else sorted(own, key=lambda r: -float(str(r["value"]))))[:_LABELS]
        ]  # fmt: skip
        drawn.append({"run": run, "labels": labels, "more": max(0, len(own) - _LABELS)})
    warnings = [line for line in section.text if " has collapsed onto one label" in line]
    values = {"drawn": drawn, "warnings": warnings, "names": index.runs, "finite": finite}
    show("runs_shares.jinja", values)
    show_section(section, title="", folded="Label shares in numbers")


def _predicted(index: ItemIndex, run: str, label: str, config: str) -> str:
    known = run in index.runs and label in index.names(f"answer {run}")
    return link("items", _within(config, ItemFilter(prediction=((run, label),)))) if known else ""


def show_curves(index: ItemIndex, curves: pl.DataFrame, section: Section) -> None:
    """A reliability curve per run, three in a line, and the numbers."""
    show("runs_curves.jinja", {"text": section.text})
    ends = predicted_ends(curves) if curves.width else []
    parts = curves.partition_by("run_id", as_dict=True, maintain_order=True) if curves.width else {}
    columns = st.columns(3) if parts else []
    for place, ((run,), curve) in enumerate(parts.items()):
        with columns[place % 3]:
            show("runs_name.jinja", {"run": str(run), "names": index.runs})
            show_chart(reliability_plot(curve, ends=ends), name=f"reliability{place}")
    numbers = Section(section.key, section.title, (), section.tables)
    show_section(numbers, title="", folded="Calibration in numbers")


def show_scores(index: ItemIndex, table: pl.DataFrame, curves: pl.DataFrame, config: str = "") -> None:
    """Everything that the report says of scores, the important part first."""
    show_headlines(index, table)
    show_subsets(index, table, config)
    found = {section.key: section for section in sections(ReportData("", scores=table, reliability=curves))}
    if "bias" in found:
        show_shares(index, table, found["bias"], config)
    if "calibration" in found:
        show_curves(index, curves, found["calibration"])
    if "reasons" in found:
        reasons = found["reasons"]
        show_section(Section(reasons.key, reasons.title, reasons.text, ()))
        show_chart(reasons_plot(table), name="Reasons")
        show_section(Section(reasons.key, reasons.title, (), reasons.tables), title="", folded="Reasons in numbers")
    show("runs_further.jinja", {})
    for name, words in (("scores", "Scores of labels"), ("distributions", "Distributions"), ("people", "As a person")):
        if name in found:
            show_section(found[name], title="", folded=f"{words}: every number")
    show_glossary(ReportData("", scores=table))


def main() -> None:
    """The page."""
    index = opened()
    given = resolved()
    show("runs.jinja", {
        "names": index.runs, "problems": index.problems, "notes": index.notes, "compare": len(index.runs) > 1,
        "some_given": bool(given.outputs),
    })  # fmt: skip
    if not index.runs:
        return
    with st.spinner("Reading the answers …"):
        config = chosen_config(index, index.runs, parameter("config"))
        show("configs.jinja", {"configs": [
            (name, link("runs", more={"config": name, "compute": parameter("compute")}), name == config)
            for name in (rated_configs(index) if config else ())
        ]})  # fmt: skip
        show_answers(index, config)
    if len(index) > scored.MANY and parameter("compute") != "yes":
        show("runs_later.jinja", {"n": len(index), "href": link("runs", more={"config": config, "compute": "yes"})})
        return
    try:
        with st.spinner(f"Scoring {len(index.runs)} runs with intervals …"):
            load_folder(items_folder(given))  # says so where the items cannot be read whole
            items, judged = key(items_source(given)), judged_source(given)
            runs = load_runs(given)
            table = gather(runs, items, None if judged is None else key(judged), config)
            curves = gather_curves(runs, items, config)
    except (DfarError, OSError) as error:
        show_problem(error)
        return
    if table.width:
        show_scores(index, table, curves, config)
    else:
        show("runs_unscored.jinja", {})


main()
