"""The people who rated an item, in camps: those who gave the same value stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

_DECLARED: Final = frozenset({
    "item_id", "annotator_id", "question", "rating_id", "value", "value_num", "reason", "evidence", "foil", "weight",
    "occasion", "at",
})  # fmt: skip
_RATER: Final = " of the rater"  # what item_record puts behind what is known about the person
_UNSAID: Final = "kind" + _RATER


class Voice(NamedTuple):
    """One value that one person gave.

    Attributes:
        annotator_id: The person.
        rating_id: The rating; ``human/`` before it names the reason where it is judged.
        reason: The person's words, None where there are none.
        also: Other values of the same rating.
        evidence: Places that the person marked, each ``field, start, end``; None where nobody asked for any.
        person: What is known about the person, pairs of name and value.
        facts: What else the rating says, such as a confidence.
    """

    annotator_id: str
    rating_id: str
    reason: str | None
    also: tuple[str, ...]
    evidence: tuple[tuple[str, int, int], ...] | None
    person: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


class Camp(NamedTuple):
    """A value, and everybody who gave it: those who say why come first."""

    value: str
    voices: tuple[Voice, ...]


class QuestionCamps(NamedTuple):
    """The camps of one question, and how many ratings there are; one rating may be in several camps."""

    question: str
    camps: tuple[Camp, ...]
    n_ratings: int


def question_camps(
    annotations: pl.DataFrame, options: Mapping[str, Sequence[str]], *, primary: str = ""
) -> list[QuestionCamps]:
    """Camps of every question that people answered about one item.

    Args:
        annotations: What :func:`item_record` gives of that name.
        options: The options of each question; camps stand in their order where there are few, the largest first
            otherwise.
        primary: The question that comes first.

    Returns:
        One entry per question; none where nobody rated.
    """
    if not len(annotations) or not {"question", "value"} <= set(annotations.columns):
        return []
    by: dict[str, list[dict[str, Any]]] = {}
    for row in annotations.iter_rows(named=True):
        if row["value"] is not None:
            by.setdefault(str(row["question"]), []).append(row)
    asked = sorted(by, key=lambda question: (question != primary, list(by).index(question)))
    return [_camps_of(question, by[question], options.get(question) or ()) for question in asked]


_FEW: Final = 6  # options whose camps keep their place from item to item


def _camps_of(question: str, rows: Sequence[Mapping[str, Any]], options: Sequence[str]) -> QuestionCamps:
    values: dict[str, list[Voice]] = {}
    ratings: dict[str, list[str]] = {}
    for row in rows:
        ratings.setdefault(str(row["rating_id"]), []).append(str(row["value"]))
    for row in rows:
        values.setdefault(str(row["value"]), []).append(_voice(row, ratings[str(row["rating_id"])]))
    camps = [Camp(value, tuple(sorted(voices, key=lambda v: v.reason is None))) for value, voices in values.items()]
    order = {value: place for place, value in enumerate(options)}
    last = len(order)
    if len(options) <= _FEW:
        camps.sort(key=lambda camp: (order.get(camp.value, last), -len(camp.voices)))
    else:
        camps.sort(key=lambda camp: (-len(camp.voices), order.get(camp.value, last)))
    return QuestionCamps(question, tuple(camps), len(ratings))


def _voice(row: Mapping[str, Any], values: Sequence[str]) -> Voice:
    value, number = str(row["value"]), row.get("value_num")
    facts: dict[str, Any] = {}
    if number is not None and f"{number:g}" != value:
        facts["as a number"] = number
    facts |= {"rather than": row.get("foil"), "at": row.get("at")}
    facts |= {"weight": row.get("weight")} if row.get("weight") not in (None, 1) else {}
    facts |= {"occasion": row.get("occasion")} if row.get("occasion") else {}
    facts |= {name: row[name] for name in row if name not in _DECLARED and not name.endswith(_RATER)}
    person = {name.removesuffix(_RATER): row[name] for name in row if name.endswith(_RATER) and name != _UNSAID}
    person |= {"kind": row[_UNSAID]} if row.get(_UNSAID) not in (None, "human") else {}
    marked = row.get("evidence")
    text = row.get("reason")
    return Voice(
        str(row["annotator_id"]),
        str(row["rating_id"]),
        str(text) if text is not None and str(text).strip() else None,
        tuple(other for other in values if other != value),
        None if marked is None else tuple((str(m["field"]), m["start"], m["end"]) for m in marked),
        _said(person),
        _said(facts),
    )


def _said(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values as text, without what is not known."""
    return tuple(
        (name, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in facts.items()
        if value is not None and value == value and str(value) not in ("", "[]", "{}")
    )
