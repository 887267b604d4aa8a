r"""The model of Dawid and Skene: each rater has a table of error rates, each item one true value, and EM finds both.

An iteration is two products with one sparse matrix of the ratings (items by rater-and-value), so its time grows with
ratings x values, and memory with (items + raters x values) x values. The model measures agreement with consensus, not
correctness: it takes for granted that every item has one true value, and what a minority sees differently becomes that
minority's error. With three raters or fewer on an item its numbers are unstable. It is never a default here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import polars as pl
import scipy.sparse as sparse

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.labels.responses import Repeats, Responses, read_responses
from dfar_toolkit.agreement.ratings import RatingsLike

Initial = Literal["soft", "majority"]


class DawidSkene(NamedTuple):
    """What :func:`dawid_skene` found.

    ``values`` (V,) are the sorted values, which are the classes too. ``posterior`` has one row per item: the item and
    ``label_probs`` (V numbers in the order of ``values``). ``prior``: ``value, prior``. ``error_rates``: ``rater, true,
    given, rate, expected`` for every rater and two values. ``log_likelihood`` (iterations,) is the path of what EM
    climbs.
    """

    values: pl.Series
    posterior: pl.DataFrame
    prior: pl.DataFrame
    error_rates: pl.DataFrame
    log_likelihood: Floats
    iterations: int
    converged: bool


class Fit(NamedTuple):
    """As :class:`DawidSkene` in arrays: posterior (N, V), prior (V,), expected ratings (raters x given, true), path."""

    posterior: Floats
    prior: Floats
    expected: Floats
    log_likelihood: Floats
    converged: bool


class Climb(NamedTuple):
    """Where EM stopped: posterior (N, V), the path of the log-likelihood, and whether it had come to rest."""

    posterior: Floats
    log_likelihood: Floats
    converged: bool


def dawid_skene(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    smoothing: float = 0.0,
    initial: Initial = "soft",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    repeats: Repeats = "error",
) -> DawidSkene:
    r"""Error rates of each rater and the chance of each true value, by maximum likelihood.

    With $n_{irv}$ how often rater $r$ gave item $i$ the value $v$, class shares $p_k$ and error rates
    $\pi_{rkv} = P(r \text{ gives } v \mid \text{truth } k)$, EM repeats

        $p_k = \frac{1}{N} \sum_i T_{ik}$
        $\pi_{rkv} = \frac{s + \sum_i T_{ik} n_{irv}}{\sum_u (s + \sum_i T_{ik} n_{iru})}$
        $T_{ik} \propto p_k \prod_{r, v} \pi_{rkv}^{n_{irv}}$

    from $T_{ik}$ = the value's share of the item's ratings, in logarithms, until a step gains less than ``tolerance``
    per rating. Nothing is drawn at random.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        smoothing: s, ratings added to every cell of a rater's table; 0 is maximum likelihood. With s > 0 the path holds
            the log-likelihood plus $s \sum \log \pi$, which is what EM then climbs.
        initial: Start from the ``soft`` shares of the values, or from the ``majority`` value, ties shared out.
        tolerance: Gain in log-likelihood per rating below which EM stops.
        max_iterations: Iterations at most; ``converged`` says whether they sufficed.
        repeats: ``keep`` takes a rater's second rating of an item as data, as Dawid and Skene do; ``error`` refuses it.

    Returns:
        Posterior, class shares, error rates and the path; see :class:`DawidSkene`.

    Undefined:
        An error rate is ``nan`` where the rater is expected to have met no item of that true value.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`, or the tables do not fit into memory.
        ValueError: An option is out of its range.

    Example:
        Two raters agree on every item, the third always says "b".

        >>> votes = [(i, r, v) for i, v in enumerate("aabb") for r in "xy"] + [(i, "z", "b") for i in range(4)]
        >>> found = dawid_skene(votes)
        >>> found.prior.rows()
        [('a', 0.5), ('b', 0.5)]
        >>> found.error_rates.filter(rater="z", true="a")["rate"].to_list()
        [0.0, 1.0]

    Reference:
        Dawid and Skene (1979), Applied Statistics 28(1):20-28, equations 2.3 to 2.5.
    """
    check_options("dawid_skene", smoothing, initial, tolerance, max_iterations)
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    fit = fit_dawid_skene(
        responses, smoothing=smoothing, initial=initial, tolerance=tolerance, max_iterations=max_iterations
    )
    return DawidSkene(
        responses.values,
        pl.DataFrame({item: responses.items, "label_probs": rows_as_lists(fit.posterior)}),
        pl.DataFrame({"value": responses.values, "prior": fit.prior}),
        _error_rates(responses, fit.expected),
        fit.log_likelihood,
        len(fit.log_likelihood),
        fit.converged,
    )


def fit_dawid_skene(
    responses: Responses,
    *,
    smoothing: float = 0.0,
    initial: Initial = "soft",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> Fit:
    """As :func:`dawid_skene`, of responses that are read already, in arrays."""
    n_values = len(responses.values)
    responses.refuse_cells((len(responses.items) + len(responses.raters) * n_values) * n_values)
    given, by_rater = _matrices(responses)

    def parameters(posterior: Floats) -> tuple[Floats, Floats]:
        """Class shares (V,) and expected ratings, smoothed (raters x given, true)."""
        return posterior.mean(axis=0), np.asarray(by_rater @ posterior) + smoothing

    def step(posterior: Floats) -> tuple[Floats, float]:
        prior, expected = parameters(posterior)
        with np.errstate(divide="ignore"):
            log_prior, log_rates = np.log(prior), np.log(np.nan_to_num(_rates(expected, n_values)))
        posterior, objective = normalised(np.asarray(given @ log_rates) + log_prior)
        return posterior, objective + (smoothing * float(log_rates.sum()) if smoothing else 0.0)

    found = climb(
        start(responses, initial), step, n_ratings=responses.n_ratings, tolerance=tolerance,
        max_iterations=max_iterations,
    )  # fmt: skip
    prior, expected = parameters(found.posterior)
    return Fit(found.posterior, prior, expected, found.log_likelihood, found.converged)


def check_options(caller: str, smoothing: float, initial: str, tolerance: float, max_iterations: int) -> None:
    """Refuse options out of their range in the name of the function that was called.

    Raises:
        ValueError: One is.
    """
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"{caller}: smoothing must be 0 or more, found {smoothing}")
    if initial not in get_args(Initial):
        raise ValueError(f'{caller}: initial must be "soft" or "majority", found {initial!r}')
    if not tolerance >= 0:
        raise ValueError(f"{caller}: tolerance must be 0 or more, found {tolerance}")
    if max_iterations < 1:
        raise ValueError(f"{caller}: max_iterations must be at least 1, found {max_iterations}")


def start(responses: Responses, initial: Initial) -> Floats:
    """The first posterior (N, V): shares of the ratings, or of the values that lead."""
    if initial == "soft":
        return responses.shares()
    counts = responses.counts()
    lead = (counts == counts.max(axis=1, keepdims=True)).astype(np.float64)
    shared: Floats = lead / lead.sum(axis=1, keepdims=True)
    return shared


def climb(
    posterior: Floats,
    step: Callable[[Floats], tuple[Floats, float]],
    *,
    n_ratings: int,
    tolerance: float,
    max_iterations: int,
) -> Climb:
    """Repeat an EM step, posterior -> (posterior, log-likelihood), until it gains too little."""
    path: list[float] = []
    converged = False
    while not converged and len(path) < max_iterations:
        posterior, reached = step(posterior)
        converged = bool(path) and reached - path[-1] <= tolerance * n_ratings
        path.append(reached)
    return Climb(posterior, np.array(path), converged)


def normalised(logs: Floats) -> tuple[Floats, float]:
    """Rows of log joint probabilities (N, V) as posteriors, and the log-likelihood; ``logs`` is overwritten."""
    top = np.full(len(logs), -np.inf)
    for k in range(logs.shape[1]):  # columns are few and rows are many
        np.maximum(top, logs[:, k], out=top)
    logs -= top[:, None]
    np.exp(logs, out=logs)
    total = logs @ np.ones(logs.shape[1])
    logs /= total[:, None]
    return logs, float(top.sum() + np.log(total).sum())


def rows_as_lists(table: Floats) -> pl.Series:
    """A table (N, V) as a column of N lists."""
    flat = pl.Series("label_probs", np.ascontiguousarray(table).ravel())
    return flat.reshape((table.shape[0], table.shape[1])).arr.to_list()


def _matrices(responses: Responses) -> tuple[Any, Any]:
    """How often each item got each value from each rater (N, R V), and its transpose, both stored by row."""
    n_values = len(responses.values)
    column = responses.rater * n_values + responses.value
    shape = (len(responses.items), len(responses.raters) * n_values)
    given = sparse.csr_array((responses.times, (responses.item, column)), shape=shape)
    return given, given.T.tocsr()


def _rates(expected: Floats, n_values: int) -> Floats:
    """Expected ratings (raters x given, true) over their sum per rater and true value; nan where that is 0."""
    table = expected.reshape(-1, n_values, n_values)
    with np.errstate(invalid="ignore"):
        rates: Floats = (table / table.sum(axis=1, keepdims=True)).reshape(expected.shape)
    return rates


def _error_rates(responses: Responses, expected: Floats) -> pl.DataFrame:
    n_raters, n_values = len(responses.raters), len(responses.values)
    raters, true, given = np.indices((n_raters, n_values, n_values)).reshape(3, -1)
    rates, in_order = _rates(expected, n_values), (-1, n_values, n_values)
    return pl.DataFrame(
        {
            "rater": responses.raters.gather(raters),
            "true": responses.values.gather(true),
            "given": responses.values.gather(given),
            "rate": rates.reshape(in_order).transpose(0, 2, 1).ravel(),
            "expected": expected.reshape(in_order).transpose(0, 2, 1).ravel(),
        }
    )
