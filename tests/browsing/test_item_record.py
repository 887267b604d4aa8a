from __future__ import annotations

from pathlib import Path

import pytest
from browsed_folder import Browsed, small_set

from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.item_record import item_record
from dfar_toolkit.browsing.word_rationales import RatedWord

A, B = "run a", "b:\\$"


def test_every_item_is_whole_and_verbatim(browsed: Browsed, index: ItemIndex) -> None:
    for k, expected in enumerate(browsed.rows):
        record = item_record(index, k)
        assert {name: record.item[name] for name in expected} == expected
        rated = [(a, v, t) for row, a, v, t in browsed.ratings if row == k]
        if rated:
            assert record.annotations.select("annotator_id", "value", "reason").rows() == rated
            assert set(record.annotations["kind of the rater"]) == {"human"}
        for run in record.runs:
            answer = browsed.answers[run.run].get(k)
            assert run.state == index.column(f"state {run.run}")[k]
            assert (run.answer is None) == (answer is None)
            assert answer is None or {name: run.answer[name] for name in answer} == answer
        assert len(record.judgements) == (6 if k % 3 == 0 else 0)
        assert record.problems == ()


def test_rows_that_are_no_answer_are_told_apart(browsed: Browsed, index: ItemIndex) -> None:
    run = next(r for r in item_record(index, 2).runs if r.run == A)
    assert run.answer is not None
    assert run.answer["sample"] == 1
    assert sorted(run.samples["method"].to_list()) == ["", "cct"]
    assert run.annotators["annotator_id"].to_list() == ["made:p1"]
    assert run.steps.select("method", "condition", "operator", "k").rows() == [
        ("", "empty", "remove", -1), ("attention", "without_top", "remove", 1)
    ]  # fmt: skip
    assert run.other["condition"].to_list() == ["inserted"]
    (rationale,) = run.rationales
    assert rationale.method == "attention"
    assert rationale.words == (
        RatedWord("statement", 0, 1, "I", 0.25, True), RatedWord("statement", 2, 7, "Stole", -1.0, False)
    )  # fmt: skip


def test_a_place_beyond_the_text_has_no_words(browsed: Browsed, index: ItemIndex) -> None:
    k = next(k for k in range(1, 48, 2) if len(browsed.rows[k]["statement"]) < 7 and k in browsed.answers[A])
    run = next(r for r in item_record(index, k).runs if r.run == A)
    assert run.rationales[0].words[1].text is None


def test_no_such_row_is_refused(index: ItemIndex) -> None:
    with pytest.raises(ValueError, match="wanted a row from 0 to 47, found 48"):
        item_record(index, 48)


def test_files_that_go_away_leave_what_the_index_knows(tmp_path: Path) -> None:
    small = small_set(tmp_path)
    index = ItemIndex(small.items, runs=small.runs)
    index.read_all()
    for gone in (small.items / "data/default/test.parquet", small.items / "annotations.parquet"):
        gone.unlink()
    (small.runs[0] / "outputs.parquet").write_bytes(b"torn")
    record = item_record(index, 40)
    assert record.item["statement"] == small.rows[40]["statement"]
    assert len(record.problems) == 3
    assert all(len(problem.splitlines()) == 1 for problem in record.problems)
