"""From the rows of explained items to the table of outputs: answers are read, rationales stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from dfar_toolkit.runners.answers import Reading, answers_table
from dfar_toolkit.runners.rationales.rationale import RATIONALE

_WORD: Final = pl.Struct({"field": pl.String(), "start": pl.Int64(), "end": pl.Int64()})
_SPAN: Final = pl.Struct({"field": pl.String(), "start": pl.Int64(), "end": pl.Int64(), "set": pl.Int64()})
_TYPES: Final[dict[str, pl.DataType]] = {
    "method": pl.String(), "k": pl.Int64(), "draw": pl.Int64(), "evidence": pl.List(_SPAN), "words": pl.List(_WORD),
    "word_scores": pl.List(pl.Float64()), "share": pl.Float64(), "n_words": pl.Int64(), "n_removed": pl.Int64(),
    "shares": pl.List(pl.Float64()), "gap": pl.Float64(), "target": pl.String(), "contrast": pl.String(),
    "n_listed": pl.Int64(), "n_missed": pl.Int64(), "fields": pl.List(pl.String()),
}  # fmt: skip
_OPTIONS: Final = ("target", "contrast", "asked_label", "counterfactual_label")
_KEY: Final = {"method": "", "k": -1, "draw": 0}


def explained_table(said: pl.DataFrame, reading: Reading, *, told: Callable[[str], None] | None = None) -> pl.DataFrame:
    """The outputs of a run that explains.

    Args:
        said: Rows of the units of :mod:`dfar_toolkit.runners.rationales.unit`, in any order.
        reading: How answers are read.
        told: Called with what must be known.

    Returns:
        Rows of the table outputs in the order given, with the columns of rationales beside. What a model wrote as its
        rationale is no answer and not read as one.
    """
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in _TYPES.items() if name not in said.columns]
    absent += [pl.lit(None, dtype=pl.String).alias("raw")] if "raw" not in said.columns else []
    said = said.with_columns(absent).with_columns(pl.col(name).cast(kind) for name, kind in _TYPES.items())
    said = said.with_columns(pl.col(name).fill_null(value) for name, value in _KEY.items())
    of_rationale = pl.col("condition") == RATIONALE
    answers = said.with_columns(raw=pl.when(~of_rationale).then("raw"))
    table = answers_table(answers, reading, told=told).with_columns(said["raw"])
    named = [name for name in _OPTIONS if name in said.columns]  # shown by other names, told by their own as ``label``
    said = said.with_columns(pl.col(named).cast(pl.String).replace(dict(reading.says)))
    beside = [c for c in said.columns if c not in table.columns]
    return table.hstack(said.select(beside))
