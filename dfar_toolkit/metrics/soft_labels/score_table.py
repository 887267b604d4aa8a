"""All soft-label scores that apply to a file, and the table that puts each beside what it has to be read against.

Cost: a few passes over the items for each of five predictors, then one set of draws for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

from dfar_toolkit.estimate import Additive, estimate_together, estimates_frame
from dfar_toolkit.estimate.additive import EXACT_UNITS
from dfar_toolkit.metrics.soft_labels.brier import brier_score_rows, brier_score_unbiased_rows
from dfar_toolkit.metrics.soft_labels.cross_entropy import kl_divergence_rows, soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import dirichlet_multinomial_rows
from dfar_toolkit.metrics.soft_labels.divergences import hellinger_distance_rows, jensen_shannon_rows
from dfar_toolkit.metrics.soft_labels.entropy import entropy_correlation_rows, entropy_error_rows
from dfar_toolkit.metrics.soft_labels.mass import option_mass_below_half_rows, option_mass_rows
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.soft_labels.perfect_model import perfect_model_scores
from dfar_toolkit.metrics.soft_labels.references import reference_predictors
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement_rows
from dfar_toolkit.metrics.soft_labels.total_variation import manhattan_distance_rows, total_variation_rows
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance_rows

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
    run = soft_label_scores(pairs, ordered=ordered, concentration=concentration, floor=floor)
    beside = {
        name: soft_label_scores(of, ordered=ordered, concentration=concentration, floor=floor)
        for name, of in reference_predictors(pairs).items()
    }
    beside["perfect_model"] = perfect_model_scores(pairs, lambda of: _of_shares(of, ordered, floor), seed=seed)
    keyed = _keyed({"run": run, **beside})
    # Beyond as many items resamples come from the normal limit, and the rows of one predictor fill the memory.
    step = len(keyed) if len(pairs.gold) <= EXACT_UNITS else len(run)
    estimates = []
    for start in range(0, len(keyed), step):
        some = [score for _, score in keyed[start : start + step]]
        estimates += estimate_together(
            some, groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
        )
    named = [{"metric": score.metric, "predictor": predictor} for predictor, score in keyed]
    return estimates_frame(estimates, beside=named)


def _of_shares(pairs: PairedDistributions, ordered: bool, floor: float | None) -> list[Additive]:
    """The scores that compare distributions."""
    return [
        soft_cross_entropy_rows(pairs, floor=floor),
        brier_score_unbiased_rows(pairs),
        brier_score_rows(pairs),
        kl_divergence_rows(pairs, floor=floor),
        total_variation_rows(pairs),
        manhattan_distance_rows(pairs),
        *jensen_shannon_rows(pairs),
        hellinger_distance_rows(pairs),
        *([wasserstein_distance_rows(pairs)] if ordered else []),
        entropy_correlation_rows(pairs),
        entropy_error_rows(pairs),
        top_label_agreement_rows(pairs),
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
