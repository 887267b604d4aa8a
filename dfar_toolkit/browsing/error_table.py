"""What a run made of each label under a filter: the confusion table with outputs that are no label, and error rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.browsing.group_codes import group_codes
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.unit_sums import unit_sums
from dfar_toolkit.estimate import Estimate, Patterns
from dfar_toolkit.estimate.wilson import proportion_of_units

NO_LABEL: Final = ("unparsed", "failed", "missing")  # states that stand beside the labels
_SCORED: Final = ("right", "wrong", "unparsed", "failed")


class ErrorTable(NamedTuple):
    """A run's outputs by label.

    Attributes:
        cells: Rows ``gold`` (``""`` for items without a label), ``answer`` (null where there is none), ``state``
            (unparsed, failed, missing; empty where there is an answer), ``count``; empty cells are left out.
        error_rate: Share of items with a label and an output that are not right, with Wilson's interval.
        recall: By label the share of its items that are right; items without an output are left out.
    """

    cells: pl.DataFrame
    error_rate: Estimate
    recall: dict[str, Estimate]


def error_table(
    index: ItemIndex, run: str, *, wanted: ItemFilter | None = None, confidence: float = 0.95
) -> ErrorTable:
    r"""Count a run's outputs of the items of a filter.

    With $n_k$ the items of label k that the run has an output for and $h_k$ those it has right: recall $h_k / n_k$,
    error rate $1 - \sum h_k / \sum n_k$. An output without a label is not right.

    Args:
        index: The items.
        run: The run.
        wanted: Items to count; None means all.
        confidence: Two-sided coverage.

    Returns:
        The table.

    Undefined:
        A rate of no items.

    Raises:
        ValueError: There is no such run, or a name in the filter that the index does not know.
    """
    rows = _rows(index, run, wanted)
    gold, answer, state = (_at(index.column(name), rows) for name in ("label", f"answer {run}", f"state {run}"))
    shown = pl.DataFrame([gold.alias("gold"), answer.alias("answer"), state.alias("state")])
    counted = shown.group_by("gold", "answer", "state").agg(pl.len().cast(pl.Int64).alias("count"))
    counted = counted.with_columns(pl.col("gold", "answer", "state").cast(pl.String))
    beside = pl.when(pl.col("state").is_in(NO_LABEL)).then("state").otherwise(pl.lit(""))
    counted = counted.with_columns(pl.col("gold").fill_null(""), beside.alias("state"))
    cells = counted.group_by("gold", "answer", "state").agg(pl.col("count").sum()).sort("gold", "answer", "state")
    codes = gold.to_physical().cast(pl.Int64)
    scored = state.is_in(_SCORED) & gold.is_not_null()
    labels = pl.select(pl.when(scored).then(codes).otherwise(-1)).to_series().to_numpy()
    units = unit_sums(_at(group_codes(index), rows), labels, {"right": (state == "right").to_numpy()})
    names = index.names("label")
    recall = {
        names[k]: proportion_of_units(f"recall of {names[k]}", found, confidence=confidence)
        for k, found in units.items()
    }
    return ErrorTable(cells, error_rate(index, run, wanted=wanted, confidence=confidence), recall)


def error_rate(index: ItemIndex, run: str, *, wanted: ItemFilter | None = None, confidence: float = 0.95) -> Estimate:
    """Share of the items of a filter, of those with a label and an output, that a run does not have right.

    Args:
        index: The items.
        run: The run.
        wanted: Items to count; None means all.
        confidence: Two-sided coverage of Wilson's interval, on the effective n over groups.

    Undefined:
        No such item.

    Raises:
        ValueError: As :func:`error_table`.
    """
    rows = _rows(index, run, wanted)
    state, gold = (_at(index.column(name), rows) for name in (f"state {run}", "label"))
    cells = np.where((state.is_in(_SCORED) & gold.is_not_null()).to_numpy(), 0, -1)
    units = unit_sums(_at(group_codes(index), rows), cells, {"wrong": (state != "right").to_numpy()})
    none = Patterns(np.empty((0, 2)), np.empty(0), 0, "items")
    return proportion_of_units("error rate", units.get(0, none), confidence=confidence)


def errors_of(index: ItemIndex, run: str, wanted: ItemFilter) -> ItemFilter:
    """The filter of the errors that :func:`error_rate` counts.

    ``differs`` also lets through outputs without a label about items without one; they are left out by naming labels.
    """
    found = replace(wanted, differs=tuple(dict.fromkeys((*wanted.differs, run))))
    label = index.column("label").gather(found_rows(index, found).rows)
    return replace(found, gold=_named(label, wanted)) if label.null_count() else found


def scored_of(index: ItemIndex, runs: Sequence[str], wanted: ItemFilter) -> ItemFilter:
    """The filter of the items that have a label and an output of each run: those that rates are counted over.

    What leaves out nothing is not named. The filter given must not name states of these runs.
    """
    rows = pl.Series(found_rows(index, wanted).rows)
    states = wanted.state
    for run in runs:
        own = index.column(f"state {run}").gather(rows).cast(pl.String)
        if not own.is_in(_SCORED).all():
            states += tuple((run, state) for state in _SCORED if (own == state).any())
    found = replace(wanted, state=states)
    label = index.column("label").gather(found_rows(index, found).rows)
    return replace(found, gold=_named(label, wanted)) if label.null_count() else found


def _named(label: pl.Series, wanted: ItemFilter) -> tuple[str, ...]:
    """The labels that occur, of those that the filter lets through; as the filter has them where none does."""
    there = set(label.drop_nulls().unique().cast(pl.String))
    return tuple(name for name in enum_names(label) if name in there) or wanted.gold


def _rows(index: ItemIndex, run: str, wanted: ItemFilter | None) -> pl.Series | None:
    """The rows of a filter; None for all."""
    if run not in index.runs:
        raise ValueError(f"error_table: there is no run {run!r}; found {', '.join(index.runs) or 'none'}")
    if wanted is None or wanted == ItemFilter():
        return None
    return pl.Series(found_rows(index, wanted).rows)


def _at(values: pl.Series, rows: pl.Series | None) -> pl.Series:
    return values if rows is None else values.gather(rows)
