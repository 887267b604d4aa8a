"""From a number to the items behind it: which flipped, which words were hidden, what the model said then."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.addresses import link
from dfar_toolkit._viewer.faithfulness_data import asked, perturbed
from dfar_toolkit._viewer.faithfulness_numbers import step_words
from dfar_toolkit._viewer.faithfulness_place import FaithPlace
from dfar_toolkit.browsing.hidden_words import HiddenWords, hidden_words
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import PAGE
from dfar_toolkit.browsing.perturbed_items import STATES, option_probs, perturbed_items, step_name, steps_of
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Step

_MEANINGS: Final = {
    "flipped": "another label",
    "in part": "another label in some draws",
    "kept": "the same label",
    "unparsed": "no label then",
    "unanswered": "not answered",
}
_OPTIONS: Final = 6  # whose probabilities are listed


def items_shown(
    index: ItemIndex, here: FaithPlace, steps: list[Step], margin: float, number: int
) -> dict[str, Any] | None:
    """The list of items at the step of the address; None where there is no such step.

    Raises:
        DfarError: The run does not fit the items.
    """
    with st.spinner("Looking for the items behind the number ..."):
        p = perturbed(index, here.run)
    if here.method not in p.methods or here.operator not in p.operators or here.step is None:
        return None
    own_steps = steps_of(p, here.method, here.operator, steps)
    if here.step not in own_steps:
        return None
    found = perturbed_items(
        p, method=here.method, operator=here.operator, step=here.step, side=here.side, margin=margin
    )
    counts = dict(found["state"].value_counts().iter_rows())
    listed = found.filter(pl.col("state") == here.show) if here.show else found
    last = max(1, -(-len(listed) // PAGE))
    number = min(max(1, number), last)
    page = listed[(number - 1) * PAGE : number * PAGE]
    methods = [method for method, operator in p.blocks() if operator == here.operator]
    return {
        "run": here.run,
        "runs": index.runs,
        "method": here.method,
        "operator": here.operator,
        "step": step_words(here.step),
        "side": here.side,
        "back": here.to(method=""),
        "n": len(listed),
        "rate": _mean(found.filter(pl.col("n_answered") > 0).select(pl.col("n_flipped") / pl.col("n_answered"))),
        "drop": _mean(found.select("drop")),
        "answered": int((found["n_answered"] > 0).sum()),
        "states": [(s, _MEANINGS[s], counts.get(s, 0), here.to(show=s), here.show == s) for s in STATES
                   if s in counts or here.show == s],
        "all": (len(found), here.to(show=""), not here.show),
        "sides": [(w, here.to(side=s, show=""), s == here.side) for s, w in (("without", "without the words"),
                                                                          ("only", "with these words alone"))],
        "steps": [(step_words(s), here.to(step=step_name(s), show=""), s == here.step) for s in own_steps],
        "methods": [(m, here.to(method=m, show="") if here.step in steps_of(p, m, here.operator, [here.step]) else "",
                     m == here.method) for m in methods],
        "rows": _rows(index, here, p, page),
        "options": list(p.options)[:_OPTIONS],
        "number": number,
        "last": last,
        "turns": [(words, here.to(page=str(n)) if 1 <= n <= last else "", key)
                  for words, n, key in (("Previous", number - 1, "p"), ("Next", number + 1, "n"))],
    }  # fmt: skip


def _mean(column: pl.DataFrame) -> float:
    found = column.to_series().mean()
    return float(found) if isinstance(found, float) else float("nan")


def _rows(index: ItemIndex, here: FaithPlace, p: Perturbed, page: pl.DataFrame) -> list[dict[str, Any]]:
    step = here.step or Step()
    own = asked(index, here.run)
    named = own.rows.filter(condition="rationale", method=here.method)
    hidden = hidden_words(named, own.items, page, own=step == Step())
    probs = option_probs(
        p, page["item"], method=here.method, operator=here.operator, step=step, side=here.side
    )  # fmt: skip
    found = []
    for at, row in enumerate(page.iter_rows(named=True)):
        words: HiddenWords = hidden[row["item_id"]]
        beside = list(zip(p.options, probs.before[at].tolist(), probs.after[at].tolist(), strict=True))
        beside = sorted(beside, key=lambda one: p.options.index(one[0]))[:_OPTIONS]
        found.append({**row, "words": words, "probs": beside if beside and beside[0][1] == beside[0][1] else [],
                      "meaning": _MEANINGS[row["state"]],
                      "href": link("item", more={"id": row["item_id"]})})  # fmt: skip
    return found
