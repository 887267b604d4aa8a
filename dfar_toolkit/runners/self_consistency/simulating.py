"""The units of a run in which a simulator guesses the labels that somebody else gave: one per item, three questions.

Each question is a conversation of its own: the item alone, the item with the reason, the reason alone. All have the
same seed, so that guesses differ by what was shown and not by the draw.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.requests import Reply, Request
from dfar_toolkit.metrics.self_consistency.simulation import BOTH, INPUT, REASON
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.simulation_style import reason_alone, with_reason
from dfar_toolkit.runners.prompting import Manner, unit_of
from dfar_toolkit.runners.self_consistency.side_by_side import side_by_side
from dfar_toolkit.runners.units import Row, Unit

METHOD: Final = "simulate"


class Explained(NamedTuple):
    """An answer that is to be guessed: the item, what is asked about it, the label given, and the reason for it."""

    item_id: str
    asked: Asked
    label: str
    reason: str


def simulated_forms(one: Explained) -> dict[str, Asked]:
    """What the simulator is shown of an item, by condition.

    Example:
        >>> one = Explained("i1", Asked("I lied.", options=("bad", "good")), "bad", "It hurt.")
        >>> [(form.statement, form.earlier.get("reason")) for form in simulated_forms(one).values()]
        [('I lied.', None), ('I lied.', 'It hurt.'), ('', 'It hurt.')]
    """
    asked = one.asked
    return {INPUT: asked, BOTH: with_reason(asked, one.reason), REASON: reason_alone(asked, one.reason)}


def simulation_units(answers: Sequence[Explained], manner: Manner, *, run: str) -> list[Unit]:
    """The units that have the labels of answers guessed.

    Args:
        answers: The answers, in the order of the outputs.
        manner: How the simulator is asked; its style is one of
            :func:`~dfar_toolkit.prompts.simulation_style.simulation_style`.
        run: The run that the answers are of.

    Returns:
        One unit per answer; its rows have the conditions ``simulate_input``, ``simulate_both`` and ``simulate_reason``,
        with ``target_label``, ``target_run`` and, where a reason was shown, ``shown_reason``.

    Example:
        >>> from dfar_toolkit.prompts.simulation_style import simulation_style
        >>> one = Explained("i1", Asked("I lied.", options=("bad", "good")), "bad", "It hurt.")
        >>> [unit] = simulation_units([one], Manner(simulation_style("simulate")), run="r")
        >>> len(next(unit.start()))
        3
    """
    return [_unit(one, manner, run) for one in answers]


def _unit(one: Explained, manner: Manner, run: str) -> Unit:
    def start() -> Generator[list[Request], list[Reply], list[Row]]:
        return _guessed(one, manner, run)

    return Unit(one.item_id, unit_of(one.item_id, with_reason(one.asked, one.reason), manner).size, start)


def _guessed(one: Explained, manner: Manner, run: str) -> Generator[list[Request], list[Reply], list[Row]]:
    forms = simulated_forms(one)
    every: list[Any] = [unit_of(one.item_id, asked, manner).start() for asked in forms.values()]
    found = yield from side_by_side(every)
    return [
        {
            **row, "condition": condition, "method": METHOD, "k": -1, "draw": 0, "target_label": one.label,
            "target_run": run, "shown_reason": None if condition == INPUT else one.reason,
        }
        for condition, own in zip(forms, found, strict=True) for row in own
    ]  # fmt: skip
