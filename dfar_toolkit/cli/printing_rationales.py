"""The numbers about rationales on the terminal: first what decides whether they mean anything, then the methods."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.cli.printing import interval, number, print_noted
from dfar_toolkit.report.rationale_tables import Texts, difference_tables, headline_tables, whole_tables


def print_rationales(table: pl.DataFrame, differences: pl.DataFrame, coverage: str, *, everything: bool) -> int:
    """Print the tables; returns how many rows were left out.

    Args:
        table: From ``rationale_scores``.
        differences: From ``rationale_differences``.
        coverage: Of the intervals, in words.
        everything: Whether every row is printed.
    """
    of_methods = whole_tables if everything else headline_tables
    shown = [
        *of_methods(table, _TEXTS, coverage),
        *difference_tables(differences, _TEXTS, coverage, everything=everything),
    ]
    for one in shown:
        print_noted(one.header, one.rows, title=one.title, about=one.about)
    return len(table) + len(differences) - sum(one.n_rows for one in shown)


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value == value else ""


_TEXTS: Final = Texts(number, interval, _p)
