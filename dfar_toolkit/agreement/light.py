"""Light's kappa: the mean of Cohen's kappas over all pairs of raters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import offered
from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.distances import Weights
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import Units, owners
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval

_COLUMNS: Final = 200_000  # pairs of raters times values: each is a column of the sums of every draw
_BLOCK: Final = 4_000_000
_UNDEFINED: Final = "no two raters share items and differ in their values"


def light_kappa(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Mean over pairs of raters of Cohen's kappa, each over the items that both rated.

    $\kappa_L = \frac{1}{|P|} \sum_{(g, h) \in P} \kappa_{gh}$ over the pairs P whose kappa is defined; the others are
    counted in the note.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, or None; one draw of items serves all pairs.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; a pair that is undefined in a draw is left out of that draw's mean.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No pair of raters has a kappa.

    Raises:
        TableError: More than 200,000 pairs of raters times values, and as for
            :func:`~dfar_toolkit.agreement.kappa.cohen_kappa`.

    Example:
        >>> ann, bob, cyd = "nny", "nyy", "nny"
        >>> rows = [(i, who, v[i]) for i in range(3) for who, v in (("ann", ann), ("bob", bob), ("cyd", cyd))]
        >>> print(light_kappa(rows, ci=None))  # kappas 2/5, 1 and 2/5
        Light's kappa = 0.600

    Reference:
        Light (1971), Psychol. Bull. 76:365-377.
    """
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    how = Resampling(ci, confidence, n_boot, seed)
    found = [estimate_statistic(light_statistic(part.cells, weights, order), how) for part in slices]
    if by is None:
        return found[0]
    return slices_frame([part.key for part in slices], [[one] for one in found], [by] if isinstance(by, str) else by)


def light_statistic(cells: Cells, weights: Weights | None, order: Sequence[str] | None) -> Statistic:
    """Light's kappa of single ratings."""
    counts = cells.counts()
    table = offered(counts, weights, order=order).table
    size, n_raters = len(cells.values), len(cells.raters)
    width = 2 + 2 * size
    n_pairs = n_raters * (n_raters - 1) // 2
    if n_pairs * width > _COLUMNS:
        raise TableError(
            f"light_kappa compares every pair of raters on every value and takes at most {_COLUMNS} of both together; "
            f"found {n_pairs} pairs and {size} values; use fleiss_kappa or krippendorff_alpha."
        )
    unit, pairs = _units(cells, table)

    def kappas(sums: Floats) -> Floats:
        own = sums.reshape(len(sums), len(pairs), width)
        n, first, second = own[:, :, 1], own[:, :, 2 : 2 + size], own[:, :, 2 + size :]
        if table is None:
            return np.asarray(1 - n * own[:, :, 0] / (n**2 - (first * second).sum(axis=2)))
        return np.asarray(1 - n * own[:, :, 0] / ((first @ table) * second).sum(axis=2))

    def mean(weights: Floats) -> Floats:
        step = max(1, _BLOCK // max(1, len(pairs) * width))
        return np.concatenate([_mean(kappas(unit.sums(weights[i : i + step]))) for i in range(0, len(weights), step)])

    with np.errstate(divide="ignore", invalid="ignore"):
        defined = int(np.isfinite(kappas(unit.sums(unit.times[None, :]))).sum()) if len(pairs) else 0
    left = n_pairs - defined
    note = (f"{left} of {n_pairs} pairs of raters left out: no common item, or one value only",) if left else ()
    noted = replace(counts, notes=(*counts.notes, *note))
    return Statistic("Light's kappa", noted, unit, kappas, _UNDEFINED, of_weights=mean)


def _mean(kappas: Floats) -> Floats:
    """Mean of the defined kappas of each draw (B,)."""
    defined = np.isfinite(kappas)
    return np.asarray(np.where(defined, kappas, 0).sum(axis=1) / defined.sum(axis=1))


def _units(cells: Cells, table: Floats | None) -> tuple[Units, Ints]:
    """For each pair of raters with a common item: disagreement, 1, the first's and the second's values."""
    import scipy.sparse as sparse

    own = owners(cells.counts())
    left, right = _shared(cells)
    a, b = cells.value[left], cells.value[right]
    pairs, pair = np.unique(cells.rater[left] * len(cells.raters) + cells.rater[right], return_inverse=True)
    size = len(cells.values)
    width = 2 + 2 * size
    apart = (a != b).astype(np.float64) if table is None else table[a, b]
    one = np.ones(len(a))
    start = pair * width
    columns = np.concatenate([start, start + 1, start + 2 + a, start + 2 + size + b])
    rows = np.tile(own.owner[cells.item[left]], 4)
    shape = (len(own.times), len(pairs) * width)
    matrix = sparse.csr_array((np.concatenate([apart, one, one, one]), (rows, columns)), shape=shape)
    return Units(matrix if shape[1] > 64 else matrix.toarray(), own.times, own.unit), pairs


def _shared(cells: Cells) -> tuple[Ints, Ints]:
    """Every two ratings of one item, as entries (first rater before second)."""
    here: Ints = np.arange(len(cells.item))
    lefts: list[Ints] = []
    rights: list[Ints] = []
    shift = 1
    left = here
    while True:
        left = left[left + shift < len(here)]
        left = left[cells.item[left] == cells.item[left + shift]]
        if not len(left):
            nothing = here[:0]
            return np.concatenate([*lefts, nothing]), np.concatenate([*rights, nothing])
        lefts.append(left)
        rights.append(left + shift)
        shift += 1
