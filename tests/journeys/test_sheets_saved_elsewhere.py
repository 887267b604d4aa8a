"""Judges' sheets: which reasons go in, and filled sheets as spreadsheets save them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.judge_sheets import collect_judgements, write_judge_plan
from dfar_toolkit.tables import conform
from small_tables import make_items

N = 20
HOSTILE = {0: "=cmd|calc!A1", 1: 'line 1\nline 2, "quoted"; more', 2: "", 3: " \t ", 4: None, 5: "🙂", 6: "سبب"}
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def folder() -> ItemsFolder:
    items = make_items(["good", "wrong"] * (N // 2)).with_columns(statement=pl.format("Statement of {}", "item_id"))
    said = [
        {"rating_id": f"i{k}#{r}", "item_id": f"i{k}", "annotator_id": f"a{r}", "question": q, "value": "wrong",
         "reason": " " if (k, q) == (7, "q") else f"person {r} about {k} ({q})"}
        for k in range(N) for r, q in ((1, "q"), (2, "other"))
    ]  # fmt: skip
    questions = pl.DataFrame({"question": ["q"], "options": [["good", "wrong"]]})
    empty = pl.DataFrame()
    annotations = conform(pl.DataFrame(said), "annotations")
    return ItemsFolder(Path("items"), items, annotations, empty, empty, questions, {}, [], [])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "m.jsonl"
    rows = [{"item_id": f"i{k}", "label": "good", "reason": HOSTILE.get(k, f"model about {k}")} for k in range(N)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def plan(folder: ItemsFolder, outputs: Path, tmp_path: Path) -> Path:
    write_judge_plan([outputs], items=folder, judges=["ann"], out=tmp_path / "plan")
    return tmp_path / "plan"


def sheet_rows(out: Path) -> Rows:
    with (out / "sheets" / "ann.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def save(out: Path, rows: Rows, *, separator: str = ",", end: str = "\n", mark: str = "", blank: int = 0) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow(rows[0])
    writer.writerows([*(row.values() for row in rows), *([[""] * len(rows[0])] * blank)])
    (out / "sheets" / "ann.csv").write_text(mark + text.getvalue(), encoding="utf-8", newline="")


def test_only_reasons_to_the_primary_question_are_judged(plan: Path) -> None:
    # 20 outputs less a null and two blank ones; one person's on the same 17 items less a blank one, none of "other".
    shown = [row["reason"] for row in sheet_rows(plan)]
    assert len(shown) == 17 + 16
    assert all(text.strip() for text in shown)
    assert not any("(other)" in text for text in shown)
    assert {"'=cmd|calc!A1", HOSTILE[1], HOSTILE[5], HOSTILE[6]} <= set(shown)


def test_share_of_the_items_is_the_chance_of_being_judged(folder: ItemsFolder, outputs: Path, tmp_path: Path) -> None:
    write_judge_plan([outputs], items=folder, judges=["ann", "bob", "eve"], out=tmp_path / "p", share=0.3, overlap=0)
    found = pl.read_csv(tmp_path / "p" / "plan.csv")
    assert found["item_id"].n_unique() == 6  # .3 x 17 items with a reason, rounded up
    assert found["inclusion_prob"].unique().to_list() == [pytest.approx(6 / 17)]
    loads = found["judge_id"].value_counts()["count"].to_list()
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize(
    ("separator", "mark", "end", "blank"),
    [(",", "", "\n", 0), (";", "\ufeff", "\r\n", 0), ("\t", "", "\n", 0), (",", "", "\r\n", 3)],
    ids=["as written", "semicolons", "tabs", "blank rows"],
)
def test_a_sheet_saved_by_a_spreadsheet_is_read(
    plan: Path, tmp_path: Path, separator: str, mark: str, end: str, blank: int
) -> None:
    verdicts = {"human": "good", "m": "Bad "}
    key = {row["blind_id"]: row for row in pl.read_csv(plan / "plan.csv").to_dicts()}
    rows = sheet_rows(plan)
    for row in rows:
        row["value"] = verdicts[key[row["blind_id"]]["run_id"]]
    rows[0]["value"], rows[0]["note"] = " ", 'two\nlines, "quoted"; =1'
    save(plan, rows[::-1], separator=separator, mark=mark, end=end, blank=blank)
    judged, notes = collect_judgements(plan, tmp_path / "out.csv")
    assert notes == ("ann: 1 of 33 verdicts are blank",)
    wanted = {key[r["blind_id"]]["output_id"]: r["value"].strip().lower() for r in rows[1:]}
    assert dict(judged.select("output_id", "value").iter_rows()) == wanted
    again = read_judgements(tmp_path / "out.csv")
    assert dict(again.select("output_id", "value").iter_rows()) == wanted


def test_a_verdict_that_lost_its_id_is_not_dropped(plan: Path, tmp_path: Path) -> None:
    rows = sheet_rows(plan)
    save(plan, [{**rows[0], "blind_id": "", "value": "bad"}, *rows[1:]])
    with pytest.raises(TableError, match="the plan gives ann no reason ''"):
        collect_judgements(plan, tmp_path / "out.csv")


def test_judges_whose_sheets_would_have_one_name_are_refused(
    folder: ItemsFolder, outputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match="differ by more than case"):
        write_judge_plan([outputs], items=folder, judges=["Ann", "ann"], out=tmp_path / "p")
