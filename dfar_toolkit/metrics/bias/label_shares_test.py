r"""Does a run use the labels as often as people do? Predicted shares beside gold shares, and tests of both tables.

All over the items that have an answer: a share of the labels given is compared with the gold of the same items, and
what has no answer is counted in the note (its share is :func:`~dfar_toolkit.metrics.unparsed_share`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of, proportion
from dfar_toolkit.metrics.bias.quadratic_sign_flip import zero_mean_test
from dfar_toolkit.metrics.labels import Column, PairedLabels, pair_labels

NO_ANSWER = "no item has an answer"


def label_share_table(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Share of the answers that each label gets, its share in the gold of the same items, and the difference.

    With N answered items, $p_k$ of them predicted and $t_k$ gold: $p_k / N$, $t_k / N$ (Wilson's interval on the
    effective n) and $(p_k - t_k) / N$ (paired bootstrap over groups).

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        ci: ``bootstrap`` for the differences, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (predicted_share, gold_share, share_difference), ``label``, Estimate's fields; options in order.

    Undefined:
        Nothing is answered.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> found = label_share_table(gold=["a", "a", "b", "b"], pred=["a", "a", "a", "b"], ci=None)
        >>> found.filter(pl.col("label") == "a").select("metric", "value").rows()
        [('predicted_share', 0.75), ('gold_share', 0.5), ('share_difference', 0.25)]
    """
    pairs = pair_labels("label_share_table", frame, gold=gold, pred=pred, group=group, options=options)
    return share_estimates(pairs, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def share_estimates(
    pairs: PairedLabels, *, ci: str | None = "bootstrap", confidence: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """As :func:`label_share_table`, of labels already paired."""
    own, note = answered_pairs(pairs)
    differ = estimate_together(
        share_difference_rows(pairs), groups=own.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    found, beside = [], []
    for code, label in enumerate(own.options):
        for metric, codes in (("predicted_share", own.pred), ("gold_share", own.gold)):
            name = f"share of {label}, {metric.removesuffix('_share')}"
            share = proportion(name, codes == code, groups=own.groups, confidence=confidence)
            found.append(replace(share, note="; ".join(filter(None, [share.note if len(codes) else NO_ANSWER, note]))))
        found.append(differ[code])
        beside += [{"metric": m, "label": label} for m in ("predicted_share", "gold_share", "share_difference")]
    if not found:
        return pl.concat([pl.DataFrame(schema=dict.fromkeys(("metric", "label"), pl.String)), estimates_frame([])],
                         how="horizontal")  # fmt: skip
    return estimates_frame(found, beside=beside)


def share_difference_rows(pairs: PairedLabels) -> list[Additive]:
    """Predicted minus gold share of each option, over the answered items, as additive statistics."""
    own, note = answered_pairs(pairs)
    return [
        mean_of(
            "share_difference", f"share of {label}, predicted minus gold",
            (own.pred == code).astype(np.float64) - (own.gold == code), undefined=NO_ANSWER, note=note,
        )
        for code, label in enumerate(own.options)
    ]  # fmt: skip


def answered_pairs(pairs: PairedLabels) -> tuple[PairedLabels, str]:
    """The items that have an answer, and a note that counts the others."""
    own = pairs.answered()
    left = len(pairs.gold) - len(own.gold)
    return own, f"{left} of {len(pairs.gold)} items without an answer left out" if left else ""


def homogeneity_test(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Estimate:
    r"""Test that the labels are predicted as often as they are gold (marginal homogeneity, Stuart-Maxwell).

    With $d_k$ predicted minus gold count of label k and, over single items, $S_{ck} = -(n_{ck} + n_{kc})$,
    $S_{cc} = n_{c\cdot} + n_{\cdot c} - 2 n_{cc}$: $X^2 = d^T S^+ d$. Over groups S is the sum of the outer products
    of the groups' differences, and p comes from exchanging gold and prediction in whole groups.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the unit that is exchanged.
        options: Names of the labels in order; None means those that occur.
        n_perm: Random patterns where all are too many.
        seed: Seed of the patterns.

    Returns:
        ``value`` is p; ``method`` says how: chi-squared for 25 or more differing single items, else sign-flip.

    Undefined:
        Nothing is answered. Where gold and prediction never differ p is 1.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        Four items differ, all from b to a: 2 of 16 sign patterns are as extreme.

        >>> homogeneity_test(gold=["b", "b", "b", "b", "a"], pred=["a", "a", "a", "a", "a"]).value
        0.125

    Reference:
        Stuart (1955), Biometrika 42:412-416; Maxwell (1970), Br. J. Psychiatry 116:651-655.
    """
    pairs = pair_labels("homogeneity_test", frame, gold=gold, pred=pred, group=group, options=options)
    return homogeneity_of(pairs, n_perm=n_perm, seed=seed)


def homogeneity_of(pairs: PairedLabels, *, n_perm: int = 10_000, seed: int = 0) -> Estimate:
    """As :func:`homogeneity_test`, of labels already paired."""
    own, note = answered_pairs(pairs)
    found = zero_mean_test(
        share_vectors(own), name="Stuart-Maxwell", groups=own.groups, n_perm=n_perm, seed=seed
    )  # fmt: skip
    return _noted(found, len(own.gold), note)


def share_vectors(pairs: PairedLabels) -> Floats:
    """One-hot prediction minus one-hot gold of answered items (N, K)."""
    d = np.zeros((len(pairs.gold), len(pairs.options)))
    items = np.arange(len(d))
    np.add.at(d, (items, pairs.pred), 1.0)
    np.add.at(d, (items, pairs.gold), -1.0)
    return d


def symmetry_test(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Estimate:
    r"""Test that every confusion is as frequent as its mirror image (Bowker): gold c predicted k, gold k predicted c.

    Over single items $X^2 = \sum_{c < k} (n_{ck} - n_{kc})^2 / (n_{ck} + n_{kc})$ on as many degrees of freedom as
    there are pairs of labels that are ever confused. Over groups p comes from exchanging gold and prediction in whole
    groups. Symmetry implies equal shares; the reverse holds for two labels only.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the unit that is exchanged.
        options: Names of the labels in order; None means those that occur.
        n_perm: Random patterns where all are too many.
        seed: Seed of the patterns.

    Returns:
        ``value`` is p; ``method`` as for :func:`homogeneity_test`.

    Undefined:
        Nothing is answered. Where gold and prediction never differ p is 1.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> symmetry_test(gold=["b", "b", "b", "b", "a"], pred=["a", "a", "a", "a", "a"]).value
        0.125

    Reference:
        Bowker (1948), JASA 43:572-574.
    """
    pairs = pair_labels("symmetry_test", frame, gold=gold, pred=pred, group=group, options=options)
    own, note = answered_pairs(pairs)
    k = len(own.options)
    low, high = np.minimum(own.gold, own.pred), np.maximum(own.gold, own.pred)
    used, cell = np.unique(low * k + high, return_inverse=True)
    vectors = np.zeros((len(own.gold), len(used)))
    vectors[np.arange(len(vectors)), cell] = np.sign(own.pred - own.gold)
    found = zero_mean_test(vectors, name="Bowker", groups=own.groups, n_perm=n_perm, seed=seed)
    return _noted(found, len(own.gold), note)


def _noted(found: Estimate, n: int, note: str) -> Estimate:
    return replace(found, note="; ".join(filter(None, [found.note if n else NO_ANSWER, note])))
