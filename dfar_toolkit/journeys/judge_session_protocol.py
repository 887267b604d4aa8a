"""The protocol of a judging in the browser: what is asked and shown, who judges how much, which answers are known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.judge_log_lines import person_named
from dfar_toolkit.files.judgements import DEFAULT_QUESTION
from dfar_toolkit.files.protocol import read_protocol
from dfar_toolkit.files.run_settings import in_words, write_whole
from dfar_toolkit.tabular import nearest, quoted

Round = Literal["reasons", "validity"]
SHOWN: Final = ("statement", "context", "label", "reason", "gold", "human_reasons")
_SHOWN_UNASKED: Final = ("statement", "context", "label", "reason")
_ALWAYS: Final = ("statement", "label", "reason")
_WORDING: Final[Mapping[Round, tuple[str, str, tuple[str, str]]]] = {
    "reasons": (
        "Is this a reason that a reasonable person could give for this label?", DEFAULT_QUESTION, ("good", "bad"),
    ),
    "validity": (
        "Could a person who understood the statement mean this label for this reason, or is it a mistake?",
        "pair_valid", ("voice", "error"),
    ),
}  # fmt: skip
_NOT_OURS: Final = ("not_shown", "order")  # what other protocols of ours say in words


@dataclass(frozen=True, slots=True)
class KnownItem:
    """An item with a known answer: a training item or an attention check.

    Attributes:
        value: The answer.
        output_id: Of a reason of the runs or of a person; empty where the texts stand here.
        statement: The statement.
        label: The label that the reason is for.
        reason: The reason.
        why: What a judge is told after a training item.
    """

    value: str
    output_id: str = ""
    statement: str = ""
    label: str = ""
    reason: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class SessionProtocol:
    """What was agreed before anybody judged; all of it decides what judges see, so none of it changes afterwards.

    Attributes:
        question: What judges are asked.
        question_id: Its id in the judgements.
        round: ``reasons``: reasons of runs, and people's among them as run ``human``. ``validity``: people's
            label-and-reason pairs alone, to tell errors from voices that differ.
        scale: The value that accepts and the value that rejects. Skipping is always possible.
        error_types: What may be wrong with a rejected one; empty: in the judge's own words.
        instructions: What judges read before they begin.
        shown: What is shown; of statement, context, label, reason, gold, human_reasons.
        human_reasons: How many of other people's reasons are shown beside, where they are shown.
        blinded: Whether the run is hidden.
        judges: Who judges; empty: whoever comes.
        judges_per_item: Judges per reason outside the overlap, where judges are named.
        overlap: Share of the items that all judges get.
        share_of_items: Share of the items that are judged at all.
        reasons_per_judge: A judge's most, those with a known answer aside; None: no limit.
        human_per_item: How many people's reasons on an item are judged, by lot; None: all.
        training: Items that come first, with feedback.
        attention: Items with a known answer that come among the others.
        attention_every: One of them among so many others.
        seed: Of all lots.
    """

    question: str = _WORDING["reasons"][0]
    question_id: str = DEFAULT_QUESTION
    round: Round = "reasons"
    scale: tuple[str, str] = ("good", "bad")
    error_types: tuple[str, ...] = ()
    instructions: str = ""
    shown: tuple[str, ...] = _SHOWN_UNASKED
    human_reasons: int = 3
    blinded: bool = True
    judges: tuple[str, ...] = ()
    judges_per_item: int = 1
    overlap: float = 0.1
    share_of_items: float = 1.0
    reasons_per_judge: int | None = None
    human_per_item: int | None = None
    training: tuple[KnownItem, ...] = ()
    attention: tuple[KnownItem, ...] = ()
    attention_every: int = 20
    seed: int = 0

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that stand in every answer given under this protocol."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_session_protocol(path: Path) -> SessionProtocol:
    """Read and check a protocol.

    Args:
        path: The file, or the folder with ``protocol.yaml``. Keys are the attributes of :class:`SessionProtocol`;
            what ``judge-plan`` writes will do. Others may stand there as long as they are not like one of ours.

    Raises:
        TableError: It cannot be read, or says something that cannot be.
    """
    said = read_protocol(path)
    try:
        return session_protocol(said)
    except _WrongError as error:
        raise TableError(f"{path / 'protocol.yaml' if path.is_dir() else path}: {error}") from None


def write_session_protocol(folder: Path, protocol: SessionProtocol) -> Path:
    """Write a whole protocol, with what goes without saying too, so that it can be printed beside the rates.

    Args:
        folder: The folder of the judging, made where it is absent.
        protocol: The protocol.

    Returns:
        ``protocol.yaml``.

    Raises:
        TableError: There is one already, or it cannot be written.
    """
    path = folder / "protocol.yaml"
    if path.exists():
        raise TableError(f"{path}: there is a protocol already; change it by hand, as long as nobody has answered.")
    said = {name: value for name, value in asdict(protocol).items() if value is not None and value != ()}
    every, checks = said.pop("attention_every"), said.pop("attention", ())
    said |= {"attention": {"every": every, "items": checks}} if checks else {}
    text = yaml.safe_dump(json.loads(json.dumps(said)), allow_unicode=True, sort_keys=False, width=10**6)
    with in_words(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


class _WrongError(TableError):
    """What is wrong, before the file is named."""


def session_protocol(said: Mapping[str, object]) -> SessionProtocol:
    """The protocol that a mapping says.

    Raises:
        TableError: It says something that cannot be.

    Example:
        >>> session_protocol({"round": "validity", "overlap": "full"}).scale
        ('voice', 'error')
    """
    known = [f.name for f in fields(SessionProtocol)]
    for name in said:
        if name not in known and name not in _NOT_OURS and (near := nearest(name, known)):
            raise _WrongError(f"the protocol has no {quoted([name])}.{near}")
    kind = said.get("round", "reasons")
    if kind not in _WORDING:
        raise _WrongError(f"round must be reasons or validity, found {kind!r}.")
    kind = cast(Round, kind)
    question, question_id, scale = _WORDING[kind]
    value = _scale(said, scale)
    every, checks = _attention(said.get("attention"))
    judges, per_item = _judges(said.get("judges")), _whole(said, "judges_per_item", 1, 1) or 1
    if judges and per_item > len(judges):
        raise _WrongError(f"judges_per_item is {per_item}, but judges names {len(judges)}.")
    return SessionProtocol(
        question=_text(said, "question", question), question_id=_text(said, "question_id", question_id), round=kind,
        scale=value, error_types=_error_types(said), instructions=_text(said, "instructions", ""),
        shown=_shown(said), human_reasons=_whole(said, "human_reasons", 3, 0) or 0, blinded=_flag(said, "blinded"),
        judges=judges, judges_per_item=per_item,
        overlap=_part(said, "overlap", 0.1), share_of_items=_part(said, "share_of_items", 1.0, above=True),
        reasons_per_judge=_whole(said, "reasons_per_judge", None, 1),
        human_per_item=_whole(said, "human_per_item", None, 0),
        training=_known_items("training", said.get("training"), value),
        attention=_known_items("attention", checks, value),
        attention_every=_whole({"attention.every": every}, "attention.every", 20, 1) or 20,
        seed=_whole(said, "seed", 0, 0) or 0,
    )  # fmt: skip


def _text(said: Mapping[str, object], name: str, unsaid: str) -> str:
    value = said.get(name, unsaid)
    if not isinstance(value, str) or (unsaid and not value.strip()):
        raise _WrongError(f"{name} must be a text, found {value!r}.")
    return value


def _texts(said: Mapping[str, object], name: str, unsaid: Sequence[str]) -> tuple[str, ...]:
    value = said.get(name, unsaid)
    if not isinstance(value, (list, tuple)):
        raise _WrongError(f"{name} must be a list of texts, found {value!r}.")
    texts = tuple(text for text in value if isinstance(text, str) and text.strip())
    if len(texts) < len(value):
        hint = ' (write "yes" and "no" in quotes, else YAML takes them for true and false)'
        raise _WrongError(
            f"{name} must be a list of texts, found {list(value)}{hint if True in value or False in value else ''}."
        )
    return texts


def _scale(said: Mapping[str, object], unsaid: tuple[str, str]) -> tuple[str, str]:
    values = _texts(said, "scale", unsaid)
    if len(values) != 2 or len(set(values)) != 2:
        raise _WrongError(f"scale must be two different values, such as [good, bad], found {list(values)}.")
    return values[0], values[1]


def _error_types(said: Mapping[str, object]) -> tuple[str, ...]:
    types = _texts(said, "error_types", ())
    if any(";" in name for name in types):
        raise _WrongError("error_types cannot hold a semicolon, which stands between several of one answer.")
    return types


def _flag(said: Mapping[str, object], name: str) -> bool:
    value = said.get(name, True)
    if not isinstance(value, bool):
        raise _WrongError(f"{name} must be true or false, found {value!r}.")
    return value


def _whole(said: Mapping[str, object], name: str, unsaid: int | None, least: int) -> int | None:
    value = said.get(name)
    if value is None:
        return unsaid
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _WrongError(f"{name} must be a whole number of at least {least}, found {value!r}.")
    return value


def _part(said: Mapping[str, object], name: str, unsaid: float, *, above: bool = False) -> float:
    value = 1.0 if said.get(name) == "full" else said.get(name, unsaid)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1 or (above and not value):
        raise _WrongError(f"{name} must be a share from 0 to 1, found {value!r}.")
    return float(value)


def _shown(said: Mapping[str, object]) -> tuple[str, ...]:
    names = [name.strip().replace(" ", "_") for name in _texts(said, "shown", _SHOWN_UNASKED)]
    strange = [name for name in names if name not in SHOWN]
    if strange:
        raise _WrongError(f"shown may name {', '.join(SHOWN)}; found {quoted(strange)}.{nearest(strange[0], SHOWN)}")
    lost = [name for name in _ALWAYS if name not in names]
    if lost:
        raise _WrongError(f"shown must name {', '.join(_ALWAYS)}; {lost[0]} is missing.")
    return tuple(name for name in SHOWN if name in names)


def _judges(said: object) -> tuple[str, ...]:
    if not isinstance(said, list):  # words about them, or nothing
        return ()
    names = [person_named(str(name)) for name in said]
    if len(set(names)) < len(names):
        raise _WrongError("judges names somebody twice.")
    return tuple(names)


def _attention(said: object) -> tuple[object, object]:
    """How often, and which."""
    if said is None:
        return None, None
    if not isinstance(said, dict) or set(said) - {"every", "items"} or not said.get("items"):
        raise _WrongError("attention must be a mapping such as every: 20, items: [...].")
    return said.get("every"), said["items"]


def _known_items(name: str, said: object, scale: tuple[str, str]) -> tuple[KnownItem, ...]:
    if said is None:
        return ()
    if not isinstance(said, list):
        raise _WrongError(f"{name} must be a list of items with a known value.")
    return tuple(_known(f"{name} item {k}", row, scale) for k, row in enumerate(said, start=1))


def _known(name: str, row: Any, scale: tuple[str, str]) -> KnownItem:
    names = [f.name for f in fields(KnownItem)]
    if not isinstance(row, dict) or not all(key in names and isinstance(v, str) for key, v in row.items()):
        raise _WrongError(f"{name} must be a mapping of texts with {', '.join(names)}; found {row!r}.")
    if row.get("value") not in scale:
        raise _WrongError(f"{name}: value must be {scale[0]} or {scale[1]}, found {row.get('value')!r}.")
    lost = [] if row.get("output_id") else [key for key in _ALWAYS if not row.get(key, "").strip()]
    if lost:
        raise _WrongError(f"{name} needs an output_id, or {', '.join(_ALWAYS)}; {lost[0]} is missing.")
    return KnownItem(**row)
