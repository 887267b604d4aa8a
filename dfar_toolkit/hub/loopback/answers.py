"""What a route gives back: a status, headers, and a body in memory or a part of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body; ``file`` (from ``start``, ``length`` bytes) stands in for ``body``."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: Path | None = None
    start: int = 0
    length: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.length if self.file else len(self.body)

    def parts(self) -> Iterator[bytes]:
        """The body in pieces."""
        if self.file is None:
            yield self.body
            return
        left = self.length
        with self.file.open("rb") as file:
            file.seek(self.start)
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error
    """An answer that ends the request at once: the client asked for what it may not have or what is not there."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        more = {"X-Error-Code": code} if code else {}
        plain = message.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
        self.answer = json_answer({"error": message}, status, {**more, "X-Error-Message": plain, **(headers or {})})


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A value as JSON; what JSON has no word for (a date in a card) is written as text."""
    body = json.dumps(value, default=str, skipkeys=True).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def no_entry(path: str, commit: str = "") -> Refusal:
    """There is no such file or folder."""
    return Refusal(404, f"Entry {path} not found", "EntryNotFound", {"X-Repo-Commit": commit} if commit else None)


def no_revision(revision: str) -> Refusal:
    """There is no such branch, tag or commit."""
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
