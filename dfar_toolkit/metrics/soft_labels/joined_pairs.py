"""Human and predicted distributions of joined answers: which items, with which votes, on how much probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions, pair_distributions


def joined_pairs(name: str, answers: pl.DataFrame, options: Sequence[str]) -> PairedDistributions:
    """The complete cases of one run's joined answers.

    Args:
        name: Function named in errors.
        answers: Rows of :class:`~dfar_toolkit.metrics.answers.Answers` of one run: ``label_probs``, ``label_counts``,
            ``label_probs_pred``, ``label_mass``, and ``group`` where items share one.
        options: Names of the options in the order of the lists.

    Returns:
        The pairs. Votes are in them where every complete case has some; ``mass`` is what the outputs say of it, as
        their probabilities may have been renormalised already, else the sum of the probabilities.

    Raises:
        TableError: As ``pair_distributions``.

    Example:
        >>> answers = pl.DataFrame({"label_probs": [[0.5, 0.5]], "label_counts": [[1, 1]],
        ...                         "label_probs_pred": [[0.8, 0.2]], "label_mass": [0.1]})
        >>> joined_pairs("f", answers, ["a", "b"]).mass.tolist()
        [0.1]
    """
    complete = answers.select(
        "label_mass", votes=pl.col("label_counts").list.sum(),
        both=pl.col("label_probs").is_not_null() & pl.col("label_probs_pred").is_not_null(),
    ).filter("both")  # fmt: skip
    votes = complete["votes"]
    known = votes.null_count() == 0 and bool((votes > 0).all())
    pairs = pair_distributions(
        name,
        answers,
        gold="label_probs",
        pred="label_probs_pred",
        counts="label_counts" if known else None,
        options=options,
    )
    said = complete["label_mass"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return pairs._replace(mass=np.where(np.isnan(said), pairs.mass, said))
