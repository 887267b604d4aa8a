"""ETHICS: everyday morals (commonsense) and reasonable or unreasonable reasons (justice), one label per text.

Layout: ``cm_train.csv, cm_test.csv, cm_test_hard.csv`` with the columns ``label, input, is_short, edited`` and
``justice_train.csv, justice_test.csv, justice_test_hard.csv`` with ``label, scenario``; comma-separated UTF-8. Any of
these files may be absent, and ``cm_test_short.csv`` (the short rows of ``cm_test.csv``) may stand for its split. The
two sets have **opposite polarity**: in commonsense 1 is wrong, in justice 1 is reasonable. Invented lines of each::

    1,I kept the purse that the old man had dropped.,True,False
    0,I usually walk my aunt's dog but I didn't today because it has a red collar.

Warts: no row has an id, so the zero-based row in its file is the key; long texts (posts of a forum) hold line breaks
and begin with their title and " | "; who gave the labels is not told; ``cm_ambig.csv`` has neither a header nor labels
and is not read; rows that belong together (two minimally different commonsense texts, about four justice texts with a
shared beginning or end) are not marked, they stand one after the other.
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
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    items_frame,
    raw_file,
)
from dfar_toolkit.sources.split_files import chosen_set, split_files
from dfar_toolkit.tables import conform, empty
from dfar_toolkit.tabular import quoted, read_table

INFO: Final = SourceInfo(
    name="ethics",
    title="ETHICS",
    licence="mit",
    homepage="https://github.com/hendrycks/ethics",
    citation="Aligning AI With Shared Human Values. ICLR 2021. arXiv:2008.02275.",
    layout="cm_SPLIT.csv: label, input, is_short, edited; justice_SPLIT.csv: label, scenario (train, test, test_hard)",
    sets=("commonsense", "commonsense-short", "commonsense-long", "justice"),
    notes=("One published label per text; who gave it is not told, so agreement cannot be computed.",),
)
SPLITS: Final = {"train": "train", "test": "test", "test_hard": "test.hard"}
ALIKE: Final = 0.6  # shared words of neighbouring rows from which they belong together
# Of pairs of rows drawn from far apart about 1 in 6,500 (commonsense) and 1 in 1,400 (justice) are as alike.
_ROWS: Final = {
    "cm_test.csv": 3885,
    "cm_test_hard.csv": 3964,
    "cm_test_short.csv": 2109,
    "justice_train.csv": 21791,
    "justice_test.csv": 2704,
    "justice_test_hard.csv": 2052,
}
_FILE: Final = re.compile(r"(cm|justice)_(train|test_hard|test)(_short)?\.csv")
_AMBIGUOUS: Final = "cm_ambig.csv"
_SHORT: Final = "-short"


class _Asked(NamedTuple):
    """What a set asks, and the column of its texts."""

    prefix: str
    question: str
    options: tuple[str, str]
    wording: str
    text: str
    beside: tuple[str, ...]


SETS: Final = {
    "commonsense": _Asked(
        "cm",
        "acceptable",
        ("acceptable", "wrong"),
        "By common moral standards, is what the writer does acceptable or wrong?",
        "input",
        ("is_short", "edited"),
    ),
    "justice": _Asked(
        "justice",
        "reasonable",
        ("unreasonable", "reasonable"),
        "Is what the writer does or claims unreasonable or reasonable, for the reason that the text gives?",
        "scenario",
        (),
    ),
}


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """One set of ETHICS as tables.

    Args:
        raw: The folder with the files, or one whose sub-folders hold them.
        set_name: ``commonsense``, ``commonsense-short``, ``commonsense-long`` or ``justice``; may be left out if the
            files are of one of the two.

    Returns:
        One item and one target per row. Rows without a text or a label, and those of the other length, are counted in
        ``dropped``. The ids do not depend on the length asked for; those of a file of short texts begin with
        ``ethics.commonsense-short``, since its rows have other numbers than in the whole file.

    Raises:
        SourceError: No such set or file, or a label that is neither 0 nor 1.
    """
    what = "cm_SPLIT.csv or justice_SPLIT.csv (SPLIT: train, test, test_hard)"
    files = split_files(raw, _set_and_split, what=what, splits=list(SPLITS.values()))
    name = chosen_set(raw, set_name, source=INFO.name, sets=INFO.sets, present=files)
    theme, _, length = name.partition("-")
    if theme not in files:
        wanted = SETS[theme].prefix
        raise SourceError(
            f"{raw}: wanted the files {wanted}_SPLIT.csv of the set {theme}; found those of {quoted(files)}."
        )
    parts = [_read_split(path, split, theme, length) for split, path in files[theme].items()]
    rows = pl.concat((part.rows for part in parts), how="diagonal")
    repairs = [said for part in parts for said in part.said]
    if theme == "commonsense" and any((path.parent / _AMBIGUOUS).is_file() for path in files[theme].values()):
        repairs.append(f"{_AMBIGUOUS}: is not read; its texts have no labels, they are those people disagreed about")
    asked, source = SETS[theme], f"{INFO.name}.{theme}"
    question = {
        "question": [asked.question],
        "kind": ["nominal"],
        "options": [list(asked.options)],
        "wording": [asked.wording],
    }
    targets = rows.select(
        "item_id", "label", question=pl.lit(asked.question), n_ratings=pl.lit(0), method=pl.lit("published label")
    )
    return SourceTables(
        info=_info(name, asked),
        questions=conform(pl.DataFrame(question), "questions", where=source),
        items=items_frame(rows),
        annotations=empty("annotations"),
        raters=empty("raters"),
        files=tuple(part.file for part in parts),
        dropped=tuple(drop for part in parts for drop in part.drops),
        repairs=tuple(repairs),
        targets=conform(targets, "targets", where=source),
    )


def stem(text: pl.Expr) -> pl.Expr:
    """The text before the first "because" or "since", in lower case and with single spaces; null where there is none.

    Example:
        >>> frame = pl.DataFrame({"t": ["I stopped, because: He left.", "I  stopped since he left.", "I stopped."]})
        >>> frame.select(stem(pl.col("t"))).rows()
        [('i stopped',), ('i stopped',), (None,)]
    """
    plain = text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return plain.str.extract(r"^(.+?)[,;:.]? (?:because|since)[,:]? ", 1)


def runs_alike(text: pl.Expr, *, among: pl.Expr | None = None) -> pl.Expr:
    """Number of the run of neighbouring rows that share most words; null for a row that is like neither neighbour.

    Likeness of neighbours is 2 |a & b| / (|a| + |b|), a and b their sets of words; from ``ALIKE`` on they are one run.

    Args:
        text: The texts in the order of the file.
        among: Rows that may be in a run; all by default.

    Returns:
        Row number of the run's first row.

    Example:
        >>> frame = pl.DataFrame({"t": ["I fed the cat.", "I fed the cat glue.", "We slept."]})
        >>> frame.select(runs_alike(pl.col("t"))).to_series().to_list()
        [0, 0, None]
    """
    words = text.str.to_lowercase().str.extract_all(r"[\p{L}\p{M}\p{N}']+").list.unique()
    shared = words.list.set_intersection(words.shift(1)).list.len()
    both = words.list.len() + words.list.len().shift(1)
    alike = (2 * shared / both >= ALIKE) & (both > 0)  # texts without words are not alike
    allowed = pl.lit(True) if among is None else among & among.shift(1)
    follows = (alike & allowed).fill_null(False)
    row = pl.int_range(pl.len())
    first = pl.when(~follows).then(row).forward_fill()
    return pl.when(follows | follows.shift(-1, fill_value=False)).then(first)


class _Part(NamedTuple):
    rows: pl.DataFrame
    file: RawFile
    drops: list[Dropped]
    said: list[str]


def _set_and_split(name: str) -> tuple[str, str] | None:
    match = _FILE.fullmatch(name)
    if match is None or (match[1] == "justice" and match[3]):
        return None
    return ("commonsense" if match[1] == "cm" else "justice"), SPLITS[match[2]]


def _read_split(path: Path, split: str, theme: str, length: str) -> _Part:
    asked, source = SETS[theme], f"{INFO.name}.{theme}"
    table = read_table(path, columns=("label", asked.text, *asked.beside), error=SourceError)
    key = pl.int_range(pl.len()).cast(pl.String).str.zfill(5)
    # Rows of a file of short texts have other numbers than in the whole file: their ids must not meet.
    first = pl.lit(f"{source}{_SHORT if path.stem.endswith('_short') else ''}:{split}:")
    flags = [_flag(table, column, path) for column in asked.beside]
    table = table.with_columns(flags)
    beside = [name for name in table.columns if name not in ("label", asked.text)]
    short = pl.col("is_short") if asked.beside else None
    run = runs_alike(pl.col(asked.text), among=short)
    rows = table.select(
        item_id=first + key,
        source=pl.lit(source),
        split=pl.lit(split),
        statement=asked.text,
        stem=stem(pl.col(asked.text)) if theme == "justice" else pl.lit(None, dtype=pl.String),
        contrast_key=first + run.cast(pl.String).str.zfill(5),
        extra=pl.struct(beside).struct.json_encode() if beside else pl.lit("{}"),
        published=pl.col("label").str.strip_chars().fill_null(""),
        is_short=pl.lit(True) if short is None else short,
    )
    unwanted = {
        "the text is empty": pl.col("statement").fill_null("").str.strip_chars() == "",
        "the label is empty": pl.col("published") == "",
    }
    if length:
        other = {"short": "long", "long": "short"}[length]
        unwanted[f"the text is {other}, the set is {theme}-{length}"] = pl.col("is_short") != (length == "short")
    drops = []
    for why, is_lost in unwanted.items():
        lost = rows.filter(is_lost)
        if lost.height:
            drops.append(Dropped(path.name, why, lost.height, examples(lost["item_id"])))
        rows = rows.filter(~is_lost)
    _check_labels(rows, path, asked)
    rows = rows.with_columns(label=pl.col("published").replace_strict(dict(zip("01", asked.options, strict=True))))
    said, n = [], _ROWS.get(path.name, table.height)
    if n != table.height:
        said.append(f"{path.name}: has {table.height} rows, the published file has {n}")
    return _Part(rows, raw_file(path, rows=table.height), drops, said)


def _flag(table: pl.DataFrame, column: str, path: Path) -> pl.Series:
    """A column of True and False, in any case, as truth values."""
    texts = table[column].fill_null("").str.strip_chars().str.to_lowercase()
    odd = texts.filter(~texts.is_in(["true", "false"])).unique().sort()
    if len(odd):
        raise SourceError(
            f"{path}: wanted True or False in the column {quoted([column])}; found {quoted(odd, most=5)}."
        )
    return (texts == "true").alias(column)


def _check_labels(rows: pl.DataFrame, path: Path, asked: _Asked) -> None:
    unknown = rows.filter(~pl.col("published").is_in(["0", "1"]))
    if unknown.height:
        keys = quoted(unknown["item_id"].str.split(":").list.last(), most=5)
        no, yes = asked.options
        raise SourceError(
            f"{path}: wanted the labels 0 ({no}) or 1 ({yes}); found "
            f"{quoted(unknown['published'].unique().sort(), most=5)} in {unknown.height} "
            f"row{'s' if unknown.height != 1 else ''} (zero-based {keys})."
        )


def _info(name: str, asked: _Asked) -> SourceInfo:
    no, yes = asked.options
    shared = "rows that follow one another and share most of their words are one contrast group"
    if asked.prefix == "cm":
        said = f"Commonsense: short {shared}; long texts, edited ones too, are grouped only as near-duplicates."
        polarity = "opposite to the set justice, where 1 is the good side"
    else:
        said = f'Justice: texts that are equal up to "because" or "since" share a stem, and {shared}.'
        polarity = "opposite to the set commonsense, where 1 is the bad side"
    return replace(
        INFO,
        name=f"{INFO.name}.{name}",
        title=f"ETHICS ({name})",
        notes=(*INFO.notes, f"Published values: 0 = {no}, 1 = {yes} ({polarity}).", said),
    )
