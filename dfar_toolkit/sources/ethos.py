"""ETHOS: hate speech in comments, as the mean vote of annotators who are not named.

Layout: ``Ethos_Dataset_Binary.csv`` (``comment;isHate``, 998 rows) and ``Ethos_Dataset_Multi_Label.csv`` (``comment``
and eight columns, 433 rows), separated by semicolons, UTF-8, every vote a mean between 0 and 1. Invented lines::

    They should all stay at home, the lot of them;0.75
    You are no better than your brother;0;1.0;0;0;0.166666667;0;0;0

Warts: the votes are means and the numbers of votes are not published, so there are shares but no counts; the authors
count 0.5 and more as hate speech, which in the binary file takes in 74 means of exactly 0.5 (17 % of the 433 positive
ones); there is one file per set and no split; the licence of the repository (GPL-3.0) and of the authors' copy on the
Hub (AGPL-3.0) differ.
"""

from __future__ import annotations

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
from dfar_toolkit.tables import conform, empty
from dfar_toolkit.tabular import nearest, quoted, read_table

INFO: Final = SourceInfo(
    name="ethos",
    title="ETHOS",
    licence="gpl-3.0",
    homepage="https://github.com/intelligence-csd-auth-gr/Ethos-Hate-Speech-Dataset",
    citation="ETHOS: an Online Hate Speech Detection Dataset. Complex & Intelligent Systems, 2022. arXiv:2006.08328.",
    layout="Ethos_Dataset_Binary.csv, Ethos_Dataset_Multi_Label.csv: semicolons, mean votes between 0 and 1",
    sets=("binary", "multilabel"),
    notes=(
        "The votes are published as means: label_probs are known, how many people voted is not.",
        "The label is the authors' rule: a mean of 0.5 or more is the second option, ties included.",
        "Licence: GPL-3.0 in the repository, AGPL-3.0 on the authors' page on the Hub.",
    ),
)
SPLIT: Final = "train"
METHOD: Final = "published mean >= 0.5"


class _Asked(NamedTuple):
    """The question that a column answers."""

    question: str
    options: tuple[str, str]
    wording: str


def _about(question: str, what: str) -> _Asked:
    return _Asked(question, ("no", "yes"), f"Is the hate speech of the comment about {what}?")


FILES: Final = {"binary": "Ethos_Dataset_Binary.csv", "multilabel": "Ethos_Dataset_Multi_Label.csv"}
QUESTIONS: Final = {
    "binary": {
        "isHate": _Asked("hate_speech", ("no_hate_speech", "hate_speech"), "Is the comment hate speech?"),
    },
    "multilabel": {
        "violence": _Asked("violence", ("no", "yes"), "Does the comment call for violence?"),
        "directed_vs_generalized": _Asked(
            "directed_vs_generalized",
            ("generalized", "directed"),
            "Is the comment about a group in general or directed at a person?",
        ),
        "gender": _about("gender", "gender"),
        "race": _about("race", "race"),
        "national_origin": _about("national_origin", "national origin"),
        "disability": _about("disability", "disability"),
        "religion": _about("religion", "religion"),
        "sexual_orientation": _about("sexual_orientation", "sexual orientation"),
    },
}


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """One set of ETHOS as tables.

    Args:
        raw: The folder that holds the file, or whose only sub-folder with it does.
        set_name: ``binary`` (also where it is left out) or ``multilabel``.

    Returns:
        One item per comment, all of the split ``train``, and one target per question: label and shares. Comments
        without a text or without a vote are counted in ``dropped``.

    Raises:
        SourceError: No such set or file, or a vote that is no number between 0 and 1.
    """
    name = set_name.strip().lower() or "binary"
    if name not in FILES:
        raise SourceError(
            f"{INFO.name} has no set {quoted([set_name])}; known are {quoted(FILES)}.{nearest(name, FILES)}"
        )
    path = _file(raw, FILES[name])
    asked, source = QUESTIONS[name], f"{INFO.name}.{name}"
    table = read_table(path, separator=";", columns=("comment", *asked), error=SourceError)
    votes = [_votes(table, column, path) for column in asked]
    key = pl.int_range(pl.len()).cast(pl.String).str.zfill(5)
    beside = [column for column in table.columns if column not in ("comment", *asked)]
    rows = table.with_columns(votes).select(
        *asked,
        item_id=pl.lit(f"{source}:{SPLIT}:") + key,
        source=pl.lit(source),
        split=pl.lit(SPLIT),
        statement="comment",
        extra=pl.struct(beside).struct.json_encode() if beside else pl.lit("{}"),
    )
    rows, drops = _whole(rows, list(asked), path.name)
    questions = {
        "question": [a.question for a in asked.values()],
        "kind": ["nominal"] * len(asked),
        "options": [list(a.options) for a in asked.values()],
        "wording": [a.wording for a in asked.values()],
    }
    return SourceTables(
        info=_info(name),
        questions=conform(pl.DataFrame(questions), "questions", where=source),
        items=items_frame(rows),
        annotations=empty("annotations"),
        raters=empty("raters"),
        files=(raw_file(path, rows=table.height),),
        dropped=tuple(drops),
        repairs=tuple(_ties(rows, column, a, path.name) for column, a in asked.items()),
        targets=conform(
            pl.concat(_targets(rows, column, a) for column, a in asked.items()).sort("item_id", maintain_order=True),
            "targets",
            where=source,
        ),
    )


def _file(raw: Path, name: str) -> Path:
    found = folders_with(raw, lambda there: there == name, what=name)
    if len(found) > 1:
        raise SourceError(f"{raw}: found {name} in several folders ({quoted(p.name for p in found)}); name one.")
    return next(iter(found.values()))[0]


def _votes(table: pl.DataFrame, column: str, path: Path) -> pl.Series:
    """A column of means as numbers; an empty cell is null."""
    texts = table[column].str.strip_chars()
    numbers = texts.cast(pl.Float64, strict=False)
    fine = (numbers >= 0) & (numbers <= 1)
    odd = texts.filter((texts.fill_null("") != "") & ~fine.fill_null(False))
    if len(odd):
        comma = " Decimals need a point, not a comma." if odd.str.contains(",").any() else ""
        raise SourceError(
            f"{path}: wanted means of votes between 0 and 1 in the column {quoted([column])}; found "
            f"{quoted(odd.unique().sort(), most=5)} in {len(odd)} row{'s' if len(odd) != 1 else ''}.{comma}"
        )
    return numbers.alias(column)


def _whole(rows: pl.DataFrame, columns: list[str], file: str) -> tuple[pl.DataFrame, list[Dropped]]:
    drops = []
    unwanted = {
        "the comment is empty": pl.col("statement").fill_null("").str.strip_chars() == "",
        "a vote is empty": pl.any_horizontal(pl.col(columns).is_null()),
    }
    for why, is_lost in unwanted.items():
        lost = rows.filter(is_lost)
        if lost.height:
            drops.append(Dropped(file, why, lost.height, examples(lost["item_id"])))
        rows = rows.filter(~is_lost)
    return rows, drops


def _targets(rows: pl.DataFrame, column: str, asked: _Asked) -> pl.DataFrame:
    no, yes = asked.options
    share = pl.col(column)
    return rows.select(
        "item_id",
        question=pl.lit(asked.question),
        label=pl.when(share >= 0.5).then(pl.lit(yes)).otherwise(pl.lit(no)),
        label_probs=pl.concat_list(1 - share, share),
        n_ratings=pl.lit(0),
        method=pl.lit(METHOD),
    )


def _ties(rows: pl.DataFrame, column: str, asked: _Asked, file: str) -> str:
    """How many labels the rule for ties decides, in a sentence."""
    share = rows[column]
    ties, positive = int((share == 0.5).sum()), int((share >= 0.5).sum())
    return (
        f'{file}: {asked.question}: {positive} of {rows.height} are "{asked.options[1]}" by the rule >= 0.5; '
        f"{ties} of them are ties at exactly 0.5 ({positive - ties} by > 0.5)"
    )


def _info(name: str) -> SourceInfo:
    pairs = [f"{column}: 0 = {a.options[0]}, 1 = {a.options[1]}" for column, a in QUESTIONS[name].items()]
    return replace(
        INFO,
        name=f"{INFO.name}.{name}",
        title=f"ETHOS ({name})",
        notes=(*INFO.notes, f"Published values: {'; '.join(pairs)}."),
    )
