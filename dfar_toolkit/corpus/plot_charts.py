"""The pictures beside a card as Altair charts: rows in, nothing computed, read well at 400 pixels.

Text from data enters as values only, which Vega never evaluates. Series differ by colour and by shape or dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dfar_toolkit.report.plots import ACCENT, COLOURS, INK, RULE, distinct, domain, inline

if TYPE_CHECKING:
    import altair as alt

MOST_SERIES: Final = len(COLOURS)
_WIDTH: Final = 480
_ROW: Final = 26
_LABELS: Final = 200  # pixels for the names at the left
_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"
_BARS: Final = 36
_PAPER: Final = "#ffffff"

Row = Mapping[str, object]


def shares_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """The share of each option, one colour and shape per series; rows have ``option``, ``series`` and ``share``."""
    import altair as alt

    options = list(dict.fromkeys(str(r["option"]) for r in rows))
    series = list(dict.fromkeys(str(r["series"]) for r in rows))
    shown = dict(zip(options, distinct(options), strict=True))
    named = dict(zip(series, distinct(series), strict=True))
    points = [
        {"name": shown[str(r["option"])], "of": named[str(r["series"])], "share": r["share"], "said": _percent(r)}
        for r in rows
    ]
    names, of = list(shown.values()), list(named.values())
    top = max((float(str(r["share"])) for r in rows), default=1.0)
    bars = len(points) <= _BARS  # else dots on one line, so that many options stay in a picture's height
    x = alt.X("share:Q", title="share of the items").axis(format="%", tickCount=5)
    x = x.scale(domain=[0, max(0.05, top * (1.16 if bars else 1.05))], nice=False)
    y = alt.Y("name:N", sort=names, title=None).axis(ticks=False, domain=False)
    several = len(of) > 1
    legend = alt.Legend(title=None, orient="top", columns=3, labelLimit=140) if several else None
    colour = alt.Color("of:N", sort=of).scale(domain=of, range=list(COLOURS[: len(of)])).legend(legend)
    base = alt.Chart(inline(points))
    if bars:
        y = y.scale(paddingInner=0.3, paddingOuter=0.15)
        offset = {"yOffset": alt.YOffset("of:N", sort=of)} if several else {}
        drawn = base.mark_bar(cornerRadiusEnd=2).encode(x=x, y=y, color=colour, **offset)
        text = base.mark_text(align="left", dx=3, fontSize=11, color=INK).encode(x=x, y=y, text="said:N", **offset)
        return _sized([drawn, text], max(_ROW, 15 * len(of) + 6) * len(names))
    shape = alt.Shape("of:N", sort=of).scale(domain=of, range=list(_SHAPES[: len(of)])).legend(legend)
    dots = base.mark_point(filled=True, size=60, opacity=0.9).encode(x=x, y=y, color=colour, shape=shape)
    return _sized([dots], 20 * len(names), lines=True)


def _percent(row: Row) -> str:
    """A share in whole per cent; what is there but rounds to nothing says so."""
    share = float(str(row["share"]))
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def minority_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """Bars of the share of items by the size of the minority; rows have ``size`` and ``share``."""
    import altair as alt

    sizes = [str(r["size"]) for r in rows]
    top = max(float(str(r["share"])) for r in rows)
    base = alt.Chart(inline([{**r, "said": _percent(r)} for r in rows])).encode(
        x=alt.X("size:N", sort=sizes, title="votes outside the largest group").axis(labelAngle=-40, ticks=False),
        y=alt.Y("share:Q", title="share of the items")
        .scale(domain=[0, max(0.05, top * 1.12)], nice=False)
        .axis(format="%", tickCount=5, grid=True),
    )
    bars = base.mark_bar(color=ACCENT, cornerRadiusEnd=2)
    text = base.mark_text(dy=-7, fontSize=11, color=INK).encode(text="said:N")
    return _sized([bars, text], 230)


def lengths_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """Steps over characters on a doubling scale; rows have ``series``, ``low`` (of the step) and ``share``."""
    import altair as alt

    series = list(dict.fromkeys(str(r["series"]) for r in rows))
    x = alt.X("low:Q", title="characters (doubling scale)").scale(type="log", base=2, nice=False)
    x = x.axis(values=_doublings([float(str(r["low"])) for r in rows]), format=",.0f", grid=True)
    y = alt.Y("share:Q", title="share of the texts").axis(format="%", tickCount=5, grid=True).scale(zero=True)
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1) if len(series) > 1 else None
    colour = alt.Color("series:N", sort=series).scale(domain=series, range=list(COLOURS[: len(series)])).legend(legend)
    dash = alt.StrokeDash("series:N", sort=series).scale(domain=series, range=[[1, 0], [5, 3]][: len(series)])
    base = alt.Chart(inline(rows)).encode(x=x, y=y, color=colour)
    area = base.mark_area(interpolate="step-after", opacity=0.18)
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(strokeDash=dash.legend(legend))
    return _sized([area.encode(y=y.stack(None)), line], 230)


def _doublings(ends: Sequence[float]) -> list[float]:
    """Powers of two within the ends; the ends themselves where there are not two."""
    low, high = math.log2(min(ends)), math.log2(max(ends))
    powers = [2.0**k for k in range(math.ceil(low - 1e-3), math.floor(high + 1e-3) + 1)]
    return powers if len(powers) > 1 else [min(ends), max(ends)]


def intervals_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """A dot with its interval per row; rows have ``name``, ``value``, ``low`` and ``high``."""
    import altair as alt

    names = distinct([str(r["name"]) for r in rows])
    points = [{**r, "name": name} for r, name in zip(rows, names, strict=True)]
    y = alt.Y("name:N", sort=names, title=None).axis(ticks=False, domain=False)
    scale = alt.Scale(domain=domain(points, ends=(0, 1)), nice=False)
    x = alt.X("low:Q", title="value with interval").scale(scale).axis(tickCount=6, format=".1f")
    base = alt.Chart(inline(points)).encode(y=y)
    whiskers = base.mark_rule(strokeWidth=3, color=ACCENT).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=90, opacity=1, color=ACCENT).encode(x=alt.X("value:Q").scale(scale))
    return _sized([whiskers, dots], _ROW * len(names))


def histogram_chart(rows: Sequence[Row], *, title: str) -> alt.LayerChart:
    """Bars between ``low`` and ``high`` of a number, by ``share`` of the items."""
    import altair as alt

    base = alt.Chart(inline(rows)).encode(
        x=alt.X("low:Q", title=title).scale(zero=False, nice=False).axis(tickCount=6),
        x2="high:Q",
        y=alt.Y("share:Q", title="share of the items").axis(format="%", tickCount=5, grid=True),
    )
    return _sized([base.mark_bar(color=ACCENT, stroke=_PAPER)], 230)


def _sized(layers: Sequence[alt.Chart], height: int, *, lines: bool = False) -> alt.LayerChart:
    """One width for all pictures, names and numbers large enough for a narrow column."""
    import altair as alt

    chart: alt.LayerChart = (
        alt.LayerChart(layer=list(layers))
        .properties(width=_WIDTH, height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(background=_PAPER, font=_FONT, padding={"left": 8, "right": 16, "top": 8, "bottom": 8})
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor=RULE, domainColor=RULE, tickColor=RULE, labelFontSize=13,
            titleFontSize=13, titleFontWeight="normal", labelLimit=_LABELS,
        )
        .configure_axisY(grid=lines, labelPadding=6)
        .configure_legend(labelColor=INK, labelFontSize=13, symbolSize=90, labelLimit=_LABELS)
    )  # fmt: skip
    return chart
