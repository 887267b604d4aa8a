"""Do a judge's ratings of single answers say the same as its verdict on the two side by side?"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimates_frame
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.judging.pair_verdicts import WINNERS
from dfar_toolkit.metrics.labels import group_series


def rating_ranking_consistency(
    pairs: pl.DataFrame,
    *,
    score_a: str = "score_a",
    score_b: str = "score_b",
    winner: str = "winner",
    margin: float = 0.0,
    group: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Share of pairs in which the higher rated answer also wins, ties apart.

    A rating decides for a where $s_a - s_b > m$, for b where $s_b - s_a > m$, else it ties (m the margin).

    Args:
        pairs: One row per pair of answers.
        score_a: Column of the rating of a; null where there is none.
        score_b: Column of the rating of b.
        winner: Column of the verdict side by side: ``a``, ``b`` or ``tie``; null where there is none.
        margin: Difference of ratings up to which they tie.
        group: Column of the resampling unit; None means ``group`` where there is one, else the pair.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and Estimate's fields. rating_ranking_consistency: same side, of the pairs that both decide;
        rating_ranking_inversion: the other side, of the same; then of all pairs both_tie, tie_in_rating_only and
        tie_in_ranking_only. Pairs that lack a rating or a verdict are counted in the note.

    Undefined:
        No pair that both decide: the first two. No pair at all: all.

    Raises:
        TableError: A verdict is none of the three.
        ValueError: A column is missing, or a margin below 0.

    Example:
        >>> pairs = pl.DataFrame({"score_a": [4, 2, 3], "score_b": [2, 4, 3], "winner": ["a", "a", "b"]})
        >>> found = rating_ranking_consistency(pairs)
        >>> [(m, round(v, 3)) for m, v in found.select("metric", "value").rows()][::3]
        [('rating_ranking_consistency', 0.5), ('tie_in_rating_only', 0.333)]

    Reference:
        Bansal, Dang and Grover (2024), Peering Through Preferences, ICLR (arXiv:2308.15812), section 4.
    """
    absent = [c for c in (score_a, score_b, winner) if c not in pairs.columns]
    if absent:
        raise ValueError(f'rating_ranking_consistency: no column "{absent[0]}"; found {", ".join(pairs.columns)}')
    if margin < 0:
        raise ValueError(f"rating_ranking_consistency: margin must be at least 0, found {margin}")
    groups = group_series("rating_ranking_consistency", pairs, group, len(pairs))
    gap = (pl.col(score_a).cast(pl.Float64) - pl.col(score_b).cast(pl.Float64)).fill_nan(None)
    table = pairs.select(gap.alias("gap"), winner=winner).with_columns(
        unit=groups if groups is not None else pl.lit("")
    )
    kept = table.drop_nulls(["gap", "winner"])
    strange = kept.filter(~pl.col("winner").is_in(WINNERS))["winner"].unique().sort()
    if len(strange):
        raise TableError(f"rating_ranking_consistency: winner must be a, b or tie; found {strange[0]!r}.")
    rated = pl.when(pl.col("gap") > margin).then(pl.lit("a")).when(pl.col("gap") < -margin).then(pl.lit("b"))
    shares = _shares(kept.with_columns(rated=rated.otherwise(pl.lit("tie"))))
    lost = len(table) - len(kept)
    note = f"{lost} pairs without a rating or a verdict left out" if lost else ""
    found = []
    for metric, (hits, of) in shares.items():
        unit, name = of["unit"] if groups is not None else None, metric.replace("_", " ")
        rate = mean_share(name, hits.to_numpy(), groups=unit, confidence=confidence, n_boot=n_boot, seed=seed)
        found.append(replace(rate, note="; ".join(n for n in (rate.note, note) if n)))
    return estimates_frame(found, beside=[{"metric": m} for m in shares])


def _shares(kept: pl.DataFrame) -> dict[str, tuple[pl.Series, pl.DataFrame]]:
    """Which pairs count for each metric, and among which."""
    tied, drawn = kept["rated"] == "tie", kept["winner"] == "tie"
    decided = kept.filter(~tied & ~drawn)
    same = decided["rated"] == decided["winner"]
    return {
        "rating_ranking_consistency": (same, decided),
        "rating_ranking_inversion": (~same, decided),
        "both_tie": (tied & drawn, kept),
        "tie_in_rating_only": (tied & ~drawn, kept),
        "tie_in_ranking_only": (~tied & drawn, kept),
    }
