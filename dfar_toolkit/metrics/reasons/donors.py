"""Whose reason stands in for an item's own: another item of the same label, drawn without fixed points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

Places = npt.NDArray[np.int64]


def donor_places(labels: pl.Series, units: pl.Series, *, draws: int, seed: int) -> Places:
    """For every row and draw the place of another row with the same label and of another unit.

    Rows of a label are put in a random order in which a unit's rows stand together, and the order is shifted round by
    at least the size of its largest unit: every row lends its reason exactly once (a derangement), never to its own
    unit. Where one unit holds more than half of a label's rows that is impossible for some rows: these have none.

    Args:
        labels: Label of each row (N,); null has no donor.
        units: What must not lend to itself (N,), never null.
        draws: Number of draws D.
        seed: Seed of the draws.

    Returns:
        Places (D, N) in 0..N-1, -1 where there is no donor.

    Example:
        >>> donor_places(pl.Series(["e", "e", "u"]), pl.Series(["a", "b", "c"]), draws=1, seed=0).tolist()
        [[1, 0, -1]]
    """
    rng = np.random.default_rng(seed)
    places = np.full((draws, len(labels)), -1, dtype=np.int64)
    codes = units.rank("dense").to_numpy().astype(np.int64) if len(units) else np.empty(0, dtype=np.int64)
    for label in labels.drop_nulls().unique().sort():
        rows = np.flatnonzero((labels == label).fill_null(False).to_numpy())
        own = np.unique(codes[rows], return_inverse=True)[1]
        largest = int(np.bincount(own).max())
        for draw in range(draws):
            shuffled = rng.permutation(len(rows))
            order = shuffled[np.argsort(rng.permutation(int(own.max()) + 1)[own[shuffled]], kind="stable")]
            low, high = sorted((largest, len(rows) - largest))
            lender = np.roll(order, -int(rng.integers(low, high + 1)))
            places[draw, rows[order]] = np.where(own[lender] == own[order], -1, rows[lender])
    return places
