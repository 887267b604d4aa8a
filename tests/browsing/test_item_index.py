from __future__ import annotations

import json
import math
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsed_folder import OPTIONS, Browsed, small_set, write_folder, write_run

from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.browsing.filter_conditions import expression
from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.errors import TableError

A, B = "run a", "b:\\$"


def state(browsed: Browsed, run: str, k: int) -> str:
    answer, gold = browsed.answers[run].get(k), browsed.rows[k]["label"]
    if answer is None:
        return "missing"
    if answer["error"]:
        return "failed"
    if answer["label"] is None:
        return "unparsed"
    return "answered" if gold is None else "right" if answer["label"] == gold else "wrong"


def said(browsed: Browsed, k: int) -> list[str]:
    return [value for row, _, value, _ in browsed.ratings if row == k]


def disagreement(browsed: Browsed, k: int) -> float | None:
    values = said(browsed, k)
    pairs = [(i, j) for i in range(len(values)) for j in range(len(values)) if i != j]
    return sum(values[i] != values[j] for i, j in pairs) / len(pairs) if pairs else None


def probability(browsed: Browsed, run: str, k: int) -> float | None:
    answer = browsed.answers[run].get(k)
    if answer is None or answer["error"] or answer["label"] is None:
        return None
    p: float = answer["label_probs"][OPTIONS.index(answer["label"])]
    return p


def differs(browsed: Browsed, run: str, k: int) -> bool:
    return state(browsed, run, k) in ("wrong", "unparsed", "failed")


def within(value: float | None, low: float, high: float) -> bool:
    return value is not None and low <= value <= high


def has_reason(browsed: Browsed, k: int) -> bool:
    return any(row == k and text and text.strip() for row, _, _, text in browsed.ratings)


CONDITIONS: list[tuple[ItemFilter, Any]] = [
    (ItemFilter(text="stole BREAD"), lambda b, k: "stole bread" in b.rows[k]["statement"].lower()),
    (ItemFilter(text="^.*$"), lambda b, k: "^.*$" in b.rows[k]["statement"]),
    (ItemFilter(text="\u202e"), lambda b, k: "\u202e" in b.rows[k]["statement"]),
    (ItemFilter(regex=r"\d7 times|^="), lambda b, k: re.search(r"\d7 times|^=", b.rows[k]["statement"])),
    (ItemFilter(gold=("bad",)), lambda b, k: b.rows[k]["label"] == "bad"),
    (ItemFilter(gold=("good", "")), lambda b, k: b.rows[k]["label"] in ("good", None)),
    (ItemFilter(given=("bad",)), lambda b, k: "bad" in said(b, k)),
    (ItemFilter(between=(("bad", "good"),)), lambda b, k: {"bad", "good"} <= set(said(b, k))),
    (ItemFilter(annotator=("made:p1", "made:p3")), lambda b, k: any(r == k and a in ("made:p1", "made:p3")
                                                                 for r, a, *_ in b.ratings)),
    (ItemFilter(group=("g4", "g11")), lambda b, k: b.rows[k]["group"] in ("g4", "g11")),
    (ItemFilter(source=("=made",)), lambda b, k: b.rows[k]["source"] == "=made"),
    (ItemFilter(split=("test",)), lambda b, k: b.rows[k]["split"] == "test"),
    (ItemFilter(leak=("near",)), lambda b, k: b.rows[k]["leak_kind"] == "near"),
    (ItemFilter(leak=("none", "exact")), lambda b, k: b.rows[k]["leak_kind"] in (None, "exact")),
    (ItemFilter(finding=("text.control",)), lambda b, k: k in (4, 9)),
    (ItemFilter(prediction=((A, "bad"),)), lambda b, k: probability(b, A, k) is not None
                                                        and b.answers[A][k]["label"] == "bad"),
    (ItemFilter(prediction=((A, "bad"), (A, "good"), (B, "bad"))), lambda b, k: probability(b, A, k) is not None
                                and probability(b, B, k) is not None and b.answers[B][k]["label"] == "bad"),
    (ItemFilter(state=((B, "missing"), (B, "failed"))), lambda b, k: state(b, B, k) in ("missing", "failed")),
    (ItemFilter(state=((A, "answered"),)), lambda b, k: state(b, A, k) == "answered"),
    (ItemFilter(differs=(A,)), lambda b, k: differs(b, A, k)),
    (ItemFilter(differs=(A, B)), lambda b, k: differs(b, A, k) and differs(b, B, k)),
    (ItemFilter(beats=((A, B),)), lambda b, k: state(b, A, k) == "right" and differs(b, B, k)),
    (ItemFilter(judged_bad=(B,)), lambda b, k: b.bad[B].get(k, 0) > 0.5),
    (ItemFilter(length=(None, 5)), lambda b, k: len(b.rows[k]["statement"]) <= 5),
    (ItemFilter(length=(6, 30)), lambda b, k: 6 <= len(b.rows[k]["statement"]) <= 30),
    (ItemFilter(disagreement=(0.5, 1)), lambda b, k: within(disagreement(b, k), 0.5, 1)),
    (ItemFilter(disagreement=(None, 0)), lambda b, k: within(disagreement(b, k), 0, 0)),
    (ItemFilter(probability=((A, 0.6, 0.8),)), lambda b, k: within(probability(b, A, k), 0.6, 0.8)),
    (ItemFilter(has_reason=True), has_reason),
    (ItemFilter(has_reason=False), lambda b, k: not has_reason(b, k)),
    (ItemFilter(flagged=False), lambda b, k: True),
    (ItemFilter(text="i", split=("train",), differs=(A,)), lambda b, k: "i" in b.rows[k]["statement"].lower()
                                                    and b.rows[k]["split"] == "train" and differs(b, A, k)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "naive"), CONDITIONS, ids=lambda v: str(v.to_query())[:40] if v is ItemFilter else ""
)
def test_every_condition_is_what_a_naive_loop_finds(
    browsed: Browsed, index: ItemIndex, wanted: ItemFilter, naive: Any
) -> None:
    expected = [k for k in range(48) if naive(browsed, k)]
    assert found_rows(index, wanted).rows.tolist() == expected
    condition = expression(wanted, index)
    frame = index.frame(["item_id", *dict.fromkeys(c for c in condition.meta.root_names() if c != "item_id")])
    assert frame.filter(condition)["item_id"].to_list() == [browsed.rows[k]["item_id"] for k in expected]


def test_the_columns_are_those_of_the_files(browsed: Browsed, index: ItemIndex) -> None:
    for k, row in enumerate(index.frame(index.columns).iter_rows(named=True)):
        item = browsed.rows[k]
        assert {name: row[name] for name in item if name != "context"} == {
            n: v for n, v in item.items() if n != "context"
        }
        assert row["length"] == len(item["statement"])
        assert row["n_ratings"] == len(said(browsed, k))
        expected = disagreement(browsed, k)
        assert row["disagreement"] is None if expected is None else math.isclose(row["disagreement"], expected)
        for run in (A, B):
            assert row[f"state {run}"] == state(browsed, run, k)
            assert row[f"probability {run}"] == probability(browsed, run, k)
            share = browsed.bad[run].get(k)
            assert row[f"judged bad {run}"] is None if share is None else math.isclose(row[f"judged bad {run}"], share)
    assert index.problems == ()


def test_disagreement_is_that_of_the_agreement_room(browsed: Browsed, index: ItemIndex) -> None:
    annotations = pl.read_parquet(browsed.items / "annotations.parquet")
    theirs = dict(item_disagreement(annotations).select("item_id", "disagreement").iter_rows())
    ours = dict(index.frame(["item_id", "disagreement"]).iter_rows())
    assert all(math.isclose(ours[i], d) if d == d else ours[i] is None for i, d in theirs.items())


def test_ratings_of_several_values_count_once(tmp_path: Path) -> None:
    small = small_set(tmp_path)
    questions = pl.read_parquet(small.items / "questions.parquet").with_columns(pl.lit("set").alias("kind"))
    questions.write_parquet(small.items / "questions.parquet")
    rated = pl.read_parquet(small.items / "annotations.parquet")
    both = rated.with_columns(value=pl.lit("good")), rated.with_columns(value=pl.lit("bad"))
    pl.concat(both).write_parquet(small.items / "annotations.parquet")  # everybody gave both values: nobody differs
    frame = ItemIndex(small.items).frame(["n_ratings", "disagreement"])
    assert frame["n_ratings"].to_list() == [len(said(small, k)) for k in range(48)]
    assert set(frame["disagreement"].drop_nulls()) == {0.0}


def test_unknown_names_and_a_bad_pattern_are_one_line_each(index: ItemIndex) -> None:
    wanted = ItemFilter(
        regex="(", gold=("odd",), given=("odd",), between=(("bad", "odd"),), annotator=("nobody",), group=("none",),
        source=("x",), split=("dev", "test"), finding=("no.such",), prediction=(("ghost", "bad"), (A, "odd")),
        state=(("ghost", "right"),), differs=("ghost", A), beats=((A, "ghost"),), judged_bad=("ghost", "human"),
        probability=(("ghost", 0.1, None),),
    )  # fmt: skip
    kept, problems = fitted(wanted, index)
    assert kept == ItemFilter(split=("test",), differs=(A,), judged_bad=("human",))
    assert len(problems) == len(wanted.chips()) - 3
    assert all(p.endswith("; left out.") and len(p.splitlines()) == 1 for p in problems)
    assert "no pattern: unclosed group" in problems[0]
    assert any("no such run; found run a, b:\\$" in p for p in problems)
    for lone in (ItemFilter(regex="(?=x)"), ItemFilter(differs=("ghost",)), ItemFilter(regex="a{999}{999}{99}")):
        with pytest.raises(ValueError, match=r"expression: .*no ") as caught:
            found_rows(index, lone)
        assert len(str(caught.value).splitlines()) == 1


def test_flags_are_a_filter(browsed: Browsed) -> None:
    index = ItemIndex(browsed.items)
    assert found_rows(index, ItemFilter(flagged=True)).rows.tolist() == []
    index.flag([browsed.rows[3]["item_id"], "elsewhere"])
    assert found_rows(index, ItemFilter(flagged=True)).rows.tolist() == [3]
    index.flag([])
    assert found_rows(index, ItemFilter(flagged=True)).rows.tolist() == []


def test_an_empty_set_has_every_column(tmp_path: Path) -> None:
    index = ItemIndex(write_folder(tmp_path / "items", [], []))
    assert len(index) == 0
    assert index.frame(index.columns).shape == (0, len(index.columns))
    assert found_rows(index, ItemFilter(text="x", has_reason=True)).rows.tolist() == []
    assert index.row_of("x") is None


def test_what_is_missing_or_broken_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    small = small_set(tmp_path)
    (small.items / "data/default/train.parquet").write_bytes(b"PAR1 torn")
    (small.items / "annotations.parquet").unlink()
    (small.items / "audit.json").write_text("[{")
    (small.items / "raters.parquet").write_bytes(b"")
    torn = tmp_path / "torn.parquet"
    torn.write_bytes((small.runs[0] / "outputs.parquet").read_bytes()[:900])
    hollow = write_run(tmp_path / "hollow", [{"run_id": "h", "item_id": "elsewhere", "label": "bad"}])
    row = {"run_id": "e", "item_id": "made:test:030", "label": "bad", "condition": "empty"}
    empty = write_run(tmp_path / "empty", [row])
    growing = tmp_path / "growing"
    growing.mkdir()
    (growing / "settings.json").write_text(json.dumps({"format": "dfar-run", "format_version": 1}))
    paths = [small.runs[0], torn, tmp_path / "absent", hollow, empty, small.runs[0], growing]
    index = ItemIndex(small.items, runs=paths, judgements=tmp_path / "none.jsonl")
    index.read_all()
    assert len(index) == 18
    assert index.column("n_ratings").to_list() == [0] * 18
    assert index.column("has_reason").to_list() == [False] * 18
    assert index.runs == (A, "h", "e")
    assert set(index.column("state h")) == set(index.column("state e")) == {"missing"}
    assert [state(small, A, k) for k in range(30, 48)] == index.column(f"state {A}").to_list()
    told = "\n".join(index.problems)
    for name in ("train.parquet", "annotations.parquet", "audit.json", "raters.parquet", "torn.parquet", "absent",
                 "none.jsonl", "read from", "not there", "the run 'e' has no answers"):  # fmt: skip
        assert name in told
    assert "the run 'h' has no answers" not in told  # of it is said that its item is not there
    assert all(len(problem.splitlines()) == 1 for problem in index.problems)


def test_a_run_that_goes_away_while_looked_at_is_missing(tmp_path: Path) -> None:
    small = small_set(tmp_path)
    index = ItemIndex(small.items, runs=small.runs)
    shutil.rmtree(small.runs[0])
    assert set(index.column(f"state {A}")) == {"missing"}
    assert "shown without answers" in index.problems[0]


def test_other_files_are_runs_too(browsed: Browsed, tmp_path: Path) -> None:
    lines = [{"item_id": browsed.rows[k]["item_id"], "label_probs": {"bad": 0.2, "good": 0.8}} for k in range(3)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    index = ItemIndex(browsed.items, runs=[tmp_path / "mine.jsonl"])
    assert index.column("answer mine").to_list()[:4] == ["good"] * 3 + [None]
    assert index.column("probability mine").to_list()[:4] == [0.8] * 3 + [None]
    told = [{**line, "label": None, "raw": "I cannot say."} for line in lines]  # read, and no label was found
    (tmp_path / "unread.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    index = ItemIndex(browsed.items, runs=[tmp_path / "unread.jsonl"])
    assert index.column("answer unread").to_list()[:4] == [None] * 4
    assert index.column("state unread").to_list()[:3] == ["unparsed"] * 3


def test_probabilities_follow_the_order_that_each_row_gives(browsed: Browsed, tmp_path: Path) -> None:
    ids = [row["item_id"] for row in browsed.rows]
    run = write_run(tmp_path / "mixed", [
        {"item_id": ids[0], "label": "bad", "label_probs": [0.3, 0.7], "options": ["good", "bad"]},
        {"item_id": ids[2], "label": "bad", "label_probs": [0.9, 0.1], "options": ["bad", "good"]},
        {"item_id": ids[1], "label": "good", "label_probs": None, "options": None},
    ])  # fmt: skip
    index = ItemIndex(browsed.items, runs=[run])
    assert index.column("probability mixed").to_list()[:3] == [0.7, None, 0.9]


def test_no_items_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="wanted an items folder"):
        ItemIndex(tmp_path / "absent")


def test_a_column_that_is_not_there_is_named(index: ItemIndex) -> None:
    with pytest.raises(ValueError, match='no column "answer ghost"'):
        index.column("answer ghost")


def test_many_readers_at_once_see_the_same(browsed: Browsed, index: ItemIndex) -> None:
    shared, seen = ItemIndex(browsed.items, runs=browsed.runs, judgements=browsed.judgements), []

    def look() -> None:
        shared.read_all()
        seen.append(found_rows(shared, ItemFilter(differs=(A,), given=("bad",))).rows.tolist())

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [found_rows(index, ItemFilter(differs=(A,), given=("bad",))).rows.tolist()] * 6
