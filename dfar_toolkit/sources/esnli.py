"""e-SNLI: sentence pairs of SNLI with the reasons people wrote and the words they marked (2018).

Layout: ``esnli_train_1.csv``, ``esnli_train_2.csv``, ``esnli_dev.csv``, ``esnli_test.csv``, comma-separated UTF-8 with
``pairID, gold_label, Sentence1, Sentence2, Explanation_1, Sentence1_marked_1, Sentence2_marked_1`` and, in dev and
test, the same for ``_2`` and ``_3``; in train also ``WorkerId``, who wrote the first. An invented line::

    9#1r1n,neutral,A man sits.,A man rests outside.,Sitting may be inside.,w7,A man sits.,A man *rests* *outside.*

Warts: marks are stars around single words, punctuation included, so in ``*a* b *c*`` the word b is not marked, and a
star may belong to the text; a marked text may be another one than its sentence; the columns ``Sentence*_Highlighted_*``
are not to be used, by the authors' word; gold_label may be "-" or empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.esnli_marks import NO_SPANS, starred_words
from dfar_toolkit.sources.layout import (
    Dropped,
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    folders_with,
    items_frame,
    raw_file,
)
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform
from dfar_toolkit.tabular import quoted, read_table

# Zero-based rows of the dev file whose annotation others found to be wrong.
WRONG_DEV_ROWS: Final = (262, 1572, 1642, 2041, 5317, 5779, 5780, 5918, 6973, 7940, 9233, 9305)
INFO: Final = SourceInfo(
    name="esnli",
    title="e-SNLI",
    licence="mit",
    homepage="https://github.com/OanaMariaCamburu/e-SNLI",
    citation="e-SNLI: Natural Language Inference with Natural Language Explanations. NeurIPS 2018. arXiv:1812.01193.",
    layout="esnli_train_1.csv, esnli_train_2.csv, esnli_dev.csv, esnli_test.csv: a pair of sentences, its gold label, "
    "explanations and starred words",
    notes=(
        "The statement is Sentence2 (the hypothesis), its context Sentence1 (the premise).",
        "Nobody's own label is published: each annotation repeats the gold label, for which its author wrote a reason, "
        "so counts of labels are counts of reasons and agreement on labels cannot be computed.",
        "Only the author of a first explanation may be named; the order of the others tells no persons apart.",
        "Evidence is the starred words of Sentence*_marked_*, neighbours joined; null where a marked text is missing "
        "or is not its sentence. Sentence*_Highlighted_* is left out.",
        f"Rows {', '.join(map(str, WRONG_DEV_ROWS))} of the published dev file (row in extra, from 0) are known to be "
        "wrongly annotated; they are kept.",
    ),
)
FILES: Final = {
    "esnli_train_1.csv": "train",
    "esnli_train_2.csv": "train",
    "esnli_dev.csv": "dev",
    "esnli_test.csv": "test",
}
LABELS: Final = ("entailment", "neutral", "contradiction")
QUESTION: Final = "nli"
_SLOTS: Final = (1, 2, 3)
_FIRST: Final = ("pairID", "gold_label", "Sentence1", "Sentence2")


class _Part(NamedTuple):
    items: pl.DataFrame
    annotations: pl.DataFrame
    file: RawFile
    dropped: list[Dropped]
    repairs: list[str]
    nameless: bool  # a file of train, which should name who wrote


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """The published files as tables; those that are there.

    Args:
        raw: The folder that holds the files, or whose only sub-folder with such files does.
        set_name: There are no sets; must be empty.

    Returns:
        One item per row and one annotation per explanation; rows without a label or a sentence are counted.

    Raises:
        SourceError: No file is there, one is not in the layout, a label is unknown, or a pairID is empty or repeated.
    """
    if set_name:
        raise SourceError(f"{INFO.name} has no sets; found {quoted([f'{INFO.name}:{set_name}'])}, wanted esnli.")
    found = folders_with(raw, lambda name: name in FILES, what=", ".join(FILES))
    if len(found) > 1:
        raise SourceError(
            f"{raw}: found the files of e-SNLI in several folders ({quoted(p.name for p in found)}); name one."
        )
    folder, paths = next(iter(found.items()))
    present = {path.name for path in paths}
    parts = [_read_file(folder / name, split) for name, split in FILES.items() if name in present]
    items = pl.concat([part.items for part in parts])
    _check_unique(items, folder)
    train = [name for name, split in FILES.items() if split == "train"]
    half = [name for name in train if name not in present]
    said = [f"{half[0]}: not here, so train is the other half alone"] if len(half) == 1 else []
    said += [f"{part.file.name}: has no column WorkerId, so nobody is named" for part in parts if part.nameless]
    annotations = pl.concat([part.annotations for part in parts])
    question = {
        "question": [QUESTION],
        "kind": ["nominal"],
        "options": [list(LABELS)],
        "wording": [
            "Given the premise, is the statement true (entailment), false (contradiction) or neither, and why?"
        ],
    }
    return SourceTables(
        info=INFO,
        questions=conform(pl.DataFrame(question), "questions", where=INFO.name),
        items=items_frame(items),
        annotations=conform(annotations, "annotations", where=INFO.name),
        raters=conform(annotations.select("annotator_id").unique().sort("annotator_id"), "raters", where=INFO.name),
        files=tuple(part.file for part in parts),
        dropped=tuple(drop for part in parts for drop in part.dropped),
        repairs=(*said, *(repair for part in parts for repair in part.repairs)),
    )


def _read_file(path: Path, split: str) -> _Part:
    table = read_table(path, columns=[*_FIRST, *_slot_columns(1)], error=SourceError)
    table = table.rename({name: f"published_{name}" for name in ("row", "item_id") if name in table.columns})
    slots = _slots(table, path)
    taken = {*_FIRST, "WorkerId", *(name for slot in slots for name in _slot_columns(slot))}
    beside = [c for c in table.columns if c not in taken and "_Highlighted_" not in c]
    rows = table.with_row_index("row").with_columns(
        pl.col("pairID").str.strip_chars(),
        pl.col("gold_label").str.strip_chars().replace("-", ""),
        item_id=pl.lit(f"{INFO.name}:{split}:") + pl.col("pairID").str.strip_chars(),
    )
    _check_keys(rows, path)
    rows, dropped = _without_gaps(rows, path)
    _check_labels(rows, path)
    premise = pl.struct(field=pl.lit("premise"), role=pl.lit("premise"), text=pl.col("Sentence1"))
    items = rows.select(
        "item_id",
        source=pl.lit(INFO.name),
        split=pl.lit(split),
        statement="Sentence2",
        context=pl.concat_list(premise),
        context_key="Sentence1",
        extra=pl.struct("row", *beside).struct.json_encode(),
    )
    annotations, repairs = _annotations(rows, slots, path)
    nameless = split == "train" and "WorkerId" not in table.columns
    return _Part(items, annotations, raw_file(path, rows=table.height), dropped, repairs, nameless)


def _slot_columns(slot: int) -> tuple[str, str, str]:
    return f"Explanation_{slot}", f"Sentence1_marked_{slot}", f"Sentence2_marked_{slot}"


def _slots(table: pl.DataFrame, path: Path) -> list[int]:
    """Which explanations the file has; of each all three columns, or none."""
    found = []
    for slot in _SLOTS:
        columns = _slot_columns(slot)
        lost = [name for name in columns if name not in table.columns]
        if not lost:
            found.append(slot)
        elif len(lost) < len(columns):
            raise SourceError(
                f"{path}: wanted the columns {quoted(columns)} together; {quoted(lost)} "
                f"{'is' if len(lost) == 1 else 'are'} not there; found {quoted(table.columns)}."
            )
    return found


def _check_keys(rows: pl.DataFrame, path: Path) -> None:
    bare = rows.filter(pl.col("pairID").fill_null("") == "")
    if bare.height:
        raise SourceError(
            f"{path}: wanted a pairID in every row; it is empty in {bare.height} (zero-based {quoted(bare['row'])})."
        )


def _check_unique(items: pl.DataFrame, folder: Path) -> None:
    twice = items.filter(pl.col("item_id").is_duplicated())["item_id"].unique(maintain_order=True)
    if twice.len():
        raise SourceError(
            f"{folder}: wanted each pairID once per split; {twice.len()} stand there more than once "
            f"({quoted(twice, most=3)}). Is a file there twice?"
        )


def _without_gaps(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[Dropped]]:
    empty = {
        "the gold label is - or empty": "gold_label",
        "the premise (Sentence1) is empty": "Sentence1",
        "the hypothesis (Sentence2) is empty": "Sentence2",
    }
    dropped = []
    for why, column in empty.items():
        is_empty = _blank(column)
        lost = rows.filter(is_empty)
        if lost.height:
            dropped.append(Dropped(path.name, why, lost.height, examples(lost["item_id"])))
            rows = rows.filter(~is_empty)
    return rows, dropped


def _check_labels(rows: pl.DataFrame, path: Path) -> None:
    unknown = rows.filter(~pl.col("gold_label").is_in(LABELS))
    if unknown.height:
        raise SourceError(
            f"{path}: wanted the gold labels {quoted(LABELS)}; found {quoted(unknown['gold_label'].unique().sort())} "
            f"in {unknown.height} row{'s' if unknown.height != 1 else ''} (zero-based "
            f"{quoted(unknown['row'], most=5)})."
        )


def _annotations(rows: pl.DataFrame, slots: list[int], path: Path) -> tuple[pl.DataFrame, list[str]]:
    """One row per explanation; a row of the file that has none keeps its label, by nobody."""
    unknown = f"{INFO.name}:{UNKNOWN_ANNOTATOR}"
    if "WorkerId" not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias("WorkerId"))
    named = pl.when(~_blank("WorkerId")).then(pl.lit(f"{INFO.name}:") + pl.col("WorkerId").str.strip_chars())
    given = {slot: ~pl.all_horizontal(_blank(name) for name in _slot_columns(slot)) for slot in slots}
    parts, faults = [], []
    for slot in slots:
        here = given[slot]
        if slot == 1:  # so that the label is not lost
            here = here | ~pl.any_horizontal(given[other] for other in slots)
        chosen = rows.filter(here)
        evidence, wrong = _evidence(chosen, slot)
        faults += [f"{item_id}#{slot}" for item_id in wrong]
        parts.append(
            chosen.select(
                "item_id",
                annotator_id=named.otherwise(pl.lit(unknown)) if slot == 1 else pl.lit(unknown),
                question=pl.lit(QUESTION),
                rating_id=pl.col("item_id") + f"#{slot}",
                value="gold_label",
                reason=pl.when(~_blank(f"Explanation_{slot}")).then(f"Explanation_{slot}"),
                evidence=evidence,
            )
        )
    bare = rows.filter(pl.all_horizontal(_blank(f"Explanation_{slot}") for slot in slots))["item_id"].to_list()
    said = {
        "a marked text is missing or is not its sentence with stars, so the evidence is unknown": faults,
        "a row has no explanation": bare,
    }
    repairs = [
        f"{path.name}: {what}: {len(ids)} time{'s' if len(ids) != 1 else ''} ({quoted(ids, most=3)})"
        for what, ids in said.items()
        if ids
    ]
    return pl.concat(parts), repairs


def _evidence(rows: pl.DataFrame, slot: int) -> tuple[pl.Series, list[str]]:
    """The marked spans of both sentences, null where not known, and the items where a marked text is at fault."""
    _, first, second = _slot_columns(slot)
    frame = rows.select(
        "item_id",
        premise=starred_words(rows["Sentence1"], rows[first], field="premise"),
        statement=starred_words(rows["Sentence2"], rows[second], field="statement"),
        absent=_blank(first) & _blank(second),
    )
    lost = pl.col("premise").is_null() | pl.col("statement").is_null()
    both = pl.concat_list("premise", "statement")
    evidence = frame.select(pl.when(~lost).then(both).cast(NO_SPANS).alias("evidence")).to_series()
    return evidence, frame.filter(lost & ~pl.col("absent"))["item_id"].to_list()


def _blank(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars() == ""
