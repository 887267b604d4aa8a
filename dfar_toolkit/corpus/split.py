"""A new split that no group straddles, stratified by label, the same for the same seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dfar_toolkit.errors import TableError

SPLIT_NAME: Final = re.compile(r"^\w+(\.\w+)*$")  # what the Hub accepts; "all" is reserved there
DEFAULT_SIZES: Final[Mapping[str, float]] = {"train": 0.9, "test": 0.1}

_SHARE: Final = 1e-9  # shares that differ by less differ by rounding
_Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupedSplit:
    """The split of every item, and how far sizes and label mix were met.

    ``frame`` has ``item_id, split`` in the order of the items; ``achieved`` has ``split, label, count, wanted`` (label
    null for items without one), ``wanted`` being the size asked for times the label's share of all items.
    """

    frame: pl.DataFrame
    achieved: pl.DataFrame
    note: str


def grouped_split(
    items: pl.DataFrame, *, sizes: Mapping[str, float] | None = None, group: str = "group", seed: int = 0
) -> GroupedSplit:
    """Deal whole groups into splits so that sizes and the mix of labels come as near as whole groups allow.

    Groups of several items are dealt first, the largest first, each to the split where it lowers the squared
    distance of label counts from their targets most, ``sum_l (g_l^2 - 2 g_l d_sl) / T_sl`` with ``g_l`` the group's
    count of label l, ``T_sl`` the target and ``d_sl`` what is still wanted. Groups of one item then fill what is left
    of each label exactly. Ties fall by a permutation of the group names that the seed decides, so the result does not
    depend on the order of rows. Items without a label are a stratum of their own. Item ids do not change.

    Args:
        items: ``item_id``, ``label`` and the group column, (n,).
        sizes: Split name to share (floats that add to 1) or to count (whole numbers that add to n);
            .9 train and .1 test by default.
        group: Column that must not straddle splits.
        seed: Decides which groups go where.

    Returns:
        GroupedSplit, frame (n, 2).

    Raises:
        ValueError: Sizes that do not add up, are not positive, or names that the Hub refuses.
        TableError: A column is missing, or a group is null.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q", "r", "s"], "group": ["p", "p", "r", "s"], "label": ["a"] * 4})
        >>> grouped_split(items, sizes={"train": 0.5, "test": 0.5}).frame["split"].to_list()
        ['train', 'train', 'test', 'test']

    Reference:
        Sechidis, Tsoumakas, Vlahavas 2011, On the stratification of multi-label data (the idea of serving the
        split that lacks most).
    """
    lost = [c for c in ("item_id", "label", group) if c not in items.columns]
    if lost:
        raise TableError(f'a grouped split needs the column "{lost[0]}"; found {", ".join(items.columns)}.')
    if items[group].null_count():
        raise TableError(f"a grouped split needs a group for every item; found {items[group].null_count()} without.")
    chosen = DEFAULT_SIZES if sizes is None else sizes
    wanted = _counts(chosen, items.height)
    names, counts, labels = _label_counts(items, group, seed)
    target = np.outer(wanted, counts.sum(axis=0)) / max(items.height, 1)
    deal = _deal(counts, target)
    splits = list(chosen)
    table = pl.DataFrame({group: names, "split": [splits[s] for s in deal]}, schema_overrides={"split": pl.String})
    frame = items.select("item_id", group).join(table, on=group, how="left", maintain_order="left")
    held = np.stack([counts[deal == s].sum(axis=0) for s in range(len(splits))])
    achieved = pl.DataFrame(
        {
            "split": np.repeat(splits, len(labels)),
            "label": labels * len(splits),
            "count": held.ravel().astype(np.int64),
            "wanted": target.ravel(),
        },
        schema_overrides={"label": pl.String},
    )
    sums = "; ".join(
        f"{s}: {int(h)} items, {w} wanted" for s, h, w in zip(splits, held.sum(axis=1), wanted, strict=True)
    )
    return GroupedSplit(frame.select("item_id", "split"), achieved, sums)


def completed_sizes(asked: Mapping[str, float], published: Mapping[str, float]) -> dict[str, float]:
    """The share of every split: those asked for, the rest dealt to the other published splits in proportion.

    Args:
        asked: Split to share; may leave splits out.
        published: Split to share as published.

    Raises:
        TableError: There would be one split only, or the shares do not fit into one.

    Example:
        >>> completed_sizes({"test": 0.2}, {"train": 0.6, "dev": 0.2, "test": 0.2})
        {'train': 0.6, 'dev': 0.2, 'test': 0.2}
        >>> completed_sizes({"test": 0.2}, {"train": 1.0})
        {'train': 0.8, 'test': 0.2}
    """
    rest = 1 - sum(asked.values())
    others = {split: share for split, share in published.items() if split not in asked}
    if asked and not others and rest > _SHARE:
        others = {"train": 1.0}
    if rest < -_SHARE or (others and rest <= _SHARE) or any(share <= 0 for share in asked.values()):
        given = ", ".join(f"{split}={share:g}" for split, share in asked.items())
        raise TableError(
            f"a grouped split needs shares above 0 that leave room for {', '.join(others)}; found {given}."
        )
    total = sum(others.values())
    sizes = {split: round(rest * share / total, 12) for split, share in others.items()} | dict(asked)
    if len(sizes) < 2:
        raise TableError(
            f"a grouped split needs two splits or more, the data have {', '.join(sizes)} only: give --size test=0.2"
        )
    order = [*published, *(split for split in sizes if split not in published)]
    return {split: sizes[split] for split in order if split in sizes}


def _counts(sizes: Mapping[str, float], n: int) -> list[int]:
    """Whole numbers of items per split, by largest remainder where shares are given."""
    bad = [s for s in sizes if not SPLIT_NAME.fullmatch(s) or s == "all"]
    if bad or not sizes:
        raise ValueError(f'grouped_split: split names are words, not "all"; found {bad or "none"}.')
    values = list(sizes.values())
    if not min(values) > 0:
        raise ValueError(f"grouped_split: every size must be above 0; found {dict(sizes)}.")
    if sum(values) == n and all(float(v).is_integer() for v in values):
        return [int(v) for v in values]
    if not abs(sum(values) - 1) <= 1e-9:
        raise ValueError(
            f"grouped_split: sizes must be shares that add to 1 or counts that add to the {n} items; "
            f"found {sum(values):g} in {dict(sizes)}."
        )
    return [int(c) for c in _whole(np.array(values) * n, n)]


def _whole(wanted: _Matrix, total: int) -> NDArray[np.int64]:
    """Whole numbers that add to ``total``, floors first, then the largest remainders."""
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    missing = total - int(whole.sum())
    order = np.argsort(-(wanted - whole), kind="stable")
    whole[order[:missing]] += 1
    return whole


def _label_counts(items: pl.DataFrame, group: str, seed: int) -> tuple[list[str], _Matrix, list[str | None]]:
    """Group names in an order that only the seed decides, their counts per label (groups, labels), the labels."""
    labels = items["label"].cast(pl.String).unique().sort().to_list()
    code = {label: k for k, label in enumerate(labels)}
    plain = items.select(pl.col(group).alias("group"), pl.col("label").cast(pl.String))
    table = plain.group_by("group", "label").len().sort("group", "label")
    names = table["group"].unique().sort()
    order = np.random.default_rng(seed).permutation(names.len())
    place = pl.DataFrame({"group": names.gather(order)}).with_row_index("row")
    rows = table.join(place, on="group", how="left", maintain_order="left")
    counts = np.zeros((names.len(), len(labels)))
    counts[rows["row"].to_numpy(), [code[label] for label in rows["label"]]] = rows["len"].to_numpy()
    return place["group"].to_list(), counts, labels


def _deal(counts: _Matrix, target: _Matrix) -> NDArray[np.int64]:
    """Which split each group goes to, (groups,)."""
    deal = np.zeros(len(counts), dtype=np.int64)
    left = target.copy()
    size = counts.sum(axis=1)
    used = np.flatnonzero(target.sum(axis=1) > 0)  # a share of a few items may round to none
    for row in np.argsort(-size, kind="stable"):
        if size[row] < 2:
            break
        g = counts[row]
        held = np.flatnonzero(g)
        wanted = target[np.ix_(used, held)]
        cost = ((g[held] ** 2 - 2 * g[held] * left[np.ix_(used, held)]) / wanted).sum(axis=1)
        deal[row] = used[int(np.argmin(cost))]
        left[deal[row]] -= g
    carry = np.zeros(len(target))
    for label in range(counts.shape[1]):
        alone = np.flatnonzero((size == 1) & (counts[:, label] == 1))
        need = np.maximum(left[:, label] + carry, 0)
        share = need * (len(alone) / need.sum()) if need.sum() > 0 else target[:, label] * len(alone) / size.sum()
        whole = _whole(share, len(alone))
        carry = left[:, label] + carry - whole
        deal[alone] = np.repeat(np.arange(len(target)), whole)
    return deal
