"""Judging in the browser: who judges what next, blind, and what becomes of the answer.

A folder holds ``protocol.yaml``, and the answers beside it as they are given (``files.judge_log``). What a judge sees
next follows from the protocol, the texts and the judge's name alone, so a session goes on where it stood: at the first
reason without an answer. Judges see neither runs nor items, nor each other's answers; agreement is for whoever
coordinates (``judge_session_coordinator``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judge_log import Answer, JudgeLog, answers_of
from dfar_toolkit.files.judge_log_lines import new_key, person_named
from dfar_toolkit.journeys.judge_session_protocol import SessionProtocol, read_session_protocol
from dfar_toolkit.journeys.judge_session_queue import Pool, Task, pool_of, queue_of
from dfar_toolkit.journeys.judged_reasons import Person, cases_of, people_by_item, references_of
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import OutputsOptions, read_runs
from dfar_toolkit.runners.judge_questions import Case, Reference
from dfar_toolkit.tabular import quoted

_APART: frozenset[str] = frozenset({"context", "gold", "human_reasons"})  # what texts of a protocol do not have


class Given(NamedTuple):
    """What a judge said: the verdict (None: skipped), the error types, the note, and when."""

    blind_id: str
    value: str | None
    error_types: tuple[str, ...]
    note: str
    at: str


class Feedback(NamedTuple):
    """What is said after a training item: the known answer, whether it was given, and why it is the answer."""

    known: str
    right: bool
    why: str


class Progress(NamedTuple):
    """How far a judge is; training apart, skipped ones among the answered."""

    answered: int
    skipped: int
    total: int
    training_answered: int
    training: int


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a judge may see of a reason.

    Attributes:
        blind_id: Its name for judges.
        place: 1 for the first of the queue.
        statement: The statement.
        context: Fields and texts that go with it, where the protocol shows them.
        label: The label that the reason is for.
        reason: The reason.
        gold: The label of most people, where the protocol shows it.
        references: Other people's reasons, where the protocol shows them; never the words judged.
        run: The run, where the protocol does not blind.
        training: Whether it is for practice, with feedback.
        token: Give it back with the answer: an answer that is sent twice is kept once.
        given: The judge's own answer, where there is one.
        feedback: The known answer of a training item that the judge has answered.
    """

    blind_id: str
    place: int
    statement: str
    context: tuple[tuple[str, str], ...]
    label: str
    reason: str
    gold: str
    references: tuple[Reference, ...]
    run: str
    training: bool
    token: str
    given: Given | None
    feedback: Feedback | None = None


class JudgingRound:
    """What all judges of a folder share; made once, used by any number of sessions and threads.

    Attributes:
        folder: The folder of the judging.
        protocol: Its protocol.
        items: The items.
        pool: What is judged.
        notes: What whoever coordinates must know.
    """

    def __init__(self, folder: Path, protocol: SessionProtocol, items: ItemsFolder, pool: Pool) -> None:
        self.folder, self.protocol, self.items, self.pool = folder, protocol, items, pool
        ids = pl.Series("item_id", sorted({t.item_id for t in self._tasks()}), dtype=pl.String)
        self._cases = cases_of(items, ids, show_gold="gold" in protocol.shown)
        beside = "human_reasons" in protocol.shown
        self._people: dict[str, list[Person]] = people_by_item(items, ids, protocol.seed) if beside else {}
        self.notes = (*pool.notes, *self._further())

    @classmethod
    def open(
        cls,
        folder: Path,
        outputs: Sequence[Path] = (),
        *,
        items: Path | str | ItemsFolder,
        reading: OutputsOptions | None = None,
        label_map: Mapping[str, str] | None = None,
        split: Sequence[str] | None = None,
        separator: str | None = None,
    ) -> JudgingRound:
        """Begin a judging, or go on with it.

        Args:
            folder: Holds ``protocol.yaml``; answers come to stand beside it.
            outputs: Outputs files with reasons; none in a validity round.
            items: The items folder.
            reading: How files of other tools are read.
            label_map: From the runs' labels to the options' names.
            split: Splits of the items that rows are matched with; None means any.
            separator: Separator of CSV files where it is not a comma.

        Raises:
            TableError: A file is not what it must be, there is nothing to judge, or the protocol is another one than
                that under which answers were given.
        """
        protocol, whole = read_session_protocol(folder), items_of(items)
        earlier = answers_of(folder).frame.filter(question=protocol.question_id)
        other = earlier.filter(pl.col("protocol") != protocol.digest)
        if len(other):
            raise TableError(
                f"{folder / 'protocol.yaml'}: {len(other)} answers were given under another protocol; restore it, or "
                "judge under the new one in a folder of its own."
            )
        runs = read_runs(
            outputs, whole, reading=reading, label_map=label_map, split=split, separator=separator
        ) if protocol.round == "reasons" else {}  # fmt: skip
        return cls(folder, protocol, whole, pool_of(runs, whole, protocol))

    def session(self, judge: str) -> JudgeSession:
        """The session of one judge.

        Raises:
            TableError: The name cannot be one, or is not among those that the protocol names.
        """
        return JudgeSession(self, judge)

    def seen_of(self, task: Task) -> tuple[Case, tuple[Reference, ...]]:
        """What the protocol shows with a reason."""
        if task.statement:  # of the protocol, not of an item
            return Case(task.statement), ()
        case, own = self._cases[task.item_id], self._people.get(task.item_id, ())
        gold = "gold" in self.protocol.shown
        beside = references_of(own, [task.output_id], most=self.protocol.human_reasons, labels=gold) if own else ()
        return case if "context" in self.protocol.shown else case._replace(context=()), beside

    def _tasks(self) -> list[Task]:
        return [*self.pool.tasks.values(), *self.pool.training, *self.pool.attention]

    def _further(self) -> list[str]:
        notes = []
        digests = {task.output_id: task.digest for task in self._tasks()}
        answered = answers_of(self.folder).frame.filter(question=self.protocol.question_id)
        pairs = answered.select("output_id", "shown").unique().rows()
        changed = sum(output in digests and digests[output] != shown for output, shown in pairs)
        gone = sum(output not in digests for output, _ in pairs)
        if changed:
            notes.append(f"{changed} outputs were answered when they said something else")
        if gone:
            notes.append(f"{gone} outputs were answered that are not judged here any more")
        apart = [name for name in self.protocol.shown if name in _APART - {"context"}]
        if apart and any(check.statement for check in self.pool.attention):
            notes.append(
                f"attention checks whose text stands in the protocol show no {' or '.join(apart)}: they differ"
            )
        return notes


class JudgeSession:
    """One judge's way through the round; several of them, in any process, may be open for the same judge.

    Attributes:
        round: The round.
        judge: The judge's name as it is stored.
    """

    def __init__(self, judging: JudgingRound, judge: str) -> None:
        self.round, self.judge = judging, person_named(judge)
        self._queue = queue_of(judging.pool, judging.protocol, self.judge)
        self._places = {task.blind_id: place for place, task in enumerate(self._queue)}
        self._log = JudgeLog(judging.folder, judge)

    def next(self) -> Shown | None:
        """The first reason without an answer; None where all have one."""
        answers = self._answers()
        for place, task in enumerate(self._queue):
            if task.output_id not in answers:
                return self._shown(place, None)
        return None

    def show(self, blind_id: str) -> Shown:
        """A reason of the queue again, with the judge's answer.

        Raises:
            TableError: The judge has no reason of this name.
        """
        place = self._place(blind_id)
        return self._shown(place, self._answers().get(self._queue[place].output_id))

    def record(
        self,
        blind_id: str,
        value: str | None,
        *,
        error_types: Sequence[str] = (),
        note: str = "",
        token: str = "",
    ) -> Feedback | None:
        """Keep an answer, or change it; when this returns it is on the disk.

        Args:
            blind_id: The reason.
            value: One of the scale; None to skip.
            error_types: What is wrong with it, where it is rejected.
            note: In the judge's own words.
            token: Of what was shown.

        Returns:
            Feedback after a training item, whose first answer stands; else None.

        Raises:
            TableError: It cannot be written, and must not be acknowledged; or the judge has no reason of this name.
            ValueError: The value or an error type is none of the protocol's.
        """
        task = self._queue[self._place(blind_id)]
        self._check(value, error_types)
        protocol = self.round.protocol
        given = self._answers().get(task.output_id) if task.role == "training" else None
        if given is None:
            given = self._log.record(
                Answer(
                    protocol.question_id, task.output_id, task.run_id, task.item_id, value, sample=task.sample,
                    error_type="; ".join(error_types) or None, note=note or None, inclusion_prob=task.chance,
                    role=task.role, protocol=protocol.digest, shown=task.digest, key=token,
                )
            )  # fmt: skip
        return _feedback(task, given.value)

    def undo(self) -> Shown | None:
        """Take the last answer back; training stays.

        Returns:
            The reason that it was about, with the answer that stands now, if any; None where there is none to undo.

        Raises:
            TableError: It cannot be written; the answer stands.
        """
        places = {task.output_id: place for place, task in enumerate(self._queue) if task.role != "training"}
        for output, answer in reversed(self._answers().items()):
            if output in places:
                self._log.undo(answer.key)
                return self._shown(places[output], self._answers().get(output))
        return None

    def given(self) -> list[Given]:
        """The judge's answers that count, in the order in which they were given."""
        named = {task.output_id: task for task in self._queue}
        return [_given(named[output], a) for output, a in self._answers().items() if output in named]

    def progress(self) -> Progress:
        """How far the judge is."""
        answers = self._answers()
        training = [task for task in self._queue if task.role == "training"]
        own = [answers.get(task.output_id) for task in self._queue if task.role != "training"]
        return Progress(
            sum(answer is not None for answer in own),
            sum(answer is not None and answer.value is None for answer in own),
            len(own),
            sum(task.output_id in answers for task in training),
            len(training),
        )

    def _answers(self) -> dict[str, Answer]:
        asked = self.round.protocol.question_id
        return {answer.output_id: answer for answer in self._log.answers() if answer.question == asked}

    def _place(self, blind_id: str) -> int:
        if blind_id not in self._places:
            raise TableError(f"{self.judge!r} has no reason {blind_id!r} to judge.")
        return self._places[blind_id]

    def _shown(self, place: int, answer: Answer | None) -> Shown:
        task, protocol = self._queue[place], self.round.protocol
        case, references = self.round.seen_of(task)
        return Shown(
            task.blind_id, place + 1, case.statement, case.context, task.label, task.reason, case.gold, references,
            "" if protocol.blinded else task.run_id, task.role == "training", new_key(),
            None if answer is None else _given(task, answer),
            None if answer is None else _feedback(task, answer.value),
        )  # fmt: skip

    def _check(self, value: str | None, error_types: Sequence[str]) -> None:
        protocol = self.round.protocol
        if value is not None and value not in protocol.scale:
            raise ValueError(f"record: value must be {quoted(protocol.scale)} or None, found {value!r}")
        if isinstance(error_types, str):
            raise ValueError(f"record: error_types must be a list of texts, found {error_types!r}")
        if error_types and value != protocol.scale[1]:
            raise ValueError(f"record: error types go with {protocol.scale[1]!r} alone, found {value!r}")
        strange = [name for name in error_types if protocol.error_types and name not in protocol.error_types]
        if strange:
            raise ValueError(f"record: error types are {quoted(protocol.error_types)}, found {strange[0]!r}")


def _given(task: Task, answer: Answer) -> Given:
    types = tuple(name.strip() for name in (answer.error_type or "").split(";") if name.strip())
    return Given(task.blind_id, answer.value, types, answer.note or "", answer.at)


def _feedback(task: Task, value: str | None) -> Feedback | None:
    return Feedback(task.known, value == task.known, task.why) if task.role == "training" else None
