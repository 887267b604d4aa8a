"""What people keep of ``Trainer.predict``, and LLaMA-Factory's predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zip_sample import write_zip

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.hf_trainer import read_hf_trainer
from dfar_toolkit.readers.llama_factory import read_llama_factory


def _text(folder: Path, content: str | bytes, name: str = "predict_results.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "predictions.npz"
    np.savez(path, **arrays)
    return path


def _refusal(reader: Any, path: Path) -> str:
    with pytest.raises(TableError) as caught:
        reader(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_named_predictions(tmp_path: Path) -> None:
    found = read_hf_trainer(_text(tmp_path, 'index\tprediction\r\n1\tfine\r\n0\t"quite" wrong\r\n\r\n2\t\r\n'))
    assert found.format == "hf_trainer"
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "answer", "error").rows() == [
        (1, None, "fine", None),
        (0, None, '"quite" wrong', None),
        (2, None, None, "no label stands there"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("index\tprediction\n0\ta\n0\ta\n", "line 3: the index 0 stands there twice"),
        ("index\tprediction\nzero\ta\n", 'line 2: wanted a whole number, a tab and a label, found "zero\\ta"'),
        ("index\tprediction\n0 a\n", "line 2: wanted a whole number"),
        ("index\tprediction\n", "holds no outputs"),
        ("a\tb\n", 'wanted the first line "index"'),
        (b"index\tprediction\n0\t\xff\n", "invalid UTF-8"),
        ("", "the file is empty"),
    ],
)
def test_text_that_is_no_list_of_predictions(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in _refusal(read_hf_trainer, _text(tmp_path, content))


def test_logits_become_probabilities_of_class_numbers(tmp_path: Path) -> None:
    # softmax of (0, ln 3) is (1/4, 3/4); of (1000, 1000) it is (1/2, 1/2); of (-inf, 0) it is (0, 1)
    logits = np.array([[0.0, math.log(3)], [1000.0, 1000.0], [-np.inf, 0.0]])
    found = read_hf_trainer(_saved(tmp_path, predictions=logits, label_ids=np.array([1, 0, -100])))
    assert found.rows["choices"].to_list() == [["0", "1"]] * 3
    assert np.array(found.rows["probs"].to_list()) == pytest.approx(
        np.array([[0.25, 0.75], [0.5, 0.5], [0, 1]]), abs=1e-12
    )
    assert found.rows["probs_kind"].to_list() == ["classifier"] * 3
    assert found.rows["gold"].to_list() == ["1", "0", None]
    assert found.rows["answer"].null_count() == 3
    assert any("by number only" in note for note in found.notes)


def test_one_array_without_labels_and_class_numbers_instead_of_logits(tmp_path: Path) -> None:
    path = tmp_path / "logits.npy"
    np.save(path, np.array([[1, 1], [0, 0]], dtype=np.int32))
    assert read_hf_trainer(path).rows["probs"].to_list() == [[0.5, 0.5], [0.5, 0.5]]
    found = read_hf_trainer(_saved(tmp_path, predictions=np.array([1, 0]), label_ids=np.array([1, 1])))
    assert found.rows.select("answer", "gold", "probs").rows() == [("1", "1", None), ("0", "1", None)]
    half = read_hf_trainer(_saved(tmp_path, logits=np.array([[0, 0]], dtype=np.float16), labels=np.array([0])))
    assert half.rows["probs"].to_list() == [[0.5, 0.5]]


def test_logits_that_are_no_numbers(tmp_path: Path) -> None:
    logits = np.array([[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf], [0.0, 0.0]])
    found = read_hf_trainer(_saved(tmp_path, predictions=logits))
    assert found.rows["probs"].is_null().to_list() == [True, True, True, False]
    assert found.rows["error"].is_null().to_list() == [False, False, False, True]
    assert found.notes[-1] == "rows without usable logits: 3"


def test_archives_that_are_no_logits(tmp_path: Path) -> None:
    refused = {
        "found an array of float64 of shape (2, 3, 4)": {"predictions": np.zeros((2, 3, 4))},
        "found an array of float64 of shape (2, 1)": {"predictions": np.zeros((2, 1))},
        "found an array of float64 of shape (2,)": {"predictions": np.zeros(2)},
        "found an array of str96 of shape (1, 2)": {"predictions": np.array([["yes", "no"]])},
        'wanted an array "predictions" in this file, found "other"': {"other": np.zeros((2, 2))},
        "wanted 2 whole numbers as label_ids": {"predictions": np.zeros((2, 2)), "label_ids": np.zeros(3, dtype=int)},
        "cannot be read (Object arrays cannot be loaded": {"predictions": np.array([[1], [2, 3]], dtype=object)},
        "holds no outputs": {"predictions": np.zeros((0, 2))},
    }
    for said, arrays in refused.items():
        assert said in _refusal(read_hf_trainer, _saved(tmp_path, **arrays))
    damaged = _saved(tmp_path, predictions=np.zeros((2, 2)))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert "not a ZIP file that can be read" in _refusal(read_hf_trainer, damaged)
    assert "cannot be read" in _refusal(read_hf_trainer, write_zip(tmp_path / "a.npz", [("predictions.npy", b"junk")]))
    assert "cannot be read" in _refusal(read_hf_trainer, _text(tmp_path, b"\x93NUMPY\x01\x00", "a.npy"))


@pytest.mark.real
def test_real_trainer_files(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "hf_trainer"
    named = read_hf_trainer(folder / "predict_results.txt").rows
    saved = read_hf_trainer(folder / "predict_output.npz").rows
    top = ["ethical" if p[0] > p[1] else "unethical" for p in saved["probs"].to_list()]
    assert top == named["answer"].to_list()
    assert saved["gold"].to_list() == ["1", "0", "0", "0", "0", "0"]
    # softmax of the first row (.00914532, -.00867429) is 1 / (1 + exp(-.01781961))
    assert saved["probs"][0][0] == pytest.approx(1 / (1 + math.exp(-0.01781961)), abs=1e-7)


def _predictions(folder: Path, lines: list[Any]) -> Path:
    return _text(folder, "".join(json.dumps(line) + "\n" for line in lines), "generated_predictions.jsonl")


def test_llama_factory(tmp_path: Path) -> None:
    line = {"prompt": "statement", "predict": "fine. Because.", "label": "wrong. Why not."}
    found = read_llama_factory(_predictions(tmp_path, [line, line, line | {"predict": ""}, line | {"predict": None}]))
    assert found.rows.select("position", "key", "raw", "gold", "error").rows() == [
        (0, None, "fine. Because.", "wrong. Why not.", None),
        (1, None, "fine. Because.", "wrong. Why not.", None),
        (2, None, "", "wrong. Why not.", "no text came"),
        (3, None, None, "wrong. Why not.", "no text came"),
    ]
    assert found.rows["texts"].to_list()[0] == ["statement"]
    assert found.notes[1] == "outputs without a text: 2"
    assert 'record 2: wanted "prompt", "predict" and "label", found no "label"' in _refusal(
        read_llama_factory, _predictions(tmp_path, [line, {"prompt": "p", "predict": "a"}])
    )


@pytest.mark.real
def test_real_llama_factory(shared_cases: Path) -> None:
    rows = read_llama_factory(shared_cases / "output_formats" / "llamafactory" / "generated_predictions.jsonl").rows
    assert rows["raw"].to_list() == ["sisisisi"] * 4
    assert rows["gold"][0].startswith("unethical. You expecting")
