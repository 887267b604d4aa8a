"""The numbers about rationales as tables: first what decides whether they mean anything, then the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit.cli.printing import interval, number, print_noted

_RAILS: Final = (
    "coverage", "unparsed_share", "accuracy", "top_label_share", "p_full", "p_empty", "flippable_share", "noise_margin",
)  # fmt: skip
_PLAUSIBLE: Final = (
    ("token_f1_above_chance", "F1 - chance"), ("token_f1", "F1"), ("token_precision", "precision"),
    ("token_recall", "recall"), ("iou_f1", "IOU F1"), ("average_precision", "AP"),
    ("spearman_with_mean_mask", "rank corr."),
)  # fmt: skip
_OWN: Final = -1  # k of the rationale's own words
_FAITHFUL: Final = (  # metric, heading, whether it is of the rationale's own words
    ("flip_rate", "flips", True), ("flip_rate_over_random", "flips - random", True),
    ("comprehensiveness_over_random", "compr. - random", True),
    ("sufficiency_over_random", "suff. - random", True),
    ("aopc_comprehensiveness_over_random", "AOPC compr. - random", False), ("racu", "RACU", False),
    ("dffot", "share to flip", False),
)  # fmt: skip
_COMPARED: Final = ("token_f1_above_chance", "flip_rate_over_random")  # pairs of methods that are shown unasked


def print_rationales(table: pl.DataFrame, differences: pl.DataFrame, coverage: str, *, everything: bool) -> int:
    """Print the tables; returns how many rows were left out.

    Args:
        table: From ``rationale_scores``.
        differences: From ``rationale_differences``.
        coverage: Of the intervals, in words.
        everything: Whether every row is printed.
    """
    if everything:
        _print_all(table, coverage)
        _print_differences(differences, coverage)
        return 0
    shown = 0
    for run in table["run_id"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("run_id") == run)
        plausible = own.filter(part="plausibility")
        for gold in plausible["gold"].unique(maintain_order=True).to_list():
            title = f"{run}: words that people marked too ({gold}; higher is better)"
            shown += _print_methods(plausible.filter(gold=gold), [(m, h, None) for m, h in _PLAUSIBLE], title, coverage)
        faithful = own.filter(part="faithfulness")
        rails = faithful.filter(pl.col("metric").is_in(list(_RAILS)), rationale_method="")
        shown += _print_rails(rails, run, coverage)
        for operator in faithful.filter(pl.col("rationale_method") != "")["operator"].unique(maintain_order=True):
            title = (
                f"{run}: without the words of the rationale ({operator}); flips, comprehensiveness, AOPC, RACU: higher "
                "is better, sufficiency and share to flip: lower"
            )
            of = faithful.filter(pl.col("operator") == operator, pl.col("rationale_method") != "")
            shown += _print_methods(of, list(_FAITHFUL), title, coverage)
        consistent = own.filter(part="self_consistency")
        if len(consistent):
            _print_all(consistent, coverage)
            shown += len(consistent)
    kept = differences.filter(pl.col("metric").is_in(list(_COMPARED)))
    _print_differences(kept, coverage)
    return len(table) - shown + len(differences) - len(kept)


def _print_methods(
    table: pl.DataFrame, columns: Sequence[tuple[str, str, bool | None]], title: str, coverage: str
) -> int:
    """One line per method, a column per metric, the first with its interval; how many values are shown."""
    if not len(table):
        return 0
    lines, shown = [], 0
    for method in table["rationale_method"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("rationale_method") == method)
        cells: list[object] = []
        counts, notes = set[int](), []
        for metric, _, of_set in columns:
            row = _row(own, metric, of_set)
            shown += row is not None
            cells.append("" if row is None else _cell(row))
            if row is not None:
                counts.add(row["n"])
                notes += [row["note"]] if row["note"] else []
        n = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "0"  # not every column has all
        lines.append([method, *cells, n, "; ".join(dict.fromkeys(notes))])
    header = ["method", *(heading for _, heading, _ in columns), "n", "notes"]
    print_noted(header, lines, title=f"{title}, {coverage} intervals", about=())
    return shown


def _row(own: pl.DataFrame, metric: str, of_set: bool | None) -> Mapping[str, Any] | None:
    rows = own.filter(metric=metric)
    if of_set:
        rows = rows.filter(k=_OWN)
    elif of_set is False:
        rows = rows.filter(pl.col("k").is_null(), pl.col("share").is_null(), pl.col("words_of").is_null())
    return rows.row(0, named=True) if len(rows) else None


def _cell(row: Mapping[str, Any]) -> str:
    return f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()


def _print_rails(rails: pl.DataFrame, run: str, coverage: str) -> int:
    if not len(rails):
        return 0
    lines = [
        [r["metric"], r["operator"], _cell(r) if r["metric"] != "noise_margin" else f"{r['value']:g}", r["n"],
         r["note"]]
        for r in rails.iter_rows(named=True)
    ]  # fmt: skip
    header = ["what", "operator", f"value, {coverage} interval", "n", "notes"]
    print_noted(header, lines, title=f"{run}: before any rationale is believed", about=())
    return len(rails)


def _print_all(table: pl.DataFrame, coverage: str) -> None:
    better = {True: "higher", False: "lower", None: ""}
    for (run, part), rows in table.group_by("run_id", "part", maintain_order=True):
        lines = [
            [r["rationale_method"], r["operator"], r["metric"], r["gold"] or r["label"] or "", _words(r),
             better[r["higher_is_better"]], number(r["value"]), interval(r["low"], r["high"]), r["n"], r["note"]]
            for r in rows.iter_rows(named=True)
        ]  # fmt: skip
        header = ["method", "operator", "metric", "about", "words", "better", "value", f"{coverage} interval", "n",
                  "notes"]  # fmt: skip
        print_noted(header, lines, title=f"{run}: {str(part).replace('_', '-')}", about=())


def _words(row: Mapping[str, Any]) -> str:
    if row["share"] is not None:
        return f"{row['share']:.0%}"
    if row["words_of"] is not None:
        return f"as many as {row['words_of']}"
    return "" if row["k"] is None else "its own" if row["k"] == _OWN else str(row["k"])


def _print_differences(differences: pl.DataFrame, coverage: str) -> None:
    for (run, metric, operator), rows in differences.group_by("run_id", "metric", "operator", maintain_order=True):
        lines = [
            [f"{r['method_b']} - {r['method_a']}", number(r["value"]), interval(r["low"], r["high"]), r["n"],
             _p(r["p_value"]), _p(r["p_holm"]), r["test"], r["note"]]
            for r in rows.iter_rows(named=True)
        ]  # fmt: skip
        where = f", {operator}" if operator else ""
        header = ["difference", "value", f"{coverage} interval", "n", "p", "p Holm", "test", "notes"]
        print_noted(header, lines, title=f"{run}: {metric}{where}: every two methods", about=("test",))


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value == value else ""
