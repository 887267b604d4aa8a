r"""Do two methods rank the words of an item alike? Kendall's tau-b by item, above all with leave-one-out (tau-LOO).

Cost: the square of the number of words of an item, in blocks of items of one length.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, item_means, item_rows, mean_over_items
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.paired_reasons import column_values

LEAVE_ONE_OUT: Final = "leave_one_out"

_CELLS: Final = 4_000_000  # pairs of words held at once
_WITHOUT: Final = "without scores of both that differ between words"


def tau_loo(
    frame: pl.DataFrame | None = None,
    *,
    scores: Column = "word_scores",
    drops: Column = "leave_one_out",
    item: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean over items of Kendall's tau-b between a method's word scores and the drops when each word is left out.

    Of the pairs of words of an item, C ranked alike, D in reverse, $n_1$, $n_2$ not tied in the one and in the other:
    $\tau_b = (C - D) / \sqrt{n_1 n_2}$.

    Args:
        frame: Rows, one per item, or None with values.
        scores: Column or lists of numbers (R,), one per word.
        drops: Column or lists of numbers (R,): p(y | x) - p(y | x without the word).
        item: Column or ids (R,); None: the column ``item_id`` where there is one.
        group: Column or values (R,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; higher is better.

    Undefined:
        An item whose scores or drops are all equal, or that has one word: left out and counted; none is left.

    Raises:
        ValueError: A column is missing, or an item has not as many scores as drops.

    Example:
        >>> tau_loo(scores=[[3, 2, 1]], drops=[[0.4, 0.1, 0.2]], ci=None).value.__round__(6)
        0.333333

    Reference:
        Kendall (1945), Biometrika 33:239-251 (tau-b); Jain and Wallace (2019), NAACL (with leave-one-out).
    """
    one, two = (_lists("tau_loo", frame, c, r) for c, r in ((scores, "scores"), (drops, "drops")))
    taus = kendall_taus(one, two, name="tau_loo")
    rows = item_rows("tau_loo", frame, len(taus), item=item, group=group)
    score = mean_over_items("tau_loo", "tau-LOO", item_means(rows.item, taus, rows.n), without=_WITHOUT)
    return estimate_items([score], rows.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def rank_agreement_table(
    outputs: pl.DataFrame,
    items: pl.DataFrame | None = None,
    *,
    methods: Sequence[str] | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Kendall's tau-b between the word scores of every pair of methods of one run, mean over items.

    Args:
        outputs: The table outputs of one run, with rows of the condition rationale (draw 0).
        items: The table items, for their groups; None: every item stands alone.
        methods: The methods; None: all that have word scores.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, method_a, method_b, higher_is_better`` and Estimate's fields: ``tau_loo`` where one of both is
        leave_one_out, else ``method_rank_correlation``.

    Undefined:
        A pair without an item whose scores of both differ between words.

    Raises:
        ValueError: Two methods scored different numbers of words of an item.
    """
    rows = outputs.filter(pl.col("condition") == "rationale", pl.col("word_scores").is_not_null())
    rows = rows.filter(pl.col("draw") == 0) if "draw" in rows.columns else rows
    known = rows["method"].unique().sort().to_list()
    kept = known if methods is None else list(methods)
    wide = rows.select("item_id", "method", "word_scores").pivot(on="method", index="item_id", values="word_scores")
    wide = wide.sort("item_id")
    if items is not None and "group" in items.columns:
        grouped = items.select("item_id", "group").unique("item_id")
        wide = wide.join(grouped, on="item_id", how="left", maintain_order="left")
    groups = wide["group"] if "group" in wide.columns else None
    scores, beside = [], []
    for a, b in combinations(kept, 2):
        taus = kendall_taus(wide[a], wide[b], name="rank_agreement_table")
        metric = "tau_loo" if LEAVE_ONE_OUT in (a, b) else "method_rank_correlation"
        scores.append(mean_over_items(metric, f"Kendall's tau of {a} and {b}", taus, without=_WITHOUT))
        beside.append({"metric": metric, "method_a": a, "method_b": b, "higher_is_better": higher_is_better(metric)})
    found = estimate_items(scores, groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    columns = {"metric": pl.String, "method_a": pl.String, "method_b": pl.String, "higher_is_better": pl.Boolean}
    return pl.concat([pl.DataFrame(beside, schema=columns), estimates_frame(found)], how="horizontal")


def kendall_taus(a: pl.Series, b: pl.Series, *, name: str = "kendall_taus") -> Floats:
    """Kendall's tau-b of every pair of lists (R,); ``nan`` where one is constant, shorter than two, null, or has nulls.

    Args:
        a: Lists of numbers (R,).
        b: Lists of numbers (R,), each as long as that of ``a``.
        name: Function named in errors.

    Returns:
        Numbers (R,).

    Raises:
        ValueError: Two lists of one row differ in length.

    Example:
        >>> kendall_taus(pl.Series([[1, 2, 3], [1, 1]]), pl.Series([[1, 2, 3], [1, 2]])).tolist()
        [1.0, nan]
    """
    one, two = a.cast(pl.List(pl.Float64)), b.cast(pl.List(pl.Float64))
    lengths, others = one.list.len(), two.list.len()
    differ = (lengths != others).fill_null(False)
    if differ.any():
        at = int(differ.arg_max() or 0)
        raise ValueError(f"{name}: both need one number per word; row {at} has {lengths[at]} and {others[at]}")
    size = pl.select(pl.when(two.is_not_null()).then(lengths)).to_series().fill_null(0).to_numpy().astype(np.int64)
    taus = np.full(len(one), np.nan)
    for n in np.unique(size[size > 1]).tolist():
        rows = np.flatnonzero(size == n)
        step = max(1, _CELLS // (n * (n - 1) // 2))
        for start in range(0, len(rows), step):
            own = rows[start : start + step]
            taus[own] = _taus(_matrix(one[own], n), _matrix(two[own], n))
    return taus


def _matrix(lists: pl.Series, n: int) -> Floats:
    return lists.explode().cast(pl.Float64).fill_null(float("nan")).to_numpy().reshape(-1, n)


def _taus(x: Floats, y: Floats) -> Floats:
    """tau-b of rows (B, n) of two matrices."""
    i, j = np.triu_indices(x.shape[1], 1)
    with np.errstate(invalid="ignore"):
        sx, sy = np.sign(x[:, i] - x[:, j]), np.sign(y[:, i] - y[:, j])
    above = np.einsum("bp,bp->b", sx, sy)
    below = np.sqrt(np.abs(sx).sum(axis=1) * np.abs(sy).sum(axis=1))
    found: Floats = np.divide(above, below, out=np.full(len(x), np.nan), where=below > 0)
    return found


def _lists(name: str, frame: pl.DataFrame | None, column: Column, role: str) -> pl.Series:
    values = column_values(name, frame, column, role)
    if not isinstance(values.dtype, pl.List):
        raise ValueError(f"{name}: {role} must hold one list of numbers per item, found {values.dtype}")
    return values
