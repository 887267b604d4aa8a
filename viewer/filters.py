"""Filters of the list of items, as polars expressions; the widgets of the page hold their values in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

NO_LEAK = "no leak"


@dataclass(frozen=True, slots=True)
class Filters:
    """What the reader asked for; empty means everything."""

    text: str = ""
    labels: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    disagreement: float = 0.0
    wrong_in: tuple[str, ...] = ()
    right_in: tuple[str, ...] = ()


def filtered(listed: pl.DataFrame, wanted: Filters) -> pl.DataFrame:
    """Rows of the list that the filters let through.

    An item differs in a run where the run's label is another than people's, or where it gave none; an item that the
    run has no output for is neither right nor wrong.
    """
    return listed.filter(_conditions(wanted)) if (wanted != Filters()) else listed


def _conditions(wanted: Filters) -> Sequence[pl.Expr]:
    found = []
    if wanted.text:
        # Literal text, never a pattern; letter case aside.
        found.append(pl.col("statement").str.to_lowercase().str.contains(wanted.text.lower(), literal=True))
    if wanted.labels:
        found.append(pl.col("label").is_in(wanted.labels))
    if wanted.splits:
        found.append(pl.col("split").is_in(wanted.splits))
    if wanted.leaks:
        found.append(pl.col("leak_kind").fill_null(NO_LEAK).is_in(wanted.leaks))
    if wanted.disagreement > 0:
        found.append(pl.col("disagreement").fill_nan(None) >= wanted.disagreement)
    found += [pl.col(f"has {run}") & ~_right(run) for run in wanted.wrong_in]
    found += [pl.col(f"has {run}") & _right(run) for run in wanted.right_in]
    return found


def _right(run: str) -> pl.Expr:
    return (pl.col(f"answer {run}") == pl.col("label")).fill_null(False)
