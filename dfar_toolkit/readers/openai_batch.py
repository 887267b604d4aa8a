"""OpenAI Batch output and error files, and what writes the same lines: ``vllm run-batch``, Azure, saved responses.

A line is ``{custom_id, response: {status_code, body}, error}``, with the body of chat completions, completions or
responses; a file of bare bodies is read as well. Lines are in no order (vLLM: that of the requests).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import alternatives, listing, mapping, number, plain, text, top_tokens, whole
from dfar_toolkit.readers.records import Record, Repeats, as_foreign, read_records

_Answer = dict[str, Any]


def read_openai_batch(path: Path | str) -> Foreign:
    """The outputs in a batch's output or error file: ``key`` is the custom_id, ``sample`` the choice (``n`` > 1).

    The top log-probabilities of the first token are kept with the tokens as ``choices`` (kind ``first_token``), except
    after a reasoning text, whose token they would be. A failed request and a refusal have an ``error``.

    Raises:
        TableError: Not such a file, damaged, the requests themselves, or one custom_id twice with other content.
    """
    path = Path(path)
    repeats = Repeats(path, "custom_id")
    rows: list[_Answer] = []
    place = hidden = unordered = broken = 0
    for line, record, mark in read_records(path):
        _check(path, line, record)
        if repeats.copy(plain(record.get("custom_id")), mark):
            continue
        body, failure = _body(record)
        answers = [{"error": failure}] if failure else _answers(body)
        hidden += any(a.pop("hidden", False) for a in answers)
        broken += any(a.pop("broken", False) for a in answers)
        unordered += "custom_id" in record and not (text(record.get("id")) or "").startswith("vllm-")
        shared = {
            "position": place,
            "key": plain(record.get("custom_id")),
            "run_id": text(body.get("model")),
            "temperature": number(body.get("temperature")),
            "sample": 0,
        }
        rows += [shared | answer for answer in answers]
        place += 1
    notes = [*repeats.notes, *_notes(rows, hidden, broken, unordered > 0), *_named(rows)]
    return as_foreign(path, "openai_batch", rows, notes, ordered=not unordered)


def _named(rows: list[_Answer]) -> list[str]:
    """Give failed requests, whose body is not there to say it, the one model that the file names; say how many."""
    models = {row["run_id"] for row in rows} - {None}
    nameless = [row for row in rows if row["run_id"] is None and row.get("error") is not None]
    if len(models) != 1 or not nameless:
        return []
    (model,) = models
    for row in nameless:
        row["run_id"] = model
    return [f"failed requests without a model, counted for the one that the file names ({model}): {len(nameless)}"]


def _check(path: Path, number: int, record: Record) -> None:
    at = f"{path}: record {number}"
    if "custom_id" in record and "body" in record and "response" not in record:
        raise TableError(f"{at}: this is a request of a batch, not an answer; give the batch's output file.")
    if "custom_id" in record and not {"response", "error"} & record.keys():
        raise TableError(f'{at}: wanted "response" or "error" beside "custom_id", found neither.')
    if "custom_id" not in record and not {"choices", "output", "response", "error"} & record.keys():
        raise TableError(f'{at}: wanted a line of a batch ("custom_id", "response"), found none.')


def _body(record: Record) -> tuple[dict[str, Any], str | None]:
    """The body of a line, and why the request failed if it did."""
    if not {"response", "error"} & record.keys() or record.keys() >= {"object", "model"}:
        return record, None  # a bare body, whose own "error" is looked at with its answer
    response = mapping(record.get("response"))
    body = mapping(response.get("body"))
    status = number(response.get("status_code"))
    if record.get("error"):
        return body, _message(record["error"])
    if not response or (status is not None and status >= 400) or ("error" in body and not body.get("object")):
        told = _message(body.get("error"))
        return body, f"HTTP {status:.0f}: {told}" if status is not None else told
    return body, None


def _message(fault: object) -> str:
    told = [text(mapping(fault).get(name)) for name in ("code", "type", "message")]
    return ": ".join(dict.fromkeys(t for t in told if t)) or plain(fault) or "the request failed without a message"


def _answers(body: dict[str, Any]) -> list[_Answer]:
    if isinstance(body.get("output"), list):
        return [_response(body)]
    choices = [mapping(c) for c in listing(body.get("choices"))]
    if not choices:
        return [{"error": "the body holds no choices"}]
    places = [whole(c.get("index")) for c in choices]
    numbered = places if len(set(places)) == len(places) else range(len(choices))
    return [
        _choice(c) | {"sample": n if k is None else k} for n, (k, c) in enumerate(zip(numbered, choices, strict=True))
    ]


def _choice(choice: dict[str, Any]) -> _Answer:
    """One choice of a chat completion, or of a plain completion (``text``)."""
    message = mapping(choice.get("message"))
    raw = text(choice.get("text")) if "text" in choice else _content(message.get("content"))
    refusal, reason = text(message.get("refusal")), text(choice.get("finish_reason"))
    logprobs = mapping(choice.get("logprobs"))
    first = next(iter(listing(logprobs.get("content"))), None)
    older = next(iter(listing(logprobs.get("top_logprobs"))), None)
    spread = alternatives(top_tokens(first)) or alternatives(list(mapping(older).items()))
    thought = any(message.get(name) for name in ("reasoning", "reasoning_content"))
    given = top_tokens(first) or mapping(older)
    return {
        "raw": raw or refusal,
        "error": _silence(raw, refusal, reason),
        **({} if thought else spread),
        "hidden": thought and bool(spread),
        "broken": bool(given) and not spread,
    }


def _content(content: object) -> str | None:
    """The text of a message's content, which may be a list of parts."""
    if not isinstance(content, list):
        return text(content)
    parts = [text(mapping(part).get("text")) for part in content]
    return "".join(part for part in parts if part is not None) or None


def _silence(raw: str | None, refusal: str | None, reason: str | None) -> str | None:
    """Why there is no answer; None where a text came."""
    if refusal and not raw:
        return f"refusal: {refusal}"
    if raw:
        return None
    return f"no text came (finish_reason {reason})" if reason else "no text came"


def _response(body: dict[str, Any]) -> _Answer:
    """The answer of a ``/v1/responses`` body: the texts of its messages, without reasoning and tool calls."""
    items = [mapping(item) for item in body["output"]]
    parts = [mapping(p) for item in items if item.get("type") == "message" for p in listing(item.get("content"))]
    texts = [text(p.get("text")) for p in parts if p.get("type") == "output_text"]
    refusal = next((text(p.get("refusal")) for p in parts if p.get("type") == "refusal"), None)
    raw = "".join(t for t in texts if t is not None) or None
    first = next((place for p in parts for place in listing(p.get("logprobs"))), None)
    reason = text(mapping(body.get("incomplete_details")).get("reason")) or text(body.get("status"))
    failure = _message(body["error"]) if body.get("error") else _silence(raw, refusal, reason)
    spread = alternatives(top_tokens(first))
    return {"raw": raw or refusal, "error": failure, **spread, "broken": bool(top_tokens(first)) and not spread}


def _notes(rows: list[_Answer], hidden: int, broken: int, unordered: bool) -> list[str]:
    failed = sum(row.get("error") is not None for row in rows)
    keyless = sum(row["key"] is None for row in rows)
    return [
        *(["the lines of a batch are in no order: match them by custom_id, not by position"] if unordered else []),
        *([f"outputs without an answer (failed, refused or empty): {failed}"] if failed else []),
        *([f"outputs without a custom_id: {keyless}"] if keyless else []),
        *(
            [f"outputs whose first token belongs to a reasoning text, read without log-probabilities: {hidden}"]
            if hidden
            else []
        ),
        *([f"outputs whose log-probabilities are no numbers, read without them: {broken}"] if broken else []),
    ]
