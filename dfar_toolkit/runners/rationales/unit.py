"""The steps that explain one item: what the model says, why by each method, and what it says without these words."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dfar_toolkit.engines.requests import Attribute, Failed, Reply, Request
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.item_words import Word, item_fields, item_words
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.attributed import attribute_request, attributed_rationales
from dfar_toolkit.runners.rationales.erasing import erased_forms, erasing_rationales
from dfar_toolkit.runners.rationales.explaining import (
    ATTRIBUTIONS,
    ERASING,
    HUMAN,
    METHODS,
    PROMPTED,
    RANDOM,
    Explaining,
)
from dfar_toolkit.runners.rationales.human_words import HumanWords
from dfar_toolkit.runners.rationales.item_without import HIDING, ItemWithout
from dfar_toolkit.runners.rationales.perturbations import perturbed
from dfar_toolkit.runners.rationales.prompted import prompted_rationales
from dfar_toolkit.runners.rationales.random_words import random_rationales
from dfar_toolkit.runners.rationales.rationale import RATIONALE, Rationale
from dfar_toolkit.runners.units import ManySteps, Row, Unit

PREDICTED: Final = "predicted"
GOLD: Final = "gold"
RUNNER_UP: Final = "runner_up"
NONE: Final = "none"

Rationales = Generator[list[Request], list[Reply], list[Rationale]]


@dataclass(frozen=True, slots=True)
class _Item:
    """An item, and all that decides what is asked about it."""

    item_id: str
    asked: Asked
    gold: str | None
    human: HumanWords | None
    how: Explaining
    given: tuple[Rationale, ...]
    replacements: Sequence[str]
    asker: Asker
    words: tuple[Word, ...]

    @property
    def human_count(self) -> int | None:
        return None if self.human is None else len(self.human.majority)


def explained(
    item_id: str,
    asked: Asked,
    gold: str | None,
    human: HumanWords | None,
    how: Explaining,
    given: Sequence[Rationale] = (),
    replacements: Sequence[str] = (),
) -> Unit:
    """The unit that explains what a model says about one item.

    Args:
        item_id: The item.
        asked: What is asked about it.
        gold: Its label, as ``asked`` names the options; None: it has none.
        human: The words that people marked; None: nobody was asked.
        how: Methods, target and perturbations.
        given: Rationales from elsewhere, which are tried out on this model.
        replacements: The words that ``replace`` draws from, in an order that does not change.

    Returns:
        The unit. Its first row is the prediction (condition ``full``); then a row per rationale (``rationale``) and,
        per operator, one without any word (``empty``) and two for each rationale and number of words.

    Raises:
        TableError: Methods, target, operators and model do not fit each other.
    """
    asker = Asker(how.manner, asked)
    _check(asked, how, given, replacements, asker)
    words = item_words(asked, fields=how.fields, unit=how.unit)
    item = _Item(item_id, asked, gold, human, how, tuple(given), replacements, asker, words)
    shots = sum(len(text) for shot in asked.shots for text in item_fields(shot.asked).values())
    size = sum(map(len, item_fields(asked).values())) + shots
    return Unit(item_id, size, lambda: _steps(item))


def _check(
    asked: Asked, how: Explaining, given: Sequence[Rationale], replacements: Sequence[str], asker: Asker
) -> None:
    """Refuse what could only fail in the midst of a run."""
    unknown = [method for method in how.methods if method not in METHODS]
    if unknown:
        raise TableError(f"unknown method {unknown[0]!r}; wanted {', '.join(METHODS)}.")
    twice = sorted({one.method for one in given} & set(how.methods))
    if twice:
        raise TableError(f"the rationales given are of the method {twice[0]!r}, which is asked for too; leave out one.")
    for what, name, known in (
        ("target", how.target, (PREDICTED, GOLD)), ("contrast", how.contrast, (NONE, RUNNER_UP))
    ):  # fmt: skip
        if name not in known and name not in asked.options:
            raise TableError(
                f"the {what} must be {', '.join(known)} or one of {', '.join(asked.options)}, found {name!r}."
            )
    prompted = [method for method in how.methods if method in PROMPTED]
    if prompted and how.manner is None:
        raise TableError(f"a classifier writes no rationale; leave out {prompted[0]}.")
    hiding = [operator for operator in how.operators if operator in HIDING]
    if hiding and not asker.known_probs:
        raise TableError(f"the operator {hiding[0]} needs the labels' probabilities (forced), not written answers.")
    if not all(0 < share <= 1 for share in how.shares) or min((*how.ks, how.width)) < 1:
        raise TableError("shares must lie above 0 and up to 1, numbers of words and the width be 1 or more.")
    if "replace" in how.operators and not replacements:
        raise TableError("the operator replace needs words to draw from, found none.")


def _steps(item: _Item) -> ManySteps:
    request = item.asker.request(item.asked)
    [full] = yield [request]
    key: Row = {"item_id": item.item_id, "annotator_id": "", "sample": 0}
    first = {**key, "condition": "full", "method": "", "operator": "", "k": -1, "draw": 0, "n_words": len(item.words),
             **item.asker.row(full, request)}  # fmt: skip
    label = item.asker.label_of(full)
    if label is None:
        return [first]
    target: str | None = {PREDICTED: label, GOLD: item.gold}.get(item.how.target, item.how.target)
    target = target if target in item.asked.options else None
    contrast = _contrast(item, target, full)
    if item.words:
        without = ItemWithout(
            item.item_id, item.asked, item.words, item.asker, item.how, full, item.replacements
        )  # fmt: skip
        rationales = yield from _rationales(item, without, target, contrast, full)
        rows = yield from perturbed(without, rationales, item.how, item.human_count)
    else:
        rationales, rows = _of_nothing(item), []
    told = [_rationale_row(item, one, target, contrast) for one in rationales]
    return [first, *({**key, **row} for row in (*told, *rows))]


def _contrast(item: _Item, target: str | None, full: Reply) -> str | None:
    """The label that the target is set against; None where there is none but itself, or it is not known."""
    if item.how.contrast == NONE or target is None:
        return None
    if item.how.contrast != RUNNER_UP:
        return item.how.contrast if item.how.contrast != target else None
    return _runner_up(item, target, full)


def _runner_up(item: _Item, target: str, full: Reply) -> str | None:
    """The likeliest of the other labels; None where it is not known."""
    others = [option for option in item.asked.options if option != target]
    probs = item.asker.probs_of(full)
    if probs is None:
        return others[0] if len(others) == 1 else None
    known = dict(zip(item.asked.options, probs, strict=True))
    return max(others, key=lambda option: known[option], default=None)


def _rationales(item: _Item, without: ItemWithout, target: str | None, contrast: str | None, full: Reply) -> Rationales:
    """Those of all methods, in the order of their names in METHODS, and those that were given."""
    how, found = item.how, list(item.given)
    needing = [method for method in how.methods if method in (*ATTRIBUTIONS, *ERASING, *PROMPTED)]
    if target is None:
        lost = "no_target: the item has no gold label among the options"
        found += [Rationale(method, facts={"error": lost}) for method in needing]
    elif needing:
        found += yield from _of_model(item, without, target, contrast, full)
    if HUMAN in how.methods and item.human is not None:
        facts = {"n_people": len(item.human.people), "n_outside": item.human.n_outside}
        found.append(Rationale(HUMAN, 0, None, item.human.majority, facts))
    if RANDOM in how.methods:
        found += random_rationales(item.item_id, len(item.words), draws=how.draws, seed=how.seed)
    place = {method: at for at, method in enumerate(METHODS)}
    return sorted(found, key=lambda one: (place.get(one.method, len(place)), one.method, one.draw))


def _of_model(item: _Item, without: ItemWithout, target: str, contrast: str | None, full: Reply) -> Rationales:
    """Rationales that the model is asked for, or that come of what it says."""
    how = item.how
    found: list[Rationale] = []
    attribute = attribute_request(item.asker, item.asked, item.words, full, how, target, contrast)
    if isinstance(attribute, Attribute):
        [reply] = yield [attribute]
        found += attributed_rationales(reply, len(item.words), how)
    elif isinstance(attribute, Failed):
        found += attributed_rationales(attribute, len(item.words), how)
    yield from without.ask(erased_forms(how.methods, item.words, how))
    found += erasing_rationales(how.methods, without, item.words, item.asker, how, target, contrast)
    prompted = tuple(method for method in how.methods if method in PROMPTED)
    if prompted:
        found += yield from prompted_rationales(
            item.item_id, item.asked, item.words, target, item.human_count, prompted, how, item.asker,
            wanted=contrast or _runner_up(item, target, full),
        )  # fmt: skip
    return found


def _of_nothing(item: _Item) -> list[Rationale]:
    """The rationales of an item without words: no scores, no words."""
    sets = (HUMAN, *PROMPTED)
    unread = {"how_read": "no_words"}  # as the prompted methods say it
    own = [method for method in METHODS if method in item.how.methods and (method != HUMAN or item.human is not None)]
    return [
        Rationale(
            method, draw, *((None, frozenset()) if method in sets else ((), None)), unread if method in PROMPTED else {}
        )
        for method in own
        for draw in (range(item.how.draws) if method == RANDOM else (0,))
    ] + list(item.given)


def _rationale_row(item: _Item, one: Rationale, target: str | None, contrast: str | None) -> Row:
    """A rationale as a row; what its method says of itself goes before what is so of all."""
    spans: list[dict[str, Any]] = [{"field": w.field, "start": w.start, "end": w.end} for w in item.words]
    aimed = one.method in (*ATTRIBUTIONS, *ERASING, *PROMPTED)
    return {
        "condition": RATIONALE, "method": one.method, "operator": "", "k": -1, "draw": one.draw,
        "word_scores": None if one.scores is None else list(one.scores),
        "evidence": None if one.chosen is None else [{**spans[at], "set": 0} for at in sorted(one.chosen)],
        "words": spans, "n_words": len(item.words), "word_unit": item.how.unit, "fields": list(item.how.fields or ()),
        "target": target if aimed else None, "contrast": contrast if aimed else None, **one.facts,
    }  # fmt: skip
