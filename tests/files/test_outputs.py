"""Outputs files as people have them, to one table; and what is wrong with them, in a line."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.outputs import read_outputs

QUESTIONS = pl.DataFrame(
    {"question": ["ethical"], "kind": ["nominal"], "options": [["ethical", "unethical"]], "wording": [""]}
)


def read(tmp_path: Path, name: str, text: str) -> pl.DataFrame:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_outputs(tmp_path / name, questions=QUESTIONS)


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_least_legal_file(tmp_path: Path) -> None:
    found = read(tmp_path, "run-a.csv", "item_id,label\ni1,ethical\ni2,\n")
    assert found["label"].to_list() == ["ethical", None]
    assert found["run_id"].to_list() == ["run-a", "run-a"]
    assert found["question"].to_list() == ["ethical", "ethical"]
    assert found["output_id"].to_list() == ["run-a/i1/ethical/0", "run-a/i2/ethical/0"]
    assert found.row(0, named=True)["condition"] == "full"
    assert found.row(0, named=True)["k"] == -1


def test_probabilities_as_objects_lists_and_json_text(tmp_path: Path) -> None:
    objects = read(tmp_path, "a.jsonl", lines({"item_id": "i", "label_probs": {"unethical": 0.25, "ethical": 0.75}}))
    lists = read(tmp_path, "b.jsonl", lines({"item_id": "i", "label_probs": [0.75, 0.25]}))
    text = read(tmp_path, "c.csv", 'item_id,label_probs\ni,"[0.75, 0.25]"\n')
    named = read(tmp_path, "d.csv", 'item_id,label_probs\ni,"{""unethical"": 0.25, ""ethical"": 0.75}"\n')
    for found in (objects, lists, text, named):
        assert found["label_probs"].to_list() == [[0.75, 0.25]]
        assert found["label"].to_list() == ["ethical"]
        assert found["options"].to_list() == [["ethical", "unethical"]]


def test_a_row_may_give_its_own_order(tmp_path: Path) -> None:
    rows = [
        {"item_id": "i", "label_probs": [0.9, 0.1], "options": ["unethical", "ethical"]},
        {"item_id": "j", "label_probs": [0.9, 0.1]},
    ]
    found = read(tmp_path, "a.jsonl", lines(*rows))
    assert found["label"].to_list() == ["unethical", "ethical"]
    assert found["label_probs"].to_list() == [[0.1, 0.9], [0.9, 0.1]]


def test_equal_probabilities_give_no_label(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", lines({"item_id": "i", "label_probs": [0.5, 0.5]}))["label"].to_list() == [None]


def test_a_given_label_is_not_overruled(tmp_path: Path) -> None:
    row = {"item_id": "i", "label": "unethical", "label_probs": [0.9, 0.1]}
    assert read(tmp_path, "a.jsonl", lines(row))["label"].to_list() == ["unethical"]


def test_unknown_probabilities_stay_unknown(tmp_path: Path) -> None:
    rows = [{"item_id": "i", "label_probs": None}, {"item_id": "j", "label_probs": {"ethical": 1.0, "unethical": 0.0}}]
    found = read(tmp_path, "a.jsonl", lines(*rows))
    assert found["label_probs"].to_list() == [None, [1.0, 0.0]]
    assert found["label"].to_list() == [None, "ethical"]


def test_all_probabilities_null(tmp_path: Path) -> None:
    found = read(tmp_path, "a.jsonl", lines({"item_id": "i", "label": "ethical", "label_probs": None}))
    assert found["label_probs"].to_list() == [None]


def test_key_parts_that_are_not_default_enter_the_id(tmp_path: Path) -> None:
    rows = [{"item_id": "i", "label": "ethical", "sample": s, "condition": c} for s, c in [(0, "full"), (1, "empty")]]
    found = read(tmp_path, "a.jsonl", lines(*rows))
    assert found["output_id"].to_list() == ["a/i/ethical/0", "a/i/ethical/1/condition=empty"]


def test_a_blank_error_or_label_is_none_in_every_format(tmp_path: Path) -> None:
    rows = [("i", "ethical", ""), ("j", "ethical", "  "), ("k", " ", "timeout"), ("l", "", None)]
    objects = [dict(zip(("item_id", "label", "error"), row, strict=True)) for row in rows]
    text = "item_id,label,error\n" + 'i,ethical,""\nj,ethical,"  "\nk," ",timeout\nl,"",\n'
    for found in (read(tmp_path, "a.jsonl", lines(*objects)), read(tmp_path, "a.csv", text)):
        assert found["error"].to_list() == [None, None, "timeout", None]
        assert found["label"].to_list() == ["ethical", "ethical", None, None]


def test_samples_of_an_item_and_probabilities_that_round_past_one_are_fine(tmp_path: Path) -> None:
    rows = [{"item_id": "i", "sample": k, "label_probs": [0.3 + 4e-7, 0.7]} for k in (1, 2)]
    assert read(tmp_path, "a.jsonl", lines(*rows))["sample"].to_list() == [1, 2]
    partial = {"item_id": "i", "label": "ethical", "label_probs": [0.3, 0.2]}
    assert read(tmp_path, "b.jsonl", lines(partial))["label_probs"].to_list() == [[0.3, 0.2]]


def test_a_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    pl.DataFrame({"item_id": ["i"], "label": ["ethical"]}).write_parquet(run / "outputs.parquet")
    assert read_outputs(run, questions=QUESTIONS)["run_id"].to_list() == ["my-run"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,label\ni,ethical\n", 'Rename "id" to "item_id".'),
        ("a.csv", "item_id,answer\ni,ethical\n", 'needs "item_id" and "label" or "label_probs"'),
        ("a.csv", 'item_id,label_probs\ni,"[0.2, 0.3, 0.5]"\n', "one number for each of ethical, unethical"),
        ("a.csv", 'item_id,label_probs\ni,"[0.2, zz]"\n', "must be JSON such as"),
        ("a.csv", 'item_id,label_probs\ni,"{""ethicl"": 0.2}"\n', "'ethicl'"),
        ("a.jsonl", '{"item_id": "i", "label_probs": {"ethical": 0.3}}\n', "no number for unethical"),
        ("a.jsonl", '{"item_id": "i", "label_probs": [1.5, -0.5]}\n', "between 0 and 1, found"),
        ("a.jsonl", '{"item_id": "i", "label_probs": [1, 0], "options": ["yes", "no"]}\n', "found yes, no"),
        ("a.jsonl", '{"item_id": "i", "label_probs": [1, 0], "question": "other"}\n', "unknown question 'other'"),
        (
            "a.csv",
            "item_id,label\ni,ethical\ni,unethical\n",
            "two answers for item i (question ethical, sample 0): give them different sample numbers or remove one",
        ),
        (
            "a.jsonl",
            lines(*[{"item_id": n // 2, "label": "ethical"} for n in range(4)]),
            "(1 more such answer)",
        ),
        ("a.csv", "id,prediction\ni,ethical\n", 'Rename "id" to "item_id" and "prediction" to "label".'),
        ("a.csv", "item_id,Predicted Label\ni,ethical\n", 'Rename "Predicted Label" to "label".'),
        ("a.csv", "x,y\ni,ethical\n", "Rename the columns of the item and of the prediction."),
        ("a.csv", "item_id,lable\ni,ethical\n", 'Rename the column of the prediction. Is it "lable"?'),
        ("a.jsonl", '{"item_id": "i", "label_probs": [0.9, 0.2]}\n', "of item i must add up to 1 at most, found 1.1"),
        (
            "a.csv",
            'item_id,label_probs\ni,"[0.2, 0.8]"\nj,"{""ethical"": 1, ""unethical"": 0}"\n',
            "found 1 objects and 1 lists",
        ),
        ("a.csv", 'item_id,label_probs\ni,"{""ethical"": 1"\n', "must be JSON such as"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(TableError) as caught:
        read(tmp_path, name, text)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label_probs": ["a", "b"]}, "must be numbers"),
        ({"label_probs": [[0.9, 0.1]]}, "must be numbers"),
        ({"label_probs": 0.9}, "must be numbers"),
        ({"label_probs": [True, False]}, "must be numbers"),
        ({"label_probs": [{"label": "ethical", "p": 0.9}]}, "must be numbers"),
        ({"label_probs": {"ethical": "high", "unethical": "low"}}, "must be numbers"),
        ({"label_probs": [0.9, 0.1], "options": "abc"}, "a list of option names"),
        ({"label_probs": [0.9, 0.1], "options": 5}, "a list of option names"),
        ({"label_probs": [0.9, 0.1], "options": ["ethical", None]}, "a list of option names"),
        ({"label": "ethical", "item_id": ["x"]}, '"item_id" must hold one text per row'),
        ({"label": "ethical", "run_id": ["x"]}, '"run_id" must hold one text per row'),
        ({"label": "ethical", "question": ["x"]}, '"question" must hold one text per row'),
        ({"label": "ethical", "question": "other"}, "unknown question 'other'"),
        ({"label": "ethical", "sample": [1]}, '"sample" must hold whole numbers'),
        ({"label": "ethical", "sample": 1.5}, '"sample" must hold whole numbers, found "1.5"'),
        ({"label": "ethical", "run_id": "human"}, "kept for people"),
        ({"label": "ethical", "label_mass": 7}, "between 0 and 1; 1 rows have another number, e.g. 7 for item i"),
        ({"label": "ethical", "label_mass": float("nan")}, "label_mass is the probability on all options together"),
    ],
)
def test_odd_shapes_are_refused_in_a_line(tmp_path: Path, row: dict[str, object], said: str) -> None:
    with pytest.raises(TableError) as caught:
        read(tmp_path, "a.jsonl", lines({"item_id": "i"} | row))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_output_ids_that_repeat_are_refused(tmp_path: Path) -> None:
    rows = [{"item_id": i, "label": "ethical", "output_id": "same"} for i in ("i", "j")]
    with pytest.raises(TableError, match="output_id 'same' occurs more than once"):
        read(tmp_path, "a.jsonl", lines(*rows))


def test_numeric_ids_are_texts(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", lines({"item_id": 5, "label": "ethical"}))["item_id"].to_list() == ["5"]


def test_every_column_of_labels_is_renamed(tmp_path: Path) -> None:
    row = {"item_id": "i", "label": "E", "target": "U", "contrast": "E", "target_label": "U", "shown_reason": "E"}
    (tmp_path / "run.jsonl").write_text(lines(row), encoding="utf-8")
    names = {"E": "ethical", "U": "unethical"}
    found = read_outputs(tmp_path / "run.jsonl", questions=QUESTIONS, label_map=names).row(0, named=True)
    wanted = {"label": "ethical", "target": "unethical", "contrast": "ethical", "target_label": "unethical"}
    assert {name: found[name] for name in row} == row | wanted
