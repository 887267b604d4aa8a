"""What the conditions of a filter mean for the columns of an index, as polars expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.filter_fitting import unknown_values
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.reason_search import reason_mask

_DIFFERS: Final = ("wrong", "unparsed", "failed")
Mask = npt.NDArray[np.bool_]


def expression(wanted: ItemFilter, index: ItemIndex) -> pl.Expr:
    """Whether a row of the index meets every condition; true without any. Never null.

    The columns that it needs are its root names: ``index.frame(expression.meta.root_names())``.

    Raises:
        ValueError: A name that the index does not know, or a pattern that is none.
    """
    parts = list(conditions(wanted, index).values())
    return pl.all_horizontal(parts) if parts else pl.lit(True)


def conditions(wanted: ItemFilter, index: ItemIndex) -> dict[str, pl.Expr]:
    """One expression for each field that filters, by its name; where a field is about runs, for each run.

    Raises:
        ValueError: As :func:`expression`.
    """
    problems = unknown_values(wanted, index)
    if problems:
        raise ValueError(f"expression: {problems[0][1]}")
    found: dict[str, pl.Expr] = _searched(wanted, index) | _named(wanted, index) | _measured(wanted)
    for field, column in (("prediction", "answer"), ("state", "state")):
        for run, value in getattr(wanted, field):
            key = f"{field} {run}"
            fits = pl.col(f"{column} {run}") == value
            found[key] = found[key] | fits if key in found else fits
    for run in wanted.differs:
        found[f"differs {run}"] = pl.col(f"state {run}").is_in(_DIFFERS)
    for a, b in wanted.beats:
        found[f"beats {a}\0{b}"] = (pl.col(f"state {a}") == "right") & pl.col(f"state {b}").is_in(_DIFFERS)
    for run in wanted.judged_bad:
        found[f"judged_bad {run}"] = pl.col(f"judged bad {run}") > 0.5
    return {key: condition.fill_null(False) for key, condition in found.items()}


def _searched(wanted: ItemFilter, index: ItemIndex) -> dict[str, pl.Expr]:
    """Conditions on texts."""
    found: dict[str, pl.Expr] = {}
    for field in ("text", "regex", "reason", "reason_regex"):
        pattern = getattr(wanted, field)
        if not pattern:
            continue
        if field in ("text", "reason"):
            # Letters with and without case are the regex engine's own; everything else stands for itself.
            pattern = "(?i)" + literal_pattern(pattern)
        if field in ("text", "regex"):
            found[field] = pl.col("statement").str.contains(pattern)
        else:
            found[field] = pl.lit(pl.Series(reason_mask(index, pattern)))
    return found


def _named(wanted: ItemFilter, index: ItemIndex) -> dict[str, pl.Expr]:
    """Conditions that list names."""
    found: dict[str, pl.Expr] = {}
    for field, column in (("config", "config"), ("source", "source"), ("split", "split"), ("group", "group")):
        if values := getattr(wanted, field):
            found[field] = pl.col(column).is_in(list(values))
    for field, column, nothing in (("gold", "label", ""), ("leak", "leak_kind", NO_LEAK)):
        if values := getattr(wanted, field):
            known = pl.col(column).is_in([v for v in values if v != nothing])
            found[field] = known | pl.col(column).is_null() if nothing in values else known
    for field, column in (("given", "value"), ("annotator", "annotator_id")):
        if values := getattr(wanted, field):
            found[field] = _rows(index, _rated(index, column, values))
    if wanted.finding:
        rows = index.findings()
        found["finding"] = _rows(index, rows["row"].filter(rows["finding"].is_in(list(wanted.finding))))
    for a, b in wanted.between:
        both = [_rows(index, _rated(index, "value", [value])) for value in (a, b)]
        found[f"between {a}\0{b}"] = both[0] & both[1]
    for a, b in wanted.apart:
        found[f"apart {a}\0{b}"] = _rows(index, _apart(index, a, b))
    return found


def _measured(wanted: ItemFilter) -> dict[str, pl.Expr]:
    """Conditions on numbers, and those of yes or no."""
    found: dict[str, pl.Expr] = {}
    for field in ("length", "disagreement"):
        ends = getattr(wanted, field)
        if ends is not None:
            found[field] = _within(pl.col(field), ends)
    for run, *ends in wanted.probability:
        key, fits = f"probability {run}", _within(pl.col(f"probability {run}"), ends)
        found[key] = found[key] | fits if key in found else fits
    for field in ("has_reason", "flagged"):
        wished = getattr(wanted, field)
        if wished is not None:
            found[field] = pl.col(field) if wished else ~pl.col(field)
    return found


def _within(value: pl.Expr, ends: Sequence[float | None]) -> pl.Expr:
    low, high = ends
    parts = [value >= low] if low is not None else []
    parts += [value <= high] if high is not None else []
    return pl.all_horizontal(parts)


def _rated(index: ItemIndex, column: str, values: Sequence[str]) -> pl.Series:
    long = index.ratings().long
    return long["row"].filter(long[column].is_in(list(values)))


def _apart(index: ItemIndex, a: str, b: str) -> pl.Series:
    """Rows that two people rated, not with the same value; where one may give several, not with the same ones."""
    long = index.ratings().long
    n_values = np.int64(max(1, len(enum_names(long["value"]))))
    of_a, of_b = (long.filter(pl.col("annotator_id") == who) for who in (a, b))
    said = [own["row"].to_numpy() * n_values + own["value"].to_physical().to_numpy() for own in (of_a, of_b)]
    differing = pl.Series(np.unique(np.setxor1d(said[0], said[1]) // n_values)).cast(pl.UInt32)
    return differing.filter(differing.is_in(of_a["row"].implode()) & differing.is_in(of_b["row"].implode()))


def _rows(index: ItemIndex, rows: pl.Series) -> pl.Expr:
    """Whether a row is one of these."""
    mask = np.zeros(len(index), dtype=bool)
    mask[rows.to_numpy()] = True
    return pl.lit(pl.Series(mask))


def literal_pattern(text: str) -> str:
    """A pattern that matches the text itself."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&\-~])", r"\\\1", text)


def condition_masks(wanted: ItemFilter, index: ItemIndex) -> dict[str, Mask]:
    """Whether each row (n,) meets each condition of :func:`conditions`, remembered field by field.

    Raises:
        ValueError: As :func:`expression`.
    """
    found: dict[str, Mask] = {}
    for field in fields(ItemFilter):
        value = getattr(wanted, field.name)
        if value != field.default:
            alone: dict[str, Any] = {field.name: value}
            one = ItemFilter(**alone)
            found |= index.remembered(("masks", one), partial(_masks, one, index))
    return found


def _masks(wanted: ItemFilter, index: ItemIndex) -> dict[str, Mask]:
    found = {}
    for key, condition in conditions(wanted, index).items():
        needed = condition.meta.root_names()
        frame = index.frame(list(dict.fromkeys(needed))) if needed else pl.DataFrame()
        mask = frame.select(condition).to_series() if len(index) else pl.Series([], dtype=pl.Boolean)
        found[key] = mask.to_numpy().astype(bool, copy=False)
    return found


def combined(masks: Sequence[Mask], n_items: int) -> Mask:
    """Where all of the masks hold."""
    return np.logical_and.reduce(masks) if masks else np.ones(n_items, dtype=bool)
