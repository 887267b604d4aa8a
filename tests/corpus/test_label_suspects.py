import builtins
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.corpus.label_suspects import suspect_finding, suspect_labels, suspects_by_band
from dfar_toolkit.errors import TableError
from dfar_toolkit.finetune.classical import cross_validated_probs, dealt_folds


def test_the_rule_by_hand() -> None:
    probs = [[0.8, 0.2, 0.0], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [np.nan] * 3]
    # thresholds: a (.8 + .6) / 2 = .7, b (.8 + .2 + .4) / 3 = .4667, c: nobody has it
    found = suspect_labels(probs, ["a", "a", "b", "b", "b", "a"], ["a", "b", "c"], list("pqrstu"))
    assert found.select("item_id", "label", "other").rows() == [("s", "b", "a")]
    assert found["threshold"].item() == pytest.approx(0.7)
    assert found["margin"].item() == pytest.approx(0.5)
    finding = suspect_finding(found, 5)
    assert (finding.finding, finding.severity, finding.count, finding.total) == ("label.suspect", "info", 1, 5)
    assert finding.note.startswith("disagreement with consensus")
    with pytest.raises(ValueError, match="the label 'z'"):
        suspect_labels([[1.0]], ["z"], ["a"], ["p"])
    assert suspect_labels(np.empty((0, 2)), [], ["a", "b"], []).is_empty()


def test_whose_ratings_lie_on_them() -> None:
    suspects = pl.DataFrame({"item_id": ["p"], "label": ["a"], "other": ["b"]})
    ratings = pl.DataFrame(
        {"item_id": ["p", "p", "q", "q"], "annotator_id": ["x", "y", "x", "y"], "value": ["a", "b", "a", "b"]}
    )
    raters = pl.DataFrame({"annotator_id": ["x", "y"], "age": ["20", None]})
    found = suspects_by_band(suspects, ratings, raters, bands=["age"])
    assert found.select("people", "n_ratings", "n_on_suspects", "n_for_label", "n_for_other", "value").rows() == [
        ("20", 2, 1, 1, 0, 0.5),
        ("unknown", 2, 1, 0, 1, 0.5),
    ]
    assert suspects_by_band(suspects, ratings, raters, bands=[]).is_empty()


def test_probabilities_are_out_of_fold_and_repeatable() -> None:
    texts = ["kind word", "cruel word"] * 15
    codes, groups = [0, 1] * 15, [k // 2 for k in range(30)]
    probs = cross_validated_probs(texts, codes, groups, seed=4)
    assert np.array_equal(probs, cross_validated_probs(texts, codes, groups, seed=4))
    assert probs.sum(axis=1) == pytest.approx(1)
    assert (probs.argmax(axis=1) == codes).all()
    fold = dealt_folds(groups, seed=4)
    assert all(len(set(fold[np.array(groups) == g])) == 1 for g in set(groups))
    # Labels of one fold can be turned round without changing what is said about it: nobody looked at them.
    turned = np.where(fold == 0, 1 - np.array(codes), codes)
    other = cross_validated_probs(texts, turned, groups, seed=4)
    assert np.array_equal(probs[fold == 0], other[fold == 0])


def test_what_cannot_be_trained_is_nan_or_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.isnan(cross_validated_probs(["?", "!"] * 3, [0, 1] * 3, range(6), folds=2)).all()
    lone = cross_validated_probs(["one", "two", "three", "four"], [0, 0, 0, 1], range(4), folds=2)
    assert np.isnan(lone).any(axis=1).sum() == 2  # the fold whose rest has one label alone
    with pytest.raises(TableError, match="5 folds and 2 groups"):
        cross_validated_probs(["a", "b"], [0, 1], [1, 2])
    with pytest.raises(ValueError, match="2 texts, 1 labels"):
        cross_validated_probs(["a", "b"], [0], [1, 2])
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "sklearn":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TableError, match=r"dfar-toolkit\[models\]"):
        cross_validated_probs(["a", "b"], [0, 1], [1, 2], folds=2)
