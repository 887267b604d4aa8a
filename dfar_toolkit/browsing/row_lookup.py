"""The row of each item id, looked up once for every run of equal ids."""

from __future__ import annotations

import polars as pl


def rows_of(wanted: pl.Series, ids: pl.Series) -> tuple[pl.Series, int]:
    """The row of ``ids`` at which each id stands, null where it does not, and how many do not.

    Files mostly hold the rows of one item together and the items in one order, so neighbours are compared first.

    Example:
        >>> rows_of(pl.Series(["b", "b", "c"]), pl.Series(["a", "b"]))[0].to_list()
        [1, 1, None]
    """
    wanted = wanted.cast(pl.String)
    if wanted.equals(ids, null_equal=False):
        return pl.int_range(len(ids), dtype=pl.UInt32, eager=True), 0
    begins = wanted.ne_missing(wanted.shift(1))
    if len(begins):
        begins[0] = True
    heads = wanted.filter(begins)
    if heads.equals(ids, null_equal=False):
        found = pl.int_range(len(ids), dtype=pl.UInt32, eager=True)
    else:
        numbered = ids.alias("id").to_frame().with_row_index("row").unique("id", keep="first")
        found = heads.alias("id").to_frame().join(numbered, on="id", how="left", maintain_order="left")["row"]
    rows = found.gather(begins.cum_sum() - 1).cast(pl.UInt32) if len(wanted) else pl.Series([], dtype=pl.UInt32)
    return rows, rows.null_count()
