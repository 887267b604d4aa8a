r"""Precision, recall and F1 of counts per rationale, as additive statistics over items: macro or micro.

A rationale chooses $k$ (words, spans), people marked $g$, and $t$ are common:

    $P = t / k$,   $R = t / g$,   $F_1 = 2 t / (k + g)$

Where one side is empty all three are 0; where both are, 1 (or left out, as asked): they agree that nothing matters.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from dfar_toolkit.agreement.spans.span_scores import Average, BothEmpty
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.gold_words import GoldWords
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present

Part = Literal["precision", "recall", "f1"]
WITHOUT = "without a rationale"
_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_MICRO = {"precision": "nothing is chosen anywhere", "recall": "people marked nothing anywhere",
          "f1": "nothing is chosen or marked anywhere"}  # fmt: skip


def count_score(
    what: str,
    words: GoldWords,
    counts: tuple[Floats, Floats, Floats],
    *,
    part: Part,
    average: Average,
    both_empty: BothEmpty,
) -> Additive:
    """Precision, recall or F1 of counts as an additive statistic.

    Args:
        what: What is counted, "token" or "IOU": begins the names.
        words: The rationales.
        counts: Common, chosen and marked ones of each rationale, (R,) each.
        part: Which of the three.
        average: ``macro``: mean over items; ``micro``: of the sums over items, draws of an item averaged first.
        both_empty: Where neither side has any: ``agree`` (1), or ``leave_out``; macro only, micro adds nothing.

    Returns:
        The statistic, rows (N, 2) or (N, 4), the last column says which items count.

    Raises:
        ValueError: An unknown option.
    """
    for role, found, offered in (("part", part, get_args(Part)), ("average", average, get_args(Average)),
                                 ("both_empty", both_empty, get_args(BothEmpty))):  # fmt: skip
        if found not in offered:
            raise ValueError(f"rationale: {role} must be one of {', '.join(offered)}, found {found!r}")
    name = f"{what} {_NAMES[part]}" + (" (micro)" if average == "micro" else "")
    metric = f"{what.lower()}_{part}" + ("_micro" if average == "micro" else "")
    if average == "macro":
        values = count_values(counts, part=part, both_empty=both_empty)
        said = joined(words.note, words.top_note, empty_note(words, counts, both_empty))
        return mean_present(metric, name, words.per_item(values), without=WITHOUT, note=said)
    sums = np.column_stack([words.per_item(np.asarray(column, dtype=np.float64)) for column in counts])
    present = ~np.isnan(sums[:, 0])
    lost = words.n_items - int(present.sum())
    aside = f"{lost} of {words.n_items} {WITHOUT} left out" if lost else ""
    rows = np.column_stack([np.where(present[:, None], sums, 0.0), present])
    formula = {"precision": _precision, "recall": _recall, "f1": _f1}[part]
    return Additive(metric, name, rows, formula, _MICRO[part], joined(words.note, words.top_note, aside))


def count_values(counts: tuple[Floats, Floats, Floats], *, part: Part, both_empty: BothEmpty) -> Floats:
    """Precision, recall or F1 of each rationale (R,).

    Example:
        >>> counts = np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]), np.array([1.0, 3.0, 0.0])
        >>> count_values(counts, part="precision", both_empty="agree").tolist()
        [0.5, 0.0, 1.0]
    """
    common, chosen, marked = counts
    top = 2 * common if part == "f1" else common
    bottom = {"precision": chosen, "recall": marked, "f1": chosen + marked}[part]
    values: Floats = np.divide(top, bottom, out=np.zeros(len(common)), where=bottom > 0)
    values[chosen + marked == 0] = 1.0 if both_empty == "agree" else np.nan
    return values


def empty_note(words: GoldWords, counts: tuple[Floats, Floats, Floats], both_empty: BothEmpty) -> str:
    """How many items have a rationale where neither side has anything, and what became of them."""
    n = len(np.unique(words.item[counts[1] + counts[2] == 0]))
    became = "count as 1" if both_empty == "agree" else "left out"
    return f"{n} with nothing chosen and nothing marked {became}" if n else ""


def joined(*notes: str) -> str:
    """Notes in one line, each once."""
    return "; ".join(dict.fromkeys(n for n in notes if n))


def estimate_words(
    row: Additive,
    words: GoldWords,
    *,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The estimate of one statistic of a method's rationales; n counts the items that have a value."""
    return estimate_present([row], groups=words.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def _precision(sums: Floats) -> Floats:
    return _ratio(sums[:, 0], sums[:, 1])


def _recall(sums: Floats) -> Floats:
    return _ratio(sums[:, 0], sums[:, 2])


def _f1(sums: Floats) -> Floats:
    return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _ratio(top: Floats, bottom: Floats) -> Floats:
    out: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return out
