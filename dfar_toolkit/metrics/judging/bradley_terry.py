r"""Scores of runs from pairwise verdicts: the Bradley-Terry model on the Elo scale.

Elo updated battle by battle depends on their order and is not offered. Cost: battles once, then per draw and Newton
step $K^3$ for K runs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, bootstrap_weights, estimates_frame, interval_of_draws
from dfar_toolkit.metrics.judging.bradley_terry_fit import fit_strengths, information, largest_connected
from dfar_toolkit.metrics.judging.pair_verdicts import WINNERS
from dfar_toolkit.metrics.labels import group_series

BradleyTerryCi = Literal["bootstrap", "sandwich"]

_CELLS: Final = 4_000_000
_COUNTS: Final = ("battles", "wins", "losses", "ties")


def bradley_terry(
    battles: pl.DataFrame,
    *,
    a: str = "run_a",
    b: str = "run_b",
    winner: str = "winner",
    group: str | None = None,
    scale: float = 400 / math.log(10),
    centre: float = 1000.0,
    ci: BradleyTerryCi | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Bradley-Terry scores by maximum likelihood, ties as half a win and half a loss.

        $P(a \text{ beats } b) = \frac{1}{1 + e^{-(\xi_a - \xi_b)}}$,   score $= 1000 + \frac{400}{\ln 10} \xi$,
        $\sum \xi = 0$

    so that 400 points are odds of 10 to 1. Scores are relative to the mean of the runs rated: only differences mean
    anything. They exist where no run or set of runs only wins or only loses against the rest; where that is not so,
    the largest set within which each can be reached from each by wins is rated, on the battles within it.

    Intervals: percentile bootstrap over groups, or normal with the sandwich variance
    $L^+ (\sum_g s_g s_g^T) L^+$, $s_g$ the gradient of a group's battles, L the information.

    Args:
        battles: One row per verdict on two runs.
        a: Column of one run.
        b: Column of the other.
        winner: Column of the verdict: ``a``, ``b`` or ``tie``; null is none, and is counted.
        group: Column of the resampling unit; None means ``group`` where there is one, else single battles.
        scale: Points per unit of $\xi$.
        centre: Mean score.
        ci: ``bootstrap``, ``sandwich`` or None.
        confidence: Two-sided coverage of each score.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        One row per run, best first: ``run_id, battles, wins, losses, ties`` and Estimate's fields, n = its battles.

    Undefined:
        A run that only wins or only loses, or that no chain of battles links to the others: ``nan`` and why. Draws in
        which the scores do not exist are counted; above 5 % there is no interval.

    Raises:
        TableError: A winner is none of the three, a run meets itself.
        ValueError: A column is missing.

    Example:
        Odds of 3 to 1 are 400 log10(3) = 190.8 points.

        >>> battles = pl.DataFrame({"run_a": ["x"] * 4, "run_b": ["y"] * 4, "winner": ["a", "a", "a", "b"]})
        >>> bradley_terry(battles, ci=None)["value"].round(1).to_list()
        [1095.4, 904.6]

    Reference:
        Bradley and Terry (1952), Biometrika 39:324-345; Hunter (2004), Ann. Stat. 32(1):384-406 (existence).
    """
    if ci is not None and ci not in get_args(BradleyTerryCi):
        raise ValueError(f'bradley_terry: ci must be "bootstrap", "sandwich" or None, found {ci!r}')
    if not 0 < confidence < 1:
        raise ValueError(f"bradley_terry: confidence must lie between 0 and 1, found {confidence}")
    met = _read(battles, a, b, winner, group)
    of_all = _wins(met, met.times @ met.rows)
    rated = largest_connected(of_all)
    inside = met.within(rated)
    strengths = fit_strengths(_wins(inside, inside.times @ inside.rows)[None])[0]
    value = np.full(len(met.players), np.nan)
    value[rated] = centre + scale * strengths
    method = ci or "none"
    blank = Estimate(
        "Bradley-Terry score", 0.0, *2 * (float("nan"),), 0, met.n_units, met.unit, "items", method, confidence
    )
    note = f"{met.lost} battles without a verdict left out" if met.lost else ""
    found = [replace(blank, value=float(v), n=n, note=note) for v, n in zip(value, met.counts["battles"], strict=True)]
    if ci and met.n_units > 1:
        found = _intervals(found, inside, rated, strengths, scale, ci, n_boot, seed)
    found = [_refused(e, of_all, rated, k) if k not in rated else e for k, e in enumerate(found)]
    beside = [{"run_id": p, **{c: int(met.counts[c][k]) for c in _COUNTS}} for k, p in enumerate(met.players)]
    frame = estimates_frame(found, beside=beside) if beside else _empty()
    return frame.sort(pl.col("value").fill_nan(None), "run_id", descending=[True, False], nulls_last=True)


class _Battles(NamedTuple):
    """Battles of K players as patterns of their units.

    ``rows`` (P, 2 D) wins of the first and of the second player of each of D pairs ``pairs`` (D, 2), ``times`` (P,).
    """

    players: list[str]
    pairs: npt.NDArray[np.int64]
    rows: Floats
    times: Floats
    unit: str
    counts: dict[str, list[int]]
    lost: int

    @property
    def n_units(self) -> int:
        return int(self.times.sum())

    def within(self, chosen: npt.NDArray[np.int64]) -> _Battles:
        """The battles between these players, renumbered."""
        keep = np.isin(self.pairs, chosen).all(axis=1)
        rows = self.rows[:, np.concatenate([keep, keep])]
        pairs = np.searchsorted(chosen, self.pairs[keep])
        return self._replace(players=[self.players[k] for k in chosen], pairs=pairs, rows=rows)


def _read(battles: pl.DataFrame, a: str, b: str, winner: str, group: str | None) -> _Battles:
    absent = [c for c in (a, b, winner) if c not in battles.columns]
    if absent:
        raise ValueError(f'bradley_terry: the battles have no column "{absent[0]}"; found {", ".join(battles.columns)}')
    groups = group_series("bradley_terry", battles, group, len(battles))
    sides = battles.select(pl.col(a).cast(pl.String).alias("a"), pl.col(b).cast(pl.String).alias("b"), winner=winner)
    sides = sides.with_columns(unit=groups if groups is not None else pl.lit(None))
    kept = sides.drop_nulls("winner")
    strange = kept.filter(~pl.col("winner").is_in(WINNERS))["winner"].unique().sort()
    if len(strange):
        raise TableError(f"bradley_terry: winner must be a, b or tie; found {strange[0]!r}.")
    if (kept["a"] == kept["b"]).any():
        raise TableError(f"bradley_terry: {kept.filter(pl.col('a') == pl.col('b'))['a'][0]!r} meets itself.")
    players = pl.concat([kept["a"], kept["b"]]).unique().sort()
    first_won = pl.col("winner").replace_strict({"a": 1.0, "b": 0.0, "tie": 0.5}, return_dtype=pl.Float64)
    straight = pl.col("a") < pl.col("b")
    pairs = kept.select(
        "unit",
        i=pl.min_horizontal("a", "b"),
        j=pl.max_horizontal("a", "b"),
        won=pl.when(straight).then(first_won).otherwise(1.0 - first_won),
    )
    met = pairs.select("i", "j").unique().sort("i", "j")
    places = {p: k for k, p in enumerate(players)}
    numbers = np.array([[places[i], places[j]] for i, j in met.rows()], dtype=np.int64).reshape(-1, 2)
    rows, times, unit = _patterns(pairs, met, grouped=groups is not None)
    return _Battles(players.to_list(), numbers, rows, times, unit, _counts(pairs, players), len(sides) - len(kept))


def _patterns(pairs: pl.DataFrame, met: pl.DataFrame, *, grouped: bool) -> tuple[Floats, Floats, str]:
    """Units as rows (P, 2 D) and how many of each."""
    numbered = met.with_row_index("pair").join(pairs, on=["i", "j"], how="inner")
    if grouped and pairs["unit"].n_unique() < len(pairs):
        sums = numbered.group_by("unit", "pair").agg(pl.col("won").sum(), pl.len().alias("n")).sort("unit", "pair")
        who, times, unit = sums["unit"].rank("dense").to_numpy().astype(np.int64) - 1, None, "groups"
    else:
        sums = numbered.group_by("pair", "won").agg(pl.len().cast(pl.Float64).alias("times"))
        sums = sums.sort("pair", "won").with_columns(n=pl.lit(1.0))
        who, times, unit = np.arange(len(sums)), sums["times"].to_numpy(), "items"
    n_units, d, pair = (int(who.max()) + 1 if len(who) else 0), len(met), sums["pair"].to_numpy().astype(np.int64)
    rows = np.zeros((n_units, 2 * d))
    won = sums["won"].to_numpy()
    rows[who, pair], rows[who, d + pair] = won, sums["n"].to_numpy() - won
    return rows, np.ones(n_units) if times is None else times, unit


def _counts(pairs: pl.DataFrame, players: pl.Series) -> dict[str, list[int]]:
    """Battles, wins, losses and ties of each player."""
    both = pl.concat([pairs.select(p="i", won="won"), pairs.select(p="j", won=1.0 - pl.col("won"))])
    won = pl.col("won")
    of_each = both.group_by("p").agg(
        pl.len().alias("battles"), (won == 1).sum().alias("wins"), (won == 0).sum().alias("losses"),
        (won == 0.5).sum().alias("ties"),
    )  # fmt: skip
    ordered = players.to_frame("p").join(of_each, on="p", how="left", maintain_order="left")
    return {c: ordered[c].to_list() for c in _COUNTS}


def _wins(met: _Battles, sums: Floats) -> Floats:
    """Wins of each player over each (..., K, K) from sums (..., 2 D)."""
    k, d = len(met.players), len(met.pairs)
    wins = np.zeros((*sums.shape[:-1], k, k))
    wins[..., met.pairs[:, 0], met.pairs[:, 1]] = sums[..., :d]
    wins[..., met.pairs[:, 1], met.pairs[:, 0]] = sums[..., d:]
    return wins


def _intervals(
    found: list[Estimate], inside: _Battles, rated: npt.NDArray[np.int64], strengths: Floats, scale: float,
    ci: BradleyTerryCi, n_boot: int, seed: int,
) -> list[Estimate]:  # fmt: skip
    """The estimates of the rated players with their intervals."""
    if len(rated) < 2:
        return found
    if ci == "sandwich":
        from scipy.special import ndtri

        half = float(ndtri(0.5 + found[0].confidence / 2)) * scale * _sandwich(inside, strengths)
        ends = {int(k): float(h) for k, h in zip(rated, half, strict=True)}
        return [
            replace(e, low=e.value - ends[k], high=e.value + ends[k]) if k in ends else e for k, e in enumerate(found)
        ]
    rng, step = np.random.default_rng(seed), max(1, _CELLS // max(len(inside.times), len(rated) ** 2))
    sizes = [min(step, n_boot - start) for start in range(0, n_boot, step)]
    draws = np.concatenate(
        [fit_strengths(_wins(inside, bootstrap_weights(inside.times, size, rng) @ inside.rows)) for size in sizes]
    )
    centre = found[int(rated[0])].value - scale * strengths[0]
    column = {int(k): centre + scale * draws[:, place] for place, k in enumerate(rated)}
    return [interval_of_draws(e, column[k]) if k in column else e for k, e in enumerate(found)]


def _sandwich(inside: _Battles, strengths: Floats) -> Floats:
    """Standard errors of the strengths (K,)."""
    i, j = inside.pairs.T
    d, k = len(inside.pairs), len(strengths)
    first = 1.0 / (1.0 + np.exp(strengths[j] - strengths[i]))
    excess = inside.rows[:, :d] - (inside.rows[:, :d] + inside.rows[:, d:]) * first
    towards = np.zeros((d, k))
    towards[np.arange(d), i], towards[np.arange(d), j] = 1.0, -1.0
    scores = excess @ towards
    bread = np.linalg.pinv(information(_wins(inside, inside.times @ inside.rows)[None], strengths[None])[0])
    return np.sqrt(np.diag(bread @ (scores.T @ (scores * inside.times[:, None])) @ bread))


def _refused(found: Estimate, wins: Floats, rated: npt.NDArray[np.int64], k: int) -> Estimate:
    nan = float("nan")
    if not wins[:, k].any():
        why = "never lost or tied: its score has no upper end"
    elif not wins[k].any():
        why = "never won or tied: its score has no lower end"
    elif not (wins[k, rated].any() or wins[rated, k].any()):
        why = "met none of the runs that are rated"
    else:
        why = "only won or only lost against the runs that are rated"
    note = "; ".join(s for s in (why, found.note) if s)
    return replace(found, value=nan, low=nan, high=nan, note=note)


def _empty() -> pl.DataFrame:
    naming = pl.DataFrame(schema={"run_id": pl.String, **dict.fromkeys(_COUNTS, pl.Int64)})
    return pl.concat([naming, estimates_frame([])], how="horizontal")
