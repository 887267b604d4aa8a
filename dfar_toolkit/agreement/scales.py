"""Values as positions on a scale: numbers, or names in a given order; anything else is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.errors import TableError

_LARGEST: Final = 1e150  # its square, times a number of ratings, is still a float
_SMALLEST: Final = 1e-150  # likewise

ORDER: Final = "give order= (names from lowest to highest), "


def scale(values: pl.Series, used: Ints, level: str, order: Sequence[str] | None) -> Floats:
    """The position of each value on the scale of a level of measurement.

    Args:
        values: Distinct values (V,).
        used: The values in use, as indices.
        level: nominal, ordinal, interval, ratio, circular or bipolar.
        order: Names from lowest to highest, for ordinal text.

    Returns:
        Positions (V,); ``nan`` for values not in use. At the nominal level the indices.

    Raises:
        TableError: A value in use is not a number, not in ``order``, or negative at the ratio level.
        ValueError: ``order`` at another level than ordinal, or with a name twice.
    """
    if order is not None and level != "ordinal":
        raise ValueError(f"krippendorff_alpha: order is for level ordinal, found level {level!r}; leave order away")
    if level == "nominal":
        return np.arange(len(values), dtype=np.float64)
    position = np.full(len(values), np.nan)
    if order is not None:
        position[used] = _ordered(values.gather(used), order)
    else:
        mend = ORDER if level == "ordinal" else ""
        what = f"alpha at the {level} level"
        position[used] = numbers_of(values.gather(used), what, mend=mend, squared=level == "interval")
    if level == "ratio" and len(used) and position[used].min() < 0:
        found = ", ".join(str(v) for v in values.gather(used[position[used] < 0]).head(4))
        raise TableError(
            f"alpha at the ratio level needs values of at least 0 (a ratio to the true zero); found {found}; "
            f"use level interval."
        )
    return position


def texts_of(names: Sequence[object], values: pl.Series) -> list[str]:
    """Names given by the caller, as ``values`` print theirs: 1 and True are "1" among integers, "1.0" among floats."""
    if not values.dtype.is_numeric():
        return [str(name) for name in names]
    given = pl.Series([str(_whole(name)) for name in names], dtype=pl.String)
    return given.cast(values.dtype, strict=False).cast(pl.String).fill_null(given).to_list()


def _whole(name: object) -> object:
    return int(name) if isinstance(name, bool | np.bool_ | float) and float(name).is_integer() else name


def reading_order(values: pl.Series) -> Ints:
    """The places of sorted values (V,) in the order of a matrix's rows: texts that are all numbers go by number."""
    if values.dtype == pl.String and len(values):
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.is_finite().fill_null(False).all():
            return np.argsort(numbers.to_numpy(), kind="stable").astype(np.int64)
    return np.arange(len(values), dtype=np.int64)


def _ordered(used: pl.Series, order: Sequence[str]) -> Floats:
    names = texts_of(order, used)
    if len(set(names)) < len(names):
        raise ValueError(f"krippendorff_alpha: order names a value twice: {', '.join(names)}")
    rank = {name: float(i) for i, name in enumerate(names)}
    texts = used.cast(pl.String).to_list()
    lost = [text for text in texts if text not in rank]
    if lost:
        raise TableError(
            f"order must name every value in use; found {_shown(lost)} beside {_shown(names)}; add what is missing."
        )
    return np.array([rank[text] for text in texts])


def numbers_of(values: pl.Series, what: str, *, mend: str = ORDER, squared: bool = True) -> Floats:
    """Values as finite floats, strictly; refused with words that say what needs numbers and how to mend it.

    Args:
        values: Distinct values (V,).
        what: What needs numbers, as an error names it.
        mend: What an error advises first.
        squared: Whether the numbers' differences are squared, which takes numbers below 1e150 and a spread above
            1e-150.

    Returns:
        The numbers (V,).

    Raises:
        TableError: A value is no finite number, whole numbers above 2^53 fall together, or squares do not fit.
    """
    numbers = values.cast(pl.Float64, strict=False)
    bad = values.filter(~numbers.is_finite().fill_null(False)).cast(pl.String).to_list()
    if bad:
        raise TableError(
            f"{what} reads every value as a number; {len(bad)} of {len(values)} distinct values "
            f'are not: {_shown(bad)}; {mend}use a column of numbers (e.g. value="value_num"), or level nominal.'
        )
    if values.dtype.is_integer() and numbers.n_unique() < values.n_unique():
        raise TableError(
            f"{what}: {int(numbers.is_duplicated().sum())} distinct whole numbers above 2^53 cannot be told apart as "
            f"numbers; subtract an offset."
        )
    found = numbers.to_numpy()
    if squared and len(found):
        _refuse_squares(found, what)
    return found


def _refuse_squares(x: Floats, what: str) -> None:
    if np.abs(x).max() >= _LARGEST:
        raise TableError(f"{what}: numbers of 1e150 and more cannot be squared; divide them by a constant.")
    if 0 < x.max() - x.min() < _SMALLEST:
        raise TableError(
            f"{what}: numbers that differ by less than 1e-150 cannot be squared; multiply them by a constant."
        )


def _shown(texts: list[str]) -> str:
    listed = ", ".join(f'"{shown(text)}"' for text in texts[:5])
    return listed + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")


def in_order(counts: Counts, x: Floats) -> Counts:
    """The counts with only the values in use, in the order of their numbers ``x`` (V,), equal numbers as one value."""
    used = counts.codes_in_use
    position, place = np.unique(x[used], return_inverse=True)
    codes = np.zeros(len(x), dtype=np.int64)
    codes[used] = place
    code = codes[counts.code]
    order = np.argsort(counts.pattern * len(position) + code, kind="stable")
    return replace(counts, values=pl.Series(position), code=code[order], count=counts.count[order])
