"""Whether items can be explained as they are asked to be: said before a model is loaded, which takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.given_rationales import given_rationales
from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
from dfar_toolkit.journeys.what_is_asked import Question, question_of
from dfar_toolkit.prompts.asking import asked_of
from dfar_toolkit.prompts.item_words import item_fields, item_words
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explaining import ATTRIBUTIONS, ERASING, HUMAN, METHODS, Explaining
from dfar_toolkit.runners.rationales.item_without import HIDING
from dfar_toolkit.tabular import nearest

_NAMED_TARGETS: Final = ("predicted", "gold")
_NAMED_CONTRASTS: Final = ("none", "runner_up")
_TOP_VAR: Final = "prompted_top_var"


def check_explaining(how: Explaining, question: Question, *, served: bool, given: bool = False) -> None:
    """Refuse methods, targets and engines that do not fit each other.

    Args:
        how: Methods, target and perturbations.
        question: What the items are asked.
        served: Whether the model is behind a server.
        given: Whether rationales come from a file besides.

    Raises:
        TableError: Says what does not fit.
    """
    for name in how.methods:
        if name not in METHODS:
            raise TableError(f"unknown method {name!r}; wanted one of {', '.join(METHODS)}.{nearest(name, METHODS)}")
        if served and name in ATTRIBUTIONS:
            raise TableError(f"--method {name} needs the model itself, which a server does not hand out.")
    if not how.methods and not given:
        raise TableError(f"no method: give --method with one of {', '.join(METHODS)}, or --rationales FILE.")
    for operator in how.operators:
        if served and operator in HIDING:
            raise TableError(f"--operator {operator} needs the model itself, which a server does not hand out.")
    if not how.mask.strip():
        raise TableError("--mask wants what stands for a masked word, found a blank; --operator remove leaves nothing.")
    if len(question.shown) > len(question.options):
        raise TableError("--map gives an option several names; a rationale is of one name. Give each option one.")
    for flag, name, known in (("--target", how.target, _NAMED_TARGETS), ("--contrast", how.contrast, _NAMED_CONTRASTS)):
        if name not in (*known, *question.shown):
            raise TableError(
                f"{flag} must be {', '.join(known)} or one of {', '.join(question.shown)}, found {name!r}."
            )
    if how.contrast == how.target:
        raise TableError(f"--contrast {how.contrast} is the target itself; name another label.")


def label_manner(asking: PredictOptions, *, chat: bool) -> tuple[Manner, list[str]]:
    """How the label is asked for, and notes.

    Args:
        asking: How the model is asked.
        chat: Whether it speaks in turns.

    Returns:
        The manner, of a style that answers with a label alone, and notes.

    Raises:
        TableError: Another style, or options that do not fit each other.
    """
    manner, notes = manner_of(asking, chat=chat)
    if manner.style.answer != "label" or manner.samples > 1 or manner.rephrase or manner.drafts:
        raise TableError(
            f"rationales are of one label that is answered at once; the style {manner.style.name!r} answers with "
            f"{manner.style.answer}. Use --style label or label-letters, and one sample."
        )
    return manner, notes


def check_before_loading(
    folder: ItemsFolder, asking: PredictOptions, how: Explaining, *, rationales: Path | None = None, served: bool
) -> None:
    """Refuse what no model could be asked.

    Args:
        folder: The items.
        asking: How the model is asked about them.
        how: Methods, target and perturbations.
        rationales: A file or run with rationales of any tool.
        served: Whether the model is behind a server.

    Raises:
        TableError: Items, options and rationales do not fit each other.
    """
    question = question_of(folder, asking.selection, asking.label_map)
    check_explaining(how, question, served=served, given=rationales is not None)
    manner, _ = label_manner(asking, chat=False)
    erasing = [name for name in how.methods if name in ERASING]
    if erasing and manner.elicit == "samples":
        raise TableError(
            f"--method {erasing[0]} is told by the probabilities of the labels, which --elicit samples does not ask "
            "for; leave out one of the two."
        )
    check_human(folder, question, how)
    asked = asked_of(question.items, list(question.shown), wording=question.wording)
    fields = list(dict.fromkeys(name for one in asked for name in item_fields(one)))
    for name in how.fields or ():
        if name not in fields:
            raise TableError(f"{folder.path}: no field {name!r}; there are {', '.join(fields)}.{nearest(name, fields)}")
    if rationales is not None:
        ids = question.items["item_id"].to_list()
        words = {item: item_words(one, fields=how.fields, unit=how.unit) for item, one in zip(ids, asked, strict=True)}
        given_rationales(rationales, folder.questions, words, all_fields=how.fields is None)


def check_human(folder: ItemsFolder, question: Question, how: Explaining) -> None:
    """Refuse methods that need words that people marked, where nobody did.

    Args:
        folder: The items.
        question: What is asked about which of them.
        how: Methods.

    Raises:
        TableError: The items have no evidence.
    """
    needs = [method for method in (HUMAN, _TOP_VAR) if method in how.methods]
    own = folder.annotations.filter(pl.col("item_id").is_in(question.items["item_id"].to_list()))
    if needs and not own["evidence"].is_not_null().any():
        raise TableError(f"{folder.path}: --method {needs[0]}: nobody marked words in these items (evidence is null).")
