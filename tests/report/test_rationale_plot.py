"""Methods of several runs: runs stay told apart, and their legend no wider than the plot."""

from __future__ import annotations

from typing import Any

from dfar_toolkit.report.plots import distinct, themed
from dfar_toolkit.report.rationale_plot import rationale_plot
from dfar_toolkit.report.svg import chart_svg

LONG = "meta-llama-3.1-8b-instruct-epoch-{}-of-the-ethics-study"


def drawn(runs: list[str]) -> dict[str, Any]:
    rows = [
        {"panel": "F1", "rationale_method": method, "run_id": run, "value": 0.1, "low": 0.0, "high": 0.2}
        for method in ("attention", "random")
        for run in runs
    ]
    chart = rationale_plot(rows)
    assert chart is not None
    found: dict[str, Any] = chart.to_dict()
    return found


def signs(runs: list[str]) -> list[tuple[str, str]]:
    """Colour and shape of each run."""
    points = next(layer for layer in drawn(runs)["vconcat"][0]["layer"] if layer["mark"]["type"] == "point")
    scales = [points["encoding"][kind]["scale"] for kind in ("color", "shape")]
    assert [scale["domain"] for scale in scales] == [runs, runs]
    return list(zip(*(scale["range"] for scale in scales), strict=True))


def test_thirty_runs_have_thirty_signs() -> None:
    found = signs([f"run {at}" for at in range(30)])
    assert len(set(found)) == 30
    assert len({shape for _, shape in found[:5]}) == 5  # told apart without colours


def test_names_that_differ_late_are_cut_in_their_middle() -> None:
    names = distinct([*(LONG.format(epoch) for epoch in range(3)), "short"])
    assert [name[10:27] for name in names[:3]] == [f"…instruct-epoch-{epoch}" for epoch in range(3)]
    assert all(len(name) <= 34 for name in names)
    assert names[3] == "short"
    assert distinct(["x" * 40, "x" * 40, "y"]) == [f"{'x' * 33}… (1)", f"{'x' * 33}… (2)", "y"]
    assert distinct(["x" * 40, "x" * 50]) == [f"{'x' * 10}…{'x' * 15}", f"{'x' * 10}…{'x' * 22}…"]


def test_a_legend_of_long_names_does_not_shrink_the_plot() -> None:
    chart = rationale_plot([
        {"panel": "F1", "rationale_method": "attention", "run_id": LONG.format(at), "value": 0.1}
        for at in range(7)
    ])  # fmt: skip
    assert chart is not None
    page = chart_svg(themed(chart), name="x", label="x")
    width = float(page.split('viewBox="0 0 ')[1].split()[0])
    assert 520 < width < 720
