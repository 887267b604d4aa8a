"""Scores of two answers shown in both orders: the judge's liking for a place, and verdicts freed of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.judging.pair_verdicts import WINNERS
from dfar_toolkit.metrics.labels import group_series

_EQUAL: Final = 1e-9  # means that differ by less differ by rounding
_OUTCOMES: Final = ("win", "tie", "loss")


def balanced_position(
    samples: pl.DataFrame,
    *,
    pair: str = "pair_id",
    order: str = "order",
    first: str = "score_first",
    second: str = "score_second",
) -> pl.DataFrame:
    r"""Verdicts from scores of both orders: multiple evidence and balanced position calibration.

    With k samples in each order, scores of the swapped order given back to their answers, $S_o$ the mean over the
    samples of order o:

        $S^{(1)} = \frac{1}{2} (S_1^{first} + S_2^{second})$,   $S^{(2)} = \frac{1}{2} (S_1^{second} + S_2^{first})$

    win where $S^{(1)} > S^{(2)}$. With as many samples in both orders these are the means of all 2k. The balanced
    position diversity entropy, to choose pairs that people should judge, is that of the 2k verdicts of the samples:

        $BPDE = -\sum_{v \in \{win, tie, loss\}} p_v \ln p_v$

    Args:
        samples: One row per sample of the judge.
        pair: Column of the pair of answers.
        order: Column: 1 where answer 1 is shown first, 2 where answer 2 is.
        first: Column of the score of the answer shown first; null where it could not be read.
        second: Column of the score of the answer shown second.

    Returns:
        One row per pair, sorted: ``pair`` (under its own name), ``score_1, score_2, verdict`` (of answer 1: win, tie,
        loss), ``naive_verdict`` (order 1 alone), ``bpde``, ``samples`` (read), ``unread``.

    Undefined:
        A pair without a readable sample in one of the orders has null scores and no verdict: it is not balanced.

    Raises:
        TableError: An order that is neither 1 nor 2.
        ValueError: A column is missing.

    Example:
        A judge that gives 9 to whatever it sees first: a win by order 1 alone, a tie in truth.

        >>> samples = pl.DataFrame({"pair_id": ["x", "x"], "order": [1, 2], "score_first": [9, 9],
        ...                         "score_second": [7, 7]})
        >>> balanced_position(samples).select("score_1", "score_2", "verdict", "naive_verdict").rows()
        [(8.0, 8.0, 'tie', 'win')]

    Reference:
        Wang et al. (2024), Large Language Models are not Fair Evaluators, ACL, sections 3.1 to 3.3 (arXiv:2305.17926).
    """
    absent = [c for c in (pair, order, first, second) if c not in samples.columns]
    if absent:
        raise ValueError(
            f'balanced_position: the samples have no column "{absent[0]}"; found {", ".join(samples.columns)}'
        )
    plain = samples.select(
        pl.col(pair), pl.col(order).alias("order"), pl.col(first, second).cast(pl.Float64).fill_nan(None)
    )
    wrong = plain.filter(~pl.col("order").is_in([1, 2]).fill_null(False))
    if len(wrong):
        raise TableError(f"balanced_position: order must be 1 or 2, found {wrong['order'][0]!r}.")
    straight = pl.col("order") == 1
    read = pl.col(first).is_not_null() & pl.col(second).is_not_null()
    given = plain.select(
        pair, "order", read=read,
        one=pl.when(read).then(pl.when(straight).then(first).otherwise(second)),
        two=pl.when(read).then(pl.when(straight).then(second).otherwise(first)),
    )  # fmt: skip
    given = given.with_columns(verdict=_verdict("one", "two")).sort(pair, "order", "one", "two")
    means = [pl.col(c).filter(pl.col("order") == o).mean().alias(f"{c}{o}") for c in ("one", "two") for o in (1, 2)]
    found = given.group_by(pair, maintain_order=True).agg(*means, *_outcomes())
    scored = found.with_columns(
        score_1=(pl.col("one1") + pl.col("one2")) / 2, score_2=(pl.col("two1") + pl.col("two2")) / 2
    )
    verdicts = [_verdict("score_1", "score_2").alias("verdict"), _verdict("one1", "two1").alias("naive_verdict")]
    return scored.select(pair, "score_1", "score_2", *verdicts, _entropy(), "samples", "unread")


def balanced_position_rates(
    verdicts: pl.DataFrame,
    *,
    group: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """How often answer 1 wins, ties and loses after calibration, and how often the order alone had decided.

    Args:
        verdicts: From :func:`balanced_position`, further columns beside.
        group: Column of the resampling unit; None means ``group`` where there is one, else the pair.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (balanced_win, balanced_tie, balanced_loss, position_flips: verdict of order 1 alone overturned)
        and Estimate's fields, over pairs with a verdict.

    Undefined:
        No pair has a verdict.
    """
    groups = group_series("balanced_position_rates", verdicts, group, len(verdicts))
    kept = verdicts.with_columns(unit=groups if groups is not None else pl.lit("")).drop_nulls("verdict")
    said = {f"balanced_{v}": kept["verdict"] == v for v in _OUTCOMES}
    said["position_flips"] = kept["verdict"] != kept["naive_verdict"]
    unit = kept["unit"] if groups is not None else None
    return estimates_frame(
        [
            mean_share(
                m.replace("_", " "), hits.to_numpy(), groups=unit, confidence=confidence, n_boot=n_boot, seed=seed
            )
            for m, hits in said.items()
        ],
        beside=[{"metric": m} for m in said],
    )


def position_consistency(
    verdicts: pl.DataFrame,
    *,
    first_order: str = "first_order",
    second_order: str = "second_order",
    group: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """How often a judge prefers the same answer in both orders, and its liking for a place where it does not.

    Args:
        verdicts: One row per pair of answers, a and b.
        first_order: Column of the verdict (``a``, ``b``, ``tie``) with a shown first.
        second_order: Column of the verdict with b shown first.
        group: Column of the resampling unit; None means ``group`` where there is one, else the pair.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` and Estimate's fields: position_consistency (same verdict in both), position_bias_to_first and
        position_bias_to_second (always the one shown there), conservative_a, conservative_b, conservative_tie
        (different verdicts count as a tie). Pairs with both verdicts; others are counted in the note.

    Undefined:
        No pair has both verdicts.

    Raises:
        TableError: A verdict is none of the three.
        ValueError: A column is missing.

    Example:
        >>> two = pl.DataFrame({"first_order": ["a", "a"], "second_order": ["a", "b"]})
        >>> position_consistency(two).select("metric", "value").rows()[:2]
        [('position_consistency', 0.5), ('position_bias_to_first', 0.5)]

    Reference:
        Zheng et al. (2023), Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, NeurIPS, section 4.2
        (arXiv:2306.05685).
    """
    absent = [c for c in (first_order, second_order) if c not in verdicts.columns]
    if absent:
        raise ValueError(f'position_consistency: no column "{absent[0]}"; found {", ".join(verdicts.columns)}')
    groups = group_series("position_consistency", verdicts, group, len(verdicts))
    both = verdicts.select(one=first_order, two=second_order).with_columns(
        unit=groups if groups is not None else pl.lit("")
    )
    kept = both.drop_nulls(["one", "two"])
    strange = pl.concat([kept["one"], kept["two"].rename("one")]).unique().sort()
    strange = strange.filter(~strange.is_in(WINNERS))
    if len(strange):
        raise TableError(f"position_consistency: a verdict must be a, b or tie; found {strange[0]!r}.")
    same, one, two = kept["one"] == kept["two"], kept["one"], kept["two"]
    said = {
        "position_consistency": same,
        "position_bias_to_first": (one == "a") & (two == "b"),
        "position_bias_to_second": (one == "b") & (two == "a"),
        "conservative_a": same & (one == "a"),
        "conservative_b": same & (one == "b"),
        "conservative_tie": ~same | (one == "tie"),
    }
    lost = len(both) - len(kept)
    unit, found = kept["unit"] if groups is not None else None, []
    for metric, hits in said.items():
        name = metric.replace("_", " ")
        rate = mean_share(name, hits.to_numpy(), groups=unit, confidence=confidence, n_boot=n_boot, seed=seed)
        found.append(_noted(rate, f"{lost} pairs without both verdicts left out" if lost else ""))
    return estimates_frame(found, beside=[{"metric": m} for m in said])


def _verdict(one: str, two: str) -> pl.Expr:
    gap = pl.col(one) - pl.col(two)
    decided = pl.when(gap > _EQUAL).then(pl.lit("win")).when(gap < -_EQUAL).then(pl.lit("loss"))
    return decided.when(gap.is_not_null()).then(pl.lit("tie"))


def _outcomes() -> list[pl.Expr]:
    counts = [(pl.col("verdict") == v).sum().alias(f"n_{v}") for v in _OUTCOMES]
    n = pl.col("read").sum().cast(pl.Int64).alias("samples")
    return [*counts, n, (~pl.col("read")).sum().cast(pl.Int64).alias("unread")]


def _entropy() -> pl.Expr:
    terms = []
    for outcome in _OUTCOMES:
        share = pl.col(f"n_{outcome}") / pl.col("samples")
        terms.append(pl.when(share > 0).then(-share * share.log()).otherwise(0.0))
    return pl.when(pl.col("samples") > 0).then(pl.sum_horizontal(terms)).alias("bpde")


def _noted(found: Estimate, note: str) -> Estimate:
    return replace(found, note="; ".join(n for n in (found.note, note) if n))
