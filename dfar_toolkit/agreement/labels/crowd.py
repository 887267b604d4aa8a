"""MACE and GLAD through the package crowd-kit, the optional extra ``crowd``: annotators who guess, items that are hard.

crowd-kit reads the rows of a pandas frame again in every iteration: at a million ratings one restart of MACE takes
about a minute, and GLAD longer than anybody waits. As every such model these measure agreement with consensus, not
correctness.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.labels.dawid_skene import normalised, rows_as_lists
from dfar_toolkit.agreement.labels.responses import Repeats, Responses, read_responses
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.errors import TableError

INSTALL: Final = "pip install 'dfar-toolkit[crowd]'"


class Mace(NamedTuple):
    """What :func:`mace` found: ``values`` (V,) sorted; ``posterior`` (the item, ``label_probs``); ``competence``.

    ``competence`` has ``rater, competence`` and one column ``guesses`` with the V shares of what the rater guesses.
    """

    values: pl.Series
    posterior: pl.DataFrame
    competence: pl.DataFrame
    log_likelihood: float


class Glad(NamedTuple):
    """What :func:`glad` found: ``values`` (V,) sorted; ``posterior`` (the item, ``label_probs``); two scales.

    ``ability``: ``rater, ability`` (0 is guessing, below 0 worse than guessing). ``ease``: the item and ``ease``, the
    factor (above 0) by which abilities count there.
    """

    values: pl.Series
    posterior: pl.DataFrame
    ability: pl.DataFrame
    ease: pl.DataFrame


class MaceFit(NamedTuple):
    """Posterior (N, V), what each rater guesses (R, V), competence (R,), and the log-likelihood."""

    posterior: Floats
    guesses: Floats
    competence: Floats
    log_likelihood: float


class GladFit(NamedTuple):
    """Posterior (N, V), ability (R,), ease (N,)."""

    posterior: Floats
    ability: Floats
    ease: Floats


def mace(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    n_restarts: int = 10,
    iterations: int = 50,
    repeats: Repeats = "error",
    seed: int = 0,
) -> Mace:
    r"""The share of items on which each rater knows the value; elsewhere the rater guesses, each in an own way.

    Rater r gives the true value with chance $\theta_r$ and else draws from $\xi_r$ (V,); all true values are equally
    likely beforehand. Variational EM with the priors of the paper. crowd-kit 1.4.2 begins all its restarts at one and
    the same point, so each restart here is a run of its own with its own seed, and the likeliest counts.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        n_restarts: Runs from different starts.
        iterations: Iterations of each run.
        repeats: ``error`` refuses a rater who stands twice on an item; ``keep`` takes each time as data.
        seed: Seed of the first start; the others follow it.

    Returns:
        Posterior, competences and the log-likelihood; see :class:`Mace`.

    Raises:
        ImportError: crowd-kit is not installed.
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`, or an item has so many ratings that
            crowd-kit's products of probabilities vanish.

    Reference:
        Hovy, Berg-Kirkpatrick, Vaswani and Hovy (2013), NAACL-HLT, 1120-1130.
    """
    if n_restarts < 1 or iterations < 1:
        raise ValueError(f"mace: n_restarts and iterations must be at least 1, found {n_restarts} and {iterations}")
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    fit = fit_mace(responses, n_restarts=n_restarts, iterations=iterations, seed=seed)
    return Mace(
        responses.values,
        pl.DataFrame({item: responses.items, "label_probs": rows_as_lists(fit.posterior)}),
        pl.DataFrame({"rater": responses.raters, "competence": fit.competence, "guesses": rows_as_lists(fit.guesses)}),
        fit.log_likelihood,
    )


def glad(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    tolerance: float = 1e-5,
    max_iterations: int = 100,
    repeats: Repeats = "error",
) -> Glad:
    r"""Ability of each rater and ease of each item: the chance of the true value is $1 / (1 + e^{-\alpha_r \beta_i})$.

    The other values share what is left, all values are equally likely beforehand, and $\alpha_r$ and $\log \beta_i$
    have normal priors around 1. Nothing is drawn at random.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        tolerance: Gain per rating and value below which EM stops.
        max_iterations: Iterations at most.
        repeats: ``error`` refuses a rater who stands twice on an item; ``keep`` takes each time as data.

    Returns:
        Posterior, abilities and ease; see :class:`Glad`.

    Undefined:
        With one value in use abilities and ease are ``nan``.

    Raises:
        ImportError: crowd-kit is not installed.
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`.

    Reference:
        Whitehill, Wu, Bergsma, Movellan and Ruvolo (2009), NIPS 22.
    """
    if not tolerance >= 0 or max_iterations < 1:
        raise ValueError(
            f"glad: tolerance must be 0 or more and max_iterations at least 1, found {tolerance} and {max_iterations}"
        )
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    fit = fit_glad(responses, tolerance=tolerance, max_iterations=max_iterations)
    return Glad(
        responses.values,
        pl.DataFrame({item: responses.items, "label_probs": rows_as_lists(fit.posterior)}),
        pl.DataFrame({"rater": responses.raters, "ability": fit.ability}),
        pl.DataFrame({item: responses.items, "ease": fit.ease}),
    )


def fit_mace(responses: Responses, *, n_restarts: int = 10, iterations: int = 50, seed: int = 0) -> MaceFit:
    """As :func:`mace`, of responses that are read already, in arrays."""
    package = _package()
    rows = _Rows.of(responses)
    best: MaceFit | None = None
    for start in range(n_restarts):
        model = package.MACE(n_restarts=1, n_iter=iterations, random_state=seed + start)
        try:
            with _quiet():
                model.fit(rows.frame())
        except ValueError as error:  # the largest of nothing but NaN
            raise _vanished(responses) from error
        knows, guesses = model.spamming_[rows.rater_place], model.thetas_[rows.rater_place][:, rows.value_place]
        if not (np.isfinite(knows).all() and np.isfinite(guesses).all()):
            raise _vanished(responses)
        found = _mace_posterior(responses, knows, guesses)
        if best is None or found.log_likelihood > best.log_likelihood:
            best = found
    assert best is not None
    return best


def _vanished(responses: Responses) -> TableError:
    return TableError(
        f"mace: an item has up to {int(responses.n_per_item.max())} ratings, and crowd-kit's products of so many "
        f"probabilities vanish; take dawid_skene or one_coin, which add logarithms."
    )


def _mace_posterior(responses: Responses, knows: Floats, guesses: Floats) -> MaceFit:
    """The posterior at crowd-kit's parameters, in logarithms; knows (R, 2) holds guessing and knowing."""
    n_items, n_values = len(responses.items), len(responses.values)
    guessed = knows[responses.rater, 0] * guesses[responses.rater, responses.value]
    wrong = responses.times * np.log(guessed)
    right = responses.times * np.log(guessed + knows[responses.rater, 1])
    cell = responses.item * n_values + responses.value
    joint = np.bincount(cell, weights=right - wrong, minlength=n_items * n_values).astype(np.float64)
    joint = joint.reshape(n_items, n_values)
    joint += np.bincount(responses.item, weights=wrong, minlength=n_items)[:, None] - np.log(n_values)
    posterior, log_likelihood = normalised(joint)
    shares = guesses / guesses.sum(axis=1, keepdims=True)
    return MaceFit(posterior, shares, knows[:, 1] / knows.sum(axis=1), log_likelihood)


def fit_glad(responses: Responses, *, tolerance: float = 1e-5, max_iterations: int = 100) -> GladFit:
    """As :func:`glad`, of responses that are read already, in arrays."""
    package = _package()
    n_items, n_raters = len(responses.items), len(responses.raters)
    if len(responses.values) == 1:
        return GladFit(np.ones((n_items, 1)), np.full(n_raters, np.nan), np.full(n_items, np.nan))
    rows = _Rows.of(responses)
    model = package.GLAD(n_iter=max_iterations, tol=tolerance, silent=True)
    with _quiet():
        chances = model.fit_predict_proba(rows.frame())
        posterior = chances.reindex(index=range(n_items), columns=rows.value_place).to_numpy(dtype=np.float64)
        ability = model.alphas_.reindex(rows.rater_place).to_numpy(dtype=np.float64)
        ease = np.exp(model.betas_.reindex(range(n_items)).to_numpy(dtype=np.float64))
    return GladFit(posterior, ability, ease)


class _Rows(NamedTuple):
    """The ratings as crowd-kit takes them: numbers that grow in the order in which they first occur.

    crowd-kit's MACE sets tables sorted by name beside tables in order of appearance, and mixes up raters and values
    where the two orders differ; numbers given in order of appearance leave it no choice. ``rater_place`` (R,) and
    ``value_place`` (V,) are the numbers of our sorted raters and values.
    """

    responses: Responses
    rater_place: Ints
    value_place: Ints

    @classmethod
    def of(cls, responses: Responses) -> _Rows:
        return cls(responses, _place(responses.rater), _place(responses.value))

    def frame(self) -> Any:
        """A pandas frame with task, worker and label."""
        times = self.responses.times.astype(np.int64)
        columns = {
            "task": self.responses.item,
            "worker": self.rater_place[self.responses.rater],
            "label": self.value_place[self.responses.value],
        }
        return pl.DataFrame({name: np.repeat(column, times) for name, column in columns.items()}).to_pandas()


def _place(codes: Ints) -> Ints:
    """The rank of each code 0, 1, ... by where it first occurs."""
    first = np.unique(codes, return_index=True)[1]
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place


def _package() -> Any:
    try:
        from crowdkit import aggregation
    except ImportError as error:
        raise ImportError(f"MACE and GLAD need the package crowd-kit; install it with: {INSTALL}") from error
    return aggregation


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what crowd-kit draws from pandas: notes to its authors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"crowdkit\.")
        yield
