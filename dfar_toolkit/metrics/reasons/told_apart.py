r"""How many pairs of runs a score can tell apart with n items.

For a pair of runs with scores on the same items, $d_g$ the sum and $m_g$ the number of paired differences of group g,
$\bar d = \sum d_g / \sum m_g$ and

    $t = \bar d / \sqrt{\frac{G}{G - 1} \sum_g (d_g - \bar d m_g)^2} \cdot \sum_g m_g$

the pair is told apart where |t| exceeds the two-sided quantile of Student's t with G - 1 degrees of freedom. At a
smaller n the groups are drawn without replacement and the share is averaged over draws. This is a property of these
runs: no correction for many pairs is made, and none of the pairs need truly differ. Cost: R^2 / 2 pairs times draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, estimates_frame


def runs_told_apart(
    frame: pl.DataFrame,
    *,
    score: str,
    run: str = "run_id",
    item: str = "item_id",
    group: str | None = None,
    at: Sequence[int] = (50, 100, 200),
    draws: int = 50,
    confidence: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    """Share of the pairs of runs whose paired difference is significant, at several numbers of items and at all.

    Args:
        frame: One row per run and item (several of an item are averaged first).
        score: Column of the numbers; rows without are left out.
        run: Column of the run.
        item: Column of the item.
        group: Column of the resampling unit; None means ``group`` where the frame has it, else the item.
        at: Numbers of items; those at or above the items that every pair shares are left out.
        draws: Subsamples per pair and n.
        confidence: 1 - confidence is the level of each test.
        seed: Seed of the subsamples.

    Returns:
        Rows ``at`` (items; null for all) and Estimate's fields: ``n`` counts pairs of runs. No intervals: pairs share
        runs and items.

    Undefined:
        Fewer than two runs, or no pair shares two groups. A pair whose difference never varies is told apart where it
        is not 0.

    Raises:
        TableError: A column is missing.

    Example:
        >>> rows = [(r, f"i{k}", s + (k % 3) / 10) for r, s in (("a", 0.1), ("b", 0.9)) for k in range(9)]
        >>> found = runs_told_apart(pl.DataFrame(rows, schema=["run_id", "item_id", "s"], orient="row"), score="s")
        >>> found.select("at", "value", "n").rows()
        [(None, 1.0, 1)]
    """
    absent = [c for c in (score, run, item, group) if c is not None and c not in frame.columns]
    if absent:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise TableError(f'runs_told_apart: the frame needs the column "{absent[0]}"; found {found}.')
    pairs, n_runs = _pairs(frame, score, run, item, group)
    sizes = [int(p[:, 1].sum()) for p in pairs]
    points: list[int | None] = [n for n in sorted(set(at)) if sizes and 1 < n < min(sizes)]
    name = f"run pairs told apart by {score}"
    results = []
    for n in [*points, None]:
        rng = np.random.default_rng(seed)
        shares = [_told(p, n, draws if n is not None else 1, confidence, rng) for p in pairs]
        results.append(_estimate(name, np.array(shares), n_runs, n, draws, confidence))
    return estimates_frame(results, beside=[{"at": n} for n in [*points, None]]).with_columns(
        pl.col("at").cast(pl.Int64)
    )


def _pairs(frame: pl.DataFrame, score: str, run: str, item: str, group: str | None) -> tuple[list[Floats], int]:
    """Per pair of runs the sum and number of paired differences by group, (G, 2)."""
    unit = group if group is not None else ("group" if "group" in frame.columns else item)
    number = pl.col(score).cast(pl.Float64).fill_nan(None)
    rows = frame.select(pl.col(run).alias("run"), pl.col(item).alias("item"), pl.col(unit).alias("unit"),
                        number.alias("score")).drop_nulls()  # fmt: skip
    means = rows.sort("score").group_by("run", "item").agg(pl.col("unit").min(), pl.col("score").mean())
    runs = means["run"].unique().sort().to_list()
    of_run = {r: means.filter(pl.col("run") == r).select("item", "unit", "score") for r in runs}
    pairs = []
    for one, two in combinations(runs, 2):
        both = of_run[one].join(of_run[two].select("item", other="score"), on="item")
        sums = both.sort("item").group_by("unit").agg((pl.col("score") - pl.col("other")).sum(), pl.len().alias("n"))
        pairs.append(sums.sort("unit").select("score", pl.col("n").cast(pl.Float64)).to_numpy())
    return pairs, len(runs)


def _told(pair: Floats, n: int | None, draws: int, confidence: float, rng: np.random.Generator) -> float:
    """Share of the subsamples of about n items in which the pair is told apart; ``nan`` below two groups."""
    if len(pair) < 2:
        return float("nan")
    n_units = len(pair) if n is None else max(2, round(n * len(pair) / float(pair[:, 1].sum())))
    hits = [_significant(pair[rng.permutation(len(pair))[:n_units]], confidence) for _ in range(draws)]
    return float(np.mean(hits))


def _significant(sums: Floats, confidence: float) -> bool:
    from scipy.special import stdtrit

    d, m = sums[:, 0], sums[:, 1]
    mean = d.sum() / m.sum()
    groups = len(sums)
    error = np.sqrt(groups / (groups - 1) * np.sum((d - mean * m) ** 2)) / m.sum()
    if error <= 1e-12:
        return bool(abs(mean) > 1e-12)
    return bool(abs(mean) / error > stdtrit(groups - 1, 0.5 + confidence / 2))


def _estimate(name: str, shares: Floats, n_runs: int, n: int | None, draws: int, confidence: float) -> Estimate:
    known = shares[~np.isnan(shares)]
    nan = float("nan")
    value = float(known.mean()) if len(known) else nan
    notes = [f"{n_runs} runs", "all items" if n is None else f"about {n} items, {draws} subsamples"]
    if not len(known):
        notes.insert(0, "fewer than two runs" if n_runs < 2 else "no pair of runs shares two groups")
    return Estimate(
        name, value, nan, nan, len(known), len(known), "pairs of runs", "items", "none", confidence, "; ".join(notes)
    )
