"""One entry of a list that a model wrote: the phrases in it, without number, bullet, quotes and explanation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Said = Callable[[str], bool]  # whether a phrase stands in the text that is listed from

_DECORATIONS: Final = " \t*_`~\"'“”‘’‚„‟«»‹›「」『』《》()[]{}（）【】<>|\\,;:.!?…،؛؟।、。，；：！？\u00a0\u3000"
_MARK: Final = re.compile(
    r"[ \t>]*(?:[•◦▪▫●○■□‣⁃∙·✓✔➤➢*+–—-](?=[ \t\u00a0])|[•◦▪●‣⁃➤✓✔](?=\S)|[A-Za-z][)](?=[ \t])"
    r"|[(（\[]?\d{1,4}(?:[)\]）:、．。](?=[ \t]|\S)|[.](?=[^\d\s]|[ \t])|[ \t]?[-–—](?=[ \t])))[ \t\u00a0\u3000]*"
)
_NUMBERED: Final = re.compile(r"[ \t>]*[(（\[]?\d")
_IN_LINE: Final = re.compile(r"[ \t](?=[(]?\d{1,3}[.)][ \t])")
_COMMAS: Final = re.compile(r"[,;](?=[ \t\"'“‘*`_]|$)|(?<=[^\d\s])[,;]|[、，；،؛]")
_EXPLAINED: Final = re.compile(
    r"[ \t](?:[-–—:=|→]|->|=>|--)[ \t]|:[ \t]|[：→|\t]|[(（](?=.)|[ \t](?:because|since|which|as it|as this)[ \t]",
    re.IGNORECASE,
)
_BLANKS: Final = re.compile(r"[ \t]{2,}")
_PAIRS: Final = (
    ("**", "**"), ("__", "__"), ("`", "`"), ('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"),
    ("‘", "’"), ("'", "'"),
)  # fmt: skip
_LAST: Final = re.compile(r"(?:and|or|&)[ \t]", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"[ \t](?:and|or|&|>)[ \t]|/", re.IGNORECASE)
_SHORT: Final = 4  # words that an entry has at most where nothing shows that it is in the text
_MOST: Final = 1000  # phrases that are read of one entry


def single_blanks(line: str) -> str:
    """A line with one blank, or one tab, where it has several; no pattern here then has to go back.

    Example:
        >>> single_blanks("lied    stole")
        'lied stole'
    """
    return _BLANKS.sub(lambda run: "\t" if "\t" in run.group() else " ", line.strip())


def without_mark(line: str) -> tuple[str, str]:
    """A line without its number or bullet, and which of the two it had: ``numbered``, ``bulleted`` or "".

    Example:
        >>> without_mark("  2) lied"), without_mark("- lied"), without_mark("lied"), without_mark("1.5")
        (('lied', 'numbered'), ('lied', 'bulleted'), ('lied', ''), ('1.5', ''))
    """
    mark = _MARK.match(line)
    if mark is None or not line[mark.end() :].strip():
        return line.strip(), ""
    return line[mark.end() :].strip(), "numbered" if _NUMBERED.match(line) else "bulleted"


def bare(phrase: str) -> str:
    """A phrase without quotes, stars, brackets and stops at its ends.

    Example:
        >>> bare('**"lied"**,'), bare("..."), bare("don’t")
        ('lied', '', 'don’t')
    """
    return phrase.strip().strip(_DECORATIONS)


def phrases_of(entry: str, said: Said, *, apart: bool = False) -> list[str]:
    """The phrases of one entry: what stands in the text as it is is one phrase, else it is taken apart.

    Args:
        entry: A line without its number or bullet, with single blanks.
        said: Whether a phrase stands in the text.
        apart: Whether what stands between commas is always apart.

    Returns:
        One phrase or several; an explanation after them is left out.

    Example:
        >>> phrases_of('"lied" - shows that he is dishonest', lambda phrase: False)
        ['lied']
        >>> phrases_of("lied, stole, and hid", lambda phrase: False)
        ['lied', 'stole', 'hid']
    """
    entry = entry.strip()
    if not bare(entry):
        return [entry] if entry else []
    if not (apart and _COMMAS.search(entry)) and said(bare(entry)):
        return [bare(entry)]
    found, rest = _quotations(entry)
    if found:
        return found if not rest else [*found, *_listed(rest, said)]
    cut = _EXPLAINED.search(entry)
    if cut is not None and bare(entry[: cut.start()]):
        entry = entry[: cut.start()]
    return _listed(entry, said)


def inline_entries(line: str) -> list[str]:
    """The entries of a line that numbers them one after the other; the line itself where it does not.

    Example:
        >>> inline_entries("1. lied 2. stole")
        ['1. lied', '2. stole']
    """
    if not _NUMBERED.match(line):
        return [line]
    return [part for part in _IN_LINE.split(line) if part.strip()]


def enclosed(text: str) -> list[str]:
    """Everything in quotes, in bold or in back-quotes, in the order of the text; a quotation is of one line.

    Example:
        >>> enclosed("It is the words 'lied' and **stole**, which are Ann's.")
        ['lied', 'stole']
    """
    found: list[str] = []
    for line in text.splitlines():
        at = 0
        while at < len(line):
            pair = next(((a, b) for a, b in _PAIRS if line.startswith(a, at) and _opens(line, at)), None)
            end = line.find(pair[1], at + len(pair[0])) if pair else -1
            if pair is None or end < 0:
                at += 1 if pair is None else len(pair[0])
                if pair is not None:
                    line = line.replace(pair[0], " " * len(pair[0]))  # never closed: not looked for again
                continue
            found += [bare(line[at + len(pair[0]) : end])]
            at = end + len(pair[1])
    return [phrase for phrase in found if phrase]


def _opens(line: str, at: int) -> bool:
    """Whether a quote may begin here: not inside a word."""
    return at == 0 or not line[at - 1].isalnum()


def _first_enclosed(entry: str) -> tuple[str, str] | None:
    """What an entry has in quotes at its start, and what follows it."""
    for start, end in _PAIRS:
        if entry.startswith(start):
            close = entry.find(end, len(start))
            while end == "'" and 0 <= close < len(entry) - 1 and entry[close + 1].isalnum():
                close = entry.find(end, close + 1)  # an apostrophe
            inner = bare(entry[len(start) : close]) if close > 0 else ""
            return (inner, entry[close + len(end) :]) if inner else None
    return None


def _quotations(entry: str) -> tuple[list[str], str]:
    """The quotations that an entry begins with, one after the other, and what it lists after them without quotes."""
    found: list[str] = []
    while len(found) < _MOST and (within := _first_enclosed(entry)) is not None:
        found.append(within[0])
        rest = within[1].lstrip()
        between = _COMMAS.match(rest) or _LAST.match(rest)
        if between is None:
            return found, ""
        entry = rest[between.end() :].lstrip()
        last = _LAST.match(entry)
        entry = entry[last.end() :] if last else entry
    short = bool(found) and all(len(piece.split()) <= 2 for piece in _COMMAS.split(entry))
    return found, entry if short else ""


def _listed(entry: str, said: Said) -> list[str]:
    """Phrases between commas; after the first, whole clauses are an explanation."""
    pieces = [piece for piece in map(str.strip, _COMMAS.split(entry, maxsplit=_MOST)) if bare(piece)]
    found: list[str] = []
    for place, piece in enumerate(pieces):
        last = _LAST.match(piece)
        known = said(bare(piece))
        if last and (place or not known):
            piece = piece[last.end() :]
            known = said(bare(piece))
        halves = _BETWEEN.split(piece)
        if not known and len(halves) > 1 and all(0 < len(half.split()) < _SHORT for half in halves):
            found += map(bare, halves)
        elif place == 0 or known or len(piece.split()) <= _SHORT:
            found.append(bare(without_mark(piece)[0]))
    return [phrase for phrase in found if phrase]
