"""Outputs files: what a model said, in our columns, from a run folder or a JSONL, CSV or Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.probabilities import most_probable, ordered_probabilities
from dfar_toolkit.tables import conform
from dfar_toolkit.tabular import read_table

# Parts of the key that enter the output id only where they differ from their default.
_KEY_DEFAULTS: Final = {"annotator_id": "", "method": "", "condition": "full", "operator": "", "k": -1, "draw": 0}


def read_outputs(path: Path | str, *, questions: pl.DataFrame, separator: str | None = None) -> pl.DataFrame:
    """Read outputs as the table of that name.

    The minimal legal file has ``item_id`` and ``label`` or ``label_probs``. Defaults: the primary question, sample 0,
    condition ``full``, the name of the file or run folder as ``run_id``. ``label_probs`` is a list in the order of
    ``options`` (the question's own where absent) or an object from option to probability; in CSV, JSON text. Where
    only probabilities are given the label is the option with the highest one, null if several share it.

    Args:
        path: A file, or a run folder with ``outputs.parquet``.
        questions: The questions of the items that the outputs are about; the first is the primary one.
        separator: Separator of a CSV file, where it is not a comma.

    Raises:
        TableError: The file is absent, unreadable, lacks columns, holds impossible probabilities or repeats a key.
    """
    path = Path(path)
    file = path / "outputs.parquet" if path.is_dir() else path
    frame = read_table(file, separator=separator, columns=["item_id"])
    if "label" not in frame.columns and "label_probs" not in frame.columns:
        raise TableError(
            f'{file}: an outputs file needs "item_id" and "label" or "label_probs"; found '
            f"{', '.join(frame.columns)}. Rename the column that holds the prediction."
        )
    primary = str(questions["question"][0])
    fallback = {"run_id": path.name if path.is_dir() else path.stem, "question": primary}
    for name, value in fallback.items():
        given = pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, dtype=pl.String)
        frame = frame.with_columns(given.fill_null(value).alias(name))
    if "label_probs" in frame.columns:
        frame = ordered_probabilities(frame, questions=questions, where=str(file))
        if "label" not in frame.columns:
            frame = frame.with_columns(most_probable())
    frame = _identified(frame)
    return conform(frame, "outputs", where=str(file))


def _identified(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``output_id``: run, item, question and sample, and every further key part that is not its default."""
    if "output_id" in frame.columns:
        return frame
    sample = pl.col("sample").cast(pl.String).fill_null("0") if "sample" in frame.columns else pl.lit("0")
    parts = [pl.col("run_id"), pl.col("item_id").cast(pl.String), pl.col("question"), sample]
    identity = pl.concat_str(parts, separator="/")
    for name, default in _KEY_DEFAULTS.items():
        if name in frame.columns:
            given = pl.col(name).cast(pl.String)
            plain = given.is_null() | (given == str(default))
            identity += pl.when(plain).then(pl.lit("")).otherwise(pl.lit(f"/{name}=") + given.fill_null(""))
    return frame.with_columns(identity.alias("output_id"))
