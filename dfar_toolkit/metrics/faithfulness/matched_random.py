r"""A method less random words of equal number: what comprehensiveness, sufficiency, AOPC and flips may be compared by.

How far probabilities fall when any words go differs between models, and before and after fine-tuning: raw values say
more about the model than about the rationale. So each row of a method is set against random rationales of the same
item, operator and number of words, at their mean over draws, within one model; two models are compared by the
difference of these differences, on the items that both have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.faithfulness.aopc import ERASER_SHARES
from dfar_toolkit.metrics.faithfulness.directions import OVER_RANDOM, higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, item_means, mean_over_items
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Step
from dfar_toolkit.metrics.faithfulness.row_values import ItemMetric, row_metric, row_values, values_of_items
from dfar_toolkit.metrics.paired import sign_flip_test

RANDOM: Final = "random"

_NO_PARTNER: Final = "without an answer, or without random words of equal number"
_STEPS: Final = tuple(Step(share=s) for s in ERASER_SHARES)


def over_random(perturbed: Perturbed, values: Floats, *, random: str = RANDOM) -> Floats:
    """The number of every row less the mean of random rationales of the same item, operator and number of words.

    Args:
        perturbed: All rows of a run.
        values: One number per row (R,), as of ``row_values``.
        random: The method whose rows are random.

    Returns:
        Differences (R,), ``nan`` where there is no such random rationale; 0 where no word was chosen, as any other
        empty set is the same.
    """
    p = perturbed
    if random not in p.methods or not len(p.item):
        return np.where(p.removed == 0, values * 0.0, np.nan)
    size = np.maximum(p.removed, 0)
    cell = (p.operator * len(p.items) + p.item) * (int(size.max()) + 1) + size
    drawn = (p.method == p.methods.index(random)) & (p.k > 0)
    known, place = np.unique(cell[drawn], return_inverse=True)
    means = np.append(item_means(place, values[drawn], len(known), canonical=True), np.nan)
    at = np.searchsorted(known, cell)
    there = np.append(known, -1)[at] == cell
    partner = np.where(there & (p.removed > 0), means[at], np.nan)
    return np.where(p.removed == 0, values * 0.0, values - partner)


def over_random_rows(
    perturbed: Perturbed,
    *,
    metric: ItemMetric,
    method: str,
    operator: str,
    step: Step | None = None,
    steps: Sequence[Step] = _STEPS,
    random: str = RANDOM,
) -> Additive:
    """A metric of one method less that of random words of equal number, as an additive statistic over N items.

    Args:
        perturbed: All rows of a run.
        metric: The metric.
        method: The method.
        operator: The operator.
        step: How many words; None: the rationale's own set. Not looked at for AOPC.
        steps: The sizes of AOPC.
        random: The method whose rows are random.

    Returns:
        The statistic, in the direction of the metric; items without random words of equal number are left out.
    """
    values = over_random(perturbed, row_values(perturbed, row_metric(metric)), random=random)
    own = perturbed.block(method, operator)
    found = values_of_items(perturbed.take(own), values[own], metric, step=step, steps=steps)
    return over_random_score(metric, found)


def over_random_score(metric: str, values: Floats) -> Additive:
    """One difference per item (N,) as a mean over items."""
    name = f"{metric.replace('_', ' ').replace('aopc', 'AOPC')} over random words of equal number"
    return mean_over_items(f"{metric}{OVER_RANDOM}", name, values, without=_NO_PARTNER)


def method_differences(
    perturbed: Perturbed,
    *,
    metric: ItemMetric,
    operator: str,
    step: Step | None = None,
    steps: Sequence[Step] = _STEPS,
    methods: Sequence[str] | None = None,
    random: str = RANDOM,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every pair of methods of one run: difference of their differences to random words, with a test and Holm's p.

    Methods that take away equal numbers of words share the random part, which then cancels; sets of words (human,
    prompted) do not, and are compared fairly only this way.

    Args:
        perturbed: All rows of a run.
        metric: The metric.
        operator: The operator.
        step: How many words; None: the rationale's own set. Not looked at for AOPC.
        steps: The sizes of AOPC.
        methods: The methods compared; None: all that have rows at this step, but for the random one.
        random: The method whose rows are random.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the test.
        seed: Seed of draws and patterns.

    Returns:
        Rows ``metric, method_a, method_b, operator, higher_is_better`` and Estimate's fields (second minus first, over
        the items that both have), ``p_value`` (sign-flip by group), ``test`` and ``p_holm`` over all pairs.

    Undefined:
        No item has both.

    Raises:
        ValueError: Fewer than two methods, an unknown name.
    """
    kept = [m for m in perturbed.methods if m != random] if methods is None else list(methods)
    values = over_random(perturbed, row_values(perturbed, row_metric(metric)), random=random)
    of_method = {}
    for method in kept:
        own = perturbed.block(method, operator)
        of_method[method] = values_of_items(perturbed.take(own), values[own], metric, step=step, steps=steps)
    if methods is None:  # a method without rows at this step is no part of the family of tests
        kept = [m for m in kept if not np.isnan(of_method[m]).all()]
    if len(kept) < 2:
        raise ValueError(f"method_differences: at least two methods are wanted, found {', '.join(kept) or 'none'}")
    named = f"{metric}{OVER_RANDOM}"
    beside = [
        {"metric": named, "method_a": a, "method_b": b, "operator": operator,
         "higher_is_better": higher_is_better(named)}
        for a, b in combinations(kept, 2)
    ]  # fmt: skip
    pairs = [(f"{b} minus {a}", of_method[b] - of_method[a]) for a, b in combinations(kept, 2)]
    return _tested(named, pairs, beside, perturbed.groups, ci, confidence, n_boot, n_perm, seed)


def run_differences(
    runs: Mapping[str, Perturbed],
    *,
    metric: ItemMetric,
    method: str | Sequence[str],
    operator: str,
    step: Step | None = None,
    steps: Sequence[Step] = _STEPS,
    matched: bool = True,
    random: str = RANDOM,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every pair of runs (models, or one before and after fine-tuning): difference of their differences to random.

    Args:
        runs: Run id to all its rows.
        metric: The metric.
        method: The method, the same in all runs; or several, which are then one family of tests.
        operator: The operator.
        step: How many words; None: the rationale's own set. Not looked at for AOPC.
        steps: The sizes of AOPC.
        matched: Must stay True: raw values are refused.
        random: The method whose rows are random.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the test.
        seed: Seed of draws and patterns.

    Returns:
        Rows ``metric, run_a, run_b, rationale_method, operator, higher_is_better`` and Estimate's fields (second minus
        first, over the items that both have), ``p_value``, ``test`` and ``p_holm`` over all pairs (of all methods).

    Undefined:
        The runs share no item with random words of equal number.

    Raises:
        ValueError: Fewer than two runs, an unknown name, or raw values are asked for.
    """
    if not matched:
        raise ValueError(
            f"run_differences: raw {metric} is not compared between models, nor before and after fine-tuning: how far "
            "a model's probabilities fall when any words go differs by model, whatever the rationale; leave "
            "matched=True, which compares the differences to random words of equal number"
        )
    if len(runs) < 2:
        raise ValueError(f"run_differences: at least two runs are wanted, found {', '.join(runs) or 'none'}")
    named, parts = f"{metric}{OVER_RANDOM}", list[pl.DataFrame]()
    grouped = any(p.groups is not None for p in runs.values())
    for one in [method] if isinstance(method, str) else method:
        frames = {}
        for run, p in runs.items():
            rows = over_random_rows(p, metric=metric, method=one, operator=operator, step=step, steps=steps,
                                    random=random).rows  # fmt: skip
            values = np.where(rows[:, 1] > 0, rows[:, 0], np.nan)
            frames[run] = pl.DataFrame(
                {"item": p.items, "value": values, "group": p.items if p.groups is None else p.groups}
            )
        for a, b in combinations(runs, 2):
            both = frames[a].join(frames[b].select("item", other="value"), on="item", maintain_order="left")
            beside = {"metric": named, "run_a": a, "run_b": b, "rationale_method": one, "operator": operator,
                      "higher_is_better": higher_is_better(named)}  # fmt: skip
            moved = (both["other"] - both["value"]).to_numpy()
            pair = [(f"{b} minus {a}", moved)]
            units = both["group"] if grouped else None
            parts.append(_tested(named, pair, [beside], units, ci, confidence, n_boot, n_perm, seed))
    return _with_holm(pl.concat(parts))


def _tested(
    metric: str,
    pairs: list[tuple[str, Floats]],
    beside: Sequence[Mapping[str, object]],
    groups: pl.Series | None,
    ci: str | None,
    confidence: float,
    n_boot: int,
    n_perm: int,
    seed: int,
) -> pl.DataFrame:
    """Differences (N,) as estimates with a sign-flip test each, and Holm's correction over all."""
    scores = [over_random_score(metric.removesuffix(OVER_RANDOM), d)._replace(name=f"{metric}: {n}") for n, d in pairs]
    found = estimate_items(scores, groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    p_values, tests = [], []
    for _, d in pairs:
        known = ~np.isnan(d)
        own = None if groups is None else groups.filter(pl.Series(known))
        test: Estimate = sign_flip_test(d[known], groups=own, n_perm=n_perm, seed=seed)
        p_values.append(test.value)
        tests.append(test.method)
    frame = estimates_frame(found, beside=beside).with_columns(
        pl.Series("p_value", p_values, dtype=pl.Float64), pl.Series("test", tests, dtype=pl.String)
    )
    return _with_holm(frame)


def _with_holm(frame: pl.DataFrame) -> pl.DataFrame:
    from dfar_toolkit.metrics.judging.multiple_testing import holm

    return frame.with_columns(pl.Series("p_holm", holm(frame["p_value"].to_list()), dtype=pl.Float64))
