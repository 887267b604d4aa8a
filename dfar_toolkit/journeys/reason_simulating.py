"""From the reasons of a run and a simulator to its guesses at the labels, in a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.engines_of import Opened
from dfar_toolkit.journeys.explained_answers import ExplainedAnswers, explained_answers
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import OutputsOptions
from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
from dfar_toolkit.journeys.predicting import Predicted, notes_of
from dfar_toolkit.journeys.unit_plans import Running, UnitPlan, carry_out
from dfar_toolkit.journeys.what_is_asked import Question, as_text, asked_items, question_of
from dfar_toolkit.prompts.simulation_style import simulation_style
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.self_consistency.simulating import Explained, simulated_forms, simulation_units


class SimulationOptions(NamedTuple):
    """Whose reasons a simulator reads.

    Attributes:
        asking: How the simulator is asked; the style is ``simulate`` or a file's.
        of: Outputs with the labels and the reasons: a run folder, or a file of one run.
        reading: How they are read, where that is not to be found out.
        separator: Separator of a CSV file where it is not a comma.
    """

    asking: PredictOptions
    of: Path | str
    reading: OutputsOptions | None = None
    separator: str | None = None


def simulated_reasons(
    items: Path | str | ItemsFolder,
    engine: Opened,
    out: Path,
    options: SimulationOptions,
    *,
    config: str | None = None,
    running: Running | None = None,
) -> Predicted:
    """Have a simulator guess the labels of a run, with and without its reasons; the same call goes on where it stopped.

    Args:
        items: The items folder.
        engine: The simulator.
        out: The run folder: absent, empty, or of the same run.
        options: Whose reasons, and how it is asked.
        config: The config of the items, where they have several.
        running: How it is carried out.

    Returns:
        The outputs, and notes.

    Raises:
        TableError: Items, answers, options or folder do not fit each other.
        EngineError: The simulator does not answer.
    """
    folder = items_of(items, config)
    plan = simulation_plan(folder, engine, options, run_id=options.asking.run_id or out.resolve().name)
    return carry_out(
        plan, engine, out, options.asking, questions=folder.questions,
        table=lambda said, reading, told: explained_table(said, reading, told=told), notes_of=notes_of,
        running=running or Running(),
    )  # fmt: skip


def simulation_plan(folder: ItemsFolder, engine: Opened, options: SimulationOptions, *, run_id: str) -> UnitPlan:
    """What will be asked, without asking it.

    Args:
        folder: The items.
        engine: The simulator.
        options: Whose reasons, and how it is asked.
        run_id: Name of the run.

    Returns:
        The plan.

    Raises:
        TableError: Items, answers and options do not fit each other.
    """
    if engine.kind in ("classifier", "ranker"):
        raise TableError(
            f"a {engine.kind} cannot be asked which label somebody gave; give --model a model that reads a prompt."
        )
    asking = options.asking
    question = question_of(folder, asking.selection, asking.label_map)
    manner, notes = _manner(asking, chat=engine.chat)
    answers = _answers(folder, question, options)
    explained, more = _explained(folder, question, manner, answers, asking)
    style = manner.style
    settings: dict[str, Any] = {
        "simulates": {"run": answers.run, "answers": len(answers.rows), "answers_sha256": answers.digest},
        "items": folder.manifest.get("content_digest", {}), "question": question.name, "split": list(question.splits),
        "limit": asking.selection.limit, "label_map": asking.label_map or {}, "seed": asking.seed,
        "model": engine.deciding_facts, "style": style.name, "prompt_sha256": style.sha256, "elicit": manner.elicit,
        "chat": manner.chat, "temperature": manner.temperature, "max_new_tokens": manner.max_new_tokens,
        "spellings": manner.spellings,
    }  # fmt: skip
    reading = Reading(run_id, question.name, question.options, says=question.says, letters=style.letters)
    told = (*question.notes, *notes, *answers.notes, *more, *_special(engine, answers))
    units = simulation_units(explained, manner, run=answers.run)
    return UnitPlan(question, units, _first(explained[0], manner), settings, reading, told)


def check_simulation(folder: ItemsFolder, options: SimulationOptions) -> None:
    """Refuse what no simulator could be asked, before one is loaded.

    Args:
        folder: The items.
        options: Whose reasons, and how it is asked.

    Raises:
        TableError: Items, style and answers do not fit each other.
    """
    asking = options.asking
    question = question_of(folder, asking.selection, asking.label_map)
    manner, _ = _manner(asking, chat=False)
    answers = _answers(folder, question, options)
    explained, _ = _explained(folder, question, manner, answers, asking)
    _first(explained[0], manner)


def _answers(folder: ItemsFolder, question: Question, options: SimulationOptions) -> ExplainedAnswers:
    """What is to be guessed."""
    return explained_answers(
        options.of, folder, question, options.asking.label_map, reading=options.reading, separator=options.separator
    )


def _manner(asking: PredictOptions, *, chat: bool) -> tuple[Manner, list[str]]:
    """How the simulator is asked."""
    if asking.selection.shots:
        raise TableError("--shots shows people's labels, which are not those that a simulator guesses; leave it out.")
    style = simulation_style(asking.style)
    # Checked as the style "label" is, which differs only in what it says.
    manner, notes = manner_of(asking._replace(style="label"), chat=chat)
    limit = asking.max_new_tokens or style.max_new_tokens
    plain = [f"the style {style.name} is a plain text: the model's chat template is not used"]
    said = [note.replace("the style label ", f"the style {style.name} ") for note in notes]
    return replace(manner, style=style, max_new_tokens=limit), [*said, *(plain if chat and style.plain_only else [])]


def _explained(
    folder: ItemsFolder, question: Question, manner: Manner, answers: ExplainedAnswers, asking: PredictOptions
) -> tuple[list[Explained], list[str]]:
    """What is asked about each answer, in the order of the items, and notes."""
    asked, notes = asked_items(folder, question, manner, asking.selection, asking.seed)
    of_item = dict(zip(question.items["item_id"].to_list(), asked, strict=True))
    return [Explained(item, of_item[item], label, reason) for item, label, reason in answers.rows.iter_rows()], notes


def _first(one: Explained, manner: Manner) -> str:
    """The prompts about the first answer, each under its condition."""
    return "\n\n".join(f"[{name}]\n{as_text(asked, manner)}" for name, asked in simulated_forms(one).items())


def _special(engine: Opened, answers: ExplainedAnswers) -> list[str]:
    if engine.loaded is None:
        return []
    from dfar_toolkit.engines.token_ids import special_texts

    count = special_texts(answers.rows["reason"].to_list(), engine.loaded.tokenizer)
    said = f"reasons that hold the text of a special token of the model, which may end a turn of the prompt: {count}"
    return [said] if count else []
