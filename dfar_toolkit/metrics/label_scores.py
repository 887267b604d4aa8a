"""The label metrics as additive statistics, for comparisons of runs on the same items."""

from __future__ import annotations

import numpy as np

from dfar_toolkit.estimate import Additive, Floats, mean_of
from dfar_toolkit.metrics.confusion import (
    absent_note,
    balanced_formula,
    macro_f1_formula,
    margin_rows,
    matthews_formula,
)
from dfar_toolkit.metrics.labels import PairedLabels


def label_scores(pairs: PairedLabels) -> list[Additive]:
    """Accuracy, accuracy of the answered, coverage, balanced accuracy, macro-F1 and Matthews correlation of one run.

    The formulas and references are those of the functions of the same names; an item without an answer is a miss.

    Args:
        pairs: Gold and predicted codes of N items.

    Returns:
        The statistics, each with rows (N, D).

    Example:
        >>> from dfar_toolkit.estimate import estimate_together
        >>> from dfar_toolkit.metrics.labels import pair_labels
        >>> pairs = pair_labels("x", None, gold=["a", "b"], pred=["a", None], group=None, options=None)
        >>> [round(e.value, 2) for e in estimate_together(label_scores(pairs), ci=None)][:3]
        [0.5, 1.0, 0.5]
    """
    hit = (pairs.gold == pairs.pred).astype(np.float64)
    answered = (pairs.pred < len(pairs.options)).astype(np.float64)
    margins = margin_rows(pairs)
    one_sided = "only one gold label or only one prediction occurs"
    return [
        mean_of("accuracy", "accuracy", hit),
        Additive(
            "accuracy_answered", "accuracy of the answered", np.column_stack([hit, answered]), _ratio, "no answer"
        ),
        mean_of("coverage", "coverage", answered),
        Additive("balanced_accuracy", "balanced accuracy", margins, balanced_formula, absent_note(pairs, ("gold",))),
        Additive("macro_f1", "macro-F1", margins, macro_f1_formula, absent_note(pairs, ("gold", "pred"))),
        Additive("matthews_correlation", "Matthews correlation", margins, matthews_formula, one_sided),
    ]


def _ratio(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]
