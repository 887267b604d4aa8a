"""The page Coordinator: only for that role; progress, attention, agreement, verdicts, disputes, notes, download."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.journeys.judge_session import JudgingRound
from judged_rounds import CHECKS, answer_all, judging
from viewer_example import SCRIPT

pytestmark = STREAMLIT_WARNINGS
VIEW = "dfar_toolkit._viewer.access.role"


@pytest.fixture(autouse=True)
def _coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFAR_VIEWER_SERVED", "1")
    monkeypatch.setattr(VIEW, lambda given: "coordinator")


def round_of(demo: Path, folder: Path, **said: Any) -> tuple[JudgingRound, list[str | Path]]:
    runs = [] if said.get("round") == "validity" else [demo / "runs" / "with-reasons.jsonl"]
    judging(folder, **said)
    opened = JudgingRound.open(folder, runs, items=demo / "items")
    return opened, ["--judge", folder, demo / "items", *runs]


def rows_of(page: Any) -> list[str]:
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", html_of(page), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]


def test_only_the_coordinator_sees_it(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    opened, argv = round_of(demo, tmp_path)
    answer_all(opened.session("ann"))
    assert "ann" in words_of(show_page(monkeypatch, "coordinator", argv))
    for role in ("judge", "reader"):
        monkeypatch.setattr(VIEW, lambda given, role=role: role)
        page = show_page(monkeypatch, "coordinator", argv)
        assert "For whoever coordinates" in words_of(page)
        assert "ann" not in words_of(page).split()
    monkeypatch.setattr(VIEW, lambda given: "coordinator")
    assert "For whoever coordinates" in words_of(show_page(monkeypatch, "coordinator", [demo / "items"]))


def test_the_standing_of_a_round(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    opened, argv = round_of(demo, tmp_path, attention={"every": 20, "items": CHECKS}, reasons_per_judge=40)
    answer_all(opened.session("ann"), ("good", "bad", "good"))
    answer_all(opened.session("bob"), ("bad",))
    page = show_page(monkeypatch, "coordinator", argv)
    rows = rows_of(page)
    assert any(re.match(r"bob 40 of 40 0 0 40 ✓ 2 of 2 – 0\.\d", row) for row in rows)
    assert any(row.startswith("people 0.") and "[" in row for row in rows)
    assert any(row.startswith("A with-reasons 0.") for row in rows)
    assert any(row.startswith("all percent agreement 0.") for row in rows)
    assert "reasons_per_judge is set" in words_of(page)
    assert f"--judgements {tmp_path} --protocol {tmp_path}" in words_of(page)
    again = [*argv, demo / "runs" / "label-only.jsonl"]  # scoring takes one outputs file: a command for each
    assert html_of(show_page(monkeypatch, "coordinator", again)).count("dfar score /") == 2
    assert len(page.get("download_button")) == 2
    shown = session_answer(opened, "eve")
    again = rows_of(show_page(monkeypatch, "coordinator", argv))
    assert any(row.startswith(f"eve 1 of {shown}") for row in again)  # an answer is seen at once


def session_answer(opened: JudgingRound, judge: str) -> int:
    session = opened.session(judge)
    shown = session.next()
    assert shown is not None
    session.record(shown.blind_id, "good")
    return len(opened.pool.tasks) if opened.protocol.reasons_per_judge is None else opened.protocol.reasons_per_judge


def test_what_was_judged_differently_and_noted(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    opened, argv = round_of(demo, tmp_path, error_types=["circular"])
    for judge, value in (("ann", "good"), (f"bob {SCRIPT}", "bad")):
        session = opened.session(judge)
        for k in range(1, 31):
            bad = value == "bad" and k <= 25
            note = f"{SCRIPT} {k}" if k == 7 and bad else ""
            session.record(f"r{k:03d}", "bad" if bad else "good", error_types=["circular"] * bad, note=note)
    page = show_page(monkeypatch, "coordinator", argv)
    links = links_of(page)
    assert {"Judged differently 25", "With a note 1"} <= set(links)
    assert len(re.findall(r'<article class="d-card">', html_of(page))) == 20
    assert query_of(links["next n"]) == {"page": ["2"]}
    second = show_page(monkeypatch, "coordinator", argv, {"page": "2"})
    assert len(re.findall(r'<article class="d-card">', html_of(second))) == 5
    noted = show_page(monkeypatch, "coordinator", argv, {"list": "notes", "page": "999"})
    assert f"“{SCRIPT} 7”" in words_of(noted)
    assert "circular" in words_of(noted)
    for one in (page, second, noted):
        assert "<script" not in html_of(one)
        assert "<img" not in html_of(one)


def test_before_anybody_answered(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    _, argv = round_of(demo, tmp_path)
    page = show_page(monkeypatch, "coordinator", argv)
    assert "Nobody has answered yet." in words_of(page)
    assert not page.get("download_button")
    _, argv = round_of(demo, tmp_path / "b", judges=["ann", "bob"])
    assert any(row.startswith("ann 0 of ") for row in rows_of(show_page(monkeypatch, "coordinator", argv)))


def test_how_much_everybody_judges(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    _, argv = round_of(demo, tmp_path / "open")
    page = words_of(show_page(monkeypatch, "coordinator", argv))
    assert "all for everybody who comes" in page
    assert "overlap" not in page
    assert "plan.csv" not in page
    (tmp_path / "open" / "plan.csv").write_text("judge_id,order,output_id\n")  # as judge-plan leaves it, for sheets
    assert "plan.csv is for sheets and is not followed here" in words_of(show_page(monkeypatch, "coordinator", argv))
    _, argv = round_of(demo, tmp_path / "named", judges=["ann", "bob"], overlap=0.2)
    (tmp_path / "named" / "plan.csv").write_text("judge_id,order,output_id\n")
    named = words_of(show_page(monkeypatch, "coordinator", argv))
    assert "overlap 20 %" in named
    assert "plan.csv" not in named


def test_a_validity_round(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    opened, argv = round_of(demo, tmp_path, round="validity")
    answer_all(opened.session("ann"), ("error", "voice"))
    answer_all(opened.session("bob"), ("voice", "voice", "error", "voice"))
    page = show_page(monkeypatch, "coordinator", argv)
    assert "Called error , by label" in words_of(page)
    assert any(re.match(r"all 0\.\d+ \[", row) for row in rows_of(page))
    assert re.search(r"error \d+ , split \d+ , voice \d+", words_of(page))


def test_a_round_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    opened, argv = round_of(demo, tmp_path)
    session_answer(opened, "ann")
    path = next((tmp_path / "answers").glob("*.jsonl"))
    path.write_text(path.read_text().replace('"good"', '"bad"'))
    page = show_page(monkeypatch, "coordinator", argv)
    assert "was changed or the disk is damaged" in page.error[0].value.replace("\\", "")
