"""Scores of words against people's marks: areas and correlations against scikit-learn and scipy, ties and edges."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from dfar_toolkit.metrics.rationale import auprc, average_precision, marked_words, mask_correlation, roc_auc
from dfar_toolkit.metrics.rationale.mask_correlation import kendall_by_row, spearman_by_row
from dfar_toolkit.metrics.rationale.score_curves import curve_areas

TEXTS = st.lists(
    st.lists(st.tuples(st.booleans(), st.sampled_from([-2.0, 0.0, 0.5, 0.5000001, 3.0])), min_size=1, max_size=9),
    min_size=1,
    max_size=6,
)


def oracle(mask: list[bool], scores: list[float]) -> tuple[float, float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no positive class
        precision, recall, _ = precision_recall_curve(mask, scores)
        area = float(auc(recall, precision))
        if len(set(mask)) < 2:
            return area, float("nan"), float("nan")
        return area, float(average_precision_score(mask, scores)), float(roc_auc_score(mask, scores))


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_areas_as_scikit_learn_has_them(texts: list[list[tuple[bool, float]]]) -> None:
    sizes = np.array([len(text) for text in texts])
    positive = np.array([mark for text in texts for mark, _ in text])
    scores = np.array([score for text in texts for _, score in text])
    found = np.column_stack(curve_areas(positive, scores, sizes))
    wanted = np.array([oracle([m for m, _ in text], [s for _, s in text]) for text in texts])
    np.testing.assert_allclose(found, wanted, atol=1e-12, equal_nan=True)


@given(TEXTS, st.lists(st.integers(0, 3), min_size=54, max_size=54))
@settings(max_examples=30, deadline=None)
def test_correlations_as_scipy_has_them(texts: list[list[tuple[bool, float]]], shares: list[int]) -> None:
    sizes = np.array([len(text) for text in texts])
    x = np.array([score for text in texts for _, score in text])
    y = np.array(shares[: len(x)]) / 3
    ends = np.cumsum(sizes)[:-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input
        pairs = list(zip(np.split(x, ends), np.split(y, ends), strict=True))
        ranks = [spearmanr(a, b).statistic if len(a) > 1 else np.nan for a, b in pairs]
        taus = [kendalltau(a, b).statistic if len(a) > 1 else np.nan for a, b in pairs]
    np.testing.assert_allclose(spearman_by_row(x, y, sizes), ranks, atol=1e-12, equal_nan=True)
    np.testing.assert_allclose(kendall_by_row(x, y, sizes), taus, atol=1e-12, equal_nan=True)


def test_long_texts_with_many_levels() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=400).round(1), rng.integers(0, 30, size=400).astype(np.float64)
    sizes = np.array([150, 0, 250])
    found = kendall_by_row(x, y, sizes)
    assert np.isnan(found[1])
    wanted = [kendalltau(x[:150], y[:150]).statistic, kendalltau(x[150:], y[150:]).statistic]
    assert found[[0, 2]] == pytest.approx(wanted, abs=1e-12)


def test_constant_scores_say_nothing() -> None:
    marked = marked_words([[[0, 1, 1, 0, 0]]], scores=[[0.3] * 5])
    assert auprc(marked, ci=None).value == pytest.approx(0.7)  # (2/5 + 1) / 2: flattered
    assert average_precision(marked, ci=None).value == pytest.approx(0.4)
    assert roc_auc(marked, ci=None).value == pytest.approx(0.5)
    found = mask_correlation(marked, ci=None)
    assert np.isnan(found.value)
    assert "all scores or all marks equal" in found.note


def test_items_of_one_class_are_counted() -> None:
    marked = marked_words([[[0, 1]], [[0, 0]], [[1, 1]], [[1]]], scores=[[1, 2], [1, 2], [1, 2], None])
    for metric in (average_precision, roc_auc):
        found = metric(marked, ci=None)
        assert (found.value, found.n) == (1.0, 1)
        assert "3 of 4 without scores, or with all words marked or none, left out" in found.note
    found = auprc(marked, ci=None)
    assert (found.value, found.n) == (pytest.approx((1 + 0.5 + 1) / 3), 3)
    assert "1 with nothing marked count as 0.5" in found.note


def test_correlation_uses_all_that_people_said() -> None:
    # Shares 1, 2/3, 1/3 fall as the scores do, though the majority is 110.
    people = [[[1, 1, 0], [1, 1, 0], [1, 0, 1]]]
    assert mask_correlation(marked_words(people, scores=[[3, 2, 1]]), ci=None).value == pytest.approx(1.0)
    # With scores 3, 1, 2: concordant 2, discordant 1 of 3.
    tau = mask_correlation(marked_words(people, scores=[[3, 1, 2]]), coefficient="kendall", ci=None)
    assert tau.value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="coefficient"):
        mask_correlation(marked_words(people, scores=[[3, 1, 2]]), coefficient="pearson")  # type: ignore[arg-type]


def test_a_monotone_change_of_scores_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    people = [[rng.integers(0, 2, 8).tolist() for _ in range(3)] for _ in range(10)]
    scores = rng.normal(size=(10, 8))
    one, two = marked_words(people, scores=list(scores)), marked_words(people, scores=list(np.exp(scores)))
    for metric in (auprc, average_precision, roc_auc, mask_correlation):
        assert metric(one, n_boot=50) == metric(two, n_boot=50)
