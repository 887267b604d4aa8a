"""What is wrong with the reasons that judges reject: shares of error types among bad verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame, proportion
from dfar_toolkit.metrics.verdicts import folded_values, reason_verdicts
from dfar_toolkit.tables import conform

NO_TYPE: Final = "(none given)"


def error_taxonomy(
    judgements: pl.DataFrame,
    *,
    items: pl.DataFrame | None = None,
    by: str = "run_id",
    separator: str = ";",
    good: str = "good",
    bad: str = "bad",
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""Share of each error type among the bad verdicts of each run.

    A verdict may name several types (``"circular; off topic"``): with $B_r$ bad verdicts on run r, $B_{rt}$ of them
    naming type t, the share is $B_{rt} / B_r$, and the shares may add up to more than 1. A bad verdict without a type
    counts as ``(none given)``. The intervals of the T types of a run hold together with the confidence asked for:
    Wilson's at $1 - (1 - c) / T$ (Bonferroni), on the effective number where an item has several verdicts.

    Args:
        judgements: The table judgements: single reasons, one question.
        items: The table items, for the groups; None means every item is its own.
        by: Column whose values get shares of their own.
        separator: What stands between the types of one verdict.
        good: The value that accepts a reason.
        bad: The value that rejects it.
        confidence: Simultaneous coverage of the shares of one run.

    Returns:
        Rows ``by`` (under its name), ``error_type``, ``verdicts`` (bad ones naming it) and Estimate's fields, most
        frequent first; n = bad verdicts of the run. A type named for one run has a row for each with a bad verdict.

    Undefined:
        A run without a bad verdict has no rows.

    Raises:
        TableError: A value is neither good nor bad, several questions, pairs.
        ValueError: No column ``by``, an empty separator.

    Example:
        >>> rows = [("a", "i1", "bad", "circular; vague"), ("a", "i2", "bad", "vague"), ("a", "i3", "good", None)]
        >>> frame = pl.DataFrame(rows, schema=["judge_id", "item_id", "value", "error_type"], orient="row")
        >>> frame = frame.with_columns(question=pl.lit("reason_ok"), run_id=pl.lit("m"), output_id=pl.col("item_id"))
        >>> error_taxonomy(frame).select("error_type", "verdicts", "value").rows()
        [('vague', 2, 1.0), ('circular', 1, 0.5)]
    """
    if not separator or not 0 < confidence < 1:
        raise ValueError(
            f"error_taxonomy: separator must not be empty and confidence between 0 and 1, found {separator!r} and "
            f"{confidence}"
        )
    judgements = folded_values(conform(judgements, "judgements", where="error_taxonomy"), good=good, bad=bad)
    if by not in judgements.columns:
        raise ValueError(f'error_taxonomy: the judgements have no column "{by}" (by); found {judgements.columns}')
    reason_verdicts(judgements, good=good, bad=bad)  # refuses pairs, several questions, other values
    rejected = judgements.filter(pl.col("value") == bad).with_row_index("verdict")
    rejected = _with_group(rejected, items)
    types = _types(rejected, separator)
    names = types["error_type"].unique().sort().to_list()
    found: list[Estimate] = []
    beside: list[dict[str, object]] = []
    for key, own in sorted(rejected.partition_by(by, as_dict=True).items(), key=lambda part: str(part[0])):
        counted = _shares(own.sort("group", "verdict"), types, names, confidence)
        found += [estimate for estimate, _ in counted]
        beside += [{by: key[0], "error_type": t, "verdicts": k} for t, (_, k) in zip(names, counted, strict=True)]
    if not found:
        naming = judgements.select(by, "error_type", verdicts=pl.lit(0, dtype=pl.Int64)).clear()
        return pl.concat([naming, estimates_frame([])], how="horizontal")
    return estimates_frame(found, beside=beside).sort(by, "verdicts", "error_type", descending=[False, True, False])


def _shares(own: pl.DataFrame, types: pl.DataFrame, names: list[str], confidence: float) -> list[tuple[Estimate, int]]:
    """Share and number of the verdicts that name each type."""
    each = 1 - (1 - confidence) / len(names)
    found = []
    for name in names:
        named = types.filter(pl.col("error_type") == name)["verdict"]
        hits = own["verdict"].is_in(named.implode())
        share = proportion(f'share of "{name}"', hits.to_numpy(), groups=own["group"], confidence=each)
        method = f"{share.method}, Bonferroni over {len(names)} types" if len(names) > 1 else share.method
        found.append((replace(share, confidence=confidence, method=method), int(hits.sum())))
    return found


def _types(rejected: pl.DataFrame, separator: str) -> pl.DataFrame:
    """One row per bad verdict and type that it names."""
    listed = pl.col("error_type").fill_null("").str.split(separator)
    types = rejected.select("verdict", error_type=listed).explode("error_type")
    types = types.with_columns(pl.col("error_type").str.strip_chars()).filter(pl.col("error_type") != "").unique()
    untyped = rejected.join(types, on="verdict", how="anti").select("verdict", error_type=pl.lit(NO_TYPE))
    return pl.concat([types.select("verdict", "error_type"), untyped])


def _with_group(rejected: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    plain = rejected.drop("group", strict=False)
    if items is None:
        return plain.with_columns(group="item_id")
    joined = plain.join(items.select("item_id", "group"), on="item_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("group").fill_null(pl.col("item_id")))
