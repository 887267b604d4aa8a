"""Rationales of several methods, of one run or two, as an Altair chart: a panel per metric, a line per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.plots import ACCENT, COLOURS, INK, Row, distinct, domain, drawn_interval, inline

if TYPE_CHECKING:
    import altair as alt

_WIDTH: Final = 520
_STEP: Final = 30
_SHAPES: Final = ("circle", "diamond", "square", "cross", "triangle-up")  # with six colours 30 different signs
_LETTER: Final = 7  # widest mean width of a name's letters
_SIGN: Final = 34  # width of a sign with the room around it


def rationale_plot(rows: Sequence[Row]) -> alt.VConcatChart | None:
    """Dots with whiskers: one panel per ``panel``, one line per ``rationale_method``, one colour per ``run_id``.

    Args:
        rows: ``panel, rationale_method, run_id, value, low, high``, in the order of panels, methods and runs.

    Returns:
        The chart; None where no value is defined.
    """
    import altair as alt

    kept = [row for row in rows if finite(row.get("value"))]
    if not kept:
        return None
    methods = list(dict.fromkeys(str(row["rationale_method"]) for row in kept))
    runs = list(dict.fromkeys(str(row["run_id"]) for row in kept))
    names = dict(zip(methods, distinct([one.replace("_", " ") for one in methods]), strict=True))
    called = dict(zip(runs, distinct(runs), strict=True))
    points = [
        {"panel": str(row["panel"]), "method": names[str(row["rationale_method"])], "run": called[str(row["run_id"])],
         **drawn_interval(row)}
        for row in kept
    ]  # fmt: skip
    shown = list(called.values())
    across = domain(points, ends=(0,))
    panels = list(dict.fromkeys(str(point["panel"]) for point in points))
    charts = [_panel([point for point in points if point["panel"] == panel], panel, shown, across) for panel in panels]
    chart: alt.VConcatChart = alt.vconcat(*charts, spacing=22)
    return chart


def _panel(points: Sequence[Row], title: str, runs: list[str], across: list[float]) -> alt.LayerChart:
    """One metric: the methods that have it, each with its runs below each other."""
    import altair as alt

    order = list(dict.fromkeys(str(point["method"]) for point in points))
    colour = alt.Color("run:N", sort=runs).scale(domain=runs, range=_taken(COLOURS, len(runs)))
    shape = alt.Shape("run:N", sort=runs).scale(domain=runs, range=_taken(_SHAPES, len(runs)))
    fitting = max(1, _WIDTH // (_LETTER * max(map(len, runs)) + _SIGN))  # a legend wider than the page shrinks it all
    legend: Any = alt.Legend(title=None, orient="top", columns=min(fitting, len(runs)))
    by_run = colour.legend(legend) if len(runs) > 1 else alt.value(ACCENT)
    y = alt.Y("method:N", sort=order, title=None).axis(ticks=False, domain=False)
    x = alt.X("value:Q", title=None).scale(domain=across, nice=False).axis(tickCount=8)
    base = alt.Chart(inline(points)).encode(
        y=y.scale(paddingInner=0.35, paddingOuter=0.2), yOffset=alt.YOffset("run:N", sort=runs), color=by_run
    )
    marked = base.mark_point(filled=True, size=64, opacity=1).encode(x=x)
    layers = [
        alt.Chart().mark_rule(strokeDash=[4, 4], color=INK, opacity=0.4).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=None), x2="high:Q"),
        marked.encode(shape=shape.legend(legend)) if len(runs) > 1 else marked,
    ]
    heading = alt.TitleParams(title, anchor="start", fontSize=13, fontWeight="bold", color=INK, offset=8, frame="group")
    drawn: Any = alt.layer(*layers).properties(
        width=_WIDTH, height=max(_STEP, 14 * len(runs) + 8) * len(order), title=heading
    )
    return drawn  # type: ignore[no-any-return]


def _taken(signs: Sequence[str], n: int) -> list[str]:
    """The first n, from the beginning again where there are fewer."""
    return [signs[at % len(signs)] for at in range(n)]
