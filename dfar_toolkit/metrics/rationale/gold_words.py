"""A method's rationales against the words that people marked by a rule: any of them, the majority, or all."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, range_places, row_numbers, row_sums, starts_of
from dfar_toolkit.metrics.rationale.top_words import top_words

GoldRule = Literal["any", "majority", "all"]
Top = Literal["human"] | int | float
HELD_OUT: Final = "held_out_annotator"


class GoldWords(NamedTuple):
    """R rationales of one method on N items, word by word; arrays (V,) lie in the order of the rationales.

    Attributes:
        method: Whose rationales.
        item: Item of each rationale (R,), 0 to N - 1; those of one item are averaged.
        sizes: Words of each rationale's text (R,).
        gold: Whether people marked the word, by the rule (V,).
        share: Share of the people asked that marked it (V,).
        begins: Whether the word is the first of its text or field (V,).
        chosen: Whether the rationale has the word (V,).
        has_chosen: Whether the rationale is a set of words (R,).
        scores: Score of the word (V,).
        has_scores: Whether the rationale has scores (R,).
        n_items: N.
        groups: Resampling unit of each item (N,), or None.
        top_note: How words were chosen where the method only scores them.
        note: What else is to be said.
    """

    method: str
    item: Ints
    sizes: Ints
    gold: Bools
    share: Floats
    begins: Bools
    chosen: Bools
    has_chosen: Bools
    scores: Floats
    has_scores: Bools
    n_items: int
    groups: pl.Series | None
    top_note: str = ""
    note: str = ""

    @property
    def row(self) -> Ints:
        """Number of the rationale of each word (V,)."""
        return row_numbers(self.sizes)

    def per_row(self, values: Bools | Floats) -> Floats:
        """Sum of one number per word (V,) over each rationale (R,)."""
        return row_sums(self.row, values, len(self.sizes))

    def per_item(self, values: Floats) -> Floats:
        """Mean of one number per rationale (R,) over the rationales of each item that have one (N,), else ``nan``."""
        known = ~np.isnan(values)
        item, count = self.item[known], np.bincount(self.item[known], minlength=self.n_items)
        total = row_sums(item, values[known], self.n_items)
        mean: Floats = np.divide(total, count, out=np.full(self.n_items, np.nan), where=count > 0)
        return mean


def against_people(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    top: Top = "human",
    positive_only: bool = False,
) -> GoldWords:
    """One method's rationales beside the words that people marked.

    Args:
        marked: The marks.
        method: Name of the method; None where there is only one.
        gold: Which words count as marked: by ``any`` of the people asked, by the ``majority`` (more than half of
            them), by ``all``.
        top: Which words a method that only scores them chooses: as many as the ``human`` gold has in the item, a
            number of words, or a share of them (above 0, at most 1; rounded up, at least one word).
        positive_only: Whether such a method never chooses a word with a score of 0 or below.

    Returns:
        The rationales.

    Raises:
        ValueError: An unknown method or rule, an impossible ``top``.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[1, 0, 0], [1, 1, 0]]], scores=[[0.1, 0.3, 0.2]])
        >>> words = against_people(marked, gold="any")
        >>> words.gold.tolist(), words.chosen.tolist()
        ([True, True, False], [False, True, True])
    """
    name = _method(marked, method)
    check_rule(gold)
    rows = np.flatnonzero(marked.method == marked.methods.index(name))
    text = marked.text[rows]
    sizes = marked.text_sizes[text]
    at = range_places(starts_of(marked.text_sizes)[text], sizes)
    own = range_places(starts_of(marked.text_sizes[marked.text])[rows], sizes)
    marks, asked = human_counts(marked)
    people = np.repeat(asked[text], sizes)
    by_rule = by_gold_rule(marks[at], people, gold)
    chosen, unchosen = marked.chosen[own].copy(), ~marked.has_chosen[rows]
    if unchosen.any():
        k = _numbers(top, sizes, row_sums(row_numbers(sizes), by_rule, len(sizes)))
        chosen |= top_words(marked.scores[own], sizes, k, positive_only=positive_only) & np.repeat(unchosen, sizes)
    return GoldWords(
        method=name,
        item=marked.text_item[text],
        sizes=sizes,
        gold=by_rule,
        share=marks[at] / people,
        begins=marked.begins[at],
        chosen=chosen,
        has_chosen=np.ones(len(rows), dtype=np.bool_),
        scores=marked.scores[own],
        has_scores=marked.has_scores[rows],
        n_items=len(marked.items),
        groups=marked.groups,
        top_note=_top_note(top, positive_only=positive_only) if unchosen.any() else "",
        note=marked.note,
    )


def held_out(marked: MarkedWords, *, gold: GoldRule = "majority") -> GoldWords:
    """Each person's marks beside those of the other people asked about the item, by the same rule.

    Args:
        marked: The marks; of an item with several texts the first.
        gold: The rule among the others.

    Returns:
        One rationale per person of each item with at least two people; the scores are the marks.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> words = held_out(marked_words([[[1, 0], [1, 1]]], [[1, 0]]))
        >>> words.chosen.reshape(2, 2).tolist(), words.gold.reshape(2, 2).tolist()
        ([[True, False], [True, True]], [[True, True], [True, False]])
    """
    check_rule(gold)
    marks, asked = human_counts(marked)
    first = np.zeros(len(marked.text_sizes), dtype=np.bool_)
    first[np.unique(marked.text_item, return_index=True)[1]] = True
    rows = np.flatnonzero((asked[marked.human_text] >= 2) & first[marked.human_text])
    text = marked.human_text[rows]
    sizes = marked.text_sizes[text]
    at = range_places(starts_of(marked.text_sizes)[text], sizes)
    own = marked.human_marks[range_places(starts_of(marked.text_sizes[marked.human_text])[rows], sizes)]
    others, people = marks[at] - own, np.repeat(asked[text] - 1, sizes)
    yes = np.ones(len(rows), dtype=np.bool_)
    return GoldWords(
        HELD_OUT, marked.text_item[text], sizes, by_gold_rule(others, people, gold), others / people, marked.begins[at],
        own, yes, own.astype(np.float64), yes, len(marked.items), marked.groups, note=marked.note,
    )  # fmt: skip


def human_counts(marked: MarkedWords) -> tuple[Floats, Floats]:
    """How many people marked each word (W,), and how many were asked about each text (T,)."""
    sizes = marked.text_sizes[marked.human_text]
    at = range_places(starts_of(marked.text_sizes)[marked.human_text], sizes)
    marks = np.bincount(at[marked.human_marks], minlength=len(marked.begins)).astype(np.float64)
    return marks, np.bincount(marked.human_text, minlength=len(marked.text_sizes)).astype(np.float64)


def by_gold_rule(marks: Floats, asked: Floats, gold: GoldRule) -> Bools:
    """Whether words count as marked (V,), of how many marked them and how many were asked.

    Example:
        >>> by_gold_rule(np.array([0.0, 1.0, 2.0]), np.full(3, 2.0), "majority").tolist()
        [False, False, True]
    """
    if gold == "any":
        return marks > 0
    return 2 * marks > asked if gold == "majority" else marks == asked


def check_rule(gold: str) -> None:
    """Refuse a rule that is none."""
    if gold not in get_args(GoldRule):
        raise ValueError(f"rationale: gold must be one of {', '.join(get_args(GoldRule))}, found {gold!r}")


def _method(marked: MarkedWords, method: str | None) -> str:
    if method is None and len(marked.methods) == 1:
        return marked.methods[0]
    if method is None or method not in marked.methods:
        found = ", ".join(marked.methods) or "none"
        raise ValueError(f"rationale: method must be one of those that there are; found {method!r} of {found}")
    return method


def _numbers(top: Top, sizes: Ints, gold: Floats) -> Ints:
    """How many words each rationale chooses (R,)."""
    if top == "human":
        return gold.astype(np.int64)
    if isinstance(top, int) and not isinstance(top, bool) and top >= 1:
        return np.full(len(sizes), top, dtype=np.int64)
    if isinstance(top, float) and 0 < top <= 1:
        # Rounded first: 0.1 * 30 is a little above 3 in floating point.
        return np.maximum(1, np.ceil(np.round(top * sizes, 9))).astype(np.int64)
    raise ValueError(
        f'rationale: top must be "human", a number of words of at least 1, or a share above 0 and at most 1, '
        f"found {top!r}"
    )


def _top_note(top: Top, *, positive_only: bool) -> str:
    many = "as many as people marked" if top == "human" else f"{top}" if isinstance(top, int) else f"{top:.10g} of them"
    return f"of scored words the highest, {many}{', above 0 only' if positive_only else ''}"
