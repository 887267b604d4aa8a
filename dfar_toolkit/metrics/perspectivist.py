r"""Perspectivist scores: each annotator's own answer is predicted, and the error is averaged by item.

With $a_i$ annotators of item i and a loss $\ell_{ik}$ in [0, 1] of the prediction for annotator k:
$\frac{1}{N} \sum_i \frac{1}{a_i} \sum_k \ell_{ik}$. Every item weighs the same, however many rated it. A rating may
be a set of options. An annotator without a prediction counts as the worst answer there is; ``over="answered"`` is the
same over those that have one. Cost: a sort of the ratings, then as any additive statistic of the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.rating_pairs import PairedRatings, pair_ratings

Over = Literal["all", "answered"]
Divisor = Literal["points", "range"]


def error_rate(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "value",
    pred: Column = "value_pred",
    item: Column = "item_id",
    annotator: Column | None = "annotator_id",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    over: Over = "all",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Average error rate of the answers predicted for single annotators.

    $\ell_{ik} = 1[\hat y_{ik} \ne y_{ik}]$. Where a rating is a set of options (list columns) each of the K options is
    a yes-or-no answer: $\ell_{ik} = |y_{ik} \triangle \hat y_{ik}| / K$, options that one side alone holds.

    Args:
        frame: One row per item and annotator, or None with arrays.
        gold: Column or values (R,) of what the annotator gave: labels, or lists of them; null is no rating.
        pred: Column or values (R,), likewise; null is no prediction (an empty list is one).
        item: Column or values (R,).
        annotator: Column or values (R,), to refuse one who stands twice on an item; None where unknown.
        group: Column or values (R,) of the resampling unit, one per item; None means the column ``group`` if there.
        options: The K options; None means those that occur. For sets, give it: K is in the score.
        over: ``all`` ratings, one without a prediction being wrong, or only the ``answered``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items.

    Undefined:
        No ratings; with ``answered``, no predictions.

    Raises:
        TableError: An annotator twice on an item, an unknown option, an item without or with several groups.
        ValueError: A column is missing, lengths or types differ.

    Example:
        Item i: one of two wrong; item j: right. (1/2 + 0) / 2.

        >>> error_rate(gold=["a", "b", "a"], pred=["a", "a", "a"], item=["i", "i", "j"], annotator=None).value
        0.25

    Reference:
        Leonardelli et al. (2025), LeWiDi-2025, arXiv 2510.08460 (average error rate, multilabel error rate).
    """
    pairs = pair_ratings(
        "error_rate", frame, gold=gold, pred=pred, item=item, annotator=annotator, group=group, options=options
    )
    return _one(error_rate_rows(pairs, over=over), pairs, ci, confidence, n_boot, seed)


def normalised_absolute_distance(
    frame: pl.DataFrame | None = None,
    *,
    gold: Column = "value",
    pred: Column = "value_pred",
    item: Column = "item_id",
    annotator: Column | None = "annotator_id",
    group: Column | None = None,
    options: Sequence[str],
    values: Sequence[float] | None = None,
    divisor: Divisor = "points",
    over: Over = "all",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Average normalised absolute distance of the answers predicted for single annotators, on an ordered scale.

    $\ell_{ik} = |\hat x_{ik} - x_{ik}| / s$. The shared task divides by the number of points of its scale, s = K (6 for
    1..6), so that its largest value is (K - 1)/K; ``divisor="range"`` takes $s = x_{max} - x_{min}$, largest value 1.
    A missing prediction counts as the end of the scale that is farther from the rating.

    Args:
        frame: One row per item and annotator, or None with arrays.
        gold: Column or values (R,) of labels; null is no rating.
        pred: Column or values (R,), likewise; null is no prediction.
        item: Column or values (R,).
        annotator: As in :func:`error_rate`.
        group: As in :func:`error_rate`.
        options: The K labels from lowest to highest.
        values: The K numbers of the options, rising; None means 0, 1, ..., K - 1.
        divisor: ``points`` or ``range``.
        over: ``all`` ratings, or only the ``answered``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items.

    Undefined:
        No ratings; with ``answered``, no predictions; a single option and its range.

    Raises:
        TableError: As :func:`error_rate`.
        ValueError: As :func:`error_rate`; ratings are sets; ``values`` are not K rising numbers.

    Example:
        Distances 1 and 0 on three points: (1/3 + 0/3) / 2, by item.

        >>> scale = ["low", "mid", "high"]
        >>> found = normalised_absolute_distance(
        ...     gold=["low", "high"], pred=["mid", "high"], item=["i", "j"], annotator=None, options=scale)
        >>> round(found.value, 3)
        0.167

    Reference:
        Leonardelli et al. (2025), LeWiDi-2025, arXiv 2510.08460 (ANAD); the divisor as in the organisers' code.
    """
    name = "normalised_absolute_distance"
    pairs = pair_ratings(
        name, frame, gold=gold, pred=pred, item=item, annotator=annotator, group=group, options=options
    )
    score = normalised_absolute_distance_rows(pairs, values=values, divisor=divisor, over=over)
    return _one(score, pairs, ci, confidence, n_boot, seed)


def error_rate_rows(pairs: PairedRatings, *, over: Over = "all") -> Additive:
    """The average error rate as an additive statistic of the items."""
    wrong = pairs.gold != pairs.pred
    loss = wrong.mean(axis=1) if pairs.sets else wrong.any(axis=1).astype(np.float64)
    return loss_rows(pairs, "error_rate", "error rate", np.where(pairs.answered, loss, 1.0), over=over)


def normalised_absolute_distance_rows(
    pairs: PairedRatings,
    *,
    values: Sequence[float] | None = None,
    divisor: Divisor = "points",
    over: Over = "all",
) -> Additive:
    """The average normalised absolute distance as an additive statistic of the items."""
    name = "normalised_absolute_distance"
    if pairs.sets:
        raise ValueError(f"{name}: ratings that are sets of options have no distance; use error_rate")
    x, s = scale_of(name, pairs.options, values, divisor)
    worst = np.maximum(np.abs(x - x[:1]), np.abs(x[-1:] - x))  # of each rating given: the farther end
    distance = np.abs(pairs.gold @ x - pairs.pred @ x)
    loss = np.where(pairs.answered, distance, pairs.gold @ worst) / s
    return loss_rows(pairs, name, "normalised absolute distance", loss, over=over)


def scale_of(
    name: str, options: Sequence[str], values: Sequence[float] | None, divisor: Divisor
) -> tuple[Floats, float]:
    """The numbers of the K options (K,) and what distances on them are divided by.

    Example:
        >>> scale_of("f", ["1", "2", "3"], None, "points")[1]
        3.0
    """
    k = len(options)
    x = np.arange(k, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    if x.shape != (k,) or not np.isfinite(x).all() or (np.diff(x) <= 0).any():
        raise ValueError(f"{name}: values must be {k} rising numbers, one per option in order, found {values}")
    if divisor not in ("points", "range"):
        raise ValueError(f'{name}: divisor must be "points" or "range", found {divisor!r}')
    spread = float(np.ptp(x)) if k > 1 else np.nan
    return x, float(k) if divisor == "points" else spread


def loss_rows(pairs: PairedRatings, metric: str, name: str, loss: npt.ArrayLike, *, over: Over = "all") -> Additive:
    """The mean over items of the mean over their annotators of a loss (R,), as an additive statistic.

    Items without a rating that counts have an empty row, so that rows of ``all`` and ``answered`` fit together.
    """
    if over not in ("all", "answered"):
        raise ValueError(f'{metric}: over must be "all" or "answered", found {over!r}')
    keep = pairs.answered if over == "answered" else np.ones(len(pairs.item), dtype=bool)
    item, x = pairs.item[keep], np.asarray(loss, dtype=np.float64)[keep]
    order = np.lexsort((x, item))  # sums that do not depend on the order of the ratings
    n = np.bincount(item, minlength=len(pairs.items)).astype(np.float64)
    total = np.bincount(item[order], x[order], minlength=len(pairs.items)).astype(np.float64)
    rows = np.column_stack([np.divide(total, n, out=np.zeros_like(total), where=n > 0), n > 0])
    missing = len(keep) - int(pairs.answered.sum())
    counted = "are left out" if over == "answered" else "count as the worst answer"
    note = f"{missing} of {len(keep)} ratings have no prediction and {counted}" if missing else ""
    label = f"{name} of the answered" if over == "answered" else name
    undefined = "no rating has a prediction" if over == "answered" else "no ratings"
    suffix = "_answered" if over == "answered" else ""
    notes = "; ".join(n for n in (note, pairs.note) if n)
    return Additive(f"{metric}{suffix}", label, rows, _ratio, undefined, notes)


def annotator_scores(
    pairs: PairedRatings,
    score: Literal["error_rate", "normalised_absolute_distance"] = "error_rate",
    *,
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Whose answers are predicted how well: the score of every annotator over the items they rated.

    Args:
        pairs: What ``pair_ratings`` returned, with annotators.
        score: Which loss; missing predictions count as the worst answer.
        ci: ``bootstrap`` over groups, or None; costs one set of draws per annotator.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        ``annotator_id`` and the fields of an estimate, one row per annotator, sorted; ``n`` counts ratings.

    Raises:
        ValueError: The ratings have no annotators.

    Example:
        >>> pairs = pair_ratings("f", None, gold=["a", "b"], pred=["a", "a"], item=["i", "i"], annotator=["x", "y"])
        >>> annotator_scores(pairs, ci=None).select("annotator_id", "value").rows()
        [('x', 0.0), ('y', 1.0)]
    """
    if pairs.annotator is None:
        raise ValueError("annotator_scores: the ratings have no annotators; give annotator= when pairing them")
    names = pairs.annotator.unique().sort()
    rows = error_rate_rows if score == "error_rate" else normalised_absolute_distance_rows
    found = []
    for name in names:
        part = pairs.taken((pairs.annotator == name).to_numpy())
        found.append(_one(rows(part), part, ci, confidence, n_boot, seed))
    return estimates_frame(found).insert_column(0, names.alias("annotator_id"))


def _ratio(sums: Floats) -> Floats:
    found: Floats = sums[:, 0] / sums[:, 1]
    return found


def _one(score: Additive, pairs: PairedRatings, ci: str | None, confidence: float, n_boot: int, seed: int) -> Estimate:
    """The estimate over the items that have a row."""
    keep = score.rows[:, -1] > 0
    groups = None if pairs.groups is None else pairs.groups.filter(pl.Series(keep, dtype=pl.Boolean))
    score = score._replace(rows=score.rows[keep])
    return estimate_together([score], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]
