"""Predicted distributions of votes: scores beside reference predictors, BEST and the share of the ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.report.beside import Beside, beside_table, by_place
from dfar_toolkit.report.ceilings import best_of_runs, ceiling_tables, limit_notes, limits_of, shares_of
from dfar_toolkit.report.cells import confidence_text, finite, value_text
from dfar_toolkit.report.document import plain_text
from dfar_toolkit.report.score_parts import by_subset, rows_of
from dfar_toolkit.report.shared_notes import Row, SharedNotes, gathered_notes, with_over
from dfar_toolkit.report.table import Section, Table

SOFT_HEADLINES: Final = (
    "soft_cross_entropy", "brier_score_unbiased", "total_variation", "entropy_correlation",
)  # fmt: skip
REFERENCES: Final = ("uniform", "corpus_mean", "hard_majority", "perfect_model")
_TITLE: Final = "Distributions of votes"
_PLACE: Final = ("run_id", "subset", "metric")
_TEXT: Final = (
    "How near the run's probabilities come to the spread of people's votes. A distance to a few votes says little by "
    "itself: beside it stand simple predictors, what a perfect model would get on as many votes, and BEST, the same "
    "over all items with votes. The share of the ceiling is how far the run has come from the corpus mean to BEST, "
    "on the items that it answered."
)
_CEILINGS: Final = "What can be reached on these votes: by BEST, the expected score of an oracle, and by people."
_DASH: Final = (
    "A dash stands where a score is not defined: cross-entropy of a predictor that gives no probability to an option "
    "that somebody chose, the correlation of entropies that do not vary, a perfect model where no item has two votes."
)


def distributions_section(scores: pl.DataFrame) -> Section:
    """Soft scores with their references in columns, and ceilings; empty where votes are not known."""
    soft, ceilings = rows_of(scores, "soft"), rows_of(scores, "ceiling")
    own = with_over((r for r in soft if r.get("predictor") is None), _PLACE[:2])
    whole = by_subset(own)[0]
    notes = gathered_notes((r for r in whole if r.get("metric") in SOFT_HEADLINES), _PLACE[:2])
    tables = [*_scores(own, _besides(soft, ceilings), notes), *ceiling_tables(ceilings), *notes.tables()]
    if not tables:
        return Section("distributions", _TITLE, (), ())
    references = [r for r in soft if r.get("predictor") in REFERENCES]
    text = [_TEXT if own else _CEILINGS, confidence_text([*own, *ceilings]), *notes.lines(), *_masses(whole)]
    text += [_DASH] if any(not finite(r.get("value")) for r in references) else []
    text += limit_notes(limits_of(ceilings)).lines()
    # What opens on demand stands last.
    return Section("distributions", _TITLE, tuple(text), tuple(sorted(tables, key=lambda t: t.folded)))


def _masses(own: Sequence[Row]) -> list[str]:
    """What the options got before the probabilities were renormalised, one line."""
    rows = [r for r in own if r.get("metric") == "option_mass" and finite(r.get("value"))]
    values = [value_text(r.get("value")) for r in rows]
    runs = [plain_text(r.get("run_id")) for r in rows]
    alike = f"{values[0]} for every run" if len(set(values)) == 1 else ""
    told = alike or ", ".join(f"{run} {value}" for run, value in zip(runs, values, strict=True))
    return [f"Probability that fell on the options, before it was made to sum to 1: {told}."] if rows else []


def _besides(soft: Sequence[Row], ceilings: Sequence[Row]) -> list[Beside]:
    """Reference predictors, BEST and the share of the ceiling, by run, subset and metric."""
    found = [
        Beside(name.replace("_", " "), by_place((r for r in soft if r.get("predictor") == name), _PLACE))
        for name in REFERENCES
    ]
    found.append(Beside("BEST", by_place(best_of_runs(limits_of(ceilings)), _PLACE)))
    found.append(Beside("share of ceiling", by_place(shares_of(ceilings), _PLACE)))
    return found


def _scores(own: Sequence[Row], besides: Sequence[Beside], notes: SharedNotes) -> list[Table]:
    whole = by_subset(own)[0]
    defined = {r.get("metric") for r in whole if finite(r.get("value"))}
    first = [r for r in whole if r.get("metric") in SOFT_HEADLINES and r.get("metric") in defined]
    further = [r for r in own if r not in first]
    caption = "Further scores of distributions"
    tables = [
        beside_table(first, _PLACE, besides, notes),
        beside_table(further, _PLACE, besides, notes, caption=caption, folded=True),
    ]
    return [t for t in tables if t.rows]
