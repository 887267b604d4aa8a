"""A study of rationales as one page: accuracy first, then alignment and flip rate of every method, before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit.journeys.rationale_study_plan import RationaleStudy
from dfar_toolkit.markup import md_escape
from dfar_toolkit.report.plots import themed
from dfar_toolkit.report.rationale_plot import rationale_plot
from dfar_toolkit.report.svg import chart_svg

_OWN: Final = -1  # k of the rationale's own words
_ALIGNED: Final = "token_f1_above_chance"
_FLIPS: Final = "flip_rate"
_OVER: Final = "_over_random"
_RAILS: Final = (
    ("accuracy", "accuracy"), ("coverage", "coverage"), ("top_label_share", "share of its commonest label"),
    ("p_full", "probability of its label"), ("p_empty", "the same without any word"),
    ("flippable_share", "items that flip without any word"),
)  # fmt: skip


def study_plot(study: RationaleStudy, table: pl.DataFrame) -> str:
    """The plot as SVG: alignment above chance and flip rates; empty where nothing is defined.

    Args:
        study: The study.
        table: From ``rationale_scores``.

    Returns:
        An ``svg`` element.
    """
    right = table.filter(part="faithfulness", metric="accuracy", rationale_method="")
    rows: list[dict[str, Any]] = [
        {**row, "panel": "accuracy", "rationale_method": "the labels themselves"}
        for row in right.unique(["run_id"], maintain_order=True).iter_rows(named=True)
    ]
    for metric, title in _panels(study):
        own = _of(table, study, metric)
        for method in own["rationale_method"].unique(maintain_order=True):
            rows += [{"panel": title, **row} for row in own.filter(rationale_method=method).iter_rows(named=True)]
    chart = rationale_plot(rows)
    return "" if chart is None else chart_svg(themed(chart), name="study", label=f"{study.title}: rationales")


def study_page(
    study: RationaleStudy,
    table: pl.DataFrame,
    differences: pl.DataFrame,
    before_after: pl.DataFrame,
    notes: Sequence[str],
    *,
    plot: str | None,
) -> str:
    """The page as Markdown.

    Args:
        study: The study.
        table: From ``rationale_scores``.
        differences: From ``rationale_differences``.
        before_after: From ``run_differences``.
        notes: What must be known.
        plot: Name of the plot's file.

    Returns:
        The text.
    """
    runs = table["run_id"].unique(maintain_order=True).to_list()
    operator = study.operators[0]
    parts = [
        f"# {md_escape(study.title)}",
        f"Model {md_escape(study.model)}, items {md_escape(study.items)}, split {md_escape(study.split)}. Intervals: "
        f"{study.confidence:.0%}, over groups of items. One training: the numbers speak of these checkpoints.",
        "## Before any rationale is believed", _rails(table, runs, operator),
        "A model that says one label for nearly all items flips seldom whatever is taken away.",
        "## Alignment, flips and accuracy", _methods(study, table, runs),
        f"Words are taken away by `{operator}`; methods that score words name as many as people marked in the item. "
        "Alignment is token F1 minus its expectation for as many random words. Flips minus random: the same item "
        "without as many random words. Higher is better in all columns; raw flip rates of two models do not compare.",
    ]  # fmt: skip
    parts += [f"![alignment and flips by method]({plot})"] if plot else []
    if len(before_after):
        parts += [
            "## After fine-tuning minus before",
            _changes(before_after),
            "Alignment is above chance, faithfulness minus random words of equal number: only so do two models "
            "compare. p by Holm over the methods of each metric.",
        ]
    if len(differences):
        parts += ["## Methods against each other", _pairs(differences)]
    parts += ["## What must be known", "\n".join(f"- {md_escape(note)}" for note in notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def _panels(study: RationaleStudy) -> list[tuple[str, str]]:
    operator = study.operators[0]
    return [
        (_ALIGNED, "alignment with people: token F1 minus chance"),
        (_FLIPS, f"flip rate without the rationale ({operator})"),
        (f"{_FLIPS}{_OVER}", f"flip rate minus that of random words ({operator})"),
    ]


def _of(table: pl.DataFrame, study: RationaleStudy, metric: str) -> pl.DataFrame:
    """The rows of a metric: alignment, or what stands at the rationale's own words."""
    rows = table.filter(metric=metric)
    if metric == _ALIGNED:
        return rows.filter(part="plausibility")
    return rows.filter(pl.col("k") == _OWN, pl.col("operator") == study.operators[0])


def _rails(table: pl.DataFrame, runs: Sequence[str], operator: str) -> str:
    rows = table.filter(pl.col("part") == "faithfulness", pl.col("rationale_method") == "")
    rows = rows.filter(pl.col("operator").is_null() | pl.col("operator").is_in(["", operator]))
    lines = []
    for metric, words in _RAILS:
        cells = [_cell(_row(rows.filter(metric=metric, run_id=run))) for run in runs]
        lines.append([words, *cells])
    warned = [
        f"{run}: {note}"
        for run in runs
        for row in [_row(rows.filter(metric="top_label_share", run_id=run))]
        for note in ([row["note"]] if row is not None and row["note"] else [])
    ]
    text = _table(["", *runs], lines)
    return text + "".join(f"\n\n{md_escape(note)}." for note in warned)


def _methods(study: RationaleStudy, table: pl.DataFrame, runs: Sequence[str]) -> str:
    named = [(_ALIGNED, "F1 - chance"), ("token_f1", "F1"), (_FLIPS, "flips"), (f"{_FLIPS}{_OVER}", "flips - random")]
    header = ["method", *(f"{heading}, {run}" for heading, _ in [(h, m) for m, h in named] for run in runs), "n"]
    methods = [m for m in table["rationale_method"].unique(maintain_order=True).to_list() if m]
    lines = []
    for method in methods:
        cells, counts = [], set[int]()
        for metric, _ in named:
            own = _of(table, study, metric) if metric != "token_f1" else table.filter(metric=metric)
            for run in runs:
                row = _row(own.filter(rationale_method=method, run_id=run))
                cells.append(_cell(row))
                counts |= set() if row is None else {int(row["n"])}
        lines.append([method, *cells, " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else ""])
    return _table(header, lines)


def _changes(frame: pl.DataFrame) -> str:
    lines = [
        [row["rationale_method"], row["metric"], row["operator"], _cell(row), str(row["n"]), _p(row["p_holm"])]
        for row in frame.iter_rows(named=True)
    ]
    return _table(["method", "metric", "operator", "after - before", "n", "p (Holm)"], lines)


def _pairs(frame: pl.DataFrame) -> str:
    lines = [
        [row["run_id"], row["metric"], row["operator"] or "", f"{row['method_b']} - {row['method_a']}", _cell(row),
         str(row["n"]), _p(row["p_holm"])]
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    return _table(["run", "metric", "operator", "difference", "value", "n", "p (Holm)"], lines)


def _row(rows: pl.DataFrame) -> Mapping[str, Any] | None:
    return rows.row(0, named=True) if len(rows) else None


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    value, low, high = row["value"], row["low"], row["high"]
    if value is None or math.isnan(value):
        return "undefined"
    interval = "" if low is None or math.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    return f"{value + 0.0:.3f}{interval}"


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) and not math.isnan(value) else ""


def _table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    rows = [f"| {' | '.join(md_escape(cell) for cell in line)} |" for line in (header, *lines)]
    return "\n".join([rows[0], f"|{'---|' * len(header)}", *rows[1:]])
