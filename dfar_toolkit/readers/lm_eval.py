"""lm-evaluation-harness: ``samples_TASK_TIME.jsonl``, one line per document and filter.

Before 0.4.3 log-likelihoods are numbers (now texts) and ``arguments`` is a list of lists (now an object); before 0.4.6
no filter is named. Old and new are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import (
    listing,
    log_probabilities,
    mapping,
    number,
    plain,
    strings_in,
    text,
    whole,
)
from dfar_toolkit.readers.records import Record, Repeats, as_foreign, json_of, read_records, strange

_NO_MATCH: Final = "[invalid]"  # what the harness's filters put where nothing matched


def read_lm_eval(path: Path | str) -> Foreign:
    """The outputs in a samples file of lm-evaluation-harness.

    Multiple choice gives ``choices`` with their summed ``logprobs``; generation gives a row per repeat, the filter's
    answer at the first where it gave one for all of them, or at each. Several filters are told apart by ``method``.

    Raises:
        TableError: Not such a file, damaged, without answers, or one document and filter twice with other content.
    """
    path = Path(path)
    run, repeats = _model(path), Repeats(path, "the doc_id and filter")
    rows: list[dict[str, Any]] = []
    unmatched = 0
    for line, record, mark in read_records(path):
        _check(path, line, record)
        key, method = plain(record["doc_id"]), text(record.get("filter"))
        if repeats.copy((key, method), mark):
            continue
        unmatched += _NO_MATCH in strings_in(record["filtered_resps"])
        shared = {
            "position": whole(record["doc_id"]),
            "key": key,
            "texts": strings_in(record.get("doc")),
            "run_id": run,
            "method": method,
        }
        rows += [shared | row for row in _answers(record)]
    if len({row["method"] for row in rows}) == 1:
        rows = [row | {"method": None} for row in rows]
    return as_foreign(path, "lm_eval", rows, [*repeats.notes, *_notes(unmatched, rows)])


def _check(path: Path, number: int, record: Record) -> None:
    if {"results", "configs"} <= record.keys():
        raise TableError(
            f"{path}: this is lm-eval's file of averages; wanted samples_*.jsonl, which --log_samples writes beside it."
        )
    lost = [key for key in ("doc_id", "arguments", "resps", "filtered_resps") if key not in record]
    if lost:
        raise TableError(f'{path}: record {number}: wanted a line of lm-eval samples, found none of "{lost[0]}".')
    if whole(record["doc_id"]) is None:
        raise strange(path, number, "a whole number as doc_id", record["doc_id"])
    if not listing(record["resps"]):
        raise strange(path, number, "a list of responses as resps", record["resps"])
    if all(second is None for _, second in _arguments(record)):
        raise TableError(
            f"{path}: record {number}: these are rolling log-likelihoods (perplexity), which hold no answers; wanted "
            "multiple choice or generation."
        )


def _arguments(record: Record) -> list[tuple[object, object]]:
    """The first two arguments of each request of a record: the context, and the continuation or the settings."""
    given = record["arguments"]
    requests = list(given.values()) if isinstance(given, dict) else listing(given)
    lists = [list(r.values()) if isinstance(r, dict) else listing(r) for r in requests]
    return [(arguments[0], arguments[1]) if len(arguments) > 1 else (None, None) for arguments in lists]


def _answers(record: Record) -> list[dict[str, Any]]:
    arguments = _arguments(record)
    if any(isinstance(second, str) for _, second in arguments):
        return [_choice_row(record, arguments)]
    return _generated(record, mapping(arguments[0][1]))


def _choice_row(record: Record, arguments: list[tuple[object, object]]) -> dict[str, Any]:
    """The choices with their log-likelihoods; a second, unconditional run over them (acc_mutual_info) is left out."""
    options = [(text(continuation) or "").strip() for _, continuation in arguments]
    half = len(options) // 2
    if half and options[:half] == options[half:] and all(context == "" for context, _ in arguments[half:]):
        arguments, options = arguments[:half], options[:half]
    if len(options) > 1 and len(set(options)) == 1:  # one continuation after several contexts: these are the choices
        options = [(text(context) or "").strip() for context, _ in arguments]
    logs = log_probabilities(_likelihood(r) for r in listing(record["resps"])[: len(options)])
    usable = logs is not None and len(logs) == len(options)
    return {
        "sample": 0,
        "choices": options,
        "logprobs": logs if usable else None,
        "probs_kind": "forced" if usable else None,
        "gold": _gold(record.get("target"), options),
        "error": None if usable else "the log-likelihoods are missing or are no numbers",
    }


def _likelihood(request: object) -> object:
    """The log-likelihood of one request: ``[[value, is_greedy], ...]``, one pair per repeat, all alike."""
    while isinstance(request, list) and request:
        request = request[0]
    return request


def _gold(target: object, options: list[str]) -> str | None:
    """The choice that a target names by its text or its place; None where both readings differ."""
    name = plain(target)
    place = whole(name)
    if name is None or place is None or place >= len(options):
        return None if name is None else name.strip()
    return options[place] if name.strip() not in options or options[place] == name.strip() else None


def _generated(record: Record, settings: dict[str, Any]) -> list[dict[str, Any]]:
    heat = 0.0 if settings.get("do_sample") is False else number(settings.get("temperature"))
    texts = [
        text(t) for request in listing(record["resps"]) for t in (request if isinstance(request, list) else [request])
    ]
    kept = listing(record["filtered_resps"])
    found = listing(kept[0]) if kept and isinstance(kept[0], list) else kept
    answers = [plain(a) for a in found] + [None] * len(texts)
    return [
        {
            "sample": n,
            "raw": raw,
            "answer": None if answer in (raw, _NO_MATCH) else answer,
            "gold": plain(record.get("target")),
            "temperature": heat,
            "error": "no text came" if raw is None else None,
        }
        for n, (raw, answer) in enumerate(zip(texts, answers, strict=False))
    ]


def _notes(unmatched: int, rows: list[dict[str, Any]]) -> list[str]:
    broken = sum(row["error"] is not None for row in rows)
    further = sum(row["sample"] > 0 and row["answer"] is None for row in rows)
    return [
        *(
            [f'records where the filter matched nothing ("{_NO_MATCH}"), read without its answer: {unmatched}']
            if unmatched
            else []
        ),
        *([f"repeats for which the filter gave no answer of their own, read as text: {further}"] if further else []),
        *([f"records without a usable answer: {broken}"] if broken else []),
    ]


def _model(path: Path) -> str | None:
    """The model by the results file of the same time beside this file, else by the folder (``org__model``)."""
    stamp = path.stem.rpartition("_")[2]
    beside = path.with_name(f"results_{stamp}.json")
    if path.stem.startswith("samples_") and beside.is_file():
        try:
            name = text(mapping(json_of(beside.read_bytes(), beside)).get("model_name"))
        except (TableError, OSError):
            name = None
        if name:
            return name
    folder = path.absolute().parent.name
    return folder if "__" in folder.strip("_") else None
