"""Grounding of reasons in the statement: the published cases, conventions for empty texts, frames."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.estimate import estimate_together
from dfar_toolkit.metrics.reasons.grounding import (
    grounding_scores,
    grounding_words,
    knowledge_overlap,
    knowledge_overlap_rows,
)
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons

# instruct-qa at 3eb6c9915a, faithfulness_metrics.py: answer, evidence, query; KPrecision, KRecall, KF1, the "++" of
# KPrecision and KF1.
CASES = [
    (
        "The book was written by Jane Austen.",
        "Pride and Prejudice is a novel written by Jane Austen in 1813.",
        "who wrote the book?",
        (0.6666666666666666, 0.36363636363636365, 0.4705882352941177, 0.8, 0.5000000000000001),
    ),
    ("entirely different", "some evidence here", "q", (0.0, 0.0, 0.0, 0.0, 0.0)),
    ("", "some evidence", "q", (0.0, 0.0, 0.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("answer", "evidence", "query", "expected"), CASES)
def test_published_cases(answer: str, evidence: str, query: str, expected: tuple[float, ...]) -> None:
    plain = grounding_scores([answer], [evidence])
    without = grounding_scores([answer], [evidence], without=[query])
    found = [plain.precision[0], plain.recall[0], plain.f1[0], without.precision[0], without.f1[0]]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.real
def test_all_cases_of_the_file(shared_cases: Path) -> None:
    every = json.loads((shared_cases / "faith_cases.json").read_text(encoding="utf-8"))["cases"]
    cases = [c for c in every if c["group"] == "instruct_qa_grounding"]
    assert len(cases) == 3
    for case in cases:
        given, want = case["input"], case["expected"]
        evidence = [" ".join(e) for e in given["evidence"]]
        plain = grounding_scores(given["responses"], evidence)
        without = grounding_scores(given["responses"], evidence, without=[" ".join(h) for h in given["history"]])
        assert plain.f1.mean() == pytest.approx(want["KF1"]["kf1"], abs=1e-12)
        assert plain.precision.mean() == pytest.approx(want["KPrecision"]["kprecision"], abs=1e-12)
        assert plain.recall.mean() == pytest.approx(want["KRecall"]["krecall"], abs=1e-12)
        assert without.f1.mean() == pytest.approx(want["KF1PlusPlus"]["kf1plusplus"], abs=1e-12)
        assert without.precision.mean() == pytest.approx(want["KPrecisionPlusPlus"]["kprecisionplusplus"], abs=1e-12)


def test_empty_texts_as_published() -> None:
    found = grounding_scores(["", "a", "the", "x y"], ["", "", "an", ""])
    assert found.precision.tolist() == [0, 0, 0, 0]
    assert found.recall.tolist() == [1, 1, 1, 1]
    assert found.f1.tolist() == [1, 1, 1, 0]


def test_words_are_a_multiset_after_squads_normalisation() -> None:
    assert grounding_words("The U.S.A. – a  “Theory” of an_x") == ["usa", "–", "“theory”", "of", "anx"]
    # reason: lie lie harm, knowledge: lie harm harm: 2 common of 3 and 3.
    found = grounding_scores(["Lie, lie; harm!"], ["The lie harm harm"])
    assert (found.precision[0], found.recall[0], found.f1[0]) == pytest.approx((2 / 3, 2 / 3, 2 / 3), abs=1e-12)


def test_frame_with_nulls_and_queries() -> None:
    frame = pl.DataFrame(
        {
            "reason": ["I lied to Ann", None, "harm", "lied"],
            "statement": ["lied Ann", "x", None, "I lied"],
            "query": ["to I", "x", "x", None],
            "group": ["g", "g", "h", "h"],
        }
    )
    plain = knowledge_overlap(frame, part="precision", n_boot=100)
    assert plain.value == pytest.approx((1 / 2 + 1) / 2, abs=1e-12)
    assert plain.note == "1 of 4 without a reason left out; 1 of 3 without knowledge left out"
    assert (plain.n, plain.n_units, plain.unit) == (2, 2, "groups")
    assert knowledge_overlap(frame, part="precision", without="query", ci=None).value == 1
    assert knowledge_overlap(frame.reverse(), part="precision", n_boot=100) == plain


def test_undefined_and_refused() -> None:
    assert isnan(knowledge_overlap(reason=["a"], knowledge=[None]).value)
    with pytest.raises(ValueError, match="part must be"):
        knowledge_overlap(reason=["a"], knowledge=["a"], part="f2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 reasons, 2 texts"):
        grounding_scores(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="2 texts in without"):
        knowledge_overlap(reason=["a"], knowledge=["a"], without=["a", "b"])
    pairs = pair_reasons("test", None, reason=["a"])
    with pytest.raises(ValueError, match="give the knowledge"):
        knowledge_overlap_rows(pairs, part="f1")


def test_rows_give_the_estimate() -> None:
    pairs = pair_reasons("test", None, reason=["a b", "c"], statement=["b", "d"])
    row = knowledge_overlap_rows(pairs, part="recall")
    assert (row.metric, estimate_together([row], ci=None)[0].value) == ("knowledge_recall", 0.5)
