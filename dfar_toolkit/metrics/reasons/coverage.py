r"""Several reasons of a model against all human reasons of the item: how true to some human, how many humans are met.

With similarities $s_{ab}$ of k model reasons a and J human reasons b of an item:

    precision $= \frac{1}{k} \sum_a \max_b s_{ab}$,   recall $= \frac{1}{J} \sum_b \max_a s_{ab}$

and F1 their harmonic mean, averaged over items. With a ``threshold`` t the similarity is $1[s_{ab} \ge t]$: the share
of model reasons that some human gave, and the share of human reasons that the model gave.

Both grow with k and J, so the ceiling (human reasons held out, against the rest) compares only at equal numbers: with
$s = \min(k, J - 1)$, blocks of s neighbours in the sorted human reasons are held out, each starting at another of the
J, and as many of the run's and the floor's reasons are compared with the same rest. These are the ``matched`` rows.
Cost: (k + J + D k) J pairs per item with D draws of the floor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Floats, estimates_frame
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.donors import Places, donor_places
from dfar_toolkit.metrics.reasons.floor_and_ceiling import BetweenScores, between_rows
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, Texts, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present
from dfar_toolkit.metrics.reasons.text_overlap import Overlap, OverlapMetric, metric_name, overlap_scores

Side = Literal["precision", "recall", "f1"]
SIDES: Final = get_args(Side)


class ItemReasons(NamedTuple):
    """All reasons of I items: ``model`` and ``human`` lists of texts, ``labels``, resampling ``units`` (I,)."""

    model: list[list[str]]
    human: list[list[str]]
    labels: pl.Series
    units: pl.Series
    note: str


def reason_coverage(
    frame: pl.DataFrame | None = None,
    *,
    metric: OverlapMetric | Overlap = "rouge_l",
    threshold: float | None = None,
    reason: Column = "reason",
    human: Texts = "human_reasons",
    label: Column = "label_pred",
    item: Column = "item_id",
    group: Column | None = None,
    draws: int = 5,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Coverage precision, recall and F1 of the model's reasons, with floor and ceiling.

    Args:
        frame: One row per reason; several rows (samples) of an item share its id. None with values.
        metric: A name, or a function of P candidates (model) and P references (human).
        threshold: A pair counts 1 from this similarity on, else 0; None takes the similarity itself.
        reason: Column or texts (N,), null where there is none.
        human: Column or lists of texts (N,), the same in every row of an item.
        label: Column or labels (N,): the floor takes the reasons of another item of the same label (of an item with
            several labels, the one most of its reasons have, the first in the alphabet where several are as frequent).
        item: Column or item ids (N,).
        group: Column or values (N,) of the resampling unit; a group lends no reasons to itself.
        draws: Other items drawn per item for the floor.
        ci: ``bootstrap`` or None.
        confidence: Two-sided coverage of the intervals.
        n_boot: Number of bootstrap draws.
        seed: Seed of the floor's draws and of the bootstrap.

    Returns:
        Rows ``metric, side, quantity`` and Estimate's fields. ``side`` is precision, recall, f1; ``quantity`` is run,
        floor, run_minus_floor with all reasons, then run_matched, floor_matched, ceiling, position at equal numbers.

    Undefined:
        floor: no other item of the label. Matched rows: no item with two human reasons. F1 of an item whose precision
        and recall sum to a number below 0 (cosines), where it is left out.

    Raises:
        TableError: Rows of one item have different human reasons.
        ValueError: ``draws`` below 1, an unknown metric, a missing column.

    Example:
        The model says one of two things that people say.

        >>> found = reason_coverage(reason=["a b", "a b"], human=[["a b", "c d"]] * 2, label=["e", "e"],
        ...                         item=["i", "i"], ci=None)
        >>> found.filter(quantity="run").select("side", "value").rows()
        [('precision', 1.0), ('recall', 0.5), ('f1', 0.6666666666666666)]
    """
    pairs = pair_reasons("reason_coverage", frame, reason=reason, human=human, label=label, item=item, group=group)
    items = item_reasons(pairs)
    rows = reason_coverage_rows(items, metric=metric, threshold=threshold, draws=draws, seed=seed)
    found = estimate_present(
        [row for _, _, row in rows], groups=items.units, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    name = metric_name(metric) if threshold is None else f"{metric_name(metric)} >= {threshold:g}"
    return estimates_frame(found, beside=[{"metric": name, "side": s, "quantity": q} for s, q, _ in rows])


def item_reasons(pairs: PairedReasons) -> ItemReasons:
    """One entry per item from one row per reason.

    Args:
        pairs: Reasons with items, human reasons and labels.

    Returns:
        The items, sorted by id; those without a human reason are left out and counted.

    Raises:
        TableError: Rows of one item have different human reasons or groups.
    """
    if pairs.items is None or pairs.labels is None or pairs.groups is None:
        raise ValueError("reason_coverage: give item and label")
    frame = pl.DataFrame(
        {
            "item": pairs.items,
            "reason": pairs.reasons,
            "human": pairs.human,
            "label": pairs.labels,
            "unit": pairs.groups,
        }
    )
    most = pl.col("label").drop_nulls().sort().mode(maintain_order=True).first()
    whole = frame.group_by("item").agg(
        pl.col("reason").sort(), pl.col("human").first(), most.alias("label"), pl.col("unit").first(),
        pl.col("human").n_unique().alias("different"), pl.col("unit").n_unique().alias("units"),
    ).sort("item")  # fmt: skip
    for column, what in (("different", "human reasons"), ("units", "groups")):
        strange = whole.filter(pl.col(column) > 1)
        if len(strange):
            raise TableError(f"reason_coverage: rows of one item have one set of {what}; {len(strange)} items have "
                             f"several, e.g. {strange['item'][0]!r}.")  # fmt: skip
    kept = whole.filter(pl.col("human").list.len() > 0)
    lost = len(whole) - len(kept)
    aside = f"{lost} of {len(whole)} items without a human reason left out" if lost else ""
    note = "; ".join(n for n in (pairs.note, aside) if n)
    return ItemReasons(kept["reason"].to_list(), kept["human"].to_list(), kept["label"], kept["unit"], note)


def reason_coverage_rows(
    items: ItemReasons,
    *,
    metric: OverlapMetric | Overlap,
    threshold: float | None = None,
    draws: int = 5,
    seed: int = 0,
) -> list[tuple[Side, str, Additive]]:
    """The rows and formulas of :func:`reason_coverage`: side, quantity and additive statistic, 7 for each side.

    Args:
        items: All reasons of each item.
        metric: As there.
        threshold: As there.
        draws: As there.
        seed: Seed of the floor's draws.

    Returns:
        The statistics, rows (I, 2) or (I, 4).
    """
    if isinstance(draws, bool) or draws < 1:
        raise ValueError(f"reason_coverage: draws must be a whole number of at least 1, found {draws!r}")
    whole, matched = _scores(items, metric, threshold, draws, seed)
    absent = np.full(len(items.model), np.nan)
    name = metric_name(metric) + ("" if threshold is None else f"_at_{threshold:g}")
    out: list[tuple[Side, str, Additive]] = []
    for place, side in enumerate(SIDES):
        every = BetweenScores(whole[0, :, place], whole[1, :, place], absent)
        equal = BetweenScores(*matched[:, :, place])
        title = f"{name}_coverage_{side}"
        all_rows = between_rows(every, name=title, note=items.note, draws=draws)[:3]
        out += [(side, q, r) for q, r in zip(("run", "floor", "run_minus_floor"), all_rows, strict=True)]
        few = between_rows(equal, name=f"{title}_matched", note=items.note, draws=draws)
        named = zip(("run_matched", "floor_matched", "", "ceiling", "position"), few, strict=True)
        out += [(side, q, r) for q, r in named if q]
    return out


def _scores(
    items: ItemReasons, metric: OverlapMetric | Overlap, threshold: float | None, draws: int, seed: int
) -> tuple[Floats, Floats]:
    """Precision, recall, F1 of each item: (2, I, 3) run and floor with all, (3, I, 3) run, floor, ceiling matched."""
    n = len(items.model)
    places = donor_places(items.labels, items.units, draws=draws, seed=seed)
    whole, matched = np.full((2, n, 3), np.nan), np.full((3, n, 3), np.nan)
    for i, own, lent, among in _similarities(items, places, metric, threshold):
        whole[0, i] = _sides(own)
        if lent:
            whole[1, i] = np.mean([_sides(s) for s in lent], axis=0)
        if len(among) < 2:
            continue
        matched[0, i], matched[2, i] = _matched(own, len(own)), _ceiling(among, len(own))
        if lent:
            matched[1, i] = np.mean([_matched(s, len(own)) for s in lent], axis=0)
    return whole, matched


def _similarities(
    items: ItemReasons, places: Places, metric: OverlapMetric | Overlap,
    threshold: float | None,
) -> Iterator[tuple[int, Floats, list[Floats], Floats]]:  # fmt: skip
    """Of each item: similarities of its reasons (k, J), of those of each donor, and of human with human (J, J)."""
    left: list[str] = []
    right: list[str] = []
    shapes: list[list[tuple[int, int]]] = []
    for i, humans in enumerate(items.human):
        lenders = [items.model[p] for p in places[:, i] if p >= 0]
        blocks = [items.model[i], *lenders, humans if len(humans) > 1 else []]
        for block in blocks:
            left += [a for a in block for _ in humans]
            right += humans * len(block)
        shapes.append([(len(block), len(humans)) for block in blocks])
    scores = overlap_scores(metric, left, right)
    if threshold is not None:
        scores = np.where(np.isnan(scores), np.nan, (scores >= threshold).astype(np.float64))
    start = 0
    for i, of_item in enumerate(shapes):
        found = []
        for k, j in of_item:
            found.append(scores[start : start + k * j].reshape(k, j))
            start += k * j
        yield i, found[0], found[1:-1], found[-1]


def _sides(similarity: Floats) -> Floats:
    """Precision, recall, F1 of similarities (k, J)."""
    precision, recall = float(similarity.max(axis=1).mean()), float(similarity.max(axis=0).mean())
    total = precision + recall
    f1 = 2 * precision * recall / total if total > 0 else (0.0 if total == 0 else np.nan)
    return np.array([precision, recall, f1])


def _matched(similarity: Floats, size: int) -> Floats:
    """Mean over the J starts: as many reasons as the ceiling holds out, against the human reasons it leaves."""
    k, j = similarity.shape
    out = np.zeros(3)
    for start in range(j):
        held = _block(start, min(size, j - 1), j)
        rest = np.setdiff1d(np.arange(j), held)
        chosen = _block(start, min(len(held), k), k)
        out += _sides(similarity[np.ix_(chosen, rest)])
    mean: Floats = out / j
    return mean


def _ceiling(among: Floats, size: int) -> Floats:
    j = len(among)
    out = np.zeros(3)
    for start in range(j):
        held = _block(start, min(size, j - 1), j)
        out += _sides(among[np.ix_(held, np.setdiff1d(np.arange(j), held))])
    mean: Floats = out / j
    return mean


def _block(start: int, size: int, total: int) -> Places:
    places: Places = (start + np.arange(size)) % total
    return places
