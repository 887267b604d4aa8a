"""Plots of annotators: each against the rest, each pair, and items by disagreement. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dfar_toolkit.report.annotators import MOST_ANNOTATORS, enough
from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.plots import ACCENT, INK, RULE, Row, distinct, domain, drawn_interval, inline, sized

if TYPE_CHECKING:
    import altair as alt

_LETTERED: Final = 12  # annotators up to which a square has its number in it
_MOST_SQUARE: Final = 30


def annotators_plot(rows: Sequence[Row]) -> alt.LayerChart | None:
    """Dots with whiskers, least agreement first; at most 40 annotators."""
    import altair as alt

    defined = sorted(enough(rows), key=lambda r: float(str(r["value"])))[:MOST_ANNOTATORS]
    if not defined:
        return None
    names = distinct([str(r.get("rater")) for r in defined])
    points = [{"name": name, **drawn_interval(row)} for name, row in zip(names, defined, strict=True)]
    title = "share of other annotators who said the same"
    base = alt.Chart(inline(points)).encode(y=alt.Y("name:N", sort=names, title=None))
    x = alt.X("value:Q", title=title).scale(domain=domain(points), nice=False).axis(tickCount=8)
    whiskers = base.mark_rule(strokeWidth=2, color=ACCENT).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x)
    return sized(alt.LayerChart(layer=[whiskers, dots]), len(points), 22)


def pairs_plot(rows: Sequence[Row]) -> alt.LayerChart | None:
    """A square of annotators by annotators, shaded by Cohen's kappa; up to 30 annotators."""
    import altair as alt

    people = sorted({str(r[side]) for r in rows for side in ("rater_a", "rater_b")})
    if not 3 <= len(people) <= _MOST_SQUARE or not any(finite(r.get("value")) for r in rows):
        return None
    names = dict(zip(people, distinct(people), strict=True))
    cells = [
        {"a": names[str(r[a])], "b": names[str(r[b])], "value": r["value"], "text": f"{r['value']:.2f}"}
        for r in rows
        if finite(r.get("value"))
        for a, b in (("rater_a", "rater_b"), ("rater_b", "rater_a"))
    ]
    order = [names[p] for p in people]
    base = alt.Chart(inline(cells)).encode(
        x=alt.X("a:N", sort=order, title=None).axis(labelAngle=-40, orient="top", ticks=False, domain=False),
        y=alt.Y("b:N", sort=order, title=None).axis(ticks=False, domain=False),
    )
    shade = alt.Color("value:Q").scale(domain=[-1, 0, 1], range=["#cc3344", "#f2f2f2", "#2f5f95"])
    squares = base.mark_rect(stroke=RULE).encode(color=shade.legend(None))
    white = alt.condition("datum.value > 0.6 || datum.value < -0.6", alt.value("#ffffff"), alt.value("#1b1f25"))
    text = base.mark_text(fontSize=11).encode(text="text:N", color=white)
    side = 44 if len(people) <= _LETTERED else 16
    layers = [squares, text] if len(people) <= _LETTERED else [squares]
    chart: alt.LayerChart = alt.LayerChart(layer=layers).properties(width=side * len(people), height=side * len(people))
    return chart


def disagreement_plot(bins: Sequence[Row]) -> alt.LayerChart | None:
    """Bars of items by how far two people part over them."""
    import altair as alt

    if not any(row.get("items") for row in bins):
        return None
    order = [str(row["disagreement"]) for row in bins]
    base = alt.Chart(inline([dict(row) for row in bins])).encode(
        x=alt.X("disagreement:N", sort=order, title="chance that two people differ").axis(labelAngle=0),
        y=alt.Y("items:Q", title="items").axis(tickCount=4),
    )
    bars = base.mark_bar(color=ACCENT, cornerRadiusEnd=2)
    text = base.mark_text(dy=-7, color=INK).encode(text=alt.Text("items:Q").format(",d"))
    chart: alt.LayerChart = alt.LayerChart(layer=[bars, text]).properties(width=560, height=150)
    return chart
