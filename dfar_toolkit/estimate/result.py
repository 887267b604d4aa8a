"""One number with its interval, and many of them as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its interval, and what both are over.

    ``n`` counts items (or ratings, as the statistic says), ``n_units`` the resampling units, ``unit`` names them,
    ``scope`` says what the interval is over. ``value``, ``low`` and ``high`` are ``nan`` where undefined, and
    ``note`` says why.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    n_units: int
    unit: str = "items"
    scope: str = "items"
    method: str = "bootstrap"
    confidence: float = 0.95
    note: str = ""

    def as_row(self) -> dict[str, object]:
        """The fields by name, for a frame or JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"{self.name} is undefined: {self.note} (n = {self.n})"
        text = f"{self.name} = {self.value:.3f}"
        if not np.isnan(self.low):
            text += f" [{self.low:.3f}, {self.high:.3f}] ({self.confidence * 100:.10g} %"
            text += f" {self.method} over {self.n_units} {self.unit})"
        return text + (f"; {self.note}" if self.note else "")


ESTIMATE_SCHEMA: Final = pl.Schema(
    {
        "name": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "n_units": pl.Int64,
        "unit": pl.String,
        "scope": pl.String,
        "method": pl.String,
        "confidence": pl.Float64,
        "note": pl.String,
    }
)


def estimates_frame(
    estimates: Iterable[Estimate], *, beside: Iterable[Mapping[str, object]] | None = None
) -> pl.DataFrame:
    """One row per estimate with the fields of :class:`Estimate` as columns, after any columns put beside them.

    Example:
        >>> from dfar_toolkit.estimate import proportion
        >>> estimates_frame([proportion("accuracy", [1, 0])]).columns[:4]
        ['name', 'value', 'low', 'high']
    """
    listed = list(estimates)
    frame = pl.DataFrame([e.as_row() for e in listed], schema=ESTIMATE_SCHEMA)
    if beside is None:
        return frame
    extra = pl.DataFrame(list(beside), infer_schema_length=None)
    return pl.concat([extra, frame], how="horizontal")
