"""What there is to judge, and each judge's queue: a function of the protocol, the texts and the judge's name alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judge_log import Role
from dfar_toolkit.journeys.judge_session_protocol import KnownItem, SessionProtocol
from dfar_toolkit.journeys.texts_to_judge import texts_of_people, texts_of_runs
from dfar_toolkit.metrics.judging.judge_plan import assignment_plan
from dfar_toolkit.runners.units import seed_of
from dfar_toolkit.tables import HUMAN_RUN

_NONE: Final = "(none)"  # the label of a reason whose label nobody could read
_OWN: Final = "protocol"  # run and item of a text that stands in the protocol


@dataclass(frozen=True, slots=True)
class Task:
    """A reason to judge, with all that judges must not see.

    Attributes:
        output_id: Of the output.
        item_id: Its item.
        run_id: Its run.
        sample: Its sample number.
        label: The label that it is for.
        reason: The reason.
        blind_id: The name that judges see; the same for all of them, and says nothing of run, item or role.
        role: Whether it counts, or its answer is known.
        statement: Where the protocol gives the text.
        known: The known answer; empty where there is none.
        why: What is said after a training item.
        chance: That people judge it at all; None where that depends on who comes.
    """

    output_id: str
    item_id: str
    run_id: str
    sample: int
    label: str
    reason: str
    blind_id: str = ""
    role: Role = "judging"
    statement: str = ""
    known: str = ""
    why: str = ""
    chance: float | None = None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the label and the reason: whether they are still what was judged."""
        return hashlib.sha256(f"{self.label}\x1f{self.reason}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Pool:
    """All that is judged in one round.

    Attributes:
        tasks: Reasons that count, by output id.
        training: Training items in the order of the protocol.
        attention: Attention checks.
        shared: Output ids that all judges get.
        assigned: Output ids by judge, where the protocol names the judges.
        notes: What must be known of it.
    """

    tasks: Mapping[str, Task]
    training: Sequence[Task]
    attention: Sequence[Task]
    shared: frozenset[str]
    assigned: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]


def pool_of(runs: Mapping[str, pl.DataFrame], folder: ItemsFolder, protocol: SessionProtocol) -> Pool:
    """Gather what there is to judge.

    Args:
        runs: Outputs by run; none are needed in a validity round.
        folder: The items.
        protocol: The protocol.

    Raises:
        TableError: There is nothing to judge, or the protocol names an output that is not there.
    """
    rows = _texts(runs, folder, protocol)
    by_id = {row["output_id"]: row for row in rows.iter_rows(named=True)}
    training = [_known(by_id, item, "training", k) for k, item in enumerate(protocol.training, start=1)]
    attention = [_known(by_id, item, "attention", k) for k, item in enumerate(protocol.attention, start=1)]
    aside = {task.output_id for task in (*training, *attention)}
    if len(aside) < len(training) + len(attention):
        raise TableError("judge: an output stands among the training items or attention checks twice.")
    plan = _plan(rows.filter(~pl.col("output_id").is_in(list(aside))), protocol)
    tasks = {row["output_id"]: _task(by_id[row["output_id"]], row["inclusion_prob"], protocol)
             for row in plan.unique("output_id").sort("output_id").iter_rows(named=True)}  # fmt: skip
    if not tasks:
        raise TableError("judge: nothing is left to judge beside the items with a known answer.")
    named = _blind_ids([*tasks, *(task.output_id for task in (*training, *attention))], protocol.seed)
    assigned = {str(judge): part["output_id"].to_list() for (judge,), part in plan.group_by("judge_id")}
    return Pool(
        {name: replace(task, blind_id=named[name]) for name, task in tasks.items()},
        [replace(task, blind_id=named[task.output_id]) for task in training],
        [replace(task, blind_id=named[task.output_id]) for task in attention],
        frozenset(plan.filter("overlap")["output_id"]),
        assigned if protocol.judges else {},
        _notes(protocol, runs, rows, aside & set(by_id)),
    )


def queue_of(pool: Pool, protocol: SessionProtocol, judge: str) -> list[Task]:
    """What a judge judges, in order: training, then reasons by lot with an attention check among every so many.

    The order is a lot of its own for each judge and reason, so that a run that is added moves no other.

    Raises:
        TableError: The protocol names the judges, and this is none of them.
    """
    if pool.assigned and judge not in pool.assigned:
        raise TableError(f"the protocol names who judges, and {judge!r} is not among them.")
    own = pool.assigned.get(judge, tuple(pool.tasks))
    if protocol.reasons_per_judge is not None:

        def lot(name: str) -> tuple[bool, int]:  # the overlap in one order for all, so that it is the same
            common = name in pool.shared
            return not common, seed_of(protocol.seed, "" if common else judge, name, "drawn")

        own = sorted(own, key=lot)[: protocol.reasons_per_judge]
    ordered = sorted(own, key=lambda name: seed_of(protocol.seed, judge, name, "order"))
    return [*pool.training, *_with_checks([pool.tasks[name] for name in ordered], pool.attention, protocol, judge)]


def _with_checks(tasks: Sequence[Task], checks: Sequence[Task], protocol: SessionProtocol, judge: str) -> list[Task]:
    """One check at a place by lot among every so many tasks, each check once at most."""
    every = protocol.attention_every
    rest = sorted(checks, key=lambda task: seed_of(protocol.seed, judge, task.output_id, "check"))
    found: list[Task] = []
    for start in range(0, len(tasks), every):
        block = list(tasks[start : start + every])
        if rest and len(block) == every:
            block.insert(seed_of(protocol.seed, judge, start, "place") % every, rest.pop(0))
        found += block
    return found


def _texts(runs: Mapping[str, pl.DataFrame], folder: ItemsFolder, protocol: SessionProtocol) -> pl.DataFrame:
    """Reasons of the runs and of people on the same items, or of people alone."""
    if protocol.round == "validity":
        people = texts_of_people(folder, folder.items["item_id"])
        if not len(people):
            raise TableError(f"{folder.path}: people gave no reasons; there are no label-and-reason pairs to judge.")
        return _some(people, protocol)
    of_runs = texts_of_runs(runs, folder) if runs else None
    if of_runs is None or not len(of_runs):
        raise TableError("judge: no run gave a reason; there is nothing to judge.")
    people = _some(texts_of_people(folder, of_runs["item_id"]), protocol)
    return pl.concat([of_runs, people])


def _some(people: pl.DataFrame, protocol: SessionProtocol) -> pl.DataFrame:
    """Of people's reasons on each item as many as asked for, by lot."""
    own = people.drop("annotator_id")
    if protocol.human_per_item is None:
        return own
    lots = pl.Series("lot", [seed_of(protocol.seed, name, "human") for name in own["output_id"]], dtype=pl.Int64)
    drawn = pl.col("lot").rank("ordinal").over("item_id") <= protocol.human_per_item
    return own.with_columns(lots).filter(drawn).drop("lot")


def _plan(rows: pl.DataFrame, protocol: SessionProtocol) -> pl.DataFrame:
    judges = list(protocol.judges) or ["whoever comes"]
    return assignment_plan(
        rows.select("output_id", "item_id", "run_id"), judges=judges,
        per_item=min(protocol.judges_per_item, len(judges)), overlap=protocol.overlap, share=protocol.share_of_items,
        seed=protocol.seed,
    )  # fmt: skip


def _task(row: Mapping[str, object], chance: float, protocol: SessionProtocol) -> Task:
    limited = protocol.reasons_per_judge is not None
    return Task(
        str(row["output_id"]), str(row["item_id"]), str(row["run_id"]), int(str(row["sample"])),
        str(row["label"] or _NONE), str(row["text"]).strip(), chance=None if limited else chance,
    )  # fmt: skip


def _known(by_id: Mapping[str, Mapping[str, object]], item: KnownItem, role: Role, number: int) -> Task:
    if not item.output_id:
        name = f"{_OWN}/{role}/{number}"
        return Task(name, _OWN, _OWN, 0, item.label, item.reason.strip(), role=role, statement=item.statement,
                    known=item.value, why=item.why)  # fmt: skip
    row = by_id.get(item.output_id)
    if row is None:
        raise TableError(
            f"judge: {role} item {number} of the protocol is {item.output_id!r}, which is not judged here."
        )
    return Task(
        item.output_id, str(row["item_id"]), str(row["run_id"]), int(str(row["sample"])), str(row["label"] or _NONE),
        str(row["text"]).strip(), role=role, known=item.value, why=item.why,
    )  # fmt: skip


def _blind_ids(names: Sequence[str], seed: int) -> dict[str, str]:
    """Names by lot: r0001, r0002, ..."""
    drawn = sorted(names, key=lambda name: seed_of(seed, name, "blind"))
    width = len(str(len(drawn)))
    return {name: f"r{k:0{width}d}" for k, name in enumerate(drawn, start=1)}


def _notes(
    protocol: SessionProtocol, runs: Mapping[str, pl.DataFrame], rows: pl.DataFrame, aside: set[str]
) -> tuple[str, ...]:
    there = set(rows["run_id"])
    notes = [f"{run} has no reasons" for run in runs if run not in there and protocol.round == "reasons"]
    if HUMAN_RUN not in there:
        notes.append("no human reason is judged: the misalignment rates will have no floor")
    if aside:
        notes.append(
            f"{len(aside)} outputs with a known answer are training items or attention checks and count in no rate"
        )
    if protocol.reasons_per_judge is not None:
        notes.append("reasons_per_judge is set: how likely a reason is to be judged depends on who comes")
    return tuple(notes)
