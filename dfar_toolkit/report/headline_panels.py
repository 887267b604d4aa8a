"""The headline metrics of runs, each beside what it must be read against: baselines, other people, the ceiling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.score_parts import by_subset
from dfar_toolkit.report.shared_notes import Row

_ALL: Final = "all"
_DIGITS: Final = 9  # to which numbers are the same
_ROOM: Final = 0.04  # of the width, beyond the farthest mark of a metric without an end


Kind = Literal["floor", "people", "ceiling"]
Better = Literal["higher", "lower"]


class Mark(NamedTuple):
    """A number that a metric stands beside: what it is, and its row with Estimate's fields."""

    name: str
    kind: Kind
    row: Row


class RunLine(NamedTuple):
    """A run's value with Estimate's fields, and the marks on the same items."""

    run: str
    row: Row
    marks: tuple[Mark, ...]


class Told(NamedTuple):
    """A mark, and the runs that it stands beside where it is not the same for all."""

    mark: Mark
    runs: tuple[str, ...]


class Panel(NamedTuple):
    """One metric of all runs on one scale from ``low`` to ``high``."""

    metric: str
    title: str
    better: Better
    lines: tuple[RunLine, ...]
    low: float
    high: float

    def legend(self) -> list[Told]:
        """Every mark once, by its kind; runs on other items have marks of their own."""
        found: dict[tuple[object, ...], tuple[Mark, list[str]]] = {}
        for line in self.lines:
            for mark in line.marks:
                shown = [mark.row[name] for name in ("value", "low", "high")]
                place = (mark.name, *(round(float(str(one)), _DIGITS) if finite(one) else None for one in shown))
                found.setdefault(place, (mark, []))[1].append(line.run)
        told = [Told(mark, () if len(runs) == len(self.lines) else tuple(runs)) for mark, runs in found.values()]
        order = list(dict.fromkeys(one.mark.name for one in told))
        return sorted(told, key=lambda one: order.index(one.mark.name))


class _Headline(NamedTuple):
    metric: str
    title: str
    better: Better
    bounded: bool
    marks: tuple[tuple[str, Kind, str, str | None], ...]


# Marks: name, kind, metric, predictor.
_HEADLINES: Final = (
    _Headline("accuracy", "Accuracy", "higher", True, (
        ("majority", "floor", "majority_baseline", None),
        ("one person held out", "people", "ceiling_accuracy", "held_out_rater"),
        ("ceiling", "ceiling", "ceiling_accuracy", "best"),
    )),
    _Headline("macro_f1", "Macro F1", "higher", True, (
        ("one person held out", "people", "ceiling_macro_f1", "held_out_rater"),
        ("ceiling", "ceiling", "ceiling_macro_f1", "best"),
    )),
    _Headline("kappa_run", "Agreement with single people (κ)", "higher", True, (
        ("people with each other", "people", "kappa_people", "people"),
    )),
    _Headline("soft_cross_entropy", "Cross-entropy to people’s votes", "lower", False, (
        ("uniform guess", "floor", "soft_cross_entropy", "uniform"),
        ("the set’s label shares", "floor", "soft_cross_entropy", "corpus_mean"),
        ("ceiling", "ceiling", "ceiling_soft_cross_entropy", "best"),
    )),
    _Headline("total_variation", "Distance to people’s votes (total variation)", "lower", False, (
        ("the set’s label shares", "floor", "total_variation", "corpus_mean"),
        ("majority of people", "people", "total_variation", "hard_majority"),
        ("ceiling", "ceiling", "ceiling_total_variation", "best"),
    )),
    _Headline("mar_mean", "Reasons that judges reject", "lower", True, (
        ("people’s own reasons", "people", "mar_mean", None),
    )),
)  # fmt: skip


def headline_panels(scores: pl.DataFrame, *, human: str = "human") -> list[Panel]:
    """The headline metrics that a table of scores holds, over all items.

    Args:
        scores: The table of :func:`dfar_toolkit.scoring.score`.
        human: The run under which people's own reasons are judged.

    Returns:
        A panel per metric with a defined value, its runs in the order of the table.
    """
    rows = by_subset(scores.to_dicts() if scores.width else [])[0]
    places = {(r["metric"], r["predictor"], r["run_id"]): r for r in rows if r.get("label") is None}
    found = []
    for head in _HEADLINES:
        lines = []
        for (metric, predictor, run), row in places.items():
            if metric == head.metric and predictor is None and run != human and finite(row["value"]):
                lines.append(RunLine(str(run), row, tuple(_marks(head, places, run, human))))
        if lines:
            low, high = _ends(head, lines)
            found.append(Panel(head.metric, head.title, head.better, tuple(lines), low, high))
    return found


def _marks(
    head: _Headline, places: dict[tuple[object, object, object], Row], run: object, human: str
) -> Iterable[Mark]:
    for name, kind, metric, predictor in head.marks:
        row = places.get((metric, predictor, human if metric == head.metric == "mar_mean" else run))
        if row is not None and finite(row["value"]):
            yield Mark(name, kind, row)


def _ends(head: _Headline, lines: list[RunLine]) -> tuple[float, float]:
    numbers = [0.0]
    for line in lines:
        for row in (line.row, *(mark.row for mark in line.marks)):
            numbers += [float(str(row[name])) for name in ("value", "low", "high") if finite(row[name])]
    low, high = min(numbers), max(numbers)
    return low, max(1.0, high) if head.bounded else high + _ROOM * (high - low)
