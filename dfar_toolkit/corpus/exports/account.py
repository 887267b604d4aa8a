"""What an export leaves out, counted by split and cause."""

from __future__ import annotations

from typing import Final

import polars as pl

LEFT_OUT: Final = {"split": pl.String, "why": pl.String, "rows": pl.Int64}


class Account:
    """Keeps rows and counts those that it does not keep; remembers what else must be known."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self.notes: list[str] = []

    def keep(self, rows: pl.DataFrame, where: pl.Expr, why: str) -> pl.DataFrame:
        """The rows where the condition holds; the others are counted under ``why``.

        Args:
            rows: Rows with ``split``.
            where: The condition; null counts as false.
            why: Why the others are left out.

        Returns:
            The rows kept, in their order.

        Example:
            >>> account = Account()
            >>> rows = pl.DataFrame({"split": ["test", "test"], "label": ["fair", None]})
            >>> account.keep(rows, pl.col("label").is_not_null(), "no label").height, account.left_out().rows()
            (1, [('test', 'no label', 1)])
        """
        kept = where.fill_null(False)
        lost = rows.filter(~kept)
        if lost.height:
            counts = lost.group_by("split", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("rows"))
            self._parts.append(counts.select("split", pl.lit(why).alias("why"), "rows"))
        return rows.filter(kept)

    def left_out(self) -> pl.DataFrame:
        """The counts so far: ``split, why, rows``.

        Example:
            >>> Account().left_out().columns
            ['split', 'why', 'rows']
        """
        return pl.concat([pl.DataFrame(schema=LEFT_OUT), *self._parts])
