"""Names in a filter that an index does not know: they are said and left out, so that an old address still opens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import polars as pl

from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import Chip, ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.pattern_cost import SomeTexts, slow_pattern, some_texts
from dfar_toolkit.browsing.reason_search import some_reasons
from dfar_toolkit.tables import HUMAN_RUN

_LISTED: Final = 8  # names in a sentence


def fitted(wanted: ItemFilter, index: ItemIndex) -> tuple[ItemFilter, list[str]]:
    """The filter without what this index does not know or would search for too long, and a line for each."""
    problems = []
    while found := unknown_values(wanted, index) or _slow_patterns(wanted, index):
        chip, problem = found[0]
        wanted = chip.rest
        problems.append(f"{chip.words}: {problem}; left out.")
    return wanted, problems


def unknown_values(wanted: ItemFilter, index: ItemIndex) -> list[tuple[Chip, str]]:
    """The conditions that an index cannot answer, each with the reason."""
    found = [(chip, _problem(chip.field, chip.value, index)) for chip in wanted.chips()]
    return [(chip, problem) for chip, problem in found if problem]


def _problem(field: str, value: Any, index: ItemIndex) -> str:
    """Why the index cannot answer the condition; empty where it can."""
    if field in ("regex", "reason_regex"):
        return bad_pattern(value)
    if field in ("state", "probability", "prediction"):
        problem = _unknown("run", value[0], index.runs)
        if problem or field != "prediction":
            return problem
        return _unknown("answer", value[1], index.names(f"answer {value[0]}"))
    if field == "beats":
        return _unknown("run", value[0], index.runs) or _unknown("run", value[1], index.runs)
    if field in ("differs", "judged_bad"):
        return _unknown("run", value, (*index.runs, HUMAN_RUN) if field == "judged_bad" else index.runs)
    if field == "between":
        known = _given(index, "value")
        return _unknown("value", value[0], known) or _unknown("value", value[1], known)
    if field == "apart":
        known = _given(index, "annotator_id")
        return _unknown("annotator", value[0], known) or _unknown("annotator", value[1], known)
    return _unknown_name(field, value, index)


def _slow_patterns(wanted: ItemFilter, index: ItemIndex) -> list[tuple[Chip, str]]:
    """The patterns that would take too long, each with the reason; each is tried once."""
    found = []
    for chip in wanted.chips():
        some = {"regex": _some_statements, "reason_regex": some_reasons}.get(chip.field)
        if some is not None:
            told = partial(_slow_in, chip.value, some, index)
            found.append((chip, index.remembered(("slow", chip.field, chip.value), told)))
    return [(chip, problem) for chip, problem in found if problem]


def _slow_in(pattern: str, some: Callable[[ItemIndex], SomeTexts], index: ItemIndex) -> str:
    return slow_pattern(pattern, some(index))


def _some_statements(index: ItemIndex) -> SomeTexts:
    return index.remembered("some statements", lambda: some_texts(index.column("statement")))


def _unknown_name(field: str, value: Any, index: ItemIndex) -> str:
    if field in ("config", "source", "split"):
        return _unknown(field, value, index.names(field))
    if field == "gold" and value != "":
        return _unknown("label", value, index.names("label"))
    if field == "given":
        return _unknown("value", value, _given(index, "value"))
    if field == "annotator":
        return _unknown("annotator", value, _given(index, "annotator_id"))
    if field == "finding":
        return _unknown("finding", value, enum_names(index.findings()["finding"]))
    if field == "group" and not (index.column("group") == value).any():
        return "there is no such group"
    return ""


def _given(index: ItemIndex, column: str) -> list[str]:
    return enum_names(index.ratings().long[column])


def _unknown(what: str, name: str, known: list[str] | tuple[str, ...]) -> str:
    if name in known:
        return ""
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there is no such {what}; found {', '.join(known[:_LISTED]) or 'none'}{more}"


def bad_pattern(pattern: str) -> str:
    """Why a pattern is none, in a line; empty where it is one.

    Example:
        >>> bad_pattern("sto(le|re)"), bad_pattern("(")
        ('', 'no pattern: unclosed group')
    """
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        lines = str(error).splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return f"no pattern: {(said or lines)[0].removeprefix('regex error: ').rstrip('.')[:200]}"
    return ""
