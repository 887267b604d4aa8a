"""Groups as numbers: names of a million groups are compared once, not in every statistic."""

from __future__ import annotations

import numpy as np
import polars as pl

from dfar_toolkit.browsing.item_index import ItemIndex


def group_codes(index: ItemIndex) -> pl.Series:
    """A number for the group of every item, one of its own for an item without; remembered.

    Returns:
        UInt32 (n,) from 0 without gaps, equal where the groups are.
    """
    return index.remembered("group codes", lambda: coded_groups(index.column("group")))


def coded_groups(groups: pl.Series) -> pl.Series:
    """Numbers from 0 for names, in the order of the names: draws of groups then do not depend on the order of rows.

    Example:
        >>> coded_groups(pl.Series(["b", "a", "b", None, None])).to_list()
        [1, 0, 1, 2, 3]
    """
    ranks = groups.cast(pl.String).rank("dense").cast(pl.UInt32)
    lacking = ranks.is_null().to_numpy()
    last = ranks.max()
    n_names = last if isinstance(last, int) else 0
    own = n_names + np.cumsum(lacking)  # one for each item without a group, after the names
    return pl.Series("group", np.where(lacking, own, ranks.fill_null(0).to_numpy()) - 1, dtype=pl.UInt32)
