"""The numbers about rationales as tables: first what decides whether they mean anything, then the methods.

A table's last column is the note. Terminal and report show the same tables, each with its own texts of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

_RAILS: Final = (
    "coverage", "unparsed_share", "accuracy", "top_label_share", "p_full", "p_empty", "flippable_share", "noise_margin",
)  # fmt: skip
_PLAUSIBLE: Final = (
    ("token_f1_above_chance", "F1 - chance"), ("token_f1", "F1"), ("token_precision", "precision"),
    ("token_recall", "recall"), ("iou_f1", "IOU F1"), ("average_precision", "AP"),
    ("spearman_with_mean_mask", "rank corr."),
)  # fmt: skip
OWN_WORDS: Final = -1  # k of the rationale's own words
_FAITHFUL: Final = (  # metric, heading, whether it is of the rationale's own words
    ("flip_rate", "flips", True), ("flip_rate_over_random", "flips - random", True),
    ("comprehensiveness_over_random", "compr. - random", True),
    ("sufficiency_over_random", "suff. - random", True),
    ("aopc_comprehensiveness_over_random", "AOPC compr. - random", False), ("racu", "RACU", False),
    ("dffot", "share to flip", False),
)  # fmt: skip
_COMPARED: Final = ("token_f1_above_chance", "flip_rate_over_random")  # pairs of methods that are shown unasked

Row = Mapping[str, Any]


class Texts(NamedTuple):
    """How numbers are written: a value, an interval, a p-value, and what stands between value and interval."""

    number: Callable[[object], str]
    interval: Callable[[object, object], str]
    p: Callable[[object], str]
    between: str = " "

    def both(self, row: Row) -> str:
        """A value with its interval, where it has one."""
        known = row["low"] is not None and math.isfinite(row["low"]) and math.isfinite(row["high"])
        return self.number(row["value"]) + (self.between + self.interval(row["low"], row["high"]) if known else "")


@dataclass(frozen=True, slots=True)
class NotedTable:
    """A table whose last column is the note.

    Attributes:
        title: What it shows.
        header: Names of the columns, ``notes`` last.
        rows: Their cells.
        n_rows: Rows of the table of numbers that it shows.
        about: Columns that are said once, in the title, where they have one value.
        numeric: Names of the columns of numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_rows: int
    about: tuple[str, ...] = ()
    numeric: frozenset[str] = frozenset()


def headline_tables(table: pl.DataFrame, texts: Texts, coverage: str) -> list[NotedTable]:
    """For each run whether rationales mean anything, then the methods beside people, then without their words.

    Args:
        table: From ``rationale_scores``.
        texts: How numbers are written.
        coverage: Of the intervals, in words; empty where there are none.

    Returns:
        Tables that have rows.
    """
    found = []
    for run in table["run_id"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("run_id") == run)
        faithful = own.filter(part="faithfulness")
        rails = faithful.filter(pl.col("metric").is_in(list(_RAILS)), rationale_method="")
        found.append(_rails(rails, run, texts, coverage))
        plausible = own.filter(part="plausibility")
        for gold in plausible["gold"].unique(maintain_order=True).to_list():
            title = f"{run}: words that people marked too ({gold}; higher is better)"
            columns = [(metric, heading, None) for metric, heading in _PLAUSIBLE]
            found.append(_methods(plausible.filter(gold=gold), columns, title, texts, coverage))
        methods = faithful.filter(pl.col("rationale_method") != "")
        for operator in methods["operator"].unique(maintain_order=True):
            title = (
                f"{run}: without the words of the rationale ({operator}); higher is better, lower for suff. and share "
                "to flip"
            )
            found.append(_methods(methods.filter(operator=operator), _FAITHFUL, title, texts, coverage))
        found += whole_tables(own.filter(part="self_consistency"), texts, coverage)
    return [one for one in found if one.rows]


def whole_tables(table: pl.DataFrame, texts: Texts, coverage: str) -> list[NotedTable]:
    """Every row, a table for each run and part."""
    better = {True: "higher", False: "lower", None: ""}
    header = ("method", "operator", "metric", "about", "words", "better", "value", _interval(coverage), "n", "notes")
    found = []
    for (run, part), rows in table.group_by("run_id", "part", maintain_order=True):
        lines = [
            (r["rationale_method"], r["operator"] or "", r["metric"], r["gold"] or r["label"] or "", _words(r),
             better[r["higher_is_better"]], texts.number(r["value"]), texts.interval(r["low"], r["high"]), str(r["n"]),
             r["note"] or "")
            for r in rows.iter_rows(named=True)
        ]  # fmt: skip
        title = f"{run}: {str(part).replace('_', '-')}"
        found.append(NotedTable(title, header, tuple(lines), len(lines), numeric=frozenset(header[-4:-1])))
    return found


def difference_tables(
    differences: pl.DataFrame, texts: Texts, coverage: str, *, everything: bool = False
) -> list[NotedTable]:
    """Every two methods of a run: a table for each metric and operator.

    Args:
        differences: From ``rationale_differences``.
        texts: How numbers are written.
        coverage: Of the intervals, in words.
        everything: Whether metrics beyond the two headlines are shown.
    """
    kept = differences if everything else differences.filter(pl.col("metric").is_in(list(_COMPARED)))
    header = ("difference", "value", _interval(coverage), "n", "p", "p Holm", "test", "notes")
    found = []
    for (run, metric, operator), rows in kept.group_by("run_id", "metric", "operator", maintain_order=True):
        lines = [
            (f"{r['method_b']} - {r['method_a']}", texts.number(r["value"]), texts.interval(r["low"], r["high"]),
             str(r["n"]), texts.p(r["p_value"]), texts.p(r["p_holm"]), r["test"] or "", r["note"] or "")
            for r in rows.iter_rows(named=True)
        ]  # fmt: skip
        title = f"{run}: {metric}{f', {operator}' if operator else ''}: every two methods"
        found.append(NotedTable(title, header, tuple(lines), len(lines), ("test",), frozenset(header[1:6])))
    return found


def _methods(
    table: pl.DataFrame, columns: Sequence[tuple[str, str, bool | None]], title: str, texts: Texts, coverage: str
) -> NotedTable:
    """One line per method, a column per metric."""
    lines, shown = [], 0
    for method in table["rationale_method"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("rationale_method") == method)
        rows = [_row(own, metric, of_set) for metric, _, of_set in columns]
        known = [row for row in rows if row is not None]
        counts = {row["n"] for row in known}
        n = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "0"  # not every column has all
        notes = "; ".join(dict.fromkeys(row["note"] for row in known if row["note"]))
        lines.append((method, *("" if row is None else texts.both(row) for row in rows), n, notes))
        shown += len(known)
    header = ("method", *(heading for _, heading, _ in columns), "n", "notes")
    said = f"{title}, {coverage} intervals" if coverage else title
    return NotedTable(said, header, tuple(lines), shown, numeric=frozenset(header[1:-1]))


def _row(own: pl.DataFrame, metric: str, of_set: bool | None) -> Row | None:
    rows = own.filter(metric=metric)
    if of_set:
        rows = rows.filter(k=OWN_WORDS)
    elif of_set is False:
        rows = rows.filter(pl.col("k").is_null(), pl.col("share").is_null(), pl.col("words_of").is_null())
    return rows.row(0, named=True) if len(rows) else None


def _rails(rails: pl.DataFrame, run: str, texts: Texts, coverage: str) -> NotedTable:
    lines = [
        (r["metric"], r["operator"] or "", texts.both(r) if r["metric"] != "noise_margin" else f"{r['value']:g}",
         str(r["n"]) if r["metric"] != "noise_margin" else "", r["note"] or "")
        for r in rails.iter_rows(named=True)
    ]  # fmt: skip
    header = ("what", "operator", f"value, {_interval(coverage)}", "n", "notes")
    title = f"{run}: before any rationale is believed"
    return NotedTable(title, header, tuple(lines), len(lines), numeric=frozenset(header[2:4]))


def _interval(coverage: str) -> str:
    return f"{coverage} interval".strip()


def _words(row: Row) -> str:
    if row["share"] is not None:
        return f"{row['share']:.0%}"
    if row["words_of"] is not None:
        return f"as many as {row['words_of']}"
    return "" if row["k"] is None else "its own" if row["k"] == OWN_WORDS else str(row["k"])
