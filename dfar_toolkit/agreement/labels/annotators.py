"""What each annotator's ratings agree with: the consensus of the others, a model of it, or labels that are given.

None of these numbers says who is right. A reliability is agreement with consensus: somebody who sees what the others
miss gets a low one. So no annotator is ever left out on its account, and the same numbers by group of annotators
(``by``) show whose view the consensus is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Ints
from dfar_toolkit.agreement.labels.hit_rates import CONSENSUS, Sets, effective_n, hit_rates, wilson_rates
from dfar_toolkit.agreement.labels.one_coin import fit_one_coin
from dfar_toolkit.agreement.labels.one_coin_variance import (
    RATERS,
    accuracy_variances,
    expected_hits,
    information_at_bounds,
)
from dfar_toolkit.agreement.labels.responses import Responses
from dfar_toolkit.agreement.other_frames import as_frame
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, estimates_frame

_ALONE: Final = "nobody else rated these items"
_NO_GOLD: Final = "no rated item has a label"
_TOLERANCE: Final = 1e-11  # of EM, per rating: the variance is right at the fixed point alone
_ITERATIONS: Final = 2000
_FEW: Final = 3


class _Table(NamedTuple):
    """The ratings, the sets asked for, and the columns that name them."""

    cells: Cells
    sets: Sets
    names: pl.DataFrame


def annotator_reliability(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Literal["analytic"] | None = "analytic",
    confidence: float = 0.95,
    by: str | None = None,
) -> pl.DataFrame:
    r"""How often each annotator goes with the others: with the majority of the rest, and with what the model infers.

    ``one_coin_accuracy`` is the share of the annotator's ratings expected to hit the label that the one-coin model
    infers from everybody's ratings (:func:`~dfar_toolkit.agreement.one_coin.one_coin`),

        $a_r = \frac{1}{n_r} \sum_{e \in r} T_{i_e v_e}$

    ``agreement_with_rest`` is the share of the annotator's ratings that equal the majority of the other ratings of
    the item; items whose other ratings tie are left out of it and counted in the note.

    The interval is Wilson's, on the n at which a plain share would vary as much. For the first number the variance is
    linearised through EM, so it knows that the labels are inferred from the same ratings; the second one's is that of
    the ratings in their units. A bootstrap of EM says the same at a thousand times the cost, and cut short it would
    stay too near to where it began.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column of the resampling unit of the item, or None.
        ci: ``analytic``, or None for the numbers alone.
        confidence: Two-sided coverage asked for.
        by: A column of the ratings, such as the annotators' age band: one pair of rows for each of its values instead
            of one for each annotator. The consensus stays that of everybody.

    Returns:
        Two rows per annotator (or value of ``by``), sorted: its name, ``n_annotators`` with ``by``, ``statistic``,
        ``overlap`` (ratings on items that somebody else rated too), and the fields of Estimate; ``n`` counts ratings.

    Undefined:
        ``nan`` for an annotator alone on every item. No interval where the ratings do not determine the model (two
        annotators who always disagree, say), with one unit, or with more than 3,000 annotators.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.cells.read_cells`, or there are no ratings.
        ValueError: ``ci`` or ``confidence`` is out of its range, or ``by`` names a column of the result.

    Example:
        >>> votes = [(i, r, v) for i, v in enumerate("aabb") for r in "xy"] + [(i, "z", "b") for i in range(4)]
        >>> found = annotator_reliability(votes)
        >>> found.filter(statistic="agreement_with_rest").select("annotator_id", "value").rows()
        [('x', 1.0), ('y', 1.0), ('z', 0.5)]

    Reference:
        Wilson (1927), JASA 22:209-212; Jaeckel (1972), Bell Laboratories MM 72-1215-11 (infinitesimal jackknife).
    """
    if ci not in ("analytic", None):
        raise ValueError(f'annotator_reliability: ci must be "analytic" or None, found {ci!r}')
    table = _table("annotator_reliability", ratings, (item, rater, value), group, by)
    cells, sets = table.cells, table.sets
    company = cells.n_per_item[cells.item] > 1
    overlap = sets.sums(company.astype(np.float64))
    model = [
        replace(e, value=float("nan"), low=float("nan"), high=float("nan"), note=_ALONE) if not shared else e
        for e, shared in zip(_modelled(cells, sets, confidence), overlap, strict=True)
    ]
    rest = _with_rest(cells, sets, confidence)
    beside = [
        {"statistic": s, "overlap": int(n)} for n in overlap for s in ("one_coin_accuracy", "agreement_with_rest")
    ]
    found = [_finished(e, cells.notes, ci) for pair in zip(model, rest, strict=True) for e in pair]
    names = table.names.select(pl.all().repeat_by(2).explode())
    return pl.concat([names, estimates_frame(found, beside=beside)], how="horizontal")


def annotator_accuracy(
    ratings: RatingsLike,
    labels: Any,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    label: str = "label",
    group: str | None = None,
    confidence: float = 0.95,
    by: str | None = None,
) -> pl.DataFrame:
    r"""How often each annotator gave the label of the item: a gold label, or one made from the ratings.

    $\frac{1}{n} \sum_e 1[v_e = y_{i_e}]$ over the annotator's ratings of items that have a label. With labels from
    :func:`~dfar_toolkit.agreement.votes.votes` and ``by`` it shows whose view a method's labels are; the ratings that
    made a label then count among its hits.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        labels: One row per item: the item and its label; null is no label.
        item: Column of the item, in both.
        rater: Column of the rater.
        value: Column of the value.
        label: Column of the label in ``labels``.
        group: Column of the resampling unit of the item, in the ratings, or None.
        confidence: Two-sided coverage asked for.
        by: A column of the ratings: one row for each of its values instead of one for each annotator.

    Returns:
        One row per annotator (or value of ``by``), sorted: its name, ``n_annotators`` with ``by``, and the fields of
        Estimate, with Wilson's interval on the effective n; ``n`` counts ratings.

    Undefined:
        ``nan`` for an annotator none of whose items has a label.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.cells.read_cells`; a column is missing; an item has two rows.
        ValueError: ``confidence`` is out of its range.

    Example:
        >>> gold = pl.DataFrame({"item_id": [0, 1], "label": ["a", "b"]})
        >>> annotator_accuracy([(0, "x", "a"), (1, "x", "a"), (1, "y", "b")], gold)["value"].to_list()
        [0.5, 1.0]
    """
    labels = as_frame(labels, "annotator_accuracy")
    table = _table("annotator_accuracy", ratings, (item, rater, value), group, by)
    cells = table.cells
    truth = label_codes(cells.items, cells.values, labels, item=item, label=label, caller="annotator_accuracy")
    known = np.flatnonzero(truth[cells.item] != NO_LABEL)
    hits = (truth[cells.item] == cells.value)[known].astype(np.float64)
    found = hit_rates("accuracy", hits, table.sets.only(known), confidence=confidence, undefined=_NO_GOLD)
    found = [_finished(e, cells.notes, "analytic", consensus=False) for e in found]
    return pl.concat([table.names, estimates_frame(found)], how="horizontal")


NO_LABEL: Final = -2  # an item without a label; -1 is a label that nobody gave


def label_codes(
    items: pl.Series, values: pl.Series, labels: pl.DataFrame, *, item: str, label: str, caller: str
) -> Ints:
    """The index of each item's label among the values (N,): -1 for a label not among them, ``NO_LABEL`` for none.

    Raises:
        TableError: A column is missing, has another type than in the ratings, or an item has two rows.
    """
    for name in (item, label):
        if name not in labels.columns:
            raise TableError(f'{caller} needs the column "{name}" in labels; found {", ".join(labels.columns)}.')
    if labels[item].n_unique() < labels.height:
        twice = labels.filter(pl.col(item).is_duplicated())[item][0]
        raise TableError(f'labels must have one row per item; "{twice}" has more (several methods? filter to one).')
    codes = pl.DataFrame({"label": values, "code": np.arange(len(values))})
    given = labels.select(pl.col(item).alias("item"), pl.col(label).alias("label"))
    given = given.filter(pl.col("label").is_not_null())
    try:
        given = given.join(codes, on="label", how="left").with_columns(pl.col("code").fill_null(-1))
        joined = pl.DataFrame({"item": items}).join(given, on="item", how="left", maintain_order="left")
    except (pl.exceptions.SchemaError, pl.exceptions.ComputeError) as error:
        raise TableError(
            f"items and labels must have the same types as in the ratings ({items.dtype}, {values.dtype}); found "
            f"{labels.schema[item]}, {labels.schema[label]}; cast them."
        ) from error
    return joined["code"].fill_null(NO_LABEL).to_numpy().astype(np.int64)


def _table(
    caller: str, ratings: RatingsLike, columns: tuple[str, str, str], group: str | None, by: str | None
) -> _Table:
    """Cells, and the sets they fall into: annotators, or the values of ``by``."""
    item, rater, value = columns
    name = rater if by is None else by
    if name in {*ESTIMATE_SCHEMA, "statistic", "overlap", "n_annotators"}:
        raise ValueError(f'{caller}: "{name}" names a column of the result; rename that column of the ratings')
    beside: Sequence[str] = () if by is None else (by,)
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group, beside=beside)
    if not len(cells.item):
        raise TableError(f'there are no ratings: the column "{value}" holds no value; give at least one.')
    unit = np.arange(len(cells.items)) if cells.group is None else cells.group
    unit_name = "items" if cells.group is None else "groups"
    if by is None:
        names = pl.DataFrame({rater: cells.raters})
        return _Table(cells, Sets(cells.rater, len(names), unit[cells.item], unit_name), names)
    rows = cells.beside.select(pl.col(by).alias("by"), pl.Series("rater", cells.rater))
    names = rows.group_by("by").agg(pl.col("rater").n_unique().cast(pl.Int64).alias("n_annotators")).sort("by")
    of = rows.join(names.with_row_index("set"), on="by", how="left", nulls_equal=True, maintain_order="left")["set"]
    sets = Sets(of.to_numpy().astype(np.int64), len(names), unit[cells.item], unit_name)
    return _Table(cells, sets, names.rename({"by": by}))


def _modelled(cells: Cells, sets: Sets, confidence: float) -> list[Estimate]:
    """Expected hits by the one-coin model, with the variance linearised through EM."""
    responses = Responses(
        cells.item, cells.rater, cells.value, np.ones(len(cells.item)), cells.items, cells.raters, cells.values
    )
    fit = fit_one_coin(responses, tolerance=_TOLERANCE, max_iterations=_ITERATIONS)
    n = sets.sums(np.ones(len(cells.item)))
    rates = sets.sums(expected_hits(responses, fit)) / n
    few = len(cells.raters) <= RATERS
    variance = accuracy_variances(responses, fit, sets) if few else np.full(len(n), np.nan)
    bound = information_at_bounds(responses, fit, sets)
    effective = np.where(np.isnan(bound), effective_n(rates, n, variance), bound)
    found = wilson_rates(
        "one-coin accuracy", rates, n, effective, sets.n_units(), unit=sets.unit, confidence=confidence
    )
    if not few:
        found = [replace(e, note=f"no interval: more than {RATERS} annotators") for e in found]
    caveats = [
        "" if fit.converged else f"EM did not come to rest in {_ITERATIONS} iterations",
        "" if len(cells.raters) > _FEW else f"unstable: {len(cells.raters)} annotators in all",
    ]
    return [replace(e, note="; ".join(filter(None, [e.note, *caveats]))) for e in found]


def _with_rest(cells: Cells, sets: Sets, confidence: float) -> list[Estimate]:
    """Share of the ratings that equal the majority of the other ratings of the item."""
    hit, tied = _against_rest(cells)
    decided = np.flatnonzero(hit >= 0)
    found = hit_rates(
        "agreement with the rest", hit[decided].astype(np.float64), sets.only(decided), confidence=confidence,
        undefined="no item has a majority among the other ratings",
    )  # fmt: skip
    ties = sets.sums(tied.astype(np.float64)).astype(np.int64)
    notes = [f"{t} rating{'s' if t != 1 else ''} left out: the others tie" if t else "" for t in ties]
    return [replace(e, note="; ".join(filter(None, [e.note, n]))) for e, n in zip(found, notes, strict=True)]


def _against_rest(cells: Cells) -> tuple[Ints, np.typing.NDArray[np.bool_]]:
    """For each rating (E,): 1 or 0 for a hit of the others' majority, -1 without one; and whether the others tie."""
    cell = cells.item * len(cells.values) + cells.value
    found, place, count = np.unique(cell, return_inverse=True, return_counts=True)
    owner = found // len(cells.values)
    start = np.flatnonzero(np.diff(owner, prepend=-1))
    top = np.maximum.reduceat(count, start)  # every item has an entry
    leaders = np.add.reduceat((count == top[owner]).astype(np.int64), start)
    second = np.maximum.reduceat(np.where(count == top[owner], 0, count), start)
    own, item = count[place], cells.item
    leads, n_leaders = own == top[item], leaders[item]
    company = cells.n_per_item[item] > 1
    alone_at_top = leads & (n_leaders == 1)
    hit = alone_at_top & (own - 1 > second[item])
    tied = np.where(alone_at_top, own - 1 == second[item], np.where(leads, n_leaders > 2, n_leaders > 1)) & company
    return np.where(tied | ~company, -1, hit.astype(np.int64)), tied


def _finished(
    estimate: Estimate, notes: tuple[str, ...], ci: Literal["analytic"] | None, *, consensus: bool = True
) -> Estimate:
    """The estimate with the notes of the data and the caveat, without its interval where none was asked for."""
    said = [estimate.note if ci else "", *notes, CONSENSUS if consensus else ""]
    estimate = replace(estimate, note="; ".join(filter(None, said)))
    if ci is None:
        return replace(estimate, low=float("nan"), high=float("nan"), method="none")
    return estimate
