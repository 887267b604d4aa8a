"""Predicted distributions against people's: soft scores beside their references, ceilings, calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, estimates_frame, mean_of
from dfar_toolkit.metrics.calibration.calibration_table import calibration_table
from dfar_toolkit.metrics.ceiling.ceiling_share import Measured, shares_of_votes
from dfar_toolkit.metrics.ceiling.ceiling_table import ceiling_table
from dfar_toolkit.metrics.ceiling.fitted_scores import BestMetric, gold_shares
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts, read_votes
from dfar_toolkit.metrics.ceiling.vote_rows import item_rows
from dfar_toolkit.metrics.soft_labels.brier import brier_score_rows
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.joined_pairs import joined_pairs
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.soft_labels.perfect_model import KeptMeans
from dfar_toolkit.metrics.soft_labels.references import corpus_mean_predictor, mean_shares, reference_predictors
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_table
from dfar_toolkit.metrics.soft_labels.total_variation import total_variation_rows

_CEILING_DRAWS: Final = 200  # each refits the Dirichlet of the votes
# Ceilings under the names of the scores that they stand beside.
_SCORE_OF: Final = {"cross_entropy": "soft_cross_entropy", "brier": "brier_score"}


def predicted_pairs(part: pl.DataFrame, options: tuple[str, ...]) -> PairedDistributions | None:
    """People's and predicted distributions of the complete cases; None where there is none.

    Args:
        part: Rows of the joined answers of one run.
        options: Names of the labels in order.

    Returns:
        The pairs, as :func:`~dfar_toolkit.metrics.soft_labels.joined_pairs.joined_pairs`.
    """
    human, predicted = pl.col("label_probs").is_not_null(), pl.col("label_probs_pred").is_not_null()
    return joined_pairs("score", part, options) if part.select((human & predicted).any()).item() else None


def soft_rows(
    pairs: PairedDistributions, *, ordered: bool, kept: KeptMeans, confidence: float, n_boot: int, seed: int
) -> pl.DataFrame:
    """Every soft-label score of a run and of its references.

    ``kept`` is handed on from run to run: what a perfect model gets on the same votes is drawn once.

    Returns:
        Rows ``metric, predictor`` (null for the run itself) and Estimate's fields.
    """
    table = soft_label_table(pairs, ordered=ordered, kept=kept, confidence=confidence, n_boot=n_boot, seed=seed)
    own = pl.col("predictor") == "run"
    return table.with_columns(pl.when(~own).then("predictor").alias("predictor"))


def ceiling_rows(part: pl.DataFrame, *, confidence: float, seed: int) -> pl.DataFrame | None:
    """What an oracle and people themselves score on these votes; None where votes are unknown.

    Args:
        part: Rows of the joined answers of one run.
        confidence: Two-sided coverage.
        seed: Seed of the draws.

    Returns:
        Rows ``ceiling_METRIC, predictor`` (best, held_out_rater, ...) and Estimate's fields: of their own name, so that
        nobody takes them for the run's.
    """
    known = part.drop_nulls("label_counts")
    counts = known["label_counts"].list
    if not bool(((counts.sum() > 1) & (counts.len() > 1)).any()):  # a single option is no choice
        return None
    table = ceiling_table(
        known.select("label_counts", *_group(part)), column="label_counts",
        confidence=confidence, n_boot=_CEILING_DRAWS, seed=seed,
    )  # fmt: skip
    named = "ceiling_" + pl.col("metric").replace(_SCORE_OF)
    return table.rename({"ceiling": "predictor"}).with_columns(named.alias("metric"))


def with_ceiling_shares(
    ceilings: pl.DataFrame,
    part: pl.DataFrame,
    pairs: PairedDistributions | None,
    options: tuple[str, ...],
    *,
    confidence: float,
    seed: int,
) -> pl.DataFrame:
    """The ceilings, and below them how far the run has come from a baseline to BEST.

    Of accuracy the baseline is always giving the label with the most votes; of scores of distributions the corpus mean.

    Args:
        ceilings: From :func:`ceiling_rows`.
        part: Rows of the joined answers of the run.
        pairs: The run's complete cases; None where there are none.
        options: Names of the labels in order.
        confidence: Two-sided coverage.
        seed: Seed of the draws.

    Returns:
        The rows, with ``share_of_ceiling_METRIC`` where votes are known.
    """
    voted = part.drop_nulls("label_counts").filter(pl.col("label_counts").list.sum() > 0)
    if not bool((voted["label_counts"].list.len() == len(options)).all()):
        return ceilings  # the options were not given, and the labels in use are not all that people could vote for
    votes = read_votes("share_of_ceiling", voted.select("label_counts", *_group(voted)))
    of_labels = _accuracy_measured(voted, votes, options)
    together = [(votes, [of_labels])]
    if pairs is not None and pairs.counts is not None:
        if len(pairs.gold) == len(voted):  # the same items: one set of draws
            together = [(votes, [of_labels, *_distributions_measured(pairs, votes)])]
        else:
            own = read_votes("share_of_ceiling", pairs.counts, group=pairs.groups)
            together.append((own, _distributions_measured(pairs, own)))
    tables = [_shares_of(of, measured, confidence, seed) for of, measured in together]
    return pl.concat([ceilings, *tables], how="diagonal")


def _shares_of(votes: VoteCounts, measured: list[Measured], confidence: float, seed: int) -> pl.DataFrame:
    """Shares of the ceiling of several scores of the same items, the credit of tied labels shared."""
    found = shares_of_votes(
        measured, votes, ties="split", confidence=confidence, n_boot=_CEILING_DRAWS, seed=seed,
    )  # fmt: skip
    names = [_SCORE_OF.get(m.metric, m.metric) for m in measured]
    return estimates_frame(found, beside=[{"metric": f"share_of_ceiling_{name}"} for name in names])


def _accuracy_measured(voted: pl.DataFrame, votes: VoteCounts, options: tuple[str, ...]) -> Measured:
    """Accuracy against the label with the most votes, an unanswered item wrong, tied labels sharing the credit."""
    credit = np.column_stack([gold_shares(votes.patterns, "split"), np.zeros(len(votes.patterns))])
    said = voted["label_pred"].cast(pl.Enum(options)).to_physical().cast(pl.Int64).fill_null(len(options)).to_numpy()
    most = int((votes.times @ votes.patterns).argmax())
    accuracy = mean_of("accuracy", "accuracy", credit[votes.of_item, said])
    majority = mean_of("accuracy", "accuracy", credit[:, most][votes.of_item])
    return Measured("accuracy", accuracy, majority)


def _distributions_measured(pairs: PairedDistributions, votes: VoteCounts) -> list[Measured]:
    """Cross-entropy, Brier score and total variation of the run and of the corpus mean."""
    statistics: dict[BestMetric, Callable[[PairedDistributions], Additive]] = {
        "cross_entropy": soft_cross_entropy_rows,
        "brier": brier_score_rows,
        "total_variation": total_variation_rows,
    }
    first = np.empty(len(votes.patterns), dtype=np.int64)
    first[votes.of_item[::-1]] = np.arange(len(votes.of_item))[::-1]
    if not all(np.array_equal(shares[first][votes.of_item], shares) for shares in pairs.gold.T):  # rounded differently
        mean = corpus_mean_predictor(pairs)
        return [Measured(metric, rows(pairs), rows(mean)) for metric, rows in statistics.items()]
    # What the corpus mean scores depends on the votes alone: once for each row of votes that occurs.
    distinct = pairs._replace(
        gold=pairs.gold[first], pred=pairs.pred[first], mass=pairs.mass[first], counts=votes.patterns,
        groups=None, times=votes.times,
    )  # fmt: skip
    mean = reference_predictors(distinct, mean=mean_shares(pairs))["corpus_mean"]
    return [Measured(metric, rows(pairs), item_rows(rows(mean), votes)) for metric, rows in statistics.items()]


def calibration_rows(
    pairs: PairedDistributions,
    part: pl.DataFrame,
    options: tuple[str, ...],
    *,
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame:
    """Calibration against people's distribution first, then against the label.

    Returns:
        Rows ``metric`` and Estimate's fields.
    """
    both = part["label_probs"].is_not_null() & part["label_probs_pred"].is_not_null()
    codes = part["label"].filter(both).cast(pl.Enum(options)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return calibration_table(pairs, np.asarray(codes), confidence=confidence, n_boot=n_boot, seed=seed)


def _group(part: pl.DataFrame) -> list[str]:
    """The column of the resampling unit, where items share one."""
    return ["group"] if "group" in part.columns else []
