r"""A file of one person's lines that is only ever appended to, safe with any number of processes and threads.

A line is an object of JSON that ends in a checksum:

    {"key":"6f1c","at":"2025-03-01T10:00:00.000Z","judge_id":"Ann","value":"good","crc32":1835297411}

It is handed to the system in one write at the end of the file and flushed to the disk before it is acknowledged;
writers of one file wait for each other. A line that does not end in a checksum was torn by a crash: it was never
acknowledged and is left out, and the next line begins on a line of its own. A line with a wrong checksum was changed.
Cost: of a line the flush to the disk; a reader keeps what it has read and reads new bytes alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
import unicodedata
import uuid
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.run_settings import sync_folder
from dfar_toolkit.files.run_shards import writable
from dfar_toolkit.tables import MODEL_JUDGE

_ENDING: Final = re.compile(rb'(.+),"crc32":(\d{1,10})\}', re.DOTALL)
_LONGEST_NAME: Final = 200  # characters
_LONGEST_LINE: Final = 1 << 24  # bytes


def person_named(name: str) -> str:
    r"""The name of a judge as it is stored: composed, half surrogate pairs replaced, blanks and controls as one space.

    Raises:
        TableError: Nothing is left of it, it is too long, or it is the name of a judge model.

    Example:
        >>> person_named("  Ann\n Lee ")
        'Ann Lee'
    """
    whole = unicodedata.normalize("NFC", writable(name))
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Zs") else c for c in whole)
    plain = " ".join(plain.split())
    if not plain or len(plain) > _LONGEST_NAME:
        raise TableError(f"a judge's name must have 1 to {_LONGEST_NAME} characters, found {len(plain):,}.")
    if plain.casefold().startswith(MODEL_JUDGE):
        raise TableError(
            f"a person's name cannot begin with {MODEL_JUDGE!r}, which marks judge models; found {plain!r}."
        )
    return plain


def file_of(name: str) -> str:
    """The name of a judge's file: its letters and digits for people, a digest of the whole name for certainty.

    Example:
        >>> file_of("../Ann"), file_of("../ann") == file_of("../Ann")
        ('ann-eb82557102233f16.jsonl', False)
    """
    seen = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "judge"
    return f"{seen}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.jsonl"


def new_key() -> str:
    """A key for an answer that is about to be given: sent twice, it is recorded once."""
    return uuid.uuid4().hex


def now() -> str:
    """The time as it stands in a line."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AppendedLines:
    """A file of one person's lines that only grows, for any number of processes and threads.

    Attributes:
        path: The file; made with the first line, as are its folders.
        torn: Lines so far that a crash left half-written; they are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.torn = path, 0
        self._mutex = threading.RLock()
        self._settled = False
        self._forget((0, 0))

    def append(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add a line; when this returns it is on the disk.

        Args:
            row: Holds a ``key``; a line with this key is written once, however often it is sent.

        Returns:
            The line as it stands in the file: the earlier one, where there was one with this key.

        Raises:
            TableError: It is too long or cannot be written, and is not acknowledged; what was written before is kept.
        """
        line = _encoded(row)
        with self._mutex:
            try:
                self._append(str(row["key"]), line)
            except OSError as error:
                raise TableError(
                    f"{self.path}: this answer could not be kept ({error.strerror}); the earlier ones are. Free some "
                    "space or allow writing there, and give it again."
                ) from error
            return self._rows[self._keys[row["key"]]]

    def rows(self) -> list[dict[str, Any]]:
        """All whole lines so far, in their order, those of other processes too; only bytes that are new are read.

        Raises:
            TableError: The file cannot be read, or a whole line was changed.
        """
        with self._mutex:
            try:
                self._refresh()
            except OSError as error:
                raise TableError(f"{self.path}: cannot be read ({error.strerror}).") from error
            return list(self._rows)

    def _append(self, key: str, line: bytes) -> None:
        handle = self._opened()
        try:
            held = _locked(handle)
            self._refresh()
            if key not in self._keys:
                whole = held and self._offset == os.fstat(handle).st_size
                _write_once(handle, line if whole else b"\n" + line)
            os.fsync(handle)  # also of a line that was there: who wrote it may have died before doing so
        finally:
            os.close(handle)
        self._refresh()

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        if not self._settled:  # whoever made the file may have died before its name was on the disk
            sync_folder(self.path.parent)
            sync_folder(self.path.parent.parent)
            self._settled = True
        return handle

    def _forget(self, identity: tuple[int, int]) -> None:
        self._identity, self._offset, self._lines, self.torn = identity, 0, 0, 0
        self._rows: list[dict[str, Any]] = []
        self._keys: dict[str, int] = {}

    def _refresh(self) -> None:
        """Read the whole lines that were added since the last look."""
        try:
            handle = self.path.open("rb")
        except FileNotFoundError:
            return self._forget((0, 0))
        with handle:
            found = os.fstat(handle.fileno())
            if (found.st_dev, found.st_ino) != self._identity or found.st_size < self._offset:
                self._forget((found.st_dev, found.st_ino))
            handle.seek(self._offset)
            data = handle.read()
        used = data.rfind(b"\n") + 1
        for line in data[:used].split(b"\n")[:-1]:
            self._take(line, self._lines + 1)
            self._lines += 1
            self._offset += len(line) + 1

    def _take(self, line: bytes, number: int) -> None:
        if not line:
            return
        ending = _ENDING.fullmatch(line)
        if ending is None:
            self.torn += 1
            return
        body = ending[1] + b"}"
        if zlib.crc32(body) != int(ending[2]):
            raise TableError(
                f"{self.path}: line {number} was changed or the disk is damaged (its checksum is not that of its "
                "content); restore the file, or remove this line: answers are changed by giving them again."
            )
        row = json.loads(body)
        if not isinstance(row.get("key"), str):
            raise TableError(f"{self.path}: line {number} is none of ours: it has no key; remove it.")
        if row["key"] not in self._keys:
            self._keys[row["key"]] = len(self._rows)
            self._rows.append(row)


def _encoded(row: Mapping[str, Any]) -> bytes:
    body = json.dumps(writable(row), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > _LONGEST_LINE:
        raise TableError(f"an answer with its note may take {_LONGEST_LINE >> 20} MiB, found {len(body) >> 20} MiB.")
    return b'%s,"crc32":%d}\n' % (body[:-1], zlib.crc32(body))


def _write_once(handle: int, line: bytes) -> None:
    if os.write(handle, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(handle: int) -> bool:
    """Wait for the file's other writers; whether this system can. Closing the file lets go, and so does dying."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return False
    return True


def rows_by_person(folder: Path, person: str) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """The lines of all files in a folder by the person in the field ``person``, and how many were torn.

    A copy of a file (of a folder that is kept in step between machines) adds nothing twice.

    Raises:
        TableError: A file cannot be read, or was changed.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    torn, mixed = 0, set()
    for path in sorted(folder.glob("*.jsonl")):
        lines = AppendedLines(path)
        for row in lines.rows():
            if not isinstance(row.get(person), str):
                raise TableError(f'{path}: the line of key "{row["key"][:60]}" does not say whose it is; remove it.')
            if path.name != file_of(row[person]):
                mixed.add(row[person])
            found.setdefault(row[person], {}).setdefault(row["key"], row)
        torn += lines.torn
    by = {name: list(rows.values()) for name, rows in found.items()}
    for name in mixed:  # lines of two files: by the clock, which one file needs not
        by[name].sort(key=lambda row: str(row["at"]))
    return by, torn
