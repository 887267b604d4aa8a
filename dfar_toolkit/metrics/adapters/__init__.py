"""The metrics in the shapes that other evaluation tools call."""

from dfar_toolkit.metrics.adapters.compute_dict import ComputeDict, to_evaluate
from dfar_toolkit.metrics.adapters.inspect_scoring import inspect_metric, label_scorer
from dfar_toolkit.metrics.adapters.lm_eval_task import aggregation, process_answers, process_choices
from dfar_toolkit.metrics.adapters.trainer import compute_metrics

__all__ = [
    "ComputeDict",
    "aggregation",
    "compute_metrics",
    "inspect_metric",
    "label_scorer",
    "process_answers",
    "process_choices",
    "to_evaluate",
]
