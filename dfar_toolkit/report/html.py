"""The report as one self-contained page: inline style, inline pictures, no script, no outside request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dfar_toolkit.report.document import ReportData, visible
from dfar_toolkit.report.sections import MOST_DRAWN, sections
from dfar_toolkit.report.table import Section

if TYPE_CHECKING:
    import altair as alt

_LONG_NAME: Final = re.compile("[a-z0-9_]{33,}")  # nothing in it could be markup


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture that has been reduced to shapes and text, and its caption."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class _Part:
    section: Section
    figures: tuple[Figure, ...]


def html(data: ReportData) -> str:
    """Render a report as a page of HTML.

    Args:
        data: What the report shows.

    Returns:
        The page; the same data give the same text.

    Example:
        >>> "&lt;b&gt;" in html(ReportData(title="<b>"))
        True
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("dfar_toolkit", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        keep_trailing_newline=True,
    )
    environment.filters["drawn"] = Markup  # only ever applied to what report/svg.py reduced
    environment.filters["breakable"] = _breakable
    figures = _figures(data)
    parts = [_Part(s, tuple(figures.get(s.key, ()))) for s in sections(data)]
    return environment.get_template("page.html.jinja").render(title=data.title, parts=parts, footer=data.footer)


def _shown(value: object) -> object:
    """Characters that cannot be written or seen are replaced, in everything but our own markup."""
    from markupsafe import Markup

    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _breakable(cell: str) -> str:
    """A long name of a metric may break after an underscore; anything else is escaped like all text."""
    from markupsafe import Markup

    return Markup(cell.replace("_", "_<wbr>")) if _LONG_NAME.fullmatch(cell) else cell


def _figures(data: ReportData) -> dict[str, list[Figure]]:
    """Pictures by the key of the section they stand in."""
    from dfar_toolkit.report.annotator_plots import annotators_plot, disagreement_plot, pairs_plot
    from dfar_toolkit.report.plots import agreement_plot, findings_plot, reasons_plot, scores_plot

    undefined = "Circles are pairs of annotators; undefined statistics are in the table only."
    empty = not data.scores.width
    return {
        "findings": _drawn("findings", "Rows with a finding, by severity.", findings_plot(data.findings)),
        "agreement": _drawn("agreement", f"Agreement. {undefined}", agreement_plot(data.agreement)),
        "annotators": [
            *_drawn(
                "annotators",
                "Each annotator against the rest, least agreement first.",
                annotators_plot(data.annotators),
            ),
            *_drawn("pairs", "Cohen's kappa of every two annotators: blue above 0, red below.", pairs_plot(data.pairs)),
            *_drawn("disagreement", "Items by disagreement.", disagreement_plot(data.disagreement)),
        ],
        "scores": _drawn("scores", _SCORES, None if empty else scores_plot(data.scores)),
        "calibration": list(_reliability(data)),
        "reasons": _drawn("reasons", _REASONS, None if empty else reasons_plot(data.scores)),
        "confusions": list(_confusions(data)),
        "rationales": list(_rationales(data)),
    }


_SCORES = (
    "Headline metrics with intervals, a colour per subset. The upright tick under accuracy is what always answering "
    "the subset's majority label would get."
)
_REASONS = "Misalignment rates with intervals. The dashed line is the rate of human reasons, where they were judged."


def _reliability(data: ReportData) -> Iterable[Figure]:
    from dfar_toolkit.report.reliability_plot import predicted_ends, reliability_plot

    if not data.reliability.width:
        return
    ends = predicted_ends(data.reliability)
    runs = data.reliability.partition_by("run_id", as_dict=True, maintain_order=True)
    for i, ((run,), curve) in enumerate(runs.items()):
        yield from _drawn(f"reliability{i}", f"{run}. Shade: if calibrated.", reliability_plot(curve, ends=ends))


def _confusions(data: ReportData) -> Iterable[Figure]:
    from dfar_toolkit.report.plots import confusion_plot

    for i, (run, frame) in enumerate(data.confusions.items()):
        chart = confusion_plot(frame) if frame["gold"].n_unique() <= MOST_DRAWN else None
        yield from _drawn(f"confusion{i}", f"{run}. Shade: share of the row.", chart)


def _rationales(data: ReportData) -> Iterable[Figure]:
    from dfar_toolkit.report.curve_plot import curve_plot
    from dfar_toolkit.report.rationale_plot import rationale_plot
    from dfar_toolkit.report.rationales import RANDOM, compared_rows, flip_curves

    caption = "Methods with intervals; 0 is chance, higher is better."
    yield from _drawn("rationales", caption, rationale_plot(compared_rows(data.rationales)))
    for i, (run, operator, rows) in enumerate(flip_curves(data.rationales)):
        chart = curve_plot(
            rows,
            steps=sorted({row["share"] for row in rows}),
            methods=list(dict.fromkeys(row["rationale_method"] for row in rows)),
            baseline=RANDOM,
            across="share of the words taken away",
            up="flips",
        )
        caption = f"{run}: items whose label changes without these words ({operator}); higher is better. Grey: random."
        yield from _drawn(f"flips{i}", caption, chart)


def _drawn(name: str, caption: str, chart: alt.LayerChart | alt.FacetChart | alt.VConcatChart | None) -> list[Figure]:
    from dfar_toolkit.report.plots import themed
    from dfar_toolkit.report.svg import chart_svg

    label = visible(caption).replace("\n", " ")
    return [] if chart is None else [Figure(chart_svg(themed(chart), name=name, label=label), caption)]
