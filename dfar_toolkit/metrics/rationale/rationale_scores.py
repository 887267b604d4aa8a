"""Every plausibility score of one method's rationales, as additive statistics of the same items."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from dfar_toolkit.agreement.spans.span_scores import BothEmpty
from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.rationale.auprc import areas_of, auprc_rows, average_precision_rows, roc_auc_rows
from dfar_toolkit.metrics.rationale.chance import random_token_f1_rows, token_f1_above_chance_rows
from dfar_toolkit.metrics.rationale.count_scores import Part
from dfar_toolkit.metrics.rationale.gold_words import GoldWords
from dfar_toolkit.metrics.rationale.iou_f1 import iou_f1_rows, span_counts
from dfar_toolkit.metrics.rationale.mask_correlation import mask_correlation_rows
from dfar_toolkit.metrics.rationale.token_f1 import token_f1_rows, token_iou_rows

RationaleMetric = Literal[
    "token_f1_above_chance", "token_f1", "token_f1_of_random_words", "token_precision", "token_recall",
    "token_f1_micro", "token_iou", "iou_f1", "iou_precision", "iou_recall", "iou_f1_micro",
    "average_precision", "auprc", "roc_auc", "spearman_with_mean_mask", "kendall_with_mean_mask",
]  # fmt: skip
PRIMARY: Final = "token_f1_above_chance"
# Metrics that need scores of words, not only a choice of them.
OF_SCORES: Final = (
    "average_precision", "auprc", "roc_auc", "spearman_with_mean_mask", "kendall_with_mean_mask",
)  # fmt: skip
PARTS: Final[tuple[Part, ...]] = ("f1", "precision", "recall")
# The floor under token F1 grows with the number of words chosen, which is neither good nor bad.
HIGHER_IS_BETTER: Final[dict[str, bool | None]] = {"token_f1_of_random_words": None}


def rationale_scores(
    words: GoldWords, *, threshold: float = 0.5, both_empty: BothEmpty = "agree", of_scores: bool | None = None
) -> list[Additive]:
    """All plausibility scores that apply, the headline first.

    Args:
        words: A method's rationales beside people's marks.
        threshold: Smallest intersection over union of matched spans.
        both_empty: Items where neither side has a word: ``agree`` or ``leave_out``.
        of_scores: Only the metrics that need scores of words, or only those that do not; None: both.

    Returns:
        The statistics; those of scores only where the method has any.

    Example:
        >>> from dfar_toolkit.metrics.rationale.gold_words import against_people
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> [s.metric for s in rationale_scores(against_people(marked_words([[[1, 0]]], [[1, 1]])))][:2]
        ['token_f1_above_chance', 'token_f1']
    """
    chosen = [] if of_scores else _of_choice(words, threshold, both_empty)
    return chosen if of_scores is False or not words.has_scores.any() else chosen + _of_scores(words)


def _of_choice(words: GoldWords, threshold: float, both_empty: BothEmpty) -> list[Additive]:
    counts = span_counts(words, threshold)
    iou = partial(iou_f1_rows, words, threshold=threshold, both_empty=both_empty, counts=counts)
    return [
        token_f1_above_chance_rows(words, both_empty=both_empty),
        token_f1_rows(words, both_empty=both_empty),
        random_token_f1_rows(words, both_empty=both_empty),
        token_f1_rows(words, part="precision", both_empty=both_empty),
        token_f1_rows(words, part="recall", both_empty=both_empty),
        token_f1_rows(words, average="micro", both_empty=both_empty),
        token_iou_rows(words, both_empty=both_empty),
        *(iou(part=part) for part in PARTS),
        iou(average="micro"),
    ]


def _of_scores(words: GoldWords) -> list[Additive]:
    areas = areas_of(words)
    return [
        average_precision_rows(words, areas=areas),
        auprc_rows(words, areas=areas),
        roc_auc_rows(words, areas=areas),
        mask_correlation_rows(words, coefficient="spearman"),
        mask_correlation_rows(words, coefficient="kendall"),
    ]
