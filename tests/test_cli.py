"""The command line: what it prints where, and one line with the right exit code for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from command_line import Dfar, Run, command, refused
from dfar_toolkit.cli.printing import interval, one_line, print_json
from dfar_toolkit.tabular.delimited import delimited_rows


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


@pytest.fixture
def runs(demo: Path) -> tuple[Path, Path]:
    return demo / "runs" / "label-only.jsonl", demo / "runs" / "with-reasons.jsonl"


class TestWhatIsPrinted:
    def test_sources(self, dfar: Dfar) -> None:
        listed = {row["name"] for row in json.loads(dfar("sources", "--json").out)}
        assert {"dfar", "ethics", "ethos", "scruples", "esnli", "eraser", "lewidi", "label_studio", "table"} <= listed
        assert "lewidi" in dfar("sources").out

    def test_check_is_json_with_the_agreed_keys(self, dfar: Dfar, demo: Path) -> None:
        run = dfar("check", demo / "items", "--json")
        rows = json.loads(run.out)
        assert run.code == 0
        assert {"finding", "severity", "count", "total", "examples"} <= set(rows[0])
        assert {"leak.exact", "leak.near", "leak.identical_row", "label.conflict", "reason.contradicts_label"} <= {
            row["finding"] for row in rows
        }

    def test_agreement_is_json_with_the_agreed_keys(self, dfar: Dfar, demo: Path) -> None:
        rows = json.loads(dfar("agreement", demo / "items", "--json", "--cross-check").out)
        assert {"statistic", "level", "value", "low", "high", "n", "note"} <= set(rows[0])
        found = {row["statistic"] for row in rows}
        assert found == {"percent_agreement", "krippendorff_alpha", "fleiss_kappa", "gwet_ac1", "cohen_kappa"}
        assert "fleiss" not in dfar("agreement", demo / "items").out
        assert "fleiss" in dfar("agreement", demo / "items", "--all").out
        alpha = next(row for row in rows if row["statistic"] == "krippendorff_alpha")
        assert abs(alpha["difference"]) < 1e-12

    def test_agreement_by_a_column_of_items_and_of_raters(self, dfar: Dfar, demo: Path) -> None:
        by_split = json.loads(dfar("agreement", demo / "items", "--by", "split", "--json").out)
        assert {row["split"] for row in by_split} == {"train", "test"}
        run = dfar("agreement", demo / "items", "--by", "gender", "--json")
        assert {row["gender"] for row in json.loads(run.out)} == {"woman", "man"}
        assert "described, not compared" in run.err

    def test_agreement_of_a_plain_table(self, dfar: Dfar, demo: Path, tmp_path: Path) -> None:
        folder = json.loads(dfar("agreement", demo / "items", "--json").out)
        words = ("agreement", demo / "raw" / "annotations.csv", "--item", "statement_id", "--rater", "annotator")
        table = json.loads(dfar(*words, "--value", "label", "--json").out)
        assert [row["value"] for row in table[:4]] == pytest.approx([row["value"] for row in folder[:4]], abs=1e-12)

    def test_score_is_json_with_the_agreed_keys(self, dfar: Dfar, demo: Path, runs: tuple[Path, Path]) -> None:
        words = ("score", runs[1], "--items", demo / "items", "--judgements", demo / "judgements.csv", "--json")
        rows = json.loads(dfar(*words).out)
        assert {"metric", "subset", "value", "low", "high", "n", "note"} <= set(rows[0])
        values = {(row["run_id"], row["metric"]): row["value"] for row in rows if row["label"] is None}
        assert values["with-reasons", "accuracy"] == pytest.approx(46 / 58)
        assert values["with-reasons", "mar_mean"] == pytest.approx(48 / 168)  # every reason judged by all three
        assert values["human", "mar_mean"] == pytest.approx(7 / 90)
        cells = [row["value"] for row in rows if row["metric"] == "confusion"]
        assert sum(cells) == 58
        assert "Confusion matrix of with-reasons, all" in dfar(*words[:-1]).out

    def test_the_judging_protocol_is_printed_with_the_rates(
        self, dfar: Dfar, demo: Path, runs: tuple[Path, Path]
    ) -> None:
        words = ("score", runs[1], "--items", demo / "items", "--judgements", demo / "judgements.csv", "--n-boot", 100)
        assert "no judging protocol was given" in dfar(*words).err
        assert "blinded: True" in dfar(*words, "--protocol", demo / "protocol.yaml").err

    def test_report(self, dfar: Dfar, demo: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
        out = tmp_path / "deep" / "page.html"
        assert dfar("report", *runs, "--items", demo / "items", "--out", out).code == 0
        assert {p.name for p in out.parent.iterdir()} == {"page.html", "page.md", "page.json"}

    def test_a_report_passes_its_options_on(
        self, dfar: Dfar, demo: Path, runs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        words = ("report", runs[1], "--items", demo / "items", "--out", tmp_path / "r.html", "--n-boot", 100)
        assert dfar(*words, "--confidence", 0.8).code == 0
        rows = json.loads((tmp_path / "r.json").read_text())["scores"]
        assert {row["confidence"] for row in rows} - {None} == {0.8}  # counts have none
        assert dfar(*words, "--split", "train").code == 0
        rows = json.loads((tmp_path / "r.json").read_text())["scores"]
        assert {row["metric"]: row["value"] for row in rows}["missing_outputs"] == 20  # the run answered test only
        run = dfar("report", "--items", demo / "items", "--judgements", "x.csv", "--out", tmp_path / "r.html")
        refused(run, "judgements are about outputs")

    def test_card_keeps_what_was_written_by_hand(self, dfar: Dfar, demo: Path, tmp_path: Path) -> None:
        folder = tmp_path / "items"
        shutil.copytree(demo / "items", folder)
        card = (folder / "README.md").read_text()
        (folder / "README.md").write_text(card + "\n## Our own words\n\nKept.\n")
        assert dfar("card", folder).code == 0
        assert (folder / "README.md").read_text().endswith("## Our own words\n\nKept.\n")
        assert dfar("check", folder).code == 0

    def test_json_has_no_nan(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_json([{"value": float("nan"), "of": [1.0, float("inf")]}])
        assert json.loads(capsys.readouterr().out) == [{"value": None, "of": [1.0, None]}]

    def test_json_has_times_and_decimals(self, capsys: pytest.CaptureFixture[str]) -> None:
        when = datetime(2024, 5, 1, 12, 30)
        print_json([{"at": when, "day": when.date(), "took": timedelta(hours=1), "of": [Decimal("0.5"), when.time()]}])
        found = json.loads(capsys.readouterr().out)
        assert found == [{"at": "2024-05-01T12:30:00", "day": "2024-05-01", "took": "1:00:00", "of": [0.5, "12:30:00"]}]

    @pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime])
    def test_drift_over_dates_as_json(self, dfar: Dfar, tmp_path: Path, dtype: pl.DataType) -> None:
        rows = [(f"i{i}", rater, str((i * (1 + (rater == "b"))) % 2), date(2024, 1, 1 + i))
                for i in range(24) for rater in "abc"]  # fmt: skip
        frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "at"], orient="row")
        frame.with_columns(pl.col("at").cast(dtype)).write_parquet(tmp_path / "ratings.parquet")
        run = dfar("agreement", tmp_path / "ratings.parquet", "--drift", "at", "--json", "--n-boot", "100")
        assert run.code == 0, run.err
        assert "2024-01-" in run.out
        assert json.loads(run.out)

    def test_a_table_without_rows_ends_well(self, tmp_path: Path) -> None:
        (tmp_path / "empty.csv").write_text("item_id,annotator_id,value\n")
        command = [sys.executable, "-c", "from dfar_toolkit.cli import main; main()", "agreement", "empty.csv"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "terminate" not in run.stderr

    @pytest.mark.parametrize(("rows", "threads"), [(0, False), (3, False), (1_100_000, True)])
    def test_small_tables_are_read_without_threads(
        self, monkeypatch: pytest.MonkeyPatch, rows: int, threads: bool
    ) -> None:
        from pyarrow import csv as pacsv

        used, options = [], pacsv.ReadOptions

        def noted(*, use_threads: bool, block_size: int) -> pacsv.ReadOptions:
            used.append(use_threads)
            return options(use_threads=use_threads, block_size=block_size)

        monkeypatch.setattr(pacsv, "ReadOptions", noted)
        assert len(delimited_rows(b"item_id,value\n" + b"item 1234,value\n" * rows, ",", ())) == rows
        assert used == [threads]

    def test_nothing_from_data_steers_the_terminal(self) -> None:
        assert one_line("a\x1b[31m\u202eb\r\nc") == "a\\x1b[31m\\u202eb\\r\\nc"
        assert interval(None, 1.0) == ""


class TestMistakes:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def score(self, dfar: Dfar, demo: Path, text: str | bytes, name: str = "run.csv", *words: object) -> Run:
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return dfar("score", name, "--items", demo / "items", *words)

    def test_missing_file(self, dfar: Dfar, demo: Path) -> None:
        refused(dfar("score", "nowhere.jsonl", "--items", demo / "items"), "nowhere.jsonl")

    def test_empty_file(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, ""), "run.csv", "empty")

    def test_missing_column(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, "item,label\nx,ethical\n"), "item_id", "item")

    def test_wrong_delimiter(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, "item_id;label\nx;ethical\n"), "separator", ";")

    def test_the_named_delimiter_works(self, dfar: Dfar, demo: Path) -> None:
        text = "item_id;label\neveryday:test:s021;ethical\n"
        assert self.score(dfar, demo, text, "run.csv", "--separator", ";", "--n-boot", 100).code == 0

    def test_invalid_utf8(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, b"item_id,label\nx,\xff\xfe\n"), "run.csv", "UTF-8")

    def test_unknown_label(self, dfar: Dfar, demo: Path) -> None:
        text = "item_id,label\neveryday:test:s021,fine\neveryday:test:s022,wrong\n"
        refused(self.score(dfar, demo, text), "fine", "wrong", "ethical, unethical", "--map")

    def test_a_map_mends_it(self, dfar: Dfar, demo: Path) -> None:
        text = "item_id,label\neveryday:test:s021,fine\neveryday:test:s022,wrong\n"
        words = ("--map", "fine=ethical,wrong=unethical", "--n-boot", 100)
        assert self.score(dfar, demo, text, "run.csv", *words).code == 0

    def test_duplicate_ids(self, dfar: Dfar, demo: Path) -> None:
        text = "item_id,label\neveryday:test:s021,ethical\neveryday:test:s021,ethical\n"
        refused(self.score(dfar, demo, text), "two answers", "everyday:test:s021")

    def test_ids_that_are_not_in_the_items(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, "item_id,label\nother:test:1,ethical\n"), "other:test:1")

    def test_judgements_for_another_run(self, dfar: Dfar, demo: Path, runs: tuple[Path, Path]) -> None:
        words = ("--items", demo / "items", "--judgements", demo / "judgements.csv")
        refused(dfar("score", runs[0], *words), "label-only", "with-reasons")

    def test_broken_json_line(self, dfar: Dfar, demo: Path) -> None:
        refused(self.score(dfar, demo, '{"item_id": "x", "label": "ethical"}\n{"item\n', "run.jsonl"), "line 2")

    def test_not_an_items_folder(self, dfar: Dfar, runs: tuple[Path, Path]) -> None:
        Path("empty").mkdir()
        refused(dfar("score", runs[0], "--items", "empty"), "empty", "manifest.json", "dfar build")
        refused(dfar("check", "nothing"), "nothing")
        refused(dfar("view", "nothing"), "nothing")

    def test_a_changed_file_is_noticed(self, dfar: Dfar, demo: Path) -> None:
        shutil.copytree(demo / "items", "items")
        path = Path("items/annotations.parquet")
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
        refused(dfar("check", "items"), "annotations.parquet", "differ from the manifest")

    def test_a_half_deleted_folder_is_noticed(self, dfar: Dfar, demo: Path) -> None:
        shutil.copytree(demo / "items", "items")
        Path("items/data/default/test.parquet").unlink()
        refused(dfar("check", "items"), "test.parquet", "not there")

    def test_unknown_source(self, dfar: Dfar) -> None:
        refused(dfar("build", "dfra", "--raw", ".", "--out", "out"), "unknown source 'dfra'", "lewidi", code=2)
        assert not Path("out").exists()

    def test_the_raw_folder_has_no_such_files(self, dfar: Dfar) -> None:
        refused(dfar("build", "dfar", "--raw", ".", "--out", "out"), "DFAR_trainset.csv")
        assert not Path("out").exists()

    def test_out_holds_other_files(self, dfar: Dfar, demo: Path) -> None:
        Path("out").mkdir()
        Path("out/thesis.tex").write_text("mine")
        words = ("build", "table", "--raw", demo / "raw", "--mapping", demo / "raw" / "mapping.yaml", "--out", "out")
        refused(dfar(*words), "found other files")
        assert [p.name for p in Path("out").iterdir()] == ["thesis.tex"]

    def test_a_table_of_ratings_with_other_columns(self, dfar: Dfar) -> None:
        Path("r.csv").write_text("id,who,says\n1,a,x\n")
        refused(dfar("agreement", "r.csv"), "--item (now 'item_id')", "--rater", "--value", "layout=wide")

    def test_unknown_column_to_slice_by(self, dfar: Dfar, demo: Path) -> None:
        refused(dfar("agreement", demo / "items", "--by", "moon"), "moon", "split")

    def test_unknown_question(self, dfar: Dfar, demo: Path) -> None:
        refused(dfar("agreement", demo / "items", "--question", "moon"), "moon", "ethical")

    @pytest.mark.parametrize(
        "words",
        [
            ("build", "dfar", "--raw", ".", "--out", "o", "--split", "weekly"),
            ("build", "dfar", "--raw", ".", "--out", "o", "--size", "test=0.1"),
            ("build", "table", "--raw", ".", "--out", "o", "--column", "statement"),
            ("check", "x", "--allow", "leak.exact=many"),
            ("check", "x", "--allow", "leak.exakt=3"),
            ("check", "x", "--accept", "leak.exakt"),
            ("check", "x", "--length", "reason=5"),
            ("build", "table", "--raw", ".", "--out", "o", "--column", "lable=x"),
            ("score", "x", "--items", "y", "--map", "fine"),
            ("score", "x", "--items", "y", "--map", "fine=a,fine=b"),
            ("agreement", "x", "--kind", "fuzzy"),
            ("report", "--items", "y", "--out", "page.pdf"),
        ],
    )
    def test_wrong_usage_exits_2(self, dfar: Dfar, words: tuple[str, ...]) -> None:
        refused(dfar(*words), code=2)

    @pytest.mark.parametrize("words", [("nothing",), ("score",), ("score", "x", "--items", "y", "--n-boot", "3")])
    def test_what_typer_refuses_exits_2(self, dfar: Dfar, words: tuple[str, ...]) -> None:
        refused(dfar(*words), "--help", code=2)

    def test_nothing_at_all_shows_the_help(self, dfar: Dfar) -> None:
        run = dfar()
        assert (run.code, run.out) == (2, "")
        assert "Commands:" in run.err
