"""Predicted distributions of votes: scores beside reference predictors, BEST and what people themselves get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.cells import confidence_line, estimate_cells, estimates_table, finite
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import rows_of
from dfar_toolkit.report.shared_notes import Row, SharedNotes, shared_notes, with_over
from dfar_toolkit.report.table import Section, Table

SOFT_HEADLINES: Final = (
    "soft_cross_entropy", "brier_score_unbiased", "total_variation", "entropy_correlation", "option_mass",
)  # fmt: skip
CEILING_HEADLINES: Final = ("ceiling_soft_cross_entropy", "ceiling_accuracy", "ceiling_agreement")
REFERENCES: Final = ("uniform", "corpus_mean", "hard_majority", "perfect_model")
_TITLE: Final = "Distributions of votes"
_CEILING: Final = "ceiling_"
_SHARE: Final = "share_of_ceiling_"
_PLACE: Final = ("run_id", "subset", "metric")
_OF_VOTES: Final = ("subset", "metric", "predictor")
_TEXT: Final = (
    "How near the run's probabilities come to how people's votes are spread. Nobody reaches 0 on a few votes: read "
    "each score beside what simple predictors get, beside what a perfect model would get on as many votes, and "
    "beside BEST, the expected score of an oracle that knows how items differ. The share of the ceiling is how far "
    "the run has come from the corpus mean to BEST."
)
_DASH: Final = (
    "A dash stands where a score is not defined: cross-entropy for a predictor that gives no probability to an "
    "option that somebody chose, the correlation of entropies for one whose entropies are all equal."
)


def distributions_section(scores: pl.DataFrame) -> Section:
    """Soft scores with their references in columns, and ceilings; empty where no run gave probabilities."""
    soft, ceilings = rows_of(scores, "soft"), rows_of(scores, "ceiling")
    shares = [r for r in ceilings if str(r.get("metric")).startswith(_SHARE)]
    limits = _of_votes([r for r in ceilings if not str(r.get("metric")).startswith(_SHARE)])
    notes = shared_notes(with_over(_own(soft), _PLACE[:2]), _PLACE[:2])
    besides = _besides(soft, limits, shares)
    tables = [
        *_scores(soft, besides, notes),
        *_ceilings(limits, shares),
        *notes.tables(),
    ]  # fmt: skip
    tables = [t for t in tables if not t.folded] + [t for t in tables if t.folded]
    if not tables:
        return Section("distributions", _TITLE, (), ())
    dashes = [_DASH] if any(not finite(r.get("value")) for r in soft if r.get("predictor") in REFERENCES) else []
    text = (_TEXT, confidence_line([*soft, *ceilings]), *notes.lines(), *dashes) if soft else (_TEXT,)
    return Section("distributions", _TITLE, text, tuple(tables))


def _own(rows: Sequence[Row]) -> list[Row]:
    """The rows about the runs themselves."""
    return [r for r in rows if r.get("predictor") is None]


def _besides(soft: Sequence[Row], limits: Sequence[Row], shares: Sequence[Row]) -> list[Beside]:
    """Reference predictors, BEST and the share of the ceiling, by run, subset and metric."""
    found = [
        Beside(name.replace("_", " "), by_place((r for r in soft if r.get("predictor") == name), _PLACE))
        for name in REFERENCES
    ]
    best = [_renamed(r, _CEILING) for r in limits if r.get("predictor") == "best"]
    of_run = [{**r, "run_id": run} for r in best for run in _runs(r)]
    found.append(Beside("BEST", by_place(of_run, _PLACE)))
    found.append(Beside("share of ceiling", by_place((_renamed(r, _SHARE) for r in shares), _PLACE)))
    return found


def _renamed(row: Row, prefix: str) -> Row:
    """The row under the name of the score that it stands beside."""
    return {**row, "metric": str(row.get("metric")).removeprefix(prefix)}


def _scores(soft: Sequence[Row], besides: Sequence[Beside], notes: SharedNotes) -> list[Table]:
    own = with_over(_own(soft), _PLACE[:2])
    first = [r for r in own if r.get("metric") in SOFT_HEADLINES]
    further = [r for r in own if r.get("metric") not in SOFT_HEADLINES]
    tables = [beside_table(first, _PLACE, besides, notes)] if first else []
    caption = "Further scores of distributions"
    return [*tables, *([beside_table(further, _PLACE, besides, notes, caption=caption, folded=True)] if further else [])]


def _of_votes(rows: Sequence[Row]) -> list[Row]:
    """Ceilings once where they are the same for several runs: they rest on the votes alone; ``run_id`` lists the runs."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        place = tuple(repr(row.get(c)) for c in (*_OF_VOTES, "value", "low", "high", "n", "note"))
        same = found.setdefault(place, {**row, "run_id": []})
        same["run_id"] = [*_runs(same), plain_text(row.get("run_id"))]
    return list(found.values())


def _runs(row: Row) -> list[str]:
    runs = row.get("run_id")
    return [str(run) for run in runs] if isinstance(runs, list) else [plain_text(runs)]


def _ceilings(limits: Sequence[Row], shares: Sequence[Row]) -> list[Table]:
    """The headline ceilings, then the others and the shares with their intervals, folded."""
    several = len({tuple(_runs(r)) for r in limits}) > 1
    notes = shared_notes(limits, ("subset", "predictor"))
    head = [*(["run"] if several else []), "subset", "score", "of whom"]
    first = [r for r in limits if r.get("metric") in CEILING_HEADLINES]
    further = [r for r in limits if r.get("metric") not in CEILING_HEADLINES]

    def cells(rows: Sequence[Row]) -> list[list[str]]:
        return [
            [
                *([", ".join(_runs(r))] if several else []),
                plain_text(r.get("subset")),
                str(r.get("metric")),
                _whom(r),
                *estimate_cells(r),
            ]
            for r in rows
        ]

    del notes
    tables = [estimates_table(head, cells(first), caption="Ceilings on these votes")] if first else []
    if further:
        tables.append(estimates_table(head, cells(further), caption="Further ceilings", folded=True))
    if shares:
        named = ("run", "subset", "metric")
        rows = [[*(plain_text(r.get(c)) for c in _PLACE), *estimate_cells(r)] for r in shares]
        tables.append(estimates_table(named, rows, caption="Shares of the ceiling", folded=True))
    return tables


def _whom(row: Row) -> str:
    return plain_text(row.get("predictor")).replace("_", " ")
