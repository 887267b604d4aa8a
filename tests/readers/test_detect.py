"""Which tool wrote a file: by content, whatever it is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zip_sample import write_zip

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.detect import FORMATS, detect_format, read_foreign
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA

_LM: dict[str, Any] = {
    "doc_id": 0,
    "doc": {"s": "x"},
    "target": "0",
    "arguments": {"gen_args_0": {"arg_0": "q", "arg_1": "a"}},
    "resps": [[["-1", "True"]]],
    "filtered_resps": [["-1", "True"]],
}
_BATCH: dict[str, Any] = {"id": "1", "custom_id": "a", "response": None, "error": {"code": "expired"}}
_VLLM: dict[str, Any] = {"request_id": "0", "prompt": "p", "prompt_token_ids": [1], "outputs": [{"text": "a"}]}
_LLAMA: dict[str, Any] = {"prompt": "p", "predict": "a", "label": "b"}
_SAMPLE: dict[str, Any] = {"id": 1, "epoch": 1, "input": "s", "target": "a", "output": {"completion": "a"}}
_INSPECT: dict[str, Any] = {"version": 2, "status": "success", "eval": {"model": "m"}, "samples": [_SAMPLE]}
_HELM: dict[str, Any] = {
    "adapter_spec": {"model": "m"},
    "request_states": [{"instance": {"id": "id1"}, "result": {"completions": [{"text": "a"}]}}],
}
_WHOLE: dict[str, dict[str, Any]] = {
    "lm_eval": _LM,
    "openai_batch": _BATCH,
    "vllm": _VLLM,
    "llama_factory": _LLAMA,
    "inspect_ai": _INSPECT,
    "helm": _HELM,
}


def _file(folder: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _said_of(path: Path, format: Any = None) -> str:
    """What reading the file says against it; nothing where it was read."""
    try:
        read_foreign(path, format=format)
    except TableError as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("name", list(_WHOLE))
@pytest.mark.parametrize("start", ["", "\ufeff\n \n"])
def test_json_by_its_keys(tmp_path: Path, name: str, start: str) -> None:
    line = json.dumps(_WHOLE[name])
    for content in (line, json.dumps(_WHOLE[name], indent=2)):
        assert detect_format(_file(tmp_path, start + content)) == name
    found = read_foreign(_file(tmp_path, start + line))
    assert found is not None
    assert found.format == name
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.height == 1


@pytest.mark.parametrize("name", ["lm_eval", "openai_batch", "vllm", "llama_factory"])
def test_a_list_of_the_same_objects(tmp_path: Path, name: str) -> None:
    for indent in (None, 1):
        path = _file(tmp_path, json.dumps([_WHOLE[name]] * 2, indent=indent))
        assert detect_format(path) == name


def test_binary_files_by_what_they_hold(tmp_path: Path) -> None:
    sample = json.dumps(_SAMPLE).encode()
    head = json.dumps({"eval": {}}).encode()
    packed = [("_journal/start.json", head), ("samples/1_epoch_1.json", sample)]
    for method in (93, 8):
        assert detect_format(write_zip(tmp_path / "a.jsonl", packed, method=method)) == "inspect_ai"
    assert detect_format(write_zip(tmp_path / "a.xlsx", [("xl/workbook.xml", b"<a/>")])) is None
    np.savez(tmp_path / "a.npz", predictions=np.zeros((1, 2)))
    np.savez(tmp_path / "b.npz", weights=np.zeros((1, 2)))
    np.save(tmp_path / "a.npy", np.zeros((1, 2)))
    assert [detect_format(tmp_path / n) for n in ("a.npz", "b.npz", "a.npy")] == ["hf_trainer", None, "hf_trainer"]
    details = pl.DataFrame({"doc": [{"id": "0"}], "metric": [{"acc": 1}], "model_response": [{"text": ["a"]}]})
    details.write_parquet(tmp_path / "details.bin")
    assert detect_format(tmp_path / "details.bin") == "lighteval"
    pl.DataFrame({"item_id": ["a"], "label": ["b"]}).write_parquet(tmp_path / "details_x.parquet")
    assert detect_format(tmp_path / "details_x.parquet") is None


@pytest.mark.parametrize(
    "content",
    [
        "item_id,label\na,b\n",
        '{"item_id": "a", "label": "b"}\n',
        '{"item_id": "a", "prompt": "p", "predict": "x", "label": "b"}\n',
        '[{"item_id": "a", "label": "b"}]',
        '{"id": 1, "prompt": "p", "outputs": ["a"]}',
        "[]",
        "{}",
        "[1, 2]",
        "{ not json at all",
        "index\tprediction\tscore\n0\ta\t1\n",
        "doc_id,doc,resps,filtered_resps\n",
        "\x00\x01\x02",
        '{"__proto__": {"doc_id": 1, "doc": 2, "resps": 3, "filtered_resps": 4}}',
    ],
)
def test_plain_tables_and_anything_else_are_not_ours(tmp_path: Path, content: str) -> None:
    path = _file(tmp_path, content, "samples_x.jsonl")
    assert detect_format(path) is None
    assert read_foreign(path) is None


def test_folders(tmp_path: Path) -> None:
    assert detect_format(tmp_path) is None
    assert read_foreign(tmp_path) is None
    _file(tmp_path, json.dumps(_HELM), "scenario_state.json")
    assert detect_format(tmp_path) == "helm"
    found = read_foreign(tmp_path)
    assert found is not None
    assert found.rows["raw"].to_list() == ["a"]


def test_trainer_text_by_its_first_line(tmp_path: Path) -> None:
    found = read_foreign(_file(tmp_path, "\ufeffindex\tprediction\r\n0\ta\r\n"))
    assert found is not None
    assert found.rows["answer"].to_list() == ["a"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_format_says_what_the_file_looks_like(tmp_path: Path, name: Any) -> None:
    lines = json.dumps(_LM if name != "lm_eval" else _VLLM)
    looks = "lm_eval" if name != "lm_eval" else "vllm"
    path = _file(tmp_path, lines)
    with pytest.raises(TableError) as caught:
        read_foreign(path, format=name)
    assert str(caught.value) == (
        f"{path}: wanted a file of {name}, but this looks like {looks}; leave the format out, or give {looks}."
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_plain_table_read_as_a_format_is_one_line_of_error(tmp_path: Path, name: Any) -> None:
    for content in ('{"item_id": "a", "label": "b"}\n', "item_id,label\na,b\n"):
        path = _file(tmp_path, content)
        with pytest.raises(TableError) as caught:
            read_foreign(path, format=name)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))


def test_a_format_forced_where_the_content_says_too_little(tmp_path: Path) -> None:
    path = _file(tmp_path, json.dumps({"outputs": [{"text": "a"}]}))
    assert detect_format(path) is None
    forced = read_foreign(path, format="vllm")
    assert forced is not None
    assert forced.rows["raw"].to_list() == ["a"]


def test_run_batch_lines_may_be_called_vllm(tmp_path: Path) -> None:
    found = read_foreign(_file(tmp_path, json.dumps(_BATCH)), format="vllm")
    assert found is not None
    assert found.format == "openai_batch"


def test_files_beside_the_outputs_are_named_not_read(tmp_path: Path) -> None:
    beside = {
        "lm_eval": {"results": {}, "configs": {}, "versions": {}, "n-shot": {}},
        "openai_batch": {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}},
        "helm": [{"instance_id": "id1", "train_trial_index": 0, "stats": []}],
    }
    for name, content in beside.items():
        path = _file(tmp_path, json.dumps(content))
        assert detect_format(path) == name
        with pytest.raises(TableError, match=r"samples_\*.jsonl|output file|scenario_state.json"):
            read_foreign(path)


def test_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "no", "there is no such file"), (_file(tmp_path, "\ufeff \n"), "the file is empty")):
        with pytest.raises(TableError, match=said):
            read_foreign(path)
    with pytest.raises(ValueError, match="read_foreign: format must be one of lm_eval, inspect_ai"):
        read_foreign(path, format="csv")  # type: ignore[arg-type]


def test_a_first_object_with_a_long_text_or_nested_keys(tmp_path: Path) -> None:
    long = {"doc": {"s": 'say "hi" {[' * 300_000}} | {k: v for k, v in _LM.items() if k != "doc"}
    assert detect_format(_file(tmp_path, json.dumps(long))) == "lm_eval"
    nested = {"note": 'a "resps": {', "deep": _LM}
    assert detect_format(_file(tmp_path, json.dumps(nested, indent=1))) is None


@settings(max_examples=40)
@given(cut=st.integers(min_value=0, max_value=10_000), name=st.sampled_from(sorted(_WHOLE)), junk=st.binary(max_size=6))
def test_damaged_files_raise_nothing_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int, name: str, junk: bytes
) -> None:
    content = (json.dumps(_WHOLE[name]) + "\n").encode() * 2
    at = cut % len(content)
    path = _file(tmp_path_factory.mktemp("cut"), content[:at] + junk + content[at + len(junk) :])
    for format in (None, name):
        assert "\n" not in _said_of(path, format)


@settings(max_examples=40)
@given(
    value=st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), st.lists, max_leaves=4),
    data=st.data(),
)
def test_a_value_of_another_type_anywhere_raises_nothing_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, value: object, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(_WHOLE)))
    document = json.loads(json.dumps(_WHOLE[name]))
    place: Any = document
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = value
            break
        place = place[key]
    path = _file(tmp_path_factory.mktemp("typed"), json.dumps(document))
    assert "\n" not in _said_of(path)


_REAL = {
    "lm_eval/*.jsonl": "lm_eval",
    "lighteval/*.parquet": "lighteval",
    "inspect_ai/*": "inspect_ai",
    "helm/scenario_state.json": "helm",
    "helm/per_instance_stats.json": "helm",
    "openai_batch/batch_[oe]*.jsonl": "openai_batch",
    "vllm/run_batch_output.jsonl": "openai_batch",
    "vllm/offline_request_outputs.jsonl": "vllm",
    "hf_trainer/predict_results.txt": "hf_trainer",
    "hf_trainer/predict_output.npz": "hf_trainer",
    "llamafactory/*.jsonl": "llama_factory",
    "dfar6.csv": None,
    "README.md": None,
    "hf_trainer/predict_results.json": None,
}


@pytest.mark.real
@pytest.mark.parametrize("pattern", list(_REAL))
def test_real_files_under_another_name(shared_cases: Path, tmp_path: Path, pattern: str) -> None:
    paths = sorted((shared_cases / "output_formats").glob(pattern))
    assert paths
    for path in paths:
        assert detect_format(path) == _REAL[pattern]
        if path.name != "per_instance_stats.json":  # read through the file beside it
            copy = shutil.copy(path, tmp_path / "renamed")
            found, again = read_foreign(path), read_foreign(copy)
            assert (found is None) == (_REAL[pattern] is None)
            assert found is None or (again is not None and again.rows.equals(found.rows))
