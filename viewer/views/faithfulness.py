"""Faithfulness: does the label hang on the words that a method names, and are they those that people marked?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.addresses import link, parameter, place
from dfar_toolkit._viewer.faithfulness_data import CONFIDENCE, N_BOOT, asked, results
from dfar_toolkit._viewer.faithfulness_items import items_shown
from dfar_toolkit._viewer.faithfulness_numbers import (
    METRICS,
    common_warnings,
    consistent,
    curves,
    differences,
    operators_of,
    over_all_steps,
    plausible,
    rails,
    steps_of,
)
from dfar_toolkit._viewer.faithfulness_place import FaithPlace, faith_place
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sinks import show_chart
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.browsing.explained_runs import ExplainedRun, explained_run
from dfar_toolkit.browsing.item_columns import reason
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.perturbed_items import step_name
from dfar_toolkit.errors import DfarError
from dfar_toolkit.metrics.faithfulness.directions import OVER_RANDOM
from dfar_toolkit.metrics.faithfulness.matched_random import RANDOM
from dfar_toolkit.metrics.faithfulness.perturbed import Step
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.report.curve_plot import curve_plot

_LARGE: Final = 2_000_000  # rows from which numbers are made only when they are asked for
_GOLD: Final[tuple[tuple[GoldRule, str], ...]] = (
    ("majority", "the majority"), ("any", "anybody"), ("all", "everybody")
)  # fmt: skip


def main() -> None:
    """The page."""
    index = opened()
    with st.spinner("Looking at what the runs hold ..."):
        runs = [explained_run(index, run) for run in index.runs]
    with_rows = [one for one in runs if one.parts]
    wished = parameter("run")
    chosen = next((one for one in with_rows if one.run == wished), with_rows[0] if with_rows else None)
    here = faith_place(chosen.run if chosen else "")
    show("faithfulness.jinja", _head(index, here, runs, wished if chosen is None or chosen.run != wished else ""))
    if chosen is None:
        return
    if chosen.n_rows > _LARGE and not here.large:
        show("faithfulness_large.jinja", {"n": chosen.n_rows, "href": here.to(large="yes")})
        return
    try:
        _of_run(index, here, chosen)
    except (DfarError, OSError, ValueError, pl.exceptions.PolarsError) as error:
        said = str(error) if isinstance(error, DfarError) else reason(error)
        show("faithfulness_problem.jinja", {"problem": said, "what": "The numbers of this run"})


def _head(index: ItemIndex, here: FaithPlace, runs: list[ExplainedRun], unknown: str) -> dict[str, Any]:
    return {
        "runs": index.runs,
        "chosen": [(one.run, link("faithfulness", more={"run": one.run}), one.run == here.run)
                   for one in runs if one.parts],
        "others": [one.run for one in runs if not one.parts and not one.problem],
        "problems": [one.problem for one in runs if one.problem],
        "indexed": index.problems,
        "unknown": unknown,
    }  # fmt: skip


def _of_run(index: ItemIndex, here: FaithPlace, run: ExplainedRun) -> None:
    note = asked(index, run.run).note
    if note:
        show("faithfulness_problem.jinja", {"problem": note, "what": ""})
    if "faithfulness" in run.parts and _faithful(index, here):
        return
    if "plausibility" in run.parts:
        _plausible(index, here)
    if "self_consistency" in run.parts:
        _consistent(index, here)
    show("faithfulness_end.jinja", {"n_boot": N_BOOT, "confidence": CONFIDENCE})


def _faithful(index: ItemIndex, here: FaithPlace) -> bool:
    """The numbers of faithfulness; whether the items behind one of them are shown in their place."""
    found = results(index, here.run, "faithfulness")
    if found.problem:
        show("faithfulness_problem.jinja", {"problem": found.problem, "what": "Numbers of faithfulness"})
        return False
    operators = operators_of(found.table)
    operator = here.operator if here.operator in operators else (operators[0] if operators else "")
    own = found.table.filter(pl.col("operator") == operator, pl.col("rationale_method") != "")
    here = _at_operator(here, operator)
    if here.method and _items(index, here, found.table, steps_of(own)):
        return True
    said = common_warnings(own)
    methods = [str(name) for name in own["rationale_method"].unique(maintain_order=True)]
    methods = sorted(methods, key=lambda name: name == RANDOM)
    beside = {"operator": operator, "run": here.run, "runs": index.runs, "warnings": said}
    show("faithfulness_rails.jinja", {
        "rails": rails(found.table, operator), **beside,
        "operators": [(name, here.to(operator=name, method=""), name == operator) for name in operators],
    })  # fmt: skip
    to = lambda method, step: here.to(method=method, step=step_name(step), side=here.metric.side)  # noqa: E731
    said_metrics = [(m.heading, here.to(metric=m.name, over="random" if here.over and m.matched else ""),
                     m == here.metric) for m in METRICS]  # fmt: skip
    show("faithfulness_choice.jinja", {"metric": here.metric, "metrics": said_metrics})
    _charts(own, here, methods)
    shown = curves(own, here.metric, over=here.over, methods=methods, to=to, said=said)
    show("faithfulness_curves.jinja", {
        "curves": shown, "whole": over_all_steps(own, methods, said), "metric": here.metric, "over": here.over,
        "families": differences(found.differences, operator), **beside,
        "variants": [("as it is", here.to(over=""), not here.over),
                     ("minus random words of equal number", here.to(over="random"), here.over)],
    })  # fmt: skip
    return False


def _at_operator(here: FaithPlace, operator: str) -> FaithPlace:
    return replace(here, operator=operator)


def _items(index: ItemIndex, here: FaithPlace, table: pl.DataFrame, steps: list[Step]) -> bool:
    margin = table.filter(metric="noise_margin")["value"]
    found = items_shown(index, here, steps, float(margin[0]) if len(margin) else 0.0, place(index).number)
    if found is None:
        show("faithfulness_problem.jinja", {"problem": "The address names a method or a step that this run does not "
                                            "have; all its numbers are shown.", "what": ""})  # fmt: skip
        return False
    show("faithfulness_items.jinja", found)
    return True


def _charts(own: pl.DataFrame, here: FaithPlace, methods: list[str]) -> None:
    """The curves over shares, where there are any: the metric, and beside it the metric minus random words."""
    across = "share of the words " + ("left" if here.metric.side == "only" else "taken away")
    with st.container(horizontal=True):
        for name in (here.metric.name, here.metric.name + OVER_RANDOM):
            rows = own.filter(pl.col("share").is_not_null(), metric=name)
            shares = rows["share"].unique().sort().to_list()
            up = here.metric.heading.lower() + (" minus random words" if name.endswith(OVER_RANDOM) else "")
            chart = curve_plot(rows.to_dicts(), steps=shares, methods=methods, baseline=RANDOM, across=across, up=up)
            show_chart(chart, name=f"{up} by {across}")


def _plausible(index: ItemIndex, here: FaithPlace) -> None:
    found = results(index, here.run, "plausibility", here.gold)
    if found.problem:
        show("faithfulness_problem.jinja", {"problem": found.problem, "what": "Plausibility"})
        return
    show("faithfulness_plausible.jinja", {
        "table": plausible(found.table), "families": differences(found.differences, None), "run": here.run,
        "runs": index.runs,
        "golds": [(words, here.to(marked_by=rule if rule != "majority" else ""), rule == here.gold)
                  for rule, words in _GOLD],
        "empty": not len(found.table),
    })  # fmt: skip


def _consistent(index: ItemIndex, here: FaithPlace) -> None:
    found = results(index, here.run, "self_consistency")
    if found.problem:
        show("faithfulness_problem.jinja", {"problem": found.problem, "what": "Tests of self-consistency"})
        return
    show("faithfulness_consistent.jinja", {"table": consistent(found.table), "run": here.run, "runs": index.runs})
    early = found.table.filter(pl.col("share").is_not_null(), metric="early_answering_same")
    rows = early.with_columns(rationale_method=pl.col("operator").fill_null("")).to_dicts()
    chart = curve_plot(
        rows, steps=early["share"].unique().sort().to_list(),
        methods=list(dict.fromkeys(str(row["rationale_method"]) for row in rows)), baseline="",
        across="share of the reason that is kept", up="same label as with all of it",
    )  # fmt: skip
    show_chart(chart, name="share of labels that are already the last one, by share of the reason that is kept")


main()
