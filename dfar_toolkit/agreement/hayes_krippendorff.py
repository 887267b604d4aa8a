"""The bootstrap of Hayes and Krippendorff, by name only: its intervals are too narrow, as pairs are not independent."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha_ordinal import midranks
from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.statistic import Resampling, Statistic
from dfar_toolkit.estimate import Estimate

NARROW: Final = (
    "interval too narrow where items have three ratings or more: it covers 69 to 90 % where 95 % is asked for, as "
    "pairs of one item are drawn as independent"
)

_CELLS: Final = 4_000_000  # draws times distinct differences held at once


def hayes_krippendorff(found: Estimate, statistic: Statistic, how: Resampling) -> Estimate:
    r"""The interval of Hayes and Krippendorff around a value of alpha.

    Each draw takes as many pairs of ratings as the data has, $M = \sum_u m_u (m_u - 1) / 2$, from the pairs within
    items (each with weight $1 / (m_u - 1)$), independently and with replacement, and keeps the expected disagreement:
    $\alpha_b = 1 - \bar\delta_b / D_e$.

    Args:
        found: The value, without an interval.
        statistic: The statistic behind it.
        how: Draws, seed and confidence.

    Returns:
        The estimate with this interval and a note that says that it is too narrow.

    Undefined:
        As alpha; without an interval where all draws are equal.

    Reference:
        Hayes and Krippendorff (2007), Commun. Methods Meas. 1:77-89.
    """
    found = replace(found, method="hayes-krippendorff", scope="pairs")
    if np.isnan(found.value):
        return found
    delta, share = _pair_differences(statistic)
    pairs = int(statistic.counts.times @ statistic.counts.pairs / 2)
    observed = float(delta @ share)
    rng = np.random.default_rng(how.seed)
    step = max(1, _CELLS // len(share))
    sizes = [min(step, how.n_boot - start) for start in range(0, how.n_boot, step)]
    drawn = np.concatenate([rng.multinomial(pairs, share, size=size) @ delta for size in sizes]) / pairs
    values = 1 - (1 - found.value) * drawn / observed if observed > 0 else np.ones(how.n_boot)
    tail = (1 - how.confidence) / 2
    low, high = (float(end) for end in np.quantile(values, [tail, 1 - tail]))
    if high - low <= 1e-12:
        return replace(found, note=_joined("no interval: every draw gives the same value", found.note))
    return replace(found, low=low, high=high, note=_joined(NARROW, found.note))


def _joined(first: str, second: str) -> str:
    return "; ".join(part for part in (first, second) if part)


def _pair_differences(statistic: Statistic) -> tuple[Floats, Floats]:
    """Distinct squared differences of pairs within items (D,), and the share of the pairs with each (D,)."""
    counts = statistic.counts
    left, right, weight = _pairs(counts)
    delta = _squared_difference(statistic, left, right)
    weight = weight * (counts.times * counts.n_ratings / counts.pairs)[counts.pattern[left]]
    table = pl.DataFrame({"delta": delta, "weight": weight}).group_by("delta").agg(pl.col("weight").sum()).sort("delta")
    share = table["weight"].to_numpy()
    return table["delta"].to_numpy(), share / share.sum()


def _pairs(counts: Counts) -> tuple[Ints, Ints, Floats]:
    """Pairs of entries of one item, an entry with itself too, and how many pairs of ratings each stands for."""
    here = np.arange(len(counts.code))
    lefts, rights, weights = [here], [here], [counts.count * (counts.count - 1) / 2]
    left, shift = here, 1
    while True:
        left = left[left + shift < len(counts.code)]
        left = left[counts.pattern[left] == counts.pattern[left + shift]]
        if not len(left):
            return np.concatenate(lefts), np.concatenate(rights), np.concatenate(weights)
        lefts.append(left)
        rights.append(left + shift)
        weights.append(counts.count[left] * counts.count[left + shift])
        shift += 1


def _squared_difference(statistic: Statistic, left: Ints, right: Ints) -> Floats:
    counts = statistic.counts
    a, b = counts.code[left], counts.code[right]
    if statistic.metric is not None:
        return statistic.metric(a, b)
    weights = counts.times[counts.pattern] * counts.count
    marginal = np.bincount(counts.code, weights, minlength=len(counts.values)).astype(np.float64)
    rank = midranks(marginal[None, :])[0]
    return np.asarray(np.square(rank[a] - rank[b]))
