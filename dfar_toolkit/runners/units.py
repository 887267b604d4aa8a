"""The least piece of a run: one question about one item, with the steps that answer it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from dfar_toolkit.engines.requests import Reply, Request

Row = dict[str, Any]
# Asks for one thing after the other and is sent each reply; returns the rows of the outputs (or judgements) table.
# It knows neither batches nor threads, so that local models and servers go through the same steps.
Steps = Generator[Request, Reply, list[Row]]
# The same, of several things at once: a list of requests is answered by the list of their replies.
ManySteps = Generator[list[Request], list[Reply], list[Row]]


class Unit(NamedTuple):
    """What is answered as a whole or not at all.

    Attributes:
        name: Names the unit within its run, whatever the order; what a resumed run goes by.
        size: Characters of its first prompt, for batches of equal lengths.
        start: Begins its steps.
    """

    name: str
    size: int
    start: Callable[[], Steps | ManySteps]


def seed_of(seed: int, *parts: object) -> int:
    """A seed of 63 bits for one request, from the run's seed and the names of the unit and the step.

    Example:
        >>> seed_of(0, "dfar:test:00017", 1) == seed_of(0, "dfar:test:00017", 1)
        True
        >>> seed_of(0, "a", 1) == seed_of(0, "a", 2)
        False
    """
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
