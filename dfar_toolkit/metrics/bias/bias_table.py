"""The bias of a run that gold and predicted labels alone can show: shares by label, and collapse."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.estimate import estimates_frame
from dfar_toolkit.metrics.bias.collapse import collapse_estimates
from dfar_toolkit.metrics.bias.label_shares_test import homogeneity_of, share_estimates
from dfar_toolkit.metrics.labels import Column, pair_labels


def bias_table(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    almost: float = 0.95,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Predicted shares against gold shares of every label, a test of them, and how concentrated the answers are.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        almost: Share of one answer from which a run counts as saying one label (almost) always.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the tests.
        seed: Seed of the draws.

    Returns:
        Rows ``metric``, ``label`` (null where the row is about no label) and Estimate's fields: those of
        :func:`~dfar_toolkit.metrics.bias.label_shares_test.label_share_table`, label_homogeneity_p (the p of
        :func:`~dfar_toolkit.metrics.bias.label_shares_test.homogeneity_test`), then those of
        :func:`~dfar_toolkit.metrics.bias.collapse.collapse_table`.

    Undefined:
        Nothing is answered: ``nan``, with the reason in the note.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> found = bias_table(gold=["a", "b"], pred=["a", "a"], ci=None)
        >>> found.filter(pl.col("metric") == "share_difference").select("label", "value").rows()
        [('a', 0.5), ('b', -0.5)]
    """
    pairs = pair_labels("bias_table", frame, gold=gold, pred=pred, group=group, options=options)
    shares = share_estimates(pairs, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    names = pl.DataFrame({"metric": ["label_homogeneity_p"], "label": [None]}, schema_overrides={"label": pl.String})
    test = pl.concat([names, estimates_frame([homogeneity_of(pairs, n_perm=n_perm, seed=seed)])], how="horizontal")
    collapse = collapse_estimates(
        pairs, almost=almost, ci=ci, confidence=confidence, n_boot=n_boot, n_perm=n_perm, seed=seed
    )
    return pl.concat([shares, test, collapse])
