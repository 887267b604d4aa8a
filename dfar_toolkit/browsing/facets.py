"""How many items each value of a facet would leave: counts under the filter with that facet itself left free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.browsing.filter_conditions import Mask, combined, condition_masks
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex

_COLUMNS: Final = {
    "gold": ("label", ""),
    "config": ("config", ""),
    "source": ("source", ""),
    "split": ("split", ""),
    "leak": ("leak_kind", NO_LEAK),
}
_BY_RUN: Final = {"prediction": "answer", "state": "state"}
_SCHEMA: Final = {"facet": pl.String, "run": pl.String, "value": pl.String, "count": pl.Int64, "chosen": pl.Boolean}


class _Codes(NamedTuple):
    """A facet's names, and the code of each of its rows; ``rows`` is None where there is one for each item."""

    names: list[str]
    codes: np.ndarray[tuple[int], np.dtype[np.int32]]
    rows: np.ndarray[tuple[int], np.dtype[np.int32]] | None


def facet_names(index: ItemIndex) -> list[tuple[str, str]]:
    """Every facet as field of the filter and run (empty where it is about none); configs where there are several."""
    several = len(index.names("config")) > 1
    columns = [field for field in _COLUMNS if field != "config" or several]
    plain = [(field, "") for field in (*columns, "given", "annotator", "finding")]
    return plain + [(field, run) for run in index.runs for field in _BY_RUN]


def facets(index: ItemIndex, wanted: ItemFilter, *, only: Sequence[tuple[str, str]] | None = None) -> pl.DataFrame:
    """Counts of items per value of every facet.

    Each count says how many items the filter would let through if, of this facet, this value alone were chosen:
    everything else of the filter holds, what is chosen of the facet itself does not. An item counts once for each
    value that somebody gave, each annotator and each finding.

    Args:
        index: The items.
        wanted: The filter.
        only: Facets wanted, as :func:`facet_names` gives them; None means all.

    Returns:
        ``facet`` (field of the filter), ``run``, ``value``, ``count``, ``chosen`` (is it part of the filter), in the
        order of the facets and of their names. Values that no item has are left out, unless chosen.

    Raises:
        ValueError: A name or pattern in the filter that the index does not know.
    """
    masks = condition_masks(wanted, index)
    whole = combined(list(masks.values()), len(index))
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for field, run in facet_names(index) if only is None else only:
        key = f"{field} {run}" if run else field
        others = [mask for name, mask in masks.items() if name != key]
        mask = combined(others, len(index)) if key in masks else whole
        chosen = getattr(wanted, field)
        picked = {value for r, value in chosen if r == run} if run else set(chosen)
        parts.append(_counts(_codes(index, field, run), mask, picked, field, run))
    return pl.concat(parts)


def _counts(coded: _Codes, mask: Mask, picked: set[str], field: str, run: str) -> pl.DataFrame:
    kept = coded.codes[mask if coded.rows is None else mask[coded.rows]]
    counts = np.bincount(kept, minlength=len(coded.names))
    frame = pl.DataFrame(
        {
            "facet": pl.repeat(field, len(coded.names), dtype=pl.String, eager=True),
            "run": pl.repeat(run, len(coded.names), dtype=pl.String, eager=True),
            "value": pl.Series(coded.names, dtype=pl.String),
            "count": counts.astype(np.int64),
            "chosen": pl.Series([name in picked for name in coded.names], dtype=pl.Boolean),
        }
    )
    return frame.filter((pl.col("count") > 0) | pl.col("chosen"))


def _codes(index: ItemIndex, field: str, run: str) -> _Codes:
    """The codes of a facet, remembered."""
    return index.remembered(f"codes {field} {run}", lambda: _coded(index, field, run))


def _coded(index: ItemIndex, field: str, run: str) -> _Codes:
    if field in ("given", "annotator"):
        long = index.ratings().long
        return _of_long(long, "value" if field == "given" else "annotator_id")
    if field == "finding":
        return _of_long(index.findings(), "finding")
    column, nothing = (f"{_BY_RUN[field]} {run}", None) if run else _COLUMNS[field]
    values = index.column(column)
    names = index.names(column)
    # What has no value goes to a last code of its own; a run that gave no answer is a state, not a prediction.
    codes = values.to_physical().cast(pl.Int32).fill_null(len(names)).to_numpy()
    if nothing is None:
        present = np.flatnonzero(codes < len(names)).astype(np.int32)
        return _Codes(names, codes[present], present) if len(present) < len(codes) else _Codes(names, codes, None)
    return _Codes([*names, nothing], codes, None)


def _of_long(long: pl.DataFrame, column: str) -> _Codes:
    """Codes of rows of which an item may have several, each of its values once."""
    names = enum_names(long[column])
    key = long["row"].cast(pl.Int64) * max(1, len(names)) + long[column].to_physical().cast(pl.Int64)
    distinct = key.unique().sort().to_numpy()
    rows, codes = np.divmod(distinct, max(1, len(names)))
    return _Codes(names, codes.astype(np.int32), rows.astype(np.int32))
