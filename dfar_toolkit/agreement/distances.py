r"""How far two values are apart: Krippendorff's squared differences and Gwet's agreement weights, as tables.

With x the numbers behind the values, lowest $x_1$, highest $x_q$, ranks 1 to q:

    Krippendorff, $\delta$:  interval $(x - y)^2$;   ratio $((x - y) / (x + y))^2$;
    circular $\sin^2(\pi (x - y) / U)$;   bipolar $(x - y)^2 / ((x + y - 2 x_1)(2 x_q - x - y))$

    Gwet, $\delta = 1 - a$:  linear $|x - y| / (x_q - x_1)$;   quadratic its square;   radical its square root;
    ordinal $\binom{|r - s| + 1}{2}$;   ratio, circular, bipolar as above; each divided by its largest value
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Counts, Floats, Ints
from dfar_toolkit.agreement.ratings import shown
from dfar_toolkit.errors import TableError

Level = Literal["nominal", "ordinal", "interval", "ratio", "circular", "bipolar"]
WeightsName = Literal["linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar"]
Weights = WeightsName | Sequence[Sequence[float]] | Callable[[Any, Any], Any]
Distance = Sequence[Sequence[float]] | Callable[[Any, Any], Any]

LARGEST: Final = 2000  # distinct values up to which a table of all pairs is made


def distance_table(level: Level, x: Floats, *, bounds: tuple[float, float] | None = None) -> Floats:
    """Krippendorff's squared differences between numbers.

    Args:
        level: interval, ratio, circular or bipolar.
        x: The numbers (V,), sorted.
        bounds: Ends of the scale, for circular (where the highest value is followed by the lowest) and bipolar;
            None: the lowest and the highest of ``x``.

    Returns:
        Squared differences (V, V), 0 on the diagonal.
    """
    if len(x) > LARGEST:
        raise TableError(
            f"alpha at the {level} level compares all pairs of values and takes at most {LARGEST} distinct values; "
            f"found {len(x)}; round the values, or use level interval."
        )
    low, high = ends(x, bounds)
    a, b = x[:, None], x[None, :]
    if level == "interval":
        return np.square(a - b)
    if level == "ratio":
        return _ratio(a, b)
    if level == "circular":
        return np.square(np.sin(np.pi * (a - b) / (high - low + 1)))
    return _bipolar(a, b, low, high)


def ends(x: Floats, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """The ends of the scale: as given, else of the numbers (V,) in use."""
    low, high = bounds if bounds is not None else (float(x.min()), float(x.max())) if len(x) else (0.0, 0.0)
    if len(x) and not low <= x.min() <= x.max() <= high:
        raise TableError(
            f"bounds must hold every value; found {x.min():g} to {x.max():g} outside {low:g} to {high:g}; widen them."
        )
    return low, high


def disagreement_weights(weights: WeightsName, x: Floats) -> Floats:
    """Gwet's weights as disagreement (q, q), 0 on the diagonal, at most 1.

    Args:
        weights: Name of the weights.
        x: The numbers of all categories (q,), sorted.
    """
    low, high = (float(x[0]), float(x[-1])) if len(x) else (0.0, 0.0)
    rank = np.arange(len(x), dtype=np.float64)
    a, b = (rank[:, None], rank[None, :]) if weights == "ordinal" else (x[:, None], x[None, :])
    gap = np.abs(a - b)
    if weights in ("linear", "quadratic", "radical"):
        table = gap ** {"linear": 1.0, "quadratic": 2.0, "radical": 0.5}[weights]
    elif weights == "ordinal":
        table = gap * (gap + 1) / 2
    elif weights == "ratio":
        table = _ratio(a, b)
    elif weights == "circular":
        table = np.square(np.sin(np.pi * gap / (high - low + 1)))
    else:
        table = _bipolar(a, b, low, high)
    largest = table.max(initial=0.0)
    return table / largest if largest else table


def named(weights: Weights) -> WeightsName | None:
    """The name of the weights, or None where they are a table or a function."""
    if not isinstance(weights, str):
        return None
    if weights not in get_args(WeightsName):
        raise ValueError(f"agreement: weights must be one of {', '.join(get_args(WeightsName))}, or a matrix, "
                         f"found {weights!r}")  # fmt: skip
    return weights


def given_table(distance: Distance, values: pl.Series, *, what: str) -> Floats:
    """A caller's own squared differences or weights, checked: symmetric, finite, one row per value.

    Args:
        distance: A matrix (V, V) in the order of the sorted ``values``, or a function of two arrays of values
            (broadcast), of two numbers or of two texts.
        values: The values (V,), sorted.
        what: Name of the argument, for the message.

    Returns:
        The table (V, V).
    """
    if len(values) > LARGEST:
        raise TableError(
            f"{what} compares all pairs of values and takes at most {LARGEST} distinct values; found {len(values)}."
        )
    table = _called(distance, values) if callable(distance) else np.asarray(distance, dtype=np.float64)
    size = len(values)
    if table.shape != (size, size):
        listed = ", ".join(f'"{shown(v)}"' for v in values.head(8))
        raise ValueError(
            f"agreement: {what} must be a {size} x {size} matrix, one row per value in sorted order ({listed}), "
            f"found shape {table.shape}; give order= where values on offer are not in use"
        )
    if not np.isfinite(table).all() or np.abs(table - table.T).max(initial=0.0) > 1e-12:
        raise ValueError(f"agreement: {what} must be finite and symmetric")
    if (table < 0).any():
        raise ValueError(f"agreement: {what} must not be negative, found {table.min():g}")
    return table


def _called(distance: Callable[[Any, Any], Any], values: pl.Series) -> Floats:
    names = values.to_list()
    if values.dtype.is_numeric():
        x = values.to_numpy().astype(np.float64)
        try:
            table = np.asarray(distance(x[:, None], x[None, :]), dtype=np.float64)
        except (TypeError, ValueError):  # a function of two numbers: `if a == b`, float(a)
            names = x.tolist()
        else:
            return table
    return np.array([[float(distance(a, b)) for b in names] for a in names]).reshape(len(names), len(names))


def within(counts: Counts, table: Floats | None) -> Floats:
    r"""$\sum_{c,k} n_{uc} n_{uk} \delta_{ck}$ of an item of each pattern (P,); ``table`` None is the nominal level."""
    if table is None:
        return np.square(counts.n_ratings) - counts.per_pattern(np.square(counts.count))
    total = np.zeros(len(counts.times))
    left: Ints = np.arange(len(counts.code))
    shift = 1
    while True:
        left = left[left + shift < len(counts.code)]
        right = left + shift
        same = counts.pattern[left] == counts.pattern[right]
        left, right = left[same], right[same]
        if not len(left):
            return 2 * total
        product = counts.count[left] * counts.count[right] * table[counts.code[left], counts.code[right]]
        total += np.bincount(counts.pattern[left], weights=product, minlength=len(total))
        shift += 1


def expected(shares: Floats, table: Floats | None) -> Floats:
    r"""$\sum_{c,k} s_c s_k \delta_{ck}$ for rows of numbers per value (B, V): (B,)."""
    if table is None:
        return np.asarray(np.square(shares.sum(axis=1)) - np.square(shares).sum(axis=1))
    return np.asarray(((shares @ table) * shares).sum(axis=1))


def _ratio(a: Floats, b: Floats) -> Floats:
    total = a + b
    return np.square((a - b) / np.where(total == 0, 1.0, total))


def _bipolar(a: Floats, b: Floats, low: float, high: float) -> Floats:
    below = (a + b - 2 * low) * (2 * high - a - b)
    return np.square(a - b) / np.where(below == 0, 1.0, below)
