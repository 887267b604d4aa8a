"""lighteval details and HELM runs: real ones, and invented rows in their formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.helm import read_helm
from dfar_toolkit.readers.lighteval import read_lighteval


def _doc(name: object, kind: str, options: list[str], gold: object, **more: Any) -> dict[str, Any]:
    empty = {"instruction": None, "images": None, "original_query": None, "specific": None}
    own = {"id": name, "query": f"Q {name}", "choices": options, "gold_index": gold, "sampling_methods": [kind]}
    return empty | own | more


def _response(**more: Any) -> dict[str, Any]:
    return {"input_tokens": [1, 2, 3], "text": [], "text_post_processed": [], "logprobs": [], **more}


def _details(folder: Path, rows: list[tuple[dict[str, Any], dict[str, Any]]]) -> Path:
    path = folder / "details.parquet"
    records = [{"doc": doc, "metric": {"acc": 1}, "model_response": response} for doc, response in rows]
    pq.write_table(pa.Table.from_pylist(records), path)
    return path


def _choice(name: object, logs: list[float | None], gold: object = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    return _doc(name, "LOGPROBS", [" fine", " wrong"], gold), _response(logprobs=logs)


def _refusal(reader: Any, path: Path) -> str:
    with pytest.raises(TableError) as caught:
        reader(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_log_probability_rows_out_of_order(tmp_path: Path) -> None:
    found = read_lighteval(_details(tmp_path, [_choice("3", [-1.0, -2.0]), _choice("0", [-3.0, -2.5], 0)]))
    assert found.format == "lighteval"
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "choices", "logprobs", "probs_kind", "gold", "raw").rows() == [
        (3, "3", ["fine", "wrong"], [-1.0, -2.0], "forced", "wrong", None),
        (0, "0", ["fine", "wrong"], [-3.0, -2.5], "forced", "fine", None),
    ]
    assert found.rows["texts"].to_list() == [["Q 3"], ["Q 0"]]


def test_generations_are_samples_without_their_reasoning(tmp_path: Path) -> None:
    doc = _doc("a", "GENERATIVE", ["fine"], [0], specific={"statement": "s", "more": [{"reason": "r"}]})
    response = _response(text=["<think>hm</think>fine", "wrong"], text_post_processed=["fine", "wrong"])
    plain = _doc("b", "GENERATIVE", ["fine", "good"], [0, 1], specific={"statement": "t", "more": []})
    found = read_lighteval(_details(tmp_path, [(doc, response), (plain, _response(text=["good"]))])).rows
    assert found.select("position", "key", "sample", "raw", "gold", "choices").rows() == [
        (0, "a", 0, "fine", "fine", None),  # the choices of a generative task are its golds
        (0, "a", 1, "wrong", "fine", None),
        (1, "b", 0, "good", None, None),
    ]
    assert found["texts"].to_list() == [["Q a", "s", "r"], ["Q a", "s", "r"], ["Q b", "t"]]


def test_model_by_the_folders_of_lighteval(tmp_path: Path) -> None:
    folder = tmp_path / "details" / "org" / "model" / "2026-01-01T00-00-00.0"
    folder.mkdir(parents=True)
    assert read_lighteval(_details(folder, [_choice("0", [-1.0, -2.0])])).rows["run_id"].to_list() == ["org/model"]
    assert read_lighteval(_details(tmp_path, [_choice("0", [-1.0, -2.0])])).rows["run_id"].to_list() == [None]


def test_log_probabilities_that_are_none(tmp_path: Path) -> None:
    rows = [
        _choice("0", [float("nan"), -1.0]),
        _choice("1", [-1.0]),
        _choice("2", [None, -1.0]),
        _choice("3", [-1, -2]),
    ]
    found = read_lighteval(_details(tmp_path, rows))
    assert found.rows["logprobs"].is_null().to_list() == [True, True, True, False]
    assert found.rows["error"].null_count() == 1
    assert found.notes == ("rows without a usable answer: 3",)


def test_lighteval_files_that_cannot_be_read(tmp_path: Path) -> None:
    twice = [_choice("0", [-1.0, -2.0]), _choice("0", [-1.0, -2.0])]
    assert read_lighteval(_details(tmp_path, twice)).notes[0].endswith("exactly: 1")
    assert 'doc.id "0" stands there twice' in _refusal(
        read_lighteval, _details(tmp_path, [*twice, _choice("0", [-1.0, -3.0])])
    )
    assert 'row 1: wanted an id in "doc"' in _refusal(read_lighteval, _details(tmp_path, [_choice(None, [-1.0, -2.0])]))
    path = tmp_path / "flat.parquet"
    pq.write_table(pa.table({"full_prompt": ["p"], "predictions": ["[]"], "gold": ["g"]}), path)
    assert "before June 2025" in _refusal(read_lighteval, path)
    pq.write_table(pa.table({"doc": [1], "model_response": [2]}), path)
    assert "none of the fields" in _refusal(read_lighteval, path)
    pq.write_table(pa.table({"a": [1]}), path)
    assert 'found "a"' in _refusal(read_lighteval, path)
    rows = [{"doc": _choice("3", [-1.0, -2.0])[0], "model_response": _response(logprobs=[-1.0, -2.0])}]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="none", use_dictionary=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"Q 3", b"Q \xff"))
    assert "can't decode byte 0xff" in _refusal(read_lighteval, path)
    path.write_bytes(b"PAR1" + b"\0" * 50)
    assert "cannot be read" in _refusal(read_lighteval, path)
    empty = pa.Table.from_pylist(
        [{"doc": _doc("0", "LOGPROBS", [" a"], 0), "model_response": _response(logprobs=[-1.0])}]
    ).slice(0, 0)
    pq.write_table(empty, path)
    assert "holds no outputs" in _refusal(read_lighteval, path)


@pytest.mark.real
def test_real_details(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "lighteval"
    choice = read_lighteval(folder / "details_dfar_mc_0_2026-11-20T19-11-51.974503.parquet").rows
    assert choice["key"][0] == "3"
    assert choice["position"].sort().to_list() == list(range(6))
    assert choice["choices"].to_list() == [["ethical", "unethical"]] * 6
    assert choice["logprobs"][0].to_list() == [-8.2075920105, -8.761423111]
    assert choice.filter(key="0")["gold"].to_list() == ["unethical"]
    assert choice["texts"].list.len().to_list() == [2] * 6  # the prompt and the reason in "specific"
    written = read_lighteval(folder / "details_dfar_gen_0_2026-11-20T19-11-51.974503.parquet").rows
    assert written["key"].to_list()[:2] == ["3", "1"]
    assert written["raw"][0] == " hel" * 16
    assert written["gold"].to_list().count("unethical") == choice["gold"].to_list().count("unethical")


def _state(name: object = "id1", text: str | None = " B", trial: int = 0, **more: Any) -> dict[str, Any]:
    references = [{"output": {"text": "fine"}, "tags": []}, {"output": {"text": "wrong"}, "tags": ["correct"]}]
    completions = [{"text": text, "logprob": -0.5, "tokens": [{"text": text, "logprob": -0.5}]}]
    return {
        "instance": {"input": {"text": f"statement {name}"}, "references": references, "split": "test", "id": name},
        "train_trial_index": trial,
        "output_mapping": {"A": "fine", "B": "wrong"},
        "request": {"model": "org/model", "temperature": 0.0},
        "result": {"success": True, "completions": completions},
        **more,
    }


def _run(folder: Path, states: list[Any], name: str = "scenario_state.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"adapter_spec": {"model": "org/model"}, "request_states": states}))
    return path


def test_joint_multiple_choice(tmp_path: Path) -> None:
    found = read_helm(_run(tmp_path, [_state("id7"), _state("id2", "A"), _state("id3", "Answer:")]))
    assert found.format == "helm"
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "answer", "raw", "gold").rows() == [
        (0, "id7", "wrong", " B", "wrong"),
        (1, "id2", "fine", "A", "wrong"),
        (2, "id3", None, "Answer:", "wrong"),
    ]
    row = found.rows.row(0, named=True)
    assert (row["run_id"], row["temperature"], row["method"]) == ("org/model", 0.0, None)
    assert (row["texts"], row["choices"], row["logprobs"]) == (["statement id7"], ["fine", "wrong"], None)


def test_folder_and_statistics_lead_to_the_state_beside_them(tmp_path: Path) -> None:
    stats = tmp_path / "per_instance_stats.json"
    stats.write_text('[{"instance_id": "id1", "train_trial_index": 0, "stats": []}]')
    assert "wanted scenario_state.json, which HELM writes beside it" in _refusal(read_helm, stats)
    assert "there is none in it" in _refusal(read_helm, tmp_path)
    path = _run(tmp_path, [_state()])
    for given in (stats, tmp_path):
        found = read_helm(given)
        assert found.rows.equals(read_helm(path).rows)
        assert found.notes[0].startswith("read scenario_state.json, since ")
    assert read_helm(_run(tmp_path, [_state()], "renamed.json")).notes == ()


def test_trials_and_completions_are_samples_and_perturbations_methods(tmp_path: Path) -> None:
    two = _state(result={"success": True, "completions": [{"text": "A"}, {"text": "B"}]})
    typo = {"name": "typos", "prob": 0.1}
    changed = _state(text="A", instance=_state()["instance"] | {"perturbation": typo})
    found = read_helm(_run(tmp_path, [two, _state(trial=1), changed])).rows
    assert found.select("key", "method", "sample", "answer").rows() == [
        ("id1", "none", 0, "fine"),
        ("id1", "none", 1, "wrong"),
        ("id1", "none", 2, "wrong"),
        ("id1", "typos", 0, "fine"),
    ]
    assert found["position"].to_list() == [0] * 4


def test_two_perturbations_of_one_name_stay_apart(tmp_path: Path) -> None:
    states = [
        _state(instance=_state()["instance"] | {"perturbation": {"name": "typos", "prob": p}}) for p in (0.1, 0.2)
    ]
    assert read_helm(_run(tmp_path, states)).rows["method"].n_unique() == 2


def test_separate_multiple_choice_sums_the_tokens_of_each_reference(tmp_path: Path) -> None:
    def asked(k: int, tokens: list[tuple[str, float]], mode: str = "original") -> dict[str, Any]:
        listed = [{"text": t, "logprob": v} for t, v in tokens]
        result = {"success": True, "completions": [{"text": "", "logprob": 0, "tokens": listed}]}
        return _state(reference_index=k, request_mode=mode, result=result, output_mapping=None)

    first = asked(0, [("Q:", -9.0), (" fi", -1.0), ("ne", -0.5)])
    second = asked(1, [("Q:", -9.0), (" wrong", -0.25)])
    calibration = asked(0, [("fine", -7.0)], "calibration")
    rows = read_helm(_run(tmp_path, [second, calibration, first])).rows.rows(named=True)
    assert [(r["choices"], r["logprobs"], r["probs_kind"]) for r in rows] == [
        (["fine", "wrong"], [-1.5, -0.25], "forced")
    ]
    lost = read_helm(_run(tmp_path, [first]))
    assert lost.rows["error"].to_list() == ["the log-probabilities are missing or are no numbers"]


def test_top_log_probabilities_of_older_runs_are_those_of_the_letters(tmp_path: Path) -> None:
    token = {"text": " B", "logprob": -0.1, "top_logprobs": {" B": -0.1, " A": -2.5, "\n": -7.0}}
    state = _state(result={"success": True, "completions": [{"text": " B", "tokens": [token]}]})
    row = read_helm(_run(tmp_path, [state])).rows.row(0, named=True)
    assert (row["choices"], row["logprobs"], row["probs_kind"]) == (["wrong", "fine"], [-0.1, -2.5], "first_token")


def test_failed_requests(tmp_path: Path) -> None:
    failed = _state(result={"success": False, "error": "overloaded", "completions": []})
    empty = _state("id2", result={"success": True, "completions": []})
    found = read_helm(_run(tmp_path, [failed, empty, _state("id3", "")]))
    assert found.rows["error"].to_list() == ["overloaded", "no text came", "no text came"]
    assert found.notes == ("outputs without an answer: 3",)


def test_helm_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert 'the instance "id1" (trial 0) stands there twice' in _refusal(
        read_helm, _run(tmp_path, [_state(), _state()])
    )
    assert 'wanted an "id" in "instance"' in _refusal(read_helm, _run(tmp_path, [_state(None)]))
    assert "holds no outputs" in _refusal(read_helm, _run(tmp_path, []))
    assert 'wanted an "id"' in _refusal(read_helm, _run(tmp_path, [3, "__proto__"]))
    path = _run(tmp_path, [_state()])
    path.write_text(path.read_text()[:-30])
    assert "not valid JSON" in _refusal(read_helm, path)


@pytest.mark.real
def test_real_run(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "helm"
    found = read_helm(folder / "per_instance_stats.json")
    assert found.notes == ("read scenario_state.json, since per_instance_stats.json holds no outputs",)
    assert found.rows["key"].to_list() == ["id60", "id38", "id41"]
    assert found.rows["gold"].to_list() == ["Even", "Even", "Odd"]
    assert found.rows["raw"].to_list() == ["Answer:"] * 3  # the mock model answers with no letter
    assert found.rows["answer"].null_count() == 3
    assert found.rows["texts"].to_list()[0] == ["Is 70 even or odd?"]
    assert found.rows.equals(read_helm(folder).rows)
