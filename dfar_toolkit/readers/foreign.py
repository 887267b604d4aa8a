"""The one shape into which every other tool's outputs file is read, before it is matched with items."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

# Absent is null everywhere; `position` and `sample` are never null.
_COLUMNS: Final[dict[str, pl.DataType]] = {
    "position": pl.Int64(),  # zero-based place of the item: the tool's own index where it has one, else by the file
    "key": pl.String(),  # the tool's key of the item (doc id, custom id, sample id), as text
    "texts": pl.List(pl.String()),  # whole texts of the record that may equal a statement (fields of its data row)
    "run_id": pl.String(),  # the model or run as the file names it
    "sample": pl.Int64(),  # repeat, epoch or sample of the same item, from 0
    "method": pl.String(),  # the tool's filter or scorer, where one file holds several
    "choices": pl.List(pl.String()),  # texts of the options in the file's order
    "logprobs": pl.List(pl.Float64()),  # summed log-probability of each choice, same order
    "probs": pl.List(pl.Float64()),  # or probabilities of each choice, same order
    "probs_kind": pl.String(),  # forced, first_token, samples, verbalised, classifier
    "answer": pl.String(),  # the answer as the tool parsed it (a choice's text or a label)
    "raw": pl.String(),  # the text that came
    "reason": pl.String(),  # a reason that the tool keeps apart from the answer (not a chain of thought)
    "gold": pl.String(),  # the tool's own gold, to be checked against the items, never scored
    "error": pl.String(),  # why no answer came
    "temperature": pl.Float64(),
}
FOREIGN_SCHEMA: Final = pl.Schema(_COLUMNS)


class Foreign(NamedTuple):
    """A file of another tool: its ``format``, ``rows`` in ``FOREIGN_SCHEMA``, and what a person must know of it.

    ``ordered`` is false where positions are not those of the data set, so that nothing may be matched by them.
    """

    format: str
    rows: pl.DataFrame
    notes: tuple[str, ...] = ()
    ordered: bool = True


def foreign_rows(records: list[dict[str, Any]]) -> pl.DataFrame:
    """Records with some of the columns of ``FOREIGN_SCHEMA`` as a frame with all of them.

    ``position`` is the place in the list and ``sample`` 0 where they are not given.

    Example:
        >>> foreign_rows([{"key": "a", "raw": "ethical"}, {"key": "b"}])["position"].to_list()
        [0, 1]
    """
    columns = {
        name: pl.Series(name, [r.get(name) for r in records], dtype=dtype, strict=False)
        for name, dtype in FOREIGN_SCHEMA.items()
    }
    frame = pl.DataFrame(columns)
    return frame.with_columns(
        pl.col("position").fill_null(pl.int_range(pl.len(), dtype=pl.Int64)), pl.col("sample").fill_null(0)
    )
