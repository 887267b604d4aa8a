"""How often a panel's majority label is not that of an unlimited panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.planning.dirichlet_multinomial import Dirichlets
from dfar_toolkit.agreement.planning.plurality import check_panel, lone_winners

_DRAWS: Final = 20_000  # items drawn where there are more than two values
_SUM: Final = 1e-6


class PanelError(NamedTuple):
    """Chance that the label is another than an unlimited panel's, and that there is none because votes tie."""

    error: float
    tie: float


def panel_error(*, agreement: float, shares: Sequence[float], sizes: Sequence[int], seed: int = 0) -> pl.DataFrame:
    r"""The chance that the majority label of k raters differs from that of an unlimited panel.

    Items have shares $p \sim \mathrm{Dirichlet}(s \pi)$, $s = (1 - \rho) / \rho$, $\rho$ the nominal alpha of single
    raters; the unlimited panel elects $c^* = \arg\max_c p_c$. With y the votes of k raters,

        error = P(a value other than $c^*$ alone leads y),   tie = P(several lead y)

    Two values: exactly, over the number of votes i, $P(i) P(p_1 > 1/2 \mid i)$ with
    $p_1 \mid i \sim \mathrm{Beta}(s \pi_1 + i, s \pi_2 + k - i)$. More values: 20,000 items are drawn, the votes are
    summed exactly.

    Args:
        agreement: Nominal alpha of single raters, 0 to 1.
        shares: Pooled shares of the values, which sum to 1.
        sizes: Raters of a panel, 1 to 100 each.
        seed: Seed of the drawn items.

    Returns:
        One row per size: ``size``, ``error``, ``tie``.

    Raises:
        ValueError: A number is out of its range.

    Example:
        Full agreement: one rater is enough. At alpha = 1/3 and even shares p is uniform, and one rater errs with
        chance 1/4.

        >>> panel_error(agreement=1 / 3, shares=(0.5, 0.5), sizes=(1,))["error"].round(12).to_list()
        [0.25]

    Reference:
        Condorcet (1785) is the ancestor; the model is that of Mosimann (1962), Biometrika 49:65-82.
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"panel_error: agreement must lie between 0 and 1, found {agreement}")
    pi = np.asarray(shares, dtype=np.float64)
    if pi.ndim != 1 or len(pi) < 2 or (pi < 0).any() or abs(pi.sum() - 1) > _SUM:
        raise ValueError(f"panel_error: shares must be two or more numbers of sum 1, found {list(shares)}")
    checked = [check_panel("panel_error", size) for size in sizes]
    if agreement == 1:
        found = [PanelError(0.0, 0.0) for _ in checked]
    elif len(pi) == 2 and agreement > 0:
        found = [_of_two(pi * (1 - agreement) / agreement, size) for size in checked]
    else:
        items = _drawn(pi, agreement, seed)
        found = [_of_many(items, size) for size in checked]
    return pl.DataFrame(
        {"size": checked, "error": [f.error for f in found], "tie": [f.tie for f in found]},
        schema={"size": pl.Int64, "error": pl.Float64, "tie": pl.Float64},
    )


def _of_two(parameters: Floats, size: int) -> PanelError:
    from scipy.special import betainc
    from scipy.stats import betabinom

    a, b = (float(x) for x in parameters)
    if min(a, b) == 0:
        return PanelError(0.0, 0.0)
    votes = np.arange(size + 1)
    chance = betabinom.pmf(votes, size, a, b)
    below = betainc(a + votes, b + size - votes, 0.5)
    wrong = np.where(2 * votes < size, 1 - below, np.where(2 * votes > size, below, 0.0))
    return PanelError(float(chance @ wrong), float(chance[2 * votes == size].sum()))


def _drawn(pi: Floats, agreement: float, seed: int) -> Floats:
    if agreement == 0:
        return pi[None, :]
    return np.random.default_rng(seed).dirichlet(pi * (1 - agreement) / agreement, _DRAWS)


def _of_many(items: Floats, size: int) -> PanelError:
    winners = lone_winners([Dirichlets(items, np.zeros(len(items)))], [size])
    right = winners[np.arange(len(items)), items.argmax(axis=1)]
    decided = winners.sum(axis=1)
    return PanelError(float((decided - right).mean()), max(0.0, float(1 - decided.mean())))
