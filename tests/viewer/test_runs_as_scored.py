"""What dfar score takes as a run the viewer takes too, with the same numbers: other labels, own keys, methods."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from shown_page import STREAMLIT_WARNINGS, show_page, words_of
from two_questions import two_questions

from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.launch import command
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.item_record import item_record
from dfar_toolkit.browsing.run_standing import run_accuracy
from dfar_toolkit.cli import main
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.journeys.how_read import HowRead, how_read
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.journeys.outputs import OutputsOptions
from dfar_toolkit.journeys.scores import score_run
from judged_rounds import judging

pytestmark = STREAMLIT_WARNINGS
NAMES = {"unethical": "wrong", "ethical": "fine"}
BACK = {"wrong": "unethical", "fine": "ethical"}
MAP = "--map=wrong=unethical,fine=ethical"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def renamed(demo: Path, tmp_path: Path) -> Path:
    """The demo's run under other labels, probabilities included."""
    rows = lines(demo / "runs" / "with-reasons.jsonl")
    return written(tmp_path / "other-labels.jsonl", [
        row | {
            "label": NAMES.get(row["label"], row["label"]),
            "label_probs": {NAMES[name]: p for name, p in (row["label_probs"] or {}).items()} or None,
        }
        for row in rows
    ])  # fmt: skip


@pytest.fixture
def short(demo: Path, tmp_path: Path) -> Path:
    """The demo's run with the items' own keys alone."""
    rows = lines(demo / "runs" / "with-reasons.jsonl")
    return written(tmp_path / "short.jsonl", [row | {"item_id": row["item_id"].split(":")[-1]} for row in rows])


def accuracy_words(file: Path, items: Path, **how: Any) -> str:
    """What scoring finds, as pages write it."""
    found = score_run(file, items=items, parts=["labels"], **how).filter(metric="accuracy", subset="all")
    row = found.row(0, named=True)
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n = {row['n']}"


def test_labels_of_other_names_are_renamed_on_every_page(
    demo: Path, renamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, plain = demo / "items", demo / "runs" / "label-only.jsonl"
    expected = accuracy_words(renamed, items, label_map=BACK)
    argv = [MAP, items, renamed, plain]
    overview, runs = (words_of(show_page(monkeypatch, page, argv)) for page in ("overview", "runs"))
    assert f"other-labels accuracy {expected}" in overview
    for page in (overview, runs):
        assert page.count("labels renamed: wrong -> unethical, fine -> ethical.") == 1
        assert "no option" not in page
    assert f"other-labels {expected}" in runs
    compared = words_of(show_page(monkeypatch, "compare", argv, {"a": "other-labels", "b": "label-only"}))
    assert "cannot be set side by side" not in compared
    plainly = demo / "runs" / "with-reasons.jsonl"
    for page, query in (("errors", {}), ("item", {"id": "everyday:test:s022"}), ("items", {}), ("agreement", {})):
        mapped = words_of(show_page(monkeypatch, page, [MAP, items, renamed], query))
        assert mapped.replace("other-labels", "with-reasons") == words_of(
            show_page(monkeypatch, page, [items, plainly], query)
        )


def test_without_the_map_it_is_said_as_scoring_says_it(
    demo: Path, renamed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TableError) as told:
        score_run(renamed, items=demo / "items")
    words = words_of(show_page(monkeypatch, "runs", [demo / "items", renamed]))
    assert " ".join(str(told.value).removeprefix("score: ").split())[:150] in words


def test_a_judge_sees_the_labels_renamed(
    demo: Path, renamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = judging(tmp_path / "round")
    page = words_of(
        show_page(monkeypatch, "judge", ["--judge", folder, MAP, demo / "items", renamed], {"judge": "ann"})
    )
    assert "cannot be read" not in page
    found = JudgingRound.open(folder, [renamed], items=demo / "items", label_map=BACK)
    assert {task.label for task in found.pool.tasks.values()} == {"ethical", "unethical"}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_own_keys_are_completed_as_for_scoring(
    demo: Path, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    items, file = demo / "items", tmp_path / f"keys.{ending}"
    if ending == "jsonl":
        short.rename(file)
    elif ending == "csv":
        pl.DataFrame(lines(short)).select("item_id", "label", "reason").write_csv(file)
    else:  # all columns of the table: scanned where nothing must be done to it
        read_outputs(short, questions=read_items(items).questions).with_columns(run_id=pl.lit("keys")).write_parquet(
            file
        )
    expected = accuracy_words(file, items)
    said = '60 rows matched by the own key of an item (e.g. "s021" for "everyday:test:s021").'
    overview = words_of(show_page(monkeypatch, "overview", [items, file]))
    assert f"keys accuracy {expected}" in overview
    assert f"keys.{ending}: {said}" in overview
    runs = words_of(show_page(monkeypatch, "runs", [items, file]))
    assert f"keys {expected}" in runs
    assert said in runs
    index = ItemIndex(items, runs=[file])  # from Python as well
    row = index.row_of("everyday:test:s021")
    assert row is not None
    assert item_record(index, row).runs[0].answer is not None
    assert [note.endswith(said) for note in index.notes] == [True]


def test_what_fits_no_item_is_counted(demo: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines(short)
    written(short, [*rows, {"item_id": "s999", "label": "ethical"}, {"item_id": "other:test:1", "label": "ethical"}])
    for page in ("overview", "runs"):
        words = words_of(show_page(monkeypatch, page, [demo / "items", short]))
        assert "2 answers of 'short' are about items that are not there and are left out" in words
        assert "e.g. 'other:test:1', 's999'; the items have ids such as 'everyday:" in words
        assert "60 rows matched by the own key" in words
        assert "no answers to the primary question" not in words
    written(short, [{"item_id": "21", "label": "ethical"}])  # about nothing at all: said once, and only that
    words = words_of(show_page(monkeypatch, "overview", [demo / "items", short]))
    assert "1 answer of 'short' is about an item that is not there and is left out" in words
    assert "no answers to the primary question" not in words
    assert "80 items without an output" in words


def test_a_table_of_ours_on_the_disk_is_scanned(demo: Path, tmp_path: Path) -> None:
    items, file = demo / "items", tmp_path / "whole.parquet"
    rows = read_outputs(demo / "runs" / "with-reasons.jsonl", questions=read_items(items).questions)
    rows.write_parquet(file)
    index = ItemIndex(items, runs=[file])
    assert index.run_files["with-reasons"].parquet == file
    assert index.notes == ()


def test_a_filter_of_lm_eval_is_chosen(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = demo / "items"
    rows = read_items(items).items.filter(split="test").to_dicts()
    file = written(tmp_path / "org__model" / "samples_demo_2025-01-05T10-00-00.000000.jsonl", [
        {"doc_id": i, "doc": {"statement": row["statement"]}, "target": "ethical", "resps": [["x"]], "filter": name,
         "arguments": {"gen_args_0": {"arg_0": "p", "arg_1": {}}}, "filtered_resps": [label]}
        for name, label in (("strict", "ethical"), ("loose", "unethical")) for i, row in enumerate(rows)
    ])  # fmt: skip
    words = words_of(show_page(monkeypatch, "overview", [items, file]))
    assert 'this file holds the answers of 2 filters or scorers ("loose", "strict"); choose one (--method).' in words
    expected = accuracy_words(file, items, reading=OutputsOptions(method="loose"))
    words = words_of(show_page(monkeypatch, "overview", ["--method=loose", items, file]))
    assert f"org__model accuracy {expected}" in words


def test_methods_of_our_own_table(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = demo / "items"
    rows = lines(demo / "runs" / "with-reasons.jsonl")
    both = [row | {"method": "x"} for row in rows] + [row | {"method": "y", "label": "ethical"} for row in rows]
    file = written(tmp_path / "two.jsonl", both)
    words = words_of(show_page(monkeypatch, "overview", [items, file]))
    assert "'two' answers by 2 methods ('x', 'y'): the first is shown; choose one (--method)." in words
    expected = accuracy_words(file, items, reading=OutputsOptions(method="y"))
    assert f"two accuracy {expected}" in words_of(show_page(monkeypatch, "overview", ["--method=y", items, file]))
    words = words_of(show_page(monkeypatch, "overview", ["--method=z", items, file]))
    assert 'this file has no method "z"; found "x", "y".' in words


def test_keys_of_a_split_and_another_separator(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items, file = demo / "items", tmp_path / "plain.csv"
    rows = lines(demo / "runs" / "with-reasons.jsonl")
    cells = [f"{row['item_id'].split(':')[-1]};{row['label'] or 'nobody can say'}" for row in rows]
    file.write_text("\n".join(["id;prediction", *cells]) + "\n", encoding="utf-8")
    with pytest.raises(TableError, match="--separator"):
        score_run(file, items=items)
    assert "--separator" in words_of(show_page(monkeypatch, "overview", [items, file]))
    words = words_of(show_page(monkeypatch, "overview", ["--separator=;", items, file]))
    assert "else give the split (--split)" in words
    expected = accuracy_words(file, items, separator=";", split=["test"])
    words = words_of(show_page(monkeypatch, "overview", ["--separator=;", "--split=test", items, file]))
    assert f"plain accuracy {expected}" in words
    assert "60 by the last part of the item id" in words


@pytest.mark.parametrize("ours", [True, False])
def test_of_several_configs_each_asks_its_own_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    items, rows = two_questions(tmp_path / "items")
    key = "item_id" if ours else "id"
    answers = [{key: row["item_id"], "prediction" if not ours else "label": row["label"] or "good"} for row in rows]
    strange = [] if ours else [{"id": "made:999", "prediction": "good"}]
    file = written(tmp_path / "all.jsonl", [*answers, *strange])
    words = words_of(show_page(monkeypatch, "overview", [items, file]))
    assert "accuracy on default 1.000" in words
    assert "accuracy on other 1.000" in words
    assert ours or "1 row matches no item and is left out" in words
    assert "accuracy" in words_of(show_page(monkeypatch, "runs", [items, file], {"config": "other"}))
    if ours:
        assert run_accuracy(ItemIndex(items, runs=[file]), "all", config="other").value == 1.0


def test_a_judge_that_is_a_model_is_no_person(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items, run, judged = demo / "items", demo / "runs" / "with-reasons.jsonl", tmp_path / "j.csv"
    given = pl.read_csv(demo / "judgements.csv", infer_schema=False)
    first = given["judge_id"].unique().sort()[0]
    given.with_columns(pl.col("judge_id").replace({first: "model:judge"})).write_csv(judged, separator=";")
    table = score_run(run, items=items, judgements=judged, parts=["judging"], separator=";")
    value = table.filter(metric="mar_mean", subset="all", run_id="with-reasons").row(0, named=True)["value"]
    words = words_of(show_page(monkeypatch, "runs", ["--judgements", judged, "--separator=;", items, run]))
    assert f"{value:.3f}" in words


def test_the_command_line_carries_how_outputs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = how_read({"a b": "x=y", "-c": "d"}, ["test", "dev"], "\\t", "strict", by_position=True)
    line = command(tmp_path / "items", [tmp_path / "-o.jsonl"], how=how)
    assert arguments(line[line.index("--") + 1 :]).how == how
    assert arguments(["items"]).how == HowRead()
    with pytest.raises(TableError, match="--map wants pairs such as wrong=unethical,fine=ethical, found 'wrong'"):
        arguments(["--map=wrong", "items"])
    with pytest.raises(TableError, match="--map gives two names for 'a'"):
        arguments(["--map=a=b", "--map=a=c", "items"])
    with pytest.raises(TableError, match="--separator wants one character"):
        arguments(["--separator=ab", "items"])


def test_dfar_view_hands_it_on(demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: seen.append(words))
    for words in (["--map", "wrong=unethical", "--split", "test", "--by-position"], ["--map", "wrong"]):
        monkeypatch.setattr(sys, "argv", ["dfar", "view", str(demo / "items"), *words, "--port", "18977"])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == (2 if words[-1] == "wrong" else 0)
    assert [word for word in seen[0] if word.startswith(("--map", "--split", "--by"))] == [
        "--map=wrong=unethical", "--split=test", "--by-position",
    ]  # fmt: skip
    assert "dfar: --map wants pairs such as wrong=unethical,fine=ethical, found 'wrong'" in capsys.readouterr().err
