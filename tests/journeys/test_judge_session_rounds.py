"""Rounds of judging: what their coordinator sees, and protocols that are refused, kept and written."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judge_log import answers_of, judgements_of
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.judge_session_coordinator import standing_of, validity_of
from dfar_toolkit.journeys.judge_session_protocol import (
    read_session_protocol,
    session_protocol,
    write_session_protocol,
)
from dfar_toolkit.metrics.judges import judge_agreement
from judged_rounds import CHECKS, TRAINING, answer_all, judging


@pytest.fixture(scope="module")
def items(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture
def runs(demo: Path) -> list[Path]:
    return [demo / "runs" / "with-reasons.jsonl"]


def test_the_coordinator_sees_agreement_and_known_answers(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    said = {"training": TRAINING, "attention": {"every": 20, "items": CHECKS}}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    answer_all(judged.session("ann"), ("good", "bad", "good"))
    answer_all(judged.session("bob"), ("bad",))
    judged.session("eve")
    standing = standing_of(judged, n_boot=50)
    assert standing.judges["judge_id"].to_list() == ["ann", "bob"]
    bob = standing.judges.row(1, named=True)
    n = len(judged.pool.tasks)
    assert (bob["answered"], bob["total"], bob["rejected"], bob["accepted"]) == (n, n, n, 0)
    assert (bob["attention_right"], bob["attention_answered"]) == (n // 20, n // 20)
    assert (bob["training_right"], bob["training_answered"]) == (1, 2)
    assert standing.agreement["run_id"].unique(maintain_order=True).to_list() == ["(all)", "human", "with-reasons"]
    expected = judge_agreement(judgements_of(tmp_path), items=items.items, n_boot=50)
    assert standing.agreement.filter(run_id="(all)").drop("run_id").equals(expected)
    # Bob says bad of all: they agree where Ann does, and on "bad" 2a / (2a + b) with a of n.
    table = judgements_of(tmp_path)
    share = (table.filter(judge_id="ann")["value"] == "bad").mean()
    found = dict(standing.agreement.filter(run_id="(all)").select("metric", "value").rows())
    assert found["judge_percent_agreement"] == pytest.approx(share)
    assert found["judge_specific_agreement"] == pytest.approx(2 * share / (1 + share))  # type: ignore[operator]


def test_before_anybody_answered_there_is_no_agreement(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    judged = JudgingRound.open(judging(tmp_path, judges=["ann", "bob"]), runs, items=items)
    standing = standing_of(judged, n_boot=50)
    assert standing.judges.select("judge_id", "answered", "attention_answered").rows() == [("ann", 0, 0), ("bob", 0, 0)]
    assert standing.judges["total"].sum() >= len(judged.pool.tasks)
    assert standing.agreement["value"].is_nan().all()


def test_a_validity_round_tells_errors_from_voices(tmp_path: Path, items: ItemsFolder) -> None:
    judged = JudgingRound.open(judging(tmp_path, round="validity", human_per_item=2), items=items)
    assert {task.run_id for task in judged.pool.tasks.values()} == {"human"}
    for name, values in (("ann", ("error", "voice")), ("bob", ("voice", "voice", "error", "voice"))):
        answer_all(judged.session(name), values)
    found = validity_of(judged, n_boot=50)
    pairs = found.pairs
    assert len(pairs) == len(judged.pool.tasks)
    by_share = pairs.select("share_error", "verdict").unique().sort("share_error").rows()
    assert by_share == [(0.0, "voice"), (0.5, "split"), (1.0, "error")]
    task = next(iter(judged.pool.tasks.values()))
    number = int(task.blind_id[1:])
    share = ((number % 2 == 0) + (number % 4 == 2)) / 2
    assert pairs.filter(output_id=task.output_id).select("label", "judges", "share_error").rows() == [
        (task.label, 2, share)
    ]
    assert found.shares["label"].to_list() == [None, *sorted(items.options)]
    mean = pairs.group_by("item_id").agg(pl.col("share_error").mean())["share_error"].mean()
    assert found.shares["value"][0] == pytest.approx(mean)
    reasons = JudgingRound.__new__(JudgingRound)
    reasons.protocol = session_protocol({})
    with pytest.raises(ValueError, match="wanted a validity round"):
        validity_of(reasons)


def test_another_protocol_never_mixes_with_answers(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    judged = JudgingRound.open(judging(tmp_path), runs, items=items)
    shown = judged.session("ann").next()
    assert shown is not None
    judged.session("ann").record(shown.blind_id, "good")
    JudgingRound.open(judging(tmp_path, remark="words that decide nothing"), runs, items=items)
    with pytest.raises(TableError, match="1 answers were given under another protocol"):
        JudgingRound.open(judging(tmp_path, question="Is it nice?"), runs, items=items)


def test_texts_that_changed_after_they_were_judged_are_noted(
    tmp_path: Path, runs: list[Path], items: ItemsFolder
) -> None:
    judged = JudgingRound.open(judging(tmp_path / "j"), runs, items=items)
    answer_all(judged.session("ann"))
    lines = runs[0].read_text().splitlines()
    changed = tmp_path / "with-reasons.jsonl"
    changed.write_text("\n".join([re.sub(r'("reason": ")', r"\1Now ", lines[0]), *lines[2:]]) + "\n")
    notes = JudgingRound.open(tmp_path / "j", [changed], items=items).notes
    assert "1 outputs were answered when they said something else" in notes
    assert any("are not judged here any more" in note for note in notes)


def test_an_output_with_a_known_answer_counts_in_no_rate(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    name = "with-reasons/everyday:test:s021/ethical/0"
    said = {"attention": {"every": 5, "items": [{"output_id": name, "value": "good"}]}}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    answer_all(judged.session("ann"))
    assert name not in set(judgements_of(tmp_path)["output_id"])
    assert name in set(answers_of(tmp_path).frame["output_id"])
    assert any("count in no rate" in note for note in judged.notes)
    said["attention"]["items"][0]["output_id"] = "with-reasons/nowhere"  # type: ignore[index]
    with pytest.raises(TableError, match="attention item 1 of the protocol is 'with-reasons/nowhere'"):
        JudgingRound.open(judging(tmp_path / "b", **said), runs, items=items)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"atention": {}}, 'no "atention". Is it "attention"'),
        ({"scale": ["good"]}, "two different values"),
        ({"scale": [True, False]}, 'write "yes" and "no" in quotes'),
        ({"scale": "good"}, "scale must be a list of texts"),
        ({"shown": ["label", "reason"]}, "statement is missing"),
        ({"shown": ["statement", "label", "reason", "golf"]}, 'Is it "gold"'),
        ({"round": "third"}, "reasons or validity"),
        ({"overlap": 2}, "overlap must be a share"),
        ({"share_of_items": 0}, "share_of_items must be a share"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"blinded": "yes"}, "blinded must be true or false"),
        ({"judges": ["ann", "ann "]}, "names somebody twice"),
        ({"judges": ["ann"], "judges_per_item": 2}, "judges names 1"),
        ({"training": [{"value": "fine"}]}, "training item 1: value must be good or bad"),
        ({"training": [{"value": "good", "statement": "I lied."}]}, "label is missing"),
        ({"attention": {"every": 0, "items": CHECKS}}, "attention.every must be a whole number of at least 1"),
        ({"attention": CHECKS}, "attention must be a mapping"),
        ({"error_types": ["a; b"]}, "semicolon"),
        ({"question": 3}, "question must be a text"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused_in_one_line(tmp_path: Path, said: dict[str, object], words: str) -> None:
    with pytest.raises(TableError) as refused:
        read_session_protocol(judging(tmp_path, **said))
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["reasons", "validity"])
def test_a_whole_protocol_is_written_and_read_back(tmp_path: Path, kind: str) -> None:
    scale = {"reasons": ["good", "bad"], "validity": ["bad", "good"]}[kind]
    said = {"round": kind, "scale": scale, "training": TRAINING, "attention": {"every": 7, "items": CHECKS}}
    protocol = session_protocol({**said, "judges": ["Ann", "Bób"], "seed": 3, "reasons_per_judge": 9})
    path = write_session_protocol(tmp_path / "new", protocol)
    assert read_session_protocol(path) == protocol
    assert protocol.question in path.read_text(encoding="utf-8")
    with pytest.raises(TableError, match="there is a protocol already"):
        write_session_protocol(tmp_path / "new", protocol)


def test_protocols_of_sheets_will_do(demo: Path) -> None:
    read = read_session_protocol(demo / "protocol.yaml")
    assert (read.overlap, read.judges, read.shown) == (1.0, (), ("statement", "label", "reason"))
