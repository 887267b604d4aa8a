"""Faults by order: which request goes wrong, how, and how often."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

FaultKind = Literal["status", "status_after", "drop_before", "drop_after", "truncate", "flip", "hang", "hang_after"]
KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and with which requests.

    The kinds: ``status`` answers with ``status``, ``headers`` and ``body`` and does nothing; ``status_after`` does what
    was asked first. ``drop_before`` closes the connection before the request's body is read; ``drop_after`` does what
    was asked and then closes it (**the commit happens, the answer is lost**). ``truncate`` announces the whole body and
    closes the connection after ``at`` bytes of it (by default half; without a body the first line is cut). ``flip``
    changes one bit of byte ``at`` of the body (by default the middle one; without a body nothing). ``hang`` waits
    ``seconds`` and then serves as usual, unless the client has gone: then nothing was done. ``hang_after`` does what
    was asked, waits ``seconds`` and answers.

    Attributes:
        kind: One of the above.
        method: Only requests of this method.
        path: Only requests whose decoded target (``/path?query``) holds this regular expression.
        nth: The first of the matching requests that fails, counted from 1 since the fault was set.
        request: Instead of ``nth``: the first number in the hub's log that fails.
        times: How many fail; None: all from there on.
        status: For the status kinds.
        headers: For the status kinds.
        body: For the status kinds.
        at: A place in the body, for ``truncate`` and ``flip``.
        seconds: For the hanging kinds.
    """

    kind: FaultKind
    method: str | None = None
    path: str = ""
    nth: int = 1
    request: int | None = None
    times: int | None = 1
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    at: int | None = None
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, found {self.kind!r}.")
        for name, value in (("nth", self.nth), ("request", self.request), ("times", self.times)):
            if value is not None and value < 1:
                raise ValueError(f"{name} counts from 1, found {value}.")
        re.compile(self.path)


@dataclass(slots=True)
class SetFault:
    """A fault at work. ``seen`` counts the requests that matched, ``fired`` those that failed."""

    fault: Fault
    seen: int = 0
    fired: int = 0

    def takes(self, method: str, target: str, number: int) -> bool:
        """Count a request and say whether it is one to fail."""
        fault = self.fault
        if fault.method not in (None, method) or not re.search(fault.path, target):
            return False
        self.seen += 1
        late = self.seen - fault.nth if fault.request is None else number - fault.request
        return late >= 0 and (fault.times is None or late < fault.times)


class Faults:
    """The faults that are set; the first that takes a request fails it, the others count it all the same."""

    def __init__(self) -> None:
        self._set: list[SetFault] = []

    def add(self, fault: Fault) -> SetFault:
        """Set a fault and give its counters."""
        self._set.append(SetFault(fault))
        return self._set[-1]

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._set.clear()

    def choose(self, method: str, target: str, number: int) -> Fault | None:
        """The fault of this request, None where it goes well."""
        taking = [one for one in list(self._set) if one.takes(method, target, number)]
        for one in taking[:1]:
            one.fired += 1
        return taking[0].fault if taking else None


def flipped(parts: Iterator[bytes], at: int) -> Iterator[bytes]:
    """The pieces with the lowest bit of byte ``at`` changed.

    Example:
        >>> b"".join(flipped(iter([b"ab", b"cd"]), 2))
        b'abbd'
    """
    start = 0
    for part in parts:
        if start <= at < start + len(part):
            within = at - start
            yield part[:within] + bytes([part[within] ^ 1]) + part[within + 1 :]
        else:
            yield part
        start += len(part)


def cut(parts: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The first ``length`` bytes of the pieces.

    Example:
        >>> b"".join(cut(iter([b"ab", b"cd"]), 3))
        b'abc'
    """
    left = length
    for part in parts:
        yield part[:left]
        left -= len(part[:left])
        if not left:
            return
