"""Outputs files: what a model said, in our columns, from a run folder or a JSONL, CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.columns import numbers, plain_texts, whole_numbers
from dfar_toolkit.files.probabilities import most_probable, ordered_probabilities
from dfar_toolkit.files.rationale_columns import rationale_columns
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.tables import HUMAN_RUN, conform
from dfar_toolkit.tabular import nearest, quoted, read_table

_ROUNDING: Final = 1e-4  # sums of probabilities in single precision may exceed 1 by so much
_TEXTS: Final = (
    *("run_id", "item_id", "question", "annotator_id", "method", "condition", "operator", "output_id"),
    *("label", "reason", "raw", "error"),
)  # fmt: skip
_LABELS: Final = ("label", "target", "contrast", "target_label")  # columns that hold names of labels
# Parts of the key that enter the output id only where they differ from their default.
_KEY_DEFAULTS: Final = {"annotator_id": "", "method": "", "condition": "full", "operator": "", "k": -1, "draw": 0}

# What other people call these columns, likeliest first; for a hint in an error, never for reading.
_LIKE: Final = {
    "item_id": ("itemid", "item", "id", "example_id", "instance_id", "uid", "idx", "index"),
    "label": (
        "predicted_label", "pred_label", "label_pred", "prediction", "predictions", "predicted", "pred", "answer",
        "output", "response", "verdict", "class",
    ),
}  # fmt: skip


def read_outputs(
    path: Path | str,
    *,
    questions: pl.DataFrame,
    separator: str | None = None,
    label_map: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Read outputs as the table of that name.

    The minimal legal file has ``item_id`` and ``label`` or ``label_probs``. Defaults: the primary question, sample 0,
    condition ``full``, the name of the file or run folder as ``run_id``. ``label_probs`` is a list in the order of
    ``options`` (the question's own where absent) or an object from option to probability; in CSV, JSON text. Where
    only probabilities are given the label is the option with the highest one, null if several share it. A blank
    ``label`` or ``error`` is none.

    Args:
        path: A file, or the folder of a run that has ended, with ``outputs.parquet``.
        questions: The questions of the items that the outputs are about; the first is the primary one.
        separator: Separator of a CSV file, where it is not a comma.
        label_map: From the file's labels to the options' names: of answers, probabilities, and labels explained or
            guessed.

    Raises:
        TableError: The file is absent, unreadable, lacks columns, holds impossible probabilities or repeats a key; or
            the run has not ended.
    """
    path = Path(path)
    refuse_unfinished(path)
    file = path / "outputs.parquet" if path.is_dir() else path
    name = path.name if path.is_dir() else path.stem
    return outputs_of(read_table(file, separator=separator), file, name, questions=questions, label_map=label_map)


def outputs_of(
    frame: pl.DataFrame,
    file: Path,
    name: str,
    *,
    questions: pl.DataFrame,
    label_map: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """The rows of an outputs file as the table of that name.

    Args:
        frame: Rows as they were read.
        file: File named in errors.
        name: The run, where the rows name none.
        questions: As in :func:`read_outputs`.
        label_map: As in :func:`read_outputs`.

    Raises:
        TableError: As :func:`read_outputs`.
    """
    _check_columns(frame.columns, file)
    blank = [c for c in ("label", "error") if c in frame.columns and frame[c].dtype == pl.String]
    frame = frame.with_columns(pl.when(pl.col(c).str.strip_chars() != "").then(c).alias(c) for c in blank)
    frame = plain_texts(frame, _TEXTS, where=str(file))
    frame = whole_numbers(frame, ("sample", "k", "draw"), where=str(file))
    frame = numbers(frame, ("temperature", "label_mass"), where=str(file))
    frame = rationale_columns(frame, where=str(file))
    _check_ids(frame["item_id"], file)
    _check_mass(frame, file)
    primary = str(questions["question"][0])
    fallback = {"run_id": name, "question": primary}
    for column, value in fallback.items():
        given = pl.col(column).cast(pl.String) if column in frame.columns else pl.lit(None, dtype=pl.String)
        frame = frame.with_columns(given.fill_null(value).alias(column))
    if label_map:
        named = [pl.col(c).cast(pl.String).replace(dict(label_map)) for c in _LABELS if c in frame.columns]
        frame = frame.with_columns(named)
    if "label_probs" in frame.columns:
        frame = ordered_probabilities(frame, questions=questions, where=str(file), label_map=label_map)
        if "label" not in frame.columns:
            frame = frame.with_columns(most_probable())
    _check_names(frame, file, questions=questions)
    frame = _identified(frame)
    _check_keys(frame, file)
    return conform(frame, "outputs", where=str(file))


def _check_columns(columns: Sequence[str], file: Path) -> None:
    """Refuse a file without an id or an answer, with the columns that look like them."""
    lost = [] if "item_id" in columns else ["item_id"]
    lost += [] if {"label", "label_probs"} & set(columns) else ["label"]
    if not lost:
        return
    known = {column.strip().casefold().replace("-", "_").replace(" ", "_"): column for column in columns}
    found = {name: next((known[n] for n in _LIKE[name] if n in known), None) for name in lost}
    renames = [f'"{column}" to "{name}"' for name, column in found.items() if column is not None]
    roles = [{"item_id": "of the item", "label": "of the prediction"}[name] for name in lost]
    near = "".join(nearest(name, columns) for name in lost)
    unnamed = f"Rename the column{'s' if len(lost) > 1 else ''} {' and '.join(roles)}.{near}"
    hint = f"Rename {' and '.join(renames)}." if renames else unnamed
    raise TableError(
        f'{file}: an outputs file needs "item_id" and "label" or "label_probs"; found {quoted(columns)}. {hint}'
    )


def _check_ids(ids: pl.Series, file: Path) -> None:
    """Refuse rows that name no item."""
    blank = ids.is_null() | (ids.str.strip_chars() == "").fill_null(False)
    if blank.any():
        row = int(blank.arg_max() or 0) + 1
        raise TableError(
            f"{file}: {int(blank.sum())} of {len(ids)} rows have no item_id (the first is row {row}); name the item, "
            "or remove them."
        )


def _check_mass(frame: pl.DataFrame, file: Path) -> None:
    """Refuse masses of probability that are none."""
    if "label_mass" not in frame.columns:
        return
    wrong = frame.filter(~pl.col("label_mass").cast(pl.Float64).is_between(0, 1 + _ROUNDING))
    if wrong.height:
        raise TableError(
            f"{file}: label_mass is the probability on all options together, between 0 and 1; {wrong.height} rows have "
            f"another number, e.g. {wrong['label_mass'][0]:g} for item {wrong['item_id'][0]}."
        )


def _check_names(frame: pl.DataFrame, file: Path, *, questions: pl.DataFrame) -> None:
    """Refuse questions that nobody asked, the run name that is kept for people, and output ids that repeat."""
    asked = questions["question"].to_list()
    unknown = [name for name in frame["question"].unique().sort() if name not in asked]
    if unknown:
        raise TableError(f"{file}: unknown question {unknown[0]!r}; the items have {', '.join(map(repr, asked))}.")
    if (frame["run_id"] == HUMAN_RUN).any():
        raise TableError(f"{file}: the run name {HUMAN_RUN!r} is kept for people's own reasons; rename the run.")
    if "output_id" in frame.columns and frame["output_id"].is_duplicated().any():
        again = frame.filter(frame["output_id"].is_duplicated())["output_id"][0]
        raise TableError(
            f"{file}: the output_id {again!r} occurs more than once; judgements could not tell them apart."
        )


def _check_keys(frame: pl.DataFrame, file: Path) -> None:
    """Refuse two answers of one run to one question about one item at one sample, in words."""
    filled = [pl.col(c).cast(pl.String).fill_null(str(v)) for c, v in _KEY_DEFAULTS.items() if c in frame.columns]
    sample = pl.col("sample").cast(pl.String).fill_null("0") if "sample" in frame.columns else pl.lit("0")
    key = frame.select("run_id", pl.col("item_id").cast(pl.String), "question", sample.alias("sample"), *filled)
    twice = key.filter(pl.struct(pl.all()).is_duplicated())
    if len(twice):
        row = twice.row(0, named=True)
        others = twice.n_unique() - 1
        more = f" ({others} more such {'answers' if others > 1 else 'answer'})" if others else ""
        raise TableError(
            f"{file}: two answers for item {row['item_id']} (question {row['question']}, sample {row['sample']})"
            f"{more}: give them different sample numbers or remove one."
        )


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
