"""OpenAI Batch files, ``vllm run-batch`` and dumps of ``LLM.generate``: real ones, and invented lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.openai_batch import read_openai_batch
from dfar_toolkit.readers.vllm_offline import read_vllm

_ORDER = "the lines of a batch are in no order: match them by custom_id, not by position"


def _place(token: str, log: float, top: dict[str, float]) -> dict[str, Any]:
    return {"token": token, "logprob": log, "top_logprobs": [{"token": t, "logprob": v} for t, v in top.items()]}


def _chat(
    content: object, *, content_logs: list[Any] | None = None, reason: str = "stop", **message: Any
) -> dict[str, Any]:
    logs = None if content_logs is None else {"content": content_logs, "refusal": None}
    own = {"role": "assistant", "content": content, "refusal": None, **message}
    return {"index": 0, "message": own, "logprobs": logs, "finish_reason": reason}


def _line(key: str | None, *choices: dict[str, Any], status: int = 200, **more: Any) -> dict[str, Any]:
    body = {"object": "chat.completion", "model": "org/model", "choices": list(choices)}
    return {
        "id": f"batch_{key}",
        "custom_id": key,
        "response": {"status_code": status, "body": body},
        "error": None,
        **more,
    }


def _write(folder: Path, lines: list[Any]) -> Path:
    path = folder / "output.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def _refusal(reader: Any, path: Path) -> str:
    with pytest.raises(TableError) as caught:
        reader(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_chat_completions_with_first_token_log_probabilities(tmp_path: Path) -> None:
    logs = [_place("fi", -0.2, {"fi": -0.2, " wrong": -2.0}), _place("ne", -0.0, {"ne": 0.0})]
    rare = [_place("odd", -9.0, {"fi": -0.2})]
    found = read_openai_batch(
        _write(tmp_path, [_line("b", _chat("fine", content_logs=logs)), _line("a", _chat("odd", content_logs=rare))])
    )
    assert found.format == "openai_batch"
    assert found.notes == (_ORDER,)
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "sample", "raw", "choices", "logprobs", "probs_kind").rows() == [
        (0, "b", 0, "fine", ["fi", " wrong"], [-0.2, -2.0], "first_token"),
        (1, "a", 0, "odd", ["fi", "odd"], [-0.2, -9.0], "first_token"),  # the sampled token was not among the top
    ]
    assert found.rows["run_id"].to_list() == ["org/model"] * 2
    assert found.rows["error"].null_count() == 2


def test_choices_are_samples_and_parts_of_a_message_one_text(tmp_path: Path) -> None:
    first, second = _chat([{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]), _chat("wrong")
    rows = read_openai_batch(_write(tmp_path, [_line("a", second | {"index": 1}, first | {"index": 0})])).rows
    assert rows.select("sample", "raw").rows() == [(1, "wrong"), (0, "fine")]
    rows = read_openai_batch(_write(tmp_path, [_line("a", first, second)])).rows  # both say index 0: their order counts
    assert rows.select("sample", "raw").rows() == [(0, "fine"), (1, "wrong")]


def test_refusals_and_empty_answers_are_errors(tmp_path: Path) -> None:
    lines = [
        _line("refused", _chat(None, refusal="I cannot.")),
        _line("empty", _chat("", reason="length")),
        _line("filtered", _chat(None, reason="content_filter")),
        _line("none"),
        {"custom_id": "old", "response": {"status_code": 400, "body": {"error": {"type": "bad", "message": "No."}}}},
        {"custom_id": "expired", "response": None, "error": {"code": "batch_expired", "message": "Too late."}},
        {"custom_id": "lost", "response": None, "error": None},
    ]
    found = read_openai_batch(_write(tmp_path, lines))
    assert dict(zip(found.rows["key"], found.rows["error"], strict=True)) == {
        "refused": "refusal: I cannot.",
        "empty": "no text came (finish_reason length)",
        "filtered": "no text came (finish_reason content_filter)",
        "none": "the body holds no choices",
        "old": "HTTP 400: bad: No.",
        "expired": "batch_expired: Too late.",
        "lost": "the request failed without a message",
    }
    assert found.rows["raw"].to_list()[:2] == ["I cannot.", None]
    assert found.notes[1] == "outputs without an answer (failed, refused or empty): 7"


def _responses(items: list[Any], **more: Any) -> dict[str, Any]:
    body = {"object": "response", "model": "org/model", "status": "completed", "output": items, "error": None, **more}
    return {"id": "b", "custom_id": str(len(items)), "response": {"status_code": 200, "body": body}, "error": None}


def test_bodies_of_the_responses_interface(tmp_path: Path) -> None:
    part = {"type": "output_text", "text": "fine", "logprobs": [_place("fi", -0.1, {"fi": -0.1, "wr": -2.5})]}
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    lines = [
        _responses([reasoning, {"type": "message", "content": [part]}], temperature=0.5),
        _responses([refused]),
        _responses([], status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        _responses([reasoning] * 3, status="failed", error={"code": "server_error", "message": "Oh."}),
    ]
    rows = read_openai_batch(_write(tmp_path, lines)).rows
    assert rows.select("raw", "error").rows() == [
        ("fine", None),
        ("No.", "refusal: No."),
        (None, "no text came (finish_reason max_output_tokens)"),
        (None, "server_error: Oh."),
    ]
    assert rows.row(0, named=True)["logprobs"] == [-0.1, -2.5]
    assert rows["temperature"].to_list() == [0.5, None, None, None]


def test_completions_and_bare_bodies(tmp_path: Path) -> None:
    choice = {"index": 0, "text": " fine", "logprobs": {"top_logprobs": [{" fine": -0.1, " wrong": -3.0}]}}
    bare = {"id": "cmpl", "object": "text_completion", "model": "m", "choices": [choice]}
    found = read_openai_batch(
        _write(tmp_path, [bare, bare, {"object": "chat.completion", "model": "m", "choices": []}])
    )
    assert found.rows.select("position", "key", "raw", "logprobs").rows() == [
        (0, None, " fine", [-0.1, -3.0]),
        (1, None, " fine", [-0.1, -3.0]),
        (2, None, None, None),
    ]
    assert found.notes[-1] == "outputs without a custom_id: 3"


def test_log_probabilities_of_a_reasoning_text_are_left_out(tmp_path: Path) -> None:
    logs = [_place("<think>", 0.0, {"<think>": 0.0, "fi": -9.0})]
    found = read_openai_batch(_write(tmp_path, [_line("a", _chat("fine", content_logs=logs, reasoning="hm"))]))
    assert found.rows["logprobs"].to_list() == [None]
    assert found.notes[1].endswith("read without log-probabilities: 1")


@pytest.mark.parametrize("number", ["NaN", "Infinity", '"high"', "null"])
def test_log_probabilities_that_are_none_are_not_kept(tmp_path: Path, number: str) -> None:
    logs = [_place("a", -0.1, {"a": -0.1, "b": -77.25})]
    line = json.dumps(_line("a", _chat("fine", content_logs=logs))).replace("-77.25", number)
    row = read_openai_batch(_write(tmp_path, [line])).rows.row(0, named=True)
    assert (row["raw"], row["choices"], row["logprobs"], row["error"]) == ("fine", None, None, None)


def test_a_custom_id_twice(tmp_path: Path) -> None:
    line, other = _line("a", _chat("fine")), _line("a", _chat("wrong"))
    assert read_openai_batch(_write(tmp_path, [line, line])).notes[0].endswith("exactly: 1")
    message = _refusal(read_openai_batch, _write(tmp_path, [line, _line("b", _chat("x")), other]))
    assert 'custom_id "a" stands there twice with different content' in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"custom_id": "a", "method": "POST", "url": "/v1", "body": {}}, "a request of a batch, not an answer"),
        ({"custom_id": "a"}, 'wanted "response" or "error" beside "custom_id"'),
        ({"a": 1}, "wanted a line of a batch"),
        ('{"custom_id": "a", "respon', "not valid JSON"),
        ("3", "wanted an object, found a number"),
        ('{"custom_id": "a", "n": 1' + "0" * 5000 + "}", "too many digits"),
    ],
)
def test_lines_that_are_no_outputs(tmp_path: Path, line: object, said: str) -> None:
    message = _refusal(read_openai_batch, _write(tmp_path, [_line("b", _chat("fine")), line]))
    assert said in message
    assert "2" in message  # the record or line


def test_mixed_types_never_break_a_line(tmp_path: Path) -> None:
    lines = [
        {"custom_id": 7, "response": "text", "error": None},
        {"custom_id": "a", "response": {"status_code": "200", "body": []}, "error": None},
        {"custom_id": ["x"], "response": {"status_code": 200, "body": {"choices": [3, None], "model": 5}}, "error": 0},
        {"custom_id": "__proto__", "response": {"body": {"choices": {"constructor": 1}}}, "error": "plain"},
    ]
    rows = read_openai_batch(_write(tmp_path, lines)).rows
    assert rows["key"].to_list() == ["7", "a", None, None, "__proto__"]
    assert rows["error"].null_count() == 0
    assert rows["error"][-1] == "plain"


@pytest.mark.real
def test_real_batch_files(shared_cases: Path) -> None:
    folder = shared_cases / "output_formats"
    batch = read_openai_batch(folder / "openai_batch" / "batch_output.jsonl")
    assert batch.rows["key"].to_list() == [f"dfar-test-{k}" for k in (2, 0, 3, 1)]
    assert batch.rows["choices"][1].to_list() == ["si", " immediately", " flu"]
    failed = read_openai_batch(folder / "openai_batch" / "batch_errors.jsonl").rows
    assert failed["error"].to_list()[0] == "HTTP 400: invalid_request_error: Invalid 'messages[0].content'"
    assert failed["error"].to_list()[1].startswith("batch_expired: ")
    own = read_openai_batch(folder / "vllm" / "run_batch_output.jsonl")
    assert own.notes == ()  # vLLM writes in the order of the requests
    shared = ["key", "raw", "choices", "logprobs"]
    assert own.rows.select(shared).equals(batch.rows.select(shared).sort("key"))


def _request(number: str, texts: list[str], logs: object = None, **more: Any) -> dict[str, Any]:
    outputs = [{"index": k, "text": t, "logprobs": logs, "finish_reason": "stop"} for k, t in enumerate(texts)]
    return {"request_id": number, "prompt": f"prompt {number}", "prompt_logprobs": [None], "outputs": outputs, **more}


def test_dumps_of_vllm(tmp_path: Path) -> None:
    top = {
        "7": {"logprob": -2.0, "rank": 2, "decoded_token": " wrong"},
        "3": {"logprob": -0.2, "rank": 1, "decoded_token": " fine"},
    }
    found = read_vllm(_write(tmp_path, [_request("0", ["fine", "wrong"], [top, top]), _request("1", [""])]))
    assert found.format == "vllm"
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.rows.select("position", "key", "sample", "raw", "choices", "logprobs").rows() == [
        (0, None, 0, "fine", [" fine", " wrong"], [-0.2, -2.0]),
        (0, None, 1, "wrong", [" fine", " wrong"], [-0.2, -2.0]),
        (1, None, 0, "", None, None),
    ]
    assert found.rows["error"].to_list() == [None, None, "no text came (finish_reason stop)"]
    assert found.rows["texts"].to_list()[0] == ["prompt 0"]


def test_a_json_list_with_the_users_own_fields(tmp_path: Path) -> None:
    own = [_request("5", ["a"], item_id="x:1", statement="s"), _request("4", ["b"], item_id="x:2", statement="t")]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(own, indent=1))
    found = read_vllm(path)
    assert found.rows.select("position", "key").rows() == [(1, "x:1"), (0, "x:2")]
    assert found.rows["texts"].to_list() == [["prompt 5", "x:1", "s"], ["prompt 4", "x:2", "t"]]
    assert found.notes == ("positions are by request_id, which differs from the order of the lines",)
    del own[0]["request_id"]
    path.write_text(json.dumps(own))
    assert read_vllm(path).rows["position"].to_list() == [0, 1]


def test_log_probabilities_of_early_versions_name_no_token(tmp_path: Path) -> None:
    row = read_vllm(_write(tmp_path, [_request("0", ["a"], [{"7": -0.5}])])).rows.row(0, named=True)
    assert (row["raw"], row["logprobs"]) == ("a", None)


def test_dumps_that_cannot_be_read(tmp_path: Path) -> None:
    assert 'request_id "0" stands there twice' in _refusal(
        read_vllm, _write(tmp_path, [_request("0", ["a"]), _request("0", ["b"])])
    )
    assert 'record 1: wanted a list "outputs"' in _refusal(
        read_vllm, _write(tmp_path, [{"prompt": "p", "outputs": "a"}])
    )
    assert "record 2: wanted an object" in _refusal(
        read_vllm, _write(tmp_path, [json.dumps([_request("0", ["a"]), 3])])
    )
    assert read_vllm(_write(tmp_path, [_request("0", [])])).rows["error"].to_list() == ["no output came"]


@pytest.mark.real
def test_real_dump_of_vllm(shared_cases: Path) -> None:
    rows = read_vllm(shared_cases / "output_formats" / "vllm" / "offline_request_outputs.jsonl").rows
    assert rows["position"].to_list() == [0, 1, 2, 3]
    assert rows["raw"].to_list() == ["sisisisi"] * 4
    assert rows["choices"][1].to_list() == ["si", " flu", " immediately"]
    assert rows["logprobs"][0].to_list() == [-7.192850589752197, -7.221867561340332, -7.298089981079102]
