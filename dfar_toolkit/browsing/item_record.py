"""Everything about one item, read from the files it stands in: only the row groups that can hold its id are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_columns import reason
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.run_columns import RunFile, first_answers, is_answer
from dfar_toolkit.browsing.word_rationales import WordRationale, word_rationales
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.items import config_options
from dfar_toolkit.tables import of_config

_EVERY_ROW: Final = 2000  # rows of one item and run that are read; an explained run has some hundreds


class RunRecord(NamedTuple):
    """What one run holds about an item.

    ``answer`` is the row that counts, None where there is none; ``samples`` the further rows that answer the primary
    question for nobody in particular; ``annotators`` those about one annotator each; ``rationales`` words with
    scores by method; ``steps`` the predictions on edited inputs (method, condition, operator, k, draw, then the
    answer); ``other`` the rest: other questions, tests of reasons.
    """

    run: str
    state: str
    answer: dict[str, Any] | None
    samples: pl.DataFrame
    annotators: pl.DataFrame
    rationales: tuple[WordRationale, ...]
    steps: pl.DataFrame
    other: pl.DataFrame


class ItemRecord(NamedTuple):
    """One item whole.

    ``item`` has the columns of the items' file but for ``reasons``, the label by name; ``annotations`` every rating of
    every question, with what is known about the annotator beside it; ``judgements`` the verdicts on reasons about the
    item, human ones too; ``problems`` what could not be read.
    """

    row: int
    item: dict[str, Any]
    annotations: pl.DataFrame
    runs: tuple[RunRecord, ...]
    judgements: pl.DataFrame
    problems: tuple[str, ...]


def item_record(index: ItemIndex, row: int) -> ItemRecord:
    """Everything about the item at a row of the index.

    Args:
        index: The items.
        row: Its row, as :meth:`ItemIndex.row_of` finds it by id.

    Raises:
        ValueError: There is no such row.
    """
    if not 0 <= row < len(index):
        raise ValueError(f"item_record: wanted a row from 0 to {len(index) - 1}, found {row}")
    item_id = str(index.column("item_id")[row])
    problems: list[str] = []
    item = _item(index, row, item_id, problems)
    annotations = _annotations(index, item_id, problems)
    runs = tuple(_run(index, name, row, item, problems) for name in index.runs)
    judged = index.judgements()
    return ItemRecord(row, item, annotations, runs, judged.filter(pl.col("item_id") == item_id), tuple(problems))


def _item(index: ItemIndex, row: int, item_id: str, problems: list[str]) -> dict[str, Any]:
    """The item's own row; where its file has gone, what the index knows."""
    begin, known = 0, ["item_id", "source", "config", "split", "label", "leak_kind", "statement", "group"]
    for part in index.files.parts:
        if row < begin + part.n_rows:
            found = _rows(part.file, item_id, problems, without="reasons")
            if len(found):
                item = found.row(0, named=True)
                names = config_options(index.files.questions)[part.config]
                code = item.get("label")
                item["label"] = names[code] if isinstance(code, int) and 0 <= code < len(names) else None
                return item
            break
        begin += part.n_rows
    return {name: index.column(name)[row] for name in known}


def _rows(file: Path, item_id: str, problems: list[str], *, without: str = "") -> pl.DataFrame:
    """The rows of a parquet file about an item; none where it cannot be read."""
    try:
        found = pl.scan_parquet(file, glob=False).filter(pl.col("item_id") == item_id)
        return found.drop(without, strict=False).collect() if without else found.collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        problems.append(f"{file}: cannot be read ({reason(error)}).")
        return pl.DataFrame()


def _annotations(index: ItemIndex, item_id: str, problems: list[str]) -> pl.DataFrame:
    found = _rows(index.files.folder / "annotations.parquet", item_id, problems)
    if not len(found) or "annotator_id" not in found.columns:
        return found
    about = index.raters.unique("annotator_id", keep="first")
    beside = about.rename({name: f"{name} of the rater" for name in about.columns if name != "annotator_id"})
    return found.join(beside, on="annotator_id", how="left", maintain_order="left")


def _run(index: ItemIndex, run: str, row: int, item: dict[str, Any], problems: list[str]) -> RunRecord:
    rows = _rows_of_run(index.run_files[run], run, str(item["item_id"]), problems)
    state = str(index.column(f"state {run}")[row])
    if not len(rows):
        return RunRecord(run, state, None, rows, rows, (), rows, rows)
    questions = index.files.questions
    question = _config(item).select(of_config(questions)).item()
    primary = pl.col("question") == question
    answers = rows.filter(is_answer(questions), primary)
    first = first_answers(answers, "item_id").head(1) if len(answers) else answers
    named = (pl.col("condition") == "full") & (pl.col("annotator_id") != "") & primary
    explained = (pl.col("condition") == "rationale") & primary
    step = ~pl.col("condition").is_in(["full", "rationale"]) & primary & (pl.col("operator") != "")
    rest = rows.filter(~(is_answer(questions) & primary | named | explained | step))
    return RunRecord(
        run,
        state,
        first.row(0, named=True) if len(first) else None,
        answers.filter(~pl.col("output_id").is_in(first["output_id"].to_list())),
        rows.filter(named),
        word_rationales(rows.filter(explained), item),
        _steps(rows.filter(step)),
        rest,
    )


def _config(item: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame({"config": [item.get("config")]}, schema={"config": pl.String})


def _rows_of_run(file: RunFile, run: str, item_id: str, problems: list[str]) -> pl.DataFrame:
    wanted = (pl.col("item_id") == item_id) & (pl.col("run_id") == run)
    try:
        return file.scan().filter(wanted).head(_EVERY_ROW).collect()
    except (OSError, DfarError, pl.exceptions.PolarsError) as error:
        problems.append(f"{file.path}: cannot be read ({reason(error)}).")
        return pl.DataFrame()


def _steps(rows: pl.DataFrame) -> pl.DataFrame:
    """Predictions on edited inputs in the order in which one reads them, columns that say nothing left out."""
    first = ["method", "condition", "operator", "k", "draw"]
    shown = [name for name in rows.columns if name not in first and rows[name].null_count() < len(rows)]
    return rows.select(*first, *shown).sort(first, maintain_order=True)
