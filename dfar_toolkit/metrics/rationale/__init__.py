"""How far a method's words are those that people marked: plausibility of rationales, beside chance and people."""

from dfar_toolkit.metrics.rationale.auprc import auprc, average_precision, roc_auc
from dfar_toolkit.metrics.rationale.chance import token_f1_above_chance
from dfar_toolkit.metrics.rationale.eraser import eraser_iou_f1, eraser_span_f1, eraser_token_f1
from dfar_toolkit.metrics.rationale.gold_words import against_people, held_out
from dfar_toolkit.metrics.rationale.human_ceiling import human_ceiling
from dfar_toolkit.metrics.rationale.iou_f1 import iou_f1
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords, marked_words
from dfar_toolkit.metrics.rationale.mask_correlation import mask_correlation
from dfar_toolkit.metrics.rationale.plausibility_differences import plausibility_differences
from dfar_toolkit.metrics.rationale.plausibility_table import plausibility_table
from dfar_toolkit.metrics.rationale.span_documents import span_documents
from dfar_toolkit.metrics.rationale.token_f1 import token_f1, token_iou
from dfar_toolkit.metrics.rationale.top_words import top_k_mask
from dfar_toolkit.metrics.rationale.words_of_outputs import marked_words_of_outputs

__all__ = [
    "MarkedWords",
    "against_people",
    "auprc",
    "average_precision",
    "eraser_iou_f1",
    "eraser_span_f1",
    "eraser_token_f1",
    "held_out",
    "human_ceiling",
    "iou_f1",
    "marked_words",
    "marked_words_of_outputs",
    "mask_correlation",
    "plausibility_differences",
    "plausibility_table",
    "roc_auc",
    "span_documents",
    "token_f1",
    "token_f1_above_chance",
    "token_iou",
    "top_k_mask",
]
