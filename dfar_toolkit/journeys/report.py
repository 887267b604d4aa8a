"""One report on an items folder and the runs scored against it: HTML, Markdown and JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.files.protocol import read_protocol
from dfar_toolkit.files.swap import write_error
from dfar_toolkit.journeys.annotator_view import annotator_view
from dfar_toolkit.journeys.comparing import error_of_run
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import folder_answered, read_runs, scorable
from dfar_toolkit.journeys.reliability import reliability_of_runs
from dfar_toolkit.journeys.run_comparison import run_comparison
from dfar_toolkit.journeys.scored_rationales import scored_rationales
from dfar_toolkit.journeys.scores import ORDERED_KINDS
from dfar_toolkit.metrics.judging.judging_table import model_judges
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.facts import data_facts
from dfar_toolkit.report.html import html
from dfar_toolkit.report.json_document import json_document
from dfar_toolkit.report.markdown import markdown
from dfar_toolkit.scoring import confusions, score
from dfar_toolkit.scoring.rationale_scores import answers_nothing


def report_on(
    items: Path | ItemsFolder,
    outputs: Sequence[Path] = (),
    *,
    judgements: Path | None = None,
    judge_models: Sequence[str] = (),
    protocol: Path | None = None,
    out: Path,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    separator: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Path]:
    """Compute what a report shows and write it as ``out`` and, beside it, as Markdown and JSON.

    Args:
        items: The items folder.
        outputs: Runs to score; every pair of them is compared.
        judgements: Good/Bad judgements of the runs' reasons.
        judge_models: Judges that are models, beside those that the items folder calls so.
        protocol: How the judging was done (YAML), printed with the misalignment rates.
        out: The HTML page; ``.md`` and ``.json`` take its name.
        split: Splits to score; by default those that occur in the outputs.
        label_map: From the models' labels to the options.
        separator: Separator of CSV files where it is not a comma.
        confidence: Coverage of the intervals of scores.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The files written.

    Raises:
        TableError: A file is not what it must be.
    """
    data = report_data(
        items, outputs, judgements=judgements, judge_models=judge_models, protocol=protocol, split=split,
        label_map=label_map, separator=separator, confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    texts = {out: html(data), out.with_suffix(".md"): markdown(data), out.with_suffix(".json"): json_document(data)}
    write_whole(texts)
    return list(texts)


def write_whole(texts: Mapping[Path, str]) -> None:
    """Write text files under temporary names and rename them when all are written, so that nobody reads half a set.

    Raises:
        TableError: There is no room, or a place cannot be written.
    """
    fresh = {path: path.with_name(f"{path.name}.tmp-dfar-{os.getpid()}") for path in texts}
    at = next(iter(texts))
    try:
        for at, text in texts.items():
            at.parent.mkdir(parents=True, exist_ok=True)
            fresh[at].write_text(text, encoding="utf-8")
        for at, made in fresh.items():
            made.replace(at)
    except OSError as error:
        raise TableError(write_error(at, error)) from error
    finally:
        for made in fresh.values():
            with suppress(OSError):
                made.unlink(missing_ok=True)


def report_data(
    items: Path | ItemsFolder,
    outputs: Sequence[Path] = (),
    *,
    judgements: Path | None = None,
    judge_models: Sequence[str] = (),
    protocol: Path | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    separator: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> ReportData:
    """Everything a report shows, computed; arguments as in :func:`report_on`."""
    folder = items_of(items)
    runs = read_runs(outputs, folder, label_map=label_map, split=split, separator=separator)
    if judgements and not outputs:
        raise TableError(f"{judgements}: judgements are about outputs; give the outputs files as well.")
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    folder = folder_answered(runs, folder)
    scores, reliability = pl.DataFrame(), pl.DataFrame()
    confusion: dict[str, pl.DataFrame] = {}
    options = folder.options
    answering = {name: run for name, run in runs.items() if not answers_nothing(run)}
    if answering:
        stacked = pl.concat(answering.values(), how="diagonal_relaxed")
        stacked, items_scored = scorable(stacked, folder)
        try:
            scores = score(
                stacked, items_scored, options=options, ordered=str(folder.questions["kind"][0]) in ORDERED_KINDS,
                judgements=judged, judge_models=[*judge_models, *model_judges(folder.raters, judged)],
                annotations=folder.annotations, split=split, confidence=confidence, n_boot=n_boot, seed=seed,
            )  # fmt: skip
        except TableError as error:
            raise error_of_run(error, answering, folder, split=split) from None
        reliability = reliability_of_runs(stacked, items_scored, options=options, split=split, confidence=confidence)
        cells = confusions(stacked, folder.items, options=options, split=split)
        everything = cells.filter(pl.col("subset") == "all")
        confusion = {str(run): part for (run,), part in everything.group_by("run_id", maintain_order=True)}
    explained = [
        scored_rationales(run, folder, split=split, confidence=confidence, n_boot=n_boot, seed=seed)
        for run in runs.values()
    ]
    compared = run_comparison(
        answering, folder, judgements=judged, split=split, confidence=confidence, n_boot=n_boot, seed=seed
    )
    people = annotator_view(folder, confidence=confidence, n_boot=n_boot, seed=seed)
    return ReportData(
        title=str(folder.manifest["title"]),
        facts=data_facts(folder.manifest),
        findings=folder.audit,
        agreement=folder.agreement,
        annotators=people.annotators,
        annotators_note=people.note,
        further=people.further,
        pairs=people.pairs,
        disagreement=people.disagreement,
        scores=scores,
        reliability=reliability,
        confusions=confusion,
        comparison=compared,
        rationales=pl.concat([one.rationales for one in explained]) if explained else pl.DataFrame(),
        rationale_differences=pl.concat([one.differences for one in explained]) if explained else pl.DataFrame(),
        protocol=read_protocol(protocol if protocol is not None else _own_protocol(judgements)),
        footer=_footer(n_boot, seed),
    )


def _own_protocol(judgements: Path | None) -> Path | None:
    """The protocol that lies beside the judgements of a judging folder."""
    found = judgements / "protocol.yaml" if judgements is not None else None
    return found if found is not None and found.is_file() else None


def _footer(n_boot: int, seed: int) -> tuple[str, ...]:
    """What made the report."""
    return (f"dfar-toolkit {version('dfar-toolkit')}; {n_boot:,} bootstrap draws for the scores; seed {seed}",)
