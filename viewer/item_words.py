"""The words that people and methods find important, on the item's own text, and what two of them share."""

from __future__ import annotations

from typing import Any, Final

from dfar_toolkit._viewer.addresses import parameter
from dfar_toolkit._viewer.item_place import ItemPlace
from dfar_toolkit._viewer.item_reasons import joined, pair_of
from dfar_toolkit.browsing.item_record import ItemRecord
from dfar_toolkit.browsing.perturbation_steps import Step, perturbation_steps
from dfar_toolkit.browsing.rationale_rows import RankedWord, RationaleRow, overlap, top_words
from dfar_toolkit.browsing.word_rationales import field_texts

_WORDS: Final = 4000  # words that are drawn on texts on one page
_ROWS: Final = 60  # rows that are listed
_TOP: Final = 6  # words that are listed beside a row
_STEPS: Final = 80  # lines of the table of one run


def words_shown(place: ItemPlace, record: ItemRecord, rows: list[RationaleRow]) -> dict[str, Any]:
    """Rows in order, each drawn on the texts while they are few, and the two that are compared."""
    known = {row.key: row for row in rows}
    picked = pair_of(parameter("words"), known)
    texts = field_texts(record.item)
    length = sum(len(text) for text in texts.values()) // 6 + 1
    room = max(1, _WORDS // max(length, 1))
    chosen = [known[key] for key in picked]
    first = [row for row in rows if not row.aside]
    first = [*chosen, *(row for row in first if row.key not in picked)]
    aside = [row for row in rows if row.aside and row.key not in picked]
    drawn = first[: max(room, len(chosen))]
    shared = overlap(chosen[0], chosen[1], record.item) if len(chosen) == 2 else None
    return {
        "rows": [_row(place, row, picked, texts, drawn=row in drawn) for row in first[:_ROWS]],
        "aside": [_row(place, row, picked, texts, drawn=length * len(aside) <= _WORDS) for row in aside[:_ROWS]],
        "n_rows": len(rows),
        "hidden": max(0, len(first) - _ROWS) + max(0, len(aside) - _ROWS),
        "picked": picked,
        "shared": shared,
        "pair": chosen,
        "several": len(texts) > 1,
        "close": place.here(words=""),
        "runs": place.index.runs,
        "scored": any(word.rank for row in rows for word in row.words),
    }


def _row(
    place: ItemPlace, row: RationaleRow, picked: list[str], texts: dict[str, str], *, drawn: bool
) -> dict[str, Any]:
    others = [key for key in picked if key != row.key]
    wanted = others if row.key in picked else [*picked[:1], row.key]
    fields = {word.field for word in row.words}
    return {
        "run": row.run,
        "who": row.who,
        "words": row.who.replace("_", " "),
        "draw": row.draw if row.who == "random" else None,
        "target": row.target,
        "key": row.key,
        "picked": row.key in picked,
        "href": place.here(words=joined(*wanted)),
        "top": list(top_words(row, _TOP)),
        "n_chosen": sum(word.chosen for word in row.words),
        "n_lost": row.n_lost,
        "fields": {name: _pieces(row, name, text) for name, text in texts.items() if name in fields} if drawn else {},
        "drawn": drawn,
    }


def _pieces(row: RationaleRow, field: str, text: str) -> list[tuple[str, RankedWord | None]]:
    """A text cut at the words of a row; of words that overlap the first is kept."""
    pieces: list[tuple[str, RankedWord | None]] = []
    at = 0
    for word in sorted((w for w in row.words if w.field == field), key=lambda w: (w.start, -w.end)):
        if word.start < at or not (word.chosen or word.weight):
            continue
        pieces += [(text[at : word.start], None), (text[word.start : word.end], word)]
        at = word.end
    return [*pieces, (text[at:], None)]


def steps_shown(place: ItemPlace, record: ItemRecord, rows: list[RationaleRow]) -> list[dict[str, Any]]:
    """For each run with edited inputs: its answer to the whole item, and a line per edit."""
    found = []
    for run in record.runs:
        label = place.answer(run.run)
        steps = perturbation_steps(run, rows, label=label) if len(run.steps) else []
        if steps:
            lines = [{**step._asdict(), "what": _what(step)} for step in steps]
            found.append(
                {
                    "run": run.run,
                    "label": label,
                    "lines": lines[:_STEPS],
                    "rest": lines[_STEPS:],
                }
            )
    return found


def _what(step: Step) -> str:
    if step.what == "everything":
        return "every word"
    if step.what == "evidence":
        return "the chosen words"
    if step.what == "top" and step.k > 0:
        share = f" ({100 * step.share:g} %)" if step.share is not None else ""
        return f"top {step.k}{share}"
    return step.what.replace("_", " ") + (f" {step.k}" if step.k >= 0 else "")
