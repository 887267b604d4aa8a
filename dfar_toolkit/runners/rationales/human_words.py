"""Which words of an item people marked, from the evidence of their annotations.

Cost: one pass over the words and the marked spans; each span finds its words by two binary searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR
from dfar_toolkit.tabular import quoted

_KEY: Final = ("item_id", "person")


@dataclass(frozen=True, slots=True, eq=False)
class HumanWords:
    """The words of one item that people marked.

    Attributes:
        people: Who was asked, A of them; ratings by nobody known are people of their own.
        masks: Whether each marked each word, (A, W); of several sets of evidence that one person gave, their union.
        sets: For each person the sets that are evidence by themselves (ERASER's groups); most have one.
        n_outside: Marked spans in which none of these words stands, such as those of other fields.
    """

    people: tuple[str, ...]
    masks: npt.NDArray[np.bool_]
    sets: tuple[tuple[frozenset[int], ...], ...]
    n_outside: int = 0

    @property
    def any(self) -> frozenset[int]:
        """Words that somebody marked."""
        return _numbers(self.masks.sum(axis=0) > 0)

    @property
    def majority(self) -> frozenset[int]:
        """Words that more than half of those asked marked; a tie is none."""
        return _numbers(2 * self.masks.sum(axis=0) > len(self.people))

    @property
    def all(self) -> frozenset[int]:
        """Words that everybody marked."""
        return _numbers(self.masks.sum(axis=0) == len(self.people))

    @property
    def alternatives(self) -> tuple[frozenset[int], ...]:
        """The sets of all people, each once, of which any one is enough."""
        return tuple(dict.fromkeys(one for own in self.sets for one in own))


def human_words_of(
    items: pl.DataFrame,
    annotations: pl.DataFrame,
    words_by_item: Mapping[str, Sequence[Word]],
    *,
    question: str | None = None,
) -> dict[str, HumanWords]:
    """The words that people marked, of all items at once.

    Args:
        items: ``item_id`` of the items that are asked about.
        annotations: ``item_id, annotator_id, question, rating_id, evidence`` and, where known, ``foil``. Evidence that
            is null was not asked for, an empty list marks nothing.
        words_by_item: Words of each item, in reading order.
        question: The question whose evidence counts; None: of the questions without a foil (why this label rather
            than another), of which an item may then have one with evidence.

    Returns:
        By items, in their order; those that nobody was asked about are not in it.

    Raises:
        TableError: No question is named, and an item has evidence to several; an unknown question.

    Example:
        >>> evidence = [{"field": "statement", "start": 2, "end": 6, "set": 0}]
        >>> rows = pl.DataFrame({"item_id": "i1", "annotator_id": ["a", "b"], "question": "good",
        ...                      "rating_id": ["1", "2"], "evidence": [evidence, []]})
        >>> words = {"i1": [Word("statement", 0, 1), Word("statement", 2, 7)]}
        >>> found = human_words_of(pl.DataFrame({"item_id": ["i1"]}), rows, words)["i1"]
        >>> sorted(found.any), sorted(found.majority)
        ([1], [])
    """
    known = [item for item in items["item_id"] if item in words_by_item]
    rows = _asked_for(annotations.filter(pl.col("item_id").is_in(known)), question)
    asked = rows.select(_KEY).unique().sort(_KEY)
    spans = _spans(rows, known, words_by_item)
    places = {key: at for at, key in enumerate(asked.iter_rows())}
    marks: list[dict[tuple[str, int], set[int]]] = [{} for _ in places]
    outside = dict.fromkeys(known, 0)
    for item, person, rating, number, first, last in spans:
        if first >= last:
            outside[item] += 1
        else:
            marks[places[item, person]].setdefault((rating, number), set()).update(range(first, last))
    people: dict[str, list[str]] = {}
    for item, person in asked.iter_rows():
        people.setdefault(item, []).append(person)
    return {
        item: _human_words(people[item], [marks[places[item, one]] for one in people[item]], words_by_item[item],
                           outside[item])
        for item in known if item in people
    }  # fmt: skip


def _asked_for(annotations: pl.DataFrame, question: str | None) -> pl.DataFrame:
    """The ratings that have evidence to the question, with who gave them."""
    if question is not None and question not in annotations["question"]:
        raise TableError(
            f"no marked words to {question!r}; there are {quoted(annotations['question'].unique().sort())}."
        )
    rows = annotations.filter(pl.col("evidence").is_not_null())
    if question is not None:
        rows = rows.filter(pl.col("question") == question)
    elif "foil" in rows.columns:
        rows = rows.filter(pl.col("foil").is_null())
    several = rows.group_by("item_id").agg(pl.col("question").unique().sort()).filter(pl.col("question").list.len() > 1)
    if len(several):
        item, questions = several.sort("item_id").row(0)
        raise TableError(f"people marked words of {item} to several questions ({quoted(questions)}); name one of them.")
    nobody = pl.col("annotator_id").str.ends_with(f":{UNKNOWN_ANNOTATOR}") | (
        pl.col("annotator_id") == UNKNOWN_ANNOTATOR
    )
    person = pl.when(nobody).then("rating_id").otherwise("annotator_id")
    return rows.select("item_id", person.alias("person"), "rating_id", "evidence")


def _spans(
    rows: pl.DataFrame, items: Sequence[str], words_by_item: Mapping[str, Sequence[Word]]
) -> list[tuple[str, str, str, int, int, int]]:
    """Item, person, rating, number of the set, and first and last word (exclusive) of each marked span."""
    flat = rows.filter(pl.col("evidence").list.len() > 0).explode("evidence").unnest("evidence")
    if not len(flat):
        return []
    with_marks = set(flat["item_id"])
    blocks: dict[tuple[str, str], int] = {}
    begins: list[int] = []  # of each block, where the words of its item begin
    found: list[tuple[int, int, int]] = []
    for item in (item for item in items if item in with_marks):
        for number, word in enumerate(words_by_item[item]):
            block = blocks.setdefault((item, word.field), len(blocks))
            if block == len(begins):
                begins.append(len(found) - number)
            found.append((block, word.start, word.end))
    own = np.array([blocks.get(key, -1) for key in flat.select("item_id", "field").iter_rows()])
    start, end = flat["start"].to_numpy(), flat["end"].to_numpy()
    place, starts, ends = np.array(found, dtype=np.int64).reshape(-1, 3).T
    wide = int(max(ends.max(initial=0), end.max())) + 2  # more than any place, so that blocks stay apart
    first = np.searchsorted(place * wide + ends, own * wide + start, side="right")
    last = np.searchsorted(place * wide + starts, own * wide + end, side="left")
    last = np.where((own >= 0) & (start < end), last, first)
    offset = np.array([*begins, 0])[own]
    numbers = zip((first - offset).tolist(), (last - offset).tolist(), strict=True)
    keys = flat.select(*_KEY, "rating_id", "set").iter_rows()
    return [(*key, *range_) for key, range_ in zip(keys, numbers, strict=True)]


def _human_words(
    people: Sequence[str], marks: Sequence[Mapping[tuple[str, int], set[int]]], words: Sequence[Word], outside: int
) -> HumanWords:
    masks = np.zeros((len(people), len(words)), dtype=np.bool_)
    for mask, own in zip(masks, marks, strict=True):
        for numbers in own.values():
            mask[list(numbers)] = True
    sets = tuple(tuple(frozenset(own[key]) for key in sorted(own)) for own in marks)
    return HumanWords(tuple(people), masks, sets, outside)


def _numbers(mask: npt.NDArray[np.bool_]) -> frozenset[int]:
    return frozenset(np.flatnonzero(mask).tolist())
