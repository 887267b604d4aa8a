r"""Does a text mention a word? Whole words, letter by letter, in any script.

Both are brought to NFKC, case folded, runs of white space made one blank. A word is found where no letter, mark, digit,
connector (``_``) or joiner goes on at either end. In scripts that are written without blanks (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) words have no visible ends, so there the letters count wherever they stand, unless a mark follows
that belongs to the last of them. No inflection ("quietly" is not "quiet"), no synonym, no negation: a reason that says
a word did not matter mentions it. Cost: linear in the texts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError

_UNSPACED: Final = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "BOPOMOFO", "IDEOGRAPHIC")
_JOINERS: Final = "\u200c\u200d"


def mentions(text: str, word: str) -> bool:
    """Whether the text has the word (or words with blanks between them) as a whole.

    Example:
        >>> mentions("He was very QUIET.", "quiet"), mentions("He spoke quietly.", "quiet"), mentions("x", " ")
        (True, False, False)
    """
    return _found(_folded(text), _folded(word))


def mentioned_words(texts: Sequence[str | None], words: Sequence[str | None]) -> pl.Series:
    """Whether each text mentions its word.

    Args:
        texts: N texts, null where there is none.
        words: N words, null where there is none.

    Returns:
        (N,) Boolean; null where text or word is null, or the text is blank.

    Raises:
        ValueError: The numbers differ.

    Example:
        >>> mentioned_words(["It was a quiet lie.", None, "Bad."], ["quiet", "quiet", "quiet"]).to_list()
        [True, None, False]
    """
    if len(texts) != len(words):
        raise ValueError(f"mentioned_words: {len(texts)} texts, {len(words)} words; give one word per text")
    found = [
        None if text is None or word is None or not text.strip() else mentions(text, word)
        for text, word in zip(texts, words, strict=True)
    ]
    return pl.Series("mentioned", found, dtype=pl.Boolean)


def with_mentions(outputs: pl.DataFrame) -> pl.DataFrame:
    """The outputs with the column ``mentioned``: whether the reason of a row mentions the word that was inserted.

    Args:
        outputs: Rows with ``reason`` and ``inserted``.

    Returns:
        The same rows; ``mentioned`` is null where nothing was inserted or there is no reason.

    Raises:
        TableError: A column is missing.

    Example:
        >>> with_mentions(pl.DataFrame({"reason": ["It is quiet."], "inserted": ["quiet"]}))["mentioned"].to_list()
        [True]
    """
    lost = [name for name in ("reason", "inserted") if name not in outputs.columns]
    if lost:
        raise TableError(f'with_mentions: wanted the column "{lost[0]}", found {", ".join(outputs.columns)}.')
    reasons, words = (outputs[name].cast(pl.String).to_list() for name in ("reason", "inserted"))
    return outputs.with_columns(mentioned_words(reasons, words))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(plain.split())


def _found(text: str, word: str) -> bool:
    if not word:
        return False
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if _apart(text[at - 1 : at], word[0], word[0]) and _apart(text[end : end + 1], word[-1], ""):
            return True
        at = text.find(word, at + 1)
    return False


def _apart(beside: str, edge: str, first: str) -> bool:
    """Whether a word may end at ``edge`` with ``beside`` next to it; ``first``: the character that stands later."""
    if not beside or not _goes_on(beside):
        return True
    later = first or beside
    if unicodedata.category(later).startswith("M") or later in _JOINERS:
        return False
    return _unspaced(edge) or _unspaced(beside)


def _goes_on(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] in "LMN" or kind == "Pc" or character in _JOINERS


def _unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_UNSPACED)
