"""Values as positions on a scale: numbers, or names in a given order; anything else is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.errors import TableError


def scale(values: pl.Series, used: Ints, level: str, order: Sequence[str] | None) -> Floats:
    """The position of each value on the scale of a level of measurement.

    Args:
        values: Distinct values (V,).
        used: The values in use, as indices.
        level: nominal, ordinal, interval or ratio.
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
    position[used] = _ordered(values.gather(used), order) if order is not None else _numbers(values.gather(used), level)
    if level == "ratio" and len(used) and position[used].min() < 0:
        found = ", ".join(str(v) for v in values.gather(used[position[used] < 0]).head(4))
        raise TableError(
            f"alpha at the ratio level needs values of at least 0 (a ratio to the true zero); found {found}; "
            f"use level interval."
        )
    return position


def _ordered(used: pl.Series, order: Sequence[str]) -> Floats:
    names = [str(name) for name in order]
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


def _numbers(used: pl.Series, level: str) -> Floats:
    """The values as finite floats, strictly."""
    numbers = used.cast(pl.Float64, strict=False)
    bad = used.filter(~numbers.is_finite().fill_null(False)).cast(pl.String).to_list()
    if bad:
        mend = "give order= (names from lowest to highest), " if level == "ordinal" else ""
        raise TableError(
            f"alpha at the {level} level reads every value as a number; {len(bad)} of {len(used)} distinct values "
            f'are not: {_shown(bad)}; {mend}use a column of numbers (e.g. value="value_num"), or level nominal.'
        )
    return numbers.to_numpy()


def _shown(texts: list[str]) -> str:
    listed = ", ".join(f'"{shown(text)}"' for text in texts[:5])
    return listed + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
