"""One record of a LeWiDi file, in either edition's layout, as ratings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import json_text
from dfar_toolkit.tabular import quoted
from dfar_toolkit.tabular.json_rows import parsed_json
from dfar_toolkit.tabular.wording import ContentError

_NEEDED = ("text", "annotations", "annotators", "annotation task")
_TOLERANCE = 0.01 + 1e-9  # soft labels are published with two digits


class Rating(NamedTuple):
    """What one person answered to one task: a value, or several, each with its own reason."""

    task: str
    annotator: str
    values: tuple[str, ...]
    reasons: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its texts by field, its ratings in the order of the file, and what the file says about itself."""

    item_id: str
    key: str
    task: str
    texts: dict[str, str]
    ratings: tuple[Rating, ...]
    lost: tuple[str, ...]  # why values were left out, one entry per value
    groups: dict[str, str]  # annotator -> group, resolved
    soft_label: Mapping[str, object]
    hard_label: object
    split: str
    lang: str
    n_said: int | None
    n_found: int
    beside: Mapping[str, object]  # the rest of other_info

    def extra(self, *, value_names: Mapping[str, str]) -> str:
        """What is published and has no column of ours, as JSON text."""
        kept: dict[str, object] = {"soft_label": self.soft_label, "lang": self.lang, **self.beside}
        if self.hard_label is not None:
            kept["hard_label"] = self.hard_label
        if value_names:
            kept["value_names"] = dict(value_names)
        return json_text({name: value for name, value in kept.items() if value not in ("", {})})


def snake(name: str) -> str:
    """A name in snake_case.

    Example:
        >>> snake("Country of birth")
        'country_of_birth'
    """
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()


def parse(prefix: str, key: str, record: object, path: Path, *, dialogue: tuple[str, ...] = ()) -> Record:
    """The record under ``key``; ``prefix`` (source and split) begins its item id.

    ``dialogue`` names the fields of a text that is published as an object written into one string.

    Raises:
        SourceError: It is in neither edition's layout; says the file, the record and what was wanted.
    """
    where = f"{path}: record {quoted([key])}"
    if not isinstance(record, dict):
        raise SourceError(f"{where}: wanted an object; found a {type(record).__name__}.")
    lost = [name for name in _NEEDED if name not in record]
    if lost:
        raise SourceError(f"{where}: wanted the fields {quoted(_NEEDED)}; found {quoted(record)}.")
    info = record.get("other_info") or {}
    if not isinstance(info, dict):
        raise SourceError(f"{where}: wanted an object under other_info; found a {type(info).__name__}.")
    task = str(record["annotation task"])
    annotators = _parts(record["annotators"])
    unfit: list[str] = []
    if isinstance(record["annotations"], dict):
        given = _third(task, record["annotations"], annotators, info.get("explanations"), where)
    else:
        others = info.get("other annotations") or info.get("other_annotations") or {}
        if not isinstance(others, dict):
            raise SourceError(f"{where}: wanted an object under other annotations; found a {type(others).__name__}.")
        given, unfit = _second(task, record["annotations"], annotators, others, where)
    ratings, out = _without_empty(given)
    said, soft = record.get("number of annotations"), record.get("soft_label")
    taken = {"explanations", "other annotations", "other_annotations", "annotators group"}
    return Record(
        item_id=f"{prefix}:{key}",
        key=key,
        task=task,
        texts=_texts(_turns(record["text"], where) if dialogue else record["text"], where, dialogue),
        ratings=tuple(ratings),
        lost=(*out, *unfit),
        groups=_groups(info, annotators, where),
        soft_label=soft if isinstance(soft, dict) else {},
        hard_label=record.get("hard_label"),
        split=str(record.get("split", "")),
        lang=str(record.get("lang", "")),
        n_said=said if isinstance(said, int) else None,
        n_found=sum(len(rating.values) for rating in given if rating.task == task),
        beside={name: value for name, value in info.items() if name not in taken},
    )


def soft_label_agrees(record: Record, folded: Mapping[str, str] | None = None) -> bool:
    """Whether the published soft label is the share of people behind each value, up to its two digits.

    ``folded`` says which value of the soft label a published value counts for, where these are not the same.
    """
    ratings = [rating for rating in record.ratings if rating.task == record.task]
    if not record.soft_label or not ratings:
        return True
    votes = Counter(whole((folded or {}).get(value, value)) for rating in ratings for value in rating.values)
    if set(votes) - {whole(value) for value in record.soft_label}:
        return False
    for value, published in record.soft_label.items():
        share = published.get("1") if isinstance(published, dict) else published
        if not isinstance(share, (int, float)) or abs(share - votes[whole(value)] / len(ratings)) > _TOLERANCE:
            return False
    return True


def whole(value: str) -> str:
    """A number that is published as "1" in one place and "1.0" in another, in one form; other values as they are.

    Example:
        >>> whole("1.0"), whole("-2"), whole("no")
        ('1', '-2', 'no')
    """
    return value.split(".")[0] if re.fullmatch(r"-?\d+\.0+", value) else value


def _parts(text: object) -> list[str]:
    """The parts of a comma-separated text (one value alone: that value), without spaces around them."""
    return [] if text in (None, "") else [part.strip() for part in str(text).split(",")]


def _turns(text: object, where: str) -> object:
    """The turns of a dialogue that was written as JSON into one string; an absent turn is empty."""
    if isinstance(text, str):
        try:
            text = parsed_json(text)
        except ContentError as bad:
            raise SourceError(f"{where}: wanted a dialogue as JSON under text; {bad}") from bad.__cause__
    return {field: turn or "" for field, turn in text.items()} if isinstance(text, dict) else text


def _texts(text: object, where: str, fields: tuple[str, ...]) -> dict[str, str]:
    if fields and (not isinstance(text, dict) or set(fields) - set(text)):
        found = quoted(text) if isinstance(text, dict) else f"a {type(text).__name__}"
        raise SourceError(f"{where}: wanted the turns {quoted(fields)} under text; found {found}.")
    if isinstance(text, str):
        return {"text": text}
    if isinstance(text, dict) and text and all(isinstance(part, str) for part in text.values()):
        return dict(text)
    raise SourceError(f"{where}: wanted a text, or an object of texts, under text; found a {type(text).__name__}.")


def _third(
    task: str, annotations: dict[str, object], annotators: list[str], explanations: object, where: str
) -> list[Rating]:
    """Annotator -> values; the explanations stand in the order of ``annotators``."""
    reasons: dict[str, list[str | None]] = defaultdict(list)
    if isinstance(explanations, list):
        if len(explanations) != len(annotators):
            raise SourceError(
                f"{where}: wanted one explanation per entry of annotators ({len(annotators)}); "
                f"found {len(explanations)}."
            )
        for annotator, text in zip(annotators, explanations, strict=True):
            reasons[annotator].append(str(text) if text is not None and str(text).strip() else None)
    ratings = []
    for annotator, given in annotations.items():
        values = _parts(given)
        why = reasons[annotator] or [None] * len(values)
        if len(why) != len(values):
            raise SourceError(
                f"{where}: {quoted([annotator])} gave {len(values)} values and stands {len(why)} times in annotators, "
                "so which explanation belongs to which value is not known."
            )
        ratings.append(Rating(task, annotator, tuple(values), tuple(why)))
    return ratings


def _second(
    task: str, annotations: object, annotators: list[str], others: Mapping[str, object], where: str
) -> tuple[list[Rating], list[str]]:
    """Values side by side with the annotators, for the task and for the further ones; why further ones were left."""
    ratings, unfit = [], []
    for name, given in {task: annotations, **others}.items():
        values = _parts(given)
        if values and len(values) != len(annotators):
            if name != task:
                unfit.append(f"{quoted([name])}: the values are not one per annotator")
                continue
            raise SourceError(
                f"{where}: wanted {len(annotators)} values of {quoted([name])}, one per annotator; found {len(values)}."
            )
        ratings += [
            Rating(name, annotator, (value,), (None,)) for annotator, value in zip(annotators, values, strict=False)
        ]
    return ratings, unfit


def _without_empty(given: list[Rating]) -> tuple[list[Rating], list[str]]:
    """Ratings without empty and repeated values, and one reason per value left out."""
    ratings, out = [], []
    for rating in given:
        kept: dict[str, str | None] = {}
        if not rating.values:
            out.append("no value given")
        for value, reason in zip(rating.values, rating.reasons, strict=True):
            if not value:
                out.append("no value given")
            elif value in kept:
                out.append("the same value twice in one rating")
            else:
                kept[value] = reason
        if kept:
            ratings.append(Rating(rating.task, rating.annotator, tuple(kept), tuple(kept.values())))
    return ratings, out


def _groups(info: Mapping[str, object], annotators: list[str], where: str) -> dict[str, str]:
    """Annotator -> group, where "group1" is resolved by the record's own entry of that name."""
    names = _parts(info.get("annotators group"))
    if names and len(names) != len(annotators):
        raise SourceError(f"{where}: wanted one group per annotator ({len(annotators)}); found {len(names)}.")
    return {annotator: str(info.get(name, name)) for annotator, name in zip(annotators, names, strict=False)}
