r"""Split-half reliability of judges: would another panel of the same size give the same verdicts.

The judges of each reason are split at random into two halves of $h = \lfloor m / 2 \rfloor$ (one sits out where m is
odd); r is Pearson's correlation over reasons of the halves' shares of "bad". Stepped up from h to the mean number of
judges (Spearman and Brown) with $k = \bar m / \bar h$:

    $\rho = k r / (1 + (k - 1) r)$

averaged over several splits. No automatic metric can be expected to correlate with the verdicts beyond
$\sqrt{\rho}$. Cost: N S rows once with S splits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together
from dfar_toolkit.metrics.verdicts import folded_values

_SUMS: Final = 5  # per split: x, y, x^2, y^2, x y
_FLAT: Final = 1e-12


def split_half_reliability(
    judgements: pl.DataFrame,
    *,
    items: pl.DataFrame | None = None,
    splits: int = 20,
    good: str = "good",
    bad: str = "bad",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Reliability of the mean verdict of a reason's judges.

    Args:
        judgements: The table judgements, one question.
        items: The table items: gives groups; without it the item is the resampling unit.
        splits: Random splits S.
        good: The value that accepts a reason.
        bad: The value that rejects it.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the splits and of the draws.

    Returns:
        The estimate; ``n`` counts reasons with at least two judges.

    Undefined:
        No reason with two judges, or verdicts of a half that do not vary.

    Raises:
        TableError: A value is neither good nor bad, an item is unknown.
        ValueError: ``splits`` below 1.

    Example:
        >>> rows = [("o1", "a", "good"), ("o1", "b", "good"), ("o2", "a", "bad"), ("o2", "b", "bad")]
        >>> table = pl.DataFrame(rows, schema=["output_id", "judge_id", "value"], orient="row")
        >>> split_half_reliability(table.with_columns(item_id="output_id"), ci=None).value.__round__(6)
        1.0

    Reference:
        Spearman (1910) and Brown (1910), British Journal of Psychology 3.
    """
    if isinstance(splits, bool) or splits < 1:
        raise ValueError(f"split_half_reliability: splits must be a whole number of at least 1, found {splits!r}")
    votes = _votes(judgements, good, bad)
    reasons = votes.group_by("output_id", maintain_order=True).agg(pl.col("item_id").first(), pl.len().alias("judges"))
    groups = reasons["item_id"]
    if items is not None:
        joined = reasons.join(items.select("item_id", "group"), on="item_id", how="left", maintain_order="left")
        if joined["group"].null_count():
            raise TableError("split_half_reliability: a judged item is not among the items.")
        groups = joined["group"]
    row = split_half_rows(votes["said_bad"].to_numpy(), reasons["judges"].to_numpy(), splits=splits, seed=seed)
    found = estimate_together([row], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
    lost = judgements.filter(pl.col("value").is_not_null())["output_id"].n_unique() - len(reasons)
    aside = f"{lost} reasons with one judge left out" if lost else ""
    return replace(found, note="; ".join(n for n in (found.note, aside) if n))


def split_half_rows(said_bad: Floats, judges: npt.ArrayLike, *, splits: int = 20, seed: int = 0) -> Additive:
    """The rows and formula of :func:`split_half_reliability`.

    Args:
        said_bad: Verdicts, reason after reason: 1 for bad, 0 for good (V,).
        judges: Number of verdicts of each reason (N,), at least 2, with sum V.
        splits: Random splits S.
        seed: Seed of the splits.

    Returns:
        The additive statistic, rows (N, 5 S + 3).
    """
    rng = np.random.default_rng(seed)
    many = np.asarray(judges, dtype=np.int64)
    half, n = many // 2, len(many)
    owner, ends = np.repeat(np.arange(n), many), np.cumsum(many)
    columns = []
    for _ in range(splits):
        shuffled = said_bad[np.lexsort((rng.random(len(owner)), owner))]
        rank = np.arange(len(owner)) - np.repeat(ends - many, many)
        x = np.bincount(owner, weights=shuffled * (rank < half[owner]), minlength=n) / half
        second = (rank >= half[owner]) & (rank < 2 * half[owner])
        y = np.bincount(owner, weights=shuffled * second, minlength=n) / half
        columns += [x, y, x * x, y * y, x * y]
    rows = np.column_stack([*columns, many, half, np.ones(n)])
    note = f"mean of {splits} splits; {many.mean():.3g} judges per reason" if n else ""
    why = "the verdicts of a half do not vary" if n else "no reason with two judges"
    return Additive("split_half_reliability", "split-half reliability of the judges", rows, _stepped_up, why, note)


def _stepped_up(sums: Floats) -> Floats:
    n = sums[:, -1]
    ratio = np.divide(sums[:, -3], sums[:, -2], out=np.full(len(sums), np.nan), where=sums[:, -2] > 0)
    parts = sums[:, :-3].reshape(len(sums), -1, _SUMS)
    x, y, xx, yy, xy = (parts[:, :, k] / n[:, None] for k in range(_SUMS))
    spread_x, spread_y = xx - x * x, yy - y * y
    varies = (spread_x > _FLAT) & (spread_y > _FLAT)
    scale = np.sqrt(np.where(varies, spread_x * spread_y, np.nan))
    r = (xy - x * y) / scale
    k = ratio[:, None]
    below = 1 + (k - 1) * r
    stepped = np.divide(k * r, below, out=np.full_like(r, np.nan), where=below > _FLAT)
    out: Floats = stepped.mean(axis=1)
    return out


def _votes(judgements: pl.DataFrame, good: str, bad: str) -> pl.DataFrame:
    """One verdict per reason and judge (share of its draws that say bad), of reasons with two judges or more."""
    folded = folded_values(judgements, good=good, bad=bad).filter(pl.col("value").is_not_null())
    strange = folded.filter(~pl.col("value").is_in([good, bad]))["value"]
    if len(strange):
        raise TableError(f"split_half_reliability: a verdict must be {good!r} or {bad!r}; found {strange[0]!r}.")
    share = (pl.col("value") == bad).mean().alias("said_bad")
    votes = folded.group_by("item_id", "output_id", "judge_id").agg(share).sort("output_id", "judge_id")
    return votes.filter(pl.len().over("output_id") > 1)
