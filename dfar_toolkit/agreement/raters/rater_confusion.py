"""Two raters: which values one gives where the other gives which, and whether one of them leans to some value."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.raters.rater_matrix import NO_OVERLAP
from dfar_toolkit.agreement.ratings import RatingsLike, shown

HomogeneityTest = Literal["stuart_maxwell", "bhapkar"]


def rater_confusion(
    ratings: RatingsLike,
    *,
    rater_a: object,
    rater_b: object,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
) -> pl.DataFrame:
    """Which value one rater gave where another gave which, over the items that both rated.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        rater_a: The rater of the rows.
        rater_b: The rater of the columns.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.

    Returns:
        One row per pair of values that either of the two gave to a common item, sorted: ``value_a``, ``value_b``,
        ``n`` (0 included). No rows without a common item.

    Raises:
        ValueError: A rater who does not occur, or twice the same.
        TableError: Missing columns, a rater twice on an item, several questions.

    Example:
        >>> rows = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
        >>> rater_confusion(rows, rater_a="ann", rater_b="bob").rows()
        [('no', 'no', 1), ('no', 'yes', 1), ('yes', 'no', 0), ('yes', 'yes', 0)]
    """
    cells = read_cells(ratings, item=item, rater=rater, value=value)
    table, values = _table(cells, "rater_confusion", rater_a, rater_b)
    a, b = np.indices(table.shape).reshape(2, -1)
    return pl.DataFrame({"value_a": values.gather(a), "value_b": values.gather(b), "n": table.ravel()})


class Homogeneity(NamedTuple):
    """A chi-squared test that two raters use the values equally often, over ``n`` items that both rated."""

    statistic: float
    df: int
    p: float
    n: int
    note: str


def marginal_homogeneity(
    ratings: RatingsLike,
    *,
    rater_a: object,
    rater_b: object,
    method: HomogeneityTest = "stuart_maxwell",
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
) -> Homogeneity:
    r"""Whether two raters use the values equally often: a lean to one value, told from plain disagreement.

    With $n_{ck}$ items to which a gave c and b gave k, $d_c = n_{c\cdot} - n_{\cdot c}$, $S_{ck} = -(n_{ck} + n_{kc})$
    and $S_{cc} = n_{c\cdot} + n_{\cdot c} - 2 n_{cc}$,

        $X^2 = d^T S^+ d$ (Stuart and Maxwell),   $X^2 / (1 - X^2 / n)$ (Bhapkar)

    on as many degrees of freedom as S has rank: one less than the values, fewer where the raters never part over some.

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        rater_a: One rater.
        rater_b: The other.
        method: stuart_maxwell, or bhapkar (somewhat more powerful).
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.

    Returns:
        The statistic, its degrees of freedom, p by the chi-squared distribution (rough below some 10 differing
        items), n and a note. Items count as independent: with groups of items p is too small.

    Undefined:
        The two never differ; Bhapkar's also where $X^2 = n$.

    Raises:
        ValueError: As :func:`rater_confusion`, and an unknown method.
        TableError: As :func:`rater_confusion`.

    Example:
        Ann says yes where bob says no four times and never the other way round: $X^2 = 4^2 / 4$.

        >>> rows = [(i, who, "yes" if who == "ann" or i > 3 else "no") for i in range(9) for who in ("ann", "bob")]
        >>> found = marginal_homogeneity(rows, rater_a="ann", rater_b="bob")
        >>> round(found.statistic, 9), found.df
        (4.0, 1)

    Reference:
        Stuart (1955), Biometrika 42:412-416; Maxwell (1970), Br. J. Psychiatry 116:651-655; Bhapkar (1966), JASA
        61:228-235.
    """
    from scipy.stats import chi2

    if method not in get_args(HomogeneityTest):
        raise ValueError(f"marginal_homogeneity: method must be stuart_maxwell or bhapkar, found {method!r}")
    cells = read_cells(ratings, item=item, rater=rater, value=value)
    table = _table(cells, "marginal_homogeneity", rater_a, rater_b)[0].astype(np.float64)
    n, nan = int(table.sum()), float("nan")
    moved = table + table.T
    spread = np.diag(moved.sum(axis=1)) - moved
    df = int(np.linalg.matrix_rank(spread, hermitian=True)) if n else 0
    if df == 0:
        return Homogeneity(nan, 0, nan, n, "the two raters never differ" if n else NO_OVERLAP)
    lean = table.sum(axis=1) - table.sum(axis=0)
    found = float(lean @ np.linalg.pinv(spread, hermitian=True) @ lean)
    if method == "bhapkar":
        if found > n * (1 - 1e-12):
            return Homogeneity(nan, df, nan, n, "every item moves the same way, so Bhapkar's statistic is infinite")
        found = found / (1 - found / n)
    return Homogeneity(found, df, float(chi2.sf(found, df)), n, "")


def _table(cells: Cells, name: str, rater_a: object, rater_b: object) -> tuple[npt.NDArray[np.int64], pl.Series]:
    """How often two raters gave which two values to an item, and these values."""
    raters = cells.raters.to_list()
    for who in (rater_a, rater_b):
        if who not in raters:
            some = ", ".join(shown(known) for known in raters[:5])
            raise ValueError(f'{name}: no rater "{shown(who)}"; found {len(raters)} raters ({some})')
    if rater_a == rater_b:
        raise ValueError(f'{name}: wanted two raters, found "{shown(rater_a)}" twice')
    place = [cells.rater == raters.index(who) for who in (rater_a, rater_b)]
    _, first, second = np.intersect1d(cells.item[place[0]], cells.item[place[1]], return_indices=True)
    given = np.stack([cells.value[place[0]][first], cells.value[place[1]][second]])
    used, codes = np.unique(given, return_inverse=True)
    codes = codes.reshape(given.shape)
    table = np.bincount(codes[0] * len(used) + codes[1], minlength=len(used) ** 2).astype(np.int64)
    return table.reshape(len(used), len(used)), cells.values.gather(used)
