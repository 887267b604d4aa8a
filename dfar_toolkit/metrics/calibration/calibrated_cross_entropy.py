"""Soft cross-entropy after temperature scaling: what is left when being too sure or too unsure is forgiven."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, estimate_together, mean_of
from dfar_toolkit.metrics.calibration.temperature import fit_temperature, log_probabilities
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions

_IN_SAMPLE: Final = "the temperature was fitted on the scored items themselves: too good, for comparison only"


def calibrated_cross_entropy(
    score_pairs: PairedDistributions,
    dev_pairs: PairedDistributions,
    *,
    ids: npt.ArrayLike | pl.Series | None = None,
    dev_ids: npt.ArrayLike | pl.Series | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Soft cross-entropy with the temperature that fits another split, in nats.

    $\hat T$ of :func:`fit_temperature` on ``dev_pairs``; $-\frac{1}{N} \sum_i \sum_k p_{ik} \log
    softmax(\log q_i / \hat T)_k$ over ``score_pairs``.

    Args:
        score_pairs: Gold and predictions that are scored.
        dev_pairs: Gold and predictions of another split, for the temperature.
        ids: Item ids of ``score_pairs`` (N,).
        dev_ids: Item ids of ``dev_pairs``; where both are given, an item in both is refused.
        ci: ``bootstrap`` over groups with the temperature held fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; the note says the temperature, and how many groups stand in both splits.

    Undefined:
        No items to score; no temperature.

    Raises:
        TableError: A predicted probability is 0, or an item is in both splits.
        ValueError: The same object is given twice, or a number of ids differs.

    Example:
        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> dev = pair_distributions("f", None, gold=[[0.9, 0.1]], pred=[[0.99, 0.01]])
        >>> test = pair_distributions("f", None, gold=[[1, 0]], pred=[[0.99, 0.01]])
        >>> round(calibrated_cross_entropy(test, dev).value, 6)
        0.105361

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI (calibrated cross-entropy, there fitted in-sample).
    """
    name = "calibrated_cross_entropy"
    if score_pairs is dev_pairs:
        raise ValueError(
            f"{name}: the temperature must come from another split; the same items are given twice "
            "(calibrated_cross_entropy_in_sample does that by name)"
        )
    _check_ids(name, score_pairs, dev_pairs, ids, dev_ids)
    fitted = fit_temperature(dev_pairs, confidence=confidence)
    note = f"temperature {fitted.value:.4g} from {fitted.n} other items, held fixed"
    at_bound = fitted.note if fitted.method == "none" else ""
    said = "; ".join(x for x in (note, at_bound, _straddling(score_pairs, dev_pairs)) if x)
    row = calibrated_cross_entropy_rows(score_pairs, fitted.value)
    row = row._replace(note="; ".join(x for x in (row.note, said) if x))
    return estimate_together([row], groups=score_pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[
        0
    ]


def calibrated_cross_entropy_in_sample(
    pairs: PairedDistributions,
    *,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Soft cross-entropy at the temperature that fits the scored items best: the published Scruples number.

    It forgives what a temperature learned elsewhere could not, so it is too good; use it to compare with published
    values only. The interval refits nothing: at its minimum the score does not change with T to first order.

    Args:
        pairs: Gold and predictions.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; the note says the temperature and where it was fitted.

    Undefined:
        No items; no temperature.

    Raises:
        TableError: A predicted probability is 0.

    Example:
        The entropy of people's shares, which a perfect model reaches.

        >>> from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
        >>> pairs = pair_distributions("f", None, gold=[[0.9, 0.1]], pred=[[0.99, 0.01]])
        >>> round(calibrated_cross_entropy_in_sample(pairs).value, 6)
        0.325083

    Reference:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI (calibrated cross-entropy).
    """
    fitted = fit_temperature(pairs, confidence=confidence)
    row = calibrated_cross_entropy_rows(pairs, fitted.value)
    note = "; ".join(x for x in (row.note, f"temperature {fitted.value:.4g}", _IN_SAMPLE) if x)
    row = row._replace(note=note, metric="calibrated_cross_entropy_in_sample")
    found = estimate_together([row], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
    return replace(found, name="calibrated cross-entropy (in-sample)")


def calibrated_cross_entropy_rows(pairs: PairedDistributions, temperature: float) -> Additive:
    """Soft cross-entropy at a given temperature as an additive statistic; no value where the temperature is ``nan``.

    Raises:
        TableError: A predicted probability is 0.
    """
    names = ("calibrated_cross_entropy", "calibrated cross-entropy")
    if not len(pairs.gold):
        return mean_of(*names, [], note=pairs.note)
    if np.isnan(temperature):
        zeros = np.zeros((len(pairs.gold), 1))
        return Additive(*names, zeros, lambda s: np.full(len(s), np.nan), "there is no temperature", pairs.note)
    scores = log_probabilities("calibrated_cross_entropy", pairs) / temperature
    highest = scores.max(axis=1)
    total = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
    return mean_of(*names, total - (pairs.gold * scores).sum(axis=1), note=pairs.note)


def _check_ids(
    name: str,
    score_pairs: PairedDistributions,
    dev_pairs: PairedDistributions,
    ids: npt.ArrayLike | pl.Series | None,
    dev_ids: npt.ArrayLike | pl.Series | None,
) -> None:
    if ids is None or dev_ids is None:
        if (ids is None) != (dev_ids is None):
            raise ValueError(f"{name}: give ids and dev_ids, or neither; the one alone tells nothing")
        return
    both = []
    for role, pairs, given in (("ids", score_pairs, ids), ("dev_ids", dev_pairs, dev_ids)):
        series = given if isinstance(given, pl.Series) else pl.Series(np.asarray(given))
        if len(series) not in (len(pairs.gold), pairs.n_items):
            raise ValueError(f"{name}: {role} has {len(series)} values for {len(pairs.gold)} items; give one per item")
        both.append(set(series.cast(pl.String)))
    shared = sorted(both[0] & both[1])
    if shared:
        raise TableError(
            f"{name}: the temperature must be fitted on other items than those scored; {len(shared)} are in both "
            f"splits, e.g. {shared[0]!r}. Leave them out of the development split."
        )


def _straddling(score_pairs: PairedDistributions, dev_pairs: PairedDistributions) -> str:
    """Groups that stand in both splits: their items are not independent of the temperature."""
    if score_pairs.groups is None or dev_pairs.groups is None:
        return ""
    shared = score_pairs.groups.cast(pl.String).unique().is_in(dev_pairs.groups.cast(pl.String).unique().implode())
    return f"{int(shared.sum())} of {len(shared)} groups are in both splits" if shared.any() else ""
