r"""LeWiDi, Learning with Disagreements: one JSON file per set and split, both editions' layouts.

Layout: ``<SET>_train.json``, ``<SET>_dev.json``, ``<SET>_test.json`` and, third edition,
``<SET>_annotators_meta.json``. Each file is one object, own key -> record. Third edition (VariErrNLI, CSC, ...):
``annotations`` is an object, annotator -> "value" or "value,value", explanations in the order of ``annotators``, who
stand there once per value. Second edition (HS-Brexit, ...): ``annotations`` and ``annotators`` are comma-separated,
side by side. An invented record of each::

    {"17": {"annotation task": "natural language inference",
      "text": {"context": "It rained.", "statement": "It was wet."},
      "annotators": "Ann1,Ann2,Ann2", "annotations": {"Ann1": "neutral", "Ann2": "entailment,neutral"},
      "soft_label": {"entailment": {"0": 0.5, "1": 0.5}}, "split": "dev", "lang": "en",
      "other_info": {"explanations": ["Of what?", "Rain is wet.", "Perhaps not all of it."]}}}
    {"1": {"text": "They all lie.", "annotation task": "hate speech detection", "annotations": "0,1",
      "annotators": "Ann1,Ann2", "hard_label": "1", "soft_label": {"0": 0.5, "1": 0.5}, "split": "dev", "lang": "en",
      "other_info": {"other annotations": {"offensive language detection": "1,1"},
        "annotators group": "group1,group2", "group1": "target group", "group2": "control group"}}}

Warts: the published metadata file of VariErrNLI has commas before closing braces and is not valid JSON; the one of CSC
says nothing about 32 of its 872 annotators; three values of HS-Brexit's offensive language read "No" where 0 or 1
should stand (dropped and counted); keys are unique within a split only; soft labels may be rounded to two digits; the
text of ConvAbuse is a dialogue of four turns written as JSON into one string, its values go from -3 to 1 and its soft
and hard labels tell abusive from not abusive only; soft labels of MP have the keys "0.0" and "1.0", its values are
"0" and "1"; the files of the set Par are called ``Paraphrase_*.json``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import (
    Dropped,
    SourceInfo,
    SourceTables,
    examples,
    folders_with,
    items_frame,
    raw_file,
)
from dfar_toolkit.sources.lewidi_facts import KNOWN, Facts, facts_of, set_key
from dfar_toolkit.sources.lewidi_records import Record, parse, snake, soft_label_agrees
from dfar_toolkit.tables import conform
from dfar_toolkit.tabular import nearest, quoted, read_json

INFO: Final = SourceInfo(
    name="lewidi",
    title="LeWiDi (Learning with Disagreements)",
    licence="other",
    homepage="https://le-wi-di.github.io",
    citation="LeWiDi, Learning with Disagreements: SemEval-2023 Task 11 (edition 2), NLPerspectives 2025 (edition 3).",
    layout="SET_train.json, SET_dev.json, SET_test.json, SET_annotators_meta.json: one object of records per file",
    sets=("varierrnli", "csc", "mp", "paraphrase", "hs-brexit", "md-agreement", "convabuse", "armis"),
    notes=("Published for research; see the homepage for the terms of each set.",),
)
_FILE: Final = re.compile(r"([^.].*)_(train|dev|test)\.json")
_META: Final = "_annotators_meta.json"


class _Split(NamedTuple):
    path: Path
    split: str
    records: list[Record]


def sets_in(raw: Path) -> dict[str, dict[str, Path]]:
    """The files of each set in a folder (or its sub-folders): lower-case name of the set -> split -> file.

    Raises:
        SourceError: There is none, or a set stands in two folders.
    """
    found: dict[str, dict[str, Path]] = {}
    what = "files <SET>_train.json, <SET>_dev.json or <SET>_test.json"
    for paths in folders_with(raw, lambda name: _FILE.fullmatch(name) is not None, what=what).values():
        for path in paths:
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            files = found.setdefault(set_key(match[1]), {})
            if match[2] in files:
                raise SourceError(f"{raw}: {path.name} stands in two folders; name the one that is meant.")
            files[match[2]] = path
    return found


def read(raw: Path, *, set_name: str = "", repair: bool = True) -> SourceTables:
    """One set of LeWiDi as tables.

    Args:
        raw: The folder with the set's files, or one whose sub-folders hold them.
        set_name: One of ``INFO.sets`` or another file prefix; may be left out if there is one set.
        repair: Whether a comma before a closing brace or bracket is removed (and said) or refused.

    Returns:
        Items by published split and own key; a rating that holds several values is several rows of one ``rating_id``.

    Raises:
        SourceError: No such set, several sets and none named, or a file that is not in the layout.
    """
    sets = sets_in(raw)
    name = set_key(set_name)
    if not name and len(sets) > 1:
        raise SourceError(f"{raw}: found several sets ({quoted(sets)}); name one, as in lewidi:{next(iter(sets))}.")
    name = name or next(iter(sets))
    if name not in sets:
        raise SourceError(f'{raw}: wanted the set "{name}"; found {quoted(sets)}.{nearest(name, sets)}')
    order = [split for split in ("train", "dev", "test") if split in sets[name]]
    repairs: list[str] = []
    splits = [_read_split(sets[name][split], split, f"lewidi.{name}", repair, repairs) for split in order]
    return _tables(name, splits, repair, repairs)


def _read_split(path: Path, split: str, source: str, repair: bool, repairs: list[str]) -> _Split:
    document, repaired = read_json(path, repair=repair, error=SourceError)
    repairs.extend(repaired)
    if not isinstance(document, dict):
        raise SourceError(f"{path}: wanted an object of records by their keys; found a {type(document).__name__}.")
    facts = KNOWN.get(source.removeprefix("lewidi."))
    turns = facts.dialogue if facts else ()
    prefix = f"{source}:{split}"
    return _Split(path, split, [parse(prefix, key, record, path, dialogue=turns) for key, record in document.items()])


def _tables(name: str, splits: list[_Split], repair: bool, repairs: list[str]) -> SourceTables:
    source = f"lewidi.{name}"
    facts = facts_of(name, [record for split in splits for record in split.records])
    splits = [s._replace(records=[_checked(record, facts, s.path) for record in s.records]) for s in splits]
    records = [record for split in splits for record in split.records]
    drops = [drop for split in splits for drop in _dropped_values(split)]
    repairs.extend(note for split in splits for note in _disagreements(split, facts))
    annotations = _annotations(source, splits, facts)
    files = [raw_file(split.path, rows=len(split.records)) for split in splits]
    raters = _groups(source, records, annotations, repairs)
    meta = _meta_path(splits)
    if meta is not None:
        metadata, repaired = _metadata(meta, source, repair)
        repairs.extend(repaired)
        raters, lost = _with_metadata(raters, metadata, meta.name, repairs)
        drops.extend(lost)
        files.append(raw_file(meta, rows=metadata.height))
    return SourceTables(
        info=_info(name, facts, records),
        questions=conform(_questions(facts), "questions", where=source),
        items=_items(source, splits, facts),
        annotations=annotations,
        raters=conform(raters.sort("annotator_id"), "raters", where=source),
        files=tuple(files),
        dropped=tuple(drops),
        repairs=tuple(repairs),
    )


def _checked(record: Record, facts: Facts, path: Path) -> Record:
    """The record without values that a further question does not know; in the primary question they are refused."""
    where = f"{path}: record {quoted([record.key])}"
    if facts.statement not in record.texts:
        raise SourceError(f"{where}: wanted the text {quoted([facts.statement])}; found {quoted(record.texts)}.")
    kept, lost = [], list(record.lost)
    for rating in record.ratings:
        asked = facts.questions.get(rating.task)
        if asked is None:
            raise SourceError(f"{where}: wanted the tasks {quoted(facts.questions)}; found {quoted([rating.task])}.")
        if len(rating.values) > 1 and asked.kind != "set":
            raise SourceError(
                f"{where}: wanted one value per person for {asked.question}; {quoted([rating.annotator])} gave "
                f"{quoted(rating.values)}."
            )
        unknown = [value for value in rating.values if value not in asked.names]
        if unknown and rating.task == next(iter(facts.questions)):
            raise SourceError(
                f"{where}: wanted {quoted(asked.names)} for {asked.question}; {quoted([rating.annotator])} gave "
                f"{quoted(unknown)}."
            )
        lost += [f"{asked.question}: the value {quoted([v])} is none of {quoted(asked.names)}" for v in unknown]
        if not unknown:
            kept.append(rating)
    return replace(record, ratings=tuple(kept), lost=tuple(lost))


def _dropped_values(split: _Split) -> list[Dropped]:
    lost: dict[str, list[str]] = {}
    for record in split.records:
        for why in record.lost:
            lost.setdefault(why, []).append(record.item_id)
    return [Dropped(split.path.name, why, len(ids), examples(ids)) for why, ids in lost.items()]


def _disagreements(split: _Split, facts: Facts) -> list[str]:
    """What a file says about itself and its annotations do not bear out, one sentence each."""
    n, name = len(split.records), split.path.name
    said = []
    off = [r.item_id for r in split.records if not soft_label_agrees(r, facts.soft)]
    if off:
        said.append(
            f"{name}: soft_label differs from the annotations by more than its rounding (0.01) in {len(off)} of {n} "
            f"items ({quoted(off, most=3)}); the annotations are used"
        )
    off = [r.item_id for r in split.records if r.n_said is not None and r.n_said != r.n_found]
    if off:
        said.append(
            f'{name}: "number of annotations" is not the number found in {len(off)} of {n} items '
            f"({quoted(off, most=3)})"
        )
    off = [r.item_id for r in split.records if r.split not in ("", split.split)]
    if off:
        said.append(f"{name}: {len(off)} of {n} items name another split ({quoted(off, most=3)}); the file's is used")
    return said


def _items(source: str, splits: list[_Split], facts: Facts) -> pl.DataFrame:
    primary = next(iter(facts.questions.values()), None)
    named = {} if primary is None else {raw: name for raw, name in primary.names.items() if raw != name}
    rows: list[dict[str, object]] = []
    for split in splits:
        for record in split.records:
            context = [(field, text) for field, text in record.texts.items() if field != facts.statement]
            rows.append(
                {
                    "item_id": record.item_id,
                    "source": source,
                    "split": split.split,
                    "statement": record.texts[facts.statement],
                    "context": [{"field": f, "role": facts.roles.get(f, ""), "text": text} for f, text in context],
                    "extra": record.extra(value_names=named),
                    "context_key": "\n".join(text for _, text in context).strip() or None,
                }
            )
    schema = {"item_id": pl.String(), "statement": pl.String(), "context_key": pl.String(), "extra": pl.String()}
    return items_frame(pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema=schema))


def _annotations(source: str, splits: list[_Split], facts: Facts) -> pl.DataFrame:
    primary = next(iter(facts.questions), "")
    rows = []
    for record in (record for split in splits for record in split.records):
        numbers: dict[str, int] = {}
        for rating in record.ratings:
            asked = facts.questions[rating.task]
            k = numbers[rating.task] = numbers.get(rating.task, 0) + 1
            middle = "" if rating.task == primary else f"{asked.question}#"
            for value, reason in zip(rating.values, rating.reasons, strict=True):
                rows.append(
                    {
                        "item_id": record.item_id,
                        "annotator_id": f"{source}:{rating.annotator}",
                        "question": asked.question,
                        "rating_id": f"{record.item_id}#{middle}{k}",
                        "value": asked.names[value],
                        "value_num": float(value) if asked.kind == "ordinal" else None,
                        "reason": reason,
                    }
                )
    columns = ("item_id", "annotator_id", "question", "rating_id", "value", "value_num", "reason")
    schema = {name: pl.Float64() if name == "value_num" else pl.String() for name in columns}
    return conform(pl.DataFrame(rows, schema=schema), "annotations", where=source)


def _groups(source: str, records: list[Record], annotations: pl.DataFrame, repairs: list[str]) -> pl.DataFrame:
    """Everyone who rated, with the group the records put them in."""
    raters = annotations.select("annotator_id").unique(maintain_order=True)
    groups: dict[str, set[str]] = {}
    for record in records:
        for annotator, group in record.groups.items():
            groups.setdefault(f"{source}:{annotator}", set()).add(group)
    if not groups:
        return raters
    torn = sorted(annotator for annotator, names in groups.items() if len(names) > 1)
    if torn:
        repairs.append(f"{len(torn)} annotators stand in several groups ({quoted(torn, most=3)}); theirs is left empty")
    known = {annotator: next(iter(names)) for annotator, names in groups.items() if len(names) == 1}
    found = pl.col("annotator_id").replace_strict(known, default=None, return_dtype=pl.String)
    return raters.with_columns(group_name=found)


def _meta_path(splits: list[_Split]) -> Path | None:
    folder, prefix = splits[0].path.parent, splits[0].path.name.rsplit("_", 1)[0]
    path = folder / f"{prefix}{_META}"
    return path if path.is_file() else None


def _metadata(path: Path, source: str, repair: bool) -> tuple[pl.DataFrame, tuple[str, ...]]:
    document, repaired = read_json(path, repair=repair, error=SourceError)
    if not isinstance(document, dict) or not all(isinstance(value, dict) for value in document.values()):
        raise SourceError(f"{path}: wanted an object annotator -> object of facts about them.")
    rows = []
    for annotator, facts in document.items():
        row = {"annotator_id": f"{source}:{annotator}"}
        for key, value in facts.items():
            name = snake(str(key))
            row[f"published_{name}" if name in ("annotator_id", "kind") else name] = str(value)
        rows.append(row)
    if not rows:
        return pl.DataFrame(schema={"annotator_id": pl.String()}), repaired
    return pl.DataFrame(rows, infer_schema_length=None), repaired


def _with_metadata(
    raters: pl.DataFrame, metadata: pl.DataFrame, file: str, repairs: list[str]
) -> tuple[pl.DataFrame, list[Dropped]]:
    idle = metadata.join(raters, on="annotator_id", how="anti")
    bare = raters.join(metadata, on="annotator_id", how="anti")
    if bare.height:
        repairs.append(f"{file}: says nothing about {bare.height} annotators ({quoted(bare['annotator_id'], most=3)})")
    lost = [Dropped(file, "no rating by this person in the files", idle.height, examples(idle["annotator_id"]))]
    return raters.join(metadata, on="annotator_id", how="left", maintain_order="left"), lost if idle.height else []


def _questions(facts: Facts) -> pl.DataFrame:
    asked = list(facts.questions.values())
    return pl.DataFrame(
        {
            "question": [a.question for a in asked],
            "kind": [a.kind for a in asked],
            "options": [list(a.names.values()) for a in asked],
            "wording": [a.wording for a in asked],
        },
        schema={"question": pl.String, "kind": pl.String, "options": pl.List(pl.String), "wording": pl.String},
    )


def _info(name: str, facts: Facts, records: list[Record]) -> SourceInfo:
    named = []
    for asked in facts.questions.values():
        pairs = [f"{raw} = {option}" for raw, option in asked.names.items() if raw != option]
        if pairs:
            named.append(f"Published values of {asked.question}: {', '.join(pairs)}.")
    return replace(
        INFO,
        name=f"lewidi.{name}",
        title=facts.title,
        languages=tuple(sorted({record.lang for record in records if record.lang})) or INFO.languages,
        notes=(*INFO.notes, *facts.notes, *named),
    )
