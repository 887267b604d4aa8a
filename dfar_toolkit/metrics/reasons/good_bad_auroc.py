r"""How well a score of reasons tells those that people accept from those that they reject: AUROC.

With scores $a_i$ of the $n_1$ good and $b_j$ of the $n_0$ bad reasons

    $A = \frac{1}{n_1 n_0} \sum_{ij} (1[a_i > b_j] + \frac{1}{2} 1[a_i = b_j])$

1/2 is a score that knows nothing. Within strata (runs) the sum goes over pairs of one stratum only. Intervals: a
weighted bootstrap over groups (N operations per draw after one sort), or DeLong's variance added up by group, on the
logit scale (one sort).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, estimate_by_weights
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.reasons.paired_reasons import column_values

AurocInterval = Literal["bootstrap", "delong"]
_CELLS: Final = 4_000_000  # weights of items held at once
_EVEN: Final = 1e-12


class RankedVerdicts(NamedTuple):
    """N reasons with a verdict and a score, sorted by stratum and score.

    ``good`` (N,) 1 or 0; ``block`` (N,) number of the run of equal stratum and score; ``stratum`` (blocks,) of each
    block; ``scores`` (N,); ``units`` (N,) codes 0..U-1 of the resampling units; ``unit`` what they are; ``note``.
    """

    good: Floats
    block: npt.NDArray[np.int64]
    stratum: npt.NDArray[np.int64]
    scores: Floats
    units: npt.NDArray[np.int64]
    unit: str
    note: str


def good_bad_auroc(
    frame: pl.DataFrame | None = None,
    *,
    score: Column,
    share_bad: Column = "share_bad",
    within: Column | None = None,
    group: Column | None = None,
    ci: AurocInterval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Chance that a good reason scores higher than a bad one, ties counting one half.

    Args:
        frame: One row per judged reason, or None with values.
        score: Column or numbers (N,), higher for better; null or ``nan`` is left out and counted.
        share_bad: Column or shares (N,) of the judges who reject the reason (``reason_verdicts``): good below 1/2, bad
            above; an even split and null are left out and counted.
        within: Column or strata (N,), for instance the run: pairs of different strata are not compared.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` over groups, ``delong`` (variance by group, logit scale), or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts reasons with a verdict and a score.

    Undefined:
        No good or no bad reason (in one stratum). delong has no interval at 0 and 1.

    Raises:
        TableError: A share is not in [0, 1].
        ValueError: An unknown ``ci``, a missing column, lengths differ.

    Example:
        Of 2 x 2 pairs three are right and one is tied.

        >>> good_bad_auroc(score=[3, 1, 1, 0], share_bad=[0, 0, 1, 1], ci=None).value
        0.875

    Reference:
        Hanley and McNeil (1982), Radiology 143; DeLong et al. (1988), Biometrics 44; Obuchowski (1997), Biometrics 53
        (clustered data).
    """
    if ci not in ("bootstrap", "delong", None):
        raise ValueError(f'good_bad_auroc: ci must be "bootstrap", "delong" or None, found {ci!r}')
    ranked = _ranked(frame, score, share_bad, within, group)
    name, n_units = "AUROC of good against bad", int(ranked.units.max()) + 1 if len(ranked.units) else 0
    found = estimate_by_weights(
        name,
        np.ones(n_units),
        lambda weights: _weighted_auroc(ranked, weights),
        n=len(ranked.good),
        unit=ranked.unit,
        ci="bootstrap" if ci == "bootstrap" else None,
        confidence=confidence,
        n_boot=n_boot,
        seed=seed,
        undefined=_why(ranked),
    )
    if ci == "delong" and np.isfinite(found.value):
        found = _delong(replace(found, method="DeLong, logit"), ranked)
    return replace(found, note="; ".join(n for n in (found.note, ranked.note) if n))


def _ranked(
    frame: pl.DataFrame | None, score: Column, share_bad: Column, within: Column | None, group: Column | None
) -> RankedVerdicts:
    name = "good_bad_auroc"
    scores = column_values(name, frame, score, "score").cast(pl.Float64)
    shares = column_values(name, frame, share_bad, "share_bad").cast(pl.Float64)
    if len(scores) != len(shares):
        raise ValueError(f"{name}: {len(scores)} scores, {len(shares)} shares; give one each")
    strange = shares.filter(~shares.is_between(-_EVEN, 1 + _EVEN))
    if len(strange):
        raise TableError(f"{name}: share_bad must lie between 0 and 1, found {strange[0]!r}.")
    groups = group_series(name, frame, group, len(scores))
    strata = pl.Series([""] * len(scores)) if within is None else column_values(name, frame, within, "within")
    table = pl.DataFrame({"score": scores.fill_nan(None), "bad": shares, "stratum": strata.cast(pl.String)})
    table = table.with_columns(group=pl.int_range(pl.len()) if groups is None else groups.cast(pl.String))
    return _sorted_verdicts(table, grouped=groups is not None)


def _sorted_verdicts(table: pl.DataFrame, *, grouped: bool) -> RankedVerdicts:
    verdict = pl.col("bad").is_not_null() & ((pl.col("bad") - 0.5).abs() > _EVEN)
    judged = table.filter(verdict)
    kept = judged.drop_nulls("score").sort("stratum", "score", "bad", "group")
    even = len(table) - len(judged)
    lost = len(judged) - len(kept)
    notes = [f"{even} of {len(table)} without a majority verdict left out" if even else ""]
    notes.append(f"{lost} without a score left out" if lost else "")
    blocks = kept.select(pl.struct("stratum", "score").rle_id()).to_series()
    first = kept.select(pl.col("stratum").rank("dense").cast(pl.Int64)).to_series().to_numpy()
    starts = np.unique(blocks.to_numpy(), return_index=True)[1]
    # Single items are numbered in sorted order, so that draws do not depend on the order of the rows.
    units = np.arange(len(kept)) if not grouped else kept["group"].rank("dense").to_numpy().astype(np.int64) - 1
    return RankedVerdicts(
        good=(kept["bad"] < 0.5).cast(pl.Float64).to_numpy(),
        block=blocks.cast(pl.Int64).to_numpy(),
        stratum=first[starts],
        scores=kept["score"].to_numpy(),
        units=units,
        unit="groups" if grouped and kept["group"].n_unique() < len(kept) else "items",
        note="; ".join(n for n in notes if n),
    )


def _why(ranked: RankedVerdicts) -> str:
    if not ranked.good.any():
        return "no good reason"
    return "no bad reason" if ranked.good.all() else "no stratum has a good and a bad reason"


def _weighted_auroc(ranked: RankedVerdicts, weights: Floats) -> Floats:
    """AUROC for weights of the units (B, U): (B,)."""
    step = max(1, _CELLS // max(1, len(ranked.good)))
    parts = [_auroc_block(ranked, weights[start : start + step]) for start in range(0, len(weights), step)]
    return np.concatenate(parts)


def _auroc_block(ranked: RankedVerdicts, weights: Floats) -> Floats:
    if not len(ranked.good):
        return np.full(len(weights), np.nan)
    of_item = weights[:, ranked.units]
    starts = np.flatnonzero(np.diff(ranked.block, prepend=-1))
    good = np.add.reduceat(of_item * ranked.good, starts, axis=1)
    bad = np.add.reduceat(of_item * (1 - ranked.good), starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad
    first = np.flatnonzero(np.diff(ranked.stratum, prepend=-1))
    sizes = np.diff([*first, len(ranked.stratum)])
    below -= np.repeat(below[:, first], sizes, axis=1)
    pairs = (np.add.reduceat(good, first, axis=1) * np.add.reduceat(bad, first, axis=1)).sum(axis=1)
    won = (good * (below + bad / 2)).sum(axis=1)
    out: Floats = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return out


def _delong(point: Estimate, ranked: RankedVerdicts) -> Estimate:
    """A normal interval of logit A from the placements of each reason, added up by unit."""
    from scipy.special import expit, logit, ndtri

    if point.n_units < 2:
        return replace(point, note=f"no interval: one unit ({point.unit}) only")
    if not 0 < point.value < 1:
        return replace(point, note="no interval: DeLong's variance is 0 at 0 and 1")
    influence = _influence(ranked, point.value)
    by_unit = np.bincount(ranked.units, weights=influence, minlength=point.n_units)
    variance = point.n_units / (point.n_units - 1) * float(np.sum(by_unit**2))
    if variance <= 0:
        return replace(point, note="no interval: the placements do not vary")
    half = float(ndtri(0.5 + point.confidence / 2)) * np.sqrt(variance) / (point.value * (1 - point.value))
    centre = float(logit(point.value))
    return replace(point, low=float(expit(centre - half)), high=float(expit(centre + half)))


def _influence(ranked: RankedVerdicts, value: float) -> Floats:
    """What each reason adds to A - value: placements among the other kind, minus their mean, over the pairs."""
    good, block = ranked.good, ranked.block
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    g, b = np.add.reduceat(good, starts), np.add.reduceat(1 - good, starts)
    out = np.zeros(len(good))
    n_pairs, of_stratum = 0.0, ranked.stratum[block]
    for stratum in np.unique(ranked.stratum):
        at = ranked.stratum == stratum
        n1, n0 = g[at].sum(), b[at].sum()
        n_pairs += n1 * n0
        below, above = np.zeros(len(g)), np.zeros(len(g))
        below[at] = np.cumsum(b[at]) - b[at] / 2
        above[at] = n1 - np.cumsum(g[at]) + g[at] / 2
        here = of_stratum == stratum
        won = np.where(good[here] > 0, below[block[here]], above[block[here]])
        out[here] = won - value * np.where(good[here] > 0, n0, n1)
    influence: Floats = out / n_pairs
    return influence
