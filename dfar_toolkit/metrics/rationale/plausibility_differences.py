"""Paired differences of plausibility between methods, on the items that all of them explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.spans.span_scores import BothEmpty
from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.comparing.differences import EXPLORATORY, paired_differences
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, Top, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.plausibility_table import chosen_methods
from dfar_toolkit.metrics.rationale.ragged_rows import Bools
from dfar_toolkit.metrics.rationale.rationale_scores import OF_SCORES, PRIMARY, RationaleMetric, rationale_scores

RANDOM: Final = "random"
# One of each kind; the others go with them, and each costs a permutation test per pair.
COMPARED: Final[tuple[RationaleMetric, ...]] = (
    "token_f1_above_chance", "token_f1", "iou_f1", "average_precision", "spearman_with_mean_mask",
)  # fmt: skip
_FAMILY: Final = ("p_holm", "low_simultaneous", "high_simultaneous", "p_equivalent")


def plausibility_differences(
    marked: MarkedWords,
    *,
    gold: GoldRule = "majority",
    methods: Sequence[str] | None = None,
    metrics: Sequence[RationaleMetric] = COMPARED,
    primary: RationaleMetric = PRIMARY,
    top: Top = "human",
    threshold: float = 0.5,
    both_empty: BothEmpty = "agree",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Differences of every two methods on plausibility scores, second minus first, ``random`` first of all.

    Methods are compared on the items that all of them explain; scores that need scores of words, on the items and among
    the methods that have these. The interval resamples the same items, or groups, for both methods; p is that of a test
    by swapping the two methods' rationales unit by unit. The declared family is all pairs on ``primary``: Holm's p
    and simultaneous intervals; all else is exploratory. Cost: per pair and metric, ``n_perm`` swaps of all items.

    Args:
        marked: Words that people and methods marked.
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of the people asked.
        methods: The methods; None: all but ``human``.
        metrics: The metrics compared, beside the primary one.
        primary: The metric whose pairs are the family.
        top: Which words a method that only scores them chooses.
        threshold: Smallest intersection over union of matched spans.
        both_empty: Items where neither has a word: ``agree`` or ``leave_out``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random swaps.
        seed: Seed of draws and swaps.

    Returns:
        Rows ``metric, method_a, method_b, gold``, Estimate's fields (b minus a), ``p_value, test, family, p_holm,
        low_simultaneous, high_simultaneous``.

    Undefined:
        A difference where either value is.

    Raises:
        ValueError: Fewer than two methods, an unknown method, rule or metric.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> masks = {"attention": [[0, 1, 0], [1, 0, 0]], "random": [[0, 1, 0], [0, 1, 0]]}
        >>> found = plausibility_differences(marked_words([[[0, 1, 0]], [[1, 0, 0]]], masks), n_boot=100)
        >>> found.filter(metric="token_f1").select("method_a", "method_b", "value").rows()
        [('random', 'attention', 0.5)]
    """
    names = sorted(chosen_methods(marked, methods), key=lambda name: name != RANDOM)
    if len(names) < 2:
        raise ValueError(f"plausibility_differences: at least two methods are wanted, found {len(names)}")
    unknown = [metric for metric in (primary, *metrics) if metric not in get_args(RationaleMetric)]
    if unknown:
        raise ValueError(f"plausibility_differences: no metric {unknown[0]!r}; see plausibility_table")
    words = {name: against_people(marked, method=name, gold=gold, top=top) for name in names}
    scored = {name: own for name, own in words.items() if own.has_scores.any()}
    every = {name: np.ones(len(own.sizes), dtype=np.bool_) for name, own in words.items()}
    found = []
    for of_scores, usable in ((False, every), (True, {name: own.has_scores for name, own in scored.items()})):
        if not any((metric in OF_SCORES) == of_scores for metric in (primary, *metrics)):
            continue
        side, keep = _of_all({name: words[name] for name in usable}, usable)
        rows = {
            name: [
                score
                for score in rationale_scores(own, threshold=threshold, both_empty=both_empty, of_scores=of_scores)
                if score.metric in (primary, *metrics)
            ]
            for name, own in side.items()
        }
        if len(rows) > 1 and all(rows.values()):
            groups = None if marked.groups is None else marked.groups.filter(pl.Series(keep))
            table = _compared(rows, groups, primary, confidence, n_boot, n_perm, seed)
            aside = f"{int(keep.sum())} of {len(keep)} items with {'scores' if of_scores else 'a rationale'} by all"
            found.append(table.with_columns(pl.concat_str(pl.col("note"), pl.lit(f"; {aside}"))))
    if not found or primary not in pl.concat(found)["metric"]:
        raise ValueError(f"plausibility_differences: no two methods have {primary}; give another primary metric")
    result = pl.concat(found).rename({"run_a": "method_a", "run_b": "method_b"})
    naming = result.select("metric", "method_a", "method_b", gold=pl.lit(gold))
    return pl.concat([naming, result.drop("metric", "method_a", "method_b", "p_equivalent")], how="horizontal")


def _of_all(words: dict[str, GoldWords], usable: dict[str, Bools]) -> tuple[dict[str, GoldWords], Bools]:
    """The rationales on the items that every method has a usable one of, and which items these are (N,)."""
    n_items = next((w.n_items for w in words.values()), 0)
    keep = np.ones(n_items, dtype=np.bool_)
    for name, own in words.items():
        keep &= np.bincount(own.item[usable[name]], minlength=n_items) > 0
    return {name: _only(own, usable[name] & keep[own.item], keep) for name, own in words.items()}, keep


def _only(words: GoldWords, rows: Bools, items: Bools) -> GoldWords:
    """Some rationales, their items numbered anew."""
    at = np.repeat(rows, words.sizes)
    return words._replace(
        item=(np.cumsum(items) - 1)[words.item[rows]],
        sizes=words.sizes[rows],
        gold=words.gold[at],
        share=words.share[at],
        begins=words.begins[at],
        chosen=words.chosen[at],
        has_chosen=words.has_chosen[rows],
        scores=words.scores[at],
        has_scores=words.has_scores[rows],
        n_items=int(items.sum()),
        groups=None if words.groups is None else words.groups.filter(pl.Series(items)),
    )


def _compared(
    rows: dict[str, list[Additive]],
    groups: pl.Series | None,
    primary: str,
    confidence: float,
    n_boot: int,
    n_perm: int,
    seed: int,
) -> pl.DataFrame:
    """Paired differences; where the primary metric is not among these, all of them are exploratory."""
    metrics = [score.metric for score in next(iter(rows.values()))]
    first = primary if primary in metrics else metrics[0]
    table = paired_differences(
        rows, groups=groups, primary=first, confidence=confidence, n_boot=n_boot, n_perm=n_perm, seed=seed
    )
    if first == primary:
        return table
    blank = [pl.lit(None, dtype=pl.Float64).alias(name) for name in _FAMILY]
    return table.with_columns(pl.lit(EXPLORATORY).alias("family"), *blank)
