r"""Has a run collapsed onto one label? The share of its most frequent answer, the number of labels that it really uses.

A run that says one label almost always scores the majority baseline, has flip rate 0 and looks perfectly consistent:
these numbers belong beside accuracy and beside every measure of faithfulness. All over the items that have an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import (
    Additive,
    Estimate,
    Floats,
    estimate_together,
    estimates_frame,
    mean_of,
    proportion,
    unit_rows,
)
from dfar_toolkit.metrics.bias.label_shares_test import NO_ANSWER, answered_pairs
from dfar_toolkit.metrics.bias.quadratic_sign_flip import signed_sums, tail_share
from dfar_toolkit.metrics.labels import Column, PairedLabels, pair_labels
from dfar_toolkit.metrics.paired import fair_coin_tail

_BIASED = "no interval: a percentile interval of an entropy is off near equal shares; see the ratio to the gold's"
_ROUNDING = 1e-9


class TopLabels(NamedTuple):
    """Codes of the most frequent prediction and gold label (the first of those tied); -1 where nothing is answered."""

    pred: int
    gold: int


def collapse_test(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Estimate:
    r"""One-sided test of H0: the most frequent answer is no more frequent than the most frequent gold label.

    With $a$ the most frequent prediction, $b$ the most frequent gold label and
    $d_i = 1[\hat y_i = a] - 1[y_i = b]$, T is the sum of the $d_i$; p is the share of sign patterns, signs turned
    for whole groups, whose T is at least the one found. For single items it is the exact McNemar test, one-sided.
    Both labels are taken as given.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the unit whose sign is turned.
        options: Names of the labels in order (breaks ties); None means those that occur.
        n_perm: Random patterns where all are too many.
        seed: Seed of the patterns.

    Returns:
        ``value`` is p; ``n`` counts answered items.

    Undefined:
        Nothing is answered. Where no $d_i$ differs from 0 p is 1.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        Always "a", gold half "a": four items differ, one way; 1 of 16 patterns.

        >>> collapse_test(gold=list("aaaabbbb"), pred=list("aaaaaaaa")).value
        0.0625

    Reference:
        McNemar (1947), Psychometrika 12(2):153-157; Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39.
    """
    return collapse_p(
        pair_labels("collapse_test", frame, gold=gold, pred=pred, group=group, options=options),
        n_perm=n_perm, seed=seed,
    )  # fmt: skip


def collapse_p(pairs: PairedLabels, *, n_perm: int = 10_000, seed: int = 0) -> Estimate:
    """As :func:`collapse_test`, of labels already paired."""
    own, note = answered_pairs(pairs)
    d = _top_difference(own, top_labels(own))
    units, unit = unit_rows(d[:, None], groups=own.groups)
    nan, word = float("nan"), "group" if unit == "groups" else "item"
    blank = Estimate("p-value", nan, nan, nan, len(d), len(units), unit, "items", "none", nan, note)
    if not len(d):
        return replace(blank, note="; ".join(filter(None, [NO_ANSWER, note])))
    moved = units[np.abs(units[:, 0]) > _ROUNDING]
    above, below = int((moved > 0).sum()), int((moved < 0).sum())
    note = "; ".join(filter(None, [f"{above} {unit} above 0, {below} below", note]))
    if unit == "items":
        p = fair_coin_tail(below, above + below)
        return replace(blank, value=p, method="exact McNemar, one-sided", note=note)
    signed = signed_sums(moved, n_perm=n_perm, seed=seed)
    reached = signed.sums[:, 0] >= float(moved.sum()) - _ROUNDING * max(1.0, float(np.abs(moved).sum()))
    p, method = tail_share(reached, signed.exact, f"sign-flip by {word}, one-sided")
    return replace(blank, value=p, method=method, note=note)


def top_labels(pairs: PairedLabels) -> TopLabels:
    """The most frequent prediction and gold label of answered items."""
    if not len(pairs.gold):
        return TopLabels(-1, -1)
    k = len(pairs.options)
    counts = [np.bincount(codes, minlength=k) for codes in (pairs.pred, pairs.gold)]
    return TopLabels(int(np.argmax(counts[0])), int(np.argmax(counts[1])))


def _top_difference(own: PairedLabels, top: TopLabels) -> Floats:
    return np.asarray((own.pred == top.pred) * 1.0 - (own.gold == top.gold), dtype=np.float64)


def collapse_rows(pairs: PairedLabels) -> list[Additive]:
    """Additive statistics of answered items: top_answer_share, top_share_difference, effective_labels_ratio."""
    own, note = answered_pairs(pairs)
    top, k = top_labels(own), len(own.options)
    named = f'"{own.options[top.pred]}", gold most often "{own.options[top.gold]}"' if top.pred >= 0 else ""
    said = "; ".join(filter(None, [named, note]))
    onehot = np.zeros((len(own.gold), 2 * k))
    onehot[np.arange(len(onehot)), own.pred] = 1.0
    onehot[np.arange(len(onehot)), k + own.gold] = 1.0
    return [
        mean_of("top_answer_share", "share of the most frequent answer", own.pred == top.pred, undefined=NO_ANSWER,
                note=said),
        mean_of("top_share_difference", "share of the most frequent answer minus that of the most frequent gold label",
                _top_difference(own, top), undefined=NO_ANSWER, note=said),
        Additive("effective_labels_ratio", "effective number of labels, predicted over gold", onehot, _ratio, NO_ANSWER,
                 note),
    ]  # fmt: skip


def _ratio(sums: Floats) -> Floats:
    k = sums.shape[1] // 2
    return np.asarray(effective_number(sums[:, :k]) / effective_number(sums[:, k:]), dtype=np.float64)


def effective_number(counts: Floats) -> Floats:
    r"""The exponential of the entropy of counts (B, K): $\exp(-\sum_k p_k \ln p_k)$ (B,), 1 to K; nan without counts.

    Example:
        >>> effective_number(np.array([[2.0, 2.0], [4.0, 0.0]])).tolist()
        [2.0, 1.0]

    Reference:
        Hill (1973), Ecology 54:427-432 (number of order 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p = counts / counts.sum(axis=1, keepdims=True)
        entropy: Floats = -np.where(p == 0, 0.0, p * np.log(p)).sum(axis=1)
    number: Floats = np.exp(entropy)
    return number


def collapse_table(
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
    r"""How concentrated the answers are beside the gold, with a verdict.

    With $p_k$, $t_k$ the predicted and gold shares of the answered items: $\max_k p_k$, $\max_k t_k$ (Wilson's
    interval, the label taken as given), their difference (paired bootstrap), the effective numbers of labels
    $\exp(-\sum p_k \ln p_k)$ of both and their ratio (bootstrap), and p of :func:`collapse_test`.

    Args:
        frame: One row per item, or None with arrays.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order (breaks ties); None means those that occur.
        almost: Share of the most frequent answer from which a run counts as saying one label (almost) always.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage; the verdict takes p below 1 - confidence for more than chance.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (top_answer_share, gold_top_share, top_share_difference, effective_labels,
        gold_effective_labels, effective_labels_ratio, collapse_p), ``label`` (of the shares, else null) and Estimate's
        fields. The note of top_answer_share is the verdict.

    Undefined:
        Nothing is answered. The effective numbers have no interval of their own: near equal shares a percentile
        interval cannot cover the truth; that of the ratio can.

    Raises:
        TableError: A gold label is null, or a label is not an option.

    Example:
        >>> found = collapse_table(gold=["a"] * 8 + ["b"] * 12, pred=["a"] * 20, ci=None)
        >>> found["note"][0]
        'collapse: always "a"; the gold is "b" on 60.0 % (p = 0.0039)'
    """
    if not 0 < almost <= 1:
        raise ValueError(f"collapse_table: almost must lie above 0 and up to 1, found {almost}")
    pairs = pair_labels("collapse_table", frame, gold=gold, pred=pred, group=group, options=options)
    return collapse_estimates(
        pairs, almost=almost, ci=ci, confidence=confidence, n_boot=n_boot, n_perm=n_perm, seed=seed
    )


def collapse_estimates(
    pairs: PairedLabels,
    *,
    almost: float = 0.95,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """As :func:`collapse_table`, of labels already paired."""
    own, note = answered_pairs(pairs)
    top, k = top_labels(own), len(own.options)
    p = collapse_p(pairs, n_perm=n_perm, seed=seed)
    share, gold_share = (
        _noted(proportion(f"share of the most frequent {word}", codes == code, groups=own.groups,
                          confidence=confidence), len(codes), note)
        for word, codes, code in (("answer", own.pred, top.pred), ("gold label", own.gold, top.gold))
    )  # fmt: skip
    _, difference, ratio = estimate_together(
        collapse_rows(pairs), groups=own.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    names = [own.options[code] if code >= 0 else None for code in top]
    if len(own.gold):
        verdict = _verdict(share, gold_share, p, names, almost)
        share = replace(share, note="; ".join(filter(None, [verdict, share.note])))
    numbers = [
        replace(
            share, name=f"effective number of labels, {word}", low=float("nan"), high=float("nan"), method="none",
            value=float(effective_number(np.bincount(codes, minlength=k)[None, :].astype(np.float64))[0]),
            note=_BIASED if len(codes) else NO_ANSWER,
        )
        for word, codes in (("predicted", own.pred), ("gold", own.gold))
    ]  # fmt: skip
    found = [share, gold_share, difference, *numbers, ratio, p]
    metrics = ("top_answer_share", "gold_top_share", "top_share_difference", "effective_labels",
               "gold_effective_labels", "effective_labels_ratio", "collapse_p")  # fmt: skip
    labels = [names[0], names[1], *[None] * 5]
    beside = pl.DataFrame({"metric": metrics, "label": labels}, schema={"metric": pl.String, "label": pl.String})
    return pl.concat([beside, estimates_frame(found)], how="horizontal")


def _noted(found: Estimate, n: int, note: str) -> Estimate:
    return replace(found, note="; ".join(filter(None, [found.note if n else NO_ANSWER, note])))


def _verdict(share: Estimate, gold: Estimate, p: Estimate, names: list[str | None], almost: float) -> str:
    how_often = "always" if share.value == 1 else f"on {share.value:.1%}".replace("%", " %")
    beside = f'the gold is "{names[1]}" on {100 * gold.value:.1f} % (p = {p.value:.2g})'
    more = p.value < 1 - share.confidence
    if share.value >= almost and more:
        return f'collapse: {how_often} "{names[0]}"; {beside}'
    if share.value >= almost:
        return f'{how_often} "{names[0]}", which is not shown to be more concentrated than the gold; {beside}'
    if more:
        return f'more concentrated than the gold: {how_often} "{names[0]}"; {beside}'
    return f'not shown to be more concentrated than the gold: {how_often} "{names[0]}"; {beside}'
