"""Agreement: how far people agree, who with whom, about which values, in which groups, and over which items not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, get_args

import streamlit as st

from dfar_toolkit._viewer.addresses import link, parameter
from dfar_toolkit._viewer.markup import clip, show
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.agreement.raters.rater_matrix import Pairwise
from dfar_toolkit.browsing import who_agrees
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.one_question import within_config
from dfar_toolkit.browsing.paging import found_rows, page
from dfar_toolkit.browsing.rated_question import item_votes, rated_configs, rated_question, rater_columns
from dfar_toolkit.browsing.set_facts import Row, agreement_rows
from dfar_toolkit.browsing.who_agrees import (
    RATERS_SHOWN,
    agreement_by_items,
    agreement_by_people,
    agreement_by_value,
    matrix_of_raters,
    statistics,
    values_together,
)
from dfar_toolkit.report.cells import confidence_text, finite, over_text
from dfar_toolkit.report.glossary import meanings

_DISPUTED: Final = 20
_SHOWN: Final = {"kappa": "beyond chance (Cohen’s κ)", "percent": "same value", "overlap": "items in common"}
_PARTS: Final = {
    "raters": "Who agrees with whom", "values": "On which values", "people": "Groups of people",
    "items": "Groups of items",
}  # fmt: skip


def here(**change: str) -> str:
    """The address of this page with some of its parameters changed; empty values go away."""
    known = {name: parameter(name) for name in ("config", "shown", "raters", "rater", "part")}
    return link("agreement", more={**known, **change})


def show_statistics(index: ItemIndex, config: str) -> None:
    """The coefficients of every question, each with its interval on one scale."""
    read = agreement_rows(index.files)
    rows = [row for row in read.rows if row.get("rater_a") is None]
    problem = read.problem
    if not rows and len(rated_question(index, config).ratings) <= who_agrees.MANY:
        found = statistics(index, config)
        rows, problem = found.table.to_dicts(), found.refused or problem
    drawn = [row for row in rows if finite(row.get("value"))]
    ends = [float(row[name]) for row in drawn for name in ("value", "low", "high") if finite(row.get(name))]
    lowest = min([0.0, *ends])
    many = len({row.get("question") for row in rows}) > 1
    values = {
        "rows": rows[:200], "n_rows": len(rows), "lowest": lowest, "width": max([1.0, *ends]) - lowest,
        "over_text": over_text, "finite": finite, "questions": many,
        "meanings": meanings({str(row.get("statistic")) for row in rows}), "confidence": confidence_text(rows),
        "problem": problem, "notes": any(row.get("note") for row in rows),
    }  # fmt: skip
    show("agreement_statistics.jinja", values)


def within(index: ItemIndex, config: str) -> ItemFilter:
    """The items that the question is about, all where the set asks one question only."""
    return within_config(config if len(rated_configs(index)) > 1 else "")


def show_disputed(index: ItemIndex, config: str) -> None:
    """The items over which people part most."""
    wanted = replace(within(index, config), disagreement=(0.0001, None))
    found = found_rows(index, wanted, order="-disagreement")
    rows = page(index, found, 0, ["item_id", "statement", "label", "disagreement", "n_ratings"], size=_DISPUTED)
    votes = item_votes(index, rows["row"].to_list())
    values = list(dict.fromkeys(name for row in votes.values() for name, _ in row))
    listed = [
        {**row, "votes": votes[row["row"]], "href": link("item", wanted, order="-disagreement",
                                                         more={"id": row["item_id"]})}
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    everything = link("items", wanted, order="-disagreement")
    known = index.names("label") or values
    order = [name for name in known if name in values] + [name for name in values if name not in known]
    show("agreement_disputed.jinja", {"rows": listed, "n": len(found), "all": everything, "values": order})


def show_raters(index: ItemIndex, config: str) -> None:
    """Pairs of raters, twenty at once."""
    shown: Pairwise = next((s for s in get_args(Pairwise) if s == parameter("shown")), "kappa")
    number = int(n) if (n := parameter("raters")).isdecimal() and len(n) < 8 else 1
    rater = parameter("rater")
    found = matrix_of_raters(index, config, statistic=shown, number=max(0, number - 1), rater=rater)
    chosen = rater if rater in dict(found.raters) else ""
    asked = within(index, config)
    first, last = found.first + 1, found.first + len(found.raters)
    turns = [
        ("previous", here(raters=str(found.first // RATERS_SHOWN)) if found.first else ""),
        ("next", here(raters=str(found.first // RATERS_SHOWN + 2)) if last < found.n_raters else ""),
    ]
    values = {
        "found": found, "shown": shown, "chosen": chosen, "first": first, "last": last,
        "short": short_names([name for name, _ in found.raters]),
        "kinds": [(words, here(shown="" if kind == "kappa" else kind), kind == shown)
                  for kind, words in _SHOWN.items()],
        "turns": turns if not chosen else [], "whole": here(rater="", raters=""), "unknown": bool(rater) and not chosen,
        "rated": {name: link("items", replace(asked, annotator=(name,))) for name, _ in found.raters},
        "choose": {name: here(rater=name, raters="") for name, _ in found.raters},
        "apart": {pair: link("items", replace(asked, apart=(pair,))) for pair in found.cells},
        "finite": finite,
    }  # fmt: skip
    show("agreement_raters.jinja", values)


def short_names(names: list[str]) -> dict[str, str]:
    """Names without the source that all of them begin with.

    Example:
        >>> short_names(["set:a1", "set:a2"]), short_names(["x:a", "y:a"])
        ({'set:a1': 'a1', 'set:a2': 'a2'}, {'x:a': 'x:a', 'y:a': 'y:a'})
    """
    begins = {name.rpartition(":")[0] for name in names}
    return {name: name.rpartition(":")[2] if len(begins) == 1 else name for name in names}


def show_values(index: ItemIndex, config: str) -> None:
    """Agreement about each value, and which values stand beside each other."""
    by_value, together = agreement_by_value(index, config), values_together(index, config)
    cells = {(str(r["given"]), str(r["other"])): r for r in together.table.to_dicts()}
    known = index.ratings().long["value"].dtype.categories.to_list()  # type: ignore[attr-defined]
    names = [name for name in known if (name, name) in cells]
    rows = sorted(by_value.table.to_dicts(), key=lambda row: known.index(str(row["category"])))
    asked = within(index, config)
    links = {
        (a, b): link("items", replace(asked, between=((a, b),)), order="-disagreement") for a, b in cells if a != b
    }
    given = {str(r["category"]): link("items", replace(asked, given=(str(r["category"]),))) for r in rows}
    values = {
        "rows": rows, "refused": by_value.refused, "names": names, "cells": cells, "links": links, "given": given,
        "together_refused": together.refused,
    }  # fmt: skip
    show("agreement_values.jinja", values)


def show_people(index: ItemIndex, config: str) -> None:
    """Agreement within and between groups of raters by what is known about them."""
    columns = rater_columns(index)
    parts = []
    for column in columns[:6]:
        found = agreement_by_people(index, config, column)
        rows = found.table.to_dicts()
        names = [str(row["group_a"]) for row in rows if row["comparison"] == "within"]
        cells: dict[tuple[str, str], Row] = {}
        tests: dict[tuple[str, str], Row] = {}
        for row in rows:
            a, b = str(row["group_a"]), str(row["group_b"] or row["group_a"])
            if row["comparison"] in ("within", "between"):
                cells[a, b] = cells[b, a] = row
            elif row["comparison"] == "within - between":
                tests[a, b] = row
        parts.append({"column": column.replace("_", " "), "names": names, "cells": cells, "tests": tests,
                      "refused": found.refused})  # fmt: skip
    show("agreement_people.jinja", {"parts_list": parts, "more": max(0, len(columns) - 6), "finite": finite})


def show_items(index: ItemIndex, config: str) -> None:
    """Agreement over the items of each source and split."""
    parts = []
    for column, many in (("source", 40), ("split", 40)):
        if len(index.names(column)) < 2:
            continue
        found = agreement_by_items(index, config, column)
        rows = [
            {**row, "name": str(row[column]), "href": _items_of(within(index, config), column, str(row[column]))}
            for row in found.table.to_dicts()[:many]
        ]
        parts.append({"column": column, "rows": rows, "refused": found.refused})
    if parts:
        show("agreement_items.jinja", {"parts_list": parts})


def _items_of(asked: ItemFilter, column: str, name: str) -> str:
    wanted = replace(asked, source=(name,)) if column == "source" else replace(asked, split=(name,))
    return link("items", wanted, order="-disagreement")


def main() -> None:
    """The page."""
    index = opened()
    configs = rated_configs(index)
    config = parameter("config") if parameter("config") in configs else (configs or ["default"])[0]
    with st.spinner("Reading the ratings …"):
        asked = rated_question(index, config)
    others = [(name, here(config=name), name == config) for name in configs] if len(configs) > 1 else []
    question = {"question": asked.question, "n": len(asked.ratings), "n_unknown": asked.n_unknown, "configs": others}
    show("agreement.jinja", {**question, "several": asked.kind == "set", "problems": index.problems})
    with st.spinner("Computing agreement …"):
        show_statistics(index, config)
    show_disputed(index, config)
    if asked.refused:
        show("agreement_refused.jinja", {"refused": asked.refused, "several": asked.kind == "set"})
        return
    large = len(asked.ratings) > who_agrees.MANY
    parts: dict[str, Callable[[ItemIndex, str], None]] = {
        "raters": show_raters, "values": show_values, "people": show_people, "items": show_items,
    }  # fmt: skip
    for part, draw in parts.items():
        if large and parameter("part") != part:
            if part != "people" or rater_columns(index):
                values: dict[str, Any] = {"title": _PARTS[part], "href": here(part=part), "n": len(asked.ratings)}
                show("agreement_later.jinja", values)
            continue
        with st.spinner(f"{_PARTS[part]}: counting {clip(f'{len(asked.ratings):,}')} ratings …"):
            draw(index, config)


main()
