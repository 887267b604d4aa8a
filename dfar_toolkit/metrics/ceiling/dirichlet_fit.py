r"""One Dirichlet distribution behind the votes on all items, by maximum likelihood.

Item i has shares $\theta_i \sim$ Dirichlet($\alpha$) of its own and $y_i$ are $n_i$ votes from them. With
$A = \sum_k \alpha_k$ the likelihood of the sequence of votes (no multinomial coefficient) is a sum of logarithms,

    $\log L = \sum_i [ \sum_k \sum_{j < y_{ik}} \log(\alpha_k + j) - \sum_{j < n_i} \log(A + j) ]$

which depends on the votes only through how many items have more than j of them. Newton's method in $\log \alpha$,
damped, within bounds. Cost: the distinct rows once, then per step K x min(largest n_i, 4096), plus the counts above.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.ceiling.vote_counts import COUNTS, Votes, read_votes

LOWEST: Final = 1e-10  # alpha of an option that nobody chose, as in Scruples
HIGHEST: Final = 1e8  # votes that differ between items no more than by chance have their maximum at infinity

_HEAD: Final = 4096  # votes up to which logarithms are summed one by one
_FLAT: Final = 1e-10  # gradient in log alpha, per item, that counts as zero
_STEPS: Final = 200
_STRIDE: Final = 3.0  # longest step in log alpha
_ALIKE: Final = 1e4  # sum of alpha above which items differ by chance alone
_UNANIMOUS: Final = 1e-6  # sum of alpha below which people never differ


class DirichletFit(NamedTuple):
    """Parameters of the shared Dirichlet.

    ``alpha`` (K,); ``nll_per_item`` negative log-likelihood of the vote sequence in nats per item; ``converged``;
    ``n_items`` items with votes; ``n_single`` those with one vote; ``note`` why alpha is ``nan`` or at a bound.
    """

    alpha: Floats
    nll_per_item: float
    converged: bool
    n_items: int
    n_single: int
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether there is an alpha at all."""
        return bool(self.alpha.size and np.isfinite(self.alpha).all())


class _Histogram(NamedTuple):
    """``above`` (J, K + 1): items with more than j votes on each option, and at all; the votes above J one by one."""

    above: Floats
    high_votes: Floats
    high_column: npt.NDArray[np.int64]
    high_times: Floats
    n: float


def fit_dirichlet_multinomial(
    counts: Votes, *, column: str = COUNTS, start: npt.ArrayLike | None = None
) -> DirichletFit:
    r"""Fit one shared Dirichlet-multinomial to the votes on all items.

    Maximises $\sum_i [\log\Gamma(A) - \log\Gamma(A + n_i) + \sum_k (\log\Gamma(\alpha_k + y_{ik}) -
    \log\Gamma(\alpha_k))]$ over $\alpha$ (K,) with votes y (N, K).

    Args:
        counts: Array (items, options) of votes, or a frame with a list column; items without votes are left out.
        column: The frame's list column.
        start: Where to begin (K,), None for ones.

    Returns:
        The fit. Options that nobody chose get 1e-10.

    Undefined:
        No item with two votes or more: single votes determine the ratios of alpha alone, not their sum.

    Raises:
        TableError: Counts that are not whole numbers of at least 0.
        ValueError: ``start`` is not K positive numbers.

    Example:
        Two votes per item, alike on 3 of 4 items: (alpha + 1) / (2 alpha + 1) = 3/4, so alpha = 1/2.

        >>> fit_dirichlet_multinomial([[2, 0], [1, 1], [0, 2], [2, 0], [0, 2], [0, 2], [2, 0], [1, 1]]).alpha.round(6)
        array([0.5, 0.5])

    Reference:
        Minka (2000), Estimating a Dirichlet distribution; Lourie et al. (2021), Scruples, AAAI, arXiv 2008.09094.
    """
    votes = read_votes("fit_dirichlet_multinomial", counts, column=column)
    return fit_patterns(votes.patterns, votes.times, start=start)


def fit_patterns(patterns: Floats, times: Floats, *, start: npt.ArrayLike | None = None) -> DirichletFit:
    """The fit to distinct rows of votes (P, K) that occur ``times`` (P,) times each, zero included."""
    width, size = patterns.shape[1], patterns.sum(axis=1)
    n_items, n_single = int(times.sum()), int(times[size == 1].sum())
    first = np.ones(width) if start is None else np.asarray(start, dtype=np.float64)
    if first.shape != (width,) or not (np.isfinite(first) & (first > 0)).all():
        raise ValueError(f"fit_dirichlet_multinomial: start must be {width} numbers above 0, found {first.tolist()}")
    if n_items == 0 or n_items == n_single:
        why = "no items" if n_items == 0 else "no item has two votes or more, so how people differ is not known"
        return DirichletFit(np.full(width, np.nan), float("nan"), False, n_items, n_single, why)
    histogram = _histogram(np.column_stack([patterns, size]), times)
    alpha, nll, converged = _newton(histogram, first)
    return DirichletFit(alpha, nll, converged, n_items, n_single, _fit_note(float(alpha.sum()), converged))


def _fit_note(total: float, converged: bool) -> str:
    if not converged:
        return "the fit of alpha did not converge"
    if total > _ALIKE:
        return f"items differ no more than chance votes would: the sum of alpha is {total:.0f} and has no upper limit"
    return "people never differ on an item: alpha goes to 0" if total < _UNANIMOUS else ""


def posterior_mean(counts: Votes, alpha: npt.ArrayLike, *, column: str = COUNTS) -> Floats:
    r"""Expected shares of each item given its votes: $(\alpha_k + y_{ik}) / (A + n_i)$, (N, K).

    Args:
        counts: Array (items, options) of votes, or a frame with a list column.
        alpha: Parameters (K,).
        column: The frame's list column.

    Returns:
        Shares of the items with votes, in their order.

    Example:
        >>> posterior_mean([[3, 0]], [0.5, 0.5]).tolist()
        [[0.875, 0.125]]
    """
    votes = read_votes("posterior_mean", counts, column=column)
    shapes = np.asarray(alpha, dtype=np.float64) + votes.patterns
    shares: Floats = (shapes / shapes.sum(axis=1, keepdims=True))[votes.of_item]
    return shares


def _histogram(columns: Floats, times: Floats) -> _Histogram:
    tall = int(min(columns.max(), _HEAD))
    above = np.empty((tall, columns.shape[1]))
    clipped = np.minimum(columns, tall).astype(np.int64)
    for place in range(columns.shape[1]):
        counted = np.bincount(clipped[:, place], weights=times, minlength=tall + 1)
        above[:, place] = counted[::-1].cumsum()[::-1][1:]
    row, column = np.nonzero(columns > tall)
    return _Histogram(above, columns[row, column], column, times[row], float(times.sum()))


def _sums(histogram: _Histogram, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums over votes of log(x + j) for each column, with first and second derivative, (K + 1,) each."""
    from scipy.special import digamma, gammaln, zeta

    above, width = histogram.above, len(x)
    shifted = x + np.arange(len(above))[:, None]
    inverse = 1 / shifted
    value = (above * np.log(shifted)).sum(axis=0)
    first = (above * inverse).sum(axis=0)
    second = -(above * inverse * inverse).sum(axis=0)
    if len(histogram.high_votes):
        at = x[histogram.high_column]
        low, high = at + len(above), at + histogram.high_votes
        for total, part in (
            (value, gammaln(high) - gammaln(low)),
            (first, digamma(high) - digamma(low)),
            (second, zeta(2, high) - zeta(2, low)),
        ):
            total += np.bincount(histogram.high_column, weights=histogram.high_times * part, minlength=width)
    return value, first, second


def _objective(histogram: _Histogram, theta: Floats) -> tuple[float, Floats, Floats]:
    """Negative log-likelihood per item at log alpha, gradient (K,), Hessian (K, K)."""
    alpha = np.exp(theta)
    value, first, second = _sums(histogram, np.append(alpha, alpha.sum()))
    nll = (value[-1] - value[:-1].sum()) / histogram.n
    slope = (first[-1] - first[:-1]) * alpha / histogram.n
    curve = second[-1] * np.outer(alpha, alpha) / histogram.n
    curve[np.diag_indices(len(alpha))] += slope - second[:-1] * alpha**2 / histogram.n
    return float(nll), slope, curve


def _newton(histogram: _Histogram, start: Floats) -> tuple[Floats, float, bool]:
    low, high = np.log(LOWEST), np.log(HIGHEST)
    chosen = histogram.above[0, :-1] > 0
    theta = np.where(chosen, np.clip(np.log(start), low, high), low)
    nll, slope, curve = _objective(histogram, theta)
    damping = 0.0
    for _ in range(_STEPS):
        held = ~chosen | ((theta <= low) & (slope > 0)) | ((theta >= high) & (slope < 0))
        if np.abs(slope[~held]).max(initial=0.0) <= _FLAT:
            return np.exp(theta), nll, True
        step, damping = _step(slope, curve, ~held, damping)
        tried = np.clip(theta + np.clip(step, -_STRIDE, _STRIDE), low, high)
        found = _objective(histogram, tried)
        if found[0] <= nll + 1e-14 * abs(nll):
            theta, damping = tried, damping / 10 if damping > 1e-9 else 0.0
            nll, slope, curve = found
        else:
            damping = max(10 * damping, 1e-4)
    return np.exp(theta), nll, False


def _step(slope: Floats, curve: Floats, free: npt.NDArray[np.bool_], damping: float) -> tuple[Floats, float]:
    """A downhill step: the Hessian's diagonal is raised until it is positive definite."""
    part, down = curve[np.ix_(free, free)], -slope[free]
    scale = np.abs(np.diag(part)) + 1e-12
    step = np.zeros(len(slope))
    while True:
        try:
            raised = part + np.diag(damping * scale)
            np.linalg.cholesky(raised)
            step[free] = np.linalg.solve(raised, down)
            return step, damping
        except np.linalg.LinAlgError:
            damping = max(10 * damping, 1e-4)
