"""Every request in the order of arrival, with who asked and what came of it; a token is never kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Final, overload

_HIDDEN: Final = "(hidden)"
_SECRET: Final = re.compile(r"(?i)([?&]key=)[^&]*")


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request.

    Attributes:
        number: Its place since the hub was started, from 1.
        method: ``GET`` and so on.
        path: As sent, without the query.
        query: What stood behind the question mark; the key of a signed URL is hidden.
        user: Login of the token's owner, ``""`` without a (known) token.
        authorized: Whether an ``Authorization`` header came along.
        headers: All headers, names in small letters, the token hidden.
        status: What was answered; 0 where nothing was.
        received: Bytes of the request's body.
        sent: Bytes of the answer's body.
        writes: Whether it asked to change a repository, a ref or stored bytes.
        fault: The kind of the fault that struck it, ``""`` for none.
    """

    number: int
    method: str
    path: str
    query: str = ""
    user: str = ""
    authorized: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    status: int = 0
    received: int = 0
    sent: int = 0
    writes: bool = False
    fault: str = ""


class RequestLog(Sequence[LoggedRequest]):
    """The requests so far; an entry is complete before the client has its answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: list[LoggedRequest] = []

    def open(self, method: str, target: str, headers: Mapping[str, str], user: str) -> LoggedRequest:
        """Note that a request has come in."""
        path, _, query = target.partition("?")
        shown = {name.lower(): value for name, value in headers.items()}
        authorized = "authorization" in shown
        if authorized:
            shown["authorization"] = _HIDDEN
        query = _SECRET.sub(rf"\1{_HIDDEN}", "?" + query)[1:]
        with self._lock:
            number = len(self._entries) + 1
            entry = LoggedRequest(number, method, path, query, user, authorized, shown)
            self._entries.append(entry)
        return entry

    def note(self, number: int, **changes: Any) -> None:
        """Add to an entry what has become known."""
        with self._lock:
            self._entries[number - 1] = replace(self._entries[number - 1], **changes)

    def asked(self, method: str | None = None, path: str = "") -> list[LoggedRequest]:
        """The entries of this method whose path holds this regular expression."""
        return [one for one in self if method in (None, one.method) and re.search(path, one.path)]

    def writing(self) -> list[LoggedRequest]:
        """The entries that asked to change something."""
        return [one for one in self if one.writes]

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> LoggedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LoggedRequest]: ...
    def __getitem__(self, index: int | slice) -> LoggedRequest | Sequence[LoggedRequest]:
        with self._lock:
            return self._entries[index]
