"""Would another panel have ranked the runs the same way?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.planning.fresh_panel import FreshPanels, read_panels
from dfar_toolkit.agreement.planning.informed_prior import few_items, informed_winners
from dfar_toolkit.agreement.planning.run_answers import RunAnswers, read_answers
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.estimate import Estimate

_CELLS: Final = 4_000_000  # fresh labels held at once
_EQUAL: Final = 1e-12  # accuracies that differ by less differ by rounding alone


class RankingStability(NamedTuple):
    """``pairs``: a row per pair of runs; ``runs``: a row per run, best first; ``kendall_tau`` with today's ranking."""

    pairs: pl.DataFrame
    runs: pl.DataFrame
    kendall_tau: Estimate


def ranking_stability(
    ratings: RatingsLike,
    runs: pl.DataFrame,
    *,
    panel: int | None = None,
    mix: Mapping[str, int] | None = None,
    rater_group: str | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    run: str = "run_id",
    label: str = "label",
    n_panels: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RankingStability:
    r"""The chance that runs keep their order in accuracy when a fresh panel labels the same items.

    In each of B rounds every item gets the majority label of a fresh panel, drawn from its exact chances given the
    item's votes, with a prior that the runs' answers inform (``informed_prior``: without it
    runs would look more alike than they are); an item whose fresh votes tie has no label in that round. The accuracy of
    a run is its share of right answers over the items with a label, and a missing answer is wrong. With $A_{rb}$ the
    accuracy of run r in round b and $A_r$ today's (by the majority of the ratings given):

        p_same = share of rounds in which $A_{rb} - A_{qb}$ has the sign of $A_r - A_q$,   p_tied: in which it is 0
        p_best = share of rounds in which no run beats r, split evenly among equals
        $\tau_b$ (Kendall) between $A_{\cdot b}$ and $A_{\cdot}$, its mean over the rounds

    Only the panel is fresh: the items stay, so this is not the uncertainty from having few items. Cost grows with
    rounds x items x runs.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        runs: One row per run and item, with the columns ``run``, ``item`` and ``label``; null: no answer.
        panel: Raters of the fresh panel; None: as many as the item has.
        mix: Raters of each group on the fresh panel; needs ``rater_group``.
        rater_group: Column of the rater's group.
        item: Column of the item, in ratings and runs.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        run: Column of the run.
        label: Column of the predicted value.
        n_panels: Rounds B.
        confidence: Share of the rounds between ``low`` and ``high``.
        seed: Seed of the rounds.

    Returns:
        ``pairs`` (run_a, run_b, accuracy_a, accuracy_b, difference, p_same, p_tied, p_reversed; the run that is better
        today first), ``runs`` (run, accuracy, expected accuracy, p_best; best first), and ``kendall_tau``: the mean
        with quantiles over the rounds, scope "monte-carlo", n = items with a label today.

    Undefined:
        As :func:`~dfar_toolkit.agreement.label_stability.label_stability`: every chance is ``nan``, tau with a note.
        For runs with equal accuracy today p_same and p_reversed are ``nan``. Tau with fewer than two different
        accuracies; rounds in which it is undefined are counted in the note.

    Raises:
        TableError: Missing columns, a rater twice on an item, a run twice on an item, no common item.
        ValueError: ``panel``, ``mix`` and ``rater_group`` contradict each other, ``n_panels`` below 1.

    Example:
        >>> votes = {"x": "aaa", "y": "aab", "z": "bbb", "w": "abb"}
        >>> rows = [(i, who, v) for i, given in votes.items() for who, v in enumerate(given)]
        >>> runs = pl.DataFrame({"run_id": list("ppppqqqq"), "item_id": list("xyzwxyzw"), "label": list("aabbaaba")})
        >>> found = ranking_stability(rows, runs)
        >>> found.runs.select("run_id", "accuracy").rows()
        [('p', 1.0), ('q', 0.75)]
        >>> found.pairs["p_same"][0] > 0.5
        True

    Reference:
        Kendall (1945), Biometrika 33:239-251 (tau with ties).
    """
    if n_panels < 1:
        raise ValueError(f"ranking_stability: n_panels must be at least 1, found {n_panels}")
    if not 0 < confidence < 1:
        raise ValueError(f"ranking_stability: confidence must lie between 0 and 1, found {confidence}")
    found = read_panels(
        ratings, function="ranking_stability", panel=panel, mix=mix, rater_group=rater_group, item=item, rater=rater,
        value=value,
    )  # fmt: skip
    answered = read_answers(runs, found.cells.items, found.cells.values, run=run, item=item, label=label)
    today = _accuracy(answered.answers, found.label[None, :])[:, 0]
    order = np.argsort(-np.nan_to_num(today, nan=-1.0), kind="stable")  # equals stay sorted by name
    answers = RunAnswers([answered.runs[k] for k in order], answered.answers[order], answered.note)
    fresh = _rounds(found, answers.answers, n_panels, seed)
    pairs, taus = compare_pairs(answers.runs, today[order], fresh)
    table = pl.DataFrame(
        {run: answers.runs, "accuracy": today[order], "expected": fresh.mean(axis=1), "p_best": _best(fresh)}
    )
    remarks = "; ".join(filter(None, [answers.note, few_items(len(found.label), len(answers.runs))]))
    return RankingStability(pairs, table, _tau(taus, found, remarks, confidence))


def _rounds(found: FreshPanels, answers: Ints, n_panels: int, seed: int) -> Floats:
    """Accuracy of each run in each round (R, B)."""
    if found.note:
        return np.full((len(answers), n_panels), np.nan)
    rng = np.random.default_rng(seed)
    edges = np.cumsum(informed_winners(found, answers), axis=1)
    n_items, n_values = edges.shape
    step = max(1, _CELLS // max(1, n_items))
    parts = []
    for start in range(0, n_panels, step):
        drawn = rng.random((min(step, n_panels - start), n_items))
        fresh = np.zeros(drawn.shape, dtype=np.int64)
        for value in range(n_values):
            fresh += drawn >= edges[:, value]
        parts.append(_accuracy(answers, np.where(fresh == n_values, -1, fresh)))  # beyond the last edge: a tie
    return np.concatenate(parts, axis=1)


def _accuracy(answers: Ints, labels: Ints) -> Floats:
    """Share of right answers over the items with a label: answers (R, N), labels (B, N) -> (R, B)."""
    labelled = (labels >= 0).sum(axis=1)
    right = np.stack([((labels == own) & (labels >= 0)).sum(axis=1) for own in answers])
    with np.errstate(invalid="ignore"):
        share: Floats = right / labelled
    return share


def compare_pairs(runs: list[str], today: Floats, fresh: Floats) -> tuple[pl.DataFrame, Floats]:
    """One row per pair of runs, and tau-b of every round."""
    first, second = np.triu_indices(len(runs), 1)
    now = _sign(today[first] - today[second])
    rows = np.zeros((len(first), 3))
    concordant, untied = np.zeros(fresh.shape[1]), np.zeros(fresh.shape[1])
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        then = _sign(fresh[a] - fresh[b])
        rows[k] = [np.mean(then == now[k]), np.mean(then == 0), np.mean(then == -now[k])]
        if np.isnan(then).any():
            rows[k] = np.nan
        elif not now[k]:
            rows[k, [0, 2]] = np.nan
        concordant += then * now[k]
        untied += np.abs(then)
    with np.errstate(divide="ignore", invalid="ignore"):
        taus = concordant / np.sqrt(np.abs(now).sum() * untied)
    frame = pl.DataFrame(
        {
            "run_a": [runs[a] for a in first],
            "run_b": [runs[b] for b in second],
            "accuracy_a": today[first],
            "accuracy_b": today[second],
            "difference": today[first] - today[second],
            "p_same": rows[:, 0],
            "p_tied": rows[:, 1],
            "p_reversed": rows[:, 2],
        },
        schema_overrides={"run_a": pl.String, "run_b": pl.String},
    )
    return frame, taus


def _sign(difference: Floats) -> Floats:
    signs: Floats = np.where(np.abs(difference) <= _EQUAL, 0.0, np.sign(difference))
    return signs


def _best(fresh: Floats) -> Floats:
    """Share of rounds in which a run is best, split evenly among equals (R,)."""
    leads = fresh >= fresh.max(axis=0) - _EQUAL
    share = leads / np.where(leads.any(axis=0), leads.sum(axis=0), 1)
    chance: Floats = np.where(np.isnan(fresh).any(axis=1), np.nan, share.mean(axis=1))
    return chance


def _tau(taus: Floats, found: FreshPanels, remarks: str, confidence: float) -> Estimate:
    defined = taus[np.isfinite(taus)]
    absent = len(taus) - len(defined)
    nan, n = float("nan"), int((found.label >= 0).sum())
    why = found.note or ("" if len(defined) else "fewer than two different accuracies")
    count = f"tau undefined in {absent} of {len(taus)} rounds" if absent and len(defined) else ""
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (nan, nan)
    mean = float(defined.mean()) if len(defined) else nan
    note = "; ".join(filter(None, [why, count, found.remark, remarks]))
    return Estimate(
        "Kendall's tau with today's ranking", mean, float(low), float(high), n, len(taus), "panels", "monte-carlo",
        "quantiles", confidence, note,
    )  # fmt: skip
