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
    """Numbers from 0 for names, in the order in which they first occur.

    Example:
        >>> coded_groups(pl.Series(["b", "a", "b", None, None])).to_list()
        [0, 1, 0, 2, 3]
    """
    first = pl.when(pl.col("group").is_null()).then("row").otherwise(pl.col("row").first().over("group"))
    rows = groups.alias("group").to_frame().with_row_index("row").select(first).to_series().to_numpy()
    leads = rows == np.arange(len(rows))
    return pl.Series("group", (np.cumsum(leads) - 1)[rows], dtype=pl.UInt32)
