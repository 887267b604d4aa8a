"""From items and a model to a run folder: what is asked, of whom, how, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.content_free import content_free_rows, content_free_units
from dfar_toolkit.journeys.engines_of import Opened, drive
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
from dfar_toolkit.journeys.what_is_asked import (
    Question,
    annotator_units,
    as_text,
    item_units,
    question_of,
)
from dfar_toolkit.prompts.option_orders import orders
from dfar_toolkit.prompts.parsing import UNPARSED, parsing_note
from dfar_toolkit.prompts.shares import UNREAD
from dfar_toolkit.prompts.styles import PromptStyle
from dfar_toolkit.runners.answers import Reading, answers_table, says_of
from dfar_toolkit.runners.driving import Progress
from dfar_toolkit.runners.prompting import DRAFT, Manner, classified
from dfar_toolkit.runners.units import Unit
from dfar_toolkit.runners.workers import Worker, wait_for_all

_LONGEST_ERROR: Final = 300
_LASTING: Final = {"too_long", "needs_model", "unplaced"}  # asking again changes nothing


class Predicted(NamedTuple):
    """The outputs (None in a process that is not the first), the run folder, and what must be known."""

    outputs: pl.DataFrame | None
    folder: Path
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will be asked.

    Attributes:
        question: What the items are asked.
        manner: How; None for a classifier.
        units: The questions, one by one, in the order of the outputs.
        first: The first prompt as text, to be looked at.
        settings: All that decides the answers.
        reading: How answers are read.
        notes: What must be known.
        without_content: The same questions about nothing, for contextual calibration.
    """

    question: Question
    manner: Manner | None
    units: list[Unit]
    first: str
    settings: dict[str, Any]
    reading: Reading
    notes: tuple[str, ...]
    without_content: list[Unit] = field(default_factory=list)


def predict(
    items: Path | str | ItemsFolder,
    engine: Opened,
    out: Path,
    options: PredictOptions | None = None,
    *,
    config: str | None = None,
    worker: Worker | None = None,
    concurrency: int = 16,
    progress: Callable[[Progress], None] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Predicted:
    """Ask a model about items and write a run folder; the same call goes on where it was stopped.

    Args:
        items: The items folder.
        engine: The model, from ``open_engine`` or ``opened``.
        out: The run folder: absent, empty, or of the same run.
        options: What is asked, and how.
        config: The config of the items, where they have several.
        worker: Which of several processes this is; None: as the environment says.
        concurrency: Requests under way at a server.
        progress: Called now and then.
        waiting: Called with what the first of several processes waits for.

    Returns:
        The outputs, and notes on what was not answered.

    Raises:
        TableError: Items, options or folder do not fit each other.
        EngineError: The model does not answer.
    """
    how, folder = options or PredictOptions(), items_of(items, config)
    worker = Worker.from_environment() if worker is None else worker
    plan = plan_of(folder, engine, how, run_id=how.run_id or out.resolve().name)
    begun, told = time.monotonic(), list[str]()
    with worker.open_run(out, plan.settings, fresh=how.fresh, retry_failed=how.retry_failed) as run:
        told += run.notes
        if run.whole:
            told.append("the run was whole already: nothing was asked (--fresh begins anew)")
        else:
            before = len(run.done)
            used = _usage(engine)
            if engine.loaded is not None and plan.manner is not None:
                engine.engine.share([_first_prompt(unit) for unit in plan.units])
            reading = plan.reading
            if plan.without_content:
                reading = replace(reading, content_free=content_free_rows(plan.without_content, engine))
            drive(engine, plan.units, run, worker=worker, concurrency=concurrency, progress=progress)
            names = [unit.name for unit in plan.units]
            if not wait_for_all(run, names, progress=waiting):
                return Predicted(None, out, plan.notes)
            measured = {
                "seconds": round(time.monotonic() - begun, 3), "units": len(names) - before, "processes": worker.world
            }  # fmt: skip
            facts = {"toolkit": version("dfar-toolkit"), "model": engine.facts, "measured": measured}
            facts |= {"usage": _since(used, _usage(engine))} if used else {}
            run.finish(
                names, facts, questions=folder.questions,
                transform=lambda said: answers_table(said, reading, told=told.append),
            )  # fmt: skip
    outputs = pl.read_parquet(out / "outputs.parquet")
    return Predicted(outputs, out, (*plan.notes, *filter(None, told), *notes_of(outputs)))


def plan_of(folder: ItemsFolder, engine: Opened, how: PredictOptions, *, run_id: str) -> Plan:
    """What will be asked, without asking it.

    Args:
        folder: The items.
        engine: Who is asked.
        how: How.
        run_id: Name of the run.

    Returns:
        The plan.

    Raises:
        TableError: Items and options do not fit each other.
    """
    question = question_of(folder, how.selection, how.label_map)
    common = {
        "items": folder.manifest.get("content_digest", {}), "question": question.name, "split": list(question.splits),
        "limit": how.selection.limit, "label_map": how.label_map or {}, "seed": how.seed,
        "model": engine.deciding_facts,
    }  # fmt: skip
    if engine.kind in ("classifier", "ranker"):
        return _classifier_plan(folder, engine, question, how, common, run_id)
    manner, notes = manner_of(how, chat=engine.chat)
    shown = orders(question.shown, how.orders)
    if how.selection.annotators:
        if how.calibration == "contextual":
            raise TableError(
                "--calibrate contextual has no one prompt without content where each person has their own; "
                "use batch, or leave out --as-annotators."
            )
        units, first, said = annotator_units(folder, question, manner, shown, how.selection, how.seed)
    else:
        units, first, said = item_units(folder, question, manner, shown, how.selection, how.seed)
    settings = common | {
        "style": manner.style.name, "prompt_sha256": manner.style.sha256, "elicit": manner.elicit, "chat": manner.chat,
        "samples": manner.samples, "temperature": manner.temperature, "top_p": manner.top_p,
        "max_new_tokens": manner.max_new_tokens, "spellings": manner.spellings, "orders": how.orders,
        "calibration": how.calibration, "per_token": how.per_token, **how.selection.settings(),
        "steps": {
            s.name: {"prompt_sha256": s.sha256, "max_new_tokens": s.max_new_tokens} for s in _further_styles(manner)
        },
    }  # fmt: skip
    reading = Reading(
        run_id, question.name, question.options, says=question.says, answer=manner.style.answer,
        letters=manner.style.letters, calibration=how.calibration, per_token=how.per_token,
    )  # fmt: skip
    special = _special_note(engine, folder, question)
    free = content_free_units(first, manner, shown) if how.calibration == "contextual" else []
    notes = [*question.notes, *notes, *said, *special]
    return Plan(question, manner, units, as_text(first, manner), settings, reading, tuple(notes), free)


def _further_styles(manner: Manner) -> list[PromptStyle]:
    return [s for s in (manner.rephrase, manner.drafts[0] if manner.drafts else None) if s is not None]


def _classifier_plan(
    folder: ItemsFolder, engine: Opened, question: Question, how: PredictOptions, common: dict[str, Any], run_id: str
) -> Plan:
    """A classifier sees the statement, with the contexts before it as the first of a pair where there are any."""
    for given, option in (
        (how.style != "label", "--style"), (how.elicit == "samples", "--elicit samples"),
        (how.samples > 1, "--samples"), (how.orders != "none", "--orders"),
        (how.calibration == "contextual", "--calibrate contextual"), (how.per_token, "--per-token"),
        (how.selection.shots > 0, "--shots"), (how.selection.annotators, "--as-annotators"),
        (how.temperature is not None, "--temperature"), (how.top_p != 1, "--top-p"),
        (how.max_new_tokens is not None, "--max-new-tokens"), (how.spellings != "joined", "--spellings"),
    ):  # fmt: skip
        if given:
            raise TableError(f"a {engine.kind} reads the text without a prompt and has one answer; leave out {option}.")
    items = question.items
    if engine.kind == "ranker":
        return _ranker_plan(engine, question, how, common, run_id)
    if (items["option_texts"].list.len() > 0).any():
        raise TableError(
            "these items have texts of their own per option; a classifier of one text cannot choose; a ranker can "
            "(dfar train --as ranker)."
        )
    context = items["context"].list.eval(pl.element().struct.field("text")).list.join("\n").to_list()
    texts = items["statement"].to_list()
    pairs = [(before, text) if before else (text, None) for before, text in zip(context, texts, strict=True)]
    units = [classified(item, *pair) for item, pair in zip(items["item_id"], pairs, strict=True)]
    reading = Reading(run_id, question.name, question.options, says=question.says, calibration=how.calibration)
    if engine.loaded is not None:
        from dfar_toolkit.engines.classifying import class_names

        says_of(class_names(engine.loaded), reading)  # now, and not after a whole run
    first = "\n\n".join(part for part in pairs[0] if part)
    return Plan(
        question,
        None,
        units,
        first,
        common | {"style": "classifier", "calibration": how.calibration},
        reading,
        question.notes,
    )


def _ranker_plan(engine: Opened, question: Question, how: PredictOptions, common: dict[str, Any], run_id: str) -> Plan:
    """A ranker sees the text of each option, with the contexts before it."""
    from dfar_toolkit.journeys.ranking import ranked_units

    units = ranked_units(question, with_statement=engine.engine.with_statement)
    reading = Reading(run_id, question.name, question.options, says=question.says, calibration=how.calibration)
    first = "\n\n".join(question.items["option_texts"][0])
    settings = common | {"style": "ranker", "calibration": how.calibration}
    return Plan(question, None, units, first, settings, reading, question.notes)


def _first_prompt(unit: Unit) -> Any:
    """The conversation of the first request of a unit."""
    return next(unit.start()).conversation  # type: ignore[union-attr]


def _usage(engine: Opened) -> dict[str, Any]:
    usage = getattr(engine.engine, "usage", None)
    return dict(usage.as_dict()) if usage is not None else {}


def _since(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What of the counters of an engine, which may serve several runs, came since."""
    found: dict[str, Any] = {}
    for name, value in now.items():
        if isinstance(value, dict):
            found[name] = {k: v for k, v in _since(before.get(name, {}), value).items() if v}
        else:
            found[name] = None if value is None else value - (before.get(name) or 0)
    return found


def _special_note(engine: Opened, folder: ItemsFolder, question: Question) -> list[str]:
    if engine.loaded is None:
        return []
    from dfar_toolkit.engines.token_ids import special_texts

    count = special_texts(question.items["statement"].to_list(), engine.loaded.tokenizer)
    said = f"{count} statements hold the text of a special token of the model, which may end a turn of the prompt"
    return [said] if count else []


def notes_of(outputs: pl.DataFrame) -> list[str]:
    """What was not answered, or could not be read, in words.

    Args:
        outputs: The outputs of a run.

    Returns:
        The notes, most important first.
    """
    final = outputs.filter(pl.col("condition") != DRAFT)
    notes = []
    failed = final.filter(pl.col("error").is_not_null())
    if len(failed):
        kinds = failed["error"].str.extract(r"^(\w+):").value_counts(sort=True)
        parts = ", ".join(f"{count} {kind}" for kind, count in kinds.iter_rows())
        again = "; --retry-failed asks them again" if set(kinds["error"]) - _LASTING else ""
        notes.append(f"{len(failed)} of {len(final)} rows have no answer ({parts}){again}")
        kind = f"{kinds.row(0)[0]}:"
        said = [error for error in failed["error"] if error.startswith(kind)]
        notes += [f"such as {said[0][:_LONGEST_ERROR]}"] if said else []
    written = final.filter(pl.col("raw").is_not_null(), pl.col("how").is_not_null())
    notes += [note for note in (parsing_note(written["how"]), _shares_note(written["how"])) if note]
    cut = int((final["finish"] == "length").sum()) if "finish" in final.columns else 0
    if cut:
        notes.append(f"{cut} answers were cut at the most tokens allowed (--max-new-tokens)")
    lost = final["probs_error"].drop_nulls() if "probs_error" in final.columns else pl.Series([])
    if len(lost):
        notes.append(f"{len(lost)} answers have no probabilities ({lost[0]})")
    return notes


def _shares_note(how: pl.Series) -> str:
    """The same for shares, where a reason for reading none is not one for reading no label too."""
    lost = how.filter(how.is_in([name for name in UNREAD if name not in UNPARSED])).value_counts()
    parts = ", ".join(f"{count} {UNREAD[name]}" for name, count in lost.sort("count", how.name).iter_rows())
    return f"no shares could be read from {lost['count'].sum()} of {len(how)} texts: {parts}" if parts else ""


def shown_plan(plan: Plan, *, limit: int = 4000) -> Sequence[str]:
    """The plan in lines: how much is asked, and the first prompt.

    Args:
        plan: The plan.
        limit: Characters of the prompt at most.

    Returns:
        Lines of text.
    """
    characters = sum(unit.size for unit in plan.units)
    n_orders = len(orders(plan.question.shown, plan.settings.get("orders", "none")))
    samples = 1 if plan.manner is None else plan.manner.samples
    each = [f"each in {n_orders} orders of the options"] if n_orders > 1 else []
    each += [f"{samples} answers to each"] if samples > 1 else []
    much = ", ".join([f"{len(plan.units)} questions to ask", *each, f"{characters} characters of first prompts"])
    return [much, *plan.notes, "", *plan.first[:limit].splitlines()]
