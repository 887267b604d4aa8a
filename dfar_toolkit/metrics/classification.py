r"""Accuracy and its relatives, with unanswered items inside the denominator.

A null prediction is an item without an answer (unparsed, failed or missing). In the headline metrics it is a miss for
the item's own class and a hit for none: with $K$ options the confusion table is $K \times (K + 1)$, its last column
holds the unanswered items, so they lower recall and never touch a precision. ``over="answered"`` leaves them out.

Every function takes a frame with two columns, or the values themselves (``gold=array, pred=array``). The resampling
unit is ``group``; left at None it is the column ``group`` where the frame has one, else the item (give
``group="item_id"`` to ask for items).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from dfar_toolkit.estimate import Estimate, estimate, proportion
from dfar_toolkit.metrics.confusion import (
    Over,
    absent_note,
    balanced_formula,
    macro_f1_formula,
    margins,
    matthews_formula,
    select_items,
)
from dfar_toolkit.metrics.labels import Column, answered_flags, group_series, pair_labels


def accuracy(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""Share of all items answered correctly; an item without an answer is not correct.

    With gold $y_i$ and prediction $\hat y_i$ (N,): $\frac{1}{N} \sum_i 1[\hat y_i = y_i]$, Wilson's interval on the
    effective n where items come in groups.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        confidence: Two-sided coverage.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        TableError: A gold label is null, or a label is not an option.
        ValueError: A column is missing or the lengths differ.

    Example:
        >>> str(accuracy(gold=["a", "a", "b", "b"], pred=["a", "a", "a", None]))
        'accuracy = 0.500 [0.150, 0.850] (95 % Wilson over 4 items)'
    """
    pairs = pair_labels("accuracy", frame, gold=gold, pred=pred, group=group, options=options)
    return proportion("accuracy", pairs.gold == pairs.pred, groups=pairs.groups, confidence=confidence)


def accuracy_answered(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of the answered items that are correct: accuracy / coverage.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        confidence: Two-sided coverage.

    Returns:
        The estimate; ``n`` counts answered items.

    Undefined:
        Nothing is answered.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> round(accuracy_answered(gold=["a", "a", "b", "b"], pred=["a", "a", "a", None]).value, 3)
        0.667
    """
    pairs = pair_labels("accuracy_answered", frame, gold=gold, pred=pred, group=group, options=options).answered()
    hits = pairs.gold == pairs.pred
    found = proportion("accuracy of the answered", hits, groups=pairs.groups, confidence=confidence)
    return found if len(hits) else replace(found, note="no item has an answer")


def coverage(
    frame: pl.DataFrame | None = None,
    *,
    pred: Column = "label_pred",
    group: Column | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of the items that have an answer; in scores over the items with a gold label, as every metric there.

    Args:
        frame: One row per item, or None with arrays.
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage of the interval.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        ValueError: A column is missing or the lengths differ.

    Example:
        >>> coverage(pred=["a", "a", "a", None]).value
        0.75
    """
    answered = answered_flags("coverage", frame, pred)
    groups = group_series("coverage", frame, group, len(answered))
    return proportion("coverage", answered, groups=groups, confidence=confidence)


def unparsed_share(
    frame: pl.DataFrame | None = None,
    *,
    pred: Column = "label_pred",
    group: Column | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of all items without an answer: 1 - coverage.

    Args:
        frame: One row per item, or None with arrays.
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage of the interval.

    Returns:
        The estimate.

    Undefined:
        No items.

    Raises:
        ValueError: A column is missing or the lengths differ.

    Example:
        >>> unparsed_share(pred=["a", "a", "a", None]).value
        0.25
    """
    answered = answered_flags("unparsed_share", frame, pred)
    groups = group_series("unparsed_share", frame, group, len(answered))
    return proportion("unparsed share", 1.0 - answered, groups=groups, confidence=confidence)


def balanced_accuracy(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    over: Over = "all",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean over the options of the recall; an unanswered item is a miss for its class.

    With $t_k$ items of class $k$, $h_k$ of them predicted $k$: $\frac{1}{K} \sum_k h_k / t_k$.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur on either side.
        over: ``all`` items, or only the ``answered``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        An option that no item has as gold: its recall is 0/0.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> balanced_accuracy(gold=["a", "a", "b", "b"], pred=["a", "a", "b", None]).value
        0.75

    Reference:
        Brodersen et al. (2010), The balanced accuracy and its posterior distribution, ICPR.
    """
    pairs = pair_labels("balanced_accuracy", frame, gold=gold, pred=pred, group=group, options=options)
    pairs = select_items("balanced_accuracy", pairs, over)
    found = estimate(
        "balanced accuracy",
        margins(pairs),
        balanced_formula,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=absent_note(pairs, ("gold",)),
    )
    return found


def macro_f1(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    over: Over = "all",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean over the options of F1; an unanswered item is a miss for its class and a false alarm for none.

    With $t_k$ gold, $p_k$ predicted, $h_k$ both: $F_k = 2 h_k / (t_k + p_k)$, $\frac{1}{K} \sum_k F_k$. A class that
    is in the gold but never predicted has $F_k = 0$ although its precision is undefined.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur on either side.
        over: ``all`` items, or only the ``answered``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        An option that is neither gold nor predicted anywhere: 0/0.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        Class a: 2 x 2 / (2 + 2) = 1; class b: 2 x 1 / (2 + 1) = 2/3.

        >>> round(macro_f1(gold=["a", "a", "b", "b"], pred=["a", "a", "b", None]).value, 3)
        0.833

    Reference:
        Opitz and Burst (2019), Macro F1 and Macro F1, arXiv 1911.03347 (the averaged F1).
    """
    pairs = pair_labels("macro_f1", frame, gold=gold, pred=pred, group=group, options=options)
    pairs = select_items("macro_f1", pairs, over)
    found = estimate(
        "macro-F1",
        margins(pairs),
        macro_f1_formula,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=absent_note(pairs, ("gold", "pred")),
    )
    return found


def matthews_correlation(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    over: Over = "all",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Matthews' correlation of gold and prediction on the K x (K + 1) table, unanswered as a column of its own.

    With $N$ items, $c$ correct, $t_k$ gold and $p_k$ predicted counts, $k = 1..K+1$, $t_{K+1} = 0$:

        $R_K = \frac{c N - \sum_k t_k p_k}{\sqrt{(N^2 - \sum_k p_k^2)(N^2 - \sum_k t_k^2)}}$

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        over: ``all`` items, or only the ``answered``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        All items have one gold label, or all predictions are the same (0/0).

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> round(matthews_correlation(gold=["a", "a", "b", "b"], pred=["a", "a", "b", "a"]).value, 3)
        0.577

    Reference:
        Gorodkin (2004), Comput. Biol. Chem. 28(5-6):367-374 (R_K).
    """
    pairs = pair_labels("matthews_correlation", frame, gold=gold, pred=pred, group=group, options=options)
    pairs = select_items("matthews_correlation", pairs, over)
    found = estimate(
        "Matthews correlation",
        margins(pairs),
        matthews_formula,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined="only one gold label or only one prediction occurs",
    )
    return found
