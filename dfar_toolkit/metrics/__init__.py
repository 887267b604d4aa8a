"""How well a model's labels and reasons agree with people."""

from dfar_toolkit.metrics.baselines import label_shares, majority_baseline, minority_baseline
from dfar_toolkit.metrics.classification import (
    accuracy,
    accuracy_answered,
    balanced_accuracy,
    coverage,
    macro_f1,
    matthews_correlation,
    unparsed_share,
)
from dfar_toolkit.metrics.comparison import Comparison, compare
from dfar_toolkit.metrics.confusion import confusion_matrix, precision_recall_f1
from dfar_toolkit.metrics.judges import judge_agreement, specific_agreement
from dfar_toolkit.metrics.misalignment import misalignment_rate, misalignment_table
from dfar_toolkit.metrics.paired import mcnemar_test, sign_flip_test

__all__ = [
    "Comparison",
    "accuracy",
    "accuracy_answered",
    "balanced_accuracy",
    "compare",
    "confusion_matrix",
    "coverage",
    "judge_agreement",
    "label_shares",
    "macro_f1",
    "majority_baseline",
    "matthews_correlation",
    "mcnemar_test",
    "minority_baseline",
    "misalignment_rate",
    "misalignment_table",
    "precision_recall_f1",
    "sign_flip_test",
    "specific_agreement",
    "unparsed_share",
]
