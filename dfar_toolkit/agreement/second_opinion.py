"""Krippendorff's alpha once more, by the krippendorff package: a second opinion on our own number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

PackageLevel = Literal["nominal", "ordinal", "interval", "ratio"]


def package_alpha(
    ratings: pl.DataFrame,
    *,
    level: PackageLevel,
    order: Sequence[str] | None = None,
    item: str = "item_id",
    value: str = "value",
) -> float:
    """Alpha as the krippendorff package computes it from the table of counts (items by values).

    Args:
        ratings: One row per rating; null is a missing one.
        level: Level of measurement. Above nominal, values are numbers unless ``order`` names them.
        order: Values from lowest to highest, for ordinal words.
        item: Column of the item.
        value: Column of the value.

    Returns:
        Alpha.

    Undefined:
        ``nan`` where the package raises or gives nan: fewer than two values in use, or nothing to pair.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["a", "a", "b", "b"], "value": ["x", "x", "x", "y"]})
        >>> package_alpha(rows, level="nominal")
        0.0
    """
    import krippendorff

    rated = ratings.select(pl.col(item).alias("item"), pl.col(value).cast(pl.String).alias("value")).drop_nulls()
    if level == "nominal" or order is not None:
        present = set(rated["value"].unique())
        names = [v for v in order if v in present] if order is not None else sorted(present)
        domain: list[float] = [float(i) for i in range(len(names))]
        codes = rated["value"].replace_strict(names, list(range(len(names))), return_dtype=pl.Int64)
    else:
        numbers = rated["value"].cast(pl.Float64)
        domain = sorted(numbers.unique())
        codes = numbers.replace_strict(domain, list(range(len(domain))), return_dtype=pl.Int64)
    if len(domain) < 2:
        return float("nan")
    rows = (rated["item"].rank("dense") - 1).to_numpy()
    counts = np.zeros((int(rows.max()) + 1, len(domain)), dtype=np.int64)
    np.add.at(counts, (rows, codes.to_numpy()), 1)
    try:
        return float(krippendorff.alpha(value_counts=counts, value_domain=domain, level_of_measurement=level))
    except ValueError:  # the package's word for nothing to pair
        return float("nan")
