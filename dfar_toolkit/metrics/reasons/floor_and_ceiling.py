r"""A run's overlap with human reasons between a floor and a ceiling.

* **floor**: the reason of another item with the same label in place of the run's own. What is left is what label,
  topic and manner of writing give.
* **ceiling**: a human reason of the item, held out, against the others. Needs two human reasons.
* **position**: (run - floor) / (ceiling - floor), over the items that have all three: 0 is no better than a reason
  about something else, 1 as good as another person's.

With $J \ge 2$ human reasons every comparison is with the $J - 1$ that are left when each in turn is held out, for the
run and the floor as for the ceiling: the maximum over more references is larger, so nothing else compares. (For the
mean over references this changes nothing.) With one human reason the run and the floor are compared with it.
Intervals hold the drawn donors of the floor fixed. Cost: J pairs per item for the run and for each draw, J (J - 1) for
the ceiling.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Floats, estimates_frame
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.donors import Places, donor_places
from dfar_toolkit.metrics.reasons.overlap import Over, flat_human_reasons, mean_of_each
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, Texts, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present
from dfar_toolkit.metrics.reasons.text_overlap import Overlap, OverlapMetric, metric_name, overlap_scores

FloorFrom = Literal["run", "human"]


class BetweenScores(NamedTuple):
    """Per item (N,), ``nan`` where there is none: the run's overlap, the floor's (mean of the draws), the ceiling's."""

    run: Floats
    floor: Floats
    ceiling: Floats


def reason_overlap(
    frame: pl.DataFrame | None = None,
    *,
    metric: OverlapMetric | Overlap = "rouge_l",
    over: Over = "mean",
    reason: Column = "reason",
    human: Texts = "human_reasons",
    label: Column = "label_pred",
    item: Column | None = "item_id",
    group: Column | None = None,
    floor_from: FloorFrom = "run",
    draws: int = 5,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Overlap of the reasons with human ones, its floor and ceiling, and where the run stands between them.

    Args:
        frame: One row per reason, or None with values.
        metric: A name, or a function of P candidates and P references.
        over: Over the item's human reasons, ``mean`` or ``max``.
        reason: Column or texts (N,), null where there is none.
        human: Column or lists of texts (N,).
        label: Column or labels (N,): the floor takes a reason of the same label. Null: no floor.
        item: Column or item ids (N,); None where each row is an item.
        group: Column or values (N,) of the resampling unit; a group lends no reason to itself.
        floor_from: Whose reason of the other item: the ``run``'s, or a ``human`` one.
        draws: Other items drawn per item for the floor.
        ci: ``bootstrap`` or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the floor's draws and of the bootstrap.

    Returns:
        Rows ``metric, over, quantity`` and Estimate's fields; ``quantity`` is run, floor, run_minus_floor (items with
        both), ceiling, position.

    Undefined:
        floor: no other item of the label. ceiling: no item with two human reasons. position: also where the ceiling is
        not above the floor.

    Raises:
        ValueError: An unknown option, ``draws`` below 1, a missing column.
        ImportError: chrf or bleu without sacrebleu.

    Example:
        Each reason repeats its first human reason; the other item's shares nothing with it.

        >>> found = reason_overlap(reason=["a b", "c d"], human=[["a b", "a x"], ["c d", "c x"]], label=["e", "e"],
        ...                        item=["i", "j"], metric="token_f1")
        >>> found.select("quantity", "value").rows()[:2]
        [('run', 0.75), ('floor', 0.0)]
        >>> found["value"].round(3).to_list()[2:]
        [0.75, 0.5, 1.5]
    """
    pairs = pair_reasons("reason_overlap", frame, reason=reason, human=human, label=label, item=item, group=group)
    rows = reason_overlap_rows(pairs, metric=metric, over=over, floor_from=floor_from, draws=draws, seed=seed)
    found = estimate_present(rows, groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    beside = [{"metric": metric_name(metric), "over": over, "quantity": q} for q in QUANTITIES]
    return estimates_frame(found, beside=beside)


QUANTITIES = ("run", "floor", "run_minus_floor", "ceiling", "position")


def reason_overlap_rows(
    pairs: PairedReasons,
    *,
    metric: OverlapMetric | Overlap,
    over: Over = "mean",
    floor_from: FloorFrom = "run",
    draws: int = 5,
    seed: int = 0,
) -> list[Additive]:
    """The rows and formulas of :func:`reason_overlap`, in the order of its quantities.

    Args:
        pairs: Reasons with human reasons and labels.
        metric: As there.
        over: As there.
        floor_from: As there.
        draws: As there.
        seed: Seed of the floor's draws.

    Returns:
        Five additive statistics.
    """
    scores = overlap_between(pairs, metric=metric, over=over, floor_from=floor_from, draws=draws, seed=seed)
    name = f"{metric_name(metric)}_{over}"
    return between_rows(scores, name=name, note=pairs.note, draws=draws)


def between_rows(scores: BetweenScores, *, name: str, note: str, draws: int) -> list[Additive]:
    """Run, floor, run minus floor, ceiling and position of one score per item as additive statistics.

    Args:
        scores: Per item (N,).
        name: Metric's name.
        note: Said of each.
        draws: Draws of the floor, for its note.

    Returns:
        Five additive statistics, named ``NAME``, ``NAME_floor``, ``NAME_run_minus_floor``, ``NAME_ceiling``,
        ``NAME_position``.
    """
    lone, floorless = "without a second human reason", "without a human reason or another item of the label"
    often = f"mean of {draws} draws" if draws > 1 else "one draw"
    drawn = "; ".join(n for n in (note, f"{often} of another item of the label") if n)
    run = mean_present(name, name, scores.run, without="without a human reason or a score", note=note)
    floor = mean_present(f"{name}_floor", f"{name}, floor", scores.floor, without=floorless, note=drawn)
    above = mean_present(
        f"{name}_run_minus_floor", f"{name}, run - floor", scores.run - scores.floor, without=floorless, note=note
    )
    ceiling = mean_present(f"{name}_ceiling", f"{name}, ceiling", scores.ceiling, without=lone, note=note)
    three = np.column_stack(scores)
    whole = np.isfinite(three.sum(axis=1))
    lost = len(whole) - int(whole.sum())
    aside = f"{lost} of {len(whole)} without run, floor and ceiling left out" if 0 < lost < len(whole) else ""
    position = Additive(
        f"{name}_position",
        f"{name}, position between floor and ceiling",
        np.column_stack([np.where(whole[:, None], three, 0.0), whole]),
        _position,
        "the ceiling is not above the floor" if whole.any() else "no item has run, floor and ceiling",
        "; ".join(n for n in (note, aside) if n),
    )
    return [run, floor, above, ceiling, position]


def overlap_between(
    pairs: PairedReasons,
    *,
    metric: OverlapMetric | Overlap,
    over: Over = "mean",
    floor_from: FloorFrom = "run",
    draws: int = 5,
    seed: int = 0,
) -> BetweenScores:
    """The run's, the floor's and the ceiling's overlap of every item.

    Args:
        pairs: Reasons with human reasons and labels.
        metric: As in :func:`reason_overlap`.
        over: As there.
        floor_from: As there.
        draws: As there.
        seed: Seed of the floor's draws.

    Returns:
        Three numbers per item.
    """
    _check(over, floor_from, draws)
    owner, humans = flat_human_reasons(pairs)
    own, n = owner.to_numpy(), len(pairs.reasons)
    lenders, texts = _floor_reasons(pairs, floor_from, draws, seed)
    first, second = _ordered_pairs(own)
    lent = [(draw, np.flatnonzero(lenders[draw][own] >= 0)) for draw in range(draws)]
    reasons = pairs.reasons.to_list()
    left = [reasons[i] for i in own]
    left += [texts[d][i] for d, at in lent for i in own[at]] + [humans[j] for j in first]
    right = humans + [humans[j] for _, at in lent for j in at] + [humans[j] for j in second]
    scores = np.split(
        overlap_scores(metric, left, right), np.cumsum([len(humans), *(len(at) for _, at in lent)]).tolist()
    )
    floors = [_held_out(part, own[at], n, over) for part, (_, at) in zip(scores[1:-1], lent, strict=True)]
    by_holder = _combined(scores[-1], first, len(humans), over)
    known = ~np.isnan(by_holder)
    ceiling = mean_of_each(by_holder[known], owner.filter(pl.Series(known)), n)
    return BetweenScores(_held_out(scores[0], own, n, over), _mean_of_draws(floors, n), ceiling)


def _floor_reasons(
    pairs: PairedReasons, floor_from: FloorFrom, draws: int, seed: int
) -> tuple[Places, list[list[str]]]:
    """Places of the donors (D, N), -1 for none, and the texts they lend, D lists of N."""
    n = len(pairs.reasons)
    labels = pairs.labels if pairs.labels is not None else pl.Series([None] * n, dtype=pl.String)
    if floor_from == "run":
        places = donor_places(labels, pairs.units(), draws=draws, seed=seed)
        reasons = pairs.reasons.to_list()
        return places, [[reasons[p] for p in row] if n else [] for row in places]
    human = pairs.human.to_list()
    able = pl.Series([bool(h) for h in human], dtype=pl.Boolean)
    labels = pl.select(pl.when(able).then(labels)).to_series()
    places = donor_places(labels, pairs.units(), draws=draws, seed=seed)
    which = np.random.default_rng([seed, 1]).random(places.shape)
    texts = [
        [human[p][int(w * len(human[p]))] if p >= 0 else "" for p, w in zip(row, at, strict=True)]
        for row, at in zip(places, which, strict=True)
    ]
    return places, texts


def _ordered_pairs(own: Places) -> tuple[list[int], list[int]]:
    """Places of all ordered pairs of different human reasons of one item; ``own`` (M,) is sorted."""
    first: list[int] = []
    second: list[int] = []
    ends = np.flatnonzero(np.diff(own)) + 1
    for block in np.split(np.arange(len(own)), ends):
        for a in block:
            rest = [int(b) for b in block if b != a]
            first += [int(a)] * len(rest)
            second += rest
    return first, second


def _held_out(scores: Floats, own: Places, n: int, over: Over) -> Floats:
    """Per item the mean over held-out references of mean or maximum over the rest; of the one where there is one.

    Leaving each of J out in turn, the maximum of the rest is the greatest J - 1 times and the second once.
    """
    if over == "mean":
        return mean_of_each(scores, pl.Series(own), n)
    # np.lexsort puts nan last, so that an item with one becomes nan as it should.
    order = np.lexsort((scores, own))
    sizes = np.bincount(own, minlength=n)
    last = np.cumsum(sizes) - 1
    out = np.full(n, np.nan)
    one, several = np.flatnonzero(sizes == 1), np.flatnonzero(sizes > 1)
    out[one] = scores[order[last[one]]]
    greatest, next_to = scores[order[last[several]]], scores[order[last[several] - 1]]
    out[several] = greatest - (greatest - next_to) / sizes[several]
    return out


def _combined(scores: Floats, holder: list[int], n: int, over: Over) -> Floats:
    """Mean or maximum of the scores of each of n held-out reasons; ``nan`` for one without others."""
    place = np.array(holder, dtype=np.int64)
    if over == "mean":
        return mean_of_each(scores, pl.Series(place), n)
    out = np.full(n, -np.inf)
    np.maximum.at(out, place, scores)
    out[np.isneginf(out)] = np.nan
    return out


def _mean_of_draws(floors: list[Floats], n: int) -> Floats:
    stacked = np.array(floors).reshape(len(floors), n)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    out: Floats = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return out


def _position(sums: Floats) -> Floats:
    run, floor, ceiling = sums[:, 0], sums[:, 1], sums[:, 2]
    room = ceiling - floor
    out: Floats = np.divide(run - floor, room, out=np.full(len(sums), np.nan), where=room > 1e-12)
    return out


def _check(over: str, floor_from: str, draws: int) -> None:
    if over not in get_args(Over):
        raise ValueError(f'reason_overlap: over must be "mean" or "max", found {over!r}')
    if floor_from not in get_args(FloorFrom):
        raise ValueError(f'reason_overlap: floor_from must be "run" or "human", found {floor_from!r}')
    if isinstance(draws, bool) or draws < 1:
        raise ValueError(f"reason_overlap: draws must be a whole number of at least 1, found {draws!r}")
