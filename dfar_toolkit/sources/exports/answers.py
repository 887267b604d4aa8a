"""What people answered in a tool, whatever the tool, and the tables made of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.answer_options import NUMBER, check_values, kind_of, options_of
from dfar_toolkit.sources.exports.settings import ExportSettings
from dfar_toolkit.sources.layout import (
    Dropped,
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    items_frame,
    json_text,
    raw_file,
)
from dfar_toolkit.sources.spellings import spelt_alike
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform
from dfar_toolkit.tabular import quoted

_EVIDENCE: Final = pl.List(pl.Struct({"field": pl.String(), "start": pl.Int64(), "end": pl.Int64(), "set": pl.Int64()}))


class Answer(NamedTuple):
    """One person's answer about one item; ``order`` says which of several answers of the person came first."""

    key: str
    annotator: str  # "" where nothing names the person
    values: tuple[str, ...]
    reason: str | None = None
    marks: tuple[tuple[str, int, int], ...] | None = None  # (field of the data, start, end); None: nothing was asked
    at: str | None = None
    seconds: float | None = None
    order: float | str = 0


class Item(NamedTuple):
    """One item of the tool: its texts and the rest of its data."""

    split: str
    statement: str
    context: tuple[tuple[str, str], ...]
    extra: Mapping[str, object]


@dataclass(slots=True)
class Collected:
    """Items and answers as they are found, and an account of what is not among them."""

    items: dict[str, Item] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    files: list[RawFile] = field(default_factory=list)
    lost: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    raters: dict[str, dict[str, str]] = field(default_factory=dict)

    def read(self, path: Path, rows: int, *, name: str = "") -> None:
        """Note a file that was read, under another name where its own one names a person; a copy is said."""
        read = replace(raw_file(path, rows=rows), name=name or path.name)
        twin = next((file.name for file in self.files if rows and file.sha256 == read.sha256), None)
        if twin is not None:
            self.said.append(
                f"{read.name} holds the same bytes as {twin} and is counted beside it; if it is a copy, take it away"
            )
        self.files.append(read)

    def drop(self, file: str, why: str, key: str, *, unit: str = "rows") -> None:
        """Count something that is left out; ``unit`` says in the plural what it is."""
        self.lost.setdefault((file, why, unit), []).append(key)

    def add(self, key: str, item: Item, path: Path, *, name: str = "") -> bool:
        """Put an item there; False, and counted under the file's name, where its statement is empty.

        Raises:
            SourceError: The key stands for another text already.
        """
        if not item.statement.strip():
            self.drop(name or path.name, "the statement is empty", key)
            return False
        known = self.items.setdefault(readable(key, str(path)), item)
        if (known.statement, known.context, known.split) != (item.statement, item.context, item.split):
            raise SourceError(
                f"{path}: wanted one text per item; {quoted([key])} has several, e.g. "
                f"{quoted((known.statement[:60], item.statement[:60]))}."
            )
        return True


def text_of(value: object) -> str:
    """A published value as text: a whole number without its ".0", true and false as words, null as "".

    Example:
        >>> text_of(4.0), text_of(True), text_of(None)
        ('4', 'true', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def item_of(data: Mapping[str, object], statement: str, settings: ExportSettings, where: str, key: str) -> Item:
    """The item in a record's data fields; the fields that are neither statement nor context go to ``extra``.

    Raises:
        SourceError: A text is no text, a context field is not there, or the split is empty.
    """
    taken = (statement, *settings.context)
    texts = []
    for name in taken:
        if name not in data:
            raise SourceError(
                f"{where}: item {quoted([key])}: wanted the field {quoted([name])}; found {quoted(data)}."
            )
        value = data[name]
        if isinstance(value, (dict, list)):
            raise SourceError(
                f"{where}: item {quoted([key])}: wanted a text in {quoted([name])}; found a nested value."
            )
        texts.append(readable(text_of(value), f"{where}: item {quoted([key])}"))
    if not settings.split_field and settings.split != "train" and settings.split in data:
        field_name = quoted([settings.split])
        raise SourceError(
            f"{where}: the setting split={settings.split} puts every item into one split of that name, but "
            f"{field_name} is a field of the data; if it names the splits, give split_field={settings.split}."
        )
    split = text_of(data.get(settings.split_field)).strip() if settings.split_field else settings.split
    if not re.fullmatch(r"\w+(\.\w+)*", split):
        raise SourceError(f"{where}: item {quoted([key])}: wanted the name of a split; found {quoted([split])}.")
    context = tuple((name, text) for name, text in zip(settings.context, texts[1:], strict=True) if text.strip())
    rest = {name: value for name, value in data.items() if name not in taken and value not in (None, "")}
    return Item(split, texts[0], context, rest)


def readable(text: str, where: str) -> str:
    r"""The text itself, refused where it holds half a surrogate pair (``\ud800`` in JSON)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{where}: the text {quoted([ascii(text[:40])])} holds half a surrogate pair.") from None
    return text


def tables_of(
    info: SourceInfo,
    found: Collected,
    settings: ExportSettings,
    *,
    question: str,
    set_name: str = "",
    options: Sequence[str] = (),
    several: bool = False,
    notes: Sequence[str] = (),
) -> SourceTables:
    """The tables of an export.

    Args:
        info: The tool's facts.
        found: What was read.
        settings: What was asked for.
        question: What the question is called.
        set_name: Name of the data set; else that of the settings, else the tool's.
        options: Options that the files declare, in their order; else those that were chosen.
        several: Whether the tool lets people choose several.
        notes: Further sentences for the card.

    Raises:
        SourceError: A value is none of the options, or an answer to a question with one answer has several.
    """
    if set_name:
        settings = replace(settings, name=set_name)
    name = settings.name or info.name
    if not found.items:
        raise SourceError(f"{name}: found no item in {quoted(file.name for file in found.files)}.")
    answers = [_trimmed(answer, found, name) for answer in found.answers]
    answers = [answer for answer in answers if answer.values]
    kind = settings.kind or kind_of(answers, options or settings.options, several)
    named, listed = options_of(answers, settings, options, kind)
    check_values(answers, named, kind, name)
    annotations = _annotations(name, question, kind, named, listed, answers, found)
    raters = annotations.select("annotator_id").unique(maintain_order=True).sort("annotator_id")
    facts = [{"annotator_id": f"{name}:{who}", **rest} for who, rest in found.raters.items()]
    if facts:
        raters = raters.join(pl.DataFrame(facts), on="annotator_id", how="left", maintain_order="left")
    said = [f"{value} = {option}" for value, option in named.items() if value != option]
    mapped = [f"Published values of {question}: {', '.join(said)}."] if said else []
    if kind not in ("interval", "ratio") and not (settings.options or settings.labels or options):
        chosen = {value for answer in answers for value in answer.values}
        steps = "the whole numbers from the lowest to the highest that was chosen, at least from 1"
        among = "those that were chosen at least once" if set(listed) <= chosen else steps
        mapped.append(f"The options of {question} are {among}.")
    if (alike := spelt_alike(listed)) and not settings.options:
        found.said.append(f"{question}: {alike}")
    wording = {"question": [question], "kind": [kind], "wording": [settings.wording]}
    listing = pl.Series("options", [listed], dtype=pl.List(pl.String))
    return SourceTables(
        info=replace(
            info,
            name=name,
            title=settings.title or name,
            licence=settings.licence,
            languages=settings.languages,
            notes=(*info.notes, *notes, *mapped),
        ),
        questions=conform(pl.DataFrame(wording).with_columns(listing), "questions", where=name),
        items=_items(name, found),
        annotations=annotations,
        raters=conform(raters, "raters", where=name),
        files=tuple(found.files),
        dropped=tuple(
            Dropped(file, why, len(keys), examples(keys), unit) for (file, why, unit), keys in found.lost.items()
        ),
        repairs=tuple(found.said),
    )


def _trimmed(answer: Answer, found: Collected, name: str) -> Answer:
    """Values without spaces around them, each once."""
    values = tuple(dict.fromkeys(value.strip() for value in answer.values if value.strip()))
    for text in (*values, answer.reason or "", answer.annotator, answer.at or ""):
        readable(text, f"{name}: item {quoted([answer.key])}")
    if not values:
        why = "no answer is given, a reason is" if (answer.reason or "").strip() else "no answer is given"
        found.drop(found.files[0].name if len(found.files) == 1 else name, why, answer.key, unit="answers")
    return answer._replace(values=values)


def _annotations(
    name: str,
    question: str,
    kind: str,
    named: Mapping[str, str],
    listed: Sequence[str],
    answers: Sequence[Answer],
    found: Collected,
) -> pl.DataFrame:
    numeric = all(NUMBER.fullmatch(option) for option in listed)
    numbers = {option: float(option) if numeric else float(k) for k, option in enumerate(listed, start=1)}
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.key, answer.annotator), []).append(answer)
    again = [key for (key, who), given in groups.items() if who and len(given) > 1]
    if again:
        found.said.append(
            f"{len(again)} times the same person answered an item more than once ({quoted(again, most=3)}): all "
            "answers are kept, their occasions counted from 0 in order of time"
        )
    nameless = sum(not answer.annotator for answer in answers)
    if nameless:
        found.said.append(f"{nameless} answers name no annotator: they are {name}:{UNKNOWN_ANNOTATOR}")
    rows, taken = [], Counter[str]()
    for (key, who), given in groups.items():
        item = found.items[key]
        item_id = f"{name}:{item.split}:{key}"
        for occasion, answer in enumerate(sorted(given, key=_order)):
            taken[item_id] += 1
            for value in answer.values:
                option = named.get(value, value)
                scale = numbers.get(option) if kind == "ordinal" else float(value) if not listed else None
                rows.append(
                    {
                        "item_id": item_id,
                        "annotator_id": f"{name}:{who or UNKNOWN_ANNOTATOR}",
                        "question": question,
                        "rating_id": f"{item_id}#{taken[item_id]}",
                        "value": option,
                        "value_num": scale,
                        "reason": answer.reason if (answer.reason or "").strip() else None,
                        "evidence": _evidence(answer, item),
                        "occasion": occasion if who else 0,
                        "at": answer.at or None,
                        "seconds": answer.seconds,
                    }
                )
    texts = ("item_id", "annotator_id", "question", "rating_id", "value", "reason", "at")
    schema: dict[str, pl.DataType] = {**dict.fromkeys(texts, pl.String()), "occasion": pl.Int64()}
    schema |= {"evidence": _EVIDENCE, "value_num": pl.Float64(), "seconds": pl.Float64()}
    frame = pl.DataFrame(rows, schema=schema).unique(["rating_id", "value"], keep="first", maintain_order=True)
    frame = frame.drop("seconds") if frame["seconds"].null_count() == frame.height else frame
    return conform(frame, "annotations", where=name)


def _order(answer: Answer) -> tuple[bool, float, str]:
    """Numbers before texts, each among themselves; equal ones stay in the order of the file."""
    number = isinstance(answer.order, (int, float))
    return (not number, float(answer.order) if number else 0.0, "" if number else str(answer.order))


def _evidence(answer: Answer, item: Item) -> list[dict[str, object]] | None:
    if answer.marks is None:
        return None
    fields = {name for name, _ in item.context}
    return [
        {"field": name if name in fields else "statement", "start": start, "end": end, "set": 0}
        for name, start, end in sorted(dict.fromkeys(answer.marks))
    ]


def _items(name: str, found: Collected) -> pl.DataFrame:
    rows = [
        {
            "item_id": f"{name}:{item.split}:{key}",
            "source": name,
            "split": item.split,
            "statement": item.statement,
            "context": [{"field": field, "role": "", "text": text} for field, text in item.context],
            "context_key": "\n".join(text for _, text in item.context) or None,
            "extra": readable(json_text(item.extra), f"{name}: item {quoted([key])}"),
        }
        for key, item in found.items.items()
    ]
    strings = ("item_id", "source", "split", "statement", "context_key", "extra")
    part = pl.Struct({"field": pl.String(), "role": pl.String(), "text": pl.String()})
    return items_frame(pl.DataFrame(rows, schema={**dict.fromkeys(strings, pl.String()), "context": pl.List(part)}))
