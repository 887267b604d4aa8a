"""Judgements of pairs as battles: which of two runs' reasons a judge preferred, and which was shown first."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import conform

WINNERS: Final = ("a", "b", "tie")


def pair_verdicts(
    judgements: pl.DataFrame,
    *,
    outputs: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
    win: str = "win",
    loss: str = "loss",
    tie: str = "tie",
) -> pl.DataFrame:
    """Judgements of pairs with the two sides named in a fixed order, whichever of them a row is about.

    A row about a pair says of ``output_id`` that it wins, loses or ties against ``other_output_id``; ``position`` is 1
    where ``output_id`` was shown first, 2 where second, 0 where that is not known.

    Args:
        judgements: The table judgements; rows without ``other_output_id`` are not pairs and are left aside.
        outputs: The table outputs, or its ``output_id`` and ``run_id``: names the run of the other side. Not needed
            where the judgements have a column ``other_run_id``.
        items: The table items, or its ``item_id`` and ``group``; None means every item is its own group.
        win: Value that prefers ``output_id``.
        loss: Value that prefers the other.
        tie: Value that prefers neither.

    Returns:
        One row per judgement, sorted: ``judge_id, item_id, group, run_a, run_b, output_a, output_b, first`` (the side
        shown first, ``a`` or ``b``; null where not known), ``draw, winner`` (``a``, ``b``, ``tie`` or null). ``a`` is
        the side whose output id comes first in the alphabet.

    Raises:
        TableError: A value is none of the three, both sides are one output, the run of an output is not known.

    Example:
        >>> frame = pl.DataFrame({"judge_id": ["j", "j"], "question": ["q", "q"], "output_id": ["x/1", "y/1"],
        ...     "other_output_id": ["y/1", "x/1"], "position": [1, 1], "run_id": ["x", "y"], "other_run_id": ["y", "x"],
        ...     "item_id": ["1", "1"], "value": ["win", "win"]})
        >>> pair_verdicts(frame).select("run_a", "run_b", "first", "winner").rows()
        [('x', 'y', 'a', 'a'), ('x', 'y', 'b', 'b')]
    """
    pairs = conform(judgements, "judgements", where="pair_verdicts").filter(pl.col("other_output_id") != "")
    word = pl.col("value").str.strip_chars().str.to_lowercase()
    named = {win.strip().lower(): "own", loss.strip().lower(): "other", tie.strip().lower(): "tie"}
    strange = pairs.filter(word.is_not_null() & ~word.is_in(list(named)))["value"].unique().sort()
    if len(strange):
        raise TableError(f"pair_verdicts: a value must be {win!r}, {loss!r} or {tie!r}; found {strange[0]!r}.")
    same = pairs.filter(pl.col("output_id") == pl.col("other_output_id"))
    if len(same):
        raise TableError(f"pair_verdicts: {same['output_id'][0]!r} is compared with itself.")
    pairs = _with_other_run(pairs, outputs).with_columns(said=word.replace_strict(named, default=None))
    own_is_a = pl.col("output_id") < pl.col("other_output_id")
    swapped = {"own": "b", "other": "a", "tie": "tie"}
    straight = {"own": "a", "other": "b", "tie": "tie"}
    mapped = [pl.col("said").replace_strict(m, default=None) for m in (straight, swapped)]
    first = pl.when(pl.col("position") == 1).then(own_is_a).when(pl.col("position") == 2).then(~own_is_a)
    found = pairs.select(
        "judge_id", "item_id", "draw",
        run_a=pl.when(own_is_a).then("run_id").otherwise("other_run_id"),
        run_b=pl.when(own_is_a).then("other_run_id").otherwise("run_id"),
        output_a=pl.min_horizontal("output_id", "other_output_id"),
        output_b=pl.max_horizontal("output_id", "other_output_id"),
        first=pl.when(first).then(pl.lit("a")).when(~first).then(pl.lit("b")),
        winner=pl.when(own_is_a).then(mapped[0]).otherwise(mapped[1]),
    )  # fmt: skip
    found = _with_group(found, items)
    columns = ["judge_id", "item_id", "group", "run_a", "run_b", "output_a", "output_b", "first", "draw", "winner"]
    return found.select(columns).sort(columns)


def _with_other_run(pairs: pl.DataFrame, outputs: pl.DataFrame | None) -> pl.DataFrame:
    if "other_run_id" not in pairs.columns:
        if outputs is None:
            raise TableError('pair_verdicts: who the other side is must be known: a column "other_run_id", or outputs.')
        runs = outputs.select(pl.col("output_id").alias("other_output_id"), pl.col("run_id").alias("other_run_id"))
        pairs = pairs.join(runs.unique(), on="other_output_id", how="left", maintain_order="left")
    lost = pairs.filter(pl.col("other_run_id").is_null())["other_output_id"].unique().sort()
    if len(lost):
        raise TableError(f"pair_verdicts: the run of {len(lost)} outputs compared is not known, e.g. {lost[0]!r}.")
    return pairs


def _with_group(found: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    if items is None:
        return found.with_columns(group="item_id")
    joined = found.join(items.select("item_id", "group"), on="item_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("group").fill_null(pl.col("item_id")))
