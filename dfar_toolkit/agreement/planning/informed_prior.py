r"""What runs answered says something about people: a prior of each item's shares from the runs' answers.

A run that people agree with is right on an item more often than the few votes alone let one expect; a prior that
ignores this draws fresh labels too near to the pooled shares, and every difference between runs too small (of a true
power of .93, it planned for .71). So item u's prior mean is

    $\pi_u = \pi + \sum_r \lambda_r (e_{a_{ru}} - \pi)$,   $\lambda_r \ge 0$,   $\sum_r \lambda_r \le 1$

with $a_{ru}$ the answer of run r ($e$ its unit vector; $\pi$ for a missing answer), $\lambda$ by least squares of the
shares $n_u / m_u$, weighted by $m_u$, so that the share of votes that agree with a run is the observed one wherever
$\lambda_r > 0$. The strength is fitted by moments, as pairs differ with chance $(1 - \rho)(1 - \sum_c \pi_{uc}^2)$:

    $\rho = 1 - \frac{\sum_u m_u d_u}{\sum_u m_u (1 - \sum_c \pi_{uc}^2)}$,
    $d_u = \frac{m_u^2 - \sum_c n_{uc}^2}{m_u (m_u - 1)}$,   over items with $m_u \ge 2$

One weight per run is fitted: with fewer than 20 items per run the fit is too close, and the caller is told.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.planning.dirichlet_multinomial import Prior
from dfar_toolkit.agreement.planning.fresh_panel import FreshPanels, panel_winners

_ITEMS: Final = 20  # per run, below which weights are fitted too closely


def informed_winners(found: FreshPanels, answers: Ints) -> Floats:
    """The chance that each value alone leads on each item's fresh panel (N, V), knowing the runs' answers (R, N)."""
    if found.note:
        return np.full(found.panels.votes.shape[1:], np.nan)
    return panel_winners(found.panels, tuple(informed_prior(votes, answers) for votes in found.panels.votes))


def few_items(n_items: int, n_runs: int) -> str:
    """What to say where a weight per run is too many, or ""."""
    if n_items >= _ITEMS * n_runs:
        return ""
    return f"{n_items} items are few for {n_runs} runs: the chances lean to today's order"


def informed_prior(votes: Floats, answers: Ints) -> Prior:
    """The prior of each item (N) from votes (N, V) and the runs' answers (R, N), -1 where one is missing."""
    m = votes.sum(axis=1)
    pooled = votes.sum(axis=0) / m.sum()
    units = np.vstack([np.eye(votes.shape[1]), pooled]) - pooled  # the last for a missing answer
    shift = units[answers]  # (R, N, V)
    weight = _weights(votes, m, pooled, shift)
    mean = np.clip(pooled + np.tensordot(weight, shift, axes=1), 0.0, 1.0)
    mean /= mean.sum(axis=1, keepdims=True)
    pairs = m >= 2
    apart = (m[pairs] ** 2 - np.square(votes[pairs]).sum(axis=1)) / (m[pairs] - 1)
    chance = m[pairs] * (1 - np.square(mean[pairs]).sum(axis=1))
    alpha = 1 - apart.sum() / chance.sum() if chance.sum() > 0 else 0.0
    alphas = np.full(len(votes), alpha)
    return Prior(mean, alphas, np.clip(alphas, 0.0, 1.0))


def _weights(votes: Floats, m: Floats, pooled: Floats, shift: Floats) -> Floats:
    """Weights of the runs (R,) by non-negative least squares on the triangular factor, which has R + 1 rows."""
    from scipy.optimize import nnls

    rated = m > 0
    root = np.sqrt(m[rated])[:, None]
    target = (votes[rated] / m[rated, None] - pooled) * root
    columns = [(own[rated] * root).ravel() for own in shift]
    factor: Floats = np.asarray(np.linalg.qr(np.column_stack([*columns, target.ravel()]), mode="r"))
    weight: Floats = nnls(factor[:, :-1], factor[:, -1])[0]
    weight /= max(1.0, float(weight.sum()))
    return weight
