"""From items and a model to tests of the reasons that it writes, in a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.engines_of import Opened
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
from dfar_toolkit.journeys.predicting import Predicted, notes_of
from dfar_toolkit.journeys.unit_plans import Running, UnitPlan, carry_out
from dfar_toolkit.journeys.what_is_asked import Question, as_text, asked_items, question_of
from dfar_toolkit.metrics.self_consistency.mentions import with_mentions
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.rationales.explaining import ATTRIBUTIONS
from dfar_toolkit.runners.self_consistency.candidate_words import words_from, words_of_items
from dfar_toolkit.runners.self_consistency.chain_of_thought import sentence_pool
from dfar_toolkit.runners.self_consistency.reason_testing import (
    CC_SHAP,
    LEAVE_ONE_OUT,
    TESTS,
    ReasonTesting,
    check_reason_testing,
)
from dfar_toolkit.runners.self_consistency.units import self_consistency_units
from dfar_toolkit.runners.units import Unit
from dfar_toolkit.tabular import nearest

OF_ITEMS = "items"  # in place of a file of words: the words of the other items


class ReasonTestOptions(NamedTuple):
    """How the reasons of a model are tested.

    Attributes:
        asking: How the model is asked; a style whose answers have a reason.
        how: The tests; its ``manner`` is made of ``asking``. None: the correlational test as it stands.
        words: File of words to insert, a line each; ``items``: the words of the items; None: ours, English.
    """

    asking: PredictOptions
    how: ReasonTesting | None = None
    words: str | None = None


def reason_tests(
    items: Path | str | ItemsFolder,
    engine: Opened,
    out: Path,
    options: ReasonTestOptions,
    *,
    config: str | None = None,
    running: Running | None = None,
) -> Predicted:
    """Test the reasons that a model writes and write a run folder; the same call goes on where it was stopped.

    Args:
        items: The items folder.
        engine: The model.
        out: The run folder: absent, empty, or of the same run.
        options: The tests.
        config: The config of the items, where they have several.
        running: How it is carried out.

    Returns:
        The outputs, and notes.

    Raises:
        TableError: Items, options or folder do not fit each other.
        EngineError: The model does not answer.
    """
    folder = items_of(items, config)
    plan = reason_test_plan(folder, engine, options, run_id=options.asking.run_id or out.resolve().name)
    return carry_out(
        plan, engine, out, options.asking, questions=folder.questions, table=_table, notes_of=notes_of,
        running=running or Running(),
    )  # fmt: skip


def reason_test_plan(folder: ItemsFolder, engine: Opened, options: ReasonTestOptions, *, run_id: str) -> UnitPlan:
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
    if engine.kind in ("classifier", "ranker"):
        raise TableError(f"a {engine.kind} writes no reasons; test those of a model that does.")
    question = question_of(folder, asking.selection, asking.label_map)
    manner, notes = manner_of(asking, chat=engine.chat)
    how, asked, units, more = _units(folder, question, manner, options, served=engine.loaded is None)
    style = manner.style
    reading = Reading(run_id, question.name, question.options, says=question.says, answer=style.answer,
                      letters=style.letters)  # fmt: skip
    testing = {k: v for k, v in asdict(replace(how, manner=None)).items() if k != "manner"}  # type: ignore[arg-type]
    settings: dict[str, Any] = {
        "tests_reasons": testing, "words_sha256": _words_digest(options.words),
        "items": folder.manifest.get("content_digest", {}), "question": question.name, "split": list(question.splits),
        "limit": asking.selection.limit,
        "label_map": asking.label_map or {}, "seed": asking.seed, "model": engine.deciding_facts,
        "style": style.name, "prompt_sha256": style.sha256, "elicit": manner.elicit, "chat": manner.chat,
        "temperature": manner.temperature, "max_new_tokens": manner.max_new_tokens, "spellings": manner.spellings,
        **asking.selection.settings(),
    }  # fmt: skip
    return UnitPlan(
        question, units, as_text(asked[0], manner), settings, reading, (*question.notes, *notes, *more)
    )  # fmt: skip


def check_reason_tests(folder: ItemsFolder, options: ReasonTestOptions, *, served: bool) -> None:
    """Refuse what no model could be asked, before one is loaded.

    Args:
        folder: The items.
        options: The tests.
        served: Whether the model is behind a server.

    Raises:
        TableError: Items, style and tests do not fit each other.
    """
    question = question_of(folder, options.asking.selection, options.asking.label_map)
    manner, _ = manner_of(options.asking, chat=False)
    _units(folder, question, manner, options, served=served)


def _units(
    folder: ItemsFolder, question: Question, manner: Manner, options: ReasonTestOptions, *, served: bool
) -> tuple[ReasonTesting, list[Asked], list[Unit], list[str]]:
    """The tests, what is asked about each item, the units, and notes."""
    asking = options.asking
    how = replace(options.how, manner=manner) if options.how is not None else ReasonTesting(manner)
    if lost := [name for name in how.tests if name not in TESTS]:
        raise TableError(f"unknown test {lost[0]!r}; wanted some of {', '.join(TESTS)}.{nearest(lost[0], TESTS)}")
    known = (*ATTRIBUTIONS, LEAVE_ONE_OUT)
    if how.attribution not in known:
        near = nearest(how.attribution, known)
        raise TableError(f"unknown --attribution {how.attribution!r}; wanted one of {', '.join(known)}.{near}")
    if CC_SHAP in how.tests and served:
        raise TableError("--test cc_shap needs the model itself, which a server does not hand out; use the others.")
    check_reason_testing(how)
    asked, more = asked_items(folder, question, manner, asking.selection, asking.seed)
    ids = question.items["item_id"].to_list()
    pool = sentence_pool(_reasons(folder)) if how.mistake == "other_sentence" else ()
    units = self_consistency_units(
        list(zip(ids, asked, strict=True)), how, words=_words(options.words, asked, how), pool=pool
    )
    return how, asked, units, more


def _words_digest(given: str | None) -> str | None:
    """What tells one file of words from another; words of the items are told by the items."""
    return given if given in (None, OF_ITEMS) else file_digest(Path(given))


def _words(given: str | None, asked: list[Asked], how: ReasonTesting) -> tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(words_of_items(asked, unit=how.unit, seed=how.seed) if given == OF_ITEMS else words_from(Path(given)))


def _reasons(folder: ItemsFolder) -> dict[str, list[str]]:
    """People's reasons of each item."""
    texts = pl.col("reasons").list.eval(pl.element().struct.field("text"))
    return {item: list(own) for item, own in folder.items.select("item_id", texts).iter_rows() if own}


def _table(said: pl.DataFrame, reading: Reading, told: Callable[[str], None]) -> pl.DataFrame:
    table = explained_table(said, reading, told=told)
    return with_mentions(table) if "inserted" in table.columns else table
