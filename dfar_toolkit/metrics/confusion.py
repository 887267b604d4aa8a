"""The confusion table: its cells, its margins as rows of an item, and the formulas on their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, Patterns, collapse, estimates_frame, proportion
from dfar_toolkit.metrics.labels import Column, PairedLabels, pair_labels
from dfar_toolkit.metrics.option_estimates import estimate_options

Over = Literal["all", "answered"]


def confusion_matrix(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    options: Sequence[str] | None = None,
) -> pl.DataFrame:
    """How many items of each gold label got each prediction, long, with empty cells.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        options: Names of the labels in order; None means those that occur.

    Returns:
        K x (K + 1) rows ``gold, pred, count`` in the order of the options; ``pred`` null is the unanswered column.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> confusion_matrix(gold=["a", "a", "b"], pred=["a", None, "a"])["count"].to_list()
        [1, 0, 1, 1, 0, 0]
    """
    pairs = pair_labels("confusion_matrix", frame, gold=gold, pred=pred, group=None, options=options)
    width = len(pairs.options) + 1
    cells = np.bincount(pairs.gold * width + pairs.pred, minlength=len(pairs.options) * width)
    names = [*pairs.options, None]
    return pl.DataFrame(
        {
            "gold": [g for g in pairs.options for _ in names],
            "pred": [p for _ in pairs.options for p in names],
            "count": cells,
        },
        schema={"gold": pl.String, "pred": pl.String, "count": pl.Int64},
    )


def precision_recall_f1(
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
) -> pl.DataFrame:
    r"""Precision, recall and F1 of every option.

    With $t_k$ gold, $p_k$ predicted, $h_k$ both: precision $h_k / p_k$ and recall $h_k / t_k$ with Wilson's interval
    (effective n over groups), $F_k = 2 h_k / (t_k + p_k)$ with a bootstrap over groups. An unanswered item is in
    $t_k$ and in no $p_k$. Cost: N K, and one set of B draws for all K options: B (K + 1) for each different row of
    margins.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        over: ``all`` items, or only the ``answered``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (precision, recall, f1), ``label`` and the fields of Estimate, options in order. ``n`` counts
        predicted items for precision, gold items for recall, all items for F1.

    Undefined:
        Precision of an option never predicted; recall of one that is no item's gold; F1 of one that is neither.
        An option in the gold but never predicted has F1 = 0, which is defined.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> found = precision_recall_f1(gold=["a", "a", "b"], pred=["a", "a", None])
        >>> found.filter(pl.col("label") == "b").select("metric", "value").rows()
        [('precision', nan), ('recall', 0.0), ('f1', 0.0)]
    """
    pairs = pair_labels("precision_recall_f1", frame, gold=gold, pred=pred, group=group, options=options)
    pairs = select_items("precision_recall_f1", pairs, over)
    patterns = margins(pairs)
    f1 = estimate_options(
        [f"F1 of {label}" for label in pairs.options],
        patterns,
        _f1,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=[f'"{label}" is neither gold nor predicted' for label in pairs.options],
    )
    found, beside = [], []
    for code, label in enumerate(pairs.options):
        precision = _share(pairs, "precision", code, confidence)
        found += [precision, _share(pairs, "recall", code, confidence), f1[code]]
        beside += [{"metric": m, "label": label} for m in ("precision", "recall", "f1")]
    return estimates_frame(found, beside=beside) if found else _no_classes()


def _no_classes() -> pl.DataFrame:
    names = pl.DataFrame(schema={"metric": pl.String, "label": pl.String})
    return pl.concat([names, estimates_frame([])], how="horizontal")


def _share(pairs: PairedLabels, what: Literal["precision", "recall"], code: int, confidence: float) -> Estimate:
    """Correct among the predicted (precision) or among the gold (recall) of one option."""
    label = pairs.options[code]
    within = (pairs.pred if what == "precision" else pairs.gold) == code
    groups = None if pairs.groups is None else pairs.groups.filter(pl.Series(within))
    hits = (pairs.gold == pairs.pred)[within]
    found = proportion(f"{what} of {label}", hits, groups=groups, confidence=confidence)
    if len(hits):
        return found
    why = f'"{label}" is never predicted' if what == "precision" else f'no item has the gold label "{label}"'
    return replace(found, note=why)


def select_items(name: str, pairs: PairedLabels, over: Over) -> PairedLabels:
    """All items, or those that have an answer."""
    if over not in ("all", "answered"):
        raise ValueError(f'{name}: over must be "all" or "answered", found {over!r}')
    return pairs.answered() if over == "answered" else pairs


def margins(pairs: PairedLabels) -> Patterns:
    """The rows of :func:`margin_rows` as patterns; without groups there are only K (K + 1) kinds of items to count."""
    k, n = len(pairs.options), len(pairs.gold)
    if pairs.groups is not None or not n:
        return collapse(margin_rows(pairs), groups=pairs.groups)
    kinds = np.bincount(pairs.gold * (k + 1) + pairs.pred, minlength=k * (k + 1))
    present = np.flatnonzero(kinds)
    one_each = margin_rows(PairedLabels(present // (k + 1), present % (k + 1), pairs.options, None))
    order = np.lexsort(one_each.T[::-1])  # the order that collapse gives
    return Patterns(one_each[order], kinds[present][order].astype(np.float64), n, "items")


def margin_rows(pairs: PairedLabels) -> Floats:
    """Per item the one-hot hit (K), gold (K) and prediction (K + 1, the last for no answer): (N, 3 K + 1).

    Every formula below needs only the sums of these, never the full table.
    """
    k, n = len(pairs.options), len(pairs.gold)
    rows = np.zeros((n, 3 * k + 1))
    items = np.arange(n)
    hit = pairs.gold == pairs.pred
    rows[items[hit], pairs.gold[hit]] = 1
    rows[items, k + pairs.gold] = 1
    rows[items, 2 * k + pairs.pred] = 1
    return rows


def _parts(sums: Floats) -> tuple[Floats, Floats, Floats]:
    k = (sums.shape[1] - 1) // 3
    return sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]


def _f1(sums: Floats) -> Floats:
    hit, gold, pred = _parts(sums)
    f1: Floats = 2 * hit / (gold + pred[:, :-1])
    return f1


def balanced_formula(sums: Floats) -> Floats:
    """Mean recall over the options (B,)."""
    hit, gold, _ = _parts(sums)
    return np.asarray((hit / gold).mean(axis=1), dtype=np.float64)


def macro_f1_formula(sums: Floats) -> Floats:
    """Mean F1 over the options (B,)."""
    return np.asarray(_f1(sums).mean(axis=1), dtype=np.float64)


def matthews_formula(sums: Floats) -> Floats:
    """The K-category correlation R_K with the unanswered as one more predicted category (B,)."""
    hit, gold, pred = _parts(sums)
    n = gold.sum(axis=1)
    covariance = hit.sum(axis=1) * n - (gold * pred[:, :-1]).sum(axis=1)
    spread = (n**2 - (pred**2).sum(axis=1)) * (n**2 - (gold**2).sum(axis=1))
    return np.asarray(covariance / np.sqrt(spread), dtype=np.float64)


def absent_note(pairs: PairedLabels, sides: Sequence[Literal["gold", "pred"]]) -> str:
    """Which options occur on none of the sides named: the reason for a 0/0."""
    seen = {int(c) for side in sides for c in np.unique(pairs.gold if side == "gold" else pairs.pred)}
    absent = [f'"{label}"' for code, label in enumerate(pairs.options) if code not in seen]
    where = "is neither gold nor predicted" if "pred" in sides else "is no item's gold label"
    return f"{', '.join(absent)} {where}"
