"""Labels made from ratings against labels that are known: how often each method is right, ties apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.other_frames import as_frame
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame, proportion


class _Compared(NamedTuple):
    """Per gold item: whether it has a label, whether that is right, its group; and how many tie or have no row."""

    decided: np.typing.NDArray[np.bool_]
    right: np.typing.NDArray[np.bool_]
    groups: pl.Series | None
    n_tied: int
    n_missing: int
    note: str


def compare_with_gold(
    labels: Any,
    gold: Any,
    *,
    item: str = "item_id",
    label: str = "label",
    gold_label: str = "label",
    method: str = "method",
    group: str | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""How often labels made from ratings equal the gold label, by method.

    ``accuracy`` is right labels / all items with gold: a tie is no answer and counts as wrong, as does an item without
    a row. ``accuracy_decided`` is right labels / items with one label, ``coverage`` the share of these. Stack the
    frames of several methods to compare them on the same items.

    Args:
        labels: One row per item (and method): the item, its label (null: a tie), such as
            :func:`~dfar_toolkit.agreement.votes.votes` gives.
        gold: One row per item: the item and its label; a null label is no gold.
        item: Column of the item, in both.
        label: Column of the label in ``labels``.
        gold_label: Column of the label in ``gold``.
        method: Column of the method in ``labels``; where there is none, all rows are of one.
        group: Column of the resampling unit of the item, in ``gold``, or None.
        confidence: Two-sided coverage asked for.

    Returns:
        Three rows per method, sorted: ``label_method`` (empty where there is none), ``statistic``, ``n_tied``,
        ``n_missing`` and the fields of Estimate, with Wilson's interval (on the effective n with groups); ``n`` counts
        items.

    Undefined:
        ``accuracy_decided`` where every item ties; all three without gold.

    Raises:
        TableError: A column is missing, an item stands twice, or items or labels are of different types.

    Example:
        >>> made = pl.DataFrame({"item_id": [1, 2, 3], "label": ["a", None, "b"]})
        >>> gold = pl.DataFrame({"item_id": [1, 2, 3], "label": ["a", "a", "a"]})
        >>> compare_with_gold(made, gold).select("statistic", pl.col("value").round(2)).rows()
        [('accuracy', 0.33), ('accuracy_decided', 0.5), ('coverage', 0.67)]
    """
    labels, gold = as_frame(labels, "compare_with_gold"), as_frame(gold, "compare_with_gold")
    _check(labels, "labels", [item, label])
    _check(gold, "gold", [item, gold_label, *([group] if group is not None else [])])
    names = [method] if method in labels.columns else []
    _once(labels, "labels", [item, *names])
    _once(gold, "gold", [item])
    truth = gold.filter(pl.col(gold_label).is_not_null()).select(
        pl.col(item).alias("item"), pl.col(gold_label).alias("gold"),
        *([pl.col(group).alias("group")] if group is not None else []),
    )  # fmt: skip
    found: list[Estimate] = []
    beside: list[dict[str, Any]] = []
    for name, rows in _methods(labels, names):
        made = rows.select(pl.col(item).alias("item"), pl.col(label).alias("label"))
        compared = _compared(made, truth, gold.height)
        for statistic, estimate in _statistics(compared, confidence):
            found.append(estimate)
            beside.append(
                {
                    "label_method": name,
                    "statistic": statistic,
                    "n_tied": compared.n_tied,
                    "n_missing": compared.n_missing,
                }
            )
    return estimates_frame(found, beside=beside)


def _check(frame: pl.DataFrame, role: str, needed: list[str]) -> None:
    for name in needed:
        if name not in frame.columns:
            raise TableError(
                f'compare_with_gold needs the column "{name}" in {role}; found {", ".join(frame.columns)}.'
            )


def _once(frame: pl.DataFrame, role: str, key: list[str]) -> None:
    twice = frame.filter(frame.select(key).is_duplicated())
    if twice.height:
        shown = ", ".join(str(part) for part in twice.select(key).row(0))
        raise TableError(f"{role} must have one row per {' and '.join(key)}; {shown} has more; keep one.")


def _methods(labels: pl.DataFrame, names: list[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    if not names:
        yield "", labels
        return
    for (name,), rows in sorted(labels.partition_by(names, as_dict=True).items(), key=lambda part: str(part[0])):
        yield str(name), rows


def _compared(made: pl.DataFrame, truth: pl.DataFrame, n_gold: int) -> _Compared:
    try:
        known = made.with_columns(pl.lit(True).alias("known"))
        joined = truth.join(known, on="item", how="left").sort("item")
        right = joined.select(pl.col("label") == pl.col("gold"))["label"].fill_null(False)
    except (pl.exceptions.SchemaError, pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        raise TableError(
            f"labels and gold must have items and labels of the same types; found {made.schema['item']}, "
            f"{made.schema['label']} and {truth.schema['item']}, {truth.schema['gold']}; cast them."
        ) from error
    missing = joined["known"].null_count()
    extra = made.height - (joined.height - missing)
    notes = [
        f"{extra} labelled items have no gold" if extra else "",
        f"{n_gold - truth.height} gold rows have no label" if n_gold > truth.height else "",
    ]
    return _Compared(
        joined["label"].is_not_null().to_numpy(),
        right.to_numpy(),
        joined["group"] if "group" in joined.columns else None,
        joined["label"].null_count() - missing,
        missing,
        "; ".join(filter(None, notes)),
    )


def _statistics(compared: _Compared, confidence: float) -> Iterator[tuple[str, Estimate]]:
    decided, right, groups = compared.decided, compared.right, compared.groups
    of_decided = None if groups is None else groups.filter(pl.Series(decided))
    parts = {
        "accuracy": proportion("accuracy", right, groups=groups, confidence=confidence),
        "accuracy_decided": proportion(
            "accuracy where one label leads", right[decided], groups=of_decided, confidence=confidence
        ),
        "coverage": proportion("items with one label", decided, groups=groups, confidence=confidence),
    }
    for statistic, estimate in parts.items():
        yield statistic, replace(estimate, note="; ".join(filter(None, [estimate.note, compared.note])))
