"""Two reasons side by side, chosen by links: words that only one of them has are marked."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from dfar_toolkit._viewer.addresses import parameter
from dfar_toolkit._viewer.item_place import ItemPlace
from dfar_toolkit.browsing.item_record import ItemRecord
from dfar_toolkit.browsing.word_diff import LONGEST, word_diff
from dfar_toolkit.tables import HUMAN_RUN

_BETWEEN: Final = "|"


def pair_of(text: str, known: Container[str]) -> list[str]:
    """The one or two keys that a parameter names, of those that are known; a key may itself hold the sign between.

    Example:
        >>> pair_of("a|b|c", {"a|b", "c"}), pair_of("c", {"c"}), pair_of("c|x", {"c"}), pair_of("c|c", {"c"})
        (['a|b', 'c'], ['c'], [], ['c'])
    """
    if text in known:
        return [text]
    for at, sign in enumerate(text):
        if sign == _BETWEEN and text[:at] in known and text[at + 1 :] in known:
            return list(dict.fromkeys((text[:at], text[at + 1 :])))
    return []


def joined(*keys: str) -> str:
    """The parameter that names these keys."""
    return _BETWEEN.join(keys)


def reasons_of(place: ItemPlace, record: ItemRecord) -> dict[str, dict[str, Any]]:
    """Every reason of the item's answers by its key: who gives it, for which value, the words."""
    found: dict[str, dict[str, Any]] = {}
    if {"reason", "rating_id"} <= set(record.annotations.columns):
        for row in record.annotations.iter_rows(named=True):
            if row["reason"] and row["reason"].strip():
                key = f"{HUMAN_RUN}/{row['rating_id']}"
                own = found.setdefault(
                    key,
                    {"key": key, "run": "", "who": row["annotator_id"], "value": row["value"], "text": row["reason"]},
                )
                if row["reason"] not in own["text"]:
                    own["text"] += "\n" + row["reason"]
    for run in record.runs:
        if run.answer and run.answer["reason"] and run.answer["reason"].strip():
            key = run.answer["output_id"]
            found[key] = {
                "key": key,
                "run": run.run,
                "who": run.run,
                "value": place.answer(run.run),
                "text": run.answer["reason"],
            }
    return found


def comparison(place: ItemPlace, record: ItemRecord) -> dict[str, Any]:
    """What is compared: ``picked`` keys, both reasons in pieces, and the address that each key's link leads to."""
    reasons = reasons_of(place, record)
    picked = pair_of(parameter("diff"), reasons)
    sides, diff = [reasons[key] for key in picked], None
    if len(sides) == 2:
        diff = word_diff(sides[0]["text"], sides[1]["text"])
    links: dict[str, str] = {}
    if len(reasons) > 1:
        for key in reasons:
            chosen = [other for other in picked if other != key]
            # Of a pair the second makes room for the third.
            wanted = chosen if key in picked else [*picked[:1], key]
            links[key] = place.here(diff=joined(*wanted))
    return {
        "picked": picked,
        "sides": sides,
        "pieces": [diff.first, diff.second] if diff else [],
        "diff": diff,
        "longest": LONGEST,
        "links": links,
        "asked": bool(parameter("diff")) and not picked,
        "swap": place.here(diff=joined(*reversed(picked))),
        "close": place.here(diff=""),
        "runs": place.index.runs,
    }
