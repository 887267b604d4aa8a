r"""The counterfactual test: where an inserted word changes the answer, does the new reason mention the word?

Over all insertions that change the label ("flips"), pooled: $CT = $ mentioned flips / flips. An item in which no
insertion changes the label says nothing about its reasons: it is undefined there, counted, and never faithful.
Reasons that repeat the whole statement pass trivially: the rate of mention where nothing flipped stands beside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.reasons.present_means import mean_present
from dfar_toolkit.metrics.self_consistency.insertions import Insertions, insertions_of

_NO_FLIP = "without a flip"


def counterfactual_test(
    outputs: pl.DataFrame, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> Estimate:
    r"""Share of the flips whose inserted word the new reason mentions; higher is more consistent.

    With $f_i = 1$ where insertion i changes the label and $m_i = 1$ where its reason has the word:
    $CT = \sum_i f_i m_i / \sum_i f_i$.

    Args:
        outputs: Rows ``full`` and ``inserted`` of one run: ``item_id, condition, draw, label``, and ``mentioned`` or
            ``reason`` with ``inserted``; ``group`` (else the item) is the resampling unit.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts flips with a reason; the note says in how many items no flip was found.

    Undefined:
        No flip found.

    Raises:
        TableError: A column is missing, or several runs.

    Example:
        Both insertions change the label; the reason mentions the word once.

        >>> rows = pl.DataFrame({"item_id": ["a"] * 3, "condition": ["full", "inserted", "inserted"],
        ...     "draw": [0, 0, 1], "label": ["good", "bad", "bad"], "mentioned": [None, True, False]})
        >>> counterfactual_test(rows).value
        0.5

    Reference:
        Atanasova et al. (2023), Faithfulness tests for natural language explanations, ACL, section 2.1; there only
        the first flip of an item counts, and one without any counts as faithful in a later re-implementation.
    """
    found = insertions_of("counterfactual_test", outputs)
    row = counterfactual_test_rows(found)
    return share_estimate(row, found.groups, confidence=confidence, n_boot=n_boot, seed=seed)


def counterfactual_test_rows(found: Insertions) -> Additive:
    """The rows and formula of :func:`counterfactual_test`.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 2).
    """
    values = np.where(found.changed == 1, found.mention, np.nan)
    without, items = items_without_flip(found)
    note = f"no flip found in {without} of {items} items, which are undefined" if without else ""
    row = mean_present("counterfactual_test", "flips whose word the reason mentions", values, without=_NO_FLIP)
    return row._replace(note="; ".join(n for n in (note, found.note) if n), undefined="no flip with a reason")


def mentioned_unflipped_rows(found: Insertions) -> Additive:
    """Share of the insertions that changed nothing whose word the reason mentions all the same.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 2).
    """
    values = np.where(found.changed == 0, found.mention, np.nan)
    row = mean_present("mentioned_unflipped", "unflipped insertions whose word is mentioned", values, without=_NO_FLIP)
    return row._replace(note=found.note, undefined="no insertion left the label as it was")


def flip_rate_rows(found: Insertions) -> Additive:
    """Share of the insertions that change the label; answers without a label are neither.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 2).
    """
    row = mean_present("insertion_flip_rate", "insertions that change the label", found.changed, without="without one")
    return row._replace(note=found.note, undefined="no insertion with a label before and after")


def unread_rows(found: Insertions) -> Additive:
    """Share of the insertions whose new answer has no label.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 2).
    """
    return mean_present("insertion_unread_rate", "insertions without a label after", found.unread, without="unknown")


def all_flips_mentioned_rows(found: Insertions) -> Additive:
    """Share of the items with flips in which the reason mentions every one of them.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 2): an item counts with its first insertion, the others with nothing.
    """
    codes = found.items.rank("dense").to_numpy().astype(np.int64) - 1 if len(found.items) else np.empty(0, dtype=int)
    flips = (found.changed == 1) & ~np.isnan(found.mention)
    of_item = np.bincount(codes, flips)
    missed = np.bincount(codes, flips & (found.mention == 0))
    first = np.unique(codes, return_index=True)[1]
    values: Floats = np.full(len(codes), np.nan)
    values[first] = np.where(of_item > 0, missed == 0, np.nan)
    row = mean_present("counterfactual_test_items", "items whose flips are all mentioned", values, without=_NO_FLIP)
    without, items = items_without_flip(found)
    note = f"no flip found in {without} of {items} items, which are undefined" if without else ""
    return row._replace(note="; ".join(n for n in (note, found.note) if n), undefined="no flip with a reason")


def items_without_flip(found: Insertions) -> tuple[int, int]:
    """In how many items no insertion changes the label, of how many whose labels could be read.

    Args:
        found: The insertions.

    Returns:
        Items without a flip, items with a label before and after at least one insertion.
    """
    flipped, read = (
        found.items.filter(pl.Series(chosen, dtype=pl.Boolean)).n_unique()
        for chosen in (found.changed == 1, ~np.isnan(found.changed))
    )
    return read - flipped, read


def share_estimate(
    row: Additive, groups: pl.Series, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> Estimate:
    """A mean of shares in [0, 1] with the interval that such a mean allows, over groups.

    Args:
        row: Rows (N, 2) of :func:`~dfar_toolkit.metrics.reasons.present_means.mean_present`.
        groups: Resampling unit of each row (N,).
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts rows that have a number.
    """
    counts = row.rows[:, 1] > 0
    values: Floats = row.rows[counts, 0]
    own = groups.filter(pl.Series(counts, dtype=pl.Boolean))
    found = mean_share(row.name, values, groups=own, confidence=confidence, n_boot=n_boot, seed=seed)
    why = "" if counts.any() else row.undefined
    return replace(found, note="; ".join(n for n in (why or found.note, row.note) if n))
