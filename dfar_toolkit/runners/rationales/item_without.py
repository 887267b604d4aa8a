"""What the model says to one item without some of its words; each form of the item is asked about once."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Sequence
from typing import Final

from dfar_toolkit.engines.requests import Failed, Hiding, Reply, Request
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.item_words import Operator, Word, item_fields, without_words
from dfar_toolkit.prompts.placing import Place
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.explaining import Explaining, Perturbation
from dfar_toolkit.runners.units import Row, seed_of

EDITING: Final[dict[str, Operator]] = {"remove": "remove", "mask": "mask", "replace": "replace"}
HIDING: Final[dict[str, Hiding]] = {"mask_token": "token", "attention_mask": "attention"}

Form = tuple[Perturbation, frozenset[int]]  # how words are taken away, and which


class ItemWithout:
    """The forms of one item, and the replies to them.

    Args:
        item_id: The item.
        asked: What is asked about it.
        words: Its words.
        asker: How it is asked.
        how: Mask and seed.
        full: The reply to the item with all its words.
        replacements: The words that ``replace`` draws from, in an order that does not change.
    """

    def __init__(
        self,
        item_id: str,
        asked: Asked,
        words: Sequence[Word],
        asker: Asker,
        how: Explaining,
        full: Reply,
        replacements: Sequence[str] = (),
    ) -> None:
        self._asked, self._words, self._asker, self._how = asked, tuple(words), asker, how
        self._item_id, self._full, self._replacements = item_id, full, replacements
        self._replies: dict[Form, Reply] = {}
        self._requests: dict[Form, Request] = {}
        self._places: tuple[Place, ...] | None = None
        self._substitutes: dict[int, str] = {}

    @property
    def all_words(self) -> frozenset[int]:
        """Numbers of all words."""
        return frozenset(range(len(self._words)))

    def ask(self, forms: Iterable[Form]) -> Generator[list[Request], list[Reply], None]:
        """Ask for those of the forms that have no reply yet, all at once."""
        new: dict[Form, Request] = {}
        for form in forms:
            if form[1] and form not in self._replies and form not in new:
                try:
                    new[form] = self._request(*form)
                except TableError as error:  # of this item's texts; others may be asked
                    self._replies[form] = Failed("unplaced", str(error))
        if new:
            replies = yield list(new.values())
            self._replies |= zip(new, replies, strict=True)
            self._requests |= new

    def reply(self, operator: Perturbation, gone: frozenset[int]) -> Reply:
        """The reply to a form that was asked for; without any word gone that to the whole item."""
        return self._replies[operator, gone] if gone else self._full

    def row(self, operator: Perturbation, gone: frozenset[int]) -> Row:
        """The reply to a form as columns of a row."""
        return self._asker.row(self.reply(operator, gone), self._requests.get((operator, gone)))

    def _request(self, operator: Perturbation, gone: frozenset[int]) -> Request:
        if operator in HIDING:
            if self._places is None:
                self._places = self._asker.places(self._asked, self._words)
            hidden = [place for place in self._places if place.unit in gone]
            return self._asker.request(self._asked, hidden, HIDING[operator])
        if operator == "replace" and not self._substitutes:
            texts = [item_fields(self._asked)[word.field][word.start : word.end] for word in self._words]
            self._substitutes = substitutes(self._item_id, texts, self._replacements, seed=self._how.seed)
        edited = without_words(
            self._asked, self._words, gone,
            operator=EDITING[operator], mask=self._how.mask, substitutes=self._substitutes,
        )  # fmt: skip
        return self._asker.request(edited)


def substitutes(item_id: str, words: Sequence[str], replacements: Sequence[str], *, seed: int) -> dict[int, str]:
    """A random word for each word of an item, the same whichever others are replaced beside it.

    Args:
        item_id: The item.
        words: Its words.
        replacements: What is drawn from, in an order that does not change.
        seed: Of the run.

    Returns:
        By number of the word; never the word itself, capitals aside, where another can be had.

    Raises:
        ValueError: Nothing to draw from.

    Example:
        >>> substitutes("i1", ["Rain", "fell"], ["rain", "snow"], seed=0)[0]
        'snow'
    """
    if not replacements:
        raise ValueError("substitutes: wanted words to draw from (replacements), found none")
    drawn = random.Random(seed_of(seed, item_id, "replace"))
    return {number: _other(word, replacements, drawn.randrange(len(replacements))) for number, word in enumerate(words)}


def _other(word: str, replacements: Sequence[str], start: int) -> str:
    """The replacement at ``start``, or the next that is another word."""
    own, count = word.casefold(), len(replacements)
    rest = (replacements[(start + step) % count] for step in range(count))
    return next((found for found in rest if found.casefold() != own), replacements[start])
