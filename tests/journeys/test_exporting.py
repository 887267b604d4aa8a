"""Exports say what the items say, count what they leave out, and are read by what they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from export_sample import OPTIONS, TEST, TRAIN, odd_items

from command_line import Dfar, command, refused
from dfar_toolkit.corpus.exports.account import Account
from dfar_toolkit.corpus.exports.training_rows import Asking, supervised_rows
from dfar_toolkit.corpus.exports.twins import twins_of_later
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.files.swap import MANIFEST
from dfar_toolkit.journeys.exporting import ExportOptions, export
from dfar_toolkit.prompts.parsing import parse_answers


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_items(tmp_path_factory.mktemp("odd"))


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


def lines(folder: Path, split: str) -> list[dict[str, Any]]:
    text = (folder / "jsonl" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def id_of(split: str, name: str) -> str:
    return f"Odd texts:{split}:{name.replace(' ', '-')}"


def test_a_row_per_item_or_per_human_reason(items: Path, tmp_path: Path) -> None:
    by_label = export(items, tmp_path / "a", "sft")
    assert by_label.rows == {"train": 5, "test": 6}
    assert by_label.left_out.rows() == [("test", "no label", 1)]
    for row in lines(tmp_path / "a", "test"):
        name = row["item_id"].rpartition(":")[2]
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert TEST[name] in user["content"]  # as it is: nothing is rendered
        assert user["content"].startswith("Is it {ethical}?\n")
        assert assistant["content"] == row["label"]
    asked = ExportOptions(style="label_and_reason", layout="prompt-completion")
    by_reason = export(items, tmp_path / "b", "sft", options=asked)
    annotations = read_items(items).annotations.filter(pl.col("reason").is_not_null())
    assert by_reason.rows == {"train": 12, "test": 20}
    assert by_reason.left_out.rows() == [("train", "no reason", 1)]
    rows = pl.DataFrame(lines(tmp_path / "b", "train") + lines(tmp_path / "b", "test"))
    read = parse_answers(rows["completion"], OPTIONS)
    found = sorted(zip(rows["item_id"], read["label"], read["reason"], strict=True))
    assert found == sorted(annotations.select("item_id", "value", "reason").rows())
    assert (rows["completion"].str.starts_with(" ") & rows["prompt"].str.ends_with(":")).all()


def test_one_reason_for_the_label_of_each_item(items: Path, tmp_path: Path) -> None:
    asked = ExportOptions(style="label_and_reason", per="item", layout="prompt-completion")
    written = export(items, tmp_path / "a", "sft", options=asked)
    assert written.rows == {"train": 4, "test": 6}
    said = {row["item_id"]: row["completion"] for row in lines(tmp_path / "a", "train")}
    assert said[id_of("train", "plain")] == " ethical. Reason: Reason: it is {{ honest }}."
    assert said[id_of("train", "twin")] == ' unethical. "Mine" is not "hers".'
    assert set(written.left_out.rows()) == {("train", "no reason", 1), ("test", "no label", 1)}


def test_what_load_dataset_reads(items: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export(items, tmp_path / "a", "sft")
    export(items, tmp_path / "s", "soft")
    kept = {"cache_dir": str(tmp_path / "cache")}
    for name in ("a", "s"):
        folder = datasets.load_dataset(str(tmp_path / name), **kept)
        files = {split: str(tmp_path / name / "jsonl" / f"{split}.jsonl") for split in ("train", "test")}
        by_lines = datasets.load_dataset("json", data_files=files, **kept)
        for split in ("train", "test"):
            assert folder[split].to_list() == by_lines[split].to_list() == lines(tmp_path / name, split)
    row = next(row for row in lines(tmp_path / "s", "test") if row["item_id"] == id_of("test", "tie"))
    assert (row["options"], row["label_probs"], row["label_counts"], row["label"]) == (
        OPTIONS,
        [0.5, 0.5],
        [1, 1],
        None,
    )


def test_twins_of_test_items_leave_train(items: Path, tmp_path: Path) -> None:
    folder = read_items(items)
    # "near" and "near too" are exact to each other, so both are near to the test item
    assert twins_of_later(folder.items).to_list() == [id_of("train", n) for n in ("near", "near too", "twin")]
    kept = export(items, tmp_path / "a", "sft")
    assert any("twin stands in a later split stay: 3 or more" in note for note in kept.notes)
    without = export(items, tmp_path / "b", "sft", options=ExportOptions(without_leaks=True, split=["train"]))
    assert {r["item_id"].rpartition(":")[2] for r in lines(tmp_path / "b", "train")} == {"plain", "silent"}
    assert without.left_out.rows() == [("train", "leak: its twin stands in a later split", 3)]
    clean = export(items, tmp_path / "c", "soft", options=ExportOptions(leave_out_leaked=True, split=["test"]))
    assert clean.rows == {"test": 5}
    assert clean.left_out.rows() == [("test", "leaked: it stands in an earlier split", 2)]


def test_a_twin_that_leak_of_does_not_name() -> None:
    rows = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "t"],
            "split": ["train", "train", "train", "test"],
            "group": ["g", "g", "h", "g"],
            "statement": ["I kept his old coat.", "I kept his old coat", "I paid.", "I kept his old coat."],
            "leak_kind": [None, None, None, "identical_row"],
            "leak_of": [None, None, None, ["a"]],
        }
    )
    assert twins_of_later(rows).to_list() == ["a", "b"]


JUDGED = {  # judge -> output -> verdict; o1 and o3 good, o2 bad, o4 even
    "j1": {"o1": "good", "o2": "bad", "o3": "good", "o4": "good"},
    "j2": {"o1": "Good", "o2": "bad", "o3": "bad", "o4": "bad"},
    "j3": {"o1": "bad", "o2": "bad", "o3": "good"},
    "gpt": {"o1": "bad", "o2": "good", "o3": "bad", "o4": "bad"},
}


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Path, Path]:
    item = id_of("train", "plain")
    outputs = [
        {"item_id": item, "sample": n, "output_id": f"o{n + 1}", "label": label, "reason": f"reason {n + 1}."}
        for n, label in enumerate(["ethical", "unethical", "unethical", "ethical"])
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outputs))
    verdicts = [
        {"judge_id": judge, "run_id": "m", "item_id": item, "output_id": output, "value": value}
        for judge, row in JUDGED.items()
        for output, value in row.items()
    ]
    pl.DataFrame(verdicts).write_csv(tmp_path / "judgements.csv")
    return tmp_path / "judgements.csv", tmp_path / "m.jsonl"


def test_verdicts_of_most_people(items: Path, judged: tuple[Path, Path], tmp_path: Path, dfar: Dfar) -> None:
    run = dfar("export", items, "--format", "kto", "--judgements", judged[0], "--outputs", judged[1],
               "--judge-model", "gpt", "--out", tmp_path / "k", "--json")  # fmt: skip
    assert run.code == 0, run.err
    assert "judge models, which are not counted: 4" in run.err
    assert json.loads(run.out) == [
        {"split": "train", "rows": 3, "left_out": ""},
        {"split": "train", "rows": 1, "left_out": "judges evenly split"},
    ]
    rows = lines(tmp_path / "k", "train")
    assert [(r["output_id"], r["label"]) for r in rows] == [("o1", True), ("o2", False), ("o3", True)]
    assert rows[0]["completion"] == [{"role": "assistant", "content": "ethical. reason 1."}]


def test_pairs_of_a_good_and_a_bad_reason(items: Path, judged: tuple[Path, Path], tmp_path: Path) -> None:
    given = {"judgements": judged[0], "outputs": [judged[1]]}
    how = ExportOptions(judge_models=["gpt"], layout="prompt-completion")
    written = export(items, tmp_path / "a", "dpo", options=how, **given)  # type: ignore[arg-type]
    rows = lines(tmp_path / "a", "train")
    assert [(r["chosen"], r["rejected"]) for r in rows] == [
        (" ethical. reason 1.", " unethical. reason 2."),
        (" unethical. reason 3.", " unethical. reason 2."),
    ]
    assert written.rows == {"train": 2}
    same = export(items, tmp_path / "b", "dpo", options=how._replace(same_label=True), **given)  # type: ignore[arg-type]
    assert [(r["chosen_id"], r["rejected_id"]) for r in lines(tmp_path / "b", "train")] == [("o3", "o2")]
    assert same.left_out.filter(pl.col("why").str.contains("other verdict"))["rows"].to_list() == [1]
    one = export(items, tmp_path / "c", "dpo", options=how._replace(most=1), **given)  # type: ignore[arg-type]
    assert one.rows == {"train": 1}


def test_pairs_of_labels(items: Path, tmp_path: Path) -> None:
    written = export(items, tmp_path / "a", "dpo", options=ExportOptions(pairs="labels"))
    assert written.rows == {"train": 5, "test": 6}
    for row in lines(tmp_path / "a", "test"):
        assert {row["chosen_label"], row["rejected_label"]} == set(OPTIONS)
        assert row["chosen"][0]["content"] == row["chosen_label"]
    with pytest.raises(TableError, match="nobody gave a reason"):
        export(items, tmp_path / "b", "dpo", options=ExportOptions(style="dfar-llama2", pairs="labels",
                                                                   layout="prompt-completion"))  # fmt: skip


def test_answers_that_would_be_read_otherwise_are_counted() -> None:
    rows = pl.DataFrame(
        {
            "item_id": ["i"], "split": ["train"], "statement": ["s"], "label": ["ethical"],
            "reasons": [[{"annotator_id": "a", "value": "ethical", "text": "It ends.</s>"}]],
        }
    )  # fmt: skip
    account = Account()
    assert supervised_rows(rows, Asking("label_and_reason", OPTIONS), account).height == 1
    assert account.notes == [
        "answers whose label or reason `dfar score` would read otherwise: 1 of 1, e.g. one about i"
    ]


def test_a_task_folder_of_lm_eval(items: Path, tmp_path: Path) -> None:
    written = export(items, tmp_path / "t", "lm-eval", options=ExportOptions(style="label_and_reason"))
    assert written.rows == {"test": 6}  # not train
    names = sorted(path.name for path in (tmp_path / "t").glob("*.yaml"))
    assert names == ["odd_texts_test_answers.yaml", "odd_texts_test_choices.yaml"]
    rows = lines(tmp_path / "t", "test")
    fields = set(rows[0])
    for name in names:
        text = (tmp_path / "t" / name).read_text()
        task = yaml.safe_load(text.replace("!function ", ""))
        assert {task["doc_to_text"], task["doc_to_target"]} <= fields  # fields, so that no template is rendered
        assert "{{" not in text
    row = next(r for r in rows if r["item_id"] == id_of("test", "jinja"))
    assert TEST["jinja"] in row["prompt"]
    assert row["choices"][row["gold"]] == row["label"]
    assert "full stop" in row["prompt"]
    assert "full stop" not in row["prompt_label"]
    compile((tmp_path / "t" / "dfar_documents.py").read_text(), "documents", "exec")
    assert json.loads((tmp_path / "t" / "options.json").read_text()) == OPTIONS


def test_a_task_of_inspect_ai(items: Path, tmp_path: Path) -> None:
    export(items, tmp_path / "t", "inspect")
    code = (tmp_path / "t" / "dfar_task.py").read_text()
    compile(code, "task", "exec")
    assert not any(text in code for text in [*TEST.values(), *OPTIONS, "Odd"])
    for row in lines(tmp_path / "t", "test"):
        assert row["choices"][ord(row["letter"]) - ord("A")] == row["target"]
        assert TEST[row["id"].rpartition(":")[2]] in row["question"]
    assert json.loads((tmp_path / "t" / "task.json").read_text())["split"] == "test"


def test_same_bytes_again_and_nothing_of_this_machine(items: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(items, tmp_path / name, "sft")
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text())
    assert str(tmp_path) not in json.dumps(manifest)
    assert manifest["rows"] == {"train": 5, "test": 6}
    assert manifest["left_out"] == [{"split": "test", "why": "no label", "rows": 1}]
    assert set(manifest["files"]) == {str(f) for f in files} - {MANIFEST}
    readme = (tmp_path / "a" / "README.md").read_text()
    assert "license: mit" in readme
    assert not any(text[:20] in readme for text in [*TRAIN.values(), *TEST.values()])


def test_refusals_are_one_line(items: Path, judged: tuple[Path, Path], tmp_path: Path, dfar: Dfar) -> None:
    out = tmp_path / "o"
    refused(dfar("export", items, "--out", out, "--format", "parquet"), "--format must be one of", "lm-eval", code=2)
    refused(dfar("export", items, "--out", out, "--style", "llama"), "--style must be one of", code=2)
    refused(dfar("export", items, "--out", out, "--style", "dfar-llama2"), "--layout prompt-completion")
    refused(dfar("export", items, "--out", out, "--split", "dev"), "no split", "dev", "train")
    refused(dfar("export", items, "--out", out, "--format", "kto"), "--judgements FILE", code=2)
    for words, asked in (
        (["--judgements", judged[0]], "--judgements"), (["--outputs", judged[1]], "--outputs"),
        (["--format", "inspect", "--without-leaks"], "--leave-out leaked"),
        (["--format", "lm-eval", "--layout", "prompt-completion"], "--layout"),
        (["--format", "soft", "--per", "item"], "--per item"), (["--from", "labels"], "--from labels"),
        (["--format", "dpo", "--from", "labels", "--same-label"], "dpo from judgements"),
    ):  # fmt: skip
        refused(dfar("export", items, "--out", out, *words), asked, "does not go with", code=2)
    with pytest.raises(TableError, match="sft takes no judgements"):
        export(items, out, "sft", judgements=judged[0])
    missing = dfar("export", items, "--out", out, "--format", "dpo", "--judgements", judged[0])
    refused(missing, "no verdict is about people's reasons", "--outputs FILE")
    refused(dfar("export", tmp_path / "none", "--out", out), "wanted an items folder")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused(dfar("export", items, "--out", tmp_path / "mine"), "Give another --out")
    assert not out.exists()
