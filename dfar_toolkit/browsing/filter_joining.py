"""Two filters at once, where one filter can say it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

from dfar_toolkit.browsing.item_filter import ItemFilter

_ALL_HOLD: Final = ("between", "differs", "beats", "judged_bad")  # of these every value holds, so lists add up
_RANGES: Final = ("length", "disagreement")
_BY_RUN: Final = ("prediction", "state")


def joined(one: ItemFilter, two: ItemFilter) -> ItemFilter | None:
    """The filter that lets through what both let through; None where no single filter can say it.

    Where values of a field are alternatives, those that both have are left. It is None where there are none, and for
    two different texts or patterns, answers' probabilities of one run, or things that some person or audit said twice.

    Example:
        >>> joined(ItemFilter(split=("test",), length=(5, 50)), ItemFilter(length=(None, 20))).to_query()
        {'split': ['test'], 'length': '5..20'}
        >>> joined(ItemFilter(text="a"), ItemFilter(text="b")) is None
        True
    """
    change: dict[str, Any] = {}
    for field in fields(ItemFilter):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if b == field.default or a == b:
            continue
        both = b if a == field.default else _both(field.name, a, b)
        if both is None:
            return None
        change[field.name] = both
    return replace(one, **change)


def _both(name: str, a: Any, b: Any) -> Any:
    """What both values of a field leave; None where nothing says it."""
    if name in _ALL_HOLD:
        return (*a, *b)
    if name in _RANGES:
        low = max((end for end in (a[0], b[0]) if end is not None), default=None)
        high = min((end for end in (a[1], b[1]) if end is not None), default=None)
        return None if low is not None and high is not None and low > high else (low, high)
    if name in _BY_RUN:
        return _of_runs(a, b)
    if name in ("gold", "group", "config", "source", "split", "leak"):
        return tuple(value for value in a if value in b) or None
    return None


def _of_runs(a: tuple[tuple[str, str], ...], b: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...] | None:
    """Alternatives run by run; a run that only one of them names keeps its own."""
    runs = {run for run, _ in a} & {run for run, _ in b}
    kept = tuple(pair for pair in a if pair[0] not in runs or pair in b) + tuple(
        pair for pair in b if pair[0] not in runs
    )
    return kept if runs <= {run for run, _ in kept} else None
