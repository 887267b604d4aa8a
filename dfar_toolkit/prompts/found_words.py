"""Words that a model lists, found among the words of an item.

A phrase stands wherever its words stand one after the other in a field, whatever stands between them that is no word
(:mod:`~dfar_toolkit.prompts.compared_words` says what is equal): "dog" stands in "Dog's" and in "(dog)", but not in
"dogma", and a syllable never in a longer word of a script with vowel signs. Of scripts that are written without
blanks every character may begin or end a phrase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dfar_toolkit.prompts.compared_words import Compared, compared_words
from dfar_toolkit.prompts.item_words import Word

Places = tuple[tuple[int, ...], ...]  # of one phrase: for each place where it stands the indices of the words
_GAP = "\x00"


class WordIndex:
    """The words of an item, to find phrases among them.

    Args:
        texts: Texts by the names of their fields.
        words: The item's words, in reading order.

    Example:
        >>> index = WordIndex({"statement": "I lied. He LIED!"}, (Word("statement", 2, 7), Word("statement", 11, 16)))
        >>> index.find('"lied"'), index.find("lie")
        (((0,), (1,)), ())
    """

    def __init__(self, texts: Mapping[str, str], words: Sequence[Word]) -> None:
        self._codes: dict[str, str] = {}  # a character for each word, so that phrases are found in linear time
        self._units: list[tuple[int, ...]] = []  # the item's words that each word touches
        self._bare: dict[str, list[int]] = {}  # words without letters, such as "!!"
        line: list[str] = []
        for field in dict.fromkeys(word.field for word in words):
            own = [(at, word) for at, word in enumerate(words) if word.field == field]
            for at, word in own:
                self._bare.setdefault(texts[field][word.start : word.end], []).append(at)
            compared = compared_words(texts[field])
            self._units += [*_touched(compared, own), ()]
            line += [self._codes.setdefault(one.key, chr(len(self._codes) + 1)) for one in compared]
            line.append(_GAP)
        self._line = "".join(line)

    def find(self, phrase: str) -> Places:
        """Where a phrase stands.

        Args:
            phrase: One word or several.

        Returns:
            For each place the indices of the item's words that it touches, rising; places do not overlap. A phrase
            without letters, digits and symbols stands only where it is a whole word.
        """
        keys = [word.key for word in compared_words(phrase)]
        if not keys:
            return tuple((at,) for at in self._bare.get(phrase.strip(), ()))
        code = "".join(self._codes.get(key, _GAP) for key in keys)
        if _GAP in code:
            return ()
        found: dict[tuple[int, ...], None] = {}
        at = self._line.find(code)
        while at >= 0:
            touched = tuple(sorted({unit for units in self._units[at : at + len(code)] for unit in units}))
            if touched:
                found[touched] = None
            at = self._line.find(code, at + len(code))
        return tuple(found)

    def has(self, phrase: str) -> bool:
        """Whether a phrase stands somewhere."""
        return bool(self.find(phrase))


def chosen_words(found: Iterable[Places]) -> frozenset[int]:
    """All words of all places of all phrases.

    Example:
        >>> sorted(chosen_words([((4,), (7,)), (), ((1, 2),)]))
        [1, 2, 4, 7]
    """
    return frozenset(at for places in found for place in places for at in place)


def first_words(found: Iterable[Places], k: int) -> frozenset[int]:
    """The first k words that were listed, each in all of its places; a phrase counts as many words as it has.

    Args:
        found: Places of each phrase, in the order of the list; a phrase that stands nowhere counts nothing.
        k: The number of words.

    Returns:
        Indices of the words: k, more where a word stands in several places, fewer where fewer were listed.

    Example:
        >>> sorted(first_words([((4,), (7,)), ((1, 2, 3),), ((0,),)], 3))
        [1, 2, 4, 7]
    """
    chosen: set[int] = set()
    for places in found:
        fresh = [tuple(at for at in place if at not in chosen) for place in places]
        taken = [place[:k] for place in fresh]
        chosen.update(at for place in taken for at in place)
        k -= max(map(len, taken), default=0)
        if k <= 0:
            break
    return frozenset(chosen)


def rank_scores(found: Sequence[Places], count: int) -> tuple[float, ...] | None:
    """Scores of an item's words by the order in which they were listed: the first has the highest, others have 0.

    Args:
        found: Places of each phrase, in the order of the list.
        count: Number of the item's words.

    Returns:
        One number per word; of a word in several phrases the highest. None where no phrase stands anywhere.

    Example:
        >>> rank_scores([((2,),), (), ((0,), (2, 3))], 4)
        (1.0, 0.0, 2.0, 1.0)
    """
    ranked = [places for places in found if places]
    if not ranked:
        return None
    scores = [0.0] * count
    for rank, places in enumerate(ranked):
        for at in (at for place in places for at in place):
            scores[at] = max(scores[at], float(len(ranked) - rank))
    return tuple(scores)


def _touched(compared: Sequence[Compared], own: Sequence[tuple[int, Word]]) -> list[tuple[int, ...]]:
    """The item's words that each word touches; both rise."""
    found: list[tuple[int, ...]] = []
    first = 0
    for one in compared:
        while first < len(own) and own[first][1].end <= one.start:
            first += 1
        reach = first
        while reach < len(own) and own[reach][1].start < one.end:
            reach += 1
        found.append(tuple(at for at, _ in own[first:reach]))
    return found
