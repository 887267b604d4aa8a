"""Subgroups named beforehand: partitions of items by label, source, split, leak, length, disagreement, group size.

Where bands end depends on the items alone, never on what anybody answered.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.group_codes import coded_groups
from dfar_toolkit.browsing.item_filter import NO_LEAK, ItemFilter
from dfar_toolkit.browsing.unit_sums import Codes

_NAMES: Final = 12  # of a facet with many values the commonest are shown
_FACETS: Final = (
    ("label", "gold", ""),
    ("source", "source", ""),
    ("split", "split", ""),
    ("leak_kind", "leak", NO_LEAK),
)
_PARTED: Final = (("people agree", 0.0), ("people are split", 0.5), ("people are far apart", 1.0))
_SIZES: Final = (("alone in its group", 1), ("one of 2 to 4 in its group", 4), ("one of 5 or more in its group", None))
COLUMNS: Final = ("label", "source", "split", "leak_kind", "length", "disagreement")


class Subgroup(NamedTuple):
    """What it is about, its words, and the filter that opens it; None where no filter can."""

    about: str
    words: str
    wanted: ItemFilter | None


class Partition(NamedTuple):
    """Subgroups that no item is in two of, and the place in the list of each item's own (n,), -1 for none."""

    subgroups: list[Subgroup]
    cells: Codes


def partitions(frame: pl.DataFrame, groups: pl.Series) -> list[Partition]:
    """All partitions of items; one that parts nothing is left out.

    Args:
        frame: ``COLUMNS`` of every item.
        groups: The group of every item.
    """
    found = [_facet(frame[column], field, nothing) for column, field, nothing in _FACETS]
    found += [_lengths(frame["length"]), _disagreements(frame["disagreement"]), _sizes(groups)]
    return [one for one in found if len(one.subgroups) > 1]


def _facet(values: pl.Series, field: str, nothing: str) -> Partition:
    values = values.cast(pl.String)
    values = values.fill_null(nothing) if nothing else values
    counted = values.drop_nulls().alias("name").value_counts(name="n").sort("n", "name", descending=[True, False])
    names = counted["name"].head(_NAMES).to_list()
    filters = [ItemFilter.from_query({field: [name]})[0] for name in names]
    places = {name: place for place, name in enumerate(names)}
    cells = values.replace_strict(places, default=-1, return_dtype=pl.Int64) if names else values.cast(pl.Int64)
    return Partition([Subgroup(field, " and ".join(f.words()), f) for f in filters], _codes(cells))


def _codes(cells: pl.Series) -> Codes:
    return cells.fill_null(-1).cast(pl.Int64).to_numpy()


def _lengths(lengths: pl.Series) -> Partition:
    """Quarters of the characters of the statement."""
    known = lengths.to_numpy()
    edges = sorted({int(np.quantile(known, q)) for q in (0.25, 0.5, 0.75)}) if len(known) else []
    cells = np.searchsorted(np.array(edges, dtype=np.int64), known).astype(np.int64)
    return _bands("length", cells, known, ["" for _ in range(len(edges) + 1)])


def _disagreements(disagreement: pl.Series) -> Partition:
    """Nobody differs; up to half of the pairs of people do; more do."""
    known = disagreement.fill_null(np.nan).to_numpy()
    cells = np.where(np.isnan(known), -1, np.searchsorted(np.array([0.0, 0.5]), known)).astype(np.int64)
    return _bands("disagreement", cells, known, [words for words, _ in _PARTED])


def _bands(about: str, cells: Codes, values: npt.NDArray[Any], words: list[str]) -> Partition:
    """Each band as the filter from its smallest value to its largest; bands without items are left out."""
    subgroups: list[Subgroup] = []
    places = np.full(len(words) + 1, -1, dtype=np.int64)  # the last place is that of -1
    for place, said in enumerate(words):
        inside = values[cells == place]
        if len(inside):
            places[place] = len(subgroups)
            ends = (inside.min().item(), inside.max().item())
            wanted = ItemFilter(length=ends) if about == "length" else ItemFilter(disagreement=ends)
            subgroups.append(Subgroup(about, _band_words(about, said, ends), wanted))
    return Partition(subgroups, places[cells])


def _band_words(about: str, said: str, ends: tuple[float, float]) -> str:
    low, high = (round(end, 3) for end in ends)
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{span} characters" if about == "length" else f"{said} (disagreement {span})"


def _sizes(groups: pl.Series) -> Partition:
    """How many of the items looked at belong together."""
    codes = (groups if groups.dtype.is_integer() else coded_groups(groups)).to_numpy()
    sizes = np.bincount(codes)[codes] if len(codes) else codes
    cells = np.searchsorted(np.array([1, 4]), sizes).astype(np.int64)
    present = [place for place in range(len(_SIZES)) if (cells == place).any()]
    places = np.full(len(_SIZES), -1, dtype=np.int64)
    places[present] = np.arange(len(present))
    return Partition([Subgroup("group size", _SIZES[place][0], None) for place in present], places[cells])
