"""Compare: two runs on the same items, in all, metric by metric, subgroup by subgroup and item by item."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.addresses import link, parameter
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.scored import comparison, items_source, judged_source, key, source
from dfar_toolkit._viewer.sources import opened, resolved
from dfar_toolkit.browsing.error_table import errors_of, scored_of
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.one_question import chosen_config, within_config
from dfar_toolkit.browsing.paging import found_rows, page
from dfar_toolkit.browsing.rated_question import rated_configs
from dfar_toolkit.browsing.reasons_of_rows import reasons_of_rows
from dfar_toolkit.browsing.run_standing import answered_splits
from dfar_toolkit.browsing.slow_results import slow_results
from dfar_toolkit.browsing.subgroup_differences import subgroup_differences
from dfar_toolkit.errors import DfarError

_EXAMPLES: Final = 10
_FIRST: Final = 12  # subgroups shown before all are asked for
_NARROWEST: Final = 0.05  # half width of the scale of differences, at least
_AT_ONCE: Final = 100_000  # items up to which all metrics are computed unasked; at a million it takes minutes
_LOWER: Final = ("mean_absolute_error", "soft_cross_entropy", "brier_score", "human_calibration_error", "mar_")


def main() -> None:
    """The page."""
    index = opened()
    if len(index.runs) < 2:
        show("compare_none.jinja", {"runs": index.runs})
        return
    a, b, problems = _chosen(index)
    show(
        "compare_choice.jinja",
        {"a": a, "b": b, "runs": index.runs, "problems": problems, "choices": _choices(index, a, b)},
    )
    config = chosen_config(index, (a, b), parameter("config"))
    within = within_config(config)
    show("configs.jinja", {"configs": [
        (name, link("compare", more={"a": a, "b": b, "config": name}), name == config)
        for name in (rated_configs(index) if config else ())
    ]})  # fmt: skip
    found = _differences(index, a, b, within)
    whole = found.row(0, named=True)
    show("compare_table.jinja", _table(index, a, b, whole, within))
    metrics = st.container()
    if whole["n"]:
        show("compare_subgroups.jinja", _subgroups(index, a, b, found[1:], within))
        show("compare_examples.jinja", _examples(index, a, b, whole, within))
        with metrics:
            show("compare_metrics.jinja", _metrics(index, a, b, whole["n"], config))


def _chosen(index: ItemIndex) -> tuple[str, str, list[str]]:
    """The two runs of the address; others where it names none, or the same twice."""
    wished = [parameter("a"), parameter("b")]
    problems = [f'There is no run "{run}".' for run in wished if run and run not in index.runs]
    known = [run if run in index.runs else "" for run in wished]
    if known[0] and known[0] == known[1]:
        problems.append("Both runs of the address are the same; another one stands beside it.")
        known[1] = ""
    a = known[0] or next(run for run in index.runs if run != known[1])
    return a, known[1] or next(run for run in index.runs if run != a), problems


def _choices(index: ItemIndex, a: str, b: str) -> dict[str, Any]:
    """Links that put another run in the place of one of the two; the other's own place swaps them."""

    def to(first: str, second: str) -> str:
        return str(link("compare", more={"a": first, "b": second, "config": parameter("config")}))

    return {
        "first": [(run, to(run, a if run == b else b), run == a) for run in index.runs],
        "second": [(run, to(b if run == a else a, run), run == b) for run in index.runs],
        "swap": to(b, a),
    }


def _differences(index: ItemIndex, a: str, b: str, within: ItemFilter) -> pl.DataFrame:
    results, name = slow_results(index), ("subgroup differences", a, b, within)
    if results.knows(name):
        return results.get(name, pl.DataFrame)
    with st.spinner("Comparing the two runs, item by item"):
        return results.get(name, lambda: subgroup_differences(index, a, b, wanted=within))


def _table(index: ItemIndex, a: str, b: str, whole: Mapping[str, Any], within: ItemFilter) -> dict[str, Any]:
    cells = {
        "both": replace(within, state=((a, "right"), (b, "right"))), "only_a": replace(within, beats=((a, b),)),
        "only_b": replace(within, beats=((b, a),)), "neither": errors_of(index, b, replace(within, differs=(a,))),
    }  # fmt: skip
    n = whole["n"]
    return {
        "a": a, "b": b, "runs": index.runs, "whole": whole, "left_out": _left_out(index, a, b, within),
        "size": len(found_rows(index, within)),
        "cells": {
            name: {"count": whole[name], "share": whole[name] / n if n else math.nan, "href": link("items", wanted)}
            for name, wanted in cells.items()
        },
    }  # fmt: skip


def _left_out(index: ItemIndex, a: str, b: str, within: ItemFilter) -> list[tuple[str, int]]:
    """Why items are not compared, and how many."""
    rows = pl.Series(found_rows(index, within).rows)
    label = index.column("label").gather(rows).is_null()
    one, two = ((index.column(f"state {run}").gather(rows) == "missing") for run in (a, b))
    counts = {
        "without a label that runs could have right": label, f"without an output of {b}": ~label & ~one & two,
        f"without an output of {a}": ~label & one & ~two, "without an output of either": ~label & one & two,
    }  # fmt: skip
    return [(words, count) for words, mask in counts.items() if (count := int(mask.sum()))]


def _subgroups(index: ItemIndex, a: str, b: str, found: pl.DataFrame, within: ItemFilter) -> dict[str, Any]:
    by_kind, every = parameter("sort") == "kind", parameter("all") == "yes"
    ordered = (
        found if by_kind else found.sort(pl.col("value").abs(), descending=True, maintain_order=True, nulls_last=True)
    )
    rows = (ordered if every else ordered.head(_FIRST)).to_dicts()
    reach = max([_NARROWEST, *(abs(row[end]) for row in rows for end in ("value", "low", "high") if _known(row[end]))])
    own = {"a": a, "b": b, "config": parameter("config")}
    return {
        "a": a, "b": b, "runs": index.runs, "reach": reach,
        "rows": [_subgroup(index, row, a, b, reach, within) for row in rows],
        "by_kind": by_kind, "n": len(found), "more": len(found) > len(rows),
        "to_kind": link("compare", more={**own, "sort": "kind", "all": parameter("all")}),
        "to_size": link("compare", more={**own, "all": parameter("all")}),
        "to_all": link("compare", more={**own, "sort": parameter("sort"), "all": "yes"}),
    }  # fmt: skip


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _subgroup(
    index: ItemIndex, row: dict[str, Any], a: str, b: str, reach: float, within: ItemFilter
) -> dict[str, Any]:
    """A row with its links and its place on the scale from -reach to reach, in percent."""

    def at(value: float) -> float:
        return round(50 * (1 + value / reach), 2)

    drawn = _known(row["low"]) and _known(row["high"])
    row |= {"at": at(row["value"]), "from": at(row["low"]) if drawn else None, "to": at(row["high"]) if drawn else None}
    if row["filter"] is None:
        return row | {"href": "", "only_a_href": "", "only_b_href": ""}
    wanted = replace(ItemFilter.from_query(json.loads(row["filter"]))[0], config=within.config)
    return row | {
        "href": link("items", scored_of(index, (a, b), wanted)),
        "only_a_href": link("items", replace(wanted, beats=((a, b),))),
        "only_b_href": link("items", replace(wanted, beats=((b, a),))),
    }  # fmt: skip


def _examples(index: ItemIndex, a: str, b: str, whole: Mapping[str, Any], within: ItemFilter) -> dict[str, Any]:
    second = parameter("show") == "second"
    winner, loser = (b, a) if second else (a, b)
    wanted = replace(within, beats=((winner, loser),))
    found = found_rows(index, wanted)
    shown = page(
        index,
        found,
        0,
        ["item_id", "statement", "label", f"answer {winner}", f"answer {loser}", f"state {loser}"],
        size=_EXAMPLES,
    )
    places = shown["row"].to_list()
    reasons = {run: reasons_of_rows(index, run, places) for run in (a, b)}
    rows = [
        {
            "item_id": item_id, "statement": statement, "label": label,
            "href": link("item", wanted, more={"id": item_id}),
            "sides": [
                {"run": run, "answer": won if run == winner else lost, "state": "right" if run == winner else state,
                 "reason": reasons[run][k]}
                for run in (a, b)
            ],
        }
        for k, (_, item_id, statement, label, won, lost, state) in enumerate(shown.iter_rows())
    ]  # fmt: skip
    own = {"a": a, "b": b, "config": parameter("config"), "sort": parameter("sort"), "all": parameter("all")}
    return {
        "a": a, "b": b, "winner": winner, "loser": loser, "runs": index.runs, "rows": rows, "n": len(found),
        "second": second, "only_a": whole["only_a"], "only_b": whole["only_b"], "items": link("items", wanted),
        "to_first": link("compare", more=own), "to_second": link("compare", more={**own, "show": "second"}),
    }  # fmt: skip


def _metrics(index: ItemIndex, a: str, b: str, n_items: int, config: str) -> dict[str, Any]:
    """Differences of every metric that applies to both runs, over the items of the splits that they answer."""
    empty: dict[str, Any] = {
        "a": a,
        "b": b,
        "runs": index.runs,
        "rows": [],
        "more": 0,
        "notes": [],
        "problem": "",
        "to_compute": "",
        "splits": (),
        "whole_accuracy": False,
    }
    asked = parameter("metrics")
    if len(index) > _AT_ONCE and not asked:
        return empty | {"to_compute": link("compare", more={"a": a, "b": b, "config": config, "metrics": "now"})}
    given = resolved()
    both = [answered_splits(index, run, config=config) for run in (a, b)]
    splits = () if both[0] == both[1] else tuple(split for split in both[0] if split in both[1])
    try:
        chosen = tuple((*key(source(index.run_files[run].path)), run) for run in (a, b))
        judged = judged_source(given)
        with st.spinner("Computing the differences of metrics"):
            found = comparison(
                key(items_source(given)), chosen, None if judged is None else key(judged), config, splits
            )
    except (DfarError, OSError, pl.exceptions.PolarsError) as error:
        return empty | {"problem": str(error)}
    if found is None:
        return empty | {"problem": "No item has a label, or shares and probabilities, to compare these runs by."}
    every = asked == "all"
    rows = found.differences if every else found.differences.filter(pl.col("subset") == "all")
    more = 0 if every else len(found.differences) - len(rows)
    if not every:  # accuracy on the very same items stands above, with its test
        rows = rows.filter((pl.col("metric") != "accuracy") | (pl.col("n") != n_items))
    # Accuracy over more items than the table above has counts what is missing, and may even point the other way.
    counted = rows.filter((pl.col("subset") == "all") & (pl.col("metric") == "accuracy") & (pl.col("n") > n_items))
    own = {"a": a, "b": b, "config": config, "metrics": "all"}
    return empty | {
        "rows": [_metric(row, a, b) for row in rows.iter_rows(named=True)], "more": more,
        "to_more": link("compare", more=own), "primary": found.primary, "every": every,
        "splits": splits, "whole_accuracy": not counted.is_empty(),
        "notes": [f"{subset}: {note}" for subset, note in found.notes.items() if note and (every or subset == "all")],
    }  # fmt: skip


def _metric(row: dict[str, Any], a: str, b: str) -> dict[str, Any]:
    printed = str(row["name"]).removesuffix(f" of {b} minus {a}").replace("_", " ")
    lower = str(row["metric"]).startswith(_LOWER)
    better = ""
    if _known(row["value"]) and row["value"]:
        better = b if (row["value"] > 0) is not lower else a
    p = row.get("p_holm") if row.get("p_holm") is not None else row.get("p_value")
    return row | {"printed": printed, "lower": lower, "better": better, "p": p}


main()
