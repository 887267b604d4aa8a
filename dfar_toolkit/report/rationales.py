"""Rationales in a report: what must hold before any is believed, beside people's words, and without their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit.report.cells import confidence_text, interval_text, p_text, value_text
from dfar_toolkit.report.rationale_tables import OWN_WORDS, NotedTable, Texts, difference_tables, headline_tables
from dfar_toolkit.report.table import Section, Table

FLIPS: Final = "flip_rate"
RANDOM: Final = "random"  # the method that draws words blindly
_TITLE: Final = "Rationales"
_MOST_NOTES: Final = 15  # below the tables; more of them are folded
_TEXTS: Final = Texts(value_text, interval_text, p_text, between="\n")
_TEXTS_OF_PARTS: Final = {
    "plausibility": "Whether the words that each method names are those that people marked: compare what is taken "
    "against chance.",
    "faithfulness": "Whether the label hangs on the words that each method names. Raw faithfulness of two models, or "
    "of one before and after fine-tuning, is not comparable; what is taken against random words is.",
    "self_consistency": "Whether written reasons go with the answers: tests of self-consistency. None looks inside "
    "the model, and values of two models do not compare.",
}
_ALL: Final = "All numbers, those of every step too, are in the JSON beside this report."


def rationales_section(rationales: pl.DataFrame, differences: pl.DataFrame) -> Section:
    """The methods of every run with rationales; their notes stand once, below the tables.

    Args:
        rationales: From ``rationale_scores``.
        differences: From ``rationale_differences``.
    """
    if not len(rationales):
        return Section("rationales", _TITLE, (), ())
    covered = confidence_text(rationales.iter_rows(named=True))
    width = covered.removeprefix("Intervals of ").removesuffix(".") if "%" in covered else ""  # else none, or unsaid
    shown = headline_tables(rationales, _TEXTS, width)
    tests = difference_tables(differences, _TEXTS, width) if len(differences) else []
    numbers = _numbered(shown)
    tables = [_table(one, ([*row[:-1], _marks(row[-1], numbers)] for row in one.rows)) for one in shown]
    if numbers:
        said = tuple((str(place), note) for note, place in numbers.items())
        tables.append(Table("Notes", ("", "note"), said, frozenset({0}), folded=len(said) > _MOST_NOTES))
    tables += [_table(one, one.rows, folded=True) for one in tests]
    parts = rationales["part"].unique().to_list()
    about = " ".join([*(text for part, text in _TEXTS_OF_PARTS.items() if part in parts), _ALL])
    return Section("rationales", _TITLE, (about, *_warnings(rationales)), tuple(tables))


def compared_rows(rationales: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of a plot of what may be compared between runs: alignment above chance, flips minus random words."""
    found: list[dict[str, Any]] = []
    if not len(rationales):
        return found
    aligned = rationales.filter(metric="token_f1_above_chance")
    for (gold,), rows in aligned.group_by("gold", maintain_order=True):
        found += _panel(rows, f"Words that people marked too ({gold}): F1 above chance")
    flips = rationales.filter(pl.col("metric") == f"{FLIPS}_over_random", pl.col("k") == OWN_WORDS)
    for (operator,), rows in flips.group_by("operator", maintain_order=True):
        found += _panel(rows, f"Flips without the rationale ({operator}), minus those of random words")
    return found


def flip_curves(rationales: pl.DataFrame) -> Iterable[tuple[str, str, list[dict[str, Any]]]]:
    """For each run and operator with several shares of words: its name, the operator, and the rows of flip rates."""
    if not len(rationales):
        return
    rows = rationales.filter(pl.col("metric") == FLIPS, pl.col("share").is_not_null())
    for (run, operator), own in rows.group_by("run_id", "operator", maintain_order=True):
        if own["share"].n_unique() > 1:
            yield str(run), str(operator), own.sort("share", maintain_order=True).to_dicts()


def _panel(rows: pl.DataFrame, title: str) -> list[dict[str, Any]]:
    """The rows of a panel, method by method."""
    methods = rows["rationale_method"].unique(maintain_order=True)
    return [{"panel": title, **row} for method in methods for row in rows.filter(rationale_method=method).to_dicts()]


def _warnings(rationales: pl.DataFrame) -> list[str]:
    """What makes faithfulness say little, a sentence for all runs of which the same is said."""
    rails = rationales.filter(metric="top_label_share", rationale_method="")
    found: dict[str, dict[str, None]] = {}
    for row in rails.to_dicts():
        if row["note"]:
            found.setdefault(row["note"].split("; ")[0], {})[row["run_id"]] = None
    return [f"{', '.join(runs)}: {note}." for note, runs in found.items()]


def _numbered(tables: Sequence[NotedTable]) -> dict[str, int]:
    parts = [part for table in tables for row in table.rows for part in row[-1].split("; ") if part]
    return {part: place for place, part in enumerate(dict.fromkeys(parts), 1)}


def _marks(note: str, numbers: dict[str, int]) -> str:
    return " ".join(str(numbers[part]) for part in dict.fromkeys(note.split("; ")) if part)


def _table(one: NotedTable, lines: Iterable[Sequence[str]], *, folded: bool = False) -> Table:
    """The table; columns that are empty everywhere are left out."""
    rows = [tuple(line) for line in lines]
    kept = [at for at in range(len(one.header)) if any(row[at] for row in rows)]
    numeric = frozenset(place for place, at in enumerate(kept) if one.header[at] in one.numeric)
    cells = tuple(tuple(row[at] for at in kept) for row in rows)
    return Table(one.title, tuple(one.header[at] for at in kept), cells, numeric, folded)
