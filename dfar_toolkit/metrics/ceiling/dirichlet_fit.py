r"""One Dirichlet distribution behind the votes on all items, by maximum likelihood.

Item i has shares $\theta_i \sim$ Dirichlet($\alpha$) of its own and $y_i$ are $n_i$ votes from them. With
$A = \sum_k \alpha_k$ the likelihood of the sequence of votes (no multinomial coefficient) is a sum of logarithms,

    $\log L = \sum_i [ \sum_k \sum_{j < y_{ik}} \log(\alpha_k + j) - \sum_{j < n_i} \log(A + j) ]$

which depends on the votes only through how many items have more than j of them. Newton's method in $\log \alpha$,
damped, within bounds. Cost: the distinct rows times K once, then per step K x min(largest n_i, 4096), plus the counts
above, and K^3 for a fit alone. Of resamples fitted together a step is linear in K: the Hessian is a diagonal and one
outer product, $\mathrm{diag}(d) + c \, \alpha \alpha^T$ with $c < 0$, which is positive definite just where all d and
$1 + c \sum_k \alpha_k^2 / d_k$ are above 0, and is solved for by the formula of Sherman and Morrison.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

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
_CELLS: Final = 1_000_000  # of the histograms of resamples held at once


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
    """``above`` (J, K + 1): items with more than j votes on each option, and at all; the votes above J one by one.

    Of several resamples ``above`` is (B, J, K + 1) and ``n`` (B,), and there are no votes above J.
    """

    above: Floats
    high_votes: Floats
    high_column: npt.NDArray[np.int64]
    high_times: Floats
    n: Floats


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


def fit_resamples(patterns: Floats, times: Floats, start: Floats) -> Floats:
    """Alpha (B, K) of B resamples of the rows of votes (P, K), which occur ``times`` (B, P) times each.

    The same steps as those of :func:`fit_patterns` from ``start`` (K,), taken for all resamples at once; where a step
    does not lead down the resample is fitted alone.

    Example:
        >>> votes, times = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), np.array([[3.0, 2.0, 3.0], [6.0, 4.0, 6.0]])
        >>> fit_resamples(votes, times, np.ones(2)).round(6).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    size = patterns.sum(axis=1)
    columns = np.column_stack([patterns, size])
    found = np.full((len(times), patterns.shape[1]), np.nan)
    known = np.flatnonzero(times @ (size > 1))
    together = len(known) > 0 and columns.max() <= _HEAD
    step = max(1, int(_CELLS // (columns.max(initial=1) * columns.shape[1]))) if together else 1
    for first in range(0, len(known), step):
        here = known[first : first + step]
        if together:
            found[here] = _newton_together(np.array([_histogram(columns, times[b]).above for b in here]),
                                           times[here].sum(axis=1), start)  # fmt: skip
        for b in here[np.isnan(found[here]).any(axis=1)]:
            found[b] = fit_patterns(patterns, times[b], start=start).alpha
    return found


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
    tall, width = int(min(columns.max(), _HEAD)), columns.shape[1]
    cells = np.minimum(columns, tall).astype(np.int64) * width + np.arange(width)
    counted = np.bincount(cells.ravel(), weights=np.repeat(times, width), minlength=(tall + 1) * width)
    above = counted.reshape(tall + 1, width)[::-1].cumsum(axis=0)[::-1][1:]
    row, column = np.nonzero(columns > tall)
    return _Histogram(above, columns[row, column], column, times[row], times.sum())


def _sums(histogram: _Histogram, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums over votes of log(x + j) for each column, with first and second derivative, (..., K + 1) each."""
    from scipy.special import digamma, gammaln, zeta

    above = histogram.above
    shifted = x[..., None, :] + np.arange(above.shape[-2])[:, None]
    inverse = 1 / shifted
    value = (above * np.log(shifted)).sum(axis=-2)
    first = (above * inverse).sum(axis=-2)
    second = -(above * inverse * inverse).sum(axis=-2)
    if len(histogram.high_votes):
        at = x[histogram.high_column]
        low, high = at + len(above), at + histogram.high_votes
        for total, part in (
            (value, gammaln(high) - gammaln(low)),
            (first, digamma(high) - digamma(low)),
            (second, zeta(2, high) - zeta(2, low)),
        ):
            total += np.bincount(histogram.high_column, weights=histogram.high_times * part, minlength=len(x))
    return value, first, second


class _Slopes(NamedTuple):
    """Derivatives in log alpha: gradient (..., K); the Hessian is diag(``diagonal``) + ``outer`` alpha alpha^T."""

    gradient: Floats
    diagonal: Floats
    outer: Floats
    alpha: Floats

    def hessian(self) -> Floats:
        """The matrix (K, K) of a single fit."""
        curve: Floats = self.outer * self.alpha[:, None] * self.alpha
        curve[np.diag_indices(len(self.alpha))] += self.diagonal
        return curve

    def of(self, some: npt.NDArray[Any]) -> _Slopes:
        """Those of some of several resamples."""
        return _Slopes(*(part[some] for part in self))


def _objective(histogram: _Histogram, theta: Floats) -> tuple[Floats, _Slopes]:
    """Negative log-likelihood per item at log alpha (..., K), with its derivatives."""
    alpha, n = np.exp(theta), np.asarray(histogram.n)
    value, first, second = _sums(histogram, np.concatenate([alpha, alpha.sum(axis=-1, keepdims=True)], axis=-1))
    nll = np.asarray((value[..., -1] - value[..., :-1].sum(axis=-1)) / n)
    gradient = (first[..., -1:] - first[..., :-1]) * alpha / n[..., None]
    diagonal = gradient - second[..., :-1] * alpha**2 / n[..., None]
    return nll, _Slopes(gradient, diagonal, np.asarray(second[..., -1] / n), alpha)


def _newton(histogram: _Histogram, start: Floats) -> tuple[Floats, float, bool]:
    low, high = np.log(LOWEST), np.log(HIGHEST)
    chosen = histogram.above[0, :-1] > 0
    theta = np.where(chosen, np.clip(np.log(start), low, high), low)
    nll, slopes = _objective(histogram, theta)
    damping = 0.0
    for _ in range(_STEPS):
        held = _held(chosen, theta, slopes.gradient)
        if np.abs(slopes.gradient[~held]).max(initial=0.0) <= _FLAT:
            return np.exp(theta), float(nll), True
        step, damping = _step(slopes.gradient, slopes.hessian(), ~held, damping)
        tried = np.clip(theta + np.clip(step, -_STRIDE, _STRIDE), low, high)
        found = _objective(histogram, tried)
        if found[0] <= nll + 1e-14 * abs(nll):
            theta, damping = tried, damping / 10 if damping > 1e-9 else 0.0
            nll, slopes = found
        else:
            damping = max(10 * damping, 1e-4)
    return np.exp(theta), float(nll), False


def _held(chosen: npt.NDArray[np.bool_], theta: Floats, slope: Floats) -> npt.NDArray[np.bool_]:
    """Which parameters stay where they are: of options that nobody chose, and at a bound that the slope leads to."""
    low, high = np.log(LOWEST), np.log(HIGHEST)
    held: npt.NDArray[np.bool_] = ~chosen | ((theta <= low) & (slope > 0)) | ((theta >= high) & (slope < 0))
    return held


def _newton_together(above: Floats, n: Floats, start: Floats) -> Floats:
    """Alpha (B, K) from histograms (B, J, K + 1) by undamped steps; ``nan`` where these do not lead down to the end."""
    low, high = np.log(LOWEST), np.log(HIGHEST)
    none = np.empty(0, dtype=np.int64)
    chosen, found = above[:, 0, :-1] > 0, np.full((len(above), len(start)), np.nan)
    theta = np.where(chosen, np.clip(np.log(start), low, high), low)
    left = np.arange(len(above))
    nll, slopes = _objective(_Histogram(above, np.empty(0), none, np.empty(0), n), theta)
    for _ in range(_STEPS):
        held = _held(chosen[left], theta, slopes.gradient)
        flat = np.abs(np.where(held, 0.0, slopes.gradient)).max(axis=1) <= _FLAT
        found[left[flat]] = np.exp(theta[flat])
        step, downhill = _steps(slopes, held)
        open_ = ~flat & downhill
        if not open_.any():
            break
        tried = np.clip(theta[open_] + np.clip(step[open_], -_STRIDE, _STRIDE), low, high)
        left, before = left[open_], nll[open_]
        nll, slopes = _objective(_Histogram(above[left], np.empty(0), none, np.empty(0), n[left]), tried)
        down = nll <= before + 1e-14 * np.abs(before)
        left, theta, nll, slopes = left[down], tried[down], nll[down], slopes.of(down)
    return found


def _steps(slopes: _Slopes, held: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Newton's step (B, K) of the parameters that are not held, and where (B,) the Hessian is positive definite."""
    free = np.where(held, 1.0, slopes.diagonal)
    along = np.where(held, 0.0, slopes.alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved, turned = -np.where(held, 0.0, slopes.gradient) / free, along / free
        rest = 1 + slopes.outer * (along * turned).sum(axis=1)
        step = moved - turned * (slopes.outer * (along * moved).sum(axis=1) / rest)[:, None]
    return step, (free > 0).all(axis=1) & (rest > 0)


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
