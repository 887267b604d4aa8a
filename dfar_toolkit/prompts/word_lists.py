r"""Lists of words that models write: one per line, numbered, with bullets, between commas, in quotes, as JSON.

Nothing is guessed: what is no list (a refusal, prose without quotes) is read as none, and ``how`` says so. Where it is
known what the text says, a line that stands in it is one phrase, whatever commas or dashes it has, and a long sentence
that does not is a comment. The time grows with the length of the answer alone.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from dfar_toolkit.prompts.compared_words import compared_words
from dfar_toolkit.prompts.list_entries import (
    Said,
    bare,
    enclosed,
    inline_entries,
    phrases_of,
    single_blanks,
    without_mark,
)
from dfar_toolkit.prompts.plain_answers import UNANSWERED, is_refusal, plain_answer

LISTED: Final = {
    "json": "a JSON list",
    "numbered": "numbered lines",
    "bulleted": "lines with bullets",
    "lines": "a phrase per line",
    "inline": "phrases between commas in a line",
    "words": "words between blanks in a line",
    "table": "a table",
    "quoted": "what a sentence has in quotes or in bold",
    "none": "the model says that no word matters",
}
UNLISTED: Final = {**UNANSWERED, "prose": "sentences without a list"}
MOST: Final = 1000  # phrases that are kept of a list
_LONG: Final = 12  # words of a line that is no phrase
_SENTENCE: Final = 5  # words of a line that is no phrase where it ends as sentences do
_LEAD_WORDS: Final = re.compile(
    r"\b(?:words?|terms?|phrases?|tokens?|keywords?|list|answer|output|important|rationale|sure|here|okay|following|ranking|ranked|order)\b",
    re.IGNORECASE,
)
_LEAD: Final = re.compile(
    r"[^:：\n]{0,160}?\b(?:words?|terms?|phrases?|tokens?)\b[^:：\n]{0,100}?"
    r"\b(?:are|is|include|includes|were|was|would be)(?:[:：]|[ \t])",
    re.IGNORECASE,
)
_NONE: Final = re.compile(
    r"(?:none|nothing|n/a|no|empty|\[\s*\])(?: of (?:them|these|the words))?[\s.!]*"
    r"|(?:there (?:are|is) )?no (?:single |particular |specific |important )*words?\b.{0,80}",
    re.IGNORECASE,
)
_KEYS: Final = ("word", "term", "token", "phrase", "text", "keyword")
_TRIES: Final = 3  # places where JSON may begin
_HEAD: Final = 20_000  # characters that are read
_LINES: Final = 2000


class WordList(NamedTuple):
    """A list as it was read.

    Attributes:
        phrases: Different phrases in the order of the list.
        how: A key of ``LISTED``, or of ``UNLISTED`` where there is no list.
    """

    phrases: tuple[str, ...]
    how: str


def unknown(phrase: str) -> bool:
    """Says of every phrase that it is not known to stand in the text."""
    return False


def listed_words(answer: str | None, said: Said = unknown) -> WordList:
    r"""The phrases that a model lists.

    Args:
        answer: What it wrote.
        said: Whether a phrase stands in the text that it lists from.

    Returns:
        The phrases without what stands round them; never raises.

    Example:
        >>> listed_words("Important words:\n1. **lied** - it is dishonest\n2. \"my sister\"")
        WordList(phrases=('lied', 'my sister'), how='numbered')
        >>> listed_words("lied, stole and hid"), listed_words("I'm sorry, I can't do that.").how
        (WordList(phrases=('lied', 'stole', 'hid'), how='inline'), 'refusal')
    """
    text, fault = plain_answer(answer if answer is None else answer[:_HEAD])
    if fault:
        return WordList((), fault)
    if len(text) <= 200 and _NONE.fullmatch(text) and not said(bare(text)):
        return WordList((), "none")
    found = _json(text)
    if found is not None:
        return _distinct(found, "json" if found else "none")
    lines = [_Line(_depth(line), single_blanks(line)) for line in text.splitlines()[:_LINES] if line.strip()]
    return _by_lines([_Line(one.depth, part) for one in lines for part in inline_entries(one.text)], text, said)


class _Line(NamedTuple):
    depth: int
    text: str


def _by_lines(lines: list[_Line], text: str, said: Said) -> WordList:
    if rows := _table(lines):
        return _distinct(rows, "table")
    marked = [(line, *without_mark(line.text)) for line in lines]
    first = next((at for at, (_, _, kind) in enumerate(marked) if kind), None)
    if first is not None and not (len(lines) == 1 and marked[0][2] == "numbered" and said(bare(lines[0].text))):
        line, _, kind = marked[first]
        own = [entry for one, entry, k in marked[first:] if k == kind and one.depth <= line.depth + 1]
        return _distinct([phrase for entry in own for phrase in _entry(entry, said)], kind)
    if is_refusal(text) and not said(bare(lines[0].text)):
        return WordList((), "refusal")
    return _unmarked([line.text for line in lines], text, said)


def _unmarked(lines: list[str], text: str, said: Said) -> WordList:
    """Lines without numbers and bullets."""
    found: list[str] = []
    for line in lines:
        if not said(bare(line)):
            line = "" if line.rstrip(" \t*_#`").endswith((":", "：")) else _after_lead(line, said, first=not found)
            if not compared_words(line) or _is_comment(line):
                continue
        found += phrases_of(line, said, apart=len(lines) == 1)
    if not found:
        quoted = enclosed(text)
        return _distinct(quoted, "quoted") if quoted else WordList((), "prose")
    words = found[0].split()
    if len(found) == 1 and len(words) > 1 and not said(found[0]) and all(map(said, words)):
        return _distinct(words, "words")
    return _distinct(found, "lines" if len(lines) > 1 else "inline")


def _entry(entry: str, said: Said) -> list[str]:
    """The phrases of a marked line, which may say "Word: lied"."""
    return phrases_of(entry if said(bare(entry)) else _after_lead(entry, said, first=False), said)


def _after_lead(line: str, said: Said, *, first: bool) -> str:
    """A line without words that lead to a list ("Important words:", "The words are")."""
    plain = line.strip(" \t*_#>`")
    places = (plain.find(": "), plain.find("："), plain.find(":*"))
    at = min((place for place in places if place >= 0), default=-1)
    head, tail = plain[: max(at, 0)], plain[at + 1 :].lstrip(" \t*_")
    leads = at > 0 and bare(tail) and not said(bare(head))
    if leads and (_LEAD_WORDS.search(head[:200]) or (first and any(map(said, phrases_of(tail, said))))):
        return tail
    lead = _LEAD.match(plain) if first else None
    return plain[lead.end() :] if lead else line


def _is_comment(line: str) -> bool:
    """Whether a line is a sentence about the words; an enumeration is none."""
    pieces = re.split(r"[,;、，；،؛]", line)
    if len(pieces) > 2 and max(len(piece.split()) for piece in pieces) <= _SENTENCE:
        return False
    words = len(line.split())
    ends = line.rstrip(' \t*_"”)').endswith((".", "!", "?", "।", "。", "؟"))
    return words > _LONG or (words >= _SENTENCE and ends)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _table(lines: list[_Line]) -> list[str]:
    """First columns of a Markdown table that are no numbers."""
    rows = [line.text for line in lines if line.text.startswith("|")]
    rules = [at for at, row in enumerate(rows) if not row.strip("|-: \t") and "-" in row]
    if not rules:
        return []
    cells = [[bare(cell) for cell in row.strip("|").split("|")] for row in rows[rules[0] + 1 :]]
    return [cell for row in cells for cell in [c for c in row if c and not c.replace(".", "").isdigit()][:1]]


def _json(text: str) -> list[str] | None:
    """The list of a JSON text, or of one in a text; None where there is none."""
    at = -1
    for _ in range(_TRIES):
        at = min((place for place in (text.find("[", at + 1), text.find("{", at + 1)) if place >= 0), default=-1)
        if at < 0:
            return None
        if at and text[at - 1] not in "\n:： \t":
            continue
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        found = _strings(value)
        if found is not None and text[end : end + 1].strip(".,") == "":
            return found
    return None


def _strings(value: object) -> list[str] | None:
    """The texts of a JSON list, of a list in an object, or the keys of an object of numbers."""
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        if lists:
            return _strings(lists[0])
        if value and all(isinstance(part, int | float) for part in value.values()):
            return list(value)
        texts = [part for part in value.values() if isinstance(part, str)]
        return phrases_of(texts[0], unknown) if texts else None
    if not isinstance(value, list):
        return None
    found: list[str] = []
    for part in value:
        if isinstance(part, dict):
            named = [part[key] for key in _KEYS if isinstance(part.get(key), str)]
            part = named[0] if named else next((text for text in part.values() if isinstance(text, str)), None)
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, int | float) and not isinstance(part, bool) and len(value) > 1:
            found.append(str(part))
    return found if found or not value else None


def _distinct(phrases: list[str], how: str) -> WordList:
    """Each phrase once, whatever its case."""
    found: dict[str, str] = {}
    for phrase in phrases:
        kept = bare(phrase) or phrase.strip()
        if kept and len(found) < MOST:
            found.setdefault(kept.casefold(), kept)
    return WordList(tuple(found.values()), how if found or how == "none" else "prose")
