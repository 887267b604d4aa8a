"""Conger's kappa: any number of raters, each with their own distribution of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.categories import Offered, offered
from dfar_toolkit.agreement.cells import Cells, cell_slices
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.distances import Weights, expected
from dfar_toolkit.agreement.observed import as_gwet, disagreement
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.statistic import ONE_VALUE, Ci, Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.units import Units, owners
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

_COLUMNS = 20_000  # raters times values: each is a column of the sums of every draw


def conger_kappa(
    ratings: RatingsLike,
    *,
    weights: Weights | None = None,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Ci | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Agreement of any number of raters beyond chance, where each keeps to their own distribution of values.

    With $p_a$ the percent agreement over items with $m_u \ge 2$ ratings and $p_{gc}$ the share of value c among the
    ratings of rater g, one of R,

        $\kappa = \frac{p_a - p_e}{1 - p_e}$,
        $p_e = \frac{1}{R (R - 1)} \sum_{g \ne h} \sum_{c,k} a_{ck} p_{gc} p_{hk}$

    with agreement weights $a_{ck}$: 1 for equal values and 0 else, or ``weights``. For two raters it is Cohen's kappa.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        weights: Partial credit for pairs of different values: linear, quadratic, ordinal, radical, ratio, circular,
            bipolar, or a matrix of agreement weights; None: none.
        order: Values on offer from lowest to highest, for weights on words or on ranks.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap, jackknife, analytic (Gwet's), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws; a rater whose items are not drawn is left out of a draw's mean.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more ratings, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two or more ratings, or only one value is in use.

    Raises:
        TableError: More than 20,000 raters times values, and as for
            :func:`~dfar_toolkit.agreement.fleiss.fleiss_kappa`.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> print(conger_kappa(rows, ci=None))  # p_o = 1/2 = p_e
        Conger's kappa = 0.000

    Reference:
        Conger (1980), Psychol. Bull. 88:322-328; missing ratings, weights and standard error as in Gwet (2014),
        Handbook of Inter-Rater Reliability, 4th ed., ch. 2, 3 and 5, and irrCAC.
    """
    slices = cell_slices(ratings, item=item, rater=rater, value=value, group=group, by=by)
    how = Resampling(ci, confidence, n_boot, seed)
    found = [estimate_statistic(conger_statistic(part.cells, weights, order), how) for part in slices]
    if by is None:
        return found[0]
    return slices_frame([part.key for part in slices], [[one] for one in found], [by] if isinstance(by, str) else by)


def conger_statistic(cells: Cells, weights: Weights | None, order: Sequence[str] | None) -> Statistic:
    """Conger's kappa of single ratings."""
    counts = cells.counts()
    scale = offered(counts, weights, order=order)
    n_raters, n_values = len(cells.raters), len(cells.values)
    if n_raters * n_values > _COLUMNS:
        raise TableError(
            f"conger_kappa counts every value of every rater and takes at most {_COLUMNS} of both together; found "
            f"{n_raters} raters and {n_values} values; use fleiss_kappa or krippendorff_alpha."
        )

    def kappa(sums: Floats) -> Floats:
        own = sums[:, 3:].reshape(len(sums), n_raters, n_values)
        n = own.sum(axis=2, keepdims=True)
        present = n != 0
        share = np.where(present, own / np.where(present, n, 1), 0)
        raters = present.sum(axis=(1, 2))
        together = expected(share.sum(axis=1), scale.table)
        alone = expected(share.reshape(-1, n_values), scale.table).reshape(len(sums), n_raters).sum(axis=1)
        # Without the pairs of a rater with themselves; their disagreement is what "alone" holds.
        return np.asarray(1 - sums[:, 0] / sums[:, 1] * raters * (raters - 1) / (together - alone))

    return Statistic("Conger's kappa", counts, _units(cells, scale), kappa, ONE_VALUE, adjust=as_gwet)


def _units(cells: Cells, scale: Offered) -> Units:
    """Rows of disagreement, whether there are pairs, 1, and one column per rater and value."""
    import scipy.sparse as sparse

    counts = cells.counts()
    own = owners(counts)
    rated = np.ones(len(counts.times))
    left = [disagreement(counts, scale.table), (counts.pairs > 0) * rated, rated]
    narrow = np.stack([np.bincount(own.owner, column, len(own.times)) for column in left], axis=1)
    column = cells.rater * len(cells.values) + cells.value
    shape = (len(own.times), len(cells.raters) * len(cells.values))
    wide = sparse.csr_array((np.ones(len(column)), (own.owner[cells.item], column)), shape=shape)
    rows = sparse.csr_array(sparse.hstack([sparse.csr_array(narrow), wide]))
    return Units(rows if shape[1] > 64 else rows.toarray(), own.times, own.unit)
