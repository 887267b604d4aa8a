r"""Dawid and Skene with one number per rater: how often the rater gives an item's true value, whatever that is.

Far fewer numbers than tables of error rates, so it holds up with fewer ratings, at the price of wrong values being
equally likely. An iteration is a few passes over the ratings: time grows with ratings + items x values. As every such
model it measures agreement with consensus, not correctness.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.labels.dawid_skene import (
    Initial,
    check_options,
    climb,
    normalised,
    rows_as_lists,
    start,
)
from dfar_toolkit.agreement.labels.responses import Repeats, Responses, read_responses
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.errors import TableError

_CELLS: Final = 10_000_000  # items times values that are always taken
_PER_RATING: Final = 500  # beyond, items times values for each rating: more, and hardly two ratings share a value


class OneCoin(NamedTuple):
    """What :func:`one_coin` found.

    ``values`` (V,) are the sorted values, which are the classes too. ``posterior`` has one row per item: the item and
    ``label_probs`` (V numbers in the order of ``values``). ``prior``: ``value, prior``. ``accuracy``: ``rater,
    accuracy, n`` (ratings). ``log_likelihood`` (iterations,) is the path of what EM climbs.
    """

    values: pl.Series
    posterior: pl.DataFrame
    prior: pl.DataFrame
    accuracy: pl.DataFrame
    log_likelihood: Floats
    iterations: int
    converged: bool


class Fit(NamedTuple):
    """As :class:`OneCoin` in arrays: posterior (N, V), prior (V,), accuracy (R,), path, whether EM came to rest."""

    posterior: Floats
    prior: Floats
    accuracy: Floats
    log_likelihood: Floats
    converged: bool


def one_coin(
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
) -> OneCoin:
    r"""One accuracy per rater and the chance of each true value, by maximum likelihood.

    With $n_{irv}$ how often rater $r$ gave item $i$ the value $v$, $n_r$ the ratings of $r$, class shares $p_k$,
    accuracies $a_r$ and V values in use, EM repeats

        $p_k = \frac{1}{N} \sum_i T_{ik}$,   $a_r = \frac{s + \sum_{i, v} T_{iv} n_{irv}}{2 s + n_r}$
        $T_{ik} \propto p_k \prod_r a_r^{n_{irk}} (\frac{1 - a_r}{V - 1})^{\sum_{v \ne k} n_{irv}}$

    from $T_{ik}$ = the value's share of the item's ratings, in logarithms, until a step gains less than ``tolerance``
    per rating. Nothing is drawn at random.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        smoothing: s, right and wrong ratings added to each rater; 0 is maximum likelihood. With s > 0 the path holds
            the log-likelihood plus $s \sum_r (\log a_r + \log(1 - a_r))$, which is what EM then climbs.
        initial: Start from the ``soft`` shares of the values, or from the ``majority`` value, ties shared out.
        tolerance: Gain in log-likelihood per rating below which EM stops.
        max_iterations: Iterations at most; ``converged`` says whether they sufficed.
        repeats: ``keep`` takes a rater's second rating of an item as data; ``error`` refuses it.

    Returns:
        Posterior, class shares, accuracies and the path; see :class:`OneCoin`.

    Undefined:
        Nothing is: with one value in use every accuracy is 1.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`, or items x values are more than 1e7
            and more than 500 per rating.
        ValueError: An option is out of its range.

    Example:
        Two raters agree on every item; the third, who always says "b", gives the other two's value half the time.

        >>> votes = [(i, r, v) for i, v in enumerate("aabb") for r in "xy"] + [(i, "z", "b") for i in range(4)]
        >>> one_coin(votes).accuracy["accuracy"].round(3).to_list()
        [1.0, 1.0, 0.5]

    Reference:
        Zhang, Chen, Zhou and Jordan (2016), JMLR 17(102):1-44 (one-coin model); Dawid and Skene (1979).
    """
    check_options("one_coin", smoothing, initial, tolerance, max_iterations)
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    fit = fit_one_coin(
        responses, smoothing=smoothing, initial=initial, tolerance=tolerance, max_iterations=max_iterations
    )
    n = np.bincount(responses.rater, weights=responses.times).astype(np.int64)
    return OneCoin(
        responses.values,
        pl.DataFrame({item: responses.items, "label_probs": rows_as_lists(fit.posterior)}),
        pl.DataFrame({"value": responses.values, "prior": fit.prior}),
        pl.DataFrame({"rater": responses.raters, "accuracy": fit.accuracy, "n": n}),
        fit.log_likelihood,
        len(fit.log_likelihood),
        fit.converged,
    )


def fit_one_coin(
    responses: Responses,
    *,
    smoothing: float = 0.0,
    initial: Initial = "soft",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> Fit:
    """As :func:`one_coin`, of responses that are read already, in arrays."""
    n_values, n_raters = len(responses.values), len(responses.raters)
    responses.refuse_cells(len(responses.items) * n_values)
    _refuse_sparse(responses)
    cell = responses.item * n_values + responses.value
    n = np.bincount(responses.rater, weights=responses.times, minlength=n_raters)

    def parameters(posterior: Floats) -> tuple[Floats, Floats]:
        """Class shares (V,) and accuracies (R,)."""
        expected = responses.times * posterior.ravel()[cell]
        hits = np.bincount(responses.rater, weights=expected, minlength=n_raters)
        return posterior.mean(axis=0), np.minimum((hits + smoothing) / (n + 2 * smoothing), 1.0)

    def step(posterior: Floats) -> tuple[Floats, float]:
        prior, accuracy = parameters(posterior)
        with np.errstate(divide="ignore"):
            log_prior, right, wrong = np.log(prior), np.log(accuracy), np.log1p(-accuracy)
        posterior, objective = normalised(log_joint(responses, right, wrong) + log_prior)
        return posterior, objective + (smoothing * float((right + wrong).sum()) if smoothing else 0.0)

    found = climb(
        start(responses, initial), step, n_ratings=responses.n_ratings, tolerance=tolerance,
        max_iterations=max_iterations,
    )  # fmt: skip
    prior, accuracy = parameters(found.posterior)
    return Fit(found.posterior, prior, accuracy, found.log_likelihood, found.converged)


def _refuse_sparse(responses: Responses) -> None:
    """Stop where almost every rating has a value of its own: the table is then nearly empty, and EM slow for nothing.

    Raises:
        TableError: More than 1e7 cells (items x values), and more than 500 per rating.
    """
    cells = len(responses.items) * len(responses.values)
    most = max(_CELLS, _PER_RATING * responses.n_ratings)
    if cells > most:
        raise TableError(
            f"a table of {cells:,} cells is needed for {len(responses.items)} items, {len(responses.raters)} raters "
            f"and {len(responses.values)} values, more than {most:,}; bring the values into fewer classes."
        )


def log_joint(responses: Responses, right: Floats, wrong: Floats) -> Floats:
    """Log-likelihood of an item's ratings for each true value (N, V), without the class shares.

    ``right`` and ``wrong`` (R,) are the logarithms of each rater's accuracy and of what is left; the V - 1 wrong values
    share the latter.
    """
    n_items, n_values = len(responses.items), len(responses.values)
    cell = responses.item * n_values + responses.value
    if n_values > 1:
        wrong = wrong - np.log(n_values - 1)

    def sums(of_right: Floats, of_wrong: Floats) -> Floats:
        """Each item's sum over its ratings: of_right where the value is the class, of_wrong elsewhere."""
        lower = responses.times * of_wrong[responses.rater]
        more = responses.times * of_right[responses.rater] - lower
        at_value = np.bincount(cell, weights=more, minlength=n_items * n_values).astype(np.float64)
        at_value = at_value.reshape(n_items, n_values)
        at_value += np.bincount(responses.item, weights=lower, minlength=n_items)[:, None]
        return at_value

    never_right, never_wrong = np.isneginf(right), np.isneginf(wrong)
    joint = sums(np.where(never_right, 0.0, right), np.where(never_wrong, 0.0, wrong))
    if never_right.any() or never_wrong.any():  # sums with -inf would be nan where it is taken off again
        joint[sums(never_right.astype(np.float64), never_wrong.astype(np.float64)) > 0] = -np.inf
    return joint
