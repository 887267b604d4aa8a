"""A plain table of answers whose columns have other names than ours: which column is what, by well-known names.

Names are compared in lower case, with ``_`` for every run of other signs. What each column was taken for is said in
the notes; two columns for one role are an error, since only their owner knows which one counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA, Foreign
from dfar_toolkit.tabular import quoted

# Role (a column of FOREIGN_SCHEMA): names that columns of other people have for it.
_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "key": (
        "item_id", "item", "id", "example_id", "custom_id", "itemid", "instance_id", "sample_id", "doc_id",
        "question_id", "uid", "uuid", "guid", "idx", "index", "key",
    ),
    "answer": (
        "prediction", "predictions", "predicted", "pred", "predicted_label", "prediction_label", "pred_label",
        "label_pred", "y_pred", "label", "answer", "verdict", "predicted_class",
    ),
    "raw": (
        "raw", "output", "outputs", "response", "model_output", "model_response", "generated_text", "generation",
        "generated", "completion", "output_text", "raw_output",
    ),
    "reason": ("reason", "explanation", "rationale", "justification", "predicted_reason", "reason_pred"),
    "gold": (
        "gold", "target", "gold_label", "true_label", "label_true", "label_gold", "y_true", "ground_truth",
        "reference", "correct_answer",
    ),
    "run_id": ("run_id", "run", "model", "model_name", "model_id"),
    "sample": ("sample", "sample_number", "repeat", "epoch", "trial"),
    "method": ("method", "filter", "scorer"),
    "error": ("error", "error_message", "exception"),
    "temperature": ("temperature",),
}  # fmt: skip
_TEXTS: Final = (
    "statement", "text", "input", "question", "prompt", "sentence", "comment", "post", "tweet", "query", "context",
    "premise", "hypothesis", "scenario", "dialogue",
)  # fmt: skip
_LOGPROBS: Final = ("logprob", "log_prob", "logp", "loglikelihood")
_PROBS: Final = ("probability", "prob", "score", "p")
_PER_OPTION: Final = re.compile(
    rf"({'|'.join((*_LOGPROBS, *_PROBS))})[_\-.: (\[]+(.*[^)\]\s])[)\]\s]*", re.IGNORECASE | re.DOTALL
)


class _Numbers(NamedTuple):
    """Columns with one number per option: the column of ``FOREIGN_SCHEMA`` they make, their names, the options."""

    role: str
    columns: list[str]
    options: list[str]


def plain_foreign(frame: pl.DataFrame, *, where: str) -> Foreign:
    """The rows of a plain table in the shape in which other tools' files are matched with items.

    Recognised are an id, the answer (a label, or a text that begins with one), the full text, a reason, the table's
    own gold, statements, the run, sample, error and temperature, and one column of numbers per option such as
    ``prob_ethical`` (``prob_``, ``p_``, ``score_``; ``logprob_``).

    Args:
        frame: A table, one row per answer.
        where: File named in errors.

    Returns:
        Its rows, with what each column was taken for in the notes.

    Raises:
        TableError: Two columns for one role, no column with an answer, a column of other values than its role has.

    Example:
        >>> table = pl.DataFrame({"ID": ["a"], "Prediction": ["ethical"], "p_ethical": [0.9], "p_unethical": [0.1]})
        >>> found = plain_foreign(table, where="mine.csv")
        >>> found.rows.select("key", "answer", "choices", "probs").row(0)
        ('a', 'ethical', ['ethical', 'unethical'], [0.9, 0.1])
        >>> found.notes[0]
        'read "ID" as key, "Prediction" as answer, "p_ethical", "p_unethical" as probs'
    """
    numbers = _numbers(frame.columns, where)
    roles = _roles([c for c in frame.columns if c not in numbers.columns], where)
    texts = [c for c in frame.columns if _plain_name(c) in _TEXTS and frame.schema[c] == pl.String]
    if not numbers.columns and not {"answer", "raw"} & set(roles):
        raise TableError(
            f'{where}: wanted a column with the answer, such as "prediction" or "response", or one with a probability '
            f'per option ("prob_OPTION"); found {quoted(frame.columns)}. Rename the one that holds it.'
        )
    columns = [_values(frame[name], role, where).alias(role) for role, name in roles.items()]
    columns += [frame.select(texts=pl.concat_list(texts)).to_series()] if texts else []
    columns += _listed([_checked_number(frame[c], where) for c in numbers.columns], numbers)
    rows = pl.DataFrame(columns)
    lost = [pl.lit(None, dtype=dtype).alias(c) for c, dtype in FOREIGN_SCHEMA.items() if c not in rows.columns]
    rows = rows.with_columns(lost).with_row_index("row").with_columns(_places(), pl.col("sample").fill_null(0))
    used = [(role, [name]) for role, name in roles.items()] + [("texts", texts), (numbers.role, numbers.columns)]
    return Foreign("plain", rows.select(FOREIGN_SCHEMA.names()), _notes(used, frame.columns))


def _plain_name(column: str) -> str:
    return re.sub(r"[\W_]+", "_", column.strip().lower()).strip("_")


def _roles(columns: Sequence[str], where: str) -> dict[str, str]:
    """The one column of each role."""
    found: dict[str, str] = {}
    for role, names in _ROLES.items():
        fitting = [c for c in columns if _plain_name(c) in names]
        if len(fitting) > 1:
            hint = ' (people\'s own label is called "gold")' if role == "answer" else ""
            raise TableError(
                f"{where}: wanted one column as {role}, found {quoted(fitting)}; rename or drop what is not{hint}."
            )
        if fitting:
            found[role] = fitting[0]
    return found


def _numbers(columns: Sequence[str], where: str) -> _Numbers:
    """The columns with numbers per option: at least two that begin alike."""
    sets: dict[str, _Numbers] = {}
    for column in columns:
        match = _PER_OPTION.fullmatch(column.strip())
        if match is not None:
            kind = match[1].lower()
            role = "logprobs" if kind in _LOGPROBS else "probs"
            numbers = sets.setdefault(kind, _Numbers(role, [], []))
            numbers.columns.append(column)
            numbers.options.append(match[2])
    several = [numbers for numbers in sets.values() if len(numbers.columns) > 1]
    if len(several) > 1:
        raise TableError(
            f"{where}: wanted one set of numbers per option, found {' and '.join(quoted(n.columns) for n in several)}; "
            "rename or drop the others."
        )
    return several[0] if several else _Numbers("probs", [], [])


def _values(column: pl.Series, role: str, where: str) -> pl.Series:
    """A column in the type of its role; blank texts are null, whole floats are written as whole numbers."""
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        raise TableError(f"{where}: the column {quoted([column.name])} (read as {role}) must hold one text per row.")
    if column.dtype.is_float() and (((column == column.round()) & (column.abs() < 2**53)) | column.is_null()).all():
        column = column.cast(pl.Int64)
    texts = column.cast(pl.String)
    texts = texts.set(texts.str.strip_chars() == "", None)
    if role not in ("sample", "temperature"):
        return texts
    typed = texts.str.strip_chars().cast(FOREIGN_SCHEMA[role], strict=False)
    wrong = texts.filter(typed.is_null() & texts.is_not_null())
    if len(wrong):
        kind = "whole numbers" if role == "sample" else "numbers"
        raise TableError(
            f"{where}: the column {quoted([column.name])} (read as {role}) must hold {kind}, found "
            f"{quoted([wrong[0][:40]])}."
        )
    return typed


def _checked_number(column: pl.Series, where: str) -> pl.Series:
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    texts = (
        column.cast(pl.String, strict=False) if not column.dtype.is_nested() else pl.Series([str(column.to_list()[0])])
    )
    texts = texts.set(texts.str.strip_chars() == "", None)
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    wrong = texts.filter(numbers.is_null() & texts.is_not_null())
    if len(wrong):
        raise TableError(
            f"{where}: the column {quoted([column.name])} must hold numbers, found {quoted([wrong[0][:40]])}."
        )
    return numbers


def _listed(columns: list[pl.Series], numbers: _Numbers) -> list[pl.Series]:
    """``choices`` and the lists of numbers; null where a row has none."""
    if not columns:
        return []
    frame = pl.DataFrame(columns)
    some = pl.any_horizontal(pl.all().is_not_null())
    return frame.select(
        pl.when(some).then(pl.lit(numbers.options, dtype=pl.List(pl.String))).alias("choices"),
        pl.when(some).then(pl.concat_list(frame.columns)).alias(numbers.role),
    ).get_columns()


def _places() -> pl.Expr:
    """The place of each row's item: of its key by first appearance, of a row without a key its own."""
    number = pl.col("row").cast(pl.Int64)
    first = pl.when(pl.col("key").is_null()).then(number).otherwise(number.min().over("key"))
    return (first.rank("dense") - 1).cast(pl.Int64).alias("position")


def _notes(used: list[tuple[str, list[str]]], columns: Sequence[str]) -> tuple[str, ...]:
    taken = [f"{quoted(names)} as {role}" for role, names in used if names]
    known = {name for _, names in used for name in names}
    left = [c for c in columns if c not in known]
    nameless = not any(names for role, names in used if role in ("key", "texts"))
    return (
        f"read {', '.join(taken)}",
        *([f"columns not read: {quoted(left)}"] if left else []),
        *(["no column is an id or a statement: only positions can match its rows"] if nameless else []),
    )
