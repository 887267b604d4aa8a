r"""How well scores put the words that people marked first: AUPRC, average precision, ROC area, mean over items.

Cost: sorting the words of each item.
"""

from __future__ import annotations

import numpy as np

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.count_scores import estimate_words, joined
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.score_curves import CurveAreas, curve_areas
from dfar_toolkit.metrics.reasons.present_means import mean_present

WITHOUT_SCORES = "without scores of words"
_ONE_CLASS = "without scores, or with all words marked or none,"


def auprc(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    positive_only: bool = False,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Area under the precision-recall curve of the scores by trapezoids, as ERASER and ferret report it.

    Mean over items of $\sum_j (r_j - r_{j-1}) (p_j + p_{j-1}) / 2$ over the distinct scores of the item, falling, with
    $p_0 = 1$, $r_0 = 0$. An item without a marked word has .5 and stays in. Constant scores have (share of words
    marked + 1) / 2, so the trapezoid flatters an explanation that says nothing:
    :func:`average_precision` does not. Higher is better.

    Args:
        marked: Words that people marked and methods scored.
        method: The method; None where there is only one.
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of the people asked.
        positive_only: Whether scores below 0 count as 0 (ferret).
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with scores.

    Undefined:
        No item has scores.

    Raises:
        ValueError: An unknown method or rule.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[0, 1, 1, 0, 0]]], scores=[[0.1, 0.9, 0.4, 0.5, 0.0]])
        >>> round(auprc(marked, ci=None).value, 6), round(average_precision(marked, ci=None).value, 6)
        (0.791667, 0.833333)

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1.
    """
    words = against_people(marked, method=method, gold=gold)
    row = auprc_rows(words, positive_only=positive_only)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def average_precision(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean over items of the average precision of the scores, $\sum_j (r_j - r_{j-1}) p_j$.

    Constant scores have the share of words marked. Items of which all words are marked, or none, are left out and
    counted. Higher is better.

    Args:
        marked: Words that people marked and methods scored.
        method: The method; None where there is only one.
        gold: As for :func:`auprc`.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with scores and both kinds of words.

    Undefined:
        No such item.

    Raises:
        ValueError: An unknown method or rule.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> average_precision(marked_words([[[1, 0, 1]]], scores=[[0.3, 0.3, 0.9]]), ci=None).value.__round__(6)
        0.833333

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1.
    """
    words = against_people(marked, method=method, gold=gold)
    row = average_precision_rows(words)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def roc_auc(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean over items of the ROC area: how often a marked word scores above an unmarked one, equal scores half.

    0.5 is chance, whatever the number of words. Items of which all words are marked, or none, are left out and
    counted. Higher is better.

    Args:
        marked: Words that people marked and methods scored.
        method: The method; None where there is only one.
        gold: As for :func:`auprc`.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with scores and both kinds of words.

    Undefined:
        No such item.

    Raises:
        ValueError: An unknown method or rule.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> roc_auc(marked_words([[[1, 0, 1]]], scores=[[0.3, 0.3, 0.9]]), ci=None).value
        0.75

    Reference:
        Hanley and McNeil (1982), Radiology 143(1):29-36.
    """
    words = against_people(marked, method=method, gold=gold)
    return estimate_words(roc_auc_rows(words), words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def auprc_rows(words: GoldWords, *, positive_only: bool = False, areas: CurveAreas | None = None) -> Additive:
    """The rows and formula of :func:`auprc`.

    Args:
        words: A method's scores beside people's marks.
        positive_only: As there.
        areas: The areas, where they are at hand.

    Returns:
        The additive statistic.
    """
    values = _scored(words, (areas or areas_of(words, positive_only=positive_only)).auprc)
    bare = len(np.unique(words.item[words.has_scores & (words.per_row(words.gold) == 0) & (words.sizes > 0)]))
    said = joined(words.note, f"{bare} with nothing marked count as 0.5" if bare else "")
    return mean_present("auprc", "AUPRC", words.per_item(values), without=WITHOUT_SCORES, note=said)


def average_precision_rows(words: GoldWords, *, areas: CurveAreas | None = None) -> Additive:
    """The rows and formula of :func:`average_precision`; with areas at hand, of these."""
    values = _scored(words, (areas or areas_of(words)).average_precision)
    name = "average precision"
    return mean_present("average_precision", name, words.per_item(values), without=_ONE_CLASS, note=words.note)


def roc_auc_rows(words: GoldWords, *, areas: CurveAreas | None = None) -> Additive:
    """The rows and formula of :func:`roc_auc`; with areas at hand, of these."""
    values = _scored(words, (areas or areas_of(words)).roc_auc)
    return mean_present("roc_auc", "ROC AUC", words.per_item(values), without=_ONE_CLASS, note=words.note)


def areas_of(words: GoldWords, *, positive_only: bool = False) -> CurveAreas:
    """The areas of each rationale; below 0 counts as 0 where ``positive_only``."""
    scores = np.maximum(words.scores, 0.0) if positive_only else words.scores
    return curve_areas(words.gold, scores, words.sizes)


def _scored(words: GoldWords, values: Floats) -> Floats:
    return np.where(words.has_scores, values, np.nan)
