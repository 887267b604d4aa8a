"""Scores, comparisons and curves of runs as the report has them, kept as long as no file changes.

Streamlit's caches give wrong results for frames (it hashes a polars frame by its first and last rows), so every
cached function takes paths and digests only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.arguments import Arguments, arguments
from dfar_toolkit._viewer.run_reading import read_run
from dfar_toolkit._viewer.sources import items_folder, stamp
from dfar_toolkit.browsing.item_columns import item_files
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.comparing import HEADLINES
from dfar_toolkit.journeys.outputs import scorable
from dfar_toolkit.journeys.reliability import reliability_of_runs
from dfar_toolkit.journeys.run_comparison import run_comparison
from dfar_toolkit.journeys.runs_by_splits import once_each, runs_by_splits
from dfar_toolkit.journeys.scores import ORDERED_KINDS
from dfar_toolkit.metrics.comparing.reasons_of_runs import REASON_METRICS
from dfar_toolkit.metrics.judging.judging_table import model_judges
from dfar_toolkit.report.document import Comparison
from dfar_toolkit.scoring import score
from dfar_toolkit.scoring.score_columns import PARTS
from dfar_toolkit.tables import HUMAN_RUN

Key = tuple[str, str]
MANY: Final = 200_000  # items from which scores are only computed when a reader asks for them
# Measures of texts are slow.
_PARTS = tuple(part for part in PARTS if part != "reasons")
_COMPARED = tuple(metric for metric in HEADLINES if metric not in REASON_METRICS)


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder as the caches know it: where it is, and what changes when it does."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Runs:
    """Readable outputs: which file each run came from, all rows together, and what could not be read."""

    files: dict[str, Source]
    outputs: pl.DataFrame
    problems: tuple[str, ...]


def source(path: Path) -> Source:
    """The file or folder with a digest of the names, sizes and times of change of what is in it, and how it is read.

    Raises:
        TableError: There is nothing at the path.
    """
    if not path.exists():
        raise TableError(f"{path}: wanted a file or a folder of ours, found nothing there. Check the path.")
    told = repr((stamp(path), arguments().how)).encode()
    return Source(str(path), hashlib.blake2b(told, digest_size=16).hexdigest())


def key(found: Source) -> Key:
    """A source as the argument of a cached function."""
    return found.path, found.digest


def items_source(given: Arguments) -> Source:
    """The items folder."""
    return source(items_folder(given))


def judged_source(given: Arguments) -> Source | None:
    """The judgements, a file or the folder of a round; None where there are none or they cannot be read."""
    path = given.judgements or given.judge
    if path is None or load_judgements(given)[0] is None:
        return None
    return source(path)


def load_folder(path: Path) -> ItemsFolder:
    """The items folder, read once per version; never change what it holds.

    Raises:
        DfarError: It cannot be read.
    """
    found = source(path)
    return _folder(found.path, found.digest)


@st.cache_resource(max_entries=2, show_spinner=False)
def _folder(path: str, digest: str) -> ItemsFolder:
    return read_items(Path(path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _asked_folder(path: str, digest: str, config: str) -> ItemsFolder:
    """The items of one config, which asks a question of its own; all of them where none is named."""
    return _folder(path, digest).of_config(config) if config else _folder(path, digest)


@st.cache_resource(max_entries=30, show_spinner=False)
def _outputs(path: str, digest: str, items_path: str, items_digest: str) -> pl.DataFrame:
    folder = _folder(items_path, items_digest)
    how = arguments().how  # part of the digest
    found = read_run(Path(path), lambda: item_files(Path(items_path)), lambda: folder, how, may_scan=False).frame
    return pl.DataFrame() if found is None else found


@st.cache_resource(max_entries=4, show_spinner=False)
def _judgements(path: str, digest: str, items_path: str, items_digest: str, config: str = "") -> pl.DataFrame:
    questions = _asked_folder(items_path, items_digest, config).questions  # the first one names the outputs judged
    return read_judgements(Path(path), questions=questions, separator=arguments().how.separator)


def load_runs(given: Arguments) -> Runs:
    """Every outputs file that can be read; for each of the others, why not."""
    items = items_source(given)
    files: dict[str, Source] = {}
    parts: list[pl.DataFrame] = []
    problems: list[str] = []
    for path in given.outputs:
        try:
            found = source(path)
            frame = _outputs(found.path, found.digest, items.path, items.digest)
            names = frame["run_id"].unique(maintain_order=True).to_list()
            if twice := [n for n in names if n in files]:
                raise TableError(f"{path}: the run {twice[0]!r} was read from {files[twice[0]].path} already; skipped.")
        except (DfarError, OSError, pl.exceptions.PolarsError) as error:
            problems.append(str(error))
            continue
        files |= dict.fromkeys(names, found)
        parts.append(frame)
    outputs = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
    return Runs(files, outputs, tuple(problems))


def load_judgements(given: Arguments) -> tuple[pl.DataFrame | None, str]:
    """The judgements, or None and, where a file was given, why it cannot be read."""
    path = given.judgements or given.judge
    if path is None:
        return None, ""
    try:
        items, found = items_source(given), source(path)
        return _judgements(found.path, found.digest, items.path, items.digest), ""
    except (DfarError, OSError, pl.exceptions.PolarsError) as error:
        return None, str(error)


@st.cache_resource(max_entries=30, show_spinner=False)
def scores(items: Key, outputs: tuple[Key, ...], judgements: Key | None, config: str = "") -> pl.DataFrame:
    """Scores of every run in outputs files as ``dfar score`` has them; arguments are paths with digests.

    Each run is scored on the splits that it answers itself: of those that another run answers too it is not asked.
    Of several configs it is one that is scored.

    Raises:
        DfarError: The files do not fit each other.
    """
    folder = _asked_folder(*items, config)
    found = _about(pl.concat([_outputs(*o, *items) for o in outputs], how="diagonal_relaxed"), folder, config)
    parts = [_scores(part, folder, judgements, items, config) for part in runs_by_splits(found, folder.items)]
    return once_each(parts) if parts else pl.DataFrame()


def _scores(found: pl.DataFrame, folder: ItemsFolder, judgements: Key | None, items: Key, config: str) -> pl.DataFrame:
    judged = _judged(judgements, items, found["run_id"].unique().to_list(), config)
    models = model_judges(folder.raters, judged)
    question = _asked(found, folder)
    found, asked = scorable(found, folder)
    return score(
        found,
        asked,
        options=folder.options,
        ordered=str(folder.questions["kind"][0]) in ORDERED_KINDS,
        question=question,
        judgements=judged,
        judge_models=models,
        annotations=folder.annotations,
        parts=_PARTS,
        note=arguments().how.said(),
    )


@st.cache_resource(max_entries=30, show_spinner=False)
def reliability(items: Key, outputs: Key, config: str = "") -> pl.DataFrame:
    """Reliability curves of every run in an outputs file: ``run_id`` and the columns of ``reliability_curve``."""
    folder = _asked_folder(*items, config)
    found = _about(_outputs(*outputs, *items), folder, config)
    question = _asked(found, folder)
    found, asked = scorable(found, folder)
    return reliability_of_runs(found, asked, options=folder.options, question=question)


@st.cache_resource(max_entries=30, show_spinner=False)
def comparison(
    items: Key,
    chosen: tuple[tuple[str, str, str], ...],
    judgements: Key | None,
    config: str = "",
    splits: tuple[str, ...] = (),
) -> Comparison | None:
    """Runs on the same items, two or more; a run is given by path, digest and run id.

    Where they answer different splits those on which they are compared are named.

    Raises:
        DfarError: The files do not fit each other.
    """
    folder = _asked_folder(*items, config)
    own = {run: _outputs(path, digest, *items).filter(pl.col("run_id") == run) for path, digest, run in chosen}
    runs = {run: _about(rows, folder, config) for run, rows in own.items()}
    asked = _asked(pl.concat(list(runs.values()), how="diagonal_relaxed"), folder)
    judged = _judged(judgements, items, list(runs), config)
    return run_comparison(
        runs, folder, judgements=judged, question=asked, metrics=_COMPARED, split=list(splits) or None
    )


def _judged(judgements: Key | None, items: Key, runs: list[str], config: str) -> pl.DataFrame | None:
    """Judgements of these runs and of human reasons; None where no run of these was judged."""
    if judgements is None:
        return None
    found = _judgements(*judgements, *items, config)
    if not found["run_id"].is_in(runs).any():
        return None
    return found.filter(pl.col("run_id").is_in([*runs, HUMAN_RUN]))


def _about(outputs: pl.DataFrame, folder: ItemsFolder, config: str) -> pl.DataFrame:
    """The rows about the items of a config; all where none is named."""
    if not config:
        return outputs
    return outputs.join(folder.items.select("item_id"), on="item_id", how="semi", maintain_order="left")


def _asked(outputs: pl.DataFrame, folder: ItemsFolder) -> str | None:
    """The primary question where the outputs answer several."""
    return folder.question if outputs["question"].n_unique() > 1 else None
