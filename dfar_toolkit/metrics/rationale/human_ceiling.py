"""What a person scores against the other people asked: the ceiling beside a method's plausibility."""

from __future__ import annotations

from typing import get_args

from dfar_toolkit.agreement.spans.span_scores import BothEmpty
from dfar_toolkit.estimate import Additive, Estimate
from dfar_toolkit.metrics.rationale.count_scores import estimate_words, joined
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, held_out
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.rationale_scores import OF_SCORES, RationaleMetric, rationale_scores

_ALONE = "no item was shown to two people, so that none can be held out"
_TIES = "a person's marks as scores of 0 and 1, of which many are equal: finer scores may pass it"
_OTHERS = "each person against the others asked about the item, mean over the people of the item"


def human_ceiling(
    marked: MarkedWords,
    *,
    metric: RationaleMetric = "token_f1",
    gold: GoldRule = "majority",
    threshold: float = 0.5,
    both_empty: BothEmpty = "agree",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean score of each person's marks against those of the others, by the same rule and metric as a method's.

    Each of the $A_i$ people asked about item i is left out in turn and takes the method's place; the rule (any,
    majority, all) is applied to the other $A_i - 1$. The items' means over their people are averaged. A method is
    compared with all $A_i$ people, a person with one less: with few people the ceiling is a little low under ``any``
    and ``majority``, high under ``all``.

    Args:
        marked: Words that people marked.
        metric: Any metric of :func:`~dfar_toolkit.metrics.rationale.plausibility_table.plausibility_table`.
        gold: The rule among the others.
        threshold: Smallest intersection over union of matched spans.
        both_empty: Items where neither has a word: ``agree`` (1) or ``leave_out``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with at least two people. Higher is better.

    Undefined:
        No item has two people.

    Raises:
        ValueError: An unknown metric or rule.

    Example:
        Each against the other: 2 x 1 / (1 + 2), twice.

        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> round(human_ceiling(marked_words([[[1, 0, 0], [1, 1, 0]]], [[1, 0, 0]]), ci=None).value, 6)
        0.666667

    Reference:
        Hripcsak and Rothschild (2005), J. Am. Med. Inform. Assoc. 12(3):296-298 (F1 between people).
    """
    if metric not in get_args(RationaleMetric):
        raise ValueError(
            f"human_ceiling: metric must be one of {', '.join(get_args(RationaleMetric))}, found {metric!r}"
        )
    rows = {
        row.metric: row for row in human_ceiling_rows(marked, gold=gold, threshold=threshold, both_empty=both_empty)
    }
    if not rows:
        return without_people(metric, marked, confidence)
    words = held_out(marked, gold=gold)
    return estimate_words(rows[metric], words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def human_ceiling_rows(
    marked: MarkedWords, *, gold: GoldRule = "majority", threshold: float = 0.5, both_empty: BothEmpty = "agree"
) -> list[Additive]:
    """All scores of the people held out, as additive statistics; none where no item has two people.

    Args:
        marked: Words that people marked.
        gold: As in :func:`human_ceiling`.
        threshold: As there.
        both_empty: As there.

    Returns:
        The statistics, of all N items.
    """
    words = held_out(marked, gold=gold)
    if not len(words.sizes):
        return []
    return [
        row._replace(
            note=joined(_OTHERS, _TIES if row.metric in OF_SCORES else "", _alone(row.note)),
            undefined=_alone(row.undefined),
        )
        for row in rationale_scores(words, threshold=threshold, both_empty=both_empty)
    ]


def without_people(name: str, marked: MarkedWords, confidence: float) -> Estimate:
    """The estimate that says why there is no ceiling."""
    nan, note = float("nan"), joined(_ALONE, marked.note)
    return Estimate(name, nan, nan, nan, 0, 0, "items", "items", "none", confidence, note)


def _alone(note: str) -> str:
    return note.replace("without a rationale", "without a second person")
