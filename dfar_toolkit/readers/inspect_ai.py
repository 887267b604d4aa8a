"""inspect_ai: ``.eval`` logs (a ZIP of JSON members, Zstandard since 0.3.206, deflate before) and ``.json`` logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import (
    alternatives,
    listing,
    mapping,
    number,
    plain,
    strings_in,
    text,
    top_tokens,
    whole,
)
from dfar_toolkit.readers.records import Record, Repeats, as_foreign, file_bytes, json_of
from dfar_toolkit.readers.zip_members import ZipMembers, zip_members

_HEADERS: Final = ("header.json", "_journal/start.json", "start.json")  # the second is all that a stopped run has
_SAMPLE: Final = re.compile(r"samples/(?:[^/]+|.+_epoch_\d+)\.json", re.DOTALL)  # ids may hold slashes
_PARTED: Final = re.compile(r"samples/.+/sample\.json", re.DOTALL)
_TRANSCRIPT: Final = frozenset({"events", "events_data", "messages", "store", "timelines"})
_ATTACHED: Final = "attachment://"


class _Log(NamedTuple):
    """A log: its header, its samples, and what a person must know of them."""

    header: dict[str, Any]
    samples: list[Record]
    notes: list[str]


def read_inspect_ai(path: Path | str) -> Foreign:
    """The outputs in a log of inspect_ai: ``key`` is the sample's id, ``sample`` its epoch from 0.

    Several scorers give a row each, told apart by ``method``. Letters of multiple choice, in answers and targets, are
    given as the text of that choice; log-probabilities are those of the one token that is a letter (``first_token``),
    without choices those of the first token. References to attachments are resolved.

    Raises:
        TableError: Not such a log, damaged, without samples, or one id and epoch twice with other content.
    """
    path = Path(path)
    log = _packed(path) if file_bytes(path)[:2] == b"PK" else _document(path)
    for n, sample in enumerate(log.samples, start=1):
        if plain(sample.get("id")) is None or not isinstance(whole(sample.get("epoch", 1)), int):
            raise TableError(f'{path}: sample {n}: wanted an "id" and a whole number as "epoch", found none.')
    repeats = Repeats(path, "the id and epoch")
    keyed = [((plain(s["id"]), whole(s.get("epoch", 1))), s) for s in log.samples]
    samples = [s for key, s in keyed if not repeats.copy(key, hash(repr(s)))]
    several = len({name for s in samples for name in mapping(s.get("scores"))}) > 1
    places = _places(log.header, samples)
    shuffled = any(mapping(mapping(s).get("params")).get("shuffle") for s in _steps(log.header))
    run = {"run_id": text(mapping(log.header.get("eval")).get("model")), "temperature": _temperature(log.header)}
    rows: list[dict[str, Any]] = []
    for sample in map(_resolved, samples):
        shared = run | {"position": places[str(plain(sample["id"]))]} | _shared(sample, shuffled)
        scores = mapping(sample.get("scores"))
        scorers: list[str | None] = [*scores]
        for scorer in scorers or [None]:
            answer = _answer(sample, scorer, text(mapping(scores.get(scorer or "")).get("answer")))
            rows.append(shared | {"method": scorer if several else None, "answer": answer})
    notes = [*repeats.notes, *log.notes, *_notes(log.header, samples, shuffled)]
    return as_foreign(path, "inspect_ai", rows, notes, ordered=not _mixed(log.header))


def _packed(path: Path) -> _Log:
    with zip_members(path) as members:
        head = next((name for name in _HEADERS if name in members.names), None)
        if head is None:
            raise TableError(f"{path}: wanted a log of inspect_ai with {_HEADERS[0]}; found none in this ZIP file.")
        if any(map(_PARTED.fullmatch, members.names)):
            raise TableError(
                f"{path}: the samples of this log are stored in pieces, which is not read; convert it with inspect_ai "
                "itself: inspect log convert --to json."
            )
        header = mapping(_member(members, head))
        samples = [_outcome(_member(members, name)) for name in members.names if _SAMPLE.fullmatch(name)]
        notes = [] if head == _HEADERS[0] else ["the log was not finished: it has no header yet"]
        if members.repeated:
            notes.append(f"members written more than once, of which the last counts: {members.repeated}")
    if not samples:
        raise TableError(f"{path}: this log of inspect_ai holds no samples (was it run with --no-log-samples?).")
    return _Log(header, samples, notes)


def _member(members: ZipMembers, name: str) -> object:
    return json_of(members.read(name), f"{members.path}: {name!a}")


def _outcome(sample: object) -> Record:
    """A sample without its transcript, which is most of it."""
    return {key: value for key, value in mapping(sample).items() if key not in _TRANSCRIPT}


def _document(path: Path) -> _Log:
    header = mapping(json_of(file_bytes(path), path))
    if "eval" not in header:
        raise TableError(f'{path}: wanted a log of inspect_ai with "eval" and "samples", found none.')
    samples = [_outcome(s) for s in listing(header.pop("samples", None))]
    if not samples:
        raise TableError(f"{path}: this log of inspect_ai holds no samples (was it run with --no-log-samples?).")
    return _Log(header, samples, [])


def _steps(header: dict[str, Any]) -> list[object]:
    return listing(mapping(header.get("plan")).get("steps"))


def _temperature(header: dict[str, Any]) -> float | None:
    configs = (mapping(header.get("plan")).get("config"), mapping(header.get("eval")).get("model_generate_config"))
    return next((t for c in configs if (t := number(mapping(c).get("temperature"))) is not None), None)


def _places(header: dict[str, Any], samples: list[Record]) -> dict[str, int]:
    """The place of each id in the log's own list of samples; ids that are not in it follow in the file's order."""
    listed = listing(mapping(mapping(header.get("eval")).get("dataset")).get("sample_ids"))
    names = dict.fromkeys(str(plain(name)) for name in [*listed, *(s["id"] for s in samples)])
    return {name: n for n, name in enumerate(names)}


def _resolved(sample: Record) -> Record:
    """The sample with the texts that its references to attachments stand for."""
    held = mapping(sample.get("attachments"))
    if not held:
        return sample
    return {key: value if key == "attachments" else _with_texts(value, held) for key, value in sample.items()}


def _with_texts(value: object, held: dict[str, Any], depth: int = 0) -> object:
    if isinstance(value, str):
        found = text(held.get(value.removeprefix(_ATTACHED))) if value.startswith(_ATTACHED) else None
        return value if found is None else found
    if depth > 100:  # no part that is read lies so deep
        return value
    if isinstance(value, dict):
        return {name: _with_texts(part, held, depth + 1) for name, part in value.items()}
    return [_with_texts(part, held, depth + 1) for part in value] if isinstance(value, list) else value


def _shared(sample: Record, shuffled: bool) -> dict[str, Any]:
    """What all rows of a sample say, whatever scored it."""
    output = mapping(sample.get("output"))
    choice = mapping(next(iter(listing(output.get("choices"))), None))
    raw = text(output.get("completion")) or _said(mapping(choice.get("message")).get("content"))
    fault = mapping(sample.get("error")).get("message") or output.get("error")
    silent = None if raw else f"no text came (stop reason {choice.get('stop_reason')})" if choice else "no text came"
    return {
        "key": plain(sample["id"]),
        "texts": [*_asked(sample.get("input")), *strings_in(sample.get("metadata"))],
        "sample": max((whole(sample.get("epoch", 1)) or 1) - 1, 0),
        "raw": raw,
        "gold": _gold(sample),
        "error": plain(fault) or silent,
        "choices": _options(sample) or None,
        **_spread(choice, _options(sample), shuffled),
    }


def _said(content: object) -> str | None:
    """The text of a message, without its reasoning and images where it is a list of parts."""
    if not isinstance(content, list):
        return text(content)
    return "".join(text(mapping(p).get("text")) or "" for p in content) or None


def _asked(asked: object) -> list[str]:
    """The texts of a sample's input: one text, or the contents of its messages."""
    if not isinstance(asked, list):
        return strings_in(asked)
    return [said for message in asked if (said := _said(mapping(message).get("content")))]


def _options(sample: Record) -> list[str]:
    return [plain(option) or "" for option in listing(sample.get("choices"))]


def _place_of(letter: str, options: list[str]) -> int | None:
    """The place of the choice that a letter names: A to Z, then 1, 2, ... as inspect_ai counts on."""
    name = letter.strip()
    if len(name) == 1 and "A" <= name <= "Z":
        place = ord(name) - ord("A")
    else:
        digits = whole(name)
        place = 25 + digits if digits else len(options)
    return place if place < len(options) else None


def _gold(sample: Record) -> str | None:
    target = sample.get("target")
    targets = target if isinstance(target, list) else [target]
    named = plain(targets[0]) if len(targets) == 1 else None
    options = _options(sample)
    place = _place_of(named, options) if named is not None else None
    return named if place is None else options[place]


def _answer(sample: Record, scorer: str | None, answer: str | None) -> str | None:
    """The parsed answer, a letter as the text of its choice; None where it is the whole text or names several choices.

    Letters are what the scorer ``choice`` writes; from another scorer, the text of a choice stands for itself.
    """
    options = _options(sample)
    if not answer or (answer == mapping(sample.get("output")).get("completion") and answer.strip() not in options):
        return None
    if answer.strip() in options and scorer != "choice":
        return answer.strip()
    place = _place_of(answer, options)
    if place is not None:
        return options[place]
    several = options and all(_place_of(part, options) is not None for part in answer.split(","))
    return None if several else answer


def _spread(choice: dict[str, Any], options: list[str], shuffled: bool) -> dict[str, Any]:
    """Log-probabilities of the options where one token alone is a letter; without options, of the first token."""
    content = [mapping(c) for c in listing(mapping(choice.get("logprobs")).get("content"))]
    parts = listing(mapping(choice.get("message")).get("content"))
    if not content or any(mapping(p).get("type") == "reasoning" for p in parts):
        return {}
    if not options:
        return alternatives(top_tokens(content[0]))
    letters = [c for c in content if _place_of(text(c.get("token")) or "", options) is not None]
    if shuffled or len(letters) != 1:
        return {}
    pairs = [(_place_of(text(token) or "", options), log) for token, log in top_tokens(letters[0])]
    return alternatives([(options[place], log) for place, log in pairs if place is not None])


def _mixed(header: dict[str, Any]) -> bool:
    """Whether the data set was shuffled before it was evaluated."""
    return mapping(mapping(header.get("eval")).get("dataset")).get("shuffled") is True


def _notes(header: dict[str, Any], samples: list[Record], shuffled: bool) -> list[str]:
    status = text(header.get("status"))
    failed = sum(bool(mapping(s.get("error"))) for s in samples)
    return [
        *([f'the log\'s status is "{status}", not "success"'] if status not in (None, "success") else []),
        *([f"samples that ended in an error: {failed}"] if failed else []),
        *(["the data set was shuffled: positions are the log's, not the data set's"] if _mixed(header) else []),
        *(["choices were shuffled, so log-probabilities of letters are left out"] if shuffled else []),
    ]
