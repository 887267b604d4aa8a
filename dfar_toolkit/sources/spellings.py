"""Labels that differ only in how they are spelt: upper case, spaces, width of letters, composed accents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from dfar_toolkit.tabular import quoted

_MARKS = ",:"  # which part pairs on a command line


def plain_spelling(label: str) -> str:
    """What is left of a label without upper case, doubled spaces and compatibility forms.

    Example:
        >>> plain_spelling(" Not  WRONG")
        'not wrong'
    """
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def how_to_name(found: Iterable[str], options: Iterable[str]) -> str:
    """How to say that labels are spellings of options, as the end of a message; empty where none is.

    Example:
        >>> how_to_name(["Fine", "N/A"], ["fine", "wrong"])
        ' If these are spellings of the same, say so: --column labels=Fine:fine (labels in a mapping).'
    """
    known = {plain_spelling(option): option for option in options}
    pairs = [f"{label}:{known[plain_spelling(label)]}" for label in found if plain_spelling(label) in known]
    pairs = [pair for pair in pairs if sum(pair.count(mark) for mark in _MARKS) == 1]
    if not pairs:
        return ""
    return f" If these are spellings of the same, say so: --column labels={','.join(pairs)} (labels in a mapping)."


def spelt_alike(options: Iterable[str]) -> str:
    """A note on options that differ only in spelling, which may be one option; empty where none do.

    Example:
        >>> spelt_alike(["Wrong", "fine", "wrong"])
        '"Wrong", "wrong" differ only in spelling and are counted apart; options= with labels=FOUND:MEANT joins them'
    """
    groups: dict[str, list[str]] = {}
    for option in options:
        groups.setdefault(plain_spelling(option), []).append(option)
    alike = [option for group in groups.values() if len(group) > 1 for option in group]
    if not alike:
        return ""
    return f"{quoted(alike)} differ only in spelling and are counted apart; options= with labels=FOUND:MEANT joins them"
