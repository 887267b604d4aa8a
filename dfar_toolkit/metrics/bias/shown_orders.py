"""Outputs for the same items with the options shown in several orders: what position bias is read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Codes

_BETWEEN: Final = "\x1f"  # joins option names into one key


class ShownOrders(NamedTuple):
    """Answers of I items, E in all, sorted by item and order; items with one order only are left out.

    ``item`` (E,) index of the item; ``items`` (I,) ids; ``shown`` (E, K) codes of the options by position, into
    ``names``; ``answer`` (E,) code of the answer, -1 where there is none; ``position`` (E,) its position from 0, -1
    where it stands at none (no answer, or a neutral one); ``probs`` (E, K) by position, renormalised, or None;
    ``gold`` (I,) code, -1 where unknown; ``groups`` (I,) or None; ``note`` says what was left out.
    """

    item: Codes
    items: pl.Series
    shown: Codes
    answer: Codes
    position: Codes
    probs: Floats | None
    gold: Codes | None
    names: tuple[str, ...]
    groups: pl.Series | None
    note: str

    @property
    def starts(self) -> Codes:
        """Where each item's answers begin (I,)."""
        return np.flatnonzero(np.diff(self.item, prepend=-1)).astype(np.int64)

    def per_item(self, values: npt.ArrayLike) -> Floats:
        """Sums over each item's answers: (E, ...) to (I, ...)."""
        x = np.asarray(values, dtype=np.float64)
        if not len(self.items):
            return np.zeros((0, *x.shape[1:]))
        added: Floats = np.add.reduceat(x, self.starts, axis=0)
        return added

    @property
    def n_orders(self) -> Floats:
        """Number of orders each item was shown in (I,)."""
        return self.per_item(np.ones(len(self.item)))

    def complete(self) -> npt.NDArray[np.bool_]:
        """Items answered in every order (I,)."""
        return np.asarray(self.per_item(self.answer < 0) == 0)

    def same(self) -> npt.NDArray[np.bool_]:
        """Items with one and the same answer, an answer, in every order (I,)."""
        return self._constant(self.answer)

    def stuck(self) -> Codes:
        """The position that every answer of an item stands at although the answers differ; -1 where there is none."""
        held = self._constant(self.position) & ~self.same()
        return np.where(held, self.position[self.starts], -1).astype(np.int64)

    def _constant(self, codes: Codes) -> npt.NDArray[np.bool_]:
        if not len(self.items):
            return np.zeros(0, dtype=bool)
        low = np.minimum.reduceat(codes, self.starts)
        high = np.maximum.reduceat(codes, self.starts)
        return np.asarray((low == high) & (low >= 0))


def read_orders(
    name: str,
    frame: pl.DataFrame,
    *,
    item: str = "item_id",
    options: str = "options",
    pred: str = "label",
    probs: str | None = None,
    gold: str | None = None,
    group: str | None = None,
    neutral: Sequence[str] = (),
) -> ShownOrders:
    """Check and sort answers under permuted options.

    Args:
        name: Function named in errors.
        frame: One row per item and order.
        item: Column of the item.
        options: Column with the list of options in the order shown.
        pred: Column with the option answered, by name; null is no answer.
        probs: Column with the list of probabilities in the order of ``options``; null where unknown.
        gold: Column with the item's gold option.
        group: Column with the resampling unit; None means ``group`` where the frame has it, else the item.
        neutral: Answers that stand at no position ("tie").

    Returns:
        The answers of items shown in two orders or more.

    Raises:
        TableError: Orders of one item that are not permutations of the same options, an order twice for an item, an
            answer that is no option, numbers of options that differ between items, gold or group that is not constant.
        ValueError: A column is missing.
    """
    group = "group" if group is None and "group" in frame.columns else group
    wanted = {"item": item, "options": options, "pred": pred, "probs": probs, "gold": gold, "group": group}
    for role, column in wanted.items():
        if column is not None and column not in frame.columns:
            found = ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'{name}: the frame has no column "{column}" for {role}; found {found}')
    if not isinstance(frame.schema[options], pl.List | pl.Array):
        raise ValueError(f"{name}: {options} must hold lists of option names, found {frame.schema[options]}")
    table = frame.select(**{role: pl.col(c) for role, c in wanted.items() if c is not None})
    table = table.with_columns(
        pl.col("item").cast(pl.String), pl.col("options").cast(pl.List(pl.String)), pl.col("pred").cast(pl.String)
    ).with_columns(order=pl.col("options").list.join(_BETWEEN), of=pl.col("options").list.sort().list.join(_BETWEEN))
    _check(name, table, list(neutral))
    k = int(table["options"].list.len()[0]) if len(table) else 0
    ids = table.group_by("item").len()
    single = ids.filter(pl.col("len") < 2)
    table = table.join(single, on="item", how="anti").sort("item", "order")
    note = f"{len(single)} of {len(ids)} items shown in one order only left out" if len(single) else ""
    return _coded(name, table, k, tuple(neutral), note)


def _check(name: str, table: pl.DataFrame, neutral: list[str]) -> None:
    size = pl.col("options").list.len()
    faults = {
        "have no item or no list of options": pl.col("item").is_null() | pl.col("of").is_null(),
        "name an option twice": pl.col("options").list.n_unique() < size,
        "are not permutations of one set of options": pl.col("of").n_unique().over("item") > 1,
        "show an order of an item a second time (keep one sample of each)": pl.struct("item", "order").is_duplicated(),
        "answer what is no option": ~pl.col("options").list.contains(pl.col("pred")) & ~pl.col("pred").is_in(neutral),
    }
    if "probs" in table.columns:
        faults["have probabilities that do not fit the options"] = pl.col("probs").list.len() != size
    for role in ("gold", "group"):
        if role in table.columns:
            faults[f"have another {role} than other rows of the item"] = pl.col(role).n_unique().over("item") > 1
    for what, fault in faults.items():
        bad = table.filter(fault.fill_null(False))
        if len(bad):
            raise TableError(f"{name}: {len(bad)} rows {what}, e.g. item {bad['item'][0]!r}.")
    widths = table["options"].list.len().unique().sort()
    if len(widths) > 1:
        raise TableError(
            f"{name}: all items need the same number of options, found {', '.join(map(str, widths))}; score the items "
            "of each number apart."
        )


def _coded(name: str, table: pl.DataFrame, k: int, neutral: tuple[str, ...], note: str) -> ShownOrders:
    flat = table["options"].explode(empty_as_null=False)
    names = tuple(pl.concat([flat, pl.Series(neutral, dtype=pl.String)]).unique().sort())
    kind = pl.Enum(names)
    shown = flat.cast(kind).to_physical().cast(pl.Int64).to_numpy().reshape(len(table), k)
    answer = table["pred"].cast(kind).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    at = shown == answer[:, None]
    items = table["item"].unique().sort()
    first = table.unique("item", keep="first", maintain_order=True)
    gold = None
    if "gold" in table.columns:
        text = first["gold"].cast(pl.String)
        gold = text.cast(kind, strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return ShownOrders(
        item=(table["item"].rank("dense").cast(pl.Int64) - 1).to_numpy(),
        items=items,
        shown=shown,
        answer=answer,
        position=np.where(at.any(axis=1), at.argmax(axis=1) if k else 0, -1).astype(np.int64),
        probs=_probabilities(name, table, k) if "probs" in table.columns else None,
        gold=gold,
        names=names,
        groups=first["group"] if "group" in table.columns else None,
        note=note,
    )


def _probabilities(name: str, table: pl.DataFrame, k: int) -> Floats:
    """Probabilities (E, K) by position that sum to 1; a null list is a row of ``nan``."""
    probs = np.full((len(table), k), np.nan)
    known = table["probs"].is_not_null()
    flat = table["probs"].drop_nulls().explode(empty_as_null=False).cast(pl.Float64)
    probs[known.to_numpy()] = flat.to_numpy().reshape(int(known.sum()), k)
    given = probs[known.to_numpy()]
    bad = ~(np.isfinite(given) & (given >= 0)).all(axis=1) | ~(given.sum(axis=1) > 0)
    if bad.any():
        where = table.filter(known)["item"].gather(np.flatnonzero(bad)[:1])[0]
        raise TableError(
            f"{name}: probabilities must be numbers of at least 0 with a positive sum; {int(bad.sum())} rows are not, "
            f"e.g. item {where!r}."
        )
    shares: Floats = probs / probs.sum(axis=1, keepdims=True)
    return shares
