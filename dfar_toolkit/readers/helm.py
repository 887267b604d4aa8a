"""HELM: ``scenario_state.json`` of a run folder; ``per_instance_stats.json`` beside it holds statistics only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import (
    alternatives,
    listing,
    log_probabilities,
    mapping,
    number,
    plain,
    strings_in,
    text,
    whole,
)
from dfar_toolkit.readers.records import as_foreign, file_bytes, json_of

STATE: Final = "scenario_state.json"
_Request = dict[str, Any]
_Key = tuple[str, int, str]  # instance, trial, perturbation


def read_helm(path: Path | str) -> Foreign:
    """The outputs of a HELM run: its folder, its ``scenario_state.json``, or another of its files beside that one.

    ``sample`` counts trials and completions of one instance, ``method`` is the perturbation where there are any. Joint
    multiple choice answers with a letter, given as the text of that choice; separate multiple choice gives the summed
    log-probability of each reference.

    Raises:
        TableError: No such run, damaged, or one instance, trial and perturbation twice.
    """
    given = Path(path)
    path, document = _state(given)
    groups = _grouped(path, [mapping(r) for r in listing(document["request_states"])])
    changes = {key[2]: _changed(states[0]) for key, states in groups.items()}
    distinct = len(set(changes.values())) == len(changes)
    model = text(mapping(document.get("adapter_spec")).get("model"))
    places = {name: n for n, name in enumerate(dict.fromkeys(key[0] for key in groups))}
    rows: list[dict[str, Any]] = []
    taken: dict[tuple[str, str], int] = {}
    for (name, _, perturbation), states in groups.items():
        answers = _answers(states)
        start = taken.get((name, perturbation), 0)
        taken[name, perturbation] = start + len(answers)
        shared = _shared(states[0]) | {
            "position": places[name],
            "key": name,
            "run_id": model or text(mapping(states[0].get("request")).get("model")),
            "method": None if len(changes) == 1 else changes[perturbation] if distinct else perturbation or "none",
        }
        rows += [shared | answer | {"sample": start + n} for n, answer in enumerate(answers)]
    broken = sum(row.get("error") is not None for row in rows)
    notes = [
        *([f"read {STATE}, since {given.name} holds no outputs"] if given.name != path.name else []),
        *([f"outputs without an answer: {broken}"] if broken else []),
    ]
    return as_foreign(path, "helm", rows, notes)


def _state(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file with the outputs and its content: the one given, or the one of that name in the folder or beside it."""
    beside = path / STATE if path.is_dir() else path.with_name(STATE)
    for file in (path, beside):
        if file.is_file():
            document = mapping(json_of(file_bytes(file), file))
            if "request_states" in document:
                return file, document
    if path.is_dir():
        raise TableError(f"{path}: wanted a HELM run folder with {STATE} and its request_states; there is none in it.")
    raise TableError(f"{path}: this file holds no outputs; wanted {STATE}, which HELM writes beside it.")


def _changed(state: _Request) -> str:
    """The name of the perturbation of a request's instance, "none" where it has none."""
    return text(mapping(mapping(state.get("instance")).get("perturbation")).get("name")) or "none"


def _grouped(path: Path, requests: list[_Request]) -> dict[_Key, list[_Request]]:
    """Requests of one instance, trial and perturbation together; calibration requests are left out."""
    groups: dict[_Key, list[_Request]] = {}
    seen: set[tuple[_Key, int | None]] = set()
    for n, request in enumerate(requests, start=1):
        instance = mapping(request.get("instance"))
        name = plain(instance.get("id"))
        if name is None:
            raise TableError(f'{path}: request {n}: wanted an "id" in "instance", found none.')
        if request.get("request_mode") == "calibration":
            continue
        changed = mapping(instance.get("perturbation"))
        key = (
            name,
            whole(request.get("train_trial_index")) or 0,
            json.dumps(changed, sort_keys=True) if changed else "",
        )
        reference = whole(request.get("reference_index"))
        if (key, reference) in seen:
            raise TableError(f'{path}: request {n}: the instance "{name}" (trial {key[1]}) stands there twice.')
        seen.add((key, reference))
        groups.setdefault(key, []).append(request)
    return groups


def _shared(state: _Request) -> dict[str, Any]:
    instance = mapping(state.get("instance"))
    references = [mapping(r) for r in listing(instance.get("references"))]
    right = [mapping(r.get("output")).get("text") for r in references if "correct" in listing(r.get("tags"))]
    return {
        "texts": strings_in(instance.get("input")),
        "gold": text(right[0]) if len(right) == 1 else None,
        "temperature": number(mapping(state.get("request")).get("temperature")),
    }


def _answers(states: list[_Request]) -> list[dict[str, Any]]:
    result = mapping(states[0].get("result"))
    failed = [mapping(s.get("result")) for s in states if mapping(s.get("result")).get("success") is False]
    if failed or not result:
        return [{"error": text(mapping(next(iter(failed), None)).get("error")) or "the request failed"}]
    if whole(states[0].get("reference_index")) is not None:
        return [_separate(states)]
    letters = {str(k): str(v) for k, v in mapping(states[0].get("output_mapping")).items()}
    return [_completion(mapping(c), letters) for c in listing(result.get("completions"))] or [{"error": "no text came"}]


def _completion(completion: dict[str, Any], letters: dict[str, str]) -> dict[str, Any]:
    raw = text(completion.get("text"))
    first = mapping(next(iter(listing(completion.get("tokens"))), None))
    top = [(letters.get(t.strip()), v) for t, v in mapping(first.get("top_logprobs")).items()]
    spread = alternatives([(choice, v) for choice, v in top if choice is not None])
    return {
        "raw": raw,
        "answer": letters.get((raw or "").strip()),
        "error": None if raw else "no text came",
        **({"choices": list(letters.values())} if letters else {}),
        **spread,
    }


def _separate(states: list[_Request]) -> dict[str, Any]:
    """Summed log-probabilities of the references, each asked by its own request that echoes it."""
    references = listing(mapping(states[0].get("instance")).get("references"))
    options = [text(mapping(mapping(r).get("output")).get("text")) or "" for r in references]
    found: dict[int | None, object] = {}
    for state in states:
        place = whole(state.get("reference_index"))
        completion = mapping(next(iter(listing(mapping(state.get("result")).get("completions"))), None))
        if place is not None and place < len(options):
            found[place] = _tail(listing(completion.get("tokens")), options[place])
    logs = log_probabilities(found.get(k) for k in range(len(options)))
    if logs is None:
        return {"choices": options, "error": "the log-probabilities are missing or are no numbers"}
    return {"choices": options, "logprobs": logs, "probs_kind": "forced"}


def _tail(tokens: list[object], answer: str) -> float | None:
    """Summed log-probability of the last tokens that cover the answer, as HELM sums them."""
    length, total = 0, 0.0
    for token in map(mapping, reversed(tokens)):
        if length >= len(answer):
            break
        log = number(token.get("logprob"))
        if log is None:
            return None
        length, total = length + len(text(token.get("text")) or ""), total + log
    return total if length >= len(answer) > 0 else None
