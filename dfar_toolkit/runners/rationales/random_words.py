"""Rationales by chance, which every other one is compared with."""

from __future__ import annotations

import numpy as np

from dfar_toolkit.runners.rationales.explaining import RANDOM
from dfar_toolkit.runners.rationales.rationale import Rationale
from dfar_toolkit.runners.units import seed_of


def random_rationales(item_id: str, n_words: int, *, draws: int, seed: int) -> list[Rationale]:
    """Random orders of an item's words.

    The scores are ranks, so that of one draw the words for k stand among those for k + 1: a curve over k is of one
    growing set.

    Args:
        item_id: The item; an item's draws do not hang on which others are asked about.
        n_words: Number of its words.
        draws: How many orders.
        seed: Of the run.

    Returns:
        One rationale per draw, with the scores 1 to ``n_words`` in random order.

    Example:
        >>> found = random_rationales("i1", 4, draws=2, seed=0)
        >>> [(one.draw, sorted(one.scores)) for one in found]
        [(0, [1.0, 2.0, 3.0, 4.0]), (1, [1.0, 2.0, 3.0, 4.0])]
    """
    return [_drawn(item_id, n_words, draw, seed) for draw in range(draws)]


def _drawn(item_id: str, n_words: int, draw: int, seed: int) -> Rationale:
    own = seed_of(seed, item_id, RANDOM, draw)
    ranks = np.random.default_rng(own).permutation(n_words) + 1
    return Rationale(RANDOM, draw, tuple(map(float, ranks.tolist())), None, {"seed": own})
