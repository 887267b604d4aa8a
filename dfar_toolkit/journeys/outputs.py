"""Outputs of any tool, matched with the items of a folder: our own table, or a file that another tool wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.columns import name_lists, plain_texts
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.outputs import outputs_of
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.readers.detect import FORMATS, Format, read_foreign
from dfar_toolkit.readers.outputs_table import ONE_METHOD, to_outputs
from dfar_toolkit.readers.own_keys import with_whole_ids
from dfar_toolkit.readers.plain_table import plain_foreign
from dfar_toolkit.tabular import quoted, read_table

OWN = "dfar"
PLAIN = "plain"
READABLE = (OWN, *FORMATS, PLAIN)


class OutputsOptions(NamedTuple):
    """How a file of another tool is read.

    ``format`` forces one of ``READABLE``; None recognises it by the content. ``by_position`` joins rows with the
    items of a split in their order, which nothing else does. ``method`` chooses one of several filters or scorers,
    ``run_id`` names the run where the file does not. ``shown`` keeps the order in which a row of our own format says
    that its options stood, as the column ``shown_options`` (``options`` is brought into the question's own order).
    """

    format: str | None = None
    by_position: bool = False
    method: str | None = None
    run_id: str | None = None
    shown: bool = False


class ReadOutputs(NamedTuple):
    """The table outputs, the format it was read from, what must be known of it, and rows that matched no item."""

    outputs: pl.DataFrame
    format: str
    notes: tuple[str, ...]
    unmatched: pl.DataFrame


def read_any_outputs(
    path: Path | str,
    folder: ItemsFolder,
    *,
    reading: OutputsOptions | None = None,
    label_map: Mapping[str, str] | None = None,
    split: Sequence[str] | None = None,
    separator: str | None = None,
) -> ReadOutputs:
    """Read an outputs file of this toolkit or of another tool.

    Args:
        path: A file, or a run folder.
        folder: The items that the outputs are about.
        reading: Format, joining and method, where they are not to be found out.
        label_map: From the file's labels to the options' names.
        split: The split of the items that rows are matched with, where ids or order depend on it.
        separator: Separator of a CSV file where it is not a comma.

    Returns:
        The outputs, labels renamed.

    Raises:
        TableError: The file is not what it must be, an unknown format, or not one row matches an item.
    """
    path, how = Path(path), reading or OutputsOptions()
    refuse_unfinished(path)
    if how.format is not None and how.format not in READABLE:
        raise TableError(f"{path}: unknown format {how.format!r}; wanted one of {', '.join(READABLE)}.")
    if path.is_dir() and (path / "outputs.parquet").exists():
        path_format: str | None = OWN
    else:
        path_format = how.format
    if not folder.options:
        raise TableError(
            f"{path}: the question {folder.question!r} of the items has no options (its answers are numbers); only "
            "answers with options are read. In Python, dfar_toolkit.metrics scores numbers."
        )
    foreign = None if path_format in (OWN, PLAIN) else read_foreign(path, format=_of_tool(path_format))
    renamed = tuple([f"labels renamed: {', '.join(f'{a} -> {b}' for a, b in label_map.items())}"] if label_map else [])
    if foreign is None:
        file, name = _own_file(path)
        rows = read_table(file, separator=separator)
        # A table without an item_id is somebody else's, with columns of other names.
        if path_format == OWN or (path_format is None and "item_id" in rows.columns):
            rows = plain_texts(rows, ["item_id"], where=str(file))
            rows, keyed = with_whole_ids(rows, folder.items, where=str(file), split=split)
            rows = _with_shown(rows, label_map, str(file)) if how.shown else rows
            outputs = outputs_of(rows, file, how.run_id or name, questions=folder.questions, label_map=label_map)
            alone = [ONE_METHOD] if how.method is not None and not (outputs["method"] != "").any() else []
            chosen = outputs if alone else _of_method(outputs, how.method, file)
            return ReadOutputs(chosen, OWN, (*renamed, *keyed, *alone), pl.DataFrame())
        foreign = plain_foreign(rows, where=str(path))
    try:
        found = to_outputs(
            foreign, folder.items, folder.questions, label_map=label_map, split=split,
            by_position=how.by_position, method=how.method, run_id=how.run_id or path.stem,
        )  # fmt: skip
    except TableError as error:
        told = str(error).startswith(str(path))
        raise error if told else TableError(f"{path}: {error}") from error
    return ReadOutputs(found.outputs, foreign.format, (*renamed, *found.notes), found.unmatched)


def _with_shown(rows: pl.DataFrame, label_map: Mapping[str, str] | None, where: str) -> pl.DataFrame:
    """The rows with a copy of the options in the order shown, under the options' own names."""
    if "options" not in rows.columns or rows["options"].null_count() == len(rows):
        return rows
    shown = name_lists(rows["options"], where=where)
    if label_map:
        shown = shown.list.eval(pl.element().replace(dict(label_map)))
    return rows.with_columns(shown.alias("shown_options"))


def _own_file(path: Path) -> tuple[Path, str]:
    """The file of a table, and the name of a run in it that has none of its own."""
    if not path.is_dir():
        return path, path.stem
    file = path / "outputs.parquet"
    if not file.exists():
        raise TableError(
            f"{path}: this is a folder without outputs.parquet or scenario_state.json; give the outputs file in it."
        )
    return file, path.name


def _of_method(outputs: pl.DataFrame, method: str | None, file: Path) -> pl.DataFrame:
    """The rows of one method, where one was chosen."""
    if method is None:
        return outputs
    found = outputs["method"].unique().sort().to_list()
    if method not in found:
        raise TableError(f"{file}: this file has no method {quoted([method])}; found {quoted(found)}.")
    return outputs.filter(pl.col("method") == method)


def _of_tool(name: str | None) -> Format | None:
    return next((known for known in get_args(Format) if known == name), None)


def folder_answered(runs: Mapping[str, pl.DataFrame], folder: ItemsFolder) -> ItemsFolder:
    """The items with the question that all runs answer as the primary one, so that its labels are gold.

    Args:
        runs: Outputs by run.
        folder: The items folder.

    Returns:
        The folder as it is where that question has no options, or nothing is answered.

    Raises:
        TableError: The runs answer several questions.
    """
    of_run = {name: run["question"].unique().sort().to_list() for name, run in runs.items()}
    asked = list(dict.fromkeys(question for found in of_run.values() for question in found))
    if len(asked) > 1:
        which = "; ".join(f"{name}: {', '.join(found)}" for name, found in of_run.items())
        raise TableError(f"the outputs answer {len(asked)} questions ({which}); give those of one question at a time.")
    if not asked or not folder.questions.filter(question=asked[0])["options"].list.len().sum():
        return folder
    return folder.of_question(asked[0])


def scorable(outputs: pl.DataFrame, folder: ItemsFolder) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outputs and items as they are scored: without distributions where an answer is a set of options.

    Of a set every option has a share of its own, and these do not add up to 1.

    Args:
        outputs: The table outputs.
        folder: The items folder.

    Returns:
        The outputs and the items.
    """
    items = folder.items
    if str(folder.questions["kind"][0]) != "set":
        return outputs, items
    shares = pl.lit(None, dtype=pl.List(pl.Float64)).alias("label_probs")
    counts = pl.lit(None, dtype=pl.List(pl.Int64)).alias("label_counts")
    return outputs.with_columns(shares), items.with_columns(shares, counts)


def read_runs(
    paths: Sequence[Path],
    folder: ItemsFolder,
    *,
    reading: OutputsOptions | None = None,
    label_map: Mapping[str, str] | None = None,
    split: Sequence[str] | None = None,
    separator: str | None = None,
    said: Callable[[str], None] | None = None,
    rename: bool = False,
) -> dict[str, pl.DataFrame]:
    """Outputs of several files by run id.

    Args:
        paths: Files or run folders.
        folder: The items.
        reading: As in :func:`read_any_outputs`.
        label_map: As in :func:`read_any_outputs`.
        split: As in :func:`read_any_outputs`.
        separator: As in :func:`read_any_outputs`.
        said: Called with each line that a person must know of a file.
        rename: Whether a run of another tool whose name an earlier file has is called by its file as well, since
            such a file cannot be renamed inside; else this is an error.

    Returns:
        Run id to its outputs, in the order of the files.

    Raises:
        TableError: A file is not what it must be, or two files hold runs of one name.
    """
    runs: dict[str, pl.DataFrame] = {}
    for path in paths:
        read = read_any_outputs(path, folder, reading=reading, label_map=label_map, split=split, separator=separator)
        if said is not None:
            for line in reading_lines(path, read):
                said(line)
        for (run,), part in read.outputs.group_by("run_id", maintain_order=True):
            name = str(run)
            if rename and name in runs and read.format != OWN:
                name = f"{run} ({path.stem})"
                part = _called(part, str(run), name)
                if said and name not in runs:
                    said(f"{path}: an earlier file has a run named {run!r}, so this one is called {name!r}")
            if name in runs:
                raise TableError(
                    f"{path}: a run named {name!r} was already read from another file; rename one of them."
                )
            runs[name] = part
    return runs


def _called(outputs: pl.DataFrame, run: str, name: str) -> pl.DataFrame:
    """The outputs of a run under another name, ids included."""
    rest = pl.col("output_id").str.strip_prefix(run)
    return outputs.with_columns(run_id=pl.lit(name), output_id=pl.lit(name) + rest)


def reading_lines(path: Path | str, read: ReadOutputs) -> list[str]:
    """What a person must know about how a file was read, one line each; of our own table, little.

    Args:
        path: The file.
        read: What was read from it.

    Returns:
        The format, notes, and the first rows that matched no item.
    """
    if read.format == OWN:
        return [f"{path}: {note}" for note in read.notes if not note.startswith("labels renamed")]
    lines = [f"{path}: read as {read.format}", *(f"{path}: {note}" for note in read.notes)]
    for row in read.unmatched.head(5).iter_rows(named=True):
        shown = ", ".join(f"{name} {value!r}" for name, value in row.items() if value is not None)
        lines.append(f"{path}: not matched: {shown}")
    more = read.unmatched.height - 5
    return [*lines, f"{path}: and {more} more rows that matched no item"] if more > 0 else lines
