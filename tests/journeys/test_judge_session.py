"""Judging in the browser: blind and repeatable queues, resuming, known answers, and what goes into the scores."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import astuple
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judge_log import export_judgements, judgements_of
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.judge_session_queue import queue_of
from dfar_toolkit.journeys.scores import score_run
from dfar_toolkit.metrics.misalignment import misalignment_rate
from judged_rounds import CHECKS, TRAINING, answer_all, judging, names_in


@pytest.fixture(scope="module")
def items(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture
def runs(demo: Path) -> list[Path]:
    return [demo / "runs" / "with-reasons.jsonl"]


def test_what_a_judge_sees_names_no_run_and_no_item(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    session = JudgingRound.open(judging(tmp_path), runs, items=items).session("ann")
    while (shown := session.next()) is not None:
        plain = repr(astuple(shown))
        assert not re.search(r"with-reasons|human|everyday", plain)
        assert (shown.run, shown.gold, shown.references) == ("", "", ())
        session.record(shown.blind_id, "good")
    counts = Counter(judgements_of(tmp_path)["run_id"])
    assert counts["human"] == counts["with-reasons"] == 56  # one person's reason beside each of the run's


def test_queues_follow_from_protocol_and_name_alone(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    first = JudgingRound.open(judging(tmp_path / "a", seed=4), runs, items=items)
    again = JudgingRound.open(judging(tmp_path / "b", seed=4), runs, items=items)
    other = JudgingRound.open(judging(tmp_path / "c", seed=5), runs, items=items)
    ann, bob = first.session("ann"), first.session("bob")
    assert names_in(ann) == names_in(again.session(" ann\n"))
    assert names_in(ann) != names_in(bob)
    assert sorted(names_in(ann)) == sorted(names_in(bob))
    assert names_in(ann) != names_in(other.session("ann"))
    place = names_in(ann).index(names_in(bob)[0])
    assert queue_of(first.pool, first.protocol, "ann")[place].blind_id == bob.next().blind_id  # type: ignore[union-attr]


def test_a_run_that_is_added_moves_no_other_reason(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    second = tmp_path / "second.jsonl"
    second.write_text('{"item_id": "everyday:test:s021", "label": "ethical", "reason": "Because I say so."}\n')
    before = names_in(JudgingRound.open(judging(tmp_path / "a"), runs, items=items).session("ann"))
    after = names_in(JudgingRound.open(judging(tmp_path / "b"), [*runs, second], items=items).session("ann"))
    assert [name for name in after if not name.startswith("second/")] == before
    assert len(after) == len(before) + 1


def test_named_judges_get_balanced_parts_with_the_overlap_in_each(
    tmp_path: Path, runs: list[Path], items: ItemsFolder
) -> None:
    said = {"judges": ["ann", "bob", "eve"], "overlap": 0.2, "judges_per_item": 1}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    parts = [set(names_in(judged.session(name))) for name in ("ann", "bob", "eve")]
    common = parts[0] & parts[1] & parts[2]
    assert common == judged.pool.shared
    assert len({judged.pool.tasks[name].item_id for name in common}) == 12  # of 60
    assert set.union(*parts) == set(judged.pool.tasks)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(TableError, match="'mallory' is not among them"):
        judged.session("mallory")


def test_a_limit_keeps_the_overlap_and_leaves_the_chance_open(
    tmp_path: Path, runs: list[Path], items: ItemsFolder
) -> None:
    judged = JudgingRound.open(judging(tmp_path, reasons_per_judge=20, overlap=0.1), runs, items=items)
    ann, bob = (set(names_in(judged.session(name))) for name in ("ann", "bob"))
    assert len(ann) == len(bob) == 20
    assert judged.pool.shared <= ann & bob
    assert ann != bob
    answer_all(judged.session("ann"))
    assert judgements_of(tmp_path)["inclusion_prob"].null_count() == 20
    assert any("reasons_per_judge" in note for note in judged.notes)


def test_checks_come_at_a_fixed_rate_and_training_first(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    said = {"training": TRAINING, "attention": {"every": 10, "items": CHECKS}}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    queue = queue_of(judged.pool, judged.protocol, "ann")
    assert [task.role for task in queue[:2]] == ["training", "training"]
    rest = [task.role for task in queue[2:]]
    n = len(judged.pool.tasks)
    assert rest.count("attention") == n // 10
    assert all(rest[k : k + 11].count("attention") == 1 for k in range(0, n // 10 * 11, 11))
    assert len({task.blind_id for task in queue}) == len(queue)
    assert {len(task.blind_id) for task in queue} == {4}


def test_training_gives_feedback_and_its_first_answer_stands(
    tmp_path: Path, runs: list[Path], items: ItemsFolder
) -> None:
    session = JudgingRound.open(judging(tmp_path, training=TRAINING), runs, items=items).session("ann")
    shown = session.next()
    assert shown is not None
    assert shown.training
    assert session.record(shown.blind_id, "bad") == ("good", False, "It is about it.")
    assert session.record(shown.blind_id, "good") == ("good", False, "It is about it.")
    assert session.show(shown.blind_id).feedback == ("good", False, "It is about it.")
    assert shown.feedback is None
    assert session.undo() is None
    second = session.next()
    assert second is not None
    assert second.reason == "Because."
    assert session.record(second.blind_id, "bad") == ("bad", True, "")
    third = session.next()
    assert third is not None
    assert not third.training
    assert session.record(third.blind_id, "good") is None
    assert session.progress() == (1, 0, len(session.round.pool.tasks), 2, 2)


def test_a_session_goes_on_at_the_first_without_an_answer(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    judged = JudgingRound.open(judging(tmp_path), runs, items=items)
    session = judged.session("ann")
    seen = []
    for value in ("good", None, "bad"):
        shown = session.next()
        assert shown is not None
        seen.append(shown.blind_id)
        session.record(shown.blind_id, value, note="odd\x00" if value == "bad" else "", token=shown.token)
        session.record(shown.blind_id, value, token=shown.token)  # the browser sent it twice
    again = JudgingRound.open(tmp_path, runs, items=items).session("ann")
    following = again.next()
    assert following is not None
    assert following.place == 4
    assert [(g.blind_id, g.value, g.note) for g in again.given()] == [
        (seen[0], "good", ""), (seen[1], None, ""), (seen[2], "bad", "odd\x00"),
    ]  # fmt: skip
    assert again.progress()[:2] == (3, 1)
    back = again.undo()
    assert back is not None
    assert (back.blind_id, back.given) == (seen[2], None)
    assert session.next() == again.next() or session.next().blind_id == seen[2]  # type: ignore[union-attr]
    session.record(seen[0], "bad", error_types=["vague", "circular"])
    changed = again.show(seen[0]).given
    assert changed is not None
    assert changed[1:3] == ("bad", ("vague", "circular"))
    undone = again.undo()
    assert undone is not None
    assert undone.given is not None
    assert undone.given.value == "good"


def test_the_protocol_decides_what_is_shown(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    said = {"shown": ["statement", "label", "reason", "gold", "human reasons"], "human_reasons": 2, "blinded": False}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    session = judged.session("ann")
    shown = [session.show(f"r{k:03d}") for k in range(1, len(judged.pool.tasks) + 1)]
    assert {one.run for one in shown} == {"with-reasons", "human"}
    assert {one.gold for one in shown} <= {*items.options, ""}
    assert max(len(one.references) for one in shown) == 2
    assert all(one.reason not in [r.text for r in one.references] for one in shown)
    assert {one.context for one in shown} == {()}


def test_answers_go_straight_into_the_scores(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    said = {"training": TRAINING, "attention": {"every": 15, "items": CHECKS}, "error_types": ["vague", "wrong"]}
    judged = JudgingRound.open(judging(tmp_path, **said), runs, items=items)
    for name in ("ann", "Bob ../", "eve"):
        answer_all(judged.session(name), ("good", "bad", None, "good"))
    frame = export_judgements(tmp_path, tmp_path / "judgements.parquet")
    for path in (tmp_path, tmp_path / "judgements.parquet"):
        assert read_judgements(path).equals(frame)
    assert len(frame) == 3 * len(judged.pool.tasks)
    assert frame["inclusion_prob"].unique().to_list() == [1.0]
    scores = score_run(runs[0], items=items, judgements=tmp_path / "judgements.parquet", parts=["judging"], n_boot=50)
    own = frame.filter(run_id="with-reasons")
    rate = misalignment_rate(own, items=items.items, n_boot=50)
    assert scores.filter(metric="mar_mean", run_id="with-reasons", subset="all")["value"][0] == rate.value
    assert len(scores.filter(metric="mar_mean", run_id="human"))


def test_answers_off_the_protocol_are_refused(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    session = JudgingRound.open(judging(tmp_path, error_types=["vague"]), runs, items=items).session("ann")
    shown = session.next()
    assert shown is not None
    for value, types, words in (
        ("fine", [], "value must be"), ("good", ["vague"], "go with 'bad'"), ("bad", ["odd"], "found 'odd'"),
        ("bad", "vague", "must be a list"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            session.record(shown.blind_id, value, error_types=types)
    with pytest.raises(TableError, match="no reason 'r9999'"):
        session.record("r9999", "good")
    assert session.progress().answered == 0


def test_judges_in_threads_share_a_round(tmp_path: Path, runs: list[Path], items: ItemsFolder) -> None:
    judged = JudgingRound.open(judging(tmp_path, reasons_per_judge=15), runs, items=items)
    threads = [threading.Thread(target=answer_all, args=(judged.session(name),)) for name in ("ann", "ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = judgements_of(tmp_path).group_by("judge_id").len().sort("judge_id").rows()
    assert counts == [("ann", 15), ("bob", 15)]


SERVER = """
import os, signal, sys, threading
from pathlib import Path
from dfar_toolkit.journeys.judge_session import JudgingRound
judged = JudgingRound.open(Path(sys.argv[1]), [Path(sys.argv[2])], items=sys.argv[3])

def browser(name):
    session = judged.session(name)
    while (shown := session.next()) is not None:
        session.record(shown.blind_id, "bad" if int(shown.blind_id[1:]) % 4 == 0 else "good", token=shown.token)
        os.write(1, f"{name} {shown.blind_id}\\n".encode())

def life():
    signal.alarm(30)
    threads = [threading.Thread(target=browser, args=(name,)) for name in ("ann", "bob", "eve")]
    [t.start() for t in threads]
    [t.join() for t in threads]
    os._exit(0)

for line in sys.stdin:  # one server after the other, each forked from here so that its start costs nothing
    child = os.fork()
    if not child:
        life()
    os.write(1, f"pid {child}\\n".encode())
    os.write(1, f"ended {os.waitpid(child, 0)[1]}\\n".encode())
"""


def test_a_server_killed_at_random_moments_with_three_judges_loses_nothing(
    tmp_path: Path, runs: list[Path], demo: Path, items: ItemsFolder
) -> None:
    judging(tmp_path, human_per_item=3)
    rng = random.Random(0)
    command = [sys.executable, "-c", SERVER, str(tmp_path), str(runs[0]), str(demo / "items")]
    acknowledged: list[tuple[str, str]] = []
    kills, ended = 0, ""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while ended != "0" and kills < 100:
            process.stdin.write("live\n")
            pid, after, ended = 0, rng.randrange(1, 60), ""
            while not ended:
                word, rest = process.stdout.readline().split()
                if word in ("pid", "ended"):
                    pid, ended = (int(rest), "") if word == "pid" else (0, rest)
                    continue
                acknowledged.append((word, rest))
                after -= 1
                if after == 0 and pid:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        process.stdin.close()
    assert process.returncode == 0
    assert ended == "0"
    assert kills >= 10
    judged = JudgingRound.open(tmp_path, runs, items=items)
    named = {task.output_id: task.blind_id for task in judged.pool.tasks.values()}
    assert len(named) >= 200
    table = judgements_of(tmp_path).with_columns(blind=pl.col("output_id").replace_strict(named))
    counts = Counter(table.select("judge_id", "blind").rows())
    assert set(counts.values()) == {1}
    assert len(table) == 3 * len(named)
    assert set(acknowledged) <= set(counts)
    assert len(acknowledged) == len(set(acknowledged))
