"""From items and a model to rationales, and to what the model says without their words, in a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.engines_of import Opened
from dfar_toolkit.journeys.explain_checks import check_explaining, check_human, label_manner
from dfar_toolkit.journeys.given_rationales import given_rationales
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.predict_options import PredictOptions
from dfar_toolkit.journeys.predicting import Predicted, notes_of
from dfar_toolkit.journeys.unit_plans import Running, UnitPlan, carry_out
from dfar_toolkit.journeys.what_is_asked import Question, as_text, asked_items, question_of
from dfar_toolkit.prompts.asking import Asked, asked_of
from dfar_toolkit.prompts.item_words import Word, item_fields, item_words
from dfar_toolkit.prompts.rationale_styles import rationale_styles
from dfar_toolkit.runners.answers import Reading, says_of
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.rationales.explaining import HUMAN, Explaining
from dfar_toolkit.runners.rationales.human_words import human_words_of
from dfar_toolkit.runners.rationales.integral_notes import integral_notes
from dfar_toolkit.runners.rationales.prompted import prompted_note
from dfar_toolkit.runners.rationales.rationale import RATIONALE
from dfar_toolkit.runners.rationales.unit import explained

_PROMPTED = "prompted_"
_LONG_WORD = 40  # characters in a row without a blank, on average over words: a script without blanks


class ExplainOptions(NamedTuple):
    """How items are explained.

    Attributes:
        asking: How the model is asked about them; a style that answers with a label alone.
        how: Methods, target and perturbations; its ``manner`` is made of ``asking``.
        rationales: A file or run with rationales of any tool, which are tried out on this model; None: none.
    """

    asking: PredictOptions
    how: Explaining
    rationales: Path | None = None


def explain(
    items: Path | str | ItemsFolder,
    engine: Opened,
    out: Path,
    options: ExplainOptions,
    *,
    config: str | None = None,
    running: Running | None = None,
) -> Predicted:
    """Explain what a model says about items and write a run folder; the same call goes on where it was stopped.

    Args:
        items: The items folder.
        engine: The model, from ``open_engine`` or ``opened``; it is never changed.
        out: The run folder: absent, empty, or of the same run.
        options: Methods and perturbations.
        config: The config of the items, where they have several.
        running: How it is carried out.

    Returns:
        The outputs (rows of condition ``full``, ``empty``, ``rationale`` and of perturbed items), and notes.

    Raises:
        TableError: Items, options or folder do not fit each other.
        EngineError: The model does not answer.
    """
    folder = items_of(items, config)
    plan = explain_plan(folder, engine, options, run_id=options.asking.run_id or out.resolve().name)
    return carry_out(
        plan, engine, out, options.asking, questions=folder.questions,
        table=partial(_table, dtype=engine.facts.get("dtype")), notes_of=explained_notes, running=running or Running(),
    )  # fmt: skip


def _table(
    said: pl.DataFrame, reading: Reading, told: Callable[[str], None], *, dtype: str | None
) -> pl.DataFrame:  # fmt: skip
    """The outputs; what the model computed in stands in every row, as it decides which flips may be rounding."""
    table = explained_table(said, reading, told=told)
    if dtype is None:
        return table
    return table.with_columns(dtype=pl.coalesce("dtype", pl.lit(dtype)) if "dtype" in table.columns else pl.lit(dtype))


def explain_plan(folder: ItemsFolder, engine: Opened, options: ExplainOptions, *, run_id: str) -> UnitPlan:
    """What will be asked, without asking it.

    Args:
        folder: The items.
        engine: Who is asked.
        options: How.
        run_id: Name of the run.

    Returns:
        The plan.

    Raises:
        TableError: Items and options do not fit each other.
    """
    asking = options.asking
    question = question_of(folder, asking.selection, asking.label_map)
    check_explaining(options.how, question, served=engine.kind == "server", given=options.rationales is not None)
    if engine.kind == "ranker":
        raise TableError("a ranker of option texts is not explained; use a causal model or a classifier.")
    reading = Reading(run_id, question.name, question.options, says=question.says)
    check_human(folder, question, options.how)
    asked, how, notes = _asked(folder, question, engine, options)
    if engine.loaded is not None and how.manner is None:
        from dfar_toolkit.engines.classifying import class_names

        says_of(class_names(engine.loaded), reading)
    if how.manner is not None:
        reading = replace(reading, answer=how.manner.style.answer, letters=how.manner.style.letters)
    ids = question.items["item_id"].to_list()
    words = {item: item_words(one, fields=how.fields, unit=how.unit) for item, one in zip(ids, asked, strict=True)}
    own = folder.annotations.filter(pl.col("item_id").is_in(ids))
    human = human_words_of(question.items, own, words)
    if HUMAN in how.methods and not human:  # of marks that say why one label and not another, none is of the label
        raise TableError(f"{folder.path}: --method human: nobody marked words for a label alone in these items.")
    given = {}
    if options.rationales:
        given = given_rationales(options.rationales, folder.questions, words, all_fields=how.fields is None)
    others = _words_of_all(asked, words, ids) if "replace" in how.operators else ()
    units = [
        explained(item, one, gold, human.get(item), how, given=given.get(item, ()), replacements=others)
        for item, one, gold in zip(ids, asked, _golds(folder, question), strict=True)
    ]
    first = "\n\n".join(item_fields(asked[0]).values())
    if how.manner is not None:
        first = as_text(asked[0], how.manner)
    notes += _word_notes(words)
    return UnitPlan(
        question, units, first, _settings(folder, question, engine, options, how), reading,
        (*question.notes, *notes),
    )  # fmt: skip


def _asked(
    folder: ItemsFolder, question: Question, engine: Opened, options: ExplainOptions
) -> tuple[list[Asked], Explaining, list[str]]:
    """What is asked about each item, how, and notes; a classifier reads texts without a prompt."""
    if engine.kind == "classifier":
        plain = asked_of(question.items, list(question.shown), wording=question.wording)
        return plain, replace(options.how, manner=None), []
    manner, notes = label_manner(options.asking, chat=engine.chat)
    asked, more = asked_items(folder, question, manner, options.asking.selection, options.asking.seed)
    return asked, replace(options.how, manner=manner), [*notes, *more]


def _golds(folder: ItemsFolder, question: Question) -> list[str | None]:
    """The items' own labels to the question, as the model is shown them."""
    shown = {option: name for name, option in question.says.items()}
    labels = question.items.select("item_id", pl.col("label").cast(pl.String))
    if question.name != folder.question:
        own = folder.targets.filter(question=question.name).select("item_id", pl.col("label").cast(pl.String))
        labels = labels.select("item_id").join(own, on="item_id", how="left", maintain_order="left")
    return [None if gold is None else shown.get(gold, gold) for gold in labels["label"].to_list()]


def _words_of_all(asked: Sequence[Asked], words: dict[str, tuple[Word, ...]], ids: Sequence[str]) -> tuple[str, ...]:
    """The different words of the items, in order of the alphabet: what ``replace`` draws from."""
    found: set[str] = set()
    for item, one in zip(ids, asked, strict=True):
        texts = item_fields(one)
        found |= {texts[word.field][word.start : word.end] for word in words[item]}
    return tuple(sorted(found))


def _word_notes(words: dict[str, tuple[Word, ...]]) -> list[str]:
    """What must be known of the words of the items."""
    lengths = [word.end - word.start for own in words.values() for word in own]
    empty = sum(not own for own in words.values())
    notes = [f"{empty} items have no words in these fields; they have no rationale"] if empty else []
    if lengths and sum(lengths) / len(lengths) > _LONG_WORD:
        notes.append("words between blanks are very long here: for scripts without blanks give --words characters")
    return notes


def _settings(
    folder: ItemsFolder, question: Question, engine: Opened, options: ExplainOptions, how: Explaining
) -> dict[str, Any]:
    """All that decides the answers."""
    from dfar_toolkit.files.digest import file_digest

    asking, manner = options.asking, how.manner
    explaining = {k: v for k, v in asdict(replace(how, manner=None)).items() if k != "manner"}
    asked = {"style": "classifier"} if manner is None else {
        "style": manner.style.name, "prompt_sha256": manner.style.sha256, "elicit": manner.elicit, "chat": manner.chat,
        "spellings": manner.spellings, **asking.selection.settings(),
    }  # fmt: skip
    prompted = [method.removeprefix(_PROMPTED) for method in how.methods if method.startswith(_PROMPTED)]
    styles = rationale_styles() if prompted else {}
    given = options.rationales
    file = None if given is None else given / "outputs.parquet" if given.is_dir() else given
    return {
        "explains": explaining, "rationales_sha256": None if file is None else file_digest(file),
        "items": folder.manifest.get("content_digest", {}), "question": question.name, "split": list(question.splits),
        "limit": asking.selection.limit, "label_map": asking.label_map or {}, "seed": asking.seed,
        "model": engine.deciding_facts, "rationale_prompts": {name: styles[name].sha256 for name in prompted}, **asked,
    }  # fmt: skip


def explained_notes(outputs: pl.DataFrame) -> list[str]:
    """What was not answered or not found, in words.

    Args:
        outputs: The outputs of a run that explains.

    Returns:
        The notes, most important first.
    """
    rationales = outputs.filter(pl.col("condition") == RATIONALE)
    notes = notes_of(outputs.filter(pl.col("condition") != RATIONALE))
    lost = rationales.filter(pl.col("error").is_not_null())
    for method, count in lost.group_by("method").len().sort("method").iter_rows():
        first = lost.filter(pl.col("method") == method)["error"][0]
        notes.append(f"{method}: {count} items have no rationale (such as {first[:200]})")
    if "how_read" in rationales.columns:
        for method, own in rationales.group_by("method", maintain_order=True):
            note = prompted_note(own["how_read"].drop_nulls())
            notes += [f"{method[0]}: {note}"] if note else []
    if "n_missed" in rationales.columns:
        listed = rationales.group_by("method").agg(pl.col("n_missed", "n_listed").sum()).filter(pl.col("n_missed") > 0)
        for method, missed, named in listed.sort("method").iter_rows():
            notes.append(f"{method}: {missed} of {named} words that the model named are not in the text")
    named = rationales.filter(pl.col("method") == HUMAN, pl.col("evidence").is_not_null())
    if without := len(named.filter(pl.col("evidence").list.len() == 0)):
        notes.append(f"{HUMAN}: in {without} of {len(named)} items most people marked no word, or not the same")
    return [*notes, *integral_notes(rationales)]
