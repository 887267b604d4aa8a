"""Outputs files of every kind through score and compare: right numbers, or one line that says what is wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from dfar_toolkit.cli import main

ESCAPE = "\x1b[31m"
IDS = [f"six:test:{k:05d}" for k in range(6)]
GOLD = ["bad", "good", "good", "good", "good", "good"]
_MAPPING = """
name: six
title: Six
licence: mit
layout: long
files: {test: rows.csv}
columns: {id: id, statement: text, annotator: who, label: label}
question: {id: fine, kind: KIND, options: OPTIONS, wording: "Fine?"}
"""


class Run(NamedTuple):
    code: int
    out: str
    err: str

    def value(self, metric: str, run_id: str | None = None) -> float:
        """The value over all items of one run."""
        rows = [r for r in json.loads(self.out) if r["metric"] == metric and r["subset"] == "all"]
        found = [r["value"] for r in rows if not r.get("label") and run_id in (None, r["run_id"])]
        assert len(found) == 1, self.err
        return float(found[0])


Dfar = Callable[..., Run]


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    def run(*words: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["dfar", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 0
        else:
            code = 0
        printed = capsys.readouterr()
        return Run(code, printed.out, printed.err)

    return run


def _built(folder: Path, labels: Sequence[object], *, kind: str, options: Sequence[str]) -> Path:
    from dfar_toolkit.cli.data import build

    raw = folder / "raw"
    raw.mkdir()
    rows = [f"{k:05d},statement {k},ann,{label}" for k, label in enumerate(labels)]
    (raw / "rows.csv").write_text("\n".join(["id,text,who,label", *rows]) + "\n")
    words = _MAPPING.replace("KIND", kind).replace("OPTIONS", json.dumps(list(options)))
    (raw / "mapping.yaml").write_text(words if options else words.replace("options: [], ", ""))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        build(["table"], raw=raw, out=folder / "items", mapping=raw / "mapping.yaml", keep_ids=True)
    return folder / "items"


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(tmp_path_factory.mktemp("six"), GOLD, kind="nominal", options=["good", "bad"])


@pytest.fixture
def score(dfar: Dfar, items: Path, tmp_path: Path) -> Dfar:
    def run(name: str, content: bytes | str | Sequence[object], *words: object) -> Run:
        path = tmp_path / name
        if not isinstance(content, bytes | str):
            content = "".join(f"{json.dumps(row)}\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return dfar("score", path, "--items", items, "--part", "labels", "--n-boot", 100, "--json", *words)

    return run


def refused(run: Run, *parts: str, code: int = 1) -> None:
    assert (run.code, run.out) == (code, ""), run.err
    lines = run.err.splitlines()
    assert len(lines) == 1, run.err
    assert all(part in lines[0] for part in parts), lines[0]


def _own(n: int | None = None, **changed: object) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [{"item_id": i, "label": "good"} for i in IDS]
    return [row | changed if n in (None, k) else row for k, row in enumerate(rows)]


def _csv(head: str, rows: Sequence[str]) -> str:
    return "\n".join([head, *rows]) + "\n"


class TestOurOwnTable:
    @pytest.mark.parametrize("value", [10**30, 2**63, 1e300, float("nan"), 1.5, [1], {"a": 1}, True])
    def test_a_sample_that_is_no_whole_number(self, score: Dfar, value: object) -> None:
        refused(score("a.jsonl", _own(2, sample=value)), 'a.jsonl: the column "sample" must hold whole numbers')

    def test_large_sample_numbers_keep_their_digits(self, score: Dfar) -> None:
        both = _own(sample=2**53) + _own(sample=2**53 + 1)
        assert score("a.jsonl", both).code == 0

    def test_columns_of_odd_types(self, dfar: Dfar, items: Path, tmp_path: Path) -> None:
        frame = pl.DataFrame(_own())
        odd = {
            "sample": pl.duration(seconds=1), "temperature": pl.struct(a=1.0), "reason": pl.struct(a=1),
            "raw": pl.lit([1]), "label": pl.struct(a=1), "error": pl.lit(b"\xff"),
        }  # fmt: skip
        for name, value in odd.items():
            frame.with_columns(value.alias(name)).write_parquet(tmp_path / "a.parquet")
            run = dfar("score", tmp_path / "a.parquet", "--items", items)
            refused(run, f'a.parquet: the column "{name}" must hold')
        lists = pl.lit([0.8, 0.2]).cast(pl.Array(pl.Float64, 2))  # as NumPy and datasets write them
        frame.select("item_id", label_probs=lists).write_parquet(tmp_path / "a.parquet")
        run = dfar("score", tmp_path / "a.parquet", "--items", items, "--part", "labels", "--n-boot", 100, "--json")
        assert run.value("accuracy") == pytest.approx(5 / 6)

    def test_rows_without_an_item(self, score: Dfar) -> None:
        for blank in (None, "", " "):
            refused(score("a.jsonl", _own(3, item_id=blank)), "1 of 6 rows have no item_id (the first is row 4)")

    def test_probabilities_that_are_all_zero(self, score: Dfar) -> None:
        run = score("a.jsonl", _own(2, label_probs={"good": 0, "bad": 0}))
        refused(run, f"label_probs of item {IDS[2]} give every option probability 0", "Leave them null")

    def test_the_run_is_named_and_a_method_chosen(self, score: Dfar) -> None:
        assert {r["run_id"] for r in json.loads(score("a.jsonl", _own(), "--run-id", "mine").out)} == {"mine"}
        both = _own(method="x") + _own(method="y", label="bad")
        assert score("a.jsonl", both, "--method", "y").value("accuracy") == pytest.approx(1 / 6)
        refused(score("a.jsonl", both, "--method", "z"), 'no method "z"; found "x", "y"')
        assert "--method was not needed" in score("a.jsonl", _own(), "--method", "z").err

    def test_a_map_that_swaps_is_applied_once(self, score: Dfar) -> None:
        swap = ("--map", "good=bad,bad=good")
        assert score("a.jsonl", _own(), *swap).value("accuracy") == pytest.approx(1 / 6)
        table = _csv("id,prediction", [f"{i},good" for i in IDS])
        assert score("a.csv", table, *swap).value("accuracy") == pytest.approx(1 / 6)


class TestFilesThatAreNone:
    def test_packed_pipes_folders_and_lists(self, score: Dfar, dfar: Dfar, items: Path, tmp_path: Path) -> None:
        lines = "".join(f"{json.dumps(row)}\n" for row in _own())
        refused(score("a.jsonl", gzip.compress(lines.encode())), "packed with gzip", "gunzip")
        refused(score("b.jsonl.gz", gzip.compress(lines.encode()), "--format", "lm_eval"), "packed with gzip")
        for inside in ("xl/workbook.xml", "content.xml"):
            with zipfile.ZipFile(book := io.BytesIO(), "w") as archive:
                archive.writestr(inside, "<x/>")
            refused(score("book.csv", book.getvalue()), "this is a spreadsheet; save the sheet as CSV")
        refused(score("old.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9)), "this is a spreadsheet")
        refused(score("a.jsonl", json.dumps(_own())), "line 1", "A file with one JSON list is to be named .json")
        refused(score("a.jsonl", lines[:-9]), "line 6", "It is the last line, as when a run is stopped")
        deep = json.dumps(_own()[0])[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}\n"
        refused(score("a.jsonl", deep), "nested too deeply")
        os.mkfifo(tmp_path / "pipe.jsonl")
        for words in ((), ("--format", "dfar"), ("--format", "lm_eval")):
            refused(dfar("score", tmp_path / "pipe.jsonl", "--items", items, *words), "this is a pipe or a device")
        (tmp_path / "folder").mkdir()
        refused(dfar("score", tmp_path / "folder", "--items", items), "a folder without outputs.parquet")

    def test_a_header_without_rows(self, score: Dfar) -> None:
        refused(score("a.csv", "id,prediction\n"), "this plain file holds no outputs")


def _batch(key: str, text: str | None, model: str | None = "m") -> dict[str, object]:
    if text is None:
        return {"id": "b", "custom_id": key, "response": None, "error": {"code": "batch_expired", "message": "late"}}
    body = {"object": "chat.completion", "model": model, "choices": [{"index": 0, "message": {"content": text}}]}
    return {"id": "b", "custom_id": key, "response": {"status_code": 200, "body": body}, "error": None}


class TestOtherTools:
    def test_failed_requests_belong_to_the_model_of_the_batch(self, score: Dfar) -> None:
        run = score("b.jsonl", [*(_batch(i, "good") for i in IDS[:4]), *(_batch(i, None) for i in IDS[4:])])
        assert run.value("accuracy", "m") == pytest.approx(3 / 6)  # of the first four one is wrong, two failed
        assert run.value("missing_outputs", "m") == 0
        assert "failed requests without a model, counted for the one that the file names (m): 2" in run.err

    def test_what_is_said_is_said_once(self, score: Dfar) -> None:
        lines = score("b.jsonl", [_batch(i, "good") for i in IDS]).err.splitlines()
        assert len(lines) == len(set(lines))
        plain = score("a.csv", _csv("id,prediction", [f"{i},good" for i in IDS])).err
        assert plain.count('read "id" as key') == plain.count("a.csv: read ") - 1 == 1

    def test_positions_of_a_batch_or_against_numbers_are_refused(self, score: Dfar) -> None:
        rows = [_batch(f"request-{k}", "good") for k in (3, 1, 2, 6, 5, 4)]
        refused(score("b.jsonl", rows, "--by-position"), "request-3", "in no order")
        falling = _csv("idx,prediction", [f"{k},good" for k in (5, 4, 3, 2, 1, 0)])
        refused(score("a.csv", falling, "--by-position"), "numbers in another order than the rows", "--split")
        assert score("a.csv", falling, "--split", "test").value("accuracy") == pytest.approx(5 / 6)

    def test_numbers_from_one_name_no_items_from_zero(self, score: Dfar) -> None:
        table = _csv("idx,prediction", [f"{k + 1},{label}" for k, label in enumerate(GOLD)])
        refused(score("a.csv", table, "--split", "test"), "they count from 1 and these from 0")
        assert score("a.csv", table, "--by-position").value("accuracy") == 1

    def test_positions_with_gaps_are_said(self, score: Dfar) -> None:
        lines = _csv("index\tprediction", [f"{k}\tgood" for k in (0, 1, 2, 3, 4, 7)])
        assert "leave out 2 numbers between 0 and 7" in score("p.txt", lines, "--by-position").err

    def test_broken_log_probabilities_are_counted(self, score: Dfar) -> None:
        rows = [_batch(i, "good") for i in IDS]
        top = [{"token": "good", "logprob": float("nan")}, {"token": "bad", "logprob": -1.0}]
        for row in rows[:2]:
            row["response"]["body"]["choices"][0]["logprobs"] = {  # type: ignore[index]
                "content": [{"token": "good", "logprob": -0.1, "top_logprobs": top}]
            }
        assert "log-probabilities are no numbers, read without them: 2" in score("b.jsonl", rows).err

    def test_samples_of_inspect_whose_ids_hold_slashes(self, dfar: Dfar, items: Path, tmp_path: Path) -> None:
        def sample(name: str, said: str) -> bytes:
            output = {"completion": said, "choices": [{"message": {"content": said}}]}
            content = {"id": name, "epoch": 1, "input": "?", "target": "good", "output": output}
            return json.dumps(content | {"scores": {"s": {"value": "C", "answer": said}}}).encode()

        head = json.dumps({"version": 2, "status": "success", "eval": {"model": "m"}}).encode()
        names = [name.replace(":", "/") for name in IDS]
        members = [("header.json", head), *((f"samples/{n}_epoch_1.json", sample(n, "good")) for n in names)]
        path = tmp_path / "log.eval"
        with zipfile.ZipFile(path, "w") as log:
            for name, content in members:
                log.writestr(name, content)
        run = dfar("score", path, "--items", items, "--part", "labels", "--n-boot", 100, "--json")
        assert run.value("missing_outputs") == 0
        assert run.value("accuracy") == pytest.approx(5 / 6)

    def test_shares_of_a_set_are_not_made_one_whole(self, dfar: Dfar, tmp_path: Path) -> None:
        built = _built(tmp_path, ["a", "b", "a"], kind="set", options=["a", "b"])
        (tmp_path / "s.csv").write_text(_csv("id,p_a,p_b", [f"{i},0.4,0.3" for i in IDS[:3]]))
        run = dfar("score", tmp_path / "s.csv", "--items", built, "--part", "labels", "--n-boot", 100, "--json")
        assert "probabilities left out, since several options may hold at once" in run.err

    def test_a_question_without_options(self, dfar: Dfar, tmp_path: Path) -> None:
        built = _built(tmp_path, [1.5, 2.5, 3.0], kind="interval", options=[])
        (tmp_path / "o.jsonl").write_text(json.dumps({"item_id": IDS[0], "label": 2.0}) + "\n")
        refused(dfar("score", tmp_path / "o.jsonl", "--items", built), "'fine' of the items has no options")


class TestCompare:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
        for path, rows in zip(paths, (_own(), _own(1, label="bad", run_id=f"{ESCAPE}evil")), strict=True):
            named = [row | {"run_id": f"{ESCAPE}evil"} if path == paths[1] else row for row in rows]
            path.write_text("".join(f"{json.dumps(row)}\n" for row in named))
        return paths

    def test_names_of_runs_do_not_steer_the_terminal(self, dfar: Dfar, items: Path, files: list[Path]) -> None:
        run = dfar("compare", *files, "--items", items, "--n-boot", 100)
        assert run.code == 0
        assert "\x1b" not in run.out + run.err

    def test_mistakes_are_one_line(self, dfar: Dfar, items: Path, files: list[Path]) -> None:
        refused(dfar("compare", files[0], "--items", items), "at least two runs")
        words = ("compare", *files, "--items", items)
        refused(dfar(*words, "--by", "reasons"), "holds several values per item")
        refused(dfar(*words, "--margin", "inf"), "--margin wants a finite number", code=2)
        refused(dfar(*words, "--primary", "acuracy"), "acuracy")

    def test_two_files_of_one_model(self, dfar: Dfar, items: Path, tmp_path: Path) -> None:
        for name, said in (("first", "good"), ("second", "bad")):
            rows = [_batch(i, said) for i in IDS]
            (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        both = (tmp_path / "first.jsonl", tmp_path / "second.jsonl")
        run = dfar("compare", *both, "--items", items, "--n-boot", 100, "--json")
        found = next(row for row in json.loads(run.out) if row["metric"] == "accuracy")
        assert (found["run_a"], found["run_b"]) == ("m", "m (second)")
        assert abs(found["value"]) == pytest.approx(4 / 6)
        assert "an earlier file has a run named 'm'" in run.err


def test_judges_and_protocols_need_judgements(score: Dfar, tmp_path: Path) -> None:
    rows = _own(reason="so it is")
    refused(score("a.jsonl", rows, "--protocol", tmp_path / "p.yaml"), "--protocol is about judgements", code=2)
    judged = tmp_path / "j.csv"
    judged.write_text(_csv("judge_id,run_id,item_id,value", [f"judge_1,a,{i},good" for i in IDS]))
    refused(
        score("a.jsonl", rows, "--judgements", judged, "--judge-model", "judge1"),
        'no judge is called "judge1"; found "judge_1". Is it "judge_1"?',
    )
