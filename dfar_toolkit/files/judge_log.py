r"""What judges answer, as it is answered: one file per judge, only ever appended to, never touching the data.

A folder of judging holds ``answers/<judge>-<digest>.jsonl``. The name of a file is made of letters, digits and ``-``
whatever the judge's name is, and differs between names that differ by case alone; the name itself stands in each line.
Changing an answer appends another one, taking one back appends a line that names it: of the answers of a judge to a
question about an output the last that was not taken back counts, and the earlier ones stay on record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.judge_log_lines import AppendedLines, file_of, new_key, now, person_named, rows_by_person
from dfar_toolkit.files.run_settings import in_words, write_whole
from dfar_toolkit.tables import TABLES, conform

ANSWERS: Final = "answers"
Role = Literal["judging", "attention", "training"]
JUDGING: Final[tuple[Role, ...]] = ("judging",)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge said about one output.

    Attributes:
        question: What was asked, by its id.
        output_id: Of the output judged.
        run_id: Its run.
        item_id: Its item.
        value: The verdict; None where the judge skipped it.
        sample: Its sample number.
        error_type: What is wrong with it, several joined by ``; ``.
        note: What the judge wrote.
        inclusion_prob: Chance that people judge it at all, where known.
        role: Whether it counts (``judging``), or is an attention check or a training item with a known answer.
        protocol: Digest of the protocol.
        shown: Digest of the text that was shown.
        key: Of this very answer; sent twice, it is recorded once.
        at: When, in UTC.
    """

    question: str
    output_id: str
    run_id: str
    item_id: str
    value: str | None
    sample: int = 0
    error_type: str | None = None
    note: str | None = None
    inclusion_prob: float | None = None
    role: Role = "judging"
    protocol: str = ""
    shown: str = ""
    key: str = ""
    at: str = ""


_FIELDS: Final = tuple(f.name for f in fields(Answer))
_SCHEMA: Final = {"judge_id": pl.String} | {
    name: {"sample": pl.Int64, "inclusion_prob": pl.Float64}.get(name, pl.String) for name in _FIELDS
}


class JudgeLog:
    """The answers of one judge.

    Args:
        folder: The folder of the judging.
        judge: The judge's name, whatever it holds.

    Attributes:
        judge: The name as it is stored.

    Example:
        >>> import tempfile
        >>> log = JudgeLog(Path(tempfile.mkdtemp()), "Ann")
        >>> given = log.record(Answer("reason_ok", "m/i1/fair/0", "m", "i1", "good"))
        >>> changed = log.record(replace(given, value="bad", key=""))
        >>> [a.value for a in log.answers()], log.undo().value, [a.value for a in log.answers()]
        (['bad'], 'bad', ['good'])
    """

    def __init__(self, folder: Path, judge: str) -> None:
        self.judge = person_named(judge)
        self._lines = AppendedLines(folder / ANSWERS / file_of(self.judge))

    @property
    def path(self) -> Path:
        """The judge's file."""
        return self._lines.path

    @property
    def torn(self) -> int:
        """Lines that a crash left half-written, none of them acknowledged."""
        return self._lines.torn

    def record(self, answer: Answer) -> Answer:
        """Keep an answer, in place of an earlier one to the same question about the same output.

        Args:
            answer: With a ``key`` where it may be sent twice, such as by a browser that lost its connection.

        Returns:
            The answer as it is kept, on the disk: acknowledge it to the judge now.

        Raises:
            TableError: It cannot be written; it must not be acknowledged.
            ValueError: A name in it is empty, or the value is blank.
        """
        named = {"question": answer.question, "output_id": answer.output_id, "run_id": answer.run_id,
                 "item_id": answer.item_id}  # fmt: skip
        lost = [name for name, text in named.items() if not text]
        if lost or (answer.value is not None and not answer.value.strip()):
            raise ValueError(f"record: {lost[0] if lost else 'value'} is empty; give None as the value of a skip")
        row = asdict(replace(answer, key=answer.key or new_key(), at=answer.at or now()))
        return _answer(self._lines.append({"judge_id": self.judge} | row))

    def undo(self, key: str | None = None) -> Answer | None:
        """Take an answer back, so that the one before it to the same question and output counts again, if any.

        Args:
            key: Of the answer; None: the last that counts.

        Returns:
            The answer taken back; None where there is none to take back.

        Raises:
            TableError: It cannot be written; the answer still counts.
        """
        counting = {answer.key: answer for answer in self.answers()}
        wanted = next(reversed(counting), None) if key is None else key
        if wanted not in counting:
            return None
        self._lines.append({"key": new_key(), "at": now(), "judge_id": self.judge, "undoes": wanted})
        return counting[wanted]

    def answers(self) -> list[Answer]:
        """Exactly one answer per question and output: the last that was not taken back, in the order given."""
        return [_answer(row) for row in _counting(self._lines.rows())]


def _answer(row: Mapping[str, Any]) -> Answer:
    return Answer(**{name: row[name] for name in _FIELDS if name in row})


def _counting(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of one judge that count."""
    rows = list(rows)
    undone = {row["undoes"] for row in rows if "undoes" in row}
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        if "undoes" not in row and row["key"] not in undone:
            key = (row["question"], row["output_id"])
            last.pop(key, None)
            last[key] = row
    return list(last.values())


class AllAnswers(NamedTuple):
    """Answers of all judges: ``judge_id`` and the fields of :class:`Answer`; and how many lines were torn."""

    frame: pl.DataFrame
    torn: int


def answers_of(folder: Path) -> AllAnswers:
    """The answers of all judges in a folder of judging that count, attention checks and training items too.

    Args:
        folder: The folder; without answers there are none.

    Raises:
        TableError: A file cannot be read, or was changed.
    """
    by, torn = rows_by_person(folder / ANSWERS, "judge_id")
    rows = [{"judge_id": judge, **row} for judge in sorted(by) for row in _counting(by[judge])]
    return AllAnswers(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), torn)


def holds_answers(folder: Path) -> bool:
    """Whether a folder is one of judging that somebody has answered in."""
    return any((folder / ANSWERS).glob("*.jsonl"))


def judgements_of(folder: Path, *, question: str | None = None, roles: Collection[Role] = JUDGING) -> pl.DataFrame:
    """The answers of all judges as the table judgements, as ``dfar score`` takes it.

    Args:
        folder: The folder of the judging.
        question: Answers to this one alone.
        roles: Which answers: attention checks and training items are about no run and are left out.

    Returns:
        The table; a skipped output has a null value.

    Raises:
        TableError: A file cannot be read or was changed, or the protocol changed between answers.
    """
    frame = answers_of(folder).frame.filter(pl.col("role").is_in(list(roles)))
    frame = frame if question is None else frame.filter(question=question)
    for (asked,), part in frame.group_by("question"):
        if part["protocol"].n_unique() > 1:
            raise TableError(
                f"{folder}: the answers to {asked!r} were given under {part['protocol'].n_unique()} protocols; judge "
                "each in a folder of its own."
            )
    own = [name for name in TABLES["judgements"].columns() if name in frame.columns]
    return conform(frame.select(own).sort("judge_id", "question", "output_id"), "judgements", where=str(folder))


def export_judgements(folder: Path, out: Path, *, question: str | None = None) -> pl.DataFrame:
    """Write the judgements of a folder into one file, whole or not at all.

    Args:
        folder: The folder of the judging.
        out: ``.parquet`` or ``.jsonl``; CSV cannot hold every note.
        question: Answers to this one alone.

    Returns:
        What was written.

    Raises:
        TableError: As :func:`judgements_of`; another ending; it cannot be written.
    """
    if out.suffix not in (".parquet", ".jsonl"):
        raise TableError(f"{out}: wanted a name that ends in .parquet or .jsonl for the judgements.")
    frame = judgements_of(folder, question=question)
    with in_words(out):
        write_whole(out, frame.write_parquet if out.suffix == ".parquet" else frame.write_ndjson)
    return frame
