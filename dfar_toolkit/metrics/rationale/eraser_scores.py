"""All of ERASER's scores of one method's rationales, by its own names: for readers of its published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.rationale.eraser import THRESHOLD, eraser_iou_rows, eraser_span_rows, eraser_token_rows
from dfar_toolkit.metrics.rationale.gold_words import GoldWords
from dfar_toolkit.metrics.rationale.span_documents import documents_of_words

_TO_THE_LETTER: Final = ("auprc", "average_precision", "roc_auc")  # scores of this room that are ERASER's as they are


def eraser_scores(words: GoldWords, ours: Sequence[Additive], *, threshold: float = THRESHOLD) -> list[Additive]:
    """ERASER's scores of hard rationales (tokens, spans by their IOU, whole spans; micro, then macro) and soft ones.

    A document is an item's rationale beside its marks, a span a run of neighbouring words. Cost: linear in the words,
    and in pairs of spans of an item.

    Args:
        words: A method's rationales beside people's marks.
        ours: The scores of this room; its AUPRC, average precision and ROC area are ERASER's.
        threshold: Smallest intersection over union of a hit.

    Returns:
        The statistics ``eraser_{token,iou,span}_{precision,recall,f1}_{micro,macro}``, and where words have scores
        ``eraser_auprc``, ``eraser_average_precision`` and ``eraser_roc_auc``.

    Example:
        >>> from dfar_toolkit.metrics.rationale.gold_words import against_people
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> found = eraser_scores(against_people(marked_words([[[1, 0]]], [[1, 1]])), [])
        >>> found[0].metric, len(found)
        ('eraser_token_precision_micro', 18)

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1; rationale_benchmark/metrics.py.
    """
    documents = documents_of_words(words)
    hits = eraser_iou_rows(documents, threshold=threshold)
    soft = [
        score._replace(metric=f"eraser_{score.metric}", name=f"ERASER {score.name}")
        for score in ours
        if score.metric in _TO_THE_LETTER
    ]
    return [*eraser_token_rows(documents), *hits, *eraser_span_rows(documents), *soft]
