"""The plots of a report as Altair charts; the rows are drawn as they come, nothing is computed.

Names of fields and scales are fixed here. Text from data enters as values only, which Vega never evaluates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from dfar_toolkit.report.cells import finite
from dfar_toolkit.report.document import plain_text, visible
from dfar_toolkit.report.reasons import runs_without_verdicts
from dfar_toolkit.report.sections import MOST_PAIRS, confusion_cells, is_pair, severity_rank
from dfar_toolkit.tables import HUMAN_RUN

if TYPE_CHECKING:
    import altair as alt

    Drawn = alt.LayerChart | alt.FacetChart | alt.VConcatChart

INK: Final = "#1b1f24"  # the page's style sheet swaps these two for the colours of the reader's scheme
RULE: Final = "#e3e6ea"
ACCENT: Final = "#4477aa"
DEEP: Final = "#2f5f95"
COLOURS: Final = ("#4477aa", "#ee7733", "#2a9d8f", "#aa3377", "#998433", "#777777")
SEVERITY_COLOURS: Final = {"fail": "#cc3344", "warn": "#ee9933", "info": "#8899aa"}
HEADLINE: Final = ("accuracy", "balanced_accuracy", "macro_f1", "matthews_correlation", "mcc", "coverage")
RATES: Final = ("mar_mean", "mar_majority", "mar_strict")

_WIDTH = 560
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
_LONGEST = 34
_BEFORE = 15  # letters before those in which long names differ
# Room for readers whose typeface is wider than the one that labels were measured in.
_PADDING: Final = {"left": 36, "right": 28, "top": 4, "bottom": 4}

Row = Mapping[str, object]


def agreement_plot(rows: Sequence[Row]) -> alt.LayerChart | None:
    """Dots with whiskers, one line per defined statistic; pairs of annotators share a line of circles."""
    several = len({r.get("question") for r in rows}) > 1
    points: list[dict[str, object]] = []
    for row in (r for r in rows if finite(r.get("value"))):
        level = f" ({row['level']})" if row.get("level") else ""
        question = f"{plain_text(row.get('question'))}: " if several else ""
        pair = is_pair(row)
        name = _short(f"{question}{plain_text(row.get('statistic'))}{', pairs' if pair else level}")
        points.append({"name": name, "pair": pair, **drawn_interval(row)})
    pairs = [p for p in points if p["pair"]][:MOST_PAIRS]
    points = [p for p in points if not p["pair"]] + pairs
    return _dots(points) if points else None


def findings_plot(rows: Sequence[Row]) -> alt.LayerChart | None:
    """Bars of counts, gravest severity first; findings that were not found are left to the table."""
    import altair as alt

    found = [r for r in sorted(rows, key=severity_rank) if r.get("count")]
    if not found:
        return None
    points = [
        {
            "name": _short(str(r.get("finding"))),
            "count": r["count"],
            "severity": visible(plain_text(r.get("severity"))),
            "text": f"{r['count']:,} of {r['total']:,}" if isinstance(r.get("total"), int) else f"{r['count']:,}",
        }
        for r in found
    ]
    severities = list(dict.fromkeys(str(p["severity"]) for p in points))
    colours = [SEVERITY_COLOURS.get(s, COLOURS[5]) for s in severities]
    base = alt.Chart(inline(points)).encode(
        y=alt.Y("name:N", sort=[str(p["name"]) for p in points], title=None),
        x=alt.X("count:Q", title="rows (square-root scale)").scale(type="sqrt", padding=0).axis(tickCount=5),
    )
    bars = base.mark_bar(height=14, cornerRadiusEnd=2).encode(
        color=alt.Color("severity:N").scale(domain=severities, range=colours).legend(title=None, orient="top")
    )
    text = base.mark_text(align="left", dx=5, color=INK).encode(text="text:N")
    return sized(alt.LayerChart(layer=[bars, text]), len(points), 24)


def scores_plot(scores: pl.DataFrame) -> alt.FacetChart | None:
    """Headline metrics of all runs side by side, a colour per subset, a tick where the subset's majority lies."""
    rows = _defined(scores)
    points = [r for metric in HEADLINE for r in rows if r["metric"] == metric]
    ticks = [{**r, "metric": "accuracy"} for r in rows if r["metric"] == "majority_baseline"]
    return _compared(points, ticks if any(p["metric"] == "accuracy" for p in points) else []) if points else None


def reasons_plot(scores: pl.DataFrame) -> alt.FacetChart | None:
    """Misalignment rates of judged runs; the human run, where judged, is the line to compare with."""
    rates = scores.filter(pl.col("metric").is_in(RATES))
    points = _defined(rates.filter(~pl.col("run_id").is_in(runs_without_verdicts(rates.to_dicts()))))
    points.sort(key=lambda p: (RATES.index(str(p["metric"])), p["run"] != HUMAN_RUN))
    return _compared(points, [], floor=HUMAN_RUN) if points else None


def confusion_plot(frame: pl.DataFrame) -> alt.LayerChart | None:
    """A heat map: counts as numbers, colour by the share of the gold label's row; K (K + 1) cells of K options."""
    import altair as alt

    gold, pred, counts = confusion_cells(frame)
    if not gold:
        return None
    gold_names, pred_names = distinct(gold), distinct(pred)
    sums = {g: sum(counts.get((g, p), 0) for p in pred) for g in gold}
    cells = [
        {"gold": gn, "pred": pn, "count": (c := counts.get((g, p), 0)), "shade": c / sums[g] if sums[g] else 0.0}
        for g, gn in zip(gold, gold_names, strict=True)
        for p, pn in zip(pred, pred_names, strict=True)
    ]
    tilt = -35 if max(len(p) for p in pred_names) > 9 else 0
    base = alt.Chart(inline(cells)).encode(
        x=alt.X("pred:N", sort=None, title="predicted").axis(
            labelAngle=tilt, titlePadding=10, orient="top", ticks=False, domain=False
        ),
        y=alt.Y("gold:N", sort=None, title="gold").axis(ticks=False, domain=False, titlePadding=18),
    )
    squares = base.mark_rect(color=DEEP, stroke=RULE).encode(
        fillOpacity=alt.FillOpacity("shade:Q").scale(domain=[0, 1], range=[0.04, 1]).legend(None)
    )
    shade = alt.condition("datum.shade > 0.7", alt.value("#ffffff"), alt.value(INK))
    text = base.mark_text(fontSize=13).encode(text=alt.Text("count:Q").format(",d"), color=shade)
    side = 84 if len(pred) <= 5 else 52
    chart: alt.LayerChart = alt.LayerChart(layer=[squares, text]).properties(
        width=side * len(pred), height=46 * len(gold)
    )
    return chart


def _defined(scores: pl.DataFrame) -> list[dict[str, object]]:
    """Points of the defined scores that are not about one label; runs by names that stay apart when shortened."""
    rows = [r for r in scores.to_dicts() if r.get("label") is None and finite(r.get("value"))]
    runs = list(dict.fromkeys(str(r.get("run_id", "")) for r in rows))
    names = dict(zip(runs, distinct(runs), strict=True))
    return [
        {
            "run": names[str(r.get("run_id", ""))],
            "metric": str(r["metric"]),
            "subset": visible(plain_text(r.get("subset"))) or "all",
            **drawn_interval(r),
        }
        for r in rows
    ]


def drawn_interval(row: Row) -> dict[str, object]:
    """Value and ends; without an interval both ends are the value."""
    value = row["value"]
    whole = finite(row.get("low")) and finite(row.get("high"))
    return {"value": value, "low": row["low"] if whole else value, "high": row["high"] if whole else value}


def _short(text: str) -> str:
    text = visible(text).replace("\n", " ")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def distinct(names: Sequence[str]) -> list[str]:
    """Shortened names; where two become equal their like beginnings are cut too, else their positions are added.

    Example:
        >>> distinct([f"a long name of the model of this study, epoch {n}" for n in (1, 2)])
        ['a long nam…s study, epoch 1', 'a long nam…s study, epoch 2']
    """
    short = [_short(n) for n in names]
    for alike in dict.fromkeys(s for s in short if short.count(s) > 1):
        places = [i for i, s in enumerate(short) if s == alike]
        whole = [visible(names[i]).replace("\n", " ") for i in places]
        differ = (at for at, letters in enumerate(zip(*whole, strict=False)) if len(set(letters)) > 1)
        start = next(differ, min(map(len, whole))) - _BEFORE
        cut = [_short(f"{name[:10]}…{name[start:]}") for name in whole]
        if len(set(cut)) == len(cut) and not set(cut) & set(short):
            for i, name in zip(places, cut, strict=True):
                short[i] = name
    return [s if short.count(s) == 1 else f"{s} ({i + 1})" for i, s in enumerate(short)]


def domain(points: Sequence[Row], *, ends: Sequence[float] = ()) -> list[float]:
    """Tenths around everything that is drawn, and around ``ends``."""
    lows = [*ends, *(float(str(p["low"])) for p in points)]
    highs = [*ends, *(float(str(p["high"])) for p in points)]
    return [math.floor(min(lows) * 10 + 1e-9) / 10, math.ceil(max(highs) * 10 - 1e-9) / 10]


def _dots(points: Sequence[Row]) -> alt.LayerChart:
    import altair as alt

    title = "value with interval"
    ends = [p if not p["pair"] else {**p, "low": p["value"], "high": p["value"]} for p in points]
    order = list(dict.fromkeys(str(p["name"]) for p in points))
    base = alt.Chart(inline(ends)).encode(y=alt.Y("name:N", sort=order, title=None))
    x = alt.X("value:Q", title=title).scale(domain=domain(ends, ends=(0, 1)), nice=False)
    x = x.axis(tickCount=8)
    whole = base.transform_filter("!datum.pair")
    whiskers = whole.mark_rule(strokeWidth=2, color=ACCENT).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    dots = whole.mark_point(filled=True, size=70, opacity=1, color=ACCENT).encode(x=x)
    circles = base.transform_filter("datum.pair").mark_point(size=40, opacity=0.7, color=ACCENT).encode(x=x)
    return sized(alt.LayerChart(layer=[whiskers, dots, circles]), len(order), 26)


def _compared(points: Sequence[Row], ticks: Sequence[Row], *, floor: str | None = None) -> alt.FacetChart:
    """One panel per metric, one line per run, offset and coloured by subset."""
    import altair as alt

    runs = list(dict.fromkeys(str(p["run"]) for p in points))
    subsets = list(dict.fromkeys(str(p["subset"]) for p in points))
    marked = [{**p, "role": "value"} for p in points] + [{**t, "role": "majority"} for t in ticks]
    marked += [{**p, "role": "floor"} for p in points if p["run"] == floor and p["subset"] == subsets[0]]
    axis = alt.X("value:Q", title=None).scale(domain=domain(marked, ends=(0,) if floor else ()), nice=False)
    axis = axis.axis(tickCount=8)
    step = max(26, 12 * len(subsets) + 14)
    panel = alt.layer(*_marks(runs, subsets, axis)).properties(width=_WIDTH, height=step * len(runs))
    metrics = list(dict.fromkeys(str(p["metric"]) for p in points))
    facet = alt.Row("metric:N", sort=metrics, title=None).header(
        labelAngle=0, labelAlign="left", labelOrient="top", labelAnchor="start", labelFontSize=13,
        labelFontWeight="bold", labelColor=INK, labelPadding=4, labelExpr="replace(datum.label, /_/g, ' ')",
    )  # fmt: skip
    chart: alt.FacetChart = panel.facet(data=inline(marked), row=facet, spacing=18).resolve_scale(x="shared")
    return chart


def _marks(runs: list[str], subsets: list[str], axis: alt.X) -> list[alt.Chart]:
    """The layers of a panel, from the back: the floor's line, whiskers, dots, the majority's tick."""
    import altair as alt

    by_subset = alt.Color("subset:N", sort=subsets).legend(title=None, orient="top")
    by_subset = by_subset.scale(domain=subsets, range=list(COLOURS[: len(subsets)]))
    colour = by_subset if len(subsets) > 1 else alt.value(ACCENT)
    run = alt.Y("run:N", sort=runs, title=None).axis(ticks=False, domain=False)
    base = alt.Chart().encode(
        y=run.scale(paddingInner=0.35, paddingOuter=0.2), yOffset=alt.YOffset("subset:N", sort=subsets), color=colour
    )
    drawn = base.transform_filter("datum.role == 'value'")
    line = alt.Chart().transform_filter("datum.role == 'floor'")
    tick = base.transform_filter("datum.role == 'majority'")
    return [
        line.mark_rule(strokeDash=[4, 4], color=INK, opacity=0.5).encode(x=axis),
        drawn.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=None), x2="high:Q"),
        drawn.mark_point(filled=True, size=60, opacity=1).encode(x=axis),
        tick.mark_tick(thickness=2, size=14, opacity=0.8).encode(x=axis, color=alt.value(INK)),
    ]


def inline(rows: Sequence[Row]) -> alt.InlineData:
    """Rows as data of a chart, values only."""
    import altair as alt

    return alt.InlineData(values=list(rows))


def sized(chart: alt.LayerChart, lines: int, step: int) -> alt.LayerChart:
    """The chart at the page's width, a step of height per line."""
    sized: alt.LayerChart = chart.properties(width=_WIDTH, height=max(1, lines) * step)
    return sized


def themed(chart: Drawn) -> Drawn:
    """The chart in the report's look: transparent, one typeface, thin rules."""
    look: Drawn = (
        chart.configure(background="transparent", font=_FONT, padding=_PADDING)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor=RULE, domainColor=RULE, tickColor=RULE, labelFontSize=12,
            titleFontSize=12, titleFontWeight="normal", labelLimit=330, labelFlush=False,
        )
        .configure_axisY(grid=False, labelPadding=8)
        .configure_legend(labelColor=INK, labelFontSize=12, symbolSize=70, labelLimit=330)
    )  # fmt: skip
    return look
