"""Both tasks of LeWiDi for a run and the baselines, with intervals from one set of draws.

Cost: a few passes over the ratings for the run and each baseline, then the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.lewidi_baselines import (
    expected_random_loss,
    most_frequent_predictions,
    most_frequent_shares,
    random_shares,
    uniform_shares,
)
from dfar_toolkit.metrics.lewidi_tasks import (
    LEWIDI_TASKS,
    PERSPECTIVIST_NAMES,
    LewidiTask,
    perspectivist_score_rows,
    scattered,
    soft_score_rows,
)
from dfar_toolkit.metrics.perspectivist import loss_rows
from dfar_toolkit.metrics.rating_pairs import PairedRatings, pair_ratings
from dfar_toolkit.metrics.soft_labels.paired import distributions

_ROUNDED: Final = 0.0051  # published shares have two digits
PREDICTORS: Final = ("run", "most_frequent", "most_frequent_annotator", "uniform", "random")


class LewidiPredictions(NamedTuple):
    """What a run predicted, each part a frame or None.

    ``soft``: ``item_id, label_probs_pred`` (K numbers; for sets each the probability of a yes). ``annotators``:
    ``item_id, annotator_id, value_pred`` (a list of options; null where none came). ``labels``: ``item_id,
    label_pred``, hard labels of the second edition.
    """

    soft: pl.DataFrame | None = None
    annotators: pl.DataFrame | None = None
    labels: pl.DataFrame | None = None


class _People(NamedTuple):
    """Items sorted by id (N,) with people's shares (N, K), nan where nobody rated, and their ratings."""

    items: pl.DataFrame
    shares: Floats
    ratings: pl.DataFrame


def lewidi_scores(
    items: pl.DataFrame,
    *,
    ratings: pl.DataFrame,
    task: str,
    options: Sequence[str],
    predictions: LewidiPredictions | None = None,
    reference: pl.DataFrame | None = None,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Both tasks' official scores of a run and of the baselines, with intervals.

    Baselines: ``most_frequent`` predicts, for everybody, the most frequent answer of the reference ratings, and as
    soft label the mean share of each option (2023: the most frequent option alone); ``most_frequent_annotator`` each
    annotator's own most frequent answer; ``uniform`` equal shares; ``random`` a distribution drawn evenly from all,
    and the expected loss of an answer drawn evenly from the options.

    Args:
        items: The evaluated items: ``item_id``; and, if there, ``group``, ``soft_label`` (K published shares; without
            them shares are counted from the ratings) and ``label`` (2023: the hard label).
        ratings: The items' annotations of the question: ``item_id, annotator_id, value``, one row per value.
        task: A key of ``LEWIDI_TASKS``.
        options: The options' names in the order of the task's values.
        predictions: What a run predicted; None scores the baselines alone.
        reference: Annotations of other items that baselines are counted on; None means ``ratings``, which is said.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws, the same for all rows.
        seed: Seed of the draws and of ``random``.

    Returns:
        ``task`` (soft, perspectivist), ``metric``, ``predictor`` and the fields of an estimate.
        ``n`` counts items with a value. Soft scores are over items with a prediction, beside the coverage;
        perspectivist ones count a missing prediction as the worst answer, and ``_answered`` leaves it out.

    Undefined:
        Nobody rated, or nothing is predicted.

    Raises:
        ValueError: An unknown task, options that are not as many as its values, or a missing column.
        TableError: An impossible share, an unknown option, an annotator twice on an item.

    Example:
        Shares (1/2, 1/2) against (1, 0).

        >>> items = pl.DataFrame({"item_id": ["i"]})
        >>> ratings = pl.DataFrame({"item_id": ["i", "i"], "annotator_id": ["x", "y"], "value": ["0", "1"]})
        >>> soft = pl.DataFrame({"item_id": ["i"], "label_probs_pred": [[1.0, 0.0]]})
        >>> table = lewidi_scores(items, ratings=ratings, task="mp", options=["0", "1"],
        ...     predictions=LewidiPredictions(soft=soft), ci=None)
        >>> table.row(0, named=True)["metric"], table["value"][0]
        ('average_manhattan_distance', 1.0)

    Reference:
        Leonardelli et al. (2025), arXiv 2510.08460; Leonardelli et al. (2023), SemEval-2023 Task 11, arXiv 2304.14803.
    """
    told = _told(task, options)
    people = _people(items, ratings, list(options), told.kind)
    basis, note = _reference(people, reference, list(options), told.kind)
    scores = _soft_scores(told, people, predictions or LewidiPredictions(), basis, note, list(options), seed)
    scores += _perspectivist_scores(told, people, predictions or LewidiPredictions(), basis, note, list(options))
    groups = people.items["group"] if "group" in people.items.columns else None
    found = estimate_together(
        [score for _, _, score in scores], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    counted = [_counted(e, score) for e, (_, _, score) in zip(found, scores, strict=True)]
    return estimates_frame(
        counted, beside=[{"task": task, "metric": s.metric, "predictor": by} for task, by, s in scores]
    )


def _told(task: str, options: Sequence[str]) -> LewidiTask:
    if task not in LEWIDI_TASKS:
        raise ValueError(f"lewidi_scores: task must be one of {', '.join(LEWIDI_TASKS)}, found {task!r}")
    told = LEWIDI_TASKS[task]
    if len(options) != len(told.values):
        raise ValueError(
            f"lewidi_scores: {told.name} has the {len(told.values)} values {', '.join(told.values)}; found the options "
            f"{', '.join(options)}"
        )
    return told


def _people(items: pl.DataFrame, ratings: pl.DataFrame, options: list[str], kind: str) -> _People:
    for frame, needed in ((items, ("item_id",)), (ratings, ("item_id", "annotator_id", "value"))):
        lost = [c for c in needed if c not in frame.columns]
        if lost:
            raise ValueError(f'lewidi_scores: no column "{lost[0]}"; found {", ".join(frame.columns)}')
    sorted_items = items.sort("item_id")
    given = ratings.filter(pl.col("item_id").is_in(sorted_items["item_id"].implode())).drop_nulls("value")
    strange = given.filter(~pl.col("value").is_in(options))["value"].unique().sort()
    if len(strange):
        raise TableError(f"lewidi_scores: ratings must be one of {', '.join(options)}; found {strange[0]!r}.")
    listed = given.group_by("item_id", "annotator_id").agg(pl.col("value").sort()).sort("item_id", "annotator_id")
    several = listed.filter(pl.col("value").list.len() > 1)
    if kind != "set" and len(several):
        row = several.row(0, named=True)
        raise TableError(
            f"lewidi_scores: annotator {row['annotator_id']!r} gave {len(row['value'])} values to item "
            f"{row['item_id']!r}; this set asks for one."
        )
    of = [pl.col("value").list.contains(name).mean().alias(f"p{k}") for k, name in enumerate(options)]
    shares = listed.group_by("item_id").agg(of)
    joined = sorted_items.select("item_id").join(shares, on="item_id", how="left", maintain_order="left")
    matrix = joined.drop("item_id").fill_null(float("nan")).to_numpy().astype(np.float64)
    found = matrix.reshape(len(sorted_items), len(options))
    if "soft_label" in items.columns:
        found = _published(sorted_items, found, kind)
    return _People(sorted_items, found, listed)


def _published(items: pl.DataFrame, counted: Floats, kind: str) -> Floats:
    """Published shares (N, K), rescaled to a sum of 1 unless each is of its own; counted ones where none is given."""
    given = distributions("lewidi_scores", items, "soft_label", "soft_label")
    if given.shape != counted.shape:
        raise TableError(f"lewidi_scores: soft_label must have {counted.shape[1]} numbers, found {given.shape[1]}.")
    total = given.sum(axis=1, keepdims=True)
    if kind != "set":
        if (np.abs(total - 1) > _ROUNDED * given.shape[1]).any():
            raise TableError("lewidi_scores: a published soft_label must sum to 1 up to the rounding of its shares.")
        given = given / total
    return np.where(np.isnan(given), counted, given)


def _reference(people: _People, reference: pl.DataFrame | None, options: list[str], kind: str) -> tuple[_People, str]:
    """What baselines are counted on, and what must be said of it."""
    if reference is None or not len(reference):
        return people, "counted on the evaluated ratings themselves, for want of others"
    ids = reference.select("item_id").unique()
    return _people(ids, reference, options, kind), ""


def _soft_scores(
    told: LewidiTask,
    people: _People,
    given: LewidiPredictions,
    basis: _People,
    note: str,
    options: list[str],
    seed: int,
) -> list[tuple[str, str, Additive]]:
    n, k = people.shares.shape
    tables: dict[str, Floats] = {}
    if given.soft is not None:
        tables["run"] = _predicted(people, given.soft, k)
    tables["most_frequent"] = np.tile(
        most_frequent_shares(basis.shares, hard=told.edition == 2, many=told.kind == "set"), (n, 1)
    )
    tables["uniform"] = uniform_shares(n, k, many=told.kind == "set")
    tables["random"] = random_shares(n, k, many=told.kind == "set", seed=seed)
    found = []
    for by, table in tables.items():
        score = soft_score_rows(told, people.shares, table)
        found.append(("soft", by, _noted(score, note if by == "most_frequent" else "")))
    if told.edition == 2:
        top = most_frequent_shares(basis.shares, hard=True)
        found += _hard_scores(people, given, options[int(np.nanargmax(top))] if len(basis.items) else "")
    if "run" in tables:
        has = (~np.isnan(tables["run"]).any(axis=1)).astype(np.float64)
        found.append(("soft", "run", mean_of("soft_coverage", "items with a soft label", has)))
    return found


def _hard_scores(people: _People, given: LewidiPredictions, most_frequent: str) -> list[tuple[str, str, Additive]]:
    """Micro F1 against the hard label, for one label per item the share of hits; no answer is a miss."""
    if "label" not in people.items.columns:
        return []
    gold = people.items["label"]
    said = {"most_frequent": pl.Series([most_frequent] * len(gold), dtype=pl.String)}
    if given.labels is not None:
        joined = people.items.select("item_id").join(given.labels, on="item_id", how="left", maintain_order="left")
        said = {"run": joined["label_pred"], **said}
    known = gold.is_not_null().to_numpy()
    left = len(known) - int(known.sum())
    note = f"{left} items without a hard label left out" if left else ""
    found = []
    for by, labels in said.items():
        hits = (gold == labels).cast(pl.Float64).fill_null(0.0).to_numpy()[known]
        score = mean_of("micro_f1", "micro F1", hits, undefined="no item has a hard label", note=note)
        found.append(("soft", by, scattered(score, known)))
    return found


def _perspectivist_scores(
    told: LewidiTask, people: _People, given: LewidiPredictions, basis: _People, note: str, options: list[str]
) -> list[tuple[str, str, Additive]]:
    frames = {} if given.annotators is None else {"run": given.annotators}
    frames["most_frequent"] = most_frequent_predictions(people.ratings, basis.ratings, options, many=told.kind == "set")
    frames["most_frequent_annotator"] = most_frequent_predictions(
        people.ratings, basis.ratings, options, many=told.kind == "set", by_annotator=True
    )
    found = []
    for by, frame in frames.items():
        pairs = _pairs(people, frame, options, many=told.kind == "set")
        has = people.items["item_id"].is_in(pairs.items.implode()).to_numpy()
        score = perspectivist_score_rows(told, pairs)
        found.append(("perspectivist", by, _noted(scattered(score, has), note if by != "run" else "")))
        if by == "run":
            answered = perspectivist_score_rows(told, pairs, answered=True)
            covered = loss_rows(pairs, "perspectivist_coverage", "ratings with a prediction", pairs.answered)
            found += [("perspectivist", by, scattered(s._replace(note=""), has)) for s in (answered, covered)]
    metric, name = PERSPECTIVIST_NAMES[told.kind]
    chance = loss_rows(pairs, metric, name, expected_random_loss(pairs, ordered=told.kind == "ordinal"))
    return [*found, ("perspectivist", "random", _noted(scattered(chance, has), "expected value"))]


def _pairs(people: _People, predicted: pl.DataFrame, options: list[str], *, many: bool) -> PairedRatings:
    """The ratings with what was predicted for each; single values as labels, sets as lists."""
    beside = predicted.select("item_id", "annotator_id", "value_pred")
    twice = beside.filter(pl.struct("item_id", "annotator_id").is_duplicated())
    if len(twice):
        row = twice.sort("item_id", "annotator_id").row(0, named=True)
        raise TableError(
            f"lewidi_scores: annotator {row['annotator_id']!r} has two predictions for item {row['item_id']!r}; "
            "keep one."
        )
    frame = people.ratings.join(beside, on=["item_id", "annotator_id"], how="left")
    if not many:
        frame = frame.with_columns(pl.col("value", "value_pred").list.first())
    return pair_ratings("lewidi_scores", frame, gold="value", pred="value_pred", options=options)


def _predicted(people: _People, soft: pl.DataFrame, k: int) -> Floats:
    """Predictions (N, K) in the order of the items, nan where there is none."""
    if soft["item_id"].is_duplicated().any():
        again = soft.filter(soft["item_id"].is_duplicated())["item_id"].min()
        raise TableError(f"lewidi_scores: item {again!r} has two soft labels; keep one.")
    joined = people.items.select("item_id").join(
        soft.select("item_id", "label_probs_pred"), on="item_id", how="left", maintain_order="left"
    )
    table = distributions("lewidi_scores", joined, "label_probs_pred", "soft")
    if table.shape[1] not in (0, k):
        raise TableError(f"lewidi_scores: soft labels must have {k} numbers, found {table.shape[1]}.")
    return table if table.shape[1] else np.full((len(joined), k), np.nan)


def _noted(score: Additive, note: str) -> Additive:
    return score._replace(note="; ".join(n for n in (score.note, note) if n))


def _counted(found: Estimate, score: Additive) -> Estimate:
    return replace(found, n=int((score.rows[:, -1] > 0).sum()))
