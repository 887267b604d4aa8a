"""Three judges in three browsers while the server is killed: what the page acknowledged is there, exactly once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from judging_browser import BrowsingJudge, Server, answer_to, chromium_path, note_on
from shown_page import STREAMLIT_WARNINGS

from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.judge_session_queue import queue_of

pytestmark = [pytest.mark.browser, *STREAMLIT_WARNINGS]
JUDGES = ("ann", "bob", "eve")
KNOWN = {"label": "unethical", "reason": "Bananas.", "value": "bad"}


def judged_by_three(
    demo: Path, folder: Path, *, reasons: int, every: int, kill_after: tuple[int, int]
) -> tuple[int, int]:
    """Let three judges judge; how many answers were acknowledged, and how often the server was killed."""
    checks = [{"statement": f"I stole {k} bikes.", **KNOWN} for k in range(20)]
    said = {
        "judges": list(JUDGES), "overlap": "full", "reasons_per_judge": reasons, "human_per_item": 3,
        "training": [{"statement": "I lied.", **KNOWN, "why": "It gives no reason."}],
        "attention": {"every": every, "items": checks},
    }  # fmt: skip
    (folder / "protocol.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    run = demo / "runs" / "with-reasons.jsonl"
    server = Server(demo / "items", [run], folder, folder / "log")
    judges = [BrowsingJudge(name, server.address, time.monotonic() + 40 + 6 * reasons) for name in JUDGES]
    rng, kills, due = random.Random(0), 0, 0
    try:
        for judge in judges:
            judge.start()
        due = rng.randint(*kill_after)
        while any(judge.is_alive() for judge in judges):
            if sum(len(judge.acknowledged) for judge in judges) >= due and (kills == 0 or reasons > 10):
                time.sleep(rng.uniform(0, 0.5))
                server.kill()
                kills += 1
                server.start()
                due = sum(len(judge.acknowledged) for judge in judges) + rng.randint(*kill_after)
            time.sleep(0.02)
    finally:
        server.kill()
    assert [judge.failed for judge in judges] == [None, None, None], (folder / "log").read_text()
    check_files(demo, folder, judges)
    return sum(len(judge.acknowledged) for judge in judges), kills


def check_files(demo: Path, folder: Path, judges: list[BrowsingJudge]) -> None:
    """Line by line: one answer per judge and reason, what was acknowledged among them, in the judge's own words."""
    run = demo / "runs" / "with-reasons.jsonl"
    judging = JudgingRound.open(folder, [run], items=demo / "items")
    files = [path.read_text(encoding="utf-8").splitlines() for path in (folder / "answers").glob("*.jsonl")]
    rows = [json.loads(line) for lines in files for line in lines if line.endswith("}") and "crc32" in line]
    assert not [row for row in rows if "undoes" in row]
    counts = Counter((row["judge_id"], row["output_id"]) for row in rows)
    assert set(counts.values()) == {1}
    given = {(row["judge_id"], row["output_id"]): row for row in rows}
    for judge in judges:
        queue = queue_of(judging.pool, judging.protocol, judge.judge)
        named = {task.blind_id: task.output_id for task in queue}
        assert len(set(judge.acknowledged)) == len(judge.acknowledged)
        assert {given[judge.judge, named[blind]]["value"] == value for blind, value in judge.acknowledged} == {True}
        # Nothing else is there but what the judge gave, acknowledged or not, and all of the queue is there.
        own = {task.blind_id: given[judge.judge, task.output_id] for task in queue}
        assert all(row["value"] == answer_to(blind) for blind, row in own.items())
        assert {row["note"] for row in own.values()} <= {None, *(note_on(blind) for blind in own)}
        assert all(row["note"] in (None, note_on(blind)) for blind, row in own.items())
    assert len(rows) == sum(len(queue_of(judging.pool, judging.protocol, name)) for name in JUDGES)
    line = [sys.executable, "-m", "dfar_toolkit.cli", "score", str(run), "--items", str(demo / "items"),
            "--judgements", str(folder), "--protocol", str(folder), "--n-boot", "100"]  # fmt: skip
    scored = subprocess.run(line, capture_output=True, text=True, check=False)
    assert scored.returncode == 0, scored.stderr
    assert "mar_mean" in scored.stdout or "misalign" in scored.stdout.lower(), scored.stdout


def test_a_killed_server_loses_no_acknowledged_answer(demo: Path, tmp_path: Path) -> None:
    chromium_path()
    acknowledged, kills = judged_by_three(demo, tmp_path, reasons=6, every=6, kill_after=(6, 10))
    assert acknowledged > 18
    assert kills == 1


@pytest.mark.slow
def test_three_judges_and_two_hundred_reasons_each(demo: Path, tmp_path: Path) -> None:
    chromium_path()
    begun = time.monotonic()
    acknowledged, kills = judged_by_three(demo, tmp_path, reasons=200, every=20, kill_after=(25, 70))
    print(f"{acknowledged} answers acknowledged, {kills} kills, {time.monotonic() - begun:.0f} s")
    assert acknowledged >= 600
    assert kills >= 8
