"""DFAR: ethical or unethical, with the reason an annotator wrote ("Beyond Labels", 2024).

Layout: ``DFAR_trainset.csv`` (4,500 rows) and ``DFAR_testset.csv`` (500 rows), comma-separated UTF-8 with the columns
``Statement, Label, Reason``; 0 = ethical, 1 = unethical. An invented line in that form::

    I kept the seat warm for my friend because she asked me to.,0,"Keeping a seat for a friend, who asked, is kind."

Warts: the test file begins with a byte-order mark; no row has an id, so the zero-based row in its file is the key;
one reason per statement by an annotator who is not named; 189 statements of the test file stand in the training file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import SourceError
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

INFO: Final = SourceInfo(
    name="dfar",
    title="DFAR (Dataset for Fine-tuning AI with Reasoning)",
    licence="mit",
    homepage="https://github.com/apurba-nsu-rnd-lab/DFAR",
    citation=("Beyond Labels: Aligning Large Language Models with Human-like Reasoning. ICPR 2024. arXiv:2408.11879."),
    layout="DFAR_trainset.csv and DFAR_testset.csv: Statement, Label (0 ethical, 1 unethical), Reason",
    notes=(
        "One label and one reason per statement; the annotators (12 by the authors' account) are not told apart, so "
        "agreement between them cannot be computed.",
        "Published values: 0 = ethical, 1 = unethical.",
        "Many statements come from ETHICS (MIT).",
    ),
)
FILES: Final = {"train": "DFAR_trainset.csv", "test": "DFAR_testset.csv"}
LABELS: Final = {"0": "ethical", "1": "unethical"}
QUESTION: Final = "ethical"
_COLUMNS: Final = ("Statement", "Label", "Reason")


def read(raw: Path) -> SourceTables:
    """The two published files as tables.

    Args:
        raw: The folder that holds both files, or whose only sub-folder with such files does.

    Returns:
        One item and one annotation per row; rows without a statement or a label are counted in ``dropped``.

    Raises:
        SourceError: A file is absent or unreadable, or a label is neither 0 nor 1.
    """
    found = folders_with(raw, lambda name: name in FILES.values(), what=" and ".join(FILES.values()))
    if len(found) > 1:
        raise SourceError(
            f"{raw}: found the files of DFAR in several folders ({quoted(p.name for p in found)}); name one."
        )
    folder = next(iter(found))
    parts = [_read_split(folder / name, split) for split, name in FILES.items()]
    rows = pl.concat(part for part, _, _ in parts)
    question = {
        "question": [QUESTION],
        "kind": ["nominal"],
        "options": [list(LABELS.values())],
        "wording": ["Is what the statement says or does ethical or unethical, and why?"],
    }
    return SourceTables(
        info=INFO,
        questions=conform(pl.DataFrame(question), "questions", where=INFO.name),
        items=items_frame(rows),
        annotations=conform(_annotations(rows), "annotations", where=INFO.name),
        raters=conform(rows.select("annotator_id").unique().sort("annotator_id"), "raters", where=INFO.name),
        files=tuple(file for _, file, _ in parts),
        dropped=tuple(drop for _, _, drops in parts for drop in drops),
    )


def stem(statement: pl.Expr) -> pl.Expr:
    """The text before " because ", in lower case and with single spaces; null where there is none.

    Example:
        >>> frame = pl.DataFrame({"t": ["I deserve  it Because I paid.", "I paid."]})
        >>> frame.select(stem(pl.col("t"))).rows()
        [('i deserve it',), (None,)]
    """
    plain = statement.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return plain.str.extract(r"^(.+?),? because ", 1)


def _read_split(path: Path, split: str) -> tuple[pl.DataFrame, RawFile, list[Dropped]]:
    table = read_table(path, columns=_COLUMNS, error=SourceError)
    beside = [name for name in table.columns if name not in _COLUMNS]
    key = pl.int_range(pl.len()).cast(pl.String).str.zfill(5)
    rows = table.select(
        item_id=pl.lit(f"{INFO.name}:{split}:") + key,
        source=pl.lit(INFO.name),
        split=pl.lit(split),
        statement="Statement",
        stem=stem(pl.col("Statement")),
        extra=pl.struct(beside).struct.json_encode() if beside else pl.lit("{}"),
        label=pl.col("Label").str.strip_chars(),
        reason=pl.when(pl.col("Reason").str.strip_chars() != "").then("Reason"),
        annotator_id=pl.lit(f"{INFO.name}:{UNKNOWN_ANNOTATOR}"),
    )
    empty = {
        "the statement is empty": pl.col("statement").fill_null("").str.strip_chars() == "",
        "the label is empty": pl.col("label").fill_null("") == "",
    }
    drops = []
    for why, is_empty in empty.items():
        lost = rows.filter(is_empty)
        if lost.height:
            drops.append(Dropped(path.name, why, lost.height, examples(lost["item_id"])))
        rows = rows.filter(~is_empty)
    _check_labels(rows, path)
    return rows, raw_file(path, rows=table.height), drops


def _check_labels(rows: pl.DataFrame, path: Path) -> None:
    unknown = rows.filter(~pl.col("label").is_in(list(LABELS)))
    if unknown.height:
        keys = quoted(unknown["item_id"].str.split(":").list.last(), most=5)
        raise SourceError(
            f"{path}: wanted the labels 0 (ethical) or 1 (unethical); found {quoted(unknown['label'].unique().sort())} "
            f"in {unknown.height} row{'s' if unknown.height != 1 else ''} (zero-based {keys})."
        )


def _annotations(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "item_id",
        "annotator_id",
        question=pl.lit(QUESTION),
        rating_id=pl.col("item_id") + "#1",
        value=pl.col("label").replace_strict(LABELS),
        reason="reason",
    )
