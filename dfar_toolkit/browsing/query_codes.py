r"""Values of a filter as text in an address, and back: pairs ``a:b``, ranges ``low..high``, yes and no.

A colon within the first part of a pair is written ``\:`` and a backslash ``\\``, so that any name comes back whole.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

Number = TypeVar("Number", int, float)
YesNo = Literal["yes", "no"]


def pair_text(first: str, rest: str) -> str:
    r"""Two values as one text.

    Example:
        >>> pair_text("run:1", "a:b")
        'run\\:1:a:b'
    """
    return first.replace("\\", "\\\\").replace(":", "\\:") + ":" + rest


def read_pair(text: str) -> tuple[str, str]:
    r"""The two values of :func:`pair_text`.

    Raises:
        ValueError: There is no colon between two values.

    Example:
        >>> read_pair("run\\:1:a:b")
        ('run:1', 'a:b')
    """
    first: list[str] = []
    letters = iter(range(len(text)))
    for place in letters:
        if text[place] == ":":
            return "".join(first), text[place + 1 :]
        if text[place] == "\\" and place + 1 < len(text):
            next(letters)
            first.append(text[place + 1])
        else:
            first.append(text[place])
    raise ValueError('wanted two values with ":" between them')


def range_text(low: float | None, high: float | None) -> str:
    """A range with both ends in it; an open end is left blank.

    Example:
        >>> range_text(10, None), range_text(0.25, 1.0)
        ('10..', '0.25..1.0')
    """
    return f"{'' if low is None else repr(low)}..{'' if high is None else repr(high)}"


def read_range(text: str, number: type[Number], limits: tuple[float, float]) -> tuple[Number | None, Number | None]:
    """The ends of :func:`range_text`.

    Raises:
        ValueError: No two numbers, an end beyond the limits, or a range the wrong way round.

    Example:
        >>> read_range("0.5..", float, (0, 1))
        (0.5, None)
    """
    low, between, high = text.partition("..")
    if not between:
        raise ValueError('wanted two numbers with ".." between them')
    try:
        ends = tuple(None if end == "" else number(end) for end in (low, high))
    except ValueError:
        raise ValueError('wanted two numbers with ".." between them') from None
    check_range(ends[0], ends[1], limits)
    return ends[0], ends[1]


def check_range(low: float | None, high: float | None, limits: tuple[float, float]) -> None:
    """Refuse a range that holds nothing or has no end at all.

    Raises:
        ValueError: Says what is wrong with it.
    """
    given = [end for end in (low, high) if end is not None]
    if not given:
        raise ValueError("wanted at least one end of the range")
    if any(not math.isfinite(end) or not limits[0] <= end <= limits[1] for end in given):
        raise ValueError(f"wanted numbers from {limits[0]:g} to {limits[1]:g}")
    if len(given) == 2 and given[0] > given[1]:
        raise ValueError("the range is the wrong way round")


def read_yes_no(text: str) -> bool:
    """Yes or no.

    Raises:
        ValueError: Anything else.
    """
    if text not in ("yes", "no"):
        raise ValueError("wanted yes or no")
    return text == "yes"
