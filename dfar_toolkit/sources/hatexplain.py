"""HateXplain: posts that three people each called hate speech, offensive or normal, with targets and marked tokens.

Layout: ``dataset.json``, an object post id -> post, and ``post_id_divisions.json``, an object ``train``, ``val``,
``test`` -> list of post ids. An invented post::

    {"7_gab": {"post_id": "7_gab", "post_tokens": ["they", "all", "lie"],
      "annotators": [{"label": "hatespeech", "annotator_id": 4, "target": ["Women"]},
                     {"label": "offensive", "annotator_id": 9, "target": ["Women", "Other"]},
                     {"label": "normal", "annotator_id": 2, "target": ["None"]}],
      "rationales": [[0, 1, 1], [0, 0, 1]]}}

Warts: rationales exist only for posts that most people did not call normal, two or three of them, without saying whose
they are; some are of another length than the tokens; some posts are in no division.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import (
    ITEMS,
    Dropped,
    SourceInfo,
    SourceTables,
    examples,
    folders_with,
    items_frame,
    json_text,
    raw_file,
)
from dfar_toolkit.sources.token_masks import mask_evidence, mask_fault
from dfar_toolkit.spans import joined_tokens
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform, empty
from dfar_toolkit.tabular import quoted, read_json

INFO: Final = SourceInfo(
    name="hatexplain",
    title="HateXplain",
    licence="mit",
    homepage="https://github.com/hate-alert/HateXplain",
    citation="HateXplain: A Benchmark Dataset for Explainable Hate Speech Detection. AAAI 2021. arXiv:2012.10289.",
    layout="dataset.json: post id -> annotators (label, annotator_id, target), rationales, post_tokens; "
    "post_id_divisions.json: split -> post ids",
    notes=(
        "The Hub's card of the data says cc-by-4.0; the repository's licence file is MIT.",
        "The statement is the tokens with a space between them.",
        "Rationales are published without their authors. They are given to the first annotators, in order, where "
        "exactly as many as there are rationales, and no others, did not say normal; else they are ratings of the "
        "question rationale by nobody in particular.",
        "The published split val is called validation; item ids keep val.",
        "The posts contain hate speech.",
    ),
)
FILES: Final = ("dataset.json", "post_id_divisions.json")
SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}  # as published: as stored
LABELS: Final = ("hatespeech", "offensive", "normal")
LABEL, TARGET, RATIONALE = "label", "target", "rationale"
_NORMAL: Final = "normal"
_NEEDED: Final = ("annotators", "rationales", "post_tokens")
_ITEM: Final = dict.fromkeys(("item_id", "source", "split", "statement", "extra"), ITEMS["statement"])
_RATING: Final = ("item_id", "annotator_id", "question", "rating_id", "value", "evidence")


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """The posts of the divisions as tables.

    Args:
        raw: The folder that holds both files, or whose only sub-folder with them does.
        set_name: There are no sets; must be empty.

    Returns:
        One item per post; per annotator a label, with evidence where it is certain whose it is, and a set of targets.

    Raises:
        SourceError: A file is absent or not in the layout, a label is unknown, or a post stands in two divisions.
    """
    if set_name:
        raise SourceError(f"{INFO.name} has no sets; found {quoted([f'{INFO.name}:{set_name}'])}, wanted hatexplain.")
    found = folders_with(raw, lambda name: name in FILES, what=" and ".join(FILES))
    if len(found) > 1:
        raise SourceError(
            f"{raw}: found the files of HateXplain in several folders ({quoted(p.name for p in found)}); name one."
        )
    folder = next(iter(found))
    posts = _object(folder / FILES[0], "post id -> post")
    divisions = _divisions(folder / FILES[1])
    reader = _Reader()
    for published, split in SPLITS.items():
        for key, post in posts.items():
            if divisions.get(key) == published:
                reader.add(key, post, published, split, f"{folder / FILES[0]}: post {quoted([key])}")
    outside = [key for key in posts if key not in divisions]
    absent = [key for key in divisions if key not in posts]
    dropped = [
        Dropped(FILES[0], "the post is in no division", len(outside), examples(outside)),
        *reader.dropped(FILES[0]),
        Dropped(FILES[1], "there is no post of this id in dataset.json", len(absent), examples(absent)),
    ]
    annotations = reader.annotations()
    raters = annotations.select("annotator_id").unique().sort("annotator_id")
    return SourceTables(
        info=INFO,
        questions=conform(_questions(annotations), "questions", where=INFO.name),
        items=items_frame(pl.DataFrame(reader.items, schema=_ITEM)),
        annotations=annotations,
        raters=conform(raters, "raters", where=INFO.name),
        files=(raw_file(folder / FILES[0], rows=len(posts)), raw_file(folder / FILES[1], rows=len(divisions))),
        dropped=tuple(drop for drop in dropped if drop.count),
        repairs=tuple(reader.repairs()),
    )


def _object(path: Path, what: str) -> dict[str, Any]:
    document, _ = read_json(path, error=SourceError)
    if not isinstance(document, dict):
        raise SourceError(f"{path}: wanted an object {what}; found a {type(document).__name__}.")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as fault:
        raise SourceError(f"{path}: holds a text with half a surrogate pair (\\ud800...).") from fault
    return document


def _divisions(path: Path) -> dict[str, str]:
    """Post id -> split as published."""
    document = _object(path, "split -> list of post ids")
    if not set(document) <= set(SPLITS) or not all(isinstance(ids, list) for ids in document.values()):
        raise SourceError(f"{path}: wanted lists of post ids under {quoted(SPLITS)}; found {quoted(document)}.")
    split_of: dict[str, str] = {}
    for split, ids in document.items():
        for key in map(str, ids):
            if split_of.setdefault(key, split) != split:
                raise SourceError(f"{path}: post {quoted([key])} is in the divisions {split_of[key]} and {split}.")
    return split_of


def whose_rationales(labels: list[str], n_rationales: int) -> list[int]:
    """Which annotators, from 0, the rationales of a post are by, in order; none where that is not certain.

    The publishers list rationales either of all who did not say normal or of the first two annotators, and do not say
    which of the two. So the answer is certain only where both are the same people.

    Example:
        >>> whose_rationales(["hatespeech", "offensive", "normal"], 2)
        [0, 1]
        >>> whose_rationales(["normal", "offensive", "hatespeech"], 2)
        []
    """
    said = [k for k, label in enumerate(labels) if label != _NORMAL]
    return said if said == list(range(n_rationales)) and all(labels) else []


class _Reader:
    """Collects the rows of the posts."""

    def __init__(self) -> None:
        self.items: list[dict[str, object]] = []
        self._ratings: list[dict[str, object]] = []
        self._lost: dict[str, list[str]] = defaultdict(list)
        self._mended: dict[str, list[str]] = defaultdict(list)

    def add(self, key: str, post: object, published: str, split: str, where: str) -> None:
        """Take a post."""
        tokens, annotators, rationales = _checked(post, where)
        item_id = f"{INFO.name}:{published}:{key}"
        statement, units = joined_tokens(tokens)
        if not statement.strip():
            self._lost["the post has no tokens"].append(item_id)
            return
        self.items.append(
            {
                "item_id": item_id,
                "source": INFO.name,
                "split": split,
                "statement": statement,
                "extra": _extra(post, key),
            }
        )
        marks = []
        for mask in rationales:
            fault = mask_fault(mask, len(units))
            if fault:
                self._mended[f"a rationale is {fault} and is left out"].append(item_id)
            marks.append(None if fault else mask_evidence(mask, units))
        labels = [_label(one, where) for one in annotators]
        whose = whose_rationales(labels, len(marks))
        for number, (one, label) in enumerate(zip(annotators, labels, strict=True)):
            self._rate(one, label, item_id, number, marks[whose.index(number)] if number in whose else None)
        for number, evidence in enumerate(marks if not whose else [], start=1):
            if evidence is not None:
                self._put(item_id, UNKNOWN_ANNOTATOR, RATIONALE, f"r{number}", "", evidence)

    def _rate(
        self, one: Mapping[str, Any], label: str, item_id: str, number: int, evidence: list[dict[str, object]] | None
    ) -> None:
        """The label and the targets of one annotator."""
        given = one.get("annotator_id")
        annotator = UNKNOWN_ANNOTATOR if given is None or str(given).strip() == "" else str(given)
        if label:
            self._put(item_id, annotator, LABEL, str(number + 1), label, evidence)
        else:
            self._mended["an annotator gave no label"].append(item_id)
        targets = one.get("target") or []
        names = [str(name).strip() for name in (targets if isinstance(targets, list) else [targets])]
        for name in dict.fromkeys(name for name in names if name):
            self._put(item_id, annotator, TARGET, f"t{number + 1}", name, None)
        if len(set(names)) < len(names):
            self._mended["an annotator named a target twice; it counts once"].append(item_id)

    def _put(
        self,
        item_id: str,
        annotator: str,
        question: str,
        rating: str,
        value: str,
        evidence: list[dict[str, object]] | None,
    ) -> None:
        row = (item_id, f"{INFO.name}:{annotator}", question, f"{item_id}#{rating}", value, evidence)
        self._ratings.append(dict(zip(_RATING, row, strict=True)))

    def annotations(self) -> pl.DataFrame:
        """The table of that name."""
        schema = empty("annotations").schema
        rows = pl.DataFrame(self._ratings, schema={column: schema[column] for column in _RATING})
        return conform(rows, "annotations", where=INFO.name)

    def dropped(self, file: str) -> list[Dropped]:
        """The posts that are left out."""
        return [Dropped(file, why, len(ids), examples(ids)) for why, ids in self._lost.items()]

    def repairs(self) -> list[str]:
        """What was mended, how often and where."""
        return [
            f"{FILES[0]}: {what}: {len(ids)} time{'s' if len(ids) != 1 else ''} ({quoted(dict.fromkeys(ids), most=3)})"
            for what, ids in self._mended.items()
        ]


def _checked(post: object, where: str) -> tuple[list[str], list[dict[str, Any]], list[Any]]:
    """Tokens, annotators and rationales of a post."""
    if not isinstance(post, dict):
        raise SourceError(f"{where}: wanted an object; found a {type(post).__name__}.")
    if any(not isinstance(post.get(name), list) for name in _NEEDED):
        raise SourceError(f"{where}: wanted lists under {quoted(_NEEDED)}; found {quoted(post)}.")
    tokens, annotators, rationales = post["post_tokens"], post["annotators"], post["rationales"]
    if not all(isinstance(one, dict) and "label" in one for one in annotators):
        raise SourceError(f"{where}: wanted annotators as objects with label, annotator_id and target.")
    if not all(isinstance(one.get("annotator_id"), str | int | None) for one in annotators):
        odd = next(a["annotator_id"] for a in annotators if not isinstance(a.get("annotator_id"), str | int | None))
        raise SourceError(f"{where}: wanted a number or a text as annotator_id; found {quoted([str(odd)[:60]])}.")
    if not all(isinstance(token, str) for token in tokens):
        raise SourceError(f"{where}: wanted post_tokens as a list of texts.")
    return tokens, annotators, rationales


def _label(one: Mapping[str, Any], where: str) -> str:
    label = "" if one["label"] is None else str(one["label"]).strip().lower()
    if label and label not in LABELS:
        raise SourceError(f"{where}: wanted the labels {quoted(LABELS)}; found {quoted([one['label']])}.")
    return label


def _extra(post: object, key: str) -> str:
    """What is published beside the layout, and the post's own id where it is not its key."""
    known = {*_NEEDED, "post_id"}
    kept = {name: value for name, value in post.items() if name not in known} if isinstance(post, dict) else {}
    own = post.get("post_id") if isinstance(post, dict) else None
    return json_text(kept | ({"post_id": own} if own not in (None, key) else {}))


def _questions(annotations: pl.DataFrame) -> pl.DataFrame:
    named = annotations.filter(pl.col("question") == TARGET)["value"].unique().sort()
    rows = [
        (LABEL, "nominal", list(LABELS), "Is the post hate speech, offensive or normal?"),
        (TARGET, "set", named.to_list(), "Which groups of people does the post target?"),
        (RATIONALE, "span", [], "Which words of the post made it hate speech or offensive?"),
    ]
    schema = pl.Schema(
        {"question": pl.String(), "kind": pl.String(), "options": pl.List(pl.String()), "wording": pl.String()}
    )
    return pl.DataFrame(rows, schema=schema, orient="row")
