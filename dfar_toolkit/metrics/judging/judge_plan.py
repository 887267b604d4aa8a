"""Who judges which reason, in what order and under what name: a seeded, balanced, blinded assignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import HUMAN_RUN

_PLAN: Final = pl.Schema(
    {
        "judge_id": pl.String, "order": pl.Int64, "output_id": pl.String, "item_id": pl.String, "run_id": pl.String,
        "blind_id": pl.String, "overlap": pl.Boolean, "inclusion_prob": pl.Float64,
    }
)  # fmt: skip


def assignment_plan(
    reasons: pl.DataFrame,
    *,
    judges: Sequence[str],
    per_item: int = 1,
    overlap: float = 0.1,
    share: float = 1.0,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Assign reasons to judges: drawn by item, spread evenly, shown in random order under blind names.

    Of the I items ``share`` are drawn without replacement, $m = \lceil share \times I \rceil$, so that a reason is
    judged with probability m / I (``inclusion_prob``), whatever its run: runs are compared on the same items. Of the
    drawn items ``overlap`` (rounded up) go to all judges, the others to ``per_item`` judges each: of those with the
    fewest reasons so far the ones with the fewest of the run, ties by lot. Human reasons stand among the others as run
    ``human``. The result depends on the rows and the seed, not on the order of rows.

    Args:
        reasons: ``output_id, item_id, run_id``, one row per reason; human reasons as run ``human``.
        judges: Judge ids.
        per_item: Judges per reason outside the overlap.
        overlap: Share of the drawn items whose reasons all judges get, for their agreement.
        share: Share of the items that people judge at all; below 1 where a judge model judges the rest.
        seed: Seed of the draw.

    Returns:
        One row per judge and reason, sorted by judge and order: ``judge_id, order`` (1, 2, ... for each judge),
        ``output_id, item_id, run_id, blind_id`` (the same for all judges of a reason; says nothing of run or item),
        ``overlap, inclusion_prob``. Show judges ``order`` and ``blind_id`` with the texts, never the ids.

    Raises:
        TableError: A column is missing, an id is null or occurs twice.
        ValueError: No judges, a judge named twice, more judges per reason than judges, a share out of range.

    Example:
        >>> reasons = pl.DataFrame({"output_id": ["m/1", "m/2", "human/1", "human/2"], "item_id": ["1", "2", "1", "2"],
        ...                         "run_id": ["m", "m", "human", "human"]})
        >>> plan = assignment_plan(reasons, judges=["ann", "bob"], overlap=0)
        >>> plan.group_by("judge_id").len().sort("judge_id").rows()
        [('ann', 2), ('bob', 2)]
    """
    _check(reasons, judges, per_item, overlap, share, seed)
    rng = np.random.default_rng(seed)
    rows = reasons.select(pl.col("output_id", "item_id", "run_id").cast(pl.String)).sort(
        "run_id", "item_id", "output_id"
    )
    if not len(rows):
        return pl.DataFrame(schema=_PLAN)
    ids = rows["item_id"].unique().sort()
    drawn = rng.permutation(len(ids))[: _part(share, len(ids))]
    shared = ids.gather(drawn[: _part(overlap, len(drawn))])
    own = rows.filter(pl.col("item_id").is_in(ids.gather(drawn).implode()))
    own = own.with_columns(overlap=pl.col("item_id").is_in(shared.implode()))
    width = len(str(len(own)))
    numbers = [f"r{k:0{width}d}" for k in rng.permutation(len(own)) + 1]
    own = own.with_columns(blind_id=pl.Series(numbers), inclusion_prob=pl.lit(len(drawn) / len(ids)))
    assigned = _assigned(own, list(judges), per_item, rng)
    mixed = assigned.with_columns(lot=pl.Series(rng.random(len(assigned)))).sort("judge_id", "lot")
    order = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("judge_id").alias("order")
    return mixed.with_columns(order).select(_PLAN.names()).cast(_PLAN)


def plan_summary(plan: pl.DataFrame) -> pl.DataFrame:
    """What each judge is given, by run, and how much of it all judges are.

    Args:
        plan: From :func:`assignment_plan`.

    Returns:
        Rows ``judge_id, run_id, reasons, overlap`` (of these, given to all judges), sorted; run ``(all)`` last for each
        judge. A plan without run ``human`` lacks the floor of the misalignment rate.

    Example:
        >>> reasons = pl.DataFrame({"output_id": ["m/1", "m/2"], "item_id": ["1", "2"], "run_id": ["m", "m"]})
        >>> plan_summary(assignment_plan(reasons, judges=["ann"], overlap=0)).rows()
        [('ann', 'm', 2, 0), ('ann', '(all)', 2, 0)]
    """
    counted = [pl.len().cast(pl.Int64).alias("reasons"), pl.col("overlap").sum().cast(pl.Int64)]
    by_run = plan.group_by("judge_id", "run_id").agg(counted).with_columns(last=False)
    in_all = plan.group_by("judge_id").agg(counted).with_columns(run_id=pl.lit("(all)"), last=True)
    both = pl.concat([by_run, in_all.select(by_run.columns)]).sort("judge_id", "last", "run_id")
    return both.drop("last")


def human_reasons_in(plan: pl.DataFrame) -> bool:
    """Whether human reasons are judged as well: without them a misalignment rate has no floor."""
    return bool((plan["run_id"] == HUMAN_RUN).any())


def _part(share: float, n: int) -> int:
    """A share of n, rounded up; without the rounding of floats (.1 x 30 is 3)."""
    return min(n, int(np.ceil(round(share * n, 9))))


def _assigned(own: pl.DataFrame, judges: list[str], per_item: int, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of the plan: the least loaded judges take each reason."""
    runs = own["run_id"].rank("dense").to_numpy().astype(np.int64) - 1
    load, of_run = np.zeros(len(judges)), np.zeros((int(runs.max()) + 1, len(judges)))
    reason, judge = [], []
    shared = own["overlap"].to_numpy()
    for place in rng.permutation(len(own)):
        if shared[place]:
            chosen = np.arange(len(judges))
        else:
            chosen = np.lexsort((rng.random(len(judges)), of_run[runs[place]], load))[:per_item]
        load[chosen] += 1
        of_run[runs[place], chosen] += 1
        reason += [int(place)] * len(chosen)
        judge += [judges[int(j)] for j in chosen]
    return own[reason].with_columns(judge_id=pl.Series(judge, dtype=pl.String))


def _check(
    reasons: pl.DataFrame, judges: Sequence[str], per_item: int, overlap: float, share: float, seed: int
) -> None:
    if isinstance(judges, str) or not len(judges) or len(set(judges)) < len(judges):
        raise ValueError(f"assignment_plan: judges must be different ids, at least one, found {judges!r}")
    if not 1 <= per_item <= len(judges):
        raise ValueError(f"assignment_plan: per_item must lie in 1 to {len(judges)} (judges), found {per_item}")
    if not 0 <= overlap <= 1 or not 0 < share <= 1:
        raise ValueError(
            f"assignment_plan: overlap must lie in [0, 1] and share in (0, 1], found {overlap} and {share}"
        )
    if seed < 0:
        raise ValueError(f"assignment_plan: seed must be a whole number of at least 0, found {seed}")
    absent = [c for c in ("output_id", "item_id", "run_id") if c not in reasons.columns]
    if absent:
        raise TableError(f'assignment_plan: reasons need the column "{absent[0]}"; found {", ".join(reasons.columns)}.')
    ids = reasons.select("output_id", "item_id", "run_id")
    if ids.null_count().sum_horizontal().item():
        raise TableError("assignment_plan: every reason needs an output_id, an item_id and a run_id; some are null.")
    twice = ids.filter(pl.col("output_id").is_duplicated())["output_id"].sort()
    if len(twice):
        raise TableError(f"assignment_plan: output_id {twice[0]!r} occurs {int((twice == twice[0]).sum())} times.")
