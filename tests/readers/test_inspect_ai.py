"""inspect_ai logs: real ones of both ZIP flavours, and invented samples in the same members."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from zip_sample import frames, write_zip

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.inspect_ai import read_inspect_ai
from dfar_toolkit.readers.zip_members import zip_members


def _header(**more: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "t",
            "model": "org/model",
            "dataset": {"sample_ids": ["b", "a"], "shuffled": False},
            "model_generate_config": {"temperature": 0.3},
        },
        "plan": {"steps": [{"solver": "multiple_choice", "params": {"shuffle": False}}], "config": {}},
        **more,
    }


def _sample(name: object = "a", epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "epoch": epoch,
        "input": f"statement {name}",
        "choices": ["fine", "wrong"],
        "target": "B",
        "output": {
            "model": "org/model",
            "completion": "ANSWER: B",
            "choices": [{"message": {}, "stop_reason": "stop"}],
        },
        "scores": {"choice": {"value": "C", "answer": "B"}},
        "metadata": {"reason": "why", "label": 1},
        **more,
    }


def _token(token: str, log: float, top: dict[str, float] | None = None) -> dict[str, Any]:
    others = [{"token": t, "logprob": v} for t, v in (top or {}).items()]
    return {"token": token, "logprob": log, "top_logprobs": others}


def _output(completion: str, content: list[dict[str, Any]], message: object = "text") -> dict[str, Any]:
    choice = {"message": {"content": message}, "stop_reason": "stop", "logprobs": {"content": content}}
    return {"completion": completion, "choices": [choice]}


def _members(samples: list[dict[str, Any]], header: dict[str, Any] | None = None) -> list[tuple[str, bytes]]:
    named = [(f"samples/{s['id']}_epoch_{s['epoch']}.json", json.dumps(s).encode()) for s in samples]
    return [("_journal/start.json", b"{}"), *named, ("header.json", json.dumps(header or _header()).encode())]


def _eval(folder: Path, samples: list[dict[str, Any]], header: dict[str, Any] | None = None) -> Path:
    return write_zip(folder / "log.eval", _members(samples, header))


def _refusal(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_inspect_ai(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(("method", "pieces"), [(93, 1), (93, 3), (8, 1)])
def test_both_zip_flavours_and_json_say_the_same(tmp_path: Path, method: int, pieces: int) -> None:
    samples = [_sample("a"), _sample("b", target="A"), _sample("a", 2)]
    packed = write_zip(tmp_path / "log.eval", _members(samples), method=method, pieces=pieces)
    found = read_inspect_ai(packed)
    assert found.format == "inspect_ai"
    assert found.notes == ()
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "sample", "gold", "answer").rows() == [
        (1, "a", 0, "wrong", "wrong"),
        (0, "b", 0, "fine", "wrong"),
        (1, "a", 1, "wrong", "wrong"),
    ]
    row = found.rows.row(0, named=True)
    assert (row["run_id"], row["temperature"], row["raw"], row["method"]) == ("org/model", 0.3, "ANSWER: B", None)
    assert (row["texts"], row["choices"]) == (["statement a", "why"], ["fine", "wrong"])
    whole = tmp_path / "log.json"
    whole.write_text(json.dumps(_header() | {"samples": samples}))
    assert read_inspect_ai(whole).rows.equals(found.rows)


def test_python_itself_reads_the_deflate_flavour_that_the_test_writes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "log.eval", [("a", b"x" * 1000)], method=8)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_several_scorers_are_methods(tmp_path: Path) -> None:
    scores = {
        "choice": {"value": "C", "answer": "A"},
        "graded": {"value": 0.5, "answer": "wrong"},
        "silent": {"value": 1},
    }
    rows = read_inspect_ai(_eval(tmp_path, [_sample(scores=scores)])).rows
    assert rows.select("method", "answer").rows() == [("choice", "fine"), ("graded", "wrong"), ("silent", None)]


@pytest.mark.parametrize(
    ("scorer", "options", "answer", "read"),
    [
        ("choice", ["fine", "wrong"], "B", "wrong"),
        ("choice", ["B", "A"], "A", "B"),  # a letter is a place, whatever the texts are
        ("own", ["B", "A"], "A", "A"),  # the text of a choice, from a scorer that does not speak in letters
        ("choice", ["fine", "wrong"], "A, B", None),  # several choices are no answer
        ("choice", ["fine", "wrong"], "", None),
        ("choice", ["fine", "wrong"], "C", "C"),  # no such choice: left as it is, not guessed
        ("own", [], "wrong", "wrong"),
        ("own", [], "ANSWER: B", None),  # the whole text: nothing was parsed
        ("choice", [f"o{k}" for k in range(30)], "2", "o27"),  # after Z inspect_ai counts 1, 2, ...
    ],
)
def test_letters_stand_for_choices(
    tmp_path: Path, scorer: str, options: list[str], answer: str, read: str | None
) -> None:
    sample = _sample(choices=options, scores={scorer: {"value": "C", "answer": answer}})
    assert read_inspect_ai(_eval(tmp_path, [sample])).rows["answer"].to_list() == [read]


def test_log_probabilities_of_the_one_letter(tmp_path: Path) -> None:
    letter = _token(" B", -0.1, {" B": -0.1, " A": -2.5, " C": -9.0, "\n": -9.5})
    long = _output("ANSWER: B", [_token("ANSWER", -0.01, {"ANSWER": -0.01, "The": -5.0}), _token(":", 0.0), letter])
    twice = _output("A B", [_token("A", -0.1, {"A": -0.1}), letter])
    reasoned = _output("B", [letter], [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "B"}])
    free = _output("fine", [_token("fi", -0.5, {"fi": -0.5, "wr": -1.0})])
    samples = [
        _sample("long", output=long),
        _sample("twice", output=twice),
        _sample("reasoned", output=reasoned),
        _sample("free", output=free, choices=None),
    ]
    found = read_inspect_ai(_eval(tmp_path, samples)).rows
    assert found.select("key", "choices", "logprobs", "probs_kind").rows() == [
        ("long", ["wrong", "fine"], [-0.1, -2.5], "first_token"),
        ("twice", ["fine", "wrong"], None, None),
        ("reasoned", ["fine", "wrong"], None, None),
        ("free", ["fi", "wr"], [-0.5, -1.0], "first_token"),
    ]


def test_shuffled_choices_leave_no_log_probabilities(tmp_path: Path) -> None:
    header = _header(plan={"steps": [{"solver": "multiple_choice", "params": {"shuffle": True}}]})
    output = _output("ANSWER: B", [_token("B", -0.1, {"B": -0.1, "A": -2.0})])
    found = read_inspect_ai(_eval(tmp_path, [_sample(output=output)], header))
    assert found.rows["logprobs"].to_list() == [None]
    assert "choices were shuffled" in found.notes[0]


def test_attachments_are_resolved_where_they_are_known(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "attachment://11"},
        {"role": "user", "content": [{"text": "attachment://22"}]},
    ]
    sample = _sample(
        input=messages,
        attachments={"11": "long statement", "22": "second", "33": "ANSWER: A"},
        metadata={"deep": [{"reason": "attachment://11"}, "attachment://99"]},
        output={"completion": "attachment://33"},
    )
    row = read_inspect_ai(_eval(tmp_path, [sample])).rows.row(0, named=True)
    assert row["texts"] == ["long statement", "second", "long statement", "attachment://99"]
    assert row["raw"] == "ANSWER: A"


def test_failed_samples_and_unfinished_logs(tmp_path: Path) -> None:
    failed = _sample("b", error={"message": "timed out", "traceback": "..."}, output={}, scores=None)
    silent = _sample("c", output={"completion": "", "choices": [{"stop_reason": "content_filter"}]}, scores={})
    header = json.dumps(_header(status="error")).encode()
    members = _members([_sample(), failed, silent])[1:-1]
    found = read_inspect_ai(write_zip(tmp_path / "log.eval", [("_journal/start.json", header), *members]))
    assert found.rows["error"].to_list() == [None, "timed out", "no text came (stop reason content_filter)"]
    assert found.notes == (
        "the log was not finished: it has no header yet",
        'the log\'s status is "error", not "success"',
        "samples that ended in an error: 1",
    )


def test_a_member_written_again_counts_once_by_its_last_content(tmp_path: Path) -> None:
    members = _members([_sample(target="A"), _sample(target="B")])
    found = read_inspect_ai(write_zip(tmp_path / "log.eval", members))
    assert found.rows["gold"].to_list() == ["wrong"]
    assert found.notes == ("members written more than once, of which the last counts: 1",)


def test_an_id_twice_in_a_json_log(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(_header() | {"samples": [_sample(), _sample()]}))
    assert read_inspect_ai(path).notes == ("records left out because they repeat an earlier one exactly: 1",)
    path.write_text(json.dumps(_header() | {"samples": [_sample(), _sample(target="A")]}))
    assert 'the id and epoch "a", "1" stands there twice' in _refusal(path)


def test_names_in_the_zip_are_never_paths(tmp_path: Path) -> None:
    sample = json.dumps(_sample()).encode()
    strange = [("samples/../../escaped.json", sample), ("/etc/other.json", sample), ("__proto__", b"{}")]
    found = read_inspect_ai(write_zip(tmp_path / "log.eval", _members([_sample("b")]) + strange))
    assert found.rows["key"].to_list() == ["b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.eval"]


def test_a_member_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    zeros = b"\0" * 5_000_000
    path = write_zip(tmp_path / "log.eval", [("bomb", zeros)])
    assert path.stat().st_size < 5_000
    with zip_members(path) as members:
        assert members.read("bomb") == zeros
        with pytest.raises(TableError, match='the member "bomb" holds more than 1000000 bytes'):
            members.read("bomb", most=1_000_000)
    lying = bytearray(path.read_bytes())
    at = lying.rindex(len(zeros).to_bytes(4, "little"))
    lying[at : at + 4] = (10).to_bytes(4, "little")  # what comes out is counted, not what the directory promises
    path.write_bytes(bytes(lying))
    with zip_members(path) as members:
        with pytest.raises(TableError, match="holds more than 1000000 bytes"):
            members.read("bomb", most=1_000_000)
        with pytest.raises(TableError, match="is damaged"):
            members.read("bomb")


@pytest.mark.parametrize("method", [93, 8])
def test_damaged_zip_files_are_refused_in_one_line(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "log.eval", _members([_sample()]), method=method)
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2])
    assert "not a ZIP file that can be read" in _refusal(path)
    start = sound.index(b"PK\x03\x04", 10)  # the second member, the sample
    broken = bytearray(sound)
    broken[start + 80 : start + 120] = b"\xff" * 40
    path.write_bytes(bytes(broken))
    assert 'the member "samples/a_epoch_1.json"' in _refusal(path)
    moved = bytearray(sound)
    moved[start : start + 4] = b"PK\x09\x09"
    path.write_bytes(bytes(moved))
    assert "cannot be read" in _refusal(path)


def test_other_things_that_are_no_logs(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    assert "holds no samples" in _refusal(_eval(tmp_path, []))
    assert "found none in this ZIP file" in _refusal(write_zip(path, [("other.json", b"{}")]))
    parts = [("header.json", b"{}"), ("samples/a_epoch_1/sample.json", b"{}")]
    assert "inspect log convert" in _refusal(write_zip(path, parts))
    assert "not valid JSON" in _refusal(write_zip(path, [("header.json", b"{"), *_members([_sample()])[1:-1]]))
    assert "invalid UTF-8" in _refusal(write_zip(path, [("header.json", b'{"a": "\xff"}')]))
    assert 'wanted an "id"' in _refusal(_eval(tmp_path, [_sample(["a"])]))
    path.write_text("{}")
    assert 'wanted a log of inspect_ai with "eval"' in _refusal(path)


def test_frames_of_zstandard_follow_one_another() -> None:
    assert frames(b"ab" * 50, pieces=4).count(b"\x28\xb5\x2f\xfd") == 4


@pytest.mark.real
def test_real_logs_of_every_flavour(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "inspect_ai"
    zstd = read_inspect_ai(folder / "2026-11-20T18-10-52-00-00_dfar-mc_L5SzNpNBPNA9idy2LBLDZj.eval")
    deflate = read_inspect_ai(folder / "deflate_legacy_dfar-mc.eval")
    whole = read_inspect_ai(folder / "2026-11-20T18-10-53-00-00_dfar-mc_BxJkfH6zQUhoQy8rXvqbmB.json")
    assert deflate.rows.equals(zstd.rows)
    assert whole.rows.equals(zstd.rows)
    assert zstd.rows["key"].to_list() == [f"dfar-test-{k}" for k in range(6)]
    assert zstd.rows["position"].to_list() == list(range(6))
    assert (zstd.rows["answer"] == zstd.rows["gold"]).sum() == 5  # the log's own accuracy is 5/6
    assert zstd.rows["logprobs"][0].to_list() == [-0.1, -2.3521684610440903]
    assert zstd.rows["texts"][0][0] == "I deserve the desk in the classroom because I am taking the course online."


@pytest.mark.real
def test_real_epochs(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats" / "inspect_ai"
    zstd = read_inspect_ai(folder / "2026-11-20T18-10-53-00-00_dfar-gen_mqFBMPGG43XoEExdkYVPBC.eval").rows
    whole = read_inspect_ai(folder / "2026-11-20T18-10-54-00-00_dfar-gen_SiAEjeAU6z4cJWdze4E9pU.json").rows
    for rows in (zstd, whole):
        assert rows["sample"].to_list() == [0] * 6 + [1] * 6
        assert rows["answer"].head(2).to_list() == ["unethical", "ethical"]
        assert rows["raw"][0] == "unethical\nBecause the desk is not theirs."
