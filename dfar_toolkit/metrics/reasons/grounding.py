r"""Grounding of a reason in the statement (or other knowledge): K-precision, K-recall, K-F1.

As instruct-qa computes them: lower case, ASCII punctuation removed, the words a, an, the removed, split at white
space, counted as multisets. With c common words of n in the reason and m in the knowledge

    $P = c / n$ (0 where n = 0),   $R = c / m$ (1 where m = 0),   $F = 2 P R / (P + R)$ (1 where n = m = 0)

The ``without`` variants ("++") first take the words of a query out of the reason; a reason of which nothing is left
then scores 1. Grounding is not quality: a copy of the statement scores 1. Cost: linear in the words.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, column_values, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present

GroundingPart = Literal["precision", "recall", "f1"]
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")


class Grounding(NamedTuple):
    """K-precision, K-recall and K-F1 of P reasons, each (P,)."""

    precision: Floats
    recall: Floats
    f1: Floats


def grounding_scores(
    reasons: Sequence[str], knowledge: Sequence[str], *, without: Sequence[str] | None = None
) -> Grounding:
    """K-precision, K-recall and K-F1 of P reasons.

    Args:
        reasons: P texts.
        knowledge: P texts; several passages joined by a blank.
        without: P texts (queries) whose words are taken out of the reasons first: the "++" scores. Their K-recall and
            K-F1 of nothing left are 1 too.

    Returns:
        Each (P,).

    Raises:
        ValueError: The numbers of texts differ.

    Example:
        >>> found = grounding_scores(["The cat sat."], ["A cat slept."])
        >>> found.precision.tolist(), found.recall.tolist(), found.f1.tolist()
        ([0.5], [0.5], [0.5])

    Reference:
        Adlakha et al. (2024), Evaluating correctness and faithfulness of instruction-following models for question
        answering, TACL 12; Rajpurkar et al. (2016), SQuAD (the normalisation).
    """
    queries: Sequence[str] = [""] * len(reasons) if without is None else without
    if not len(reasons) == len(knowledge) == len(queries):
        raise ValueError(
            f"grounding_scores: {len(reasons)} reasons, {len(knowledge)} texts of knowledge, {len(queries)} queries; "
            "give one of each per reason"
        )
    found = [
        _one(grounding_words(r), grounding_words(k), None if without is None else set(grounding_words(q)))
        for r, k, q in zip(reasons, knowledge, queries, strict=True)
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    return Grounding(table[:, 0], table[:, 1], table[:, 2])


def grounding_words(text: str) -> list[str]:
    """Words after SQuAD's normalisation.

    Example:
        >>> grounding_words("The cat's an A-student, again.")
        ['cats', 'astudent', 'again']
    """
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def knowledge_overlap(
    frame: pl.DataFrame | None = None,
    *,
    part: GroundingPart = "f1",
    reason: Column = "reason",
    knowledge: Column = "statement",
    without: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean K-precision, K-recall or K-F1 of the reasons with respect to the statement or other knowledge.

    Args:
        frame: One row per reason, or None with values.
        part: ``precision``, ``recall`` or ``f1``.
        reason: Column or texts (N,), null where there is none.
        knowledge: Column or texts (N,): what the reason should rest on. Null: the row is left out and counted.
        without: Column or texts (N,) whose words are taken out of the reason first ("++"); null: none.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No reason.

    Raises:
        ValueError: An unknown part, a missing column.

    Example:
        Two of three words of the reason are in the statement, two of four words of the statement in the reason.

        >>> round(knowledge_overlap(reason=["I lied badly"], knowledge=["I lied to Ann"], part="f1").value, 3)
        0.571
    """
    pairs = pair_reasons("knowledge_overlap", frame, reason=reason, statement=knowledge, group=group)
    queries = _queries(frame, without, pairs)
    row = knowledge_overlap_rows(pairs, part=part, without=queries)
    return estimate_present([row], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def knowledge_overlap_rows(
    pairs: PairedReasons, *, part: GroundingPart, without: Sequence[str] | None = None
) -> Additive:
    """The rows and formula of :func:`knowledge_overlap`.

    Args:
        pairs: Reasons with statements (the knowledge).
        part: As there.
        without: Queries in the order of ``pairs``, or None.

    Returns:
        The additive statistic, rows (N, 2).
    """
    if part not in get_args(GroundingPart):
        raise ValueError(f'knowledge_overlap: part must be "precision", "recall" or "f1", found {part!r}')
    if pairs.statements is None:
        raise ValueError("knowledge_overlap: give the knowledge (a statement per reason)")
    known = pairs.statements.is_not_null().to_numpy()
    scores = grounding_scores(pairs.reasons.to_list(), pairs.statements.fill_null("").to_list(), without=without)
    values = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}[part]
    more = "" if without is None else "_without_query"
    name = {"precision": "K-precision", "recall": "K-recall", "f1": "K-F1"}[part] + ("++" if more else "")
    return mean_present(
        f"knowledge_{part}{more}", name, np.where(known, values, np.nan), without="without knowledge", note=pairs.note
    )


def _queries(frame: pl.DataFrame | None, without: Column | None, pairs: PairedReasons) -> list[str] | None:
    if without is None:
        return None
    column = column_values("knowledge_overlap", frame, without, "without").cast(pl.String).fill_null("")
    if len(column) != pairs.n_items:
        raise ValueError(f"knowledge_overlap: {pairs.n_items} reasons, {len(column)} texts in without; give one each")
    return column.gather(pairs.rows).to_list()


def _one(reason: list[str], knowledge: list[str], query: set[str] | None) -> tuple[float, float, float]:
    if query is not None:
        reason = [word for word in reason if word not in query]
        if not reason:
            return 1.0, 1.0, 1.0
    common = (Counter(reason) & Counter(knowledge)).total()
    precision = common / len(reason) if reason else 0.0
    recall = common / len(knowledge) if knowledge else 1.0
    if not reason or not knowledge:
        return precision, recall, float(reason == knowledge)
    return precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0
