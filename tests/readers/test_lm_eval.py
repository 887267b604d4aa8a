"""lm-evaluation-harness: real samples, and invented rows in its format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.lm_eval import read_lm_eval


def _choice(doc_id: object = 0, *, logs: list[object] | None = None, **more: Any) -> dict[str, Any]:
    logs = ["-1.0", "-2.0"] if logs is None else logs
    return {
        "doc_id": doc_id,
        "doc": {"Statement": f"statement {doc_id}", "Label": 1, "more": {"Reason": "why"}},
        "target": "1",
        "arguments": {f"gen_args_{k}": {"arg_0": "Q:", "arg_1": c} for k, c in enumerate([" yes", " no"])},
        "resps": [[[log, "False"]] for log in logs],
        "filtered_resps": [[log, "False"] for log in logs],
        "filter": "none",
        "metrics": ["acc", "brier_score"],
        "acc": 0.0,
        "brier_score": [1, "[0.58 0.42]"],
        **more,
    }


def _generated(doc_id: int, texts: list[str], answers: list[object], name: str, **settings: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc": {"Statement": f"statement {doc_id}"},
        "target": "no",
        "arguments": {"gen_args_0": {"arg_0": "Q:", "arg_1": {"until": ["\n"], **settings}}},
        "resps": [texts],
        "filtered_resps": answers,
        "filter": name,
    }


def _write(folder: Path, rows: list[Any], name: str = "samples_t_2026-01-01T00-00-00.0.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_lm_eval(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_multiple_choice_has_choices_and_log_likelihoods_from_texts(tmp_path: Path) -> None:
    found = read_lm_eval(_write(tmp_path, [_choice(3), _choice(1, logs=["-inf", "-0.5"])]))
    assert found.format == "lm_eval"
    assert found.rows.schema == FOREIGN_SCHEMA
    first, second = found.rows.rows(named=True)
    assert (first["position"], first["key"], first["sample"]) == (3, "3", 0)
    assert first["choices"] == ["yes", "no"]
    assert first["logprobs"] == [-1.0, -2.0]
    assert second["logprobs"] == [-math.inf, -0.5]
    assert first["probs_kind"] == "forced"
    assert first["texts"] == ["statement 3", "why"]
    assert first["gold"] == "no"
    assert (first["answer"], first["raw"], first["method"], first["error"]) == (None, None, None, None)


def test_before_0_4_3_arguments_are_lists_and_log_likelihoods_numbers(tmp_path: Path) -> None:
    old = _choice(0, logs=[-1.5, -0.25], arguments=[["Q:", " yes"], ["Q:", " no"]])
    del old["filter"], old["metrics"]
    row = read_lm_eval(_write(tmp_path, [old])).rows.row(0, named=True)
    assert (row["choices"], row["logprobs"]) == (["yes", "no"], [-1.5, -0.25])


def test_unconditional_likelihoods_of_acc_mutual_info_are_left_out(tmp_path: Path) -> None:
    arguments = [["Q:", " yes"], ["Q:", " no"], ["", " yes"], ["", " no"]]
    row = _choice(0, logs=["-1", "-2", "-3", "-4"], arguments=arguments)
    assert read_lm_eval(_write(tmp_path, [row])).rows["logprobs"].to_list() == [[-1.0, -2.0]]


def test_choices_that_are_contexts(tmp_path: Path) -> None:
    row = _choice(0, arguments=[["the dog", " sat"], ["the cat", " sat"]], target="0")
    read = read_lm_eval(_write(tmp_path, [row])).rows.row(0, named=True)
    assert (read["choices"], read["gold"]) == (["the dog", "the cat"], "the dog")


@pytest.mark.parametrize(
    ("options", "target", "gold"),
    [
        ([" 0", " 1"], "1", "1"),  # both readings agree
        ([" 1", " 0"], "1", None),  # the text says the first, the place the second
        ([" yes", " no"], "yes", "yes"),
        ([" yes", " no"], "7", "7"),
    ],
)
def test_gold_is_named_by_place_or_text_never_guessed(
    tmp_path: Path, options: list[str], target: str, gold: str | None
) -> None:
    row = _choice(0, arguments=[["Q:", option] for option in options], target=target)
    assert read_lm_eval(_write(tmp_path, [row])).rows["gold"].to_list() == [gold]


def test_every_filter_is_a_method_and_every_repeat_a_sample(tmp_path: Path) -> None:
    rows = [
        _generated(0, ["no way", "yes sir"], ["no"], "first", do_sample=True, temperature=0.7),
        _generated(0, ["no way", "yes sir"], [["no", "yes"]], "all", do_sample=True, temperature=0.7),
        _generated(1, ["hm", "no"], ["[invalid]"], "first", do_sample=False, temperature=0.7),
        _generated(1, ["hm", "no"], [["[invalid]", "no"]], "all", do_sample=False, temperature=0.7),
    ]
    found = read_lm_eval(_write(tmp_path, rows))
    assert found.rows.select("key", "method", "sample", "raw", "answer", "temperature").rows() == [
        ("0", "first", 0, "no way", "no", 0.7),
        ("0", "first", 1, "yes sir", None, 0.7),
        ("0", "all", 0, "no way", "no", 0.7),
        ("0", "all", 1, "yes sir", "yes", 0.7),
        ("1", "first", 0, "hm", None, 0.0),
        ("1", "first", 1, "no", None, 0.0),
        ("1", "all", 0, "hm", None, 0.0),
        ("1", "all", 1, "no", None, 0.0),  # the whole text: nothing was parsed from it
    ]
    assert any(note.endswith("read without its answer: 2") for note in found.notes)
    assert any(note.endswith("read as text: 3") for note in found.notes)


def test_appended_file(tmp_path: Path) -> None:
    again = read_lm_eval(_write(tmp_path, [_choice(0), _choice(1), _choice(0)]))
    assert again.rows["key"].to_list() == ["0", "1"]
    assert again.notes == ("records left out because they repeat an earlier one exactly: 1",)
    message = _refusal(_write(tmp_path, [_choice(0), _choice(0, logs=["-3", "-4"])]))
    assert 'the doc_id and filter "0", "none" stands there twice with different content' in message


def test_model_by_the_results_file_or_the_folder(tmp_path: Path) -> None:
    path = _write(tmp_path, [_choice(0)])
    assert read_lm_eval(path).rows["run_id"].to_list() == [None]
    folder = tmp_path / "org__model"
    folder.mkdir()
    inside = _write(folder, [_choice(0)])
    assert read_lm_eval(inside).rows["run_id"].to_list() == ["org__model"]
    results = folder / "results_2026-01-01T00-00-00.0.json"
    results.write_text('{"model_name": "org/model"}')
    assert read_lm_eval(inside).rows["run_id"].to_list() == ["org/model"]
    results.write_text('{"model_name": ')  # a damaged neighbour is no reason to refuse the samples
    assert read_lm_eval(inside).rows["run_id"].to_list() == ["org__model"]


def test_numbers_that_are_none_are_an_error_of_their_row(tmp_path: Path) -> None:
    rows = [_choice(0, logs=["nan", "-1"]), _choice(1, logs=["-inf", "-inf"]), _choice(2, logs=["-1"]), _choice(3)]
    rows.append(json.loads(json.dumps(_choice(4, logs=[math.inf, -1.0]))))
    found = read_lm_eval(_write(tmp_path, rows))
    assert found.rows["logprobs"].is_null().to_list() == [True, True, True, False, True]
    assert found.rows["error"].is_null().to_list() == [False, False, False, True, False]
    assert found.notes == ("records without a usable answer: 4",)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([_choice(0), json.dumps(_choice(1))[:-20]], "line 2, column"),
        ([_choice(0), json.dumps(_choice(1))[:-20]], "It is the last line"),
        ([_choice("zero")], 'wanted a whole number as doc_id, found a text ("zero")'),
        ([_choice(-1)], "wanted a whole number as doc_id, found a number"),
        ([_choice(10**30)], "wanted a whole number as doc_id"),
        ([_choice(0, resps="none")], "wanted a list of responses as resps"),
        ([_choice(0, arguments={"gen_args_0": {"arg_0": "text"}})], "rolling log-likelihoods"),
        (["[1, 2]\n"], "record 1: wanted an object, found a number"),
        (['{"results": {}, "configs": {}, "versions": {}}'], "file of averages; wanted samples_*.jsonl"),
        ([_choice(0, doc={"Statement": "\ud800"})], "half a surrogate pair"),
        (['{"doc_id": 0, "doc_id": 1}'], 'the key "doc_id" stands twice'),
        (["[" * 100_000], "nested too deeply"),
        (["[]"], "holds no outputs"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    assert said in _refusal(_write(tmp_path, rows))


def test_strange_keys_long_texts_and_blank_lines_are_only_data(tmp_path: Path) -> None:
    doc = {"__proto__": {"constructor": "polluted"}, "long": "x" * 10_000_000, "none": None, "n": math.nan}
    found = read_lm_eval(_write(tmp_path, ["\ufeff\n\n", _choice(0, doc=doc), "\r\n"]))
    assert [len(t) for t in found.rows["texts"].to_list()[0]] == [8, 10_000_000]


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(json.dumps(_choice(0)).encode() + b'\n{"doc": "\xe9"}')
    assert "invalid UTF-8: byte 0xe9" in _refusal(path)
    assert "(line 2)" in _refusal(path)


@pytest.mark.real
def test_real_multiple_choice(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "lm_eval"
    for name in ("samples_dfar_mc_2026-11-20T18-09-50.948858", "samples_dfar_custom_2026-11-20T19-06-42.056499"):
        rows = read_lm_eval(folder / f"{name}.jsonl").rows
        assert rows["key"].to_list() == ["0", "1", "2", "3", "4", "5"]
        assert rows["choices"].to_list() == [["ethical", "unethical"]] * 6
        assert rows["logprobs"][0].to_list() == pytest.approx([-8.824203491210938, -9.160308], abs=2e-6)
        assert rows["gold"][0] == "unethical"
        assert rows["texts"][1].to_list()[0] == "I deserve the desk in the classroom because I am the janitor."


@pytest.mark.real
def test_real_generation(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "lm_eval"
    rows = read_lm_eval(folder / "samples_dfar_gen_2026-11-20T18-09-50.948858.jsonl").rows
    assert rows.height == 24  # 6 documents x 2 filters x 2 repeats
    assert rows["method"].unique().sort().to_list() == ["label-first", "label-majority"]
    assert rows["temperature"].unique().to_list() == [1.0]
    assert rows["answer"].null_count() == 24  # the tiny model's text matched nothing
    assert rows["gold"].head(3).to_list() == ["unethical", "unethical", "ethical"]
