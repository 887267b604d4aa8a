"""Rationales of a model before and after fine-tuning: explain, train, explain, score; one table and one plot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.run_settings import as_json, described, in_words, write_whole
from dfar_toolkit.files.stacked_rows import stacked
from dfar_toolkit.journeys.engines_of import EngineOptions, open_engine
from dfar_toolkit.journeys.explain_checks import check_before_loading
from dfar_toolkit.journeys.explaining import ExplainOptions, explain
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.predict_options import PredictOptions
from dfar_toolkit.journeys.rationale_study_page import study_page, study_plot
from dfar_toolkit.journeys.rationale_study_plan import RationaleStudy, read_rationale_study
from dfar_toolkit.journeys.training import TrainOptions, learns_shares, train_model
from dfar_toolkit.journeys.training_items import training_items
from dfar_toolkit.journeys.unit_plans import Running
from dfar_toolkit.journeys.what_is_asked import Selection
from dfar_toolkit.metrics.faithfulness import perturbed_outputs, run_differences
from dfar_toolkit.runners.rationales.explaining import Explaining
from dfar_toolkit.scoring.alignment_changes import alignment_changes
from dfar_toolkit.scoring.rationale_differences import rationale_differences
from dfar_toolkit.scoring.rationale_scores import rationale_scores

FORMAT: Final = "dfar-rationale-study"
BEGUN: Final = "plan.json"
ENDED: Final = "study.json"
BEFORE, AFTER, MODEL = "before", "after", "model"
_OF_THIS_CALL: Final = "the run was whole already"  # begins notes that are not of the study
_TABLES: Final = ("table.parquet", "differences.parquet", "before-after.parquet")


class Studied(NamedTuple):
    """The folder; scores of both runs, tests between methods, between before and after; files; notes; coverage."""

    folder: Path
    table: pl.DataFrame
    differences: pl.DataFrame
    before_after: pl.DataFrame
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    confidence: float


def rationale_study(
    path: Path,
    out: Path,
    *,
    tell: Callable[[str], None] | None = None,
    inner: Callable[[str], Callable[[Any], None]] | None = None,
) -> Studied:
    """Carry out a study; the same call goes on where it was stopped.

    Args:
        path: The YAML file.
        out: The folder: absent, empty, or of the same study.
        tell: Called with each step as it begins, and with its notes.
        inner: From the name of a step to what is called with its progress.

    Returns:
        What came of it: ``table.parquet`` (all scores), ``differences.parquet`` (methods of a run),
        ``before-after.parquet`` (a method before and after, minus random words each), ``study.md`` and ``study.svg``.

    Raises:
        TableError: File, items and folder do not fit each other.
        EngineError: The model cannot be had, asked or trained.
    """
    say: Callable[[str], None] = tell or (lambda _: None)
    watched = inner or (lambda _: lambda _: None)
    study = read_rationale_study(path)
    folder = items_of(study.items if study.items.startswith("hf://") else Path(study.items), study.config)
    check_before_loading(folder, _asking(study, BEFORE), _how(study), served=False)
    if study.train:
        training_items(
            folder, train=study.train, evaluation=(study.split,), development=study.development,
            keep_leaked=study.keep_leaked, seed=study.seed, shares=learns_shares(study.head, study.settings),
        )  # fmt: skip
    _begin(out, study, folder)
    notes = _explained(study, folder, study.model, out / BEFORE, say, watched)
    if study.train:
        notes += _trained(study, folder, out / MODEL, say, watched)
        notes += _explained(study, folder, str(out / MODEL), out / AFTER, say, watched)
    say("scoring")
    return _scored(study, folder, out, tuple(dict.fromkeys(notes)))


def _begin(out: Path, study: RationaleStudy, folder: ItemsFolder) -> None:
    """Note what the study is, or refuse the folder of another one."""
    plan = {"study": as_json(study._asdict()), "items": as_json(folder.manifest.get("content_digest", {}))}
    text = described(format=FORMAT, format_version=1, plan=plan)
    with in_words(out):
        if (out / BEGUN).is_file():
            if (out / BEGUN).read_bytes() == text:
                return
            if any(one.name != BEGUN for one in out.iterdir()):
                raise TableError(f"{out}: holds another study, or one of other items; give another --out.")
        elif out.is_dir() and any(out.iterdir()):
            raise TableError(f"{out}: wanted an absent or empty folder, or that of this study; give another --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / BEGUN, lambda place: place.write_bytes(text))


def _explained(
    study: RationaleStudy, folder: ItemsFolder, model: str, out: Path, say: Callable[[str], None],
    watched: Callable[[str], Callable[[Any], None]],
) -> list[str]:  # fmt: skip
    """Rationales of one model, in a run folder."""
    name = f"explaining {out.name} fine-tuning"
    say(name)
    revision = study.revision if out.name == BEFORE else None
    loading = ModelSettings(revision=revision, device=study.device, chat=study.settings.get("chat"))
    engine = open_engine(EngineOptions(model, settings=loading))
    if study.head == "classifier" and engine.kind != "classifier":
        raise TableError(f"{model}: the study is of a classifier, the model is a {engine.kind} model.")
    options = ExplainOptions(_asking(study, out.name), _how(study))
    found = explain(folder, engine, out, options, running=Running(progress=watched(name)))
    for note in found.notes:
        say(f"{out.name}: {note}")
    return [f"{out.name}: {note}" for note in found.notes if not note.startswith(_OF_THIS_CALL)]


def _asking(study: RationaleStudy, run_id: str) -> PredictOptions:
    selection = Selection(splits=(study.split,), limit=study.limit)
    return PredictOptions(style=study.style, selection=selection, seed=study.seed, run_id=run_id)


def _how(study: RationaleStudy) -> Explaining:
    return Explaining(
        None, study.methods, unit=study.words, fields=study.fields, operators=study.operators, shares=study.shares,
        draws=study.draws, seed=study.seed,
    )  # fmt: skip


def _trained(
    study: RationaleStudy, folder: ItemsFolder, out: Path, say: Callable[[str], None],
    watched: Callable[[str], Callable[[Any], None]],
) -> list[str]:  # fmt: skip
    """The fine-tuned model."""
    say("fine-tuning")
    settings = study.settings
    if study.head == "language-model" and study.style != "label":  # trained with the prompt that it is asked with
        settings = {"style": study.style, **settings}
    options = TrainOptions(
        head=study.head, settings=settings, train=study.train, evaluation=(study.split,),
        development=study.development, keep_leaked=study.keep_leaked, seed=study.seed,
        loading=ModelSettings(revision=study.revision, device=study.device),
    )  # fmt: skip
    found = train_model(folder, study.model, out, options, progress=watched("fine-tuning"))
    for note in found.notes:
        say(f"fine-tuning: {note}")
    return [f"fine-tuning: {note}" for note in found.notes if not note.startswith(_OF_THIS_CALL)]


def _scored(study: RationaleStudy, folder: ItemsFolder, out: Path, notes: tuple[str, ...]) -> Studied:
    """Everything that the runs come to, in tables, a page and a plot; ``study.json`` last."""
    runs = [name for name in (BEFORE, AFTER) if (out / name / "outputs.parquet").is_file()]
    frames = [pl.read_parquet(out / name / "outputs.parquet").drop("unit", strict=False) for name in runs]
    joined = stacked(frames)
    outputs = pl.concat(frames, how="diagonal_relaxed") if joined is None else joined
    numbers: dict[str, Any] = {"confidence": study.confidence, "n_boot": study.n_boot, "seed": study.seed}
    items = folder.items.filter(pl.col("split") == study.split)
    items = items if study.limit is None else items.head(study.limit)  # the others are no part of the study
    table = rationale_scores(outputs, items, folder.annotations, options=folder.options, **numbers)
    differences = rationale_differences(outputs, items, folder.annotations, options=folder.options, **numbers)
    table, differences = (pl.concat([t.filter(pl.col("run_id") == n) for n in runs]) for t in (table, differences))
    before_after = _before_after(study, outputs, folder, items, numbers) if len(runs) > 1 else pl.DataFrame()
    svg = study_plot(study, table)
    page = study_page(study, table, differences, before_after, notes, plot="study.svg" if svg else None)
    texts = {"study.md": page.encode(), **({"study.svg": svg.encode()} if svg else {})}
    with in_words(out):
        for name, frame in zip(_TABLES, (table, differences, before_after), strict=True):
            write_whole(out / name, frame.write_parquet)
        for name, text in texts.items():
            write_whole(out / name, partial(_write_bytes, text))
        files = (*_TABLES, *texts)
        ended = described(
            format=FORMAT, format_version=1, toolkit=version("dfar-toolkit"), notes=list(notes),
            files={name: {"sha256": file_digest(out / name)} for name in files},
        )  # fmt: skip
        write_whole(out / ENDED, lambda place: place.write_bytes(ended))
    return Studied(out, table, differences, before_after, tuple(out / name for name in files), notes, study.confidence)


def _write_bytes(text: bytes, place: Path) -> None:
    place.write_bytes(text)


def _before_after(
    study: RationaleStudy, outputs: pl.DataFrame, folder: ItemsFolder, items: pl.DataFrame, numbers: dict[str, Any]
) -> pl.DataFrame:
    """Every method before and after: alignment above chance, and faithfulness minus random words.

    Raw faithfulness of two models does not compare. Each metric and operator is a family of tests over the methods.
    """
    runs = {
        name: perturbed_outputs(outputs.filter(pl.col("run_id") == name), folder.items, options=folder.options)
        for name in (BEFORE, AFTER)
    }
    tables = []
    if folder.annotations["evidence"].is_not_null().any():
        tables.append(alignment_changes(outputs, items, folder.annotations, (BEFORE, AFTER), **numbers))
    methods = [one for one in runs[BEFORE].methods if one in runs[AFTER].methods and one != "random"]
    if methods and "random" in runs[BEFORE].methods:
        tables += [
            run_differences(runs, metric=metric, method=methods, operator=operator, **numbers)
            for operator in study.operators
            for metric in ("flip_rate", "comprehensiveness")
        ]
    tables = [table for table in tables if len(table)]
    return pl.concat(tables, how="diagonal_relaxed") if tables else pl.DataFrame()
