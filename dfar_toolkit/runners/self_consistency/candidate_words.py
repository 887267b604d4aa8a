"""The words that are inserted into items: ours, a file's, or those of the other items."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.item_words import item_fields
from dfar_toolkit.runners.units import seed_of
from dfar_toolkit.spans import WordUnit, word_spans

OURS: Final = Path(__file__).resolve().parent / "words_en.txt"
_MOST: Final = 2000


def words_from(path: Path = OURS) -> tuple[str, ...]:
    """The words of a file, one a line; blank lines and lines that begin with # are not.

    Args:
        path: The file; ours has English adjectives and adverbs that seldom decide anything.

    Returns:
        The words, each once, in the order of the file.

    Raises:
        TableError: It cannot be read, or holds no word.

    Example:
        >>> words_from()[:2]
        ('ancient', 'annual')
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: wanted words in UTF-8, one a line.") from error
    words = dict.fromkeys(" ".join(line.split()) for line in lines if not line.startswith("#"))
    words.pop("", None)
    if not words:
        raise TableError(f"{path}: wanted words, one a line; found none.")
    return tuple(words)


def words_of_items(
    items: Iterable[Asked], *, unit: WordUnit = "whitespace", most: int = _MOST, seed: int = 0
) -> tuple[str, ...]:
    """The words of the items themselves, without the punctuation at their ends.

    An item's own words are never inserted into it, so that they come from the others.

    Args:
        items: All items.
        unit: What a word is.
        most: So many at most, drawn at random.
        seed: Of the draw.

    Returns:
        The words in small letters, each once, sorted.

    Example:
        >>> words_of_items([Asked("I lied."), Asked("(lied), he")])
        ('he', 'i', 'lied')
    """
    found: set[str] = set()
    for asked in items:
        for text in item_fields(asked).values():
            found |= {_bare(text[start:end]) for start, end in word_spans(text, unit=unit)}
    words = sorted(found - {""})
    drawn = random.Random(seed_of(seed, "words of items")).sample(words, most) if len(words) > most else words
    return tuple(sorted(drawn))


def _bare(word: str) -> str:
    """A word without what is no letter, mark or digit at its ends."""
    inside = [at for at, one in enumerate(word) if unicodedata.category(one)[0] in "LMN"]
    return word[inside[0] : inside[-1] + 1].lower() if inside else ""
