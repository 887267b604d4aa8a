"""Words as they are compared: what a model writes of a text's words is seldom the same characters.

A word is a longest run of letters, the marks that they carry and digits; a symbol such as an emoji is a word, and so
is each character of a script that is written without blanks. Case, compatibility forms (wide letters, ligatures),
invisible characters and the order of marks do not count. No word ends before a vowel sign.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from dfar_toolkit.spans import word_spans

_Kind = Literal["letter", "digit", "mark", "unspaced", "symbol", "joiner", "apostrophe", "point", "other"]
_JOINER: Final = "\u200d"
_APOSTROPHES: Final = "'\u2019\u2018\u02bc\uff07\u0060\u00b4"
_TONES: Final = ("\U0001f3fb", "\U0001f3ff")  # modifiers of the emoji before them
_FLAGS: Final = ("\U0001f1e6", "\U0001f1ff")  # two of these are one flag
_SELECTORS: Final = ("\ufe00", "\ufe0f")  # how the character before is drawn
_ELIDED: Final = 2  # letters before an apostrophe that are a word of their own, as in l'homme, qu'elle
_FULL: Final = 3  # letters after it
_CACHED: Final = 40  # characters of a run that is kept in memory


class Compared(NamedTuple):
    """A word of a text.

    Attributes:
        key: Equal for words that count as equal.
        start: Its first character in the text.
        end: The character after its last.
    """

    key: str
    start: int
    end: int


class _Character(NamedTuple):
    text: str
    at: int
    kind: _Kind


def compared_words(text: str) -> list[Compared]:
    """The words of a text as they are compared; the time grows with the length of the text alone.

    Args:
        text: Any text.

    Returns:
        The words in order. An apostrophe stands inside a word, save before a last "s" and after one or two letters
        at its start (l'homme); a point or a comma stands inside a number.

    Example:
        >>> [word.key for word in compared_words("The dog's 1.5 well-known Straße don’t 😡!")]
        ['the', 'dog', 's', '1.5', 'well', 'known', 'strasse', "don't", '😡']
        >>> [word.key for word in compared_words("下雨 করি")]
        ['下', '雨', 'করি']
    """
    found: list[Compared] = []
    for start, end in word_spans(text):  # no word goes across a blank
        run = text[start:end]
        if run.isascii() and run.isalnum():
            found.append(Compared(run.lower(), start, end))
            continue
        parts = _known_parts(run) if len(run) <= _CACHED else _parts(run)
        found += [Compared(part.key, start + part.start, start + part.end) for part in parts]
    return found


def compared_key(text: str) -> str:
    """The words of a text in one line, equal for texts that count as equal; the text itself where it has none.

    Example:
        >>> compared_key("(LIED),") == compared_key("lied"), compared_key("--")
        (True, '--')
    """
    return " ".join(word.key for word in compared_words(text)) or text


def _parts(text: str) -> tuple[Compared, ...]:
    """The words of a run of characters without blanks."""
    characters = [
        _Character(part, at, kind) for at, character in enumerate(text) for part, kind in _folded(character)
    ]  # fmt: skip
    runs: list[list[_Character]] = []
    last: _Kind = "other"
    for place, one in enumerate(characters):
        after = characters[place + 1].kind if place + 1 < len(characters) else "other"
        if one.kind == "joiner" and last != "symbol":
            continue  # between letters it only changes how they are drawn
        if _goes_on(last, one, after, runs[-1] if runs else []):
            runs[-1].append(one)
            last = last if one.kind == "mark" else one.kind
        elif one.kind in ("letter", "digit", "unspaced", "symbol", "mark"):
            runs.append([one])
            last = "letter" if one.kind == "mark" else one.kind
        else:
            last = "other"
    return tuple(_compared(part) for run in runs for part in _apart(run))


_known_parts = lru_cache(maxsize=65536)(_parts)


def _goes_on(last: _Kind, one: _Character, after: _Kind, run: list[_Character]) -> bool:
    """Whether a character belongs to the word before it."""
    if one.kind in ("letter", "digit"):
        return last in ("letter", "digit", "apostrophe", "point")
    if one.kind == "apostrophe":
        return last in ("letter", "digit") and after in ("letter", "digit")
    if one.kind == "point":
        return last == "digit" and after == "digit"
    if one.kind == "mark":
        return last != "other"
    if one.kind == "joiner":
        return last == "symbol"
    if one.kind == "symbol":
        flag = len(run) == 1 and last == "symbol" and all(_within(_FLAGS, c.text) for c in (run[0], one))
        return last == "joiner" or (last == "symbol" and (flag or _within(_TONES, one.text)))
    return False


@lru_cache(maxsize=8192)
def _folded(character: str) -> tuple[tuple[str, _Kind], ...]:
    """What stands for a character, each part with its kind; nothing for an invisible one."""
    if character in _APOSTROPHES:
        return (("'", "apostrophe"),)
    if character == _JOINER:
        return ((character, "joiner"),)
    if unicodedata.category(character) == "Cf" or _within(_SELECTORS, character):
        return ()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
    return tuple((part, _kind(part)) for part in folded)


def _kind(character: str) -> _Kind:
    category = unicodedata.category(character)
    if category[0] == "M":
        return "mark"
    if category[0] == "N":
        return "digit"
    if category[0] == "L":
        return "unspaced" if len(word_spans(2 * character, unit="characters")) == 2 else "letter"
    if category in ("So", "Sc") or _within(_TONES, character):
        return "symbol"
    return "point" if character in ".," else "other"


def _within(bounds: tuple[str, str], character: str) -> bool:
    return bounds[0] <= character <= bounds[1]


def _apart(run: list[_Character]) -> list[list[_Character]]:
    """A word with an apostrophe as one word or two."""
    places = [place for place, one in enumerate(run) if one.kind == "apostrophe"]
    if not places:
        return [run]
    first, last = places[0], places[-1]
    if first <= _ELIDED and len(run) - first - 1 >= _FULL:
        return [run[:first], run[first + 1 :]]
    if [one.text for one in run[last + 1 :]] == ["s"]:
        return [run[:last], run[last + 1 :]]
    return [run]


def _compared(run: list[_Character]) -> Compared:
    key = unicodedata.normalize("NFKC", "".join(one.text for one in run))
    return Compared(key, run[0].at, run[-1].at + 1)
