"""Rationales of several methods, of one run or two, as an Altair chart: a panel per metric, a line per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.plots import ACCENT, COLOURS, INK, Row, distinct, domain, drawn_interval, inline

if TYPE_CHECKING:
    import altair as alt

_WIDTH: Final = 520
_STEP: Final = 30


def rationale_plot(rows: Sequence[Row]) -> alt.FacetChart | None:
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
    order, shown = list(names.values()), list(called.values())
    colour = alt.Color("run:N", sort=shown).scale(domain=shown, range=list(COLOURS[: len(shown)]))
    shape = alt.Shape("run:N", sort=shown).scale(domain=shown, range=["circle", "diamond", "square", "cross"])
    by_run = colour.legend(title=None, orient="top") if len(shown) > 1 else alt.value(ACCENT)
    y = alt.Y("method:N", sort=order, title=None).axis(ticks=False, domain=False)
    x = alt.X("value:Q", title=None).scale(domain=domain(points, ends=(0,)), nice=False).axis(tickCount=8)
    base = alt.Chart().encode(
        y=y.scale(paddingInner=0.35, paddingOuter=0.2), yOffset=alt.YOffset("run:N", sort=shown), color=by_run
    )
    marked = base.mark_point(filled=True, size=64, opacity=1).encode(x=x)
    layers = [
        alt.Chart().mark_rule(strokeDash=[4, 4], color=INK, opacity=0.4).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=None), x2="high:Q"),
        marked.encode(shape=shape.legend(title=None, orient="top")) if len(shown) > 1 else marked,
    ]
    panel = alt.layer(*layers).properties(width=_WIDTH, height=_STEP * len(order))
    panels = list(dict.fromkeys(str(point["panel"]) for point in points))
    facet = alt.Row("panel:N", sort=panels, title=None).header(
        labelAngle=0, labelAlign="left", labelOrient="top", labelAnchor="start", labelFontSize=13,
        labelFontWeight="bold", labelColor=INK, labelPadding=4,
    )  # fmt: skip
    chart: alt.FacetChart = panel.facet(data=inline(points), row=facet, spacing=18).resolve_scale(x="shared")
    return chart
