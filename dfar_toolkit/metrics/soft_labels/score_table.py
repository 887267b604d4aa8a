"""All soft-label scores that apply to a file, and the table that puts each beside what it has to be read against.

Cost: a few passes over the items for the run, and over the distinct rows of votes for the predictors beside it (over
the items where they come in groups or votes are unknown), then one set of draws for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, estimate_together, estimates_frame
from dfar_toolkit.metrics.ceiling.vote_counts import distinct_rows
from dfar_toolkit.metrics.soft_labels.brier import brier_score_rows, brier_score_unbiased_rows
from dfar_toolkit.metrics.soft_labels.cross_entropy import kl_divergence_rows, soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import dirichlet_multinomial_rows
from dfar_toolkit.metrics.soft_labels.divergences import hellinger_distance_rows, jensen_shannon_rows
from dfar_toolkit.metrics.soft_labels.entropy import entropy_rows
from dfar_toolkit.metrics.soft_labels.mass import option_mass_below_half_rows, option_mass_rows
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.soft_labels.perfect_model import KeptMeans, perfect_model_scores
from dfar_toolkit.metrics.soft_labels.references import mean_shares, reference_predictors
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement_rows
from dfar_toolkit.metrics.soft_labels.total_variation import distance_rows
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance_rows

_WORTH_WHILE: Final = 5_000  # items from which distinct rows of votes are looked for
PREDICTORS: Final = ("run", "uniform", "corpus_mean", "hard_majority", "perfect_model")


def soft_label_scores(
    pairs: PairedDistributions,
    *,
    ordered: bool = False,
    concentration: float | None = None,
    floor: float | None = None,
) -> list[Additive]:
    """Every soft-label score that applies to these inputs, headlines first, as additive statistics.

    Soft cross-entropy and the unbiased Brier score are the headlines. The Dirichlet-multinomial losses come with a
    concentration and votes, the Wasserstein distance with ordered options. The unbiased Brier score stays in the list
    without votes, undefined, so that a table says why it is missing.

    Args:
        pairs: Human and predicted distributions.
        ordered: Whether the options are ordered.
        concentration: s of the Dirichlet-multinomial, or None for none.
        floor: Least probability in cross-entropy and KL; None clips nothing.

    Returns:
        The scores.

    Raises:
        ValueError: A concentration without votes, or one not above 0; an impossible floor.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("x", None, gold=None, counts=[[2, 1]], pred=[[0.5, 0.5]])
        >>> [s.metric for s in soft_label_scores(pairs)][:3]
        ['soft_cross_entropy', 'brier_score_unbiased', 'brier_score']
    """
    found = _of_shares(pairs, ordered, floor)
    if concentration is not None:
        found += dirichlet_multinomial_rows(pairs, concentration=concentration)
    return [*found, option_mass_rows(pairs), option_mass_below_half_rows(pairs)]


def soft_label_table(
    pairs: PairedDistributions,
    *,
    ordered: bool = False,
    concentration: float | None = None,
    floor: float | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    kept: KeptMeans | None = None,
) -> pl.DataFrame:
    """Every soft-label score of a run beside those of uniform, corpus-mean, hard-majority and perfect predictions.

    A distance to few votes says little by itself: a perfect model is not at 0, nor at the best value of a score that is
    not proper. The Dirichlet-multinomial losses have no perfect row (the concentration is not its own), the option mass
    has the run's alone.

    Args:
        pairs: Human and predicted distributions.
        ordered: Whether the options are ordered.
        concentration: s of the Dirichlet-multinomial, or None for none.
        floor: Least probability in cross-entropy and KL, of all predictors; None clips nothing.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws, the same for all rows.
        seed: Seed of the draws.
        kept: Begins as an empty dict, and is then given with every run on the same items (and the same ``ordered``):
            what a perfect model gets on the same votes is drawn once.

    Returns:
        ``metric``, ``predictor`` (run, uniform, corpus_mean, hard_majority, perfect_model) and the fields of an
        estimate, one row each, the predictors of a metric one below the other.

    Undefined:
        As each score; hard-majority predictions have no finite cross-entropy where anybody disagrees.

    Raises:
        ValueError: As :func:`soft_label_scores`.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("x", None, gold=None, counts=[[2, 1], [3, 0]], pred=[[0.5, 0.5], [0.9, 0.1]])
        >>> table = soft_label_table(pairs, ci=None)
        >>> table.filter(metric="total_variation", predictor="corpus_mean")["value"].round(6).to_list()
        [0.166667]
    """
    estimated = partial(estimate_together, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    run = soft_label_scores(pairs, ordered=ordered, concentration=concentration, floor=floor)

    def compute(of: PairedDistributions) -> list[Additive]:
        return soft_label_scores(of, ordered=ordered, concentration=concentration, floor=floor)

    votes = _distinct_votes(pairs)
    beside = {name: compute(of) for name, of in reference_predictors(votes, mean=mean_shares(pairs)).items()}
    beside["perfect_model"] = perfect_model_scores(
        votes, lambda of: _of_shares(of, ordered, floor), drawn=lambda of: _without_closed_form(of, ordered),
        kept=kept, seed=seed,
    )  # fmt: skip
    keyed = _keyed({"run": run, **beside})
    if votes.times is None:
        found = estimated([score for _, score in keyed], groups=pairs.groups)
    else:
        own = iter(estimated(run))
        others = iter(estimated([s for predictor, s in keyed if predictor != "run"], times=votes.times))
        found = [next(own if predictor == "run" else others) for predictor, _ in keyed]
    named = [{"metric": score.metric, "predictor": predictor} for predictor, score in keyed]
    return estimates_frame(found, beside=named)


def _distinct_votes(pairs: PairedDistributions) -> PairedDistributions:
    """The first item of each distinct row of votes, for as many as share it; the pairs where that saves little.

    What stands beside a run depends on the votes alone, and a million items with five votes have a few hundred
    distinct rows of them.
    """
    if pairs.counts is None or pairs.groups is not None or len(pairs.counts) < _WORTH_WHILE:
        return pairs
    patterns, of_item = distinct_rows(pairs.counts)
    if 4 * len(patterns) > len(pairs.counts):
        return pairs
    first = np.full(len(patterns), -1, dtype=np.int64)
    first[of_item[::-1]] = np.arange(len(of_item))[::-1]
    return pairs._replace(
        gold=np.asfortranarray(pairs.gold[first]),
        pred=np.asfortranarray(pairs.pred[first]),
        mass=pairs.mass[first],
        counts=np.asfortranarray(pairs.counts[first]),
        times=np.bincount(of_item, minlength=len(patterns)).astype(np.float64),
    )


def _of_shares(pairs: PairedDistributions, ordered: bool, floor: float | None) -> list[Additive]:
    """The scores that compare distributions."""
    return [
        soft_cross_entropy_rows(pairs, floor=floor),
        brier_score_unbiased_rows(pairs),
        brier_score_rows(pairs),
        kl_divergence_rows(pairs, floor=floor),
        *distance_rows(pairs),
        *_without_closed_form(pairs, ordered),
        top_label_agreement_rows(pairs),
    ]


def _without_closed_form(pairs: PairedDistributions, ordered: bool) -> list[Additive]:
    """Those of them of which no closed form says what a perfect model gets."""
    return [
        *jensen_shannon_rows(pairs),
        hellinger_distance_rows(pairs),
        *([wasserstein_distance_rows(pairs)] if ordered else []),
        *entropy_rows(pairs),
    ]


def _keyed(scores: dict[str, Sequence[Additive]]) -> list[tuple[str, Additive]]:
    """Predictor and score, metric by metric in the order of the run's; the mass is the run's alone."""
    by_metric = {name: {s.metric: s for s in found} for name, found in scores.items()}
    return [
        (predictor, by_metric[predictor][score.metric])
        for score in scores["run"]
        for predictor in PREDICTORS
        if score.metric in by_metric[predictor] and (predictor == "run" or not score.metric.startswith("option_mass"))
    ]
