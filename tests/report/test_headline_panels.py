"""Headline metrics beside baselines, people and ceilings, from rows written by hand."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.report.headline_panels import headline_panels


def row(run: str, metric: str, value: float, predictor: str | None = None, **more: object) -> dict[str, object]:
    return {
        "run_id": run, "metric": metric, "predictor": predictor, "subset": "all", "label": None, "value": value,
        "low": value - 0.1, "high": value + 0.1, "n": 10, "note": "", "part": "labels", **more,
    }  # fmt: skip


def test_marks_stand_beside_the_runs_they_belong_to() -> None:
    scores = pl.DataFrame([
        row("a", "accuracy", 0.6), row("b", "accuracy", 0.7), row("a", "accuracy", 0.9, subset="leaked"),
        row("a", "majority_baseline", 0.5), row("b", "majority_baseline", 0.5 + 1e-12),
        row("a", "ceiling_accuracy", 0.9, "best"), row("b", "ceiling_accuracy", 0.8, "best"),
        row("a", "mar_mean", 0.3), row("human", "mar_mean", 0.1),
        row("a", "macro_f1", float("nan")),
    ])  # fmt: skip
    accuracy, reasons = headline_panels(scores)
    assert (accuracy.metric, accuracy.better, accuracy.low, accuracy.high) == ("accuracy", "higher", 0.0, 1.0)
    assert [(line.run, line.row["value"]) for line in accuracy.lines] == [("a", 0.6), ("b", 0.7)]
    told = [(one.mark.name, one.runs) for one in accuracy.legend()]
    assert told == [("majority", ()), ("ceiling", ("a",)), ("ceiling", ("b",))]
    assert [line.run for line in reasons.lines] == ["a"]
    assert [(mark.name, mark.row["value"]) for mark in reasons.lines[0].marks] == [("people’s own reasons", 0.1)]


def test_a_scale_without_an_end_leaves_room_and_reaches_below_zero() -> None:
    scores = pl.DataFrame([row("a", "soft_cross_entropy", 1.9), row("b", "kappa_run", -0.2)])
    kappa, entropy = headline_panels(scores)
    assert entropy.low == 0.0
    assert entropy.high > 2.0
    assert kappa.low == -0.30000000000000004
    assert headline_panels(pl.DataFrame()) == []
