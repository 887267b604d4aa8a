"""What a predictor that always says the same label would score on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame, proportion
from dfar_toolkit.metrics.labels import Column, gold_names, group_series


def majority_baseline(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""Accuracy of always saying the most common gold label of these items.

    With $t_k$ items of label $k$: $\max_k t_k / N$; Wilson's interval takes the label as given.

    Args:
        frame: One row per item, or None with an array.
        gold: Column or values (N,).
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order (breaks ties); None means those that occur, sorted.
        confidence: Two-sided coverage.

    Returns:
        The estimate; the note names the label, and every label tied with it.

    Undefined:
        No items.

    Raises:
        TableError: A gold label is null.

    Example:
        >>> found = majority_baseline(gold=["a", "a", "b"])
        >>> round(found.value, 3), found.note
        (0.667, 'always "a"')
    """
    return _constant("majority", frame, gold, group, options, confidence)


def minority_baseline(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    r"""Accuracy of always saying the least common gold label of these items: $\min_k t_k / N$.

    A run below it is worse than either constant answer (with two options), which points to inverted or unparsed
    labels. An option that no item has counts, with share 0, when ``options`` names it.

    Args:
        frame: One row per item, or None with an array.
        gold: Column or values (N,).
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order (breaks ties); None means those that occur, sorted.
        confidence: Two-sided coverage.

    Returns:
        The estimate; the note names the label, and every label tied with it.

    Undefined:
        No items.

    Raises:
        TableError: A gold label is null.

    Example:
        >>> found = minority_baseline(gold=["a", "b"])
        >>> found.value, found.note
        (0.5, 'always "a"; tied with "b"')
    """
    return _constant("minority", frame, gold, group, options, confidence)


def label_shares(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "label",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""The label mix: share of items with each gold label, $t_k / N$.

    Args:
        frame: One row per item, or None with an array.
        gold: Column or values (N,).
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur, sorted.
        confidence: Two-sided coverage.

    Returns:
        Rows ``label`` and the fields of Estimate, in the order of the options.

    Raises:
        TableError: A gold label is null.

    Example:
        >>> label_shares(gold=["a", "a", "b", "a"]).select("label", "value").rows()
        [('a', 0.75), ('b', 0.25)]
    """
    labels, groups, names = _read("label_shares", frame, gold, group, options)
    found = [proportion(f"share of {n}", (labels == n).to_numpy(), groups=groups, confidence=confidence) for n in names]
    if not found:
        return pl.concat([pl.DataFrame(schema={"label": pl.String}), estimates_frame([])], how="horizontal")
    return estimates_frame(found, beside=[{"label": n} for n in names])


def _constant(
    which: Literal["majority", "minority"],
    frame: pl.DataFrame | None,
    gold: Column,
    group: Column | None,
    options: Sequence[str] | None,
    confidence: float,
) -> Estimate:
    name = f"{which} baseline"
    labels, groups, names = _read(f"{which}_baseline", frame, gold, group, options)
    if not len(labels):
        return proportion(name, [], confidence=confidence)
    counts = [int((labels == n).sum()) for n in names]
    wanted = max(counts) if which == "majority" else min(counts)
    chosen, *tied = [n for n, count in zip(names, counts, strict=True) if count == wanted]
    note = f'always "{chosen}"'
    if tied:
        note += "; tied with " + ", ".join(f'"{t}"' for t in tied)
    found = proportion(name, (labels == chosen).to_numpy(), groups=groups, confidence=confidence)
    return replace(found, note=f"{note}; {found.note}" if found.note else note)


def _read(
    name: str, frame: pl.DataFrame | None, gold: Column, group: Column | None, options: Sequence[str] | None
) -> tuple[pl.Series, pl.Series | None, list[str]]:
    labels = gold_names(name, frame, gold)
    names = [str(o) for o in options] if options is not None else labels.unique().sort().to_list()
    unknown = labels.filter(~labels.is_in(names)).unique().sort()
    if len(unknown):
        found = ", ".join(repr(u) for u in unknown.head(5))
        raise TableError(f"{name}: labels must be one of {', '.join(names)}; found {found}.")
    return labels, group_series(name, frame, group, len(labels)), names
