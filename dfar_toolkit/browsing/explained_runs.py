"""What a run holds beside its answers: rationales, answers to changed items, tests of its reasons; only counted."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_columns import reason
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.slow_results import slow_results
from dfar_toolkit.errors import DfarError
from dfar_toolkit.scoring.rationale_scores import RationalePart, rationale_parts

_COLUMNS: Final = ("item_id", "condition", "method", "operator")
_WORDS: Final = ("word_scores", "evidence")


class ExplainedRun(NamedTuple):
    """One run.

    Attributes:
        run: Its name.
        n_rows: Rows of its file that are its own.
        parts: What can be said about it: ``plausibility`` (it names words), ``faithfulness`` (it answered items
            without some of their words), ``self_consistency``; empty where it only answers.
        counts: Rows ``condition, method, operator, rows, items``.
        problem: Why its file cannot be read; empty where it can.
    """

    run: str
    n_rows: int
    parts: tuple[RationalePart, ...]
    counts: pl.DataFrame
    problem: str = ""


def explained_run(index: ItemIndex, run: str) -> ExplainedRun:
    """What one run holds, counted once per index; only narrow columns of its file are read.

    Args:
        index: The items.
        run: Name of a run of the index.
    """
    found: ExplainedRun = slow_results(index).get(("explained run", run), lambda: _counted(index, run))
    return found


def _counted(index: ItemIndex, run: str) -> ExplainedRun:
    file = index.run_files[run]
    try:
        rows = file.scan().filter(pl.col("run_id") == run)
        there = rows.collect_schema().names()
        named = [pl.col(name).is_not_null() for name in _WORDS if name in there]
        words = pl.any_horizontal(named) if named else pl.lit(value=False)
        facts = rows.select(*_COLUMNS, words.alias("words")).group_by("condition", "method", "operator").agg(
            pl.len().alias("rows"), pl.col("item_id").n_unique().alias("items"), pl.col("words").any()
        ).sort("condition", "method", "operator").collect()  # fmt: skip
    except (OSError, DfarError, pl.exceptions.PolarsError) as error:
        return ExplainedRun(run, 0, (), pl.DataFrame(), f"{file.path}: cannot be read ({reason(error)}).")
    one = pl.when("words").then(pl.lit([0.0])).alias("word_scores")
    kinds = facts.select("condition", "method", one, pl.lit(None).alias("evidence"))
    return ExplainedRun(run, int(facts["rows"].sum()), rationale_parts(kinds), facts.drop("words"))
