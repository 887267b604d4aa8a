"""How often a run gives each label beside how often people do, and whether it has collapsed onto one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.cells import confidence_text, p_text
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.shared_notes import Row, SharedNotes, shared_notes, with_over
from dfar_toolkit.report.table import Section, Table

BIAS_HEADLINES: Final = (
    "predicted_share", "gold_share", "share_difference", "top_answer_share", "gold_top_share", "collapse_p",
    "label_homogeneity_p",
)  # fmt: skip
_PLACE: Final = ("run_id", "subset", "label")
_MOST_LABELS: Final = 12  # labels up to which their shares are not folded
_TITLE: Final = "Answers by label"
_COLLAPSE: Final = "collapse: "  # how the verdict on a collapsed run begins
_TEXT: Final = (
    "How often the run gives each label beside how often people do, over the items that it answered. A run that gives "
    "one label almost always scores what the majority scores, and looks perfectly consistent."
)


def answer_shares_section(scores: pl.DataFrame) -> Section:
    """Shares of labels and the verdict on collapse, said in a sentence of each run that has collapsed somewhere."""
    found = rows_of(scores, "bias")
    if not found:
        return Section("bias", _TITLE, (), ())
    place = _PLACE[:2]
    differences = _of(found, "share_difference")
    shares = with_over(_of(found, "predicted_share", "top_answer_share"), place, {"differences": differences})
    notes = shared_notes(by_subset(shares)[0], place)
    whole, parts = by_subset(_of(shares, "predicted_share"))
    verdicts, further = by_subset(_of(shares, "top_answer_share"))
    tables = [
        _verdicts(verdicts, found, notes, "Collapse", folded=False),
        _by_label(whole, found, notes, "Shares of labels", folded=len({r.get("label") for r in whole}) > _MOST_LABELS),
        _verdicts(further, found, notes, "Collapse by subset", folded=True),
        _by_label(parts, found, notes, "Shares of labels by subset", folded=True),
        _further(found, notes),
    ]
    collapsed = [_collapse(r) for r in by_place((r for r in found if _is_collapse(r)), ["run_id"]).values()]
    text = (_TEXT, *collapsed, confidence_text(found), *notes.lines())
    return Section("bias", _TITLE, text, tuple(t for t in (*tables, *notes.tables()) if t.rows))


def _of(rows: Sequence[Row], *metrics: str) -> list[Row]:
    return [r for r in rows if r.get("metric") in metrics]


def _verdicts(rows: Sequence[Row], found: Sequence[Row], notes: SharedNotes, caption: str, *, folded: bool) -> Table:
    """A line per run and subset: the most frequent answer beside the most frequent label, tests, verdict."""
    place = _PLACE[:2]
    besides = [
        Beside("top label of people", by_place(_of(found, "gold_top_share"), place), interval=True),
        Beside("collapse p", by_place(_of(found, "collapse_p"), place), shown=p_text),
        Beside("homogeneity p", by_place(_of(found, "label_homogeneity_p"), place), shown=p_text),
    ]
    return beside_table(rows, place, besides, notes, value="top answer", caption=caption, folded=folded)


def _by_label(rows: Sequence[Row], found: Sequence[Row], notes: SharedNotes, caption: str, *, folded: bool) -> Table:
    besides = [
        Beside("people", by_place(_of(found, "gold_share"), _PLACE), interval=True),
        Beside("difference", by_place(_of(found, "share_difference"), _PLACE), interval=True),
    ]
    return beside_table(rows, _PLACE, besides, notes, value="the run", caption=caption, folded=folded)


def _further(found: Sequence[Row], notes: SharedNotes) -> Table:
    rows = [r for r in found if r.get("metric") not in BIAS_HEADLINES]
    caption = "Further measures of concentration"
    return beside_table(rows, ("run_id", "subset", "metric"), [], notes, caption=caption, folded=True)


def _is_collapse(row: Row) -> bool:
    return row.get("metric") == "top_answer_share" and plain_text(row.get("note")).startswith(_COLLAPSE)


def _collapse(row: Row) -> str:
    """The verdict as a sentence."""
    verdict = plain_text(row.get("note")).removeprefix(_COLLAPSE)
    where = plain_text(row.get("subset"))
    return f"{plain_text(row.get('run_id'))} has collapsed onto one label ({where}): {verdict}."
