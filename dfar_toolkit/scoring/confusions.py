"""The confusion matrices of all runs and subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.metrics.confusion import confusion_matrix
from dfar_toolkit.metrics.subsets import leak_subsets


def confusions(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The confusion matrix of every run and subset.

    Args:
        outputs: As in :func:`score`.
        items: As in :func:`score`.
        split: As in :func:`score`.
        question: As in :func:`score`.
        options: As in :func:`score`.
        label_map: As in :func:`score`.
        targets: As in :func:`score`.

    Returns:
        Rows ``run_id, subset, gold, pred, count``; ``pred`` null is without an answer.

    Raises:
        TableError: As :func:`score`.
    """
    answers = join_outputs(
        outputs, items, split=split, question=question, options=options, label_map=label_map, targets=targets
    )
    tables = []
    for run, frame in answers.frame.partition_by("run_id", as_dict=True, maintain_order=True).items():
        for subset in leak_subsets(answers.items):
            part = frame.filter(subset.keep).drop_nulls("label")
            names = [pl.lit(str(run[0])).alias("run_id"), pl.lit(subset.name).alias("subset")]
            tables.append(confusion_matrix(part, options=answers.options).select(*names, pl.all()))
    return pl.concat(tables)
