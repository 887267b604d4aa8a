"""Curves of methods: what is drawn where, that methods are told apart twice, and that names stay names."""

from __future__ import annotations

from typing import Any

import pytest

from dfar_toolkit.report.curve_plot import curve_plot, method_sign
from dfar_toolkit.report.plots import themed
from dfar_toolkit.report.svg import chart_svg

HOSTILE = '<script>alert(1)</script>"]]+datum'


def rows(methods: list[str], shares: tuple[float, ...] = (0.1, 0.5)) -> list[dict[str, Any]]:
    return [
        {"rationale_method": name, "share": share, "value": share + at / 10, "low": at / 10, "high": 1.0}
        for at, name in enumerate(methods)
        for share in shares
    ]


def drawn(methods: list[str], **how: Any) -> dict[str, Any]:
    given = {"steps": (0.1, 0.5), "methods": methods, "baseline": "random", "across": "share", "up": "flips"} | how
    chart = curve_plot(rows(methods), **given)
    assert chart is not None
    found: dict[str, Any] = chart.to_dict()
    return found


def values(chart: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart["datasets"][layer["data"]["name"]]
    return found


def lines(chart: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer for layer in chart["layer"] if layer["mark"]["type"] == "line"]


def test_methods_differ_in_colour_dash_and_shape_and_random_is_a_band() -> None:
    chart = drawn(["a", "b_c", "random", "d"])
    own = [line for line in lines(chart) if "strokeDash" in line["mark"]]
    assert len(own) == 3
    assert len({line["mark"]["color"] for line in own}) == 3
    assert len({tuple(line["mark"]["strokeDash"]) for line in own}) == 3
    points = next(layer for layer in chart["layer"] if layer["mark"]["type"] == "point")
    assert points["encoding"]["color"]["scale"]["domain"] == ["a", "b c", "d"]
    assert len(set(points["encoding"]["shape"]["scale"]["range"])) == 3
    area = next(layer for layer in chart["layer"] if layer["mark"]["type"] == "area")
    assert [(v["x"], v["low"], v["high"]) for v in values(chart, area)] == [(0, 0.2, 1.0), (1, 0.2, 1.0)]
    # Values are drawn as they come, points of one step beside each other.
    shown = values(chart, points)
    assert [(v["method"], v["value"]) for v in shown[:2]] == [("a", 0.1), ("a", 0.5)]
    assert len({v["x"] for v in shown}) == 6
    assert all(abs(v["x"] - round(v["x"])) <= 0.2 for v in shown)


def test_a_method_keeps_its_look_where_another_has_no_curve() -> None:
    whole = drawn(["a", "b", "d"])
    less = curve_plot(rows(["a", "d"]), steps=(0.1, 0.5), methods=["a", "b", "d"], baseline="random", across="", up="")
    assert less is not None
    assert lines(whole)[2]["mark"] == lines(less.to_dict())[1]["mark"]
    assert method_sign(2) == "◆"


def test_thirteen_methods_are_told_apart() -> None:
    names = [f"m{k}" for k in range(13)]
    points = next(layer for layer in drawn(names)["layer"] if layer["mark"]["type"] == "point")
    looks = zip(
        points["encoding"]["color"]["scale"]["range"], points["encoding"]["shape"]["scale"]["range"], strict=True
    )
    assert len(set(looks)) == 13


@pytest.mark.parametrize("methods", [["random"], ["a"], [HOSTILE, "random"], ["x" * 5000, "x" * 5000 + "y"]])
def test_it_can_be_drawn_and_names_stay_text(methods: list[str]) -> None:
    for shares in ((0.1,), (0.1, 0.5)):
        chart = curve_plot(rows(methods, shares), steps=shares, methods=methods, baseline="random", across="share",
                           up="flips")  # fmt: skip
        assert chart is not None
        svg = chart_svg(themed(chart), name="c", label="curves")
        assert "<script" not in svg
        assert "10 %" in svg


def test_without_a_defined_value_there_is_no_chart() -> None:
    nothing = [{"rationale_method": "a", "share": 0.1, "value": float("nan"), "low": None, "high": None}]
    kept: dict[str, Any] = {"steps": (0.1,), "methods": ["a"], "baseline": "", "across": "", "up": ""}
    assert curve_plot(nothing, **kept) is None
    assert curve_plot([], **kept) is None
    one = curve_plot([{**nothing[0], "value": 0.5}], **kept)
    assert one is not None
    chart = one.to_dict()
    assert values(chart, chart["layer"][-1])[0]["low"] == 0.5
