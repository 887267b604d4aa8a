"""What the viewer shows, read by the package and kept by the digests of the files.

Streamlit's caches give wrong results for frames (it hashes a polars frame by its first and last rows), so every
cached function takes paths and digests only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import streamlit as st

from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.journeys.comparing import HEADLINES
from dfar_toolkit.journeys.outputs import scorable
from dfar_toolkit.journeys.reliability import reliability_of_runs
from dfar_toolkit.journeys.run_comparison import run_comparison
from dfar_toolkit.journeys.scores import ORDERED_KINDS
from dfar_toolkit.metrics.comparing.reasons_of_runs import REASON_METRICS
from dfar_toolkit.metrics.judging.judging_table import model_judges
from dfar_toolkit.report.document import Comparison
from dfar_toolkit.scoring import confusions, score
from dfar_toolkit.scoring.score_columns import PARTS
from dfar_toolkit.tables import HUMAN_RUN

# Measures of texts are slow.
_PARTS = tuple(part for part in PARTS if part != "reasons")
_COMPARED = tuple(metric for metric in HEADLINES if metric not in REASON_METRICS)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Paths given on the command line."""

    items: Path
    outputs: tuple[Path, ...]
    judgements: Path | None


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder as the caches know it: where it is, and a digest of what it holds."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Runs:
    """Readable outputs: which file each run came from, all rows together, and what could not be read."""

    files: dict[str, Source]
    outputs: pl.DataFrame
    problems: tuple[str, ...]


def arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Paths after ``--`` on the command line of ``streamlit run``.

    Raises:
        TableError: There is none.
    """
    parser = argparse.ArgumentParser(prog="viewer", description="Browse items and outputs.")
    parser.add_argument("--judgements", type=Path)
    parser.add_argument("paths", type=Path, nargs="*")
    found = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if not found.paths:
        raise TableError("the viewer wants an items folder; start it with: dfar view ITEMS [OUTPUTS ...]")
    return Arguments(found.paths[0], tuple(found.paths[1:]), found.judgements)


def source(path: Path) -> Source:
    """The file (of a folder: its manifest, run description or outputs) with its digest.

    Raises:
        TableError: There is nothing at the path.
    """
    inside = [path / name for name in ("manifest.json", "run.json", "outputs.parquet")] if path.is_dir() else [path]
    present = [p for p in inside if p.is_file()]
    if not present:
        raise TableError(f"{path}: wanted a file or a folder of ours, found nothing there. Check the path.")
    digests = [_digest(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in present]
    return Source(str(path), "-".join(digests))


@st.cache_data(max_entries=100, show_spinner=False)
def _digest(path: str, size: int, modified: int) -> str:
    return file_digest(Path(path))


def load_folder(path: Path) -> ItemsFolder:
    """The items folder, read once per version; never change what it holds.

    Raises:
        DfarError: It cannot be read.
    """
    found = source(path)
    return _folder(found.path, found.digest)


@st.cache_resource(max_entries=2, show_spinner="Reading the items")
def _folder(path: str, digest: str) -> ItemsFolder:
    return read_items(Path(path))


@st.cache_resource(max_entries=2, show_spinner=False)
def disagreements(path: str, digest: str) -> pl.DataFrame:
    """Disagreement per item about the primary question: ``item_id, n_ratings, disagreement``."""
    folder = _folder(path, digest)
    return item_disagreement(folder.annotations.filter(pl.col("question") == folder.question))


@st.cache_resource(max_entries=30, show_spinner="Reading outputs")
def _outputs(path: str, digest: str, items_path: str, items_digest: str) -> pl.DataFrame:
    return read_outputs(Path(path), questions=_folder(items_path, items_digest).questions)


@st.cache_resource(max_entries=4, show_spinner="Reading judgements")
def _judgements(path: str, digest: str, items_path: str, items_digest: str) -> pl.DataFrame:
    return read_judgements(Path(path), questions=_folder(items_path, items_digest).questions)


def load_runs(given: Arguments) -> Runs:
    """Every outputs file that can be read; for each of the others, why not."""
    items = source(given.items)
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
        except (DfarError, OSError) as error:
            problems.append(str(error))
            continue
        files |= dict.fromkeys(names, found)
        parts.append(frame)
    outputs = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
    return Runs(files, outputs, tuple(problems))


@st.cache_resource(max_entries=4, show_spinner=False)
def item_list(items: tuple[str, str], outputs: tuple[tuple[str, str], ...]) -> pl.DataFrame:
    """Items with their disagreement and, in a column ``answer <run>`` per run, the label that it gave.

    Args:
        items: Path and digest of the items folder.
        outputs: Path and digest of each readable outputs file.
    """
    folder = _folder(*items)
    listed = folder.items.select("item_id", "statement", "label", "split", "leak_kind").join(
        disagreements(*items), on="item_id", how="left", maintain_order="left"
    )
    for found in outputs:
        answers = plain_answers(_outputs(*found, *items), folder.question)
        for (run,), part in answers.group_by("run_id", maintain_order=True):
            answer = part.select("item_id", pl.lit(True).alias(f"has {run}"), pl.col("label").alias(f"answer {run}"))
            listed = listed.join(answer, on="item_id", how="left", maintain_order="left")
    return listed


def plain_answers(outputs: pl.DataFrame, question: str) -> pl.DataFrame:
    """One row per run and item: the first sample of the plain condition, about nobody in particular."""
    plain = outputs.filter(pl.col("question") == question, pl.col("condition") == "full", pl.col("annotator_id") == "")
    if (plain["method"] == "").any():  # beside them may stand answers within a test
        plain = plain.filter(pl.col("method") == "")
    return plain.sort("sample", "draw").unique(["run_id", "item_id"], keep="first", maintain_order=True)


def load_judgements(given: Arguments) -> tuple[pl.DataFrame | None, str]:
    """The judgements, or None and, where a file was given, why it cannot be read."""
    if given.judgements is None:
        return None, ""
    try:
        items, found = source(given.items), source(given.judgements)
        return _judgements(found.path, found.digest, items.path, items.digest), ""
    except (DfarError, OSError) as error:
        return None, str(error)


@st.cache_resource(max_entries=30, show_spinner="Computing scores")
def scores(
    items: tuple[str, str], outputs: tuple[tuple[str, str], ...], judgements: tuple[str, str] | None
) -> pl.DataFrame:
    """Scores of every run in outputs files, all together as in the report; arguments are paths with digests.

    Raises:
        DfarError: The files do not fit each other.
    """
    folder = _folder(*items)
    found = pl.concat([_outputs(*o, *items) for o in outputs], how="diagonal_relaxed")
    judged = _judged(judgements, items, found["run_id"].unique().to_list())
    models = model_judges(folder.raters)
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
    )


@st.cache_resource(max_entries=30, show_spinner=False)
def reliability(items: tuple[str, str], outputs: tuple[str, str]) -> pl.DataFrame:
    """Reliability curves of every run in an outputs file: ``run_id`` and the columns of ``reliability_curve``."""
    folder = _folder(*items)
    found = _outputs(*outputs, *items)
    question = _asked(found, folder)
    found, asked = scorable(found, folder)
    return reliability_of_runs(found, asked, options=folder.options, question=question)


@st.cache_resource(max_entries=30, show_spinner=False)
def confusion(items: tuple[str, str], outputs: tuple[str, str]) -> pl.DataFrame:
    """Confusion matrices of every run in an outputs file: ``run_id, subset, gold, pred, count``."""
    folder = _folder(*items)
    found = _outputs(*outputs, *items)
    return confusions(found, folder.items, options=folder.options, question=_asked(found, folder))


@st.cache_resource(max_entries=30, show_spinner="Comparing")
def comparison(
    items: tuple[str, str], chosen: tuple[tuple[str, str, str], ...], judgements: tuple[str, str] | None
) -> Comparison | None:
    """Runs on the same items, two or more; a run is given by path, digest and run id.

    Raises:
        DfarError: The files do not fit each other.
    """
    folder = _folder(*items)
    runs = {run: _outputs(path, digest, *items).filter(pl.col("run_id") == run) for path, digest, run in chosen}
    asked = _asked(pl.concat(list(runs.values()), how="diagonal_relaxed"), folder)
    judged = _judged(judgements, items, list(runs))
    return run_comparison(runs, folder, judgements=judged, question=asked, metrics=_COMPARED)


def _judged(judgements: tuple[str, str] | None, items: tuple[str, str], runs: list[str]) -> pl.DataFrame | None:
    """Judgements of these runs and of human reasons; None where no run of these was judged."""
    if judgements is None:
        return None
    found = _judgements(*judgements, *items)
    if not found["run_id"].is_in(runs).any():
        return None
    return found.filter(pl.col("run_id").is_in([*runs, HUMAN_RUN]))


def _asked(outputs: pl.DataFrame, folder: ItemsFolder) -> str | None:
    """The primary question where the outputs answer several."""
    return folder.question if outputs["question"].n_unique() > 1 else None


def key(found: Source) -> tuple[str, str]:
    """A source as the argument of a cached function."""
    return found.path, found.digest
