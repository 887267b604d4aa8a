"""Judgements files: Good/Bad (or any other scale) verdicts on reasons, by people or judge models."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.columns import plain_texts, whole_numbers
from dfar_toolkit.files.judge_log import holds_answers, judgements_of
from dfar_toolkit.files.run_settings import refuse_unfinished
from dfar_toolkit.tables import HUMAN_RUN, conform
from dfar_toolkit.tabular import read_table

_TEXTS: Final = ("judge_id", "run_id", "item_id", "question", "output_id", "other_output_id")
DEFAULT_QUESTION: Final = "reason_ok"
_VERDICTS: Final = ("good", "bad")


def read_judgements(
    path: Path | str, *, questions: pl.DataFrame | None = None, separator: str | None = None
) -> pl.DataFrame:
    """Read judgements as the table of that name.

    The least that a file needs: ``judge_id``, ``run_id``, ``item_id`` and ``value`` (or ``score``). A row about a human
    reason has run ``human`` and, in the column ``rating``, the 1-based number of that person's rating of the item;
    its output id is ``human/<rating_id>``. ``question`` is what the judges were asked, ``reason_ok`` where absent.
    ``Good`` and `` BAD`` are read as good and bad, a blank value as none; values of other scales stay as they are.

    Args:
        path: JSONL, CSV, TSV or Parquet, or the folder that ``dfar judge`` or a judging round writes.
        questions: Questions of the items; names the primary one in output ids. Not needed where the file has
            ``output_id``.
        separator: Separator of a CSV file, where it is not a comma.

    Raises:
        TableError: The file is absent, unreadable, lacks columns or repeats a key.
    """
    path = Path(path)
    refuse_unfinished(path)
    if path.is_dir() and holds_answers(path):
        frame = judgements_of(path)
    else:
        path = path / "judgements.parquet" if path.is_dir() else path
        frame = read_table(path, separator=separator, columns=["judge_id", "run_id", "item_id"])
    if "value" not in frame.columns and "score" not in frame.columns:
        raise TableError(f'{path}: judgements need "value" (such as good or bad) or "score"; found {frame.columns}.')
    frame = plain_texts(frame, _TEXTS, where=str(path))
    frame = whole_numbers(frame, ("sample", "position", "draw", "rating"), where=str(path))
    _check_probabilities(frame, path)
    if "value" in frame.columns and frame["value"].dtype == pl.String:
        word = pl.col("value").str.strip_chars().str.to_lowercase()
        verdict = pl.when(word.is_in(_VERDICTS)).then(word).when(word != "").then("value")
        frame = frame.with_columns(verdict.alias("value"))
    if "question" not in frame.columns:
        frame = frame.with_columns(pl.lit(DEFAULT_QUESTION).alias("question"))
    if "output_id" not in frame.columns:
        if questions is None:
            raise TableError(f'{path}: without a column "output_id" the items are needed to name the outputs judged.')
        _check_ratings(frame, path)
        frame = frame.with_columns(_output_id(frame, primary=str(questions["question"][0])))
    return conform(frame, "judgements", where=str(path))


def _check_probabilities(frame: pl.DataFrame, path: Path) -> None:
    """Refuse inclusion probabilities that are none."""
    if "inclusion_prob" not in frame.columns:
        return
    given = frame["inclusion_prob"].cast(pl.String).cast(pl.Float64, strict=False)
    wrong = frame["inclusion_prob"].is_not_null() & ~given.is_between(0, 1, closed="right").fill_null(False)
    if wrong.any():
        shown = frame["inclusion_prob"].filter(wrong)[0]
        raise TableError(f"{path}: inclusion_prob must lie above 0 and up to 1, found {shown}.")


def _check_ratings(frame: pl.DataFrame, path: Path) -> None:
    """A judged human reason must say whose it was."""
    human = frame["run_id"] == HUMAN_RUN
    if human.any() and ("rating" not in frame.columns or frame.filter(human)["rating"].null_count()):
        raise TableError(
            f'{path}: a judgement of run {HUMAN_RUN!r} needs the column "rating" (1 for the first rating of its item, '
            'and so on), or "output_id".'
        )


def _output_id(frame: pl.DataFrame, *, primary: str) -> pl.Expr:
    sample = pl.col("sample").cast(pl.String).fill_null("0") if "sample" in frame.columns else pl.lit("0")
    rating = pl.col("rating").cast(pl.String) if "rating" in frame.columns else pl.lit("")
    model = pl.concat_str([pl.col("run_id"), pl.col("item_id"), pl.lit(primary), sample], separator="/")
    human = pl.lit(f"{HUMAN_RUN}/") + pl.col("item_id") + "#" + rating
    return pl.when(pl.col("run_id") == HUMAN_RUN).then(human).otherwise(model).alias("output_id")
