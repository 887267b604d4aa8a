"""Plausibility against the numbers of ERASER's and ferret's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.rationale import (
    auprc,
    average_precision,
    eraser_iou_f1,
    eraser_span_f1,
    eraser_token_f1,
    iou_f1,
    marked_words,
    roc_auc,
    span_documents,
    token_f1,
    token_iou,
    top_k_mask,
)

ROWS = [(average, part) for average in ("micro", "macro") for part in ("p", "r", "f1")]


def cases(folder: Path, group: str) -> list[dict[str, Any]]:
    found = json.loads((folder / "faith_cases.json").read_text(encoding="utf-8"))["cases"]
    return [case for case in found if case["group"] == group]


def spans(given: dict[str, list[list[int]]]) -> dict[str, list[tuple[int, int]]]:
    return {document: [(start, end) for start, end in own] for document, own in given.items()}


@pytest.mark.real
def test_hard_rationales_as_eraser_counts_them(shared_cases: Path) -> None:
    seen = 0
    for case in cases(shared_cases, "eraser_hard"):
        documents = span_documents(spans(case["input"]["human_spans"]), spans(case["input"]["predicted_spans"]))
        for name, compute in (("token_prf", eraser_token_f1), ("span_prf", eraser_span_f1)):
            table, expected = compute(documents, ci=None), case["expected"][name]
            assert table.select("average", "part").rows() == [
                (a, p) for a in ("micro", "macro") for p in ("precision", "recall", "f1")
            ]
            if "raises" in expected:  # a division by zero there, undefined with the reason here
                undefined = table.filter(average="micro", part="f1").row(0, named=True)
                assert np.isnan(undefined["value"]), case["id"]
                assert undefined["note"]
                continue
            wanted = [expected[f"instance_{average}"][part] for average, part in ROWS]
            assert table["value"].to_list() == pytest.approx(wanted, abs=1e-12), (case["id"], name)
            seen += 1
        for level in case["expected"]["iou_scores"]:
            table = eraser_iou_f1(documents, threshold=level["threshold"], ci=None)
            wanted = [level[average][part] for average, part in ROWS]
            if documents.n:
                assert table["value"].to_list() == pytest.approx(wanted, abs=1e-12), (case["id"], level["threshold"])
                seen += 1
            else:  # ERASER writes zeros for no documents at all
                assert table["value"].is_nan().all()
    assert seen == 52  # 12 cases of 5 tables, less 5 divisions by zero and 3 of no documents


@pytest.mark.real
def test_soft_rationales_as_eraser_scores_them(shared_cases: Path) -> None:
    found = cases(shared_cases, "eraser_soft")
    for case in found:
        documents = case["input"]["documents"]
        marked = marked_words([[d["human_mask"]] for d in documents], scores=[d["scores"] for d in documents])
        values = [metric(marked, ci=None).value for metric in (auprc, average_precision, roc_auc)]
        wanted = [float(case["expected"][key]) for key in ("auprc", "average_precision", "roc_auc_score")]
        assert values == pytest.approx(wanted, abs=1e-12, nan_ok=True), case["id"]
    assert len(found) == 8


@pytest.mark.real
def test_plausibility_as_ferret_scores_it(shared_cases: Path) -> None:
    found = cases(shared_cases, "ferret_plausibility")
    for case in found:
        given, scores = case["input"], case["input"]["scores"]
        chosen = top_k_mask(scores, given["top_k"], positive_only=given["only_pos"])
        if given["predicted_mask"] is not None:
            assert chosen.astype(int).tolist() == given["predicted_mask"], case["id"]
        else:
            assert not chosen.any()
        marked = marked_words([[given["human_mask"]]], [chosen], scores=[scores])
        values = [auprc(marked, positive_only=True, ci=None).value, token_f1(marked, ci=None).value]
        values.append(token_iou(marked, ci=None).value)
        wanted = [case["expected"][key] for key in ("auprc", "token_f1", "token_iou")]
        assert values == pytest.approx(wanted, abs=1e-12), case["id"]
    assert len(found) == 7


def test_eraser_counts_each_span_and_token_once() -> None:
    once = span_documents({"a": [(0, 4), (2, 6)]}, {"a": [(0, 6)]})
    twice = span_documents({"a": [(0, 4), (2, 6), (2, 6)]}, {"a": [(0, 6), (0, 6)]})
    for compute in (eraser_token_f1, eraser_span_f1, eraser_iou_f1):
        assert compute(once, ci=None)["value"].to_list() == compute(twice, ci=None)["value"].to_list()


def test_where_eraser_and_one_to_one_matching_part() -> None:
    # Two halves of a human span of four words: both have an IOU of 1/2 with it. As runs of words with a gap between:
    # 0-2 and 3-5 against 0-5: IOU 2/5 < .5; so at .4 both hit for ERASER (recall 2), one for the matching.
    marked = marked_words([[[1, 1, 1, 1, 1]]], [[1, 1, 0, 1, 1]])
    assert eraser_iou_f1(marked, threshold=0.4, ci=None)["value"].to_list()[:3] == pytest.approx([1, 2, 4 / 3])
    assert iou_f1(marked, threshold=0.4, ci=None).value == pytest.approx(2 / 3)  # 2 x 1 / (2 + 1)


def test_eraser_on_words_leaves_documents_without_anything_out() -> None:
    marked = marked_words([[[1, 0]], [[0, 0]]], [[1, 0], [0, 0]])
    assert eraser_token_f1(marked, ci=None).filter(average="macro", part="f1")["value"].item() == 1.0
    assert token_f1(marked, ci=None).value == 1.0
    half = marked_words([[[1, 0]], [[0, 0]]], [[0, 1], [0, 0]])
    assert eraser_token_f1(half, ci=None).filter(average="macro", part="f1")["value"].item() == 0.0
    assert token_f1(half, ci=None).value == 0.5
    found = token_f1(half, both_empty="leave_out", ci=None)
    assert (found.value, found.n) == (0.0, 1)
    assert "1 with nothing chosen and nothing marked left out" in found.note


def test_eraser_groups_and_faults() -> None:
    human = {"a": [(0, 2)], "b": [(0, 2)], "c": [(1, 2)]}
    predicted = {"a": [(0, 2)], "b": [(1, 3)], "c": [(0, 1)]}
    group = {"a": "x", "b": "x", "c": "y"}
    table = eraser_token_f1(span_documents(human, predicted, group=group), n_boot=200)
    assert table["n_units"].unique().to_list() == [2]
    assert table.filter(average="macro", part="f1")["value"].item() == pytest.approx(0.5)  # 1, 1/2, 0
    with pytest.raises(TableError, match="must start at 0"):
        span_documents({"a": [(3, 2)]}, {})
    with pytest.raises(TableError, match="needs a group"):
        span_documents({"a": [(0, 2)]}, {}, group={})
    with pytest.raises(ValueError, match="threshold"):
        eraser_iou_f1(span_documents(human, predicted), threshold=0.0)
    assert isinstance(table, pl.DataFrame)
