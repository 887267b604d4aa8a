r"""Overlap of a reason with the human reasons of its item.

A reason is compared with each human reason of its item; ``over`` says whether the ``mean`` over them is taken or the
``max``. The maximum grows with the number of human reasons, so it compares only where that is equal;
``reason_overlap`` makes it so and puts floor and ceiling beside it.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, Texts, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present
from dfar_toolkit.metrics.reasons.text_overlap import Overlap, OverlapMetric, metric_name, overlap_scores

Over = Literal["mean", "max"]


def human_overlap(
    frame: pl.DataFrame | None = None,
    *,
    metric: OverlapMetric | Overlap = "rouge_l",
    over: Over = "mean",
    reason: Column = "reason",
    human: Texts = "human_reasons",
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean overlap of the reasons with the human reasons of their items.

    With $s_{ij}$ the score of reason i against human reason j of $J_i$: the mean over items of
    $\frac{1}{J_i} \sum_j s_{ij}$ (``mean``) or of $\max_j s_{ij}$ (``max``). It means little without floor and
    ceiling: see ``reason_overlap``.

    Args:
        frame: One row per reason, or None with values.
        metric: A name, or a function of P candidates and P references.
        over: Over the item's human reasons, ``mean`` or ``max``.
        reason: Column or texts (N,), null where there is none.
        human: Column or lists of texts (N,).
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate over items with a reason and a human one.

    Undefined:
        No such item.

    Raises:
        ValueError: An unknown metric or ``over``, a missing column.
        ImportError: chrf or bleu without sacrebleu.

    Example:
        >>> human_overlap(reason=["a b c"], human=[["a c b d", "a b c"]], metric="rouge_l_precision", over="max").value
        1.0
    """
    pairs = pair_reasons("human_overlap", frame, reason=reason, human=human, group=group)
    rows = human_overlap_rows(pairs, metric=metric, over=over)
    return estimate_present(
        [rows], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]  # fmt: skip


def human_overlap_rows(pairs: PairedReasons, *, metric: OverlapMetric | Overlap, over: Over = "mean") -> Additive:
    """The rows and formula of :func:`human_overlap`.

    Args:
        pairs: Reasons with human reasons.
        metric: As there.
        over: As there.

    Returns:
        The additive statistic, rows (N, 2).
    """
    if over not in get_args(Over):
        raise ValueError(f'human_overlap: over must be "mean" or "max", found {over!r}')
    owner, humans = flat_human_reasons(pairs)
    scores = overlap_scores(metric, pairs.reasons.gather(owner).to_list(), humans)
    name = metric_name(metric)
    values = (
        best_of(scores, owner, len(pairs.reasons)) if over == "max" else mean_of_each(scores, owner, len(pairs.reasons))
    )
    return mean_present(f"{name}_{over}", f"{name} ({over} over human reasons)", values,
                        without="without a human reason or a score", note=pairs.note)  # fmt: skip


def flat_human_reasons(pairs: PairedReasons) -> tuple[pl.Series, list[str]]:
    """The human reasons of all items one after another, (M,), and the place of the item of each, (M,)."""
    frame = pl.DataFrame({"human": pairs.human}).with_row_index("owner")
    flat = frame.filter(pl.col("human").list.len() > 0).explode("human")
    return flat["owner"].cast(pl.Int64), flat["human"].to_list()


def mean_of_each(scores: Floats, owner: pl.Series, n: int) -> Floats:
    """Mean of the scores (M,) of each of n owners; ``nan`` for an owner without any."""
    place = owner.to_numpy()
    total, count = np.bincount(place, weights=scores, minlength=n), np.bincount(place, minlength=n)
    out: Floats = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return out


def best_of(scores: Floats, owner: pl.Series, n: int) -> Floats:
    """Greatest of the scores (M,) of each of n owners; ``nan`` for an owner without any, or with a ``nan``."""
    out = np.full(n, -np.inf)
    np.maximum.at(out, owner.to_numpy(), scores)
    out[np.isneginf(out)] = np.nan
    return out
