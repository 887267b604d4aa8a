"""What can be reached on the votes at hand: BEST, a held-out rater, two raters; and how near a run has come to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dfar_toolkit.report.cells import estimate_cells, estimates_table
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import by_subset
from dfar_toolkit.report.shared_notes import Row, SharedNotes, shared_notes
from dfar_toolkit.report.table import Table

CEILING_HEADLINES: Final = ("ceiling_soft_cross_entropy", "ceiling_accuracy", "ceiling_agreement")
_CEILING: Final = "ceiling_"
_SHARE: Final = "share_of_ceiling_"
_SAME: Final = ("subset", "metric", "predictor", "value", "low", "high", "n", "note")


def limits_of(rows: Sequence[Row]) -> list[Row]:
    """The ceilings themselves, once where several runs have the same: they rest on the votes alone.

    Args:
        rows: Rows of the part ceiling.

    Returns:
        The rows, with the list of the runs in ``run_id``.
    """
    found: dict[str, dict[str, object]] = {}
    for row in (r for r in rows if not str(r.get("metric")).startswith(_SHARE)):
        same = found.setdefault(repr([row.get(c) for c in _SAME]), {**row, "run_id": []})
        same["run_id"] = [*_runs(same), plain_text(row.get("run_id"))]
    return list(found.values())


def best_of_runs(limits: Sequence[Row]) -> list[Row]:
    """BEST of each run, under the name of the score that it stands beside."""
    best = [_renamed(r, _CEILING) for r in limits if r.get("predictor") == "best"]
    return [{**r, "run_id": run} for r in best for run in _runs(r)]


def shares_of(rows: Sequence[Row]) -> list[Row]:
    """The shares of the ceiling, under the names of the scores that they stand beside."""
    return [_renamed(r, _SHARE) for r in rows if str(r.get("metric")).startswith(_SHARE)]


def limit_notes(limits: Sequence[Row]) -> SharedNotes:
    """What all ceilings of a kind over all items say, such as how well the model behind BEST fits the votes."""
    return shared_notes([{**r, "of whom": _whom(r)} for r in by_subset(limits)[0]], ("subset", "of whom"))


def ceiling_tables(rows: Sequence[Row]) -> list[Table]:
    """The headline ceilings over all items; the others, and the shares with their intervals, folded."""
    limits = limits_of(rows)
    several = len({tuple(_runs(r)) for r in limits}) > 1
    head = [*(["run"] if several else []), "subset", "ceiling", "of whom"]
    notes = limit_notes(limits)
    first = [r for r in by_subset(limits)[0] if r.get("metric") in CEILING_HEADLINES]
    further = [r for r in limits if r not in first]
    shares = [r for r in rows if str(r.get("metric")).startswith(_SHARE)]
    of_runs = [[*(plain_text(r.get(c)) for c in ("run_id", "subset", "metric")), *estimate_cells(r)] for r in shares]
    tables = [
        estimates_table(head, [_cells(r, notes, several) for r in first], caption="Ceilings on these votes"),
        estimates_table(head, [_cells(r, notes, several) for r in further], caption="Further ceilings", folded=True),
        estimates_table(("run", "subset", "metric"), of_runs, caption="Shares of the ceiling", folded=True),
    ]
    return [t for t in tables if t.rows]


def _cells(row: Row, notes: SharedNotes, several: bool) -> list[str]:
    whom = _whom(row)
    told = [plain_text(row.get("subset")), str(row.get("metric")), whom]
    own = {**row, "note": notes.own({**row, "of whom": whom})}
    return [*([", ".join(_runs(row))] if several else []), *told, *estimate_cells(own)]


def _whom(row: Row) -> str:
    return plain_text(row.get("predictor")).replace("_", " ").replace("best", "BEST")


def _runs(row: Row) -> list[str]:
    runs = row.get("run_id")
    return [str(run) for run in runs] if isinstance(runs, list) else [plain_text(runs)]


def _renamed(row: Row, prefix: str) -> Row:
    return {**row, "metric": str(row.get("metric")).removeprefix(prefix)}
