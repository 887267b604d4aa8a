"""The words that a perturbation took away, drawn on the text of the item."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.word_rationales import RatedWord, WordRationale, field_texts, word_rationales

_WHOLE: Final = 420  # characters up to which a text is shown whole
_AROUND: Final = 70  # characters on either side of a word of a longer one
_PLACES: Final = 12  # stretches of a longer one


class TextPiece(NamedTuple):
    """A stretch of a text, and whether it was taken away; ``gap``: some text before it is left out."""

    text: str
    hidden: bool
    gap: bool = False


class HiddenWords(NamedTuple):
    """What was taken away from an item.

    Attributes:
        fields: Pieces of every text with such words, by the name of its field; of the statement in any case.
        words: The words in the order of their scores, or of the text where they have none.
        note: Why they cannot be said; empty where they can.
    """

    fields: dict[str, list[TextPiece]]
    words: tuple[str, ...]
    note: str


def hidden_words(
    rationales: pl.DataFrame, items: pl.DataFrame, steps: pl.DataFrame, *, own: bool
) -> dict[str, HiddenWords]:
    """The words of some items that one method's rationale names at a step.

    Args:
        rationales: Rows of outputs of condition ``rationale`` of this method.
        items: Rows of the table items.
        steps: ``item_id, removed, n_draws`` of the items asked about.
        own: Whether the step is the rationale's own set of words.

    Returns:
        By item id; every item asked about has an entry.
    """
    rows = rationales.filter(pl.col("item_id").is_in(steps["item_id"].implode()))
    texts = items.filter(pl.col("item_id").is_in(steps["item_id"].implode())).unique("item_id", keep="first")
    known = {str(item["item_id"]): item for item in texts.iter_rows(named=True)}
    found = {}
    for item_id, removed, n_draws in steps.select("item_id", "removed", "n_draws").iter_rows():
        item = known.get(item_id, {})
        all_draws = word_rationales(rows.filter(pl.col("item_id") == item_id), item)
        if n_draws > 1 or not all_draws:
            note = f"other words in each of {n_draws} draws" if n_draws > 1 else "the file does not say which words"
            found[item_id] = HiddenWords({"statement": pieces(str(item.get("statement") or ""), [])}, (), note)
        else:
            found[item_id] = _of_rationale(all_draws[0], item, removed, own=own)
    return found


def _of_rationale(one: WordRationale, item: Mapping[str, Any], removed: int, *, own: bool) -> HiddenWords:
    taken = _taken(one.words, removed, own=own)
    texts = field_texts(item)
    fields = {}
    for name, text in texts.items():
        spans = [(word.start, word.end) for word in taken if word.field == name and word.text is not None]
        if spans or name == "statement":
            fields[name] = pieces(text, spans)
    there = tuple(word.text for word in taken if word.text is not None)
    lost = len(taken) - len(there)
    return HiddenWords(fields, there, f"{lost} words that the item does not have" if lost else "")


def _taken(words: Sequence[RatedWord], removed: int, *, own: bool) -> list[RatedWord]:
    """The chosen words of a set; else the highest scores, of equal ones the first."""
    chosen = [word for word in words if word.chosen]
    scored = [word for word in words if word.score is not None and math.isfinite(word.score)]
    if removed < 0 or not scored or (own and chosen):
        return chosen
    order = sorted(range(len(scored)), key=lambda at: (-(scored[at].score or 0.0), at))
    return [scored[at] for at in order[:removed]]


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[TextPiece]:
    """A text cut at spans; of a long one only what is near them, or its beginning.

    Example:
        >>> [p.text for p in pieces("I lied twice.", [(2, 6)]) if p.hidden]
        ['lied']
    """
    cut: list[TextPiece] = []
    at = 0
    for start, end in sorted(spans):
        if start < at:
            continue
        cut += [TextPiece(text[at:start], hidden=False), TextPiece(text[start:end], hidden=True)]
        at = end
    cut = [piece for piece in (*cut, TextPiece(text[at:], hidden=False)) if piece.text]
    return cut if len(text) <= _WHOLE else _near(cut)


def _near(cut: Sequence[TextPiece]) -> list[TextPiece]:
    """Pieces that were taken away, and the beginnings and ends of what stands between them."""
    if not any(piece.hidden for piece in cut):
        return [TextPiece(cut[0].text[:_WHOLE], hidden=False), TextPiece("", hidden=False, gap=True)]
    kept: list[TextPiece] = []
    last = len(cut) - 1
    for place, piece in enumerate(cut):
        if sum(one.hidden for one in kept) >= _PLACES:
            return [*kept, TextPiece("", hidden=False, gap=True)]
        text = piece.text
        if piece.hidden:
            kept.append(piece._replace(text=text[:_WHOLE]))
        elif len(text) <= 2 * _AROUND:
            kept.append(piece)
        else:
            kept += [TextPiece(text[:_AROUND], hidden=False)] if place else []
            tail = text[-_AROUND:] if place < last else ""
            kept.append(TextPiece(tail, hidden=False, gap=True))
    return kept
