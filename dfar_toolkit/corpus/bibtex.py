"""One BibTeX entry as fields, as far as a citation needs it: braces, quotes, names, accents."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_ENTRY: Final = re.compile(r"@\s*(\w+)\s*[{(]\s*([^,\s{}]*)\s*,")
_FIELD: Final = re.compile(r"[,\s]*([A-Za-z][\w-]*)\s*=\s*")
_ACCENT: Final = re.compile(r"\{?\\([`'^\"~=.]|[uvHckr](?=[\s{]))\s*(?:\{\\?([A-Za-z])\}|\\?([A-Za-z]))\}?")
_MARKS: Final = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307",
    '"': "\u0308", "r": "\u030a", "H": "\u030b", "v": "\u030c", "c": "\u0327", "k": "\u0328",
}  # fmt: skip
_LETTERS: Final = {"\\ss": "ß", "\\o": "ø", "\\O": "Ø", "\\l": "ł", "\\L": "Ł", "\\ae": "æ", "\\AE": "Æ", "\\aa": "å"}
_LETTER: Final = re.compile(r"\{?(\\(?:ss|ae|AE|aa|[oOlL]))(?![A-Za-z])\s*\}?")


@dataclass(frozen=True, slots=True)
class BibEntry:
    """The kind of an entry (``article``), its key, and its fields by lower-case name, as plain text."""

    kind: str
    key: str
    fields: dict[str, str]
    authors: tuple[tuple[str, str], ...]  # (family, given); ("The Team", "") where the name is one whole


def bib_entries(text: str) -> list[BibEntry]:
    r"""The entries of a BibTeX text; text between them and fields that cannot be read are passed over.

    Args:
        text: Any text.

    Returns:
        The entries in order; empty where there is none.

    Example:
        >>> entry = bib_entries("@misc{a, author = {Doe, Jo and {The Team}}, title={On {DFAR}}, year = 2024}")[0]
        >>> entry.authors, entry.fields["title"], entry.fields["year"]
        ((('Doe', 'Jo'), ('The Team', '')), 'On DFAR', '2024')
    """
    found = []
    for match in _ENTRY.finditer(text):
        raw = _raw_fields(text, match.end())
        authors = tuple(_name(name) for name in _names(raw.get("author", "")))
        fields = {name: plain(value) for name, value in raw.items()}
        found.append(BibEntry(match.group(1).lower(), match.group(2), fields, tuple(a for a in authors if a[0])))
    return found


def plain(text: str) -> str:
    r"""LaTeX text as plain text on one line: accents as letters, braces and simple commands gone.

    Example:
        >>> plain(r"G{\"o}del  and {\'E}mile~B \& C")
        'Gödel and Émile B & C'
    """
    text = _LETTER.sub(lambda m: _LETTERS[m.group(1)], text)
    text = _ACCENT.sub(lambda m: unicodedata.normalize("NFC", (m.group(2) or m.group(3)) + _MARKS[m.group(1)]), text)
    text = re.sub(r"\\(?:url|href|emph|text\w+)\s*(?=\{)", "", text)
    text = re.sub(r"\\([&%$#_{}])", r"\1", text.replace("{", "").replace("}", ""))
    return " ".join(text.replace("~", " ").split())


def _raw_fields(text: str, at: int) -> dict[str, str]:
    """Field values as written, from the place after the entry's key up to its end."""
    fields: dict[str, str] = {}
    while field := _FIELD.match(text, at):
        value, at = _value(text, field.end())
        fields.setdefault(field.group(1).lower(), value)
    return fields


def _value(text: str, at: int) -> tuple[str, int]:
    """A braced, quoted or bare value that begins at ``at``, and where it ends."""
    if text[at : at + 1] in ("{", '"'):
        close, depth = ("}" if text[at] == "{" else '"'), 0
        for end in range(at + 1, len(text)):
            letter, escaped = text[end], text[end - 1] == "\\"
            if letter == close and depth == 0 and not escaped:
                return text[at + 1 : end], end + 1
            depth += (letter == "{") - (letter == "}") if not escaped else 0
        return text[at + 1 :], len(text)
    end = next((i for i in range(at, len(text)) if text[i] in ",}\n"), len(text))
    return text[at:end], end


def _names(authors: str) -> list[str]:
    """The names between ``and``, as far as it stands outside braces."""
    names, depth, begin = [], 0, 0
    for match in re.finditer(r"[{}]|\s+and\s+", authors):
        if match.group() in "{}":
            depth += 1 if match.group() == "{" else -1
        elif depth == 0:
            names.append(authors[begin : match.start()])
            begin = match.end()
    return [*names, authors[begin:]]


def _name(name: str) -> tuple[str, str]:
    name = name.strip()
    if name.startswith("{") and name.endswith("}") and name.count("{") == 1:
        return plain(name), ""
    family, comma, given = name.partition(",")
    if comma:
        return plain(family), plain(given.rpartition(",")[2])
    words = plain(name).split()
    if not words:
        return "", ""
    # Small words before the last begin the family name: Anna van der Berg.
    start = next((i for i, word in enumerate(words[:-1]) if i and word[:1].islower()), len(words) - 1)
    return " ".join(words[start:]), " ".join(words[:start])
