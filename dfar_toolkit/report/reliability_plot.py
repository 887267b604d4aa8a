"""Reliability curves as charts; the bins are drawn as they come, nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.plots import ACCENT, INK, domain, drawn_interval, inline

if TYPE_CHECKING:
    import altair as alt

_SIDE: Final = 260
_X: Final = "predicted probability of the answer"
_Y: Final = "share of people who say so"


def reliability_plot(curve: pl.DataFrame, *, ends: Sequence[float] | None = None) -> alt.LayerChart | None:
    """Observed against predicted for one run: dots with intervals, the diagonal, the band of a calibrated model.

    ``ends`` are those of the horizontal axis, the same for runs that are to be compared; by default the curve's own.
    """
    import altair as alt

    points = [
        {
            "x": r["mean_predicted"],
            **drawn_interval(r),
            "band": finite(r["band_low"]) and finite(r["band_high"]),
            "band_low": r["band_low"] if finite(r["band_low"]) else None,
            "band_high": r["band_high"] if finite(r["band_high"]) else None,
        }
        for r in curve.to_dicts()
        if finite(r["mean_predicted"]) and finite(r["value"])
    ]
    if not points:
        return None
    across = list(ends or predicted_ends(curve))
    x = alt.X("x:Q", title=_X).scale(domain=across, nice=False).axis(tickCount=5)
    y = alt.Y("value:Q", title=_Y).scale(domain=[0, 1], nice=False).axis(tickCount=6, grid=True, titlePadding=10)
    base = alt.Chart(inline(points))
    diagonal = alt.Chart(inline([{"x": e, "value": e} for e in across])).mark_line(
        color=INK, strokeDash=[4, 4], opacity=0.5, strokeWidth=1
    )
    band = base.transform_filter("datum.band").mark_rule(color=ACCENT, opacity=0.2, strokeWidth=11)
    layers = [
        band.encode(x=x, y=alt.Y("band_low:Q", title=_Y), y2="band_high:Q"),
        diagonal.encode(x=x, y=y),
        base.mark_rule(strokeWidth=2, color=ACCENT).encode(x=x, y=alt.Y("low:Q", title=_Y), y2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y=y),
    ]
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(width=_SIDE, height=_SIDE)
    return chart


def predicted_ends(curves: pl.DataFrame) -> list[float]:
    """Tenths around all predictions of the curves."""
    means = [float(p) for p in curves["mean_predicted"] if finite(p)]
    low, high = domain([{"low": m, "high": m} for m in means]) if means else (0.0, 1.0)
    return [low if low < high else max(0.0, low - 0.1), high if low < high else min(1.0, high + 0.1)]
