"""Curves over steps, one line per method, told apart by colour, dash and shape; a baseline as a grey band.

The rows are drawn as they come; points of several methods at one step are only moved apart so that each is seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.plots import ACCENT, INK, Row, distinct, domain, drawn_interval, inline

if TYPE_CHECKING:
    import altair as alt

_WIDTH: Final = 500
_HEIGHT: Final = 270
_SPREAD: Final = 0.4  # of the way to the next step: where the points of several methods stand
_GREY: Final = "#8899aa"
_COLOURS: Final = (ACCENT, "#ee7733", "#2a9d8f", "#c4569b", "#a08a2e")  # seen on light and on dark
_SHAPES: Final = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")
_SIGNS: Final = ("●", "■", "◆", "▲", "✚", "▼")
_DASHES: Final = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3), (4, 4), (12, 4))


def method_sign(place: int) -> str:
    """The shape of the line at a place, as a character for tables beside the chart.

    Example:
        >>> method_sign(0), method_sign(7)
        ('●', '■')
    """
    return _SIGNS[place % len(_SIGNS)]


def curve_plot(
    rows: Sequence[Row], *, steps: Sequence[float], methods: Sequence[str], baseline: str, across: str, up: str
) -> alt.LayerChart | None:
    """Values with whiskers at every step, joined by lines.

    Args:
        rows: ``rationale_method, share, value, low, high``.
        steps: The shares in order; they stand at equal distances.
        methods: The methods in order, which decides colour, dash and shape.
        baseline: The method that is drawn as a band.
        across: Title of the horizontal axis.
        up: Title of the vertical axis.

    Returns:
        The chart; None where no value is defined.
    """
    import altair as alt

    place = {share: at for at, share in enumerate(steps)}
    kept = [row for row in rows if finite(row.get("value")) and row.get("share") in place]
    if not kept:
        return None
    lines = [name for name in methods if name != baseline]
    shown = dict(zip(lines, distinct([name.replace("_", " ") for name in lines]), strict=True))
    drawn = [name for name in lines if any(row["rationale_method"] == name for row in kept)]
    points = [
        {"method": shown[str(row["rationale_method"])], "place": lines.index(str(row["rationale_method"])),
         **drawn_interval(row),
         "x": place[row["share"]] + _aside(drawn.index(str(row["rationale_method"])), len(drawn))}  # type: ignore[index]
        for row in kept
        if row["rationale_method"] in shown
    ]  # fmt: skip
    points.sort(key=lambda point: (point["place"], point["x"]))
    band = [{"x": place[row["share"]], **drawn_interval(row)} for row in kept if row["rationale_method"] == baseline]  # type: ignore[index]
    x = alt.X("x:Q", title=across).scale(domain=[-0.35, len(steps) - 0.65], nice=False)
    x = x.axis(values=list(range(len(steps))), labelExpr=_labels(steps), grid=False, titlePadding=8)
    ends = alt.Y("value:Q", title=up).scale(domain=domain([*points, *band], ends=(0,)), nice=False)
    y = ends.axis(grid=True, tickCount=6, titlePadding=10)
    zero = alt.Chart().mark_rule(color=INK, opacity=0.45).encode(y=alt.datum(0))
    layers = [zero, *(_band(band, x, y, up) if band else []), *(_lines(points, x, y, up) if points else [])]
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT)


def _aside(place: int, n: int) -> float:
    return 0.0 if n < 2 else _SPREAD * (place / (n - 1) - 0.5)


def _labels(steps: Sequence[float]) -> str:
    """Only numbers are in it, none of the data's names."""
    return f"{json.dumps([f'{100 * float(share):g} %' for share in steps])}[datum.value]"


def _band(band: Sequence[Row], x: alt.X, y: alt.Y, up: str) -> list[alt.Chart]:
    import altair as alt

    base = alt.Chart(inline(band))
    low = alt.Y("low:Q", title=up)
    if len(band) == 1:
        area = base.mark_rule(color=_GREY, opacity=0.22, strokeWidth=26).encode(x=x, y=low, y2="high:Q")
    else:
        area = base.mark_area(color=_GREY, opacity=0.22).encode(x=x, y=low, y2="high:Q")
    return [area, base.mark_line(color=_GREY, strokeWidth=1.5, point=alt.OverlayMarkDef(color=_GREY)).encode(x=x, y=y)]


def _lines(points: Sequence[Row], x: alt.X, y: alt.Y, up: str) -> list[alt.Chart]:
    """Whiskers and a line for each method, then all points; the legend shows colour and shape."""
    import altair as alt

    places = {str(point["method"]): int(str(point["place"])) for point in points}
    colours = [_COLOURS[at % len(_COLOURS)] for at in places.values()]
    shapes = [_SHAPES[at % len(_SHAPES)] for at in places.values()]
    drawn = []
    names = list(places)
    for name, at in places.items():
        own = alt.Chart(inline([point for point in points if point["method"] == name]))
        colour, dash = _COLOURS[at % len(_COLOURS)], list(_DASHES[at % len(_DASHES)])
        low = alt.Y("low:Q", title=up)
        drawn.append(own.mark_rule(strokeWidth=1.2, opacity=0.5, color=colour).encode(x=x, y=low, y2="high:Q"))
        drawn.append(own.mark_line(strokeWidth=1.8, color=colour, strokeDash=dash).encode(x=x, y=y))
    legend: Any = alt.Legend(title=None, orient="bottom", columns=3, columnPadding=26, symbolSize=90, offset=14)
    coloured = alt.Color("method:N", sort=names, legend=legend).scale(domain=names, range=colours)
    shape = alt.Shape("method:N", sort=names, legend=legend).scale(domain=names, range=shapes)
    marked = alt.Chart(inline(points)).mark_point(filled=True, size=64, opacity=1)
    return [*drawn, marked.encode(x=x, y=y, color=coloured, shape=shape)]
