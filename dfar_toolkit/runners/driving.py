"""Units are run to their end: in fixed batches on a local model, side by side on a server; what is done stays done.

Local: the units of the whole plan, the longest first, are cut into chunks. The cut does not look at what is done
already, so that a resumed run, or several processes, form the same batches and write the same numbers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from dfar_toolkit.engines.requests import Reply, Request
from dfar_toolkit.runners.units import Row, Unit
from dfar_toolkit.runners.workers import Worker

# What a kill may cost on a local model is the work of one chunk, and a process is given whole chunks.
CHUNK_UNITS: Final = 128
_LEAST_UNITS: Final = 16
_CHUNKS: Final = 16
CHUNK_CHARACTERS: Final = 400_000


class Local(Protocol):
    """A model that answers many requests at once."""

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies, in the order of the requests."""


class Served(Protocol):
    """A server that answers requests side by side."""

    async def ask(self, request: Request) -> Reply:
        """The reply."""


class Kept(Protocol):
    """Where rows go; a run folder that grows."""

    @property
    def done(self) -> Collection[str]:
        """Names of the units that need no further answer."""

    def add(self, unit: str, rows: list[Row]) -> None:
        """Keep the rows of a unit."""


class Progress(NamedTuple):
    """How far this process is: units answered in it or before, of how many, and how many of its own failed."""

    done: int
    total: int
    failed: int


def run_locally(
    units: Sequence[Unit],
    model: Local,
    kept: Kept,
    *,
    worker: Worker | None = None,
    chunk: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Answer this worker's share of the units that are not done, chunk by chunk.

    Args:
        units: The whole plan, the same in every process.
        model: The model.
        kept: Where rows go.
        worker: Which of several processes this is; None: the only one.
        chunk: Units that are answered together at most; None: a sixteenth of the plan, from 16 to 128.
        progress: Called after each chunk.

    Example:
        >>> class Echo:
        ...     def ask(self, requests): return [r.text for r in requests]
        >>> class Rows(dict):
        ...     done = ()
        ...     def add(self, unit, rows): self[unit] = rows
        >>> from dfar_toolkit.engines.requests import Classify
        >>> def steps(text):
        ...     reply = yield Classify(text)
        ...     return [{"raw": reply}]
        >>> rows = Rows()
        >>> run_locally([Unit("a", 1, lambda: steps("x"))], Echo(), rows)
        >>> rows
        {'a': [{'raw': 'x'}]}
    """
    mine = (worker or Worker(0, 1, 0)).share(chunks_of(units, chunk))
    before, total = set(kept.done), sum(map(len, mine))
    answered, failed = sum(unit.name in before for part in mine for unit in part), 0
    for part in mine:
        if all(unit.name in before for unit in part):
            continue
        for unit, rows in _in_lockstep(part, model):
            if unit.name not in before:
                kept.add(unit.name, rows)
                answered += 1
                failed += any(row.get("error") for row in rows)
        if progress is not None:
            progress(Progress(answered, total, failed))


def chunks_of(units: Sequence[Unit], most: int | None = None) -> list[list[Unit]]:
    """The units in chunks, the longest first: the most memory is asked for at once, not at the end.

    Example:
        >>> units = [Unit(name, size, lambda: iter(())) for name, size in (("a", 1), ("b", 9), ("c", 5))]
        >>> [[unit.name for unit in part] for part in chunks_of(units, 2)]
        [['b', 'c'], ['a']]
    """
    if most is None:
        most = min(max(math.ceil(len(units) / _CHUNKS), _LEAST_UNITS), CHUNK_UNITS)
    chunks: list[list[Unit]] = []
    characters = 0
    for unit in sorted(units, key=lambda u: (-u.size, u.name)):
        if not chunks or len(chunks[-1]) >= most or characters + unit.size > CHUNK_CHARACTERS:
            chunks.append([])
            characters = 0
        chunks[-1].append(unit)
        characters += unit.size
    return chunks


def _in_lockstep(units: Sequence[Unit], model: Local) -> Iterator[tuple[Unit, list[Row]]]:
    """All units one step further at a time; each with its rows as soon as it ends."""
    live: list[tuple[Unit, Any, Request | list[Request]]] = []
    for unit in units:
        steps = unit.start()
        try:
            live.append((unit, steps, next(steps)))
        except StopIteration as end:
            yield unit, end.value
    while live:
        asked = [request if isinstance(request, list) else [request] for _, _, request in live]
        replies = iter(model.ask([request for requests in asked for request in requests]))
        going: list[tuple[Unit, Any, Request | list[Request]]] = []
        for unit, steps, request in live:
            reply = [next(replies) for _ in request] if isinstance(request, list) else next(replies)
            try:
                going.append((unit, steps, steps.send(reply)))
            except StopIteration as end:
                yield unit, end.value
        live = going


def run_served(
    units: Sequence[Unit],
    server: Served,
    kept: Kept,
    *,
    worker: Worker | None = None,
    concurrency: int = 16,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Answer this worker's share of the units that are not done, so many at once; each is kept as it comes.

    Args:
        units: The whole plan, the same in every process.
        server: The server.
        kept: Where rows go.
        worker: Which of several processes this is; None: the only one.
        concurrency: Units under way at most.
        progress: Called after each unit.

    Raises:
        EngineError: The server answers nobody (a wrong key, an unknown model); what came before is kept.
    """
    asyncio.run(_side_by_side(units, server, kept, worker or Worker(0, 1, 0), concurrency, progress))


async def _side_by_side(
    units: Sequence[Unit],
    server: Served,
    kept: Kept,
    worker: Worker,
    concurrency: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    mine = worker.share(list(units))
    before = set(kept.done)
    waiting = iter([unit for unit in mine if unit.name not in before])
    state = Progress(sum(unit.name in before for unit in mine), len(mine), 0)

    async def work() -> None:
        nonlocal state
        for unit in waiting:  # shared: whoever is free takes the next
            rows = await _to_the_end(unit, server)
            kept.add(unit.name, rows)
            state = Progress(state.done + 1, state.total, state.failed + any(row.get("error") for row in rows))
            if progress is not None:
                progress(state)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, concurrency)):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        close = getattr(server, "close", None)
        if close is not None:
            await close()


async def _to_the_end(unit: Unit, server: Served) -> list[Row]:
    steps: Any = unit.start()
    try:
        request = next(steps)
        while True:
            if isinstance(request, list):
                # One after the other: the units go side by side, which is what the server is asked to bear.
                request = steps.send([await server.ask(one) for one in request])
            else:
                request = steps.send(await server.ask(request))
    except StopIteration as end:
        rows: list[Row] = end.value
        return rows
