"""Scruples: who is in the wrong in an anecdote, and which of two actions is less ethical, as counts of votes.

Layout: JSON lines ``SPLIT.scruples-anecdotes.jsonl`` (in older copies ``...-corpus.jsonl``) and
``SPLIT.scruples-dilemmas.jsonl`` (``...-actions.jsonl``), SPLIT one of train, train-extra (dilemmas only), dev, test.
Invented lines of each::

    {"id": "a1", "post_id": "x7", "post_type": "HISTORICAL", "title": "AITA for keeping it?", "text": "I found ...",
      "action": {"description": "keeping it", "pronormative_score": 1, "contranormative_score": 4},
      "label_scores": {"AUTHOR": 4, "OTHER": 1, "EVERYBODY": 0, "NOBODY": 0, "INFO": 1}, "label": "AUTHOR",
      "binarized_label_scores": {"RIGHT": 1, "WRONG": 4}, "binarized_label": "WRONG"}
    {"id": "d1", "actions": [{"id": "p", "description": "keeping it"}, {"id": "q", "description": "asking"}],
      "gold_annotations": [4, 1], "gold_label": 0, "human_perf_annotations": [5, 0], "human_perf_label": 0,
      "controversial": true}

Warts: a dilemma's votes are for the **less** ethical action; ``human_perf_annotations`` are further people, whose
votes are no part of the gold label, and where nobody was asked they are [0, 0] with the label 0, which means nothing;
``action`` may be null; small files of the code's own tests leave fields out; an anecdote may lack a text, and then its
title stands for it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import (
    Dropped,
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    items_frame,
    raw_file,
)
from dfar_toolkit.sources.line_records import line_records
from dfar_toolkit.sources.scruples_records import (
    BINARISED,
    LABELS,
    SIDES,
    Parse,
    Record,
    RecordError,
    Votes,
    anecdote,
    dilemma,
)
from dfar_toolkit.sources.split_files import chosen_set, split_files
from dfar_toolkit.tables import conform, empty
from dfar_toolkit.tabular import quoted

INFO: Final = SourceInfo(
    name="scruples",
    title="Scruples",
    licence="apache-2.0",
    homepage="https://github.com/allenai/scruples",
    citation=(
        "Scruples: A Corpus of Community Ethical Judgments on 32,000 Real-Life Anecdotes. AAAI 2021. arXiv:2008.09094."
    ),
    layout="SPLIT.scruples-anecdotes.jsonl, SPLIT.scruples-dilemmas.jsonl (train, train-extra, dev, test)",
    sets=("anecdotes", "anecdotes-binarised", "dilemmas"),
    notes=(
        "Votes are published as counts; who voted is not told.",
        "The label is the published one: most votes, of several options with as many the first in their order.",
    ),
)
HUMAN: Final = "human_performance"
METHOD: Final = "published votes"
SPLITS: Final = {"train": "train", "train-extra": "train.extra", "dev": "dev", "test": "test"}
_FILE: Final = re.compile(r"(train|train-extra|dev|test)\.scruples-(anecdotes|corpus|dilemmas|actions)\.jsonl")
_KINDS: Final = {"anecdotes": "anecdotes", "corpus": "anecdotes", "dilemmas": "dilemmas", "actions": "dilemmas"}


class _Set(NamedTuple):
    """A set: its questions (name, wording; the primary one first), options, columns that must be there, notes."""

    questions: tuple[tuple[str, str], ...]
    options: tuple[str, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


_POST: Final = "The statement is the post's text, its title is in the context; without a text the title stands for it."
_SETS: Final = {
    "anecdotes": _Set(
        (("who_is_wrong", "Who is in the wrong in the anecdote: its author, the other, everybody or nobody?"),),
        LABELS,
        ("id", "title", "text", "label_scores", "label"),
        (_POST, "INFO: more would have to be known for a judgement."),
    ),
    "anecdotes-binarised": _Set(
        (("author_is", "Is the author of the anecdote in the right or in the wrong?"),),
        tuple(BINARISED),
        ("id", "title", "text", "label_scores"),
        (_POST, "RIGHT = OTHER + NOBODY, WRONG = AUTHOR + EVERYBODY; votes for INFO are left out (they are in extra)."),
    ),
    "dilemmas": _Set(
        (
            ("less_ethical", "Which of the two actions is less ethical, the first or the second?"),
            (HUMAN, "Which of the two actions is less ethical? Asked of further people, to compare models with."),
        ),
        SIDES,
        ("id", "actions", "gold_annotations", "gold_label"),
        (
            "The label is the LESS ethical action: gold_label 0 = first, 1 = second.",
            f"The question {HUMAN} holds the votes of further people; they are no part of the label.",
            "One action may stand in several dilemmas; their ids are in extra, groups do not rest on them.",
        ),
    ),
}


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """One set of Scruples as tables.

    Args:
        raw: The folder with the files, or one whose sub-folders hold them; any of the splits may be absent.
        set_name: ``anecdotes``, ``anecdotes-binarised`` or ``dilemmas``; may be left out if the files are of one kind,
            and is ``anecdotes`` for files of anecdotes.

    Returns:
        Items by published split and id, with the votes as targets. Records without votes or texts are counted in
        ``dropped``; ties, and labels that the votes contradict, in ``repairs``.

    Raises:
        SourceError: No such set or file, a record that is not in the layout, or an id that stands twice.
    """
    what = "SPLIT.scruples-anecdotes.jsonl or SPLIT.scruples-dilemmas.jsonl (SPLIT: train, train-extra, dev, test)"
    files = split_files(raw, _kind_and_split, what=what, splits=list(SPLITS.values()))
    name = chosen_set(raw, set_name, source=INFO.name, sets=INFO.sets, present=files)
    kind = name.partition("-")[0]
    if kind not in files:
        raise SourceError(
            f"{raw}: wanted the files SPLIT.scruples-{kind}.jsonl of the set {name}; found those of {quoted(files)}."
        )
    asked, source = _SETS[name], f"{INFO.name}.{name}"
    primary = asked.questions[0][0]
    parse: Parse = partial(anecdote, question=primary, binarised=name == "anecdotes-binarised")
    if name == "dilemmas":
        parse = partial(dilemma, question=primary, human=HUMAN)
    parts = [_read_split(path, split, source, asked, parse) for split, path in files[kind].items()]
    targets = [row for part in parts for row in part.targets]
    used = {primary, *(row["question"] for row in targets)}
    questions = [(question, wording) for question, wording in asked.questions if question in used]
    return SourceTables(
        info=replace(INFO, name=source, title=f"Scruples ({name})", notes=(*INFO.notes, *asked.notes)),
        questions=conform(
            pl.DataFrame(
                {
                    "question": [question for question, _ in questions],
                    "kind": ["nominal"] * len(questions),
                    "options": [list(asked.options)] * len(questions),
                    "wording": [wording for _, wording in questions],
                }
            ),
            "questions",
            where=source,
        ),
        items=items_frame(pl.DataFrame([row for part in parts for row in part.items], schema=_ITEM)),
        annotations=empty("annotations"),
        raters=empty("raters"),
        files=tuple(part.file for part in parts),
        dropped=tuple(drop for part in parts for drop in part.drops),
        repairs=tuple(said for part in parts for said in part.said),
        targets=conform(pl.DataFrame(targets, schema=_TARGET), "targets", where=source),
    )


_ITEM: Final = {
    "item_id": pl.String(),
    "source": pl.String(),
    "split": pl.String(),
    "statement": pl.String(),
    "context": pl.List(pl.Struct({"field": pl.String(), "role": pl.String(), "text": pl.String()})),
    "option_texts": pl.List(pl.String()),
    "extra": pl.String(),
}
_TARGET: Final = {
    "item_id": pl.String(),
    "question": pl.String(),
    "label": pl.String(),
    "label_counts": pl.List(pl.Int64()),
    "label_probs": pl.List(pl.Float64()),
    "n_ratings": pl.Int64(),
    "method": pl.String(),
}


class _Part(NamedTuple):
    items: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    file: RawFile
    drops: list[Dropped]
    said: list[str]


def _kind_and_split(name: str) -> tuple[str, str] | None:
    match = _FILE.fullmatch(name)
    return None if match is None else (_KINDS[match[2]], SPLITS[match[1]])


def _read_split(path: Path, split: str, source: str, asked: _Set, parse: Parse) -> _Part:
    rows = line_records(path, asked.columns)
    records = []
    for number, row in enumerate(rows, start=1):
        try:
            records.append(parse(row))
        except RecordError as bad:
            raise SourceError(f"{path}: record {number}: {bad}.") from None
    first = f"{source}:{split}:"
    _check_ids(records, path)
    lost: dict[str, list[str]] = {}
    for record in records:
        if record.why:
            lost.setdefault(record.why, []).append(first + record.key)
    kept = [record for record in records if not record.why]
    return _Part(
        items=[_item(record, first, source, split) for record in kept],
        targets=[_target(votes, first + record.key) for record in kept for votes in record.votes],
        file=raw_file(path, rows=len(rows)),
        drops=[Dropped(path.name, why, len(ids), examples(ids)) for why, ids in lost.items()],
        said=_said(kept, path.name),
    )


def _check_ids(records: list[Record], path: Path) -> None:
    twice = [key for key, n in Counter(record.key for record in records).items() if n > 1]
    if twice:
        raise SourceError(f"{path}: wanted every id once; {quoted(twice, most=3)} stands more than once.")


def _item(record: Record, first: str, source: str, split: str) -> dict[str, Any]:
    return {
        "item_id": first + record.key,
        "source": source,
        "split": split,
        "statement": record.statement,
        "context": [{"field": name, "role": "", "text": text} for name, text in record.context],
        "option_texts": None if record.option_texts is None else list(record.option_texts),
        "extra": record.extra,
    }


def _target(votes: Votes, item_id: str) -> dict[str, Any]:
    n = sum(votes.counts)
    return {
        "item_id": item_id,
        "question": votes.question,
        "label": votes.published or votes.by_rule,
        "label_counts": list(votes.counts),
        "label_probs": [count / n for count in votes.counts],
        "n_ratings": n,
        "method": METHOD,
    }


def _said(records: list[Record], file: str) -> list[str]:
    """What the votes do not decide, or contradict, one sentence per question."""
    said = []
    for question in dict.fromkeys(votes.question for record in records for votes in record.votes):
        asked = [(r.key, votes) for r in records for votes in r.votes if votes.question == question]
        cases = {
            "have several options with most votes; the published label is kept": [
                key for key, votes in asked if votes.tied and votes.published is not None
            ],
            "have a published label that is not the one with most votes; it is kept": [
                key for key, votes in asked if votes.contradicted
            ],
            "have no published label; most votes decide, of several options the first": [
                key for key, votes in asked if votes.published is None
            ],
        }
        for what, keys in cases.items():
            if keys:
                said.append(f"{file}: {question}: {len(keys)} of {len(asked)} items {what} ({quoted(keys, most=3)})")
    odd: dict[str, list[str]] = {}
    for record in records:
        for what in record.odd:
            odd.setdefault(what, []).append(record.key)
    said += [
        f"{file}: in {len(keys)} of {len(records)} items {what} ({quoted(keys, most=3)})" for what, keys in odd.items()
    ]
    return said
