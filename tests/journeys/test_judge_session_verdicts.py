"""What judges said of a round, for its coordinator: rejections by run, disputed reasons, notes, the pace."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judge_log import Answer, JudgeLog, judgements_of
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.judge_session_coordinator import standing_of
from dfar_toolkit.journeys.judge_session_verdicts import Said, disputed_of, remarked_of, verdicts_of
from dfar_toolkit.metrics.misalignment import misalignment_rate
from judged_rounds import CHECKS, answer_all, judging


@pytest.fixture(scope="module")
def items(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture
def judged(tmp_path: Path, demo: Path, items: ItemsFolder) -> JudgingRound:
    folder = judging(tmp_path, attention={"every": 20, "items": CHECKS}, error_types=["vague"])
    return JudgingRound.open(folder, [demo / "runs" / "with-reasons.jsonl"], items=items)


def test_rejections_by_run_are_the_rates_of_the_scores(judged: JudgingRound, items: ItemsFolder) -> None:
    empty = verdicts_of(judged, n_boot=50)
    assert empty.select("run_id", "answers").rows() == [("human", 0), ("with-reasons", 0)]
    assert empty["value"].is_nan().all()
    answer_all(judged.session("ann"), ("good", "bad", None))
    answer_all(judged.session("bob"), ("bad", "good"))
    found = verdicts_of(judged, n_boot=50)
    table = judgements_of(judged.folder)
    for run in ("human", "with-reasons"):
        own = table.filter(run_id=run)
        row = found.row(by_predicate=pl.col("run_id") == run, named=True)
        rate = misalignment_rate(own, items=items.items, n_boot=50)
        assert (row["value"], row["low"], row["high"]) == (rate.value, rate.low, rate.high)
        assert row["answers"] == len(own) - own["value"].null_count()


def test_disputed_reasons_come_by_how_evenly_judges_are_split(judged: JudgingRound) -> None:
    said = {"ann": "ggggs", "bob": "gbbbb", "eve": "gggbs", "kim": "gggbs"}
    words = {"g": "good", "b": "bad", "s": None}
    blind = [task.blind_id for task in judged.pool.tasks.values()][:5]
    for judge, values in said.items():
        for name, value in zip(blind, values, strict=True):
            wrong = ["vague"] if value == "b" else []
            judged.session(judge).record(
                name, words[value], error_types=wrong, note=f"{judge}!" if value == "b" else ""
            )
    names = {task.blind_id: task for task in judged.pool.tasks.values()}
    found = disputed_of(judged)
    # good bad good good (1/4) twice, good bad bad bad (3/4): all as uneven, so in order of their names; the first is
    # agreed on, the last was judged by one alone.
    assert [r.output_id for r in found] == sorted(names[name].output_id for name in blind[1:4])
    third = next(r for r in found if r.output_id == names[blind[3]].output_id)
    assert third.said == (
        Said("ann", "good", "", ""), Said("bob", "bad", "vague", "bob!"), Said("eve", "bad", "vague", "eve!"),
        Said("kim", "bad", "vague", "kim!"),
    )  # fmt: skip
    task = names[blind[3]]
    assert (third.item_id, third.run_id, third.label, third.reason) == (
        task.item_id, task.run_id, task.label, task.reason,
    )  # fmt: skip
    assert third.statement == judged.seen_of(task)[0].statement
    remarked = remarked_of(judged)
    assert {r.output_id for r in remarked} == {names[name].output_id for name in blind[1:]}
    assert remarked[0].output_id == names[blind[3]].output_id  # kim's note is the last


def test_the_pace_is_the_median_from_one_answer_to_the_next(judged: JudgingRound) -> None:
    log = JudgeLog(judged.folder, "ann")
    tasks = list(judged.pool.tasks.values())
    for task, second in zip(tasks, ("00.000", "04.500", "06.000", "59.000"), strict=False):
        log.record(
            Answer("reason_ok", task.output_id, task.run_id, task.item_id, "good", protocol=judged.protocol.digest,
                   shown=task.digest, at=f"2026-01-02T03:04:{second}Z")
        )  # fmt: skip
    assert standing_of(judged, n_boot=50).judges["median_seconds"].to_list() == [4.5]
