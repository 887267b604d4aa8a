"""Scores as JSON values."""

from __future__ import annotations

import math

import polars as pl


def scores_json(frame: pl.DataFrame) -> list[dict[str, object]]:
    """The rows as JSON values: what is undefined (``nan``) becomes null.

    Example:
        >>> scores_json(pl.DataFrame({"metric": ["mcc"], "value": [float("nan")]}))
        [{'metric': 'mcc', 'value': None}]
    """
    rows = frame.to_dicts()
    return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in r.items()} for r in rows]
