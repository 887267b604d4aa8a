"""Bootstrap sums over so many units that hardly two are alike: drawn block by block, as exact as drawing them at once.

How many of the N draws fall into each block of units is multinomial; within a block each unit is as likely as any
other. A block fits into the processor's cache, so a draw of a unit costs a few nanoseconds wherever it lies.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dfar_toolkit.agreement.counting import Floats

SMALLEST: Final = 32_768  # units from which blocks are worth their while

_BLOCK: Final = 8192  # units of a block: within the range of 16-bit numbers


def bootstrap_sums(rows: Floats, n_boot: int, seed: int) -> Floats:
    """Column sums of resamples of rows, with replacement.

    Args:
        rows: One row per unit (N, D).
        n_boot: Number of resamples B.
        seed: Seed of the draws.

    Returns:
        The sums (B, D).

    Example:
        >>> bootstrap_sums(np.ones((5, 1)), 2, seed=0).tolist()
        [[5.0], [5.0]]
    """
    rng = np.random.default_rng(seed)
    blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
    shares = np.array([len(block) for block in blocks]) / len(rows)
    sizes = rng.multinomial(len(rows), shares, size=n_boot)
    sums = np.zeros((n_boot, rows.shape[1]))
    for block, size in zip(blocks, sizes.T, strict=True):
        for draw in range(n_boot):
            found: Any = rng.integers(0, len(block), size=size[draw], dtype=np.uint16)
            sums[draw] += np.bincount(found, minlength=len(block)) @ block
    return sums
