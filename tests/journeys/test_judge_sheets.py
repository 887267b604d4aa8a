"""Sheets for judges and back: blind, whole, joined to the same outputs."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.judge_sheets import collect_judgements, write_judge_plan
from dfar_toolkit.journeys.scores import score_run


@pytest.fixture
def plan(demo: Path, tmp_path: Path) -> Path:
    runs = [demo / "runs" / "with-reasons.jsonl"]
    write_judge_plan(runs, items=demo / "items", judges=["ann", "bob"], out=tmp_path / "plan", per_item=1, seed=3)
    return tmp_path / "plan"


def fill(plan: Path, judge: str, values: list[str]) -> Path:
    sheet = plan / "sheets" / f"{judge}.csv"
    frame = pl.read_csv(sheet, infer_schema=False)
    frame.with_columns(value=pl.Series([values[k % len(values)] for k in range(len(frame))])).write_csv(sheet)
    return sheet


def test_sheets_are_blind(plan: Path) -> None:
    text = (plan / "sheets" / "ann.csv").read_text()
    assert "with-reasons" not in text
    assert "everyday:test" not in text
    assert text.splitlines()[0] == "order,blind_id,statement,label,reason,value,error_type,note"
    known = pl.read_csv(plan / "plan.csv")
    assert set(known["run_id"]) == {"with-reasons", "human"}
    assert known["inclusion_prob"].unique().to_list() == [1.0]


def test_filled_sheets_become_judgements_of_the_same_outputs(plan: Path, demo: Path, tmp_path: Path) -> None:
    fill(plan, "ann", ["Good", "BAD ", ""])
    fill(plan, "bob", ["good"])
    judgements, notes = collect_judgements(plan, tmp_path / "j.csv")
    assert len(notes) == 1
    assert "ann" in notes[0]
    read = read_judgements(tmp_path / "j.csv", questions=read_items(demo / "items").questions)
    assert len(read) == len(judgements)
    scores = score_run(
        demo / "runs" / "with-reasons.jsonl", items=demo / "items", judgements=tmp_path / "j.csv",
        parts=["judging"], n_boot=100,
    )  # fmt: skip
    planned = pl.read_csv(plan / "plan.csv")
    own = read.filter(pl.col("run_id") == "with-reasons")
    assert scores.filter(metric="mar_mean", run_id="with-reasons")["n"].item() == own["item_id"].n_unique()
    assert set(read["output_id"]) <= set(planned["output_id"])
    assert set(read["inclusion_prob"]) == {1.0}


def test_formulas_from_models_do_not_reach_a_spreadsheet(demo: Path, tmp_path: Path) -> None:
    run = tmp_path / "evil.jsonl"
    run.write_text('{"item_id": "everyday:test:s021", "label": "ethical", "reason": "=HYPERLINK(1)\\n-2"}\n')
    write_judge_plan([run], items=demo / "items", judges=["ann"], out=tmp_path / "plan")
    sheet = pl.read_csv(tmp_path / "plan" / "sheets" / "ann.csv", infer_schema=False)
    assert sheet["reason"].str.starts_with("'=HYPERLINK").any()
    assert not sheet.select(pl.concat_str("statement", "label", "reason").str.contains(r"^[=+\-@]").any()).item()


@pytest.mark.parametrize(
    ("value", "said"), [("maybe", "a verdict must be good or bad, found 'maybe'"), ("", "no sheet has a verdict yet")]
)
def test_verdicts_off_the_scale_and_empty_sheets_are_named(plan: Path, tmp_path: Path, value: str, said: str) -> None:
    fill(plan, "ann", [value])
    with pytest.raises(TableError, match=said):
        collect_judgements(plan, tmp_path / "j.csv")
    assert not (tmp_path / "j.csv").exists()


def test_changed_ids_and_rows_given_twice_are_named(plan: Path, tmp_path: Path) -> None:
    sheet = fill(plan, "ann", ["good"])
    frame = pl.read_csv(sheet, infer_schema=False)
    frame.with_columns(blind_id=pl.lit("r9999")).write_csv(sheet)
    with pytest.raises(TableError, match="no reason 'r9999'"):
        collect_judgements(plan, tmp_path / "j.csv")
    pl.concat([frame, frame.head(1)]).write_csv(sheet)
    with pytest.raises(TableError, match="twice"):
        collect_judgements(plan, tmp_path / "j.csv")


def test_a_plan_never_overwrites_and_names_what_is_wrong(plan: Path, demo: Path, tmp_path: Path) -> None:
    runs = [demo / "runs" / "with-reasons.jsonl"]
    with pytest.raises(TableError, match="absent or empty"):
        write_judge_plan(runs, items=demo / "items", judges=["ann"], out=plan)
    with pytest.raises(TableError, match="judge's id"):
        write_judge_plan(runs, items=demo / "items", judges=["../ann"], out=tmp_path / "p")
    with pytest.raises(TableError, match="no run gave a reason"):
        write_judge_plan([demo / "runs" / "label-only.jsonl"], items=demo / "items", judges=["ann"], out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_as_many_of_peoples_reasons_as_asked_for(demo: Path, tmp_path: Path) -> None:
    runs = [demo / "runs" / "with-reasons.jsonl"]
    write_judge_plan(
        runs, items=demo / "items", judges=["ann"], out=tmp_path / "one", overlap=0.0, human_per_item=1, seed=1
    )
    human = pl.read_csv(tmp_path / "one" / "plan.csv").filter(run_id="human")
    assert human.group_by("item_id").len()["len"].unique().to_list() == [1]
