"""The facets beside the list: every value with its count, as links that choose it or let it go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit._viewer.addresses import link
from dfar_toolkit.browsing.facets import facets
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.tables import HUMAN_RUN

_FIRST: Final = 8  # values shown before "more"
_MOST: Final = 200  # values shown at all; thousands of annotators are found by their address
_PAIRS: Final = 12  # pairs of runs or of values whose items are counted
_TITLES: Final = {
    "gold": "Label", "given": "Somebody said", "split": "Split", "config": "Config", "source": "Source", "leak": "Leak",
    "finding": "Audit finding", "annotator": "Annotator", "state": "Outcome", "prediction": "Answer",
}  # fmt: skip
_ORDER: Final = ("gold", "given", "split", "config", "source", "leak", "finding", "annotator")


class Choice(NamedTuple):
    """A value: its words, how many items it leaves, its share of the largest, where it leads, is it chosen."""

    words: str
    count: int
    share: float
    href: str
    chosen: bool


class Facet(NamedTuple):
    """A facet; ``first`` is shown, ``rest`` is folded, ``left_out`` is said."""

    title: str
    run: str
    first: list[Choice]
    rest: list[Choice]
    left_out: int


def facet_panel(index: ItemIndex, wanted: ItemFilter, order: str) -> list[Facet]:
    """Every facet that tells items apart, about people first, then run by run."""
    counts = facets(index, wanted)
    parts = {(str(f), str(r)): part for (f, r), part in counts.group_by("facet", "run", maintain_order=True)}
    panel = [_of_names(parts[f, ""], f, wanted, order) for f in _ORDER if (f, "") in parts]
    panel.append(_of_pairs(index, wanted, order, "between", "People split between", _value_pairs(index)))
    panel.append(_of_yes_no(index, wanted, order))
    for run in index.runs:
        panel += [_of_names(parts[f, run], f, wanted, order) for f in ("state", "prediction") if (f, run) in parts]
    panel.append(_of_pairs(index, wanted, order, "beats", "Right, and the other is not", _run_pairs(index)))
    panel.append(_of_judged(index, wanted, order))
    return [facet for facet in panel if facet.first]


def _of_names(part: pl.DataFrame, field: str, wanted: ItemFilter, order: str) -> Facet:
    run = str(part["run"][0])
    if len(part) < 2 and not part["chosen"].any():
        return Facet(_TITLES[field], run, [], [], 0)  # one value for all tells nothing apart
    ranked = part.sort(~pl.col("chosen"), pl.col("count"), descending=[False, True], maintain_order=True)
    most = max(1, int(ranked["count"].max() or 0))  # type: ignore[arg-type]
    rows = ranked.head(_MOST).iter_rows(named=True)
    choices = [
        Choice(
            _said(field, row["value"]), row["count"], row["count"] / most,
            link("items", _toggled(wanted, field, (run, row["value"]) if run else row["value"]), order=order),
            row["chosen"],
        )
        for row in rows
    ]  # fmt: skip
    return Facet(_TITLES[field], run, choices[:_FIRST], choices[_FIRST:], max(0, len(ranked) - _MOST))


def _said(field: str, value: str) -> str:
    if field == "gold" and value == "":
        return "none (people tied)"
    return "no leak" if field == "leak" and value == NO_LEAK else value


def _toggled(wanted: ItemFilter, field: str, value: Any) -> ItemFilter:
    held = getattr(wanted, field)
    change: dict[str, Any] = {field: tuple(v for v in held if v != value) if value in held else (*held, value)}
    return replace(wanted, **change)


def _of_pairs(
    index: ItemIndex, wanted: ItemFilter, order: str, field: str, title: str, pairs: Sequence[tuple[str, str]]
) -> Facet:
    chosen = getattr(wanted, field)
    shown = [*chosen, *(pair for pair in pairs if pair not in chosen)][:_PAIRS]
    words = " > " if field == "beats" else " / "
    choices = []
    for pair in shown:
        alone: dict[str, Any] = {field: (pair,)}
        count = len(found_rows(index, replace(wanted, **alone)))
        href = link("items", _toggled(wanted, field, pair), order=order)
        choices.append(Choice(words.join(pair), count, 0.0, href, pair in chosen))
    return Facet(title, "", _shared(choices), [], max(0, len(pairs) - _PAIRS))


def _value_pairs(index: ItemIndex) -> list[tuple[str, str]]:
    known = set(enum_names(index.ratings().long["value"]))  # none where what people said cannot be read
    return list(combinations([name for name in index.options() if name in known], 2)) if len(index) else []


def _run_pairs(index: ItemIndex) -> list[tuple[str, str]]:
    return list(permutations(index.runs, 2))


def _of_yes_no(index: ItemIndex, wanted: ItemFilter, order: str) -> Facet:
    said = {
        "has_reason": {True: "with a reason", False: "without a reason"},
        "flagged": {True: "flagged", False: "not flagged"},
    }
    choices = []
    for field, words in said.items():
        held = getattr(wanted, field)
        for value, word in words.items():
            alone: dict[str, Any] = {field: value}
            count = len(found_rows(index, replace(wanted, **alone)))
            to: dict[str, Any] = {field: None if held is value else value}
            found = Choice(word, count, 0.0, link("items", replace(wanted, **to), order=order), held is value)
            if value or held is value or field == "has_reason":
                choices.append(found)
    return Facet("Has", "", [c for c in _shared(choices) if c.count or c.chosen], [], 0)


def _of_judged(index: ItemIndex, wanted: ItemFilter, order: str) -> Facet:
    choices = []
    for run in (*index.runs, HUMAN_RUN) if len(index.judgements()) else ():
        count = len(found_rows(index, replace(wanted, judged_bad=(run,))))
        href = link("items", _toggled(wanted, "judged_bad", run), order=order)
        choices.append(Choice(run, count, 0.0, href, run in wanted.judged_bad))
    return Facet("Reason judged bad", "", [c for c in _shared(choices) if c.count or c.chosen], [], 0)


def _shared(choices: Sequence[Choice]) -> list[Choice]:
    most = max((c.count for c in choices), default=0) or 1
    return [c._replace(share=c.count / most) for c in choices]
