r"""Which words a rationale and people have in common: token precision, recall, F1, and intersection over union.

Cost: linear in the words of all rationales.
"""

from __future__ import annotations

import numpy as np

from dfar_toolkit.agreement.spans.span_scores import Average, BothEmpty
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.count_scores import (
    WITHOUT,
    Part,
    count_score,
    empty_note,
    estimate_words,
    joined,
)
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, Top, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.reasons.present_means import mean_present


def token_f1(
    marked: MarkedWords,
    *,
    method: str | None = None,
    part: Part = "f1",
    average: Average = "macro",
    gold: GoldRule = "majority",
    top: Top = "human",
    both_empty: BothEmpty = "agree",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Token F1 (or precision, or recall) of a method's rationales against the words that people marked.

    In item i the rationale has $k_i$ words, people marked $g_i$, $t_i$ are common: $F_{1,i} = 2 t_i / (k_i + g_i)$,

        macro: $\frac{1}{N} \sum_i F_{1,i}$,   micro: $2 \sum_i t_i / \sum_i (k_i + g_i)$

    precision with $t_i / k_i$ and recall with $t_i / g_i$. Where one side is empty all three are 0, where both are, 1.
    Draws of a method are averaged within the item first. Higher is better, but F1 grows with the number of words that
    both have: read it beside :func:`~dfar_toolkit.metrics.rationale.chance.token_f1_above_chance`.

    Args:
        marked: Words that people and methods marked.
        method: The method; None where there is only one.
        part: ``precision``, ``recall`` or ``f1``.
        average: ``macro`` or ``micro``.
        gold: By whom a word must be marked: ``any``, ``majority`` (more than half), ``all`` of the people asked.
        top: How many words a method that only scores them chooses: as many as the ``human`` gold has, a number, or a
            share.
        both_empty: Items where neither has a word: ``agree`` (1) or ``leave_out``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with a rationale.

    Undefined:
        No item has a rationale; micro: also where no word is chosen (precision) or marked (recall) anywhere.

    Raises:
        ValueError: An unknown method or option.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[1, 1, 0, 0]], [[0, 1]]], [[0, 1, 1, 1], [0, 1]])
        >>> token_f1(marked, ci=None).value, round(token_f1(marked, average="micro", ci=None).value, 6)
        (0.7, 0.571429)

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1 (token level); both-empty items stay in here, there they do not.
    """
    words = against_people(marked, method=method, gold=gold, top=top)
    row = token_f1_rows(words, part=part, average=average, both_empty=both_empty)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def token_f1_rows(
    words: GoldWords, *, part: Part = "f1", average: Average = "macro", both_empty: BothEmpty = "agree"
) -> Additive:
    """The rows and formula of :func:`token_f1`.

    Args:
        words: A method's rationales beside people's marks.
        part: As there.
        average: As there.
        both_empty: As there.

    Returns:
        The additive statistic.
    """
    return count_score("token", words, token_counts(words), part=part, average=average, both_empty=both_empty)


def token_counts(words: GoldWords) -> tuple[Floats, Floats, Floats]:
    """Words common to both, chosen, and marked, of each rationale (R,)."""
    common = words.per_row(words.chosen & words.gold)
    return common, words.per_row(words.chosen), words.per_row(words.gold)


def token_iou(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    top: Top = "human",
    both_empty: BothEmpty = "agree",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Intersection over union of the words chosen and the words marked, mean over items.

    $\frac{1}{N} \sum_i \frac{t_i}{k_i + g_i - t_i}$ in the symbols of :func:`token_f1`; 0 where one side is empty, 1
    where both are. Higher is better.

    Args:
        marked: Words that people and methods marked.
        method: The method; None where there is only one.
        gold: As for :func:`token_f1`.
        top: As for :func:`token_f1`.
        both_empty: As for :func:`token_f1`.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with a rationale.

    Undefined:
        No item has a rationale.

    Raises:
        ValueError: An unknown method or option.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> token_iou(marked_words([[[1, 1, 0, 0]]], [[0, 1, 1, 1]]), ci=None).value
        0.25

    Reference:
        Jaccard (1912), New Phytologist 11(2):37-50.
    """
    words = against_people(marked, method=method, gold=gold, top=top)
    row = token_iou_rows(words, both_empty=both_empty)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def token_iou_rows(words: GoldWords, *, both_empty: BothEmpty = "agree") -> Additive:
    """The rows and formula of :func:`token_iou`.

    Args:
        words: A method's rationales beside people's marks.
        both_empty: As there.

    Returns:
        The additive statistic.
    """
    counts = token_counts(words)
    union = counts[1] + counts[2] - counts[0]
    values = np.divide(counts[0], union, out=np.zeros(len(union)), where=union > 0)
    values[union == 0] = 1.0 if both_empty == "agree" else np.nan
    said = joined(words.note, words.top_note, empty_note(words, counts, both_empty))
    return mean_present("token_iou", "token IOU", words.per_item(values), without=WITHOUT, note=said)
