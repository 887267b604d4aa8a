"""Several questions about one item taken through their steps at the same time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from dfar_toolkit.engines.requests import Reply, Request
from dfar_toolkit.runners.units import Row, Steps


def side_by_side(steps: Sequence[Steps]) -> Generator[list[Request], list[Reply], list[list[Row]]]:
    """Steps of several questions, one step of each at a time, so that a model answers them together.

    Args:
        steps: Each asks for one thing after the other.

    Returns:
        The rows of each, in their order.

    Example:
        >>> def once(text):
        ...     reply = yield text
        ...     return [{"raw": reply}]
        >>> both = side_by_side([once("a"), once("b")])
        >>> next(both)
        ['a', 'b']
        >>> try: both.send(["A", "B"])
        ... except StopIteration as end: end.value
        [[{'raw': 'A'}], [{'raw': 'B'}]]
    """
    ended: dict[int, list[Row]] = {}
    live: list[tuple[int, Any, Request]] = []
    for number, own in enumerate(steps):
        try:
            live.append((number, own, next(own)))
        except StopIteration as end:
            ended[number] = end.value
    while live:
        replies = yield [request for _, _, request in live]
        going: list[tuple[int, Any, Request]] = []
        for (number, own, _), reply in zip(live, replies, strict=True):
            try:
                going.append((number, own, own.send(reply)))
            except StopIteration as end:
                ended[number] = end.value
        live = going
    return [ended[number] for number in range(len(ended))]
