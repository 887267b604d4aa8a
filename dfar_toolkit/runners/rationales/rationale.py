"""A rationale: scores of an item's words, or the words themselves, and how it was come by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

# Condition of the rows that hold rationales, and of what the model says to an item without some of its words.
RATIONALE: Final = "rationale"
EMPTY: Final = "empty"
WITHOUT_TOP: Final = "without_top"
ONLY_TOP: Final = "only_top"
WITHOUT_EVIDENCE: Final = "without_evidence"
ONLY_EVIDENCE: Final = "only_evidence"


class Rationale(NamedTuple):
    """Which words of an item matter.

    Attributes:
        method: How it was come by.
        draw: Number of the draw of a random one, else 0.
        scores: One number per word, higher matters more; None where words were only chosen.
        chosen: Indices of the words; None where words were only scored.
        facts: Columns of its row: target, baseline, gap, raw, n_missed, ...
    """

    method: str
    draw: int = 0
    scores: tuple[float, ...] | None = None
    chosen: frozenset[int] | None = None
    facts: dict[str, Any] = {}  # noqa: RUF012 - never written to


def top_words(scores: Sequence[float], k: int) -> frozenset[int]:
    """The k words with the highest scores; of equal scores those that stand first.

    Example:
        >>> sorted(top_words([0.1, 0.5, 0.1, 0.0], 2))
        [0, 1]
    """
    return frozenset(sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:k])
