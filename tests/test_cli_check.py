"""dfar check on the command line: overlap with other sets, word lists, labels that a classifier disagrees with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Dfar, command, refused
from dfar_toolkit.corpus.assemble import build_items
from dfar_toolkit.journeys.checking import CheckOptions, check_folder
from dfar_toolkit.sources import Mapping, read_source


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 items by three raters with reasons; five labels are turned."""
    lines = ["no,text,who,label,why"]
    for k in range(60):
        bad, turned = k % 2, k % 12 == 5
        word = "stole the purse of" if bad else "helped the child of"
        for who in "xyz":
            label = "unethical" if (bad != turned) else "ethical"
            why = "Stealing is wrong" if bad else "Helping is kind"
            lines.append(f"{k},I {word} person{k} number{k * 7},{who},{label},{why} {who}{k}")
    raw = tmp_path_factory.mktemp("raw")
    (raw / "train.csv").write_text("\n".join(lines) + "\n")
    columns = Mapping(
        name="mine", id="no", statement="text", annotator="who", label="label", reason="why", question="verdict",
        options=("ethical", "unethical"), fixed_split="train", files={"": "train.csv"},
    )  # fmt: skip
    build_items(read_source("table", raw, mapping=columns), raw / "out")
    return raw / "out"


def test_check_with_everything(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.txt").write_text("i stole the purse of person1 number7!\nI sang.\n")
    (tmp_path / "words.txt").write_text("purse\n")
    options = CheckOptions(
        against=(tmp_path / "bench.txt",), words={"things": tmp_path / "words.txt"}, suspects=True, shortcuts=True
    )
    checked = check_folder(folder, options)
    by_name = {f.finding: f for f in checked.findings}
    assert by_name["overlap.exact"].count == 1
    assert by_name["words.listed"].count == 30
    suspects = next(d.table for d in checked.details if d.finding == "label.suspect")
    own = {f"{k:05d}" for k in range(60) if k % 12 == 5} | {str(k) for k in range(60) if k % 12 == 5}
    assert {i.rpartition(":")[2] for i in suspects["item_id"]} <= own
    assert 0 < suspects.height <= 5
    assert by_name["label.suspect"].note.endswith(", commonest label 0.583")
    shares = next(d.table for d in checked.details if d.finding == "shortcut.reason")
    values = dict(shares.select("metric", "value").iter_rows())
    assert values["named"] == 0
    assert values["classifier"] == pytest.approx(1 - 5 / 60)
    assert by_name["shortcut.reason"].count == 1
    assert [f.finding for f in checked.failed] == [f.finding for f in check_folder(folder).failed]


def test_the_command_prints_pairs_and_json(dfar: Dfar, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.csv").write_text("text\nI stole the purse of person1 number7\n")
    asked = ["check", folder, "--against", tmp_path / "bench.csv"]
    shown = dfar(*asked).out
    assert "overlap.exact" in shown
    assert "Pairs, exact" in shown
    rows = {r["finding"]: r for r in json.loads(dfar(*asked, "--json").out)}
    pairs = rows["overlap.exact"]["tables"][1]["rows"]
    assert [(p["against"], p["other_id"], p["kind"]) for p in pairs] == [("bench.csv", "0", "exact")]
    assert "tables" not in rows["leak.exact"]
    refused(dfar("check", folder, "--against-column", "x"), "--against-column goes with --against", code=2)
    refused(dfar("check", folder, "--words", "nothing"), "--words wants KEY=VALUE", code=2)
    refused(dfar("check", folder, "--against", tmp_path / "absent.csv"), "there is no such file")
    refused(dfar(*asked, "--against", tmp_path / "bench.csv"), "twice")
    refused(dfar("check", folder, "--length", "reason=9:2"), "--length wants MIN up to MAX", code=2)
    (tmp_path / "blank.csv").write_text('text\n" "\n""\n')
    refused(dfar("check", folder, "--against", tmp_path / "blank.csv"), "wanted texts to compare with")
