"""Does a model give the same label when it also gives a reason? Label-only answers beside with-reason answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of, proportion
from dfar_toolkit.metrics.bias.label_shares_test import homogeneity_of
from dfar_toolkit.metrics.labels import Codes, Column, PairedLabels, group_series
from dfar_toolkit.metrics.paired import mcnemar_test, sign_flip_test

_NONE = "no item is answered both ways"


class _Both(NamedTuple):
    """Codes (N,) of both answers and the gold, -1 without; gold None where not given."""

    plain: Codes
    reasoned: Codes
    gold: Codes | None
    options: tuple[str, ...]
    groups: pl.Series | None


def reason_consistency(
    frame: pl.DataFrame | None = None,
    *,
    label_only: Column = "label_only",
    with_reason: Column = "with_reason",
    gold: Column | None = None,
    group: Column | None = None,
    options: Sequence[str] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Agreement of a model's label-only answers with its with-reason answers, and who is right where they differ.

    Over items answered both ways: agreement $p_o$, Cohen's $\kappa = (p_o - p_e) / (1 - p_e)$ with
    $p_e = \sum_k p_{1k} p_{2k}$. With gold, over all items that have it, no answer being wrong: both accuracies, their
    difference (with reason minus label only), the four shares of right and wrong.

    Args:
        frame: One row per item, or None with arrays.
        label_only: Column or values (N,) of the label given alone; null is no answer.
        with_reason: Column or values (N,) of the label given with a reason.
        gold: Column or values (N,), or None.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the tests.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and Estimate's fields: agreement, kappa, label_shift_p (are the labels used equally often both
        ways? Stuart-Maxwell); with gold also accuracy_label_only, accuracy_with_reason, both_right,
        only_label_only_right, only_with_reason_right, neither_right, accuracy_difference, accuracy_difference_p (exact
        McNemar test, sign-flip over groups), with_reason_right_where_they_differ (where exactly one is right).

    Undefined:
        No item is answered both ways; kappa where both give one and the same label throughout; the last row where the
        two are always right together.

    Raises:
        TableError: A label is not an option.
        ValueError: A column is missing or the lengths differ.

    Example:
        >>> found = reason_consistency(label_only=list("aabb"), with_reason=list("aaab"), gold=list("aaab"), ci=None)
        >>> found.filter(pl.col("metric").is_in(["agreement", "kappa", "accuracy_difference"]))["value"].to_list()
        [0.75, 0.5, 0.25]

    Reference:
        Cohen (1960), Educ. Psychol. Meas. 20:37-46; McNemar (1947), Psychometrika 12(2):153-157.
    """
    both = _read("reason_consistency", frame, label_only, with_reason, gold, group, options)
    rows = _consistency(both, ci, confidence, n_boot, n_perm, seed)
    if both.gold is not None:
        rows |= _who_is_right(both, ci, confidence, n_boot, n_perm, seed)
    return estimates_frame(rows.values(), beside=[{"metric": m} for m in rows])


def reason_changes(
    frame: pl.DataFrame | None = None,
    *,
    label_only: Column = "label_only",
    with_reason: Column = "with_reason",
    gold: Column | None = None,
    options: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Which label became which when a reason was asked for, and how often either was right.

    Args:
        frame: One row per item, or None with arrays.
        label_only: Column or values (N,) of the label given alone; null is no answer.
        with_reason: Column or values (N,) of the label given with a reason.
        gold: Column or values (N,), or None.
        options: Names of the labels in order; None means those that occur.

    Returns:
        A row for each two answers, empty cells too: ``label_only, with_reason`` (null last: no answer), ``count``,
        ``share`` (of all items), and with gold ``label_only_right, with_reason_right`` (counts).

    Raises:
        TableError: A label is not an option.

    Example:
        >>> reason_changes(label_only=["a", "b"], with_reason=["a", "a"]).filter(pl.col("count") > 0).rows()
        [('a', 'a', 1, 0.5), ('b', 'a', 1, 0.5)]
    """
    both = _read("reason_changes", frame, label_only, with_reason, gold, None, options)
    k = len(both.options)
    width = k + 1
    cell = np.where(both.plain < 0, k, both.plain) * width + np.where(both.reasoned < 0, k, both.reasoned)
    names = pl.Series([*both.options, None], dtype=pl.String)
    first, second = np.indices((width, width)).reshape(2, -1)
    count = np.bincount(cell, minlength=width * width).astype(np.int64)
    found = pl.DataFrame({"label_only": names.gather(first), "with_reason": names.gather(second), "count": count})
    found = found.with_columns(share=pl.col("count") / len(cell) if len(cell) else pl.lit(None, dtype=pl.Float64))
    if both.gold is None:
        return found
    right = {
        name: np.bincount(cell[(codes >= 0) & (codes == both.gold)], minlength=width * width).astype(np.int64)
        for name, codes in (("label_only_right", both.plain), ("with_reason_right", both.reasoned))
    }
    return found.with_columns(**{name: pl.Series(n) for name, n in right.items()})


def _read(
    name: str,
    frame: pl.DataFrame | None,
    label_only: Column,
    with_reason: Column,
    gold: Column | None,
    group: Column | None,
    options: Sequence[str] | None,
) -> _Both:
    given = {"label_only": label_only, "with_reason": with_reason, "gold": gold}
    texts = {role: _text(name, frame, c, role) for role, c in given.items() if c is not None}
    lengths = {role: len(s) for role, s in texts.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{role} has {n}" for role, n in lengths.items())
        raise ValueError(f"{name}: {found} labels; give one per item")
    used = pl.concat([s.rename("label") for s in texts.values()]).drop_nulls().unique().sort()
    names = tuple(used) if options is None else tuple(map(str, options))
    strange = used.filter(~used.is_in(list(names)))
    if len(strange):
        found = ", ".join(repr(s) for s in strange.head(5))
        raise TableError(f"{name}: labels must be one of {', '.join(names)}; found {found}.")
    codes = {
        role: s.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy() for role, s in texts.items()
    }
    groups = group_series(name, frame, group, len(codes["label_only"]))
    return _Both(codes["label_only"], codes["with_reason"], codes.get("gold"), names, groups)


def _text(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> pl.Series:
    if isinstance(column, str):
        if frame is None or column not in frame.columns:
            found = "no frame" if frame is None else ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'{name}: no column "{column}" for {role}; found {found}')
        column = frame[column]
    return (column if isinstance(column, pl.Series) else pl.Series(role, column)).cast(pl.String)


def _consistency(
    both: _Both, ci: str | None, confidence: float, n_boot: int, n_perm: int, seed: int
) -> dict[str, Estimate]:
    keep = (both.plain >= 0) & (both.reasoned >= 0)
    groups = None if both.groups is None else both.groups.filter(pl.Series(keep))
    own = PairedLabels(both.plain[keep], both.reasoned[keep], both.options, groups)
    left = len(keep) - len(own.gold)
    note = f"{left} of {len(keep)} items not answered both ways left out" if left else ""
    same = proportion("agreement of label-only and with-reason answers", own.gold == own.pred, groups=groups,
                      confidence=confidence)  # fmt: skip
    kappa = estimate_together([kappa_rows(own)], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[
        0
    ]
    shift = homogeneity_of(own, n_perm=n_perm, seed=seed)
    found = {"agreement": same, "kappa": kappa, "label_shift_p": shift}
    why = "" if len(own.gold) else _NONE
    return {m: replace(e, note="; ".join(dict.fromkeys(filter(None, [why or e.note, note])))) for m, e in found.items()}


def kappa_rows(pairs: PairedLabels) -> Additive:
    """Cohen's kappa of two complete series of labels as an additive statistic: agreement and both one-hots."""
    k, n = len(pairs.options), len(pairs.gold)
    rows = np.zeros((n, 2 * k + 1))
    items = np.arange(n)
    rows[:, 0] = pairs.gold == pairs.pred
    rows[items, 1 + pairs.gold] = 1.0
    rows[items, 1 + k + pairs.pred] = 1.0
    return Additive("kappa", "Cohen's kappa", rows, _kappa, "both give one and the same label throughout")


def _kappa(sums: Floats) -> Floats:
    k = (sums.shape[1] - 1) // 2
    first, second = sums[:, 1 : 1 + k], sums[:, 1 + k :]
    n = first.sum(axis=1)
    chance = (first * second).sum(axis=1)
    return np.asarray((n * sums[:, 0] - chance) / (n**2 - chance), dtype=np.float64)


def _who_is_right(
    both: _Both, ci: str | None, confidence: float, n_boot: int, n_perm: int, seed: int
) -> dict[str, Estimate]:
    assert both.gold is not None
    keep = both.gold >= 0
    groups = None if both.groups is None else both.groups.filter(pl.Series(keep))
    a, b = (codes[keep] == both.gold[keep] for codes in (both.plain, both.reasoned))
    left = len(keep) - int(keep.sum())
    note = f"{left} of {len(keep)} items without gold left out" if left else ""
    shares = {
        "accuracy_label_only": a, "accuracy_with_reason": b, "both_right": a & b, "only_label_only_right": a & ~b,
        "only_with_reason_right": ~a & b, "neither_right": ~(a | b),
    }  # fmt: skip
    found = {m: proportion(m.replace("_", " "), x, groups=groups, confidence=confidence) for m, x in shares.items()}
    d = b.astype(np.float64) - a
    difference = mean_of("accuracy_difference", "accuracy with reason minus label only", d)
    found["accuracy_difference"] = estimate_together(
        [difference], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]
    single = groups is None or groups.n_unique() == len(groups)
    found["accuracy_difference_p"] = (
        mcnemar_test(a, b) if single else sign_flip_test(d, groups=groups, n_perm=n_perm, seed=seed)
    )
    differ = a != b
    of_these = None if groups is None else groups.filter(pl.Series(differ))
    name = "with_reason_right_where_they_differ"
    share = proportion(name.replace("_", " "), b[differ], groups=of_these, confidence=confidence)
    found[name] = share if differ.any() else replace(share, note="the two are always right or wrong together")
    return {m: replace(e, note="; ".join(filter(None, [e.note, note]))) for m, e in found.items()}
