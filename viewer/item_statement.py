"""The item itself: its texts, with what was searched for marked, and what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit._viewer.addresses import link
from dfar_toolkit._viewer.item_place import ItemPlace, list_of
from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_record import ItemRecord
from dfar_toolkit.browsing.text_marks import marked_pieces, search_spans
from dfar_toolkit.files.items import config_options
from dfar_toolkit.tables import primary_questions

FOLDED: Final = 1500  # characters from which a statement is folded
_LEAKS: Final = 5  # items that are named


def options_of(place: ItemPlace, item: dict[str, Any]) -> list[str]:
    """The options of the item's primary question."""
    return config_options(place.index.files.questions)[str(item.get("config"))]


def question_of(place: ItemPlace, item: dict[str, Any]) -> str:
    """The item's primary question."""
    primary = primary_questions(place.index.files.questions)
    return primary.get(str(item.get("config"))) or next(iter(primary.values()), "")


def option_texts(place: ItemPlace, item: dict[str, Any]) -> dict[str, str]:
    """What the options of this very item say, by name; empty where they say no more than their names."""
    names, texts = options_of(place, item), item.get("option_texts") or []
    return dict(zip(names, map(str, texts), strict=False)) if list(texts) != names else {}


def statement(place: ItemPlace, record: ItemRecord) -> dict[str, Any]:
    """What the head of the page shows of the item."""
    item = record.item
    text = str(item.get("statement") or "")
    spans = search_spans(text, place.at.wanted)
    begin = marked_pieces(text[:FOLDED], [(a, min(b, FOLDED)) for a, b in spans if a < FOLDED])
    context = [
        {"name": str(part["role"] or part["field"] or "context"), "text": str(part["text"] or "")}
        for part in item.get("context") or ()
    ]
    return {
        "id": place.item_id,
        "pieces": marked_pieces(text, spans),
        "begin": begin if len(text) > FOLDED else [],
        # A match that the folded text hides is what the reader came for.
        "open": any(end > FOLDED for _, end in spans),
        "characters": len(text),
        "n_marked": len(spans),
        "searched": bool(place.at.wanted.text or place.at.wanted.regex),
        "context": context,
        "option_texts": option_texts(place, item),
        "facts": _facts(place, item),
        "votes": _votes(place, record),
    }


def _facts(place: ItemPlace, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines of name, value and link; a line may list several."""
    index, group = place.index, str(item.get("group") or "")
    facts = [
        _fact("source", item.get("source"), list_of(source=str(item.get("source") or ""))),
        _fact("split", item.get("split"), list_of(split=str(item.get("split") or ""))),
    ]
    if group and group != place.item_id:
        size = int((index.column("group") == group).sum())
        facts.append(_fact("group", group, list_of(group=group), f"{size:,} item{'s' if size != 1 else ''}"))
    if item.get("leak_kind"):
        kind = str(item["leak_kind"])
        against = item.get("leak_against")
        facts.append(_fact("leak", kind.replace("_", " "), list_of(leak=kind), f"of {against}" if against else ""))
        facts += _leaks(place, item.get("leak_of") or [])
    findings = index.findings().filter(pl.col("row") == place.row)["finding"].to_list()
    facts += [_fact("audit finding", name, list_of(finding=name)) for name in findings]
    return [fact for fact in facts if fact["value"]]


def _leaks(place: ItemPlace, others: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for other in others[:_LEAKS]:
        there = place.index.row_of(other) is not None
        href = link("item", more={"id": other}) if there else ""
        found.append(_fact("same as", other, href, "" if there else "not in this set"))
    if len(others) > _LEAKS:
        found.append(_fact("same as", f"and {len(others) - _LEAKS:,} more", ""))
    return found


def _fact(name: str, value: object, href: str, beside: str = "") -> dict[str, Any]:
    return {"name": name, "value": "" if value is None else str(value), "href": href, "beside": beside}


def _votes(place: ItemPlace, record: ItemRecord) -> dict[str, Any]:
    """Label, counts per option, and how often two people differ; of this item alone, so that no other one is read."""
    item = record.item
    label = item.get("label")
    names, counts = options_of(place, item), [int(c or 0) for c in item.get("label_counts") or []]
    total = sum(counts)
    known = len(counts) == len(names) and total > 0
    bars = [
        {"name": name, "count": count, "share": count / total, "place": at, "gold": name == label}
        for at, (name, count) in enumerate(zip(names, counts, strict=True))
        if count
    ] if known else []  # fmt: skip
    n, disagreement = _disagreement(record, question_of(place, item))
    return {
        "label": label,
        "href": link("items", ItemFilter(gold=("" if label is None else str(label),))),
        "bars": bars,
        "n": n,
        "disagreement": disagreement,
        "words": disagreement_words(disagreement),
    }


def _disagreement(record: ItemRecord, question: str) -> tuple[int, float | None]:
    """The number of ratings, and the chance that two of them differ; None below two ratings."""
    if not {"question", "value"} <= set(record.annotations.columns):
        return 0, None
    found = item_disagreement(record.annotations.filter(pl.col("question") == question))
    if not len(found):
        return 0, None
    n, value = found.select("n_ratings", "disagreement").row(0)
    return int(n), None if value is None or value != value else float(value)


def disagreement_words(value: float | None) -> str:
    """How much people disagree about an item, in words.

    Example:
        >>> disagreement_words(0.0), disagreement_words(0.6), disagreement_words(None)
        ('everybody agrees', 'most pairs of people differ', '')
    """
    if value is None:
        return ""
    if value == 0:
        return "everybody agrees"
    for most, words in (
        (0.25, "nearly everybody agrees"),
        (0.5, "many disagree"),
        (0.999, "most pairs of people differ"),
    ):
        if value <= most:
            return words
    return "no two people agree"
