"""Scores of words by what the model makes of the item without them: one at a time, or several that stand together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dfar_toolkit.engines.requests import Failed, Reply, TargetKind
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.runners.rationales.asking import Asker
from dfar_toolkit.runners.rationales.explaining import Explaining, Perturbation
from dfar_toolkit.runners.rationales.item_without import Form, ItemWithout
from dfar_toolkit.runners.rationales.rationale import Rationale

LEAVE_ONE_OUT: Final = "leave_one_out"
OCCLUSION: Final = "occlusion"


def windows(words: Sequence[Word], width: int) -> list[frozenset[int]]:
    """Every run of ``width`` neighbours of one field; a shorter field is one window.

    Example:
        >>> words = [Word("statement", at, at + 1) for at in range(4)] + [Word("option:a", 0, 1)]
        >>> [sorted(window) for window in windows(words, 3)]
        [[0, 1, 2], [1, 2, 3], [4]]
    """
    found: list[frozenset[int]] = []
    for field in dict.fromkeys(word.field for word in words):
        own = [number for number, word in enumerate(words) if word.field == field]
        starts = range(max(1, len(own) - width + 1))
        found += [frozenset(own[start : start + width]) for start in starts]
    return found


def erased_forms(methods: Sequence[str], words: Sequence[Word], how: Explaining) -> list[Form]:
    """The forms of an item that the methods look at, by the first operator.

    Args:
        methods: Any methods; those that erase nothing have no forms.
        words: Words of the item.
        how: The operators and the width.

    Returns:
        The forms.
    """
    operator, own = erasing_operator(how), _sets(methods, words, how)
    return [(operator, gone) for sets in own.values() for gone in sets]


def erasing_operator(how: Explaining) -> Perturbation:
    """How words are taken away: the first operator, ``remove`` where there is none."""
    return how.operators[0] if how.operators else "remove"


def erasing_rationales(
    methods: Sequence[str],
    item: ItemWithout,
    words: Sequence[Word],
    asker: Asker,
    how: Explaining,
    target: str,
    contrast: str | None,
) -> list[Rationale]:
    r"""The rationales of ``leave_one_out`` and ``occlusion`` from the replies to their forms.

    With $f$ the value of the target (less that of the contrast) and W a window of words, $d_W = f(x) - f(x - W)$. A
    word's score is the mean of $d_W$ over the windows that hold it; ``leave_one_out`` has windows of one word.

    Args:
        methods: Any methods; others than these two have no rationale here.
        item: The item; the forms of :func:`erased_forms` have been asked for.
        words: Its words.
        asker: How replies are read.
        how: Kind of value (``logit`` is not known of an answer: the log-probability then stands for it), operator and
            width.
        target: The label that is explained.
        contrast: The label that it is set against.

    Returns:
        One per method, in their order; where the value of a form is unknown, without scores and with an error.
    """
    kind, operator = _kind(how.kind), erasing_operator(how)
    places = (asker.options.index(target), None if contrast is None else asker.options.index(contrast))
    full = _value(item.reply(operator, frozenset()), asker, places, kind)
    found: list[Rationale] = []
    for method, sets in _sets(methods, words, how).items():
        facts: dict[str, Any] = {"target_kind": kind, "baseline": operator}
        facts |= {"width": how.width} if method == OCCLUSION else {}
        values = [full, *(_value(item.reply(operator, gone), asker, places, kind) for gone in sets)]
        error = next((value for value in values if isinstance(value, str)), None)
        if error is None:
            numbers = np.array(values, dtype=np.float64)
            facts["value"] = float(numbers[0])
            found.append(Rationale(method, 0, _mean_over(sets, numbers[0] - numbers[1:], len(words)), None, facts))
        else:
            found.append(Rationale(method, facts={**facts, "error": error}))
    return found


def _kind(kind: TargetKind) -> TargetKind:
    return "log_prob" if kind == "logit" else kind


def _sets(methods: Sequence[str], words: Sequence[Word], how: Explaining) -> dict[str, list[frozenset[int]]]:
    widths = {LEAVE_ONE_OUT: 1, OCCLUSION: how.width}
    return {method: windows(words, widths[method]) for method in methods if method in widths}


def _mean_over(sets: Sequence[frozenset[int]], drops: np.ndarray, n_words: int) -> tuple[float, ...]:
    """For each word the mean drop of the windows that hold it."""
    word = np.array([number for gone in sets for number in gone], dtype=np.int64)
    drop = np.repeat(drops, [len(gone) for gone in sets])
    found = np.bincount(word, drop, n_words) / np.bincount(word, minlength=n_words)
    return tuple(found.tolist())


def _value(reply: Reply, asker: Asker, places: tuple[int, int | None], kind: TargetKind) -> float | str:
    """The value of the target, less that of the contrast; or in words why it is unknown."""
    if isinstance(reply, Failed):
        return f"{reply.kind}: {reply.message}"
    logs = asker.logprobs_of(reply)
    if logs is None:
        return "no_logprobs: the probabilities of the labels are not asked for; words left out are told by them"
    target, contrast = places
    value = _of_option(logs, target, kind) - (0.0 if contrast is None else _of_option(logs, contrast, kind))
    if not math.isfinite(value):
        return "no_logprobs: the label has no probability among the tokens that are known; explain prob instead"
    return value


def _of_option(logs: Sequence[float], place: int, kind: TargetKind) -> float:
    if kind == "prob":
        return math.exp(logs[place])
    if kind == "log_prob":
        return logs[place]
    highest = max(logs)
    if highest == -math.inf:
        return math.nan
    return logs[place] - highest - math.log(sum(math.exp(one - highest) for one in logs))
