"""Parts of a JSON value by the type they must have; anything else is as if absent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any


def mapping(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """The text, or None."""
    return value if isinstance(value, str) else None


def plain(value: object) -> str | None:
    """A text as it is, a number or truth value as JSON writes it; None for anything else.

    Example:
        >>> plain("01"), plain(1), plain(True), plain([1])
        ('01', '1', 'true', None)
    """
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, int | float) else None


def number(value: object) -> float | None:
    """A number, also one written as a text (as lm-eval writes log-likelihoods), as float; None for anything else.

    Example:
        >>> number("-8.5"), number(True), number("high")
        (-8.5, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def whole(value: object) -> int | None:
    """A whole number from 0 that fits 63 bits, also written in digits; None for anything else.

    Example:
        >>> whole(3), whole("12"), whole(-1), whole("a"), whole(2**70)
        (3, 12, None, None, None)
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def strings_in(value: object) -> list[str]:
    """Every text within a value, in the order of the file; keys are not texts.

    Example:
        >>> strings_in({"a": "x", "b": [1, {"c": "y"}]})
        ['x', 'y']
    """
    found: list[str] = []
    left = [value]
    while left:  # a loop, since a document may be nested deeper than Python calls
        part = left.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            left.extend(reversed(part.values()))
        elif isinstance(part, list):
            left.extend(reversed(part))
    return found


def log_probabilities(values: Iterable[object]) -> list[float] | None:
    """Numbers that can be log-probabilities; None where one is missing, NaN or +inf, or all are -inf.

    Example:
        >>> log_probabilities(["-1.5", -0.5]), log_probabilities(["nan", -0.5])
        ([-1.5, -0.5], None)
    """
    found = [number(v) for v in values]
    known = [v for v in found if v is not None and not math.isnan(v) and v < math.inf]
    return known if len(known) == len(found) and any(v > -math.inf for v in known) else None


def alternatives(pairs: Sequence[tuple[object, object]]) -> dict[str, Any]:
    """Columns of ``FOREIGN_SCHEMA`` for tokens with their log-probabilities at one place; none where unusable."""
    tokens = [text(token) for token, _ in pairs]
    logs = log_probabilities(log for _, log in pairs)
    if not pairs or logs is None or None in tokens:
        return {}
    return {"choices": tokens, "logprobs": logs, "probs_kind": "first_token"}


def top_tokens(place: object) -> list[tuple[object, object]]:
    """Tokens and log-probabilities of one place of an OpenAI ``logprobs.content``: the top ones and the sampled one."""
    entry = mapping(place)
    top = [mapping(t) for t in listing(entry.get("top_logprobs"))]
    pairs: list[tuple[object, object]] = [(t.get("token"), t.get("logprob")) for t in top]
    if pairs and entry.get("token") not in [token for token, _ in pairs]:
        pairs.append((entry.get("token"), entry.get("logprob")))
    return pairs
