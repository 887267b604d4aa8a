"""Copies of an item's texts that a model has edited, set against the texts word by word.

Words are compared as :mod:`~dfar_toolkit.prompts.compared_words` says, so that case, and signs of punctuation beside
a word, are no edits. A copy may have a sentence before it or after it: what is most like the texts is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from dfar_toolkit.prompts.compared_words import compared_key, compared_words
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.prompts.plain_answers import UNANSWERED, is_refusal, plain_answer
from dfar_toolkit.spans import WordUnit, word_spans

COPIED: Final = {"redacted": "a copy with masks", "edited": "an edited copy", "unchanged": "a copy without any change"}
UNCOPIED: Final = {
    **UNANSWERED,
    "rewritten": "a text that is no copy",
    "parts": "a copy whose parts cannot be told apart",
    "too_long": "a copy that is too long to be compared",
    "cut_off": "a copy that was cut off",
}
LIKE_REDACTED: Final = 0.5  # similarity that a redacted copy has at least
LIKE_EDITED: Final = 0.2
_FEW: Final = 5  # words that may all be others
_MOST_PAIRS: Final = 1_000_000  # pairs of equal words that are compared
_TIMES, _MORE = 4, 2000  # of an answer so many times the characters of the texts, and so many more, are read
_MASKED: Final = "\x00"
_DECORATIONS: Final = " \t*_#>`\"“”'"


class EditedCopy(NamedTuple):
    """A copy as it was read.

    Attributes:
        how: A key of ``COPIED``, or of ``UNCOPIED`` where there is no copy.
        texts: The texts of the copy by the names of their fields.
        chosen: Indices of the words that were masked; of an edited copy those that were deleted or replaced.
        n_changed: Words of a redacted copy that were changed, left out or added and are no masks.
        n_inserted: Words of an edited copy that stand in the place of none.
        similarity: 2 E / (A + B), with E equal words, and A and B words of the text and of the copy that are not
            masked; 1 where all are masked.
    """

    how: str
    texts: dict[str, str]
    chosen: frozenset[int] = frozenset()
    n_changed: int = 0
    n_inserted: int = 0
    similarity: float = 0.0


class _Sides(NamedTuple):
    keys: list[str]
    places: list[int]


def redacted_copy(
    answer: str | None, texts: Mapping[str, tuple[str, str]], words: Sequence[Word], *, mask: str, unit: WordUnit
) -> EditedCopy:
    """Which words a model masked in a copy.

    Args:
        answer: What it wrote.
        texts: For each field the name that the copy calls it by, and its text.
        words: Words of the fields.
        mask: What stands for masked words: for one, or for several that follow each other.
        unit: What a word is.

    Returns:
        The copy; without words where it has no mask. Less than half of it equal: none, as ``rewritten``.

    Example:
        >>> words = (Word("statement", 0, 1), Word("statement", 2, 6), Word("statement", 7, 12))
        >>> redacted_copy("I [REDACTED] today.", {"statement": ("Statement", "I lied again")}, words,
        ...     mask="[REDACTED]", unit="whitespace")[2:4]
        (frozenset({1}), 1)
    """
    return _nearest(answer, texts, words, mask, unit)


def edited_copy(
    answer: str | None, texts: Mapping[str, tuple[str, str]], words: Sequence[Word], *, unit: WordUnit
) -> EditedCopy:
    """Which words a model deleted or replaced in a copy.

    Args:
        answer: What it wrote.
        texts: As in :func:`redacted_copy`.
        words: As there.
        unit: As there.

    Returns:
        The copy. Less than a fifth of more than a few words equal: none, as ``rewritten``.

    Example:
        >>> words = (Word("statement", 0, 1), Word("statement", 2, 7))
        >>> edited_copy("I never lied.", {"statement": ("Statement", "I lied.")}, words, unit="whitespace")[2:5]
        (frozenset(), 0, 1)
    """
    return _nearest(answer, texts, words, None, unit)


def _nearest(
    answer: str | None, texts: Mapping[str, tuple[str, str]], words: Sequence[Word], mask: str | None, unit: WordUnit
) -> EditedCopy:
    """The reading of an answer that is most like the texts."""
    text, fault = plain_answer(answer)
    if fault:
        return EditedCopy(fault, {})
    text = text[: _TIMES * sum(len(own) for _, own in texts.values()) + _MORE].strip()
    breaks = max(len(_paragraphs(own)) for _, own in texts.values())
    best = EditedCopy("parts", {})
    for candidate in dict.fromkeys(_candidates(text, len(texts) + breaks - 1)):
        parts = _parts(candidate, texts)
        if parts is None:
            continue
        copy = _compared(parts, texts, words, mask, unit)
        if best.how == "parts" or copy.similarity > best.similarity:
            best = copy
    least = LIKE_EDITED if mask is None else LIKE_REDACTED
    short = mask is None and len(words) <= _FEW and len(text.split()) <= 2 * _FEW
    if best.how in COPIED and best.similarity < least and not (short and not is_refusal(text)):
        best = EditedCopy("rewritten", {}, similarity=best.similarity)
    return best._replace(how="refusal") if best.how in ("rewritten", "parts") and is_refusal(text) else best


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _candidates(text: str, count: int) -> Iterator[str]:
    """The answer, and the answer without a line that leads to the copy, and without what follows it."""
    first, _, rest = text.partition("\n")
    leads = rest.strip() and first.rstrip(_DECORATIONS).endswith((":", "："))
    for start in [text, rest.strip()] if leads else [text]:
        yield start
        paragraphs = _paragraphs(start)
        if len(paragraphs) > count:
            yield "\n\n".join(paragraphs[:count])
        if len(paragraphs) > 1:
            yield paragraphs[0]


def _parts(text: str, texts: Mapping[str, tuple[str, str]]) -> dict[str, str] | None:
    """The text of each field in a copy: after its name and a colon; of a single one also without."""
    found: dict[str, list[str]] = {}
    names = {name.casefold(): field for field, (name, _) in texts.items()}
    field = None
    for line in text.splitlines():
        head, colon, rest = line.partition(":")
        named = names.get(head.strip(_DECORATIONS + "-").casefold()) if colon else None
        if named is not None and named not in found:
            field = named
            line = rest.removeprefix("**").lstrip()
        if field is not None:
            found.setdefault(field, []).append(line)
    if len(texts) == 1:
        ((field, (_, own)),) = texts.items()
        whole = "\n".join(found[field]) if field in found and not _begins_named(own, names) else text
        return {field: _unquoted(whole, own)}
    if len(found) == len(texts):
        return {name: _unquoted("\n".join(found[name]), own) for name, (_, own) in texts.items()}
    paragraphs = _paragraphs(text)
    if not found and len(paragraphs) == len(texts):
        return {name: _unquoted(part, texts[name][1]) for name, part in zip(texts, paragraphs, strict=True)}
    return None


def _begins_named(own: str, names: Mapping[str, str]) -> bool:
    """Whether a text itself begins with the name of its field and a colon."""
    head, colon, _ = own.partition(":")
    return bool(colon) and head.strip().casefold() in names


def _unquoted(text: str, own: str) -> str:
    """A copy without quotes round it that the text has not."""
    text = text.strip()
    for start, end in (("**", "**"), ('"', '"'), ("“", "”"), ("'", "'")):
        longer = len(text) > len(start) + len(end)
        if longer and text.startswith(start) and text.endswith(end) and not own.strip().startswith(start):
            text = text[len(start) : -len(end)].strip()
    return text


def _compared(
    parts: dict[str, str],
    texts: Mapping[str, tuple[str, str]],
    words: Sequence[Word],
    mask: str | None,
    unit: WordUnit,
) -> EditedCopy:
    """The fields of a copy set against the texts."""
    chosen: set[int] = set()
    changed = inserted = equal = total = 0
    masks = False
    for field, (_, own) in texts.items():
        there = _sides((at, own[w.start : w.end]) for at, w in enumerate(words) if w.field == field)
        text = parts[field] if mask is None else _isolated(parts[field], own, mask)
        spans = word_spans(text, unit=unit)
        here = _sides(((at, text[start:end]) for at, (start, end) in enumerate(spans)), masked=mask is not None)
        if _pairs(there.keys, here.keys) > _MOST_PAIRS:
            return EditedCopy("too_long", {})
        masks = masks or _MASKED in here.keys
        for tag, i, j, k, m in _differences(there.keys, here.keys):
            if tag == "equal":
                equal += j - i
                total += 2 * (j - i)
                continue
            block = _block(there.places[i:j], here.keys[k:m], edited=mask is None)
            chosen |= block.chosen
            changed, inserted, total = changed + block.changed, inserted + block.inserted, total + block.counted
    how = "edited" if mask is None else "redacted"
    if not (masks or changed or inserted or chosen) or (mask is not None and not masks):
        how = "unchanged"
    similarity = 2 * equal / total if total else 1.0
    return EditedCopy(how, parts, frozenset(chosen), changed, inserted, similarity)


def _differences(text: list[str], copy: list[str]) -> list[tuple[str, int, int, int, int]]:
    """Equal runs and others: word by word where that is all there is to it, else by the longest equal runs."""
    if len(text) == len(copy) and all(key in (own, _MASKED) for own, key in zip(text, copy, strict=True)):
        return [("equal" if own == key else "replace", at, at + 1, at, at + 1) for at, (own, key) in
                enumerate(zip(text, copy, strict=True))]  # fmt: skip
    return list(SequenceMatcher(None, text, copy, autojunk=False).get_opcodes())


class _Block(NamedTuple):
    chosen: set[int]
    changed: int
    inserted: int
    counted: int  # words on either side that are not masked


def _block(places: list[int], copied: list[str], *, edited: bool) -> _Block:
    """What became of words that the copy has not, and what stands in their place."""
    if edited:
        return _Block(set(places), 0, max(len(copied) - len(places), 0), len(places) + len(copied))
    others = len(copied) - copied.count(_MASKED)
    if others == len(copied) or not places:  # without a mask, or a mask for nothing
        return _Block(set(), max(len(places), len(copied)), 0, len(places) + len(copied))
    if len(places) == len(copied):  # word by word
        masked = {place for place, key in zip(places, copied, strict=True) if key == _MASKED}
        return _Block(masked, others, 0, 2 * others)
    return _Block(set(places), others, 0, others)


def _sides(units: Iterator[tuple[int, str]], *, masked: bool = False) -> _Sides:
    """Keys of the words that have letters, digits or symbols, and their numbers; masks are words of a copy."""
    found = _Sides([], [])
    for at, text in units:
        is_mask = masked and text == _MASKED
        if is_mask or compared_words(text):
            found.keys.append(_MASKED if is_mask else compared_key(text))
            found.places.append(at)
    return found


def _isolated(text: str, own: str, mask: str) -> str:
    """A copy in which masks, however decorated, are words of their own."""
    text = text.replace(_MASKED, " ")
    core = mask.strip("[]()<>{}*_ ")
    forms = [re.escape(mask)]
    if core and core not in own:
        bare = re.escape(core)
        forms.insert(0, rf"(?:\\?[\[(<{{*_]){{1,6}} ?{bare} ?(?:\\?[\])>}}*_]){{1,6}}")
        forms.append(rf"(?<!\w){bare}(?!\w)")
    forms += [sign + "{2,}" for sign in ("█", "_") if sign * 2 not in own]
    same_case = core.casefold() in own.casefold()
    return re.sub("|".join(forms), f" {_MASKED} ", text, flags=re.NOFLAG if same_case else re.IGNORECASE)


def _pairs(first: list[str], second: list[str]) -> int:
    """How many pairs of equal words there are: what the comparison's time grows with."""
    counts = Counter(second)
    return sum(number * counts[key] for key, number in Counter(first).items())
