"""Groups of items that are not independent: the unit of splitting and of resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dfar_toolkit.corpus.records import context_key, exact_key
from dfar_toolkit.errors import TableError

SMALLEST_CAP: Final = 20  # items; 1 % of a small set would be less than one pair


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of every item, and whether near-duplicate links had to be left out.

    ``frame`` has ``item_id, group`` in the order of the items; ``largest`` is the number of items of the largest
    group, ``cap`` the size above which near links are left out, ``largest_with_near`` its size with them.
    """

    frame: pl.DataFrame
    n_groups: int
    largest: int
    cap: int
    near_used: bool
    largest_with_near: int
    note: str

    @property
    def report(self) -> dict[str, int | bool | str]:
        """The numbers without the frame, for a manifest."""
        return {
            "n_groups": self.n_groups,
            "largest": self.largest,
            "cap": self.cap,
            "near_used": self.near_used,
            "largest_with_near": self.largest_with_near,
            "note": self.note,
        }


def item_groups(items: pl.DataFrame, near: pl.DataFrame | None = None, *, max_share: float = 0.01) -> Groups:
    """Connected components of items that share a stem, a context, a contrast pair or a text, or are near duplicates.

    Links: equal ``stem``, ``context_key`` (or, without that column, the same normalised context) and
    ``contrast_key`` where these columns are present and not null; equal normalised statement with context; the pairs
    of ``near``. Components are single linkage and can chain: when near links make the largest hold more than
    ``max(max_share * n, 20)`` items, they are left out, and ``note`` says so. A group is named by its
    smallest item id, so the name does not depend on the order of rows.

    Args:
        items: ``item_id``, ``statement`` and the key columns, (n,).
        near: Columns ``a, b`` of item ids, as ``near_record_pairs`` gives them.
        max_share: Largest share of all items in one group before near links are left out.

    Returns:
        Groups, frame (n, 2).

    Raises:
        TableError: An item id occurs twice, or ``near`` names an unknown item.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q", "r"], "statement": ["I lied.", "i lied", "I paid."]})
        >>> item_groups(items).frame["group"].to_list()
        ['p', 'p', 'r']
    """
    ids = items.get_column("item_id")
    if ids.n_unique() != ids.len():
        twice = items.filter(ids.is_duplicated())["item_id"][0]
        raise TableError(f'groups want every item_id once; found "{twice}" more than once.')
    keys = [exact_key(items), context_key(items), *(pl.col(c) for c in ("stem", "contrast_key") if c in items.columns)]
    links = [_key_links(items, key) for key in keys]
    cap = max(int(max_share * ids.len()), SMALLEST_CAP)
    without = _components(ids.len(), links)
    chosen, largest_with_near, near_used = without, _largest(without), False
    if near is not None and near.height:
        everything = _components(ids.len(), [*links, _near_links(ids, near)])
        largest_with_near = _largest(everything)
        near_used = largest_with_near <= max(cap, _largest(without))
        chosen = everything if near_used else without
    table = _named(ids, chosen)
    note = f"largest group {_largest(chosen)} of {ids.len()} items"
    if near is not None and near.height and not near_used:
        note += f"; near-duplicate links left out, with them it would be {largest_with_near} (more than {cap})"
    n_groups = table["group"].n_unique()
    return Groups(table, n_groups, _largest(chosen), cap, near_used, largest_with_near, note)


def _key_links(items: pl.DataFrame, key: pl.Expr) -> NDArray[np.int64]:
    """Each row with the first row of the same key, (2, n linked); rows with a null key are linked to none."""
    rows = items.select(key.cast(pl.String).alias("key")).with_row_index("row").drop_nulls("key")
    rows = rows.with_columns(pl.col("row").min().over("key").alias("first")).filter(pl.col("row") != pl.col("first"))
    return rows.select("row", "first").to_numpy().T.astype(np.int64)


def _near_links(ids: pl.Series, near: pl.DataFrame) -> NDArray[np.int64]:
    place = pl.DataFrame({"id": ids}).with_row_index("row")
    found = []
    for side in ("a", "b"):
        joined = near.select(pl.col(side).alias("id")).join(place, on="id", how="left", maintain_order="left")
        if joined["row"].null_count():
            lost = joined.filter(pl.col("row").is_null())["id"][0]
            raise TableError(f'near pairs want ids of the items; found "{lost}", which no item has.')
        found.append(joined["row"].to_numpy().astype(np.int64))
    return np.stack(found)


def _components(n: int, links: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _largest(component: NDArray[np.int64]) -> int:
    return int(np.bincount(component).max()) if len(component) else 0


def _named(ids: pl.Series, component: NDArray[np.int64]) -> pl.DataFrame:
    table = pl.DataFrame({"item_id": ids, "component": component})
    return table.select("item_id", pl.col("item_id").min().over("component").alias("group"))
