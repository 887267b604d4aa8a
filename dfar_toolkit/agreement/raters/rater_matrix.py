r"""Rater by rater: agreement of every pair, how much they overlap, and who overlaps too little.

All pairs at once by sparse products of items by raters: the cost is $\sum_u m_u^2$ for items of $m_u$ ratings.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sparse

from dfar_toolkit.agreement.cells import Cells, cell_slices, read_cells
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.other_frames import as_frame
from dfar_toolkit.agreement.raters.rater_fit import NOBODY_ELSE, overlap_note
from dfar_toolkit.agreement.raters.shared_items import shared_items, with_keys
from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.errors import TableError

Pairwise = Literal["kappa", "percent", "overlap"]

_RATERS: Final = 2000  # raters up to which every pair is listed: two million rows
NO_OVERLAP: Final = "no item was rated by both"
_ONE_VALUE: Final = "both raters use one and the same value, so agreement beyond chance has no meaning"


def rater_matrix(
    ratings: RatingsLike,
    *,
    statistic: Pairwise = "kappa",
    min_overlap: int = 10,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    by: By = None,
) -> pl.DataFrame:
    r"""Agreement of every two raters over the items that both rated, with their number; point values, many at once.

    With $n$ items rated by both, $p_o$ the share of them with the same value, $p_{ac}$ and $p_{bc}$ each rater's share
    of value c on these items: ``percent`` is $p_o$, ``kappa`` is Cohen's

        $\kappa = \frac{p_o - p_e}{1 - p_e}$,   $p_e = \sum_c p_{ac} p_{bc}$

    and ``overlap`` is n itself. Intervals of kappa: :func:`~dfar_toolkit.agreement.pairwise_kappa`.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        statistic: kappa, percent or overlap.
        min_overlap: Common items below which the note says that the overlap is too little.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        by: Column or columns to slice by.

    Returns:
        One row per pair, the first rater before the second: the columns of ``by``, ``rater_a``, ``rater_b``, ``value``,
        ``n`` (items rated by both), ``note``. :func:`rater_square` turns it into a square.

    Undefined:
        No item was rated by both (overlap is 0 then); kappa also where both use one and the same value.

    Raises:
        TableError: More than 2,000 raters, missing columns, a rater twice on an item, several questions.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes"), ("y", "cat", "no")]
        >>> rater_matrix(rows, statistic="percent", min_overlap=1).drop("note").rows()
        [('ann', 'bob', 0.5, 2), ('ann', 'cat', 1.0, 1), ('bob', 'cat', 0.0, 1)]

    Reference:
        Cohen (1960), Educ. Psychol. Meas. 20:37-46, eq. 1.
    """
    if statistic not in get_args(Pairwise):
        raise ValueError(f"rater_matrix: statistic must be kappa, percent or overlap, found {statistic!r}")
    slices = cell_slices(ratings, item=item, rater=rater, value=value, by=by)
    return with_keys([(part.key, _pairs(part.cells, statistic, min_overlap)) for part in slices], by)


def rater_square(pairs: Any, *, value: str = "value") -> pl.DataFrame:
    """The pairs of :func:`rater_matrix` as a square: one row and one column per rater.

    Args:
        pairs: A frame with ``rater_a``, ``rater_b`` and a column of numbers, each pair once.
        value: The column of numbers.

    Returns:
        ``rater_a`` and one column of floats per rater, in the same order; symmetric, ``nan`` on the diagonal and for
        pairs that are not listed.

    Raises:
        ValueError: A pair stands there twice (slices, say), or a rater is called ``rater_a``.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> rater_square(rater_matrix(rows, statistic="overlap")).rows()
        [('ann', nan, 2.0), ('bob', 2.0, nan)]
    """
    pairs = as_frame(pairs, "rater_square")
    if pairs.select("rater_a", "rater_b").is_duplicated().any():
        raise ValueError("rater_square: wanted each pair of raters once, found one twice; filter to one slice first")
    raters = pl.concat([pairs["rater_a"], pairs["rater_b"]]).unique().sort()
    names = raters.cast(pl.String).to_list()
    if "rater_a" in names:
        raise ValueError('rater_square: a rater is called "rater_a" like the first column; rename the rater')
    table = np.full((len(raters), len(raters)), np.nan)
    a, b = (raters.search_sorted(pairs[name]).to_numpy() for name in ("rater_a", "rater_b"))
    table[a, b] = table[b, a] = pairs[value].cast(pl.Float64).to_numpy()
    whole: pl.DataFrame = pl.concat(
        [raters.alias("rater_a").to_frame(), pl.DataFrame(table, schema=names)], how="horizontal"
    )
    return whole


def low_overlap(
    ratings: RatingsLike,
    *,
    min_overlap: int = 10,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
) -> pl.DataFrame:
    """Raters about whom little can be said: few items shared with anybody, or with no single other rater.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        min_overlap: Items wanted, shared with anybody and with some one other rater.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.

    Returns:
        One row per rater below it, fewest shared items first: ``rater``, ``n_items`` (rated), ``n`` (of these, rated by
        somebody else too), ``n_closest`` (items shared with the rater they share most with), ``note``. No rows where
        every rater has enough.

    Raises:
        TableError: Missing columns, a rater twice on an item, several questions.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes"), ("z", "cat", "no")]
        >>> low_overlap(rows, min_overlap=2).select("rater", "n_items", "n", "note").rows()
        [('cat', 1, 0, 'nobody else rated an item of this rater')]
    """
    cells = read_cells(ratings, item=item, rater=rater, value=value)
    n_raters = len(cells.raters)
    shared = np.bincount(shared_items(cells).rater, minlength=n_raters)
    together = _rated(cells).T @ _rated(cells)
    together = sparse.csr_array(together - sparse.diags_array(together.diagonal()))
    closest = together.max(axis=1).toarray().ravel().astype(np.int64) if n_raters else shared
    notes = [
        NOBODY_ELSE if n == 0 else overlap_note(n, min_overlap) if n < min_overlap else
        f"too little overlap with any one rater: at most {most}, {min_overlap} items wanted"
        for n, most in zip(shared.tolist(), closest.tolist(), strict=True)
    ]  # fmt: skip
    columns = {
        "rater": cells.raters, "n_items": np.bincount(cells.rater, minlength=n_raters), "n": shared,
        "n_closest": closest, "note": pl.Series(notes, dtype=pl.String),
    }  # fmt: skip
    few = (pl.col("n") < min_overlap) | (pl.col("n_closest") < min_overlap)
    return pl.DataFrame(columns).filter(few).sort("n", "n_closest", "rater")


def _rated(cells: Cells, keep: npt.NDArray[np.bool_] | None = None) -> sparse.csr_array:
    """Items by raters (N, R): 1 where the rater rated the item, with ``keep`` (E,) only where that is true."""
    item, rater = (cells.item, cells.rater) if keep is None else (cells.item[keep], cells.rater[keep])
    return sparse.csr_array((np.ones(len(item)), (item, rater)), shape=(len(cells.items), len(cells.raters)))


def _pairs(cells: Cells, statistic: Pairwise, min_overlap: int) -> pl.DataFrame:
    if len(cells.raters) > _RATERS:
        raise TableError(
            f"rater_matrix lists every pair of raters and takes at most {_RATERS} of them; "
            f"found {len(cells.raters)}; filter to the raters in question."
        )
    a, b = np.triu_indices(len(cells.raters), 1)
    rated = _rated(cells)
    n = (rated.T @ rated).toarray()[a, b]
    number = n.copy()
    if statistic != "overlap":
        with np.errstate(divide="ignore", invalid="ignore"):
            same, by_chance = (table[a, b] for table in _agreements(cells, rated))
            number = same / n if statistic == "percent" else (n * same - by_chance) / (n**2 - by_chance)
    frame = pl.DataFrame(
        {"rater_a": cells.raters.gather(a), "rater_b": cells.raters.gather(b), "value": number, "n": n.astype(np.int64)}
    )
    few = pl.format("too little overlap: {} common items, {} wanted", "n", pl.lit(min_overlap))
    notes = (
        pl.when((pl.col("n") == 0) & (pl.lit(statistic) != "overlap")).then(pl.lit(NO_OVERLAP)),
        pl.when(pl.col("value").is_nan() & (pl.col("n") > 0)).then(pl.lit(_ONE_VALUE)),
        pl.when(pl.col("n") < min_overlap).then(few),
    )
    return frame.with_columns(pl.concat_str(notes, separator="; ", ignore_nulls=True).alias("note"))


def _agreements(cells: Cells, rated: sparse.csr_array) -> tuple[Floats, Floats]:
    """For two raters (R, R): items with the same value, and the sum over values of the products of their numbers."""
    n_raters = len(cells.raters)
    same, by_chance = np.zeros((n_raters, n_raters)), np.zeros((n_raters, n_raters))
    often = np.bincount(cells.value, minlength=len(cells.values))
    for code in np.flatnonzero(often > 1):  # a value given once agrees with nothing, by chance or otherwise
        chosen = _rated(cells, cells.value == code)
        same += (chosen.T @ chosen).toarray()
        given = (chosen.T @ rated).toarray()  # (a, b): items of both to which a gave this value
        by_chance += given * given.T
    return same, by_chance
