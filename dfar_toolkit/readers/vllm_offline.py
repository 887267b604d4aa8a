"""vLLM offline: ``LLM.generate`` results that a user wrote as JSON, one ``RequestOutput`` per line or in one list.

vLLM has no writer of its own, so fields may be missing; ``vllm run-batch`` writes the lines of ``openai_batch``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import alternatives, listing, mapping, number, plain, strings_in, text, whole
from dfar_toolkit.readers.records import Record, Repeats, as_foreign, read_records

_OWN: Final = frozenset({
    *("request_id", "prompt", "prompt_token_ids", "prompt_logprobs", "outputs", "finished", "metrics", "lora_request"),
    *("num_cached_tokens", "encoder_prompt", "encoder_prompt_token_ids", "kv_transfer_params"),
})  # fmt: skip


def read_vllm(path: Path | str) -> Foreign:
    """The outputs in a dump of ``LLM.generate``.

    ``request_id`` is a counter and no item's key, so there is a ``key`` only where the user added an ``item_id`` or
    ``custom_id``; ``texts`` are the prompt and all texts that the user added. ``position`` is the place by request_id
    where all are different whole numbers (vLLM counts prompts), else the place in the file.

    Raises:
        TableError: Not such a file, damaged, or one request_id twice with other content.
    """
    path = Path(path)
    repeats = Repeats(path, "request_id")
    rows: list[dict[str, Any]] = []
    counters: list[int | None] = []
    for line, record, mark in read_records(path):
        if not isinstance(record.get("outputs"), list):
            raise TableError(f'{path}: record {line}: wanted a list "outputs" of a vLLM RequestOutput, found none.')
        if repeats.copy(plain(record.get("request_id")), mark):
            continue
        rows += _outputs(record, len(counters))
        counters.append(whole(record.get("request_id")))
    places, moved = _places(counters)
    rows = [row | {"position": places[row["position"]]} for row in rows]
    empty = sum(row.get("error") is not None for row in rows)
    notes = [
        *repeats.notes,
        *(["positions are by request_id, which differs from the order of the lines"] if moved else []),
        *([f"outputs without a text: {empty}"] if empty else []),
    ]
    return as_foreign(path, "vllm", rows, notes)


def _outputs(record: Record, place: int) -> list[dict[str, Any]]:
    added = {name: value for name, value in record.items() if name not in _OWN}
    shared = {
        "position": place,
        "key": plain(added.get("item_id")) or plain(added.get("custom_id")),
        "texts": strings_in([record.get("prompt"), added]),
        "sample": 0,
    }
    answers = [_completion(mapping(o), n) for n, o in enumerate(listing(record["outputs"]))]
    return [shared | a for a in answers or [{"error": "no output came"}]]


def _places(counters: list[int | None]) -> tuple[list[int], bool]:
    """The place of each record by its request_id, and whether it is another than in the file."""
    known = [n for n in counters if n is not None]
    if len(set(known)) < len(counters):
        return list(range(len(counters))), False
    rank = {n: place for place, n in enumerate(sorted(known))}
    return [rank[n] for n in known], known != sorted(known)


def _completion(output: dict[str, Any], n: int) -> dict[str, Any]:
    raw = text(output.get("text"))
    place = whole(output.get("index"))
    first = mapping(next(iter(listing(output.get("logprobs"))), None))
    tokens = sorted(map(mapping, first.values()), key=lambda t: number(t.get("rank")) or 0)
    return {
        "sample": n if place is None else place,
        "raw": raw,
        "error": None if raw else f"no text came (finish_reason {output.get('finish_reason')})",
        **alternatives([(t.get("decoded_token"), t.get("logprob")) for t in tokens]),
    }
