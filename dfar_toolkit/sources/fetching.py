"""Fetch a source's published files into a folder: checked, resumable, unpacked safely, with a record beside them.

``fetched.json`` in the folder lists every file with the address it came from, its sha256 and its size. A checksum that
the table of published files does not know is taken from there ever after: a file that changes upstream is noticed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.published_files import PublishedFile, published
from dfar_toolkit.sources.resuming_download import Progress, ResumingDownload
from dfar_toolkit.sources.unpacking import unpack

RECORD: Final = "fetched.json"
_ROOM: Final = ".fetch-"


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """One line of ``fetched.json``; ``archive`` is the published file it was unpacked from, else empty."""

    name: str
    address: str
    sha256: str
    bytes: int
    archive: str = ""
    archive_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch left in the folder: all its files, and the names of those that were there before."""

    folder: Path
    files: tuple[FetchedFile, ...]
    already: tuple[str, ...]


def fetch(
    spec: str,
    folder: Path | str,
    *,
    mirror: str = "",
    progress: Progress | None = None,
    timeouts: tuple[float, float] = (10.0, 30.0),
    tries: int = 5,
    pause: float = 0.5,
) -> Fetched:
    """Download the published files of a source into a folder; files that are there and right are not fetched again.

    One call at a time for a folder.

    Args:
        spec: ``SOURCE`` or ``SOURCE:SET``, as :func:`~dfar_toolkit.sources.published_files.published` knows it.
        folder: Where to; made if it is absent.
        mirror: Instead of the published addresses: one under which all files of the source stand by their own names.
        progress: Called with a file's name, the bytes that are here and the bytes in all (``None``: not known).
        timeouts: Seconds to wait for a connection, and for the next piece.
        tries: Tries in a row without a new byte before it gives up.
        pause: Seconds before the second try; doubled each time.

    Returns:
        Every file of the source, archives unpacked.

    Raises:
        SourceError: No address is known (the message says where to get it), or a download, a checksum, an archive or
            the folder is not as it must be. What was downloaded stays, and the next call goes on from there.
        ValueError: ``mirror`` is not an http(s) address.

    Example:
        >>> fetch("table", "raw")
        Traceback (most recent call last):
        dfar_toolkit.errors.SourceError: table: no address is known; it is a file of your own: give it to dfar build \
table --raw FILE.
    """
    entry = published(spec)
    if not entry.files:
        raise SourceError(f"{entry.spec}: no address is known; {entry.where}.")
    parts = urlsplit(mirror)
    if mirror and not (parts.scheme in ("http", "https") and parts.hostname and not parts.query):
        raise ValueError(f"mirror: wanted an address such as https://host/folder, found {mirror!r}")
    place = Path(folder)
    _make(place)
    downloads = _Downloads(place, mirror.rstrip("/"), progress, timeouts, tries, pause)
    return Fetched(place, *_all_of(downloads, entry.files))


@dataclass(frozen=True, slots=True)
class _Downloads:
    folder: Path
    mirror: str
    progress: Progress | None
    timeouts: tuple[float, float]
    tries: int
    pause: float

    def address(self, file: PublishedFile) -> str:
        return f"{self.mirror}/{file.address.rpartition('/')[2]}" if self.mirror else file.address

    def get(self, file: PublishedFile, sha256: str | None, to: Path) -> None:
        """Download to ``to``; a rest that does not fit what was here is thrown away and all is downloaded once more."""
        address = self.address(file)
        part = self.folder / f".{file.name}.part"
        once = ResumingDownload(
            part, file.name, file.redirects, sha256 is not None, self.timeouts, self.tries, self.pause, self.progress
        )
        for last in (False, True):
            found = self._retrieved(address, once, to)
            if sha256 in (None, found):
                return
            to.unlink()
            if not once.resumed or last:
                raise SourceError(
                    f"{address}: wanted the sha256 {sha256}, found {found}; the file there is another one, so it was "
                    "not kept. Look at the source's homepage for a new version, or name a mirror with --from."
                )
            once.resumed = False

    def _retrieved(self, address: str, download: ResumingDownload, to: Path) -> str:
        try:
            import pooch
        except ModuleNotFoundError:
            raise SourceError("fetching needs pooch: pip install 'dfar-toolkit[sources]'.") from None
        pooch.get_logger().setLevel("ERROR")
        pooch.retrieve(address, known_hash=None, fname=to.name, path=to.parent, downloader=cast("Any", download))
        return _sha256(to)


def _all_of(downloads: _Downloads, files: tuple[PublishedFile, ...]) -> tuple[tuple[FetchedFile, ...], tuple[str, ...]]:
    record = _read_record(downloads.folder)
    fetched: list[FetchedFile] = []
    already: list[str] = []
    for file in files:
        here = _present(downloads.folder, file, record)
        already += [known.name for known in here]
        if not here:
            try:
                here = (_unpacked if file.unpack else _single)(downloads, file, record)
                record |= {known.name: known for known in here}
                _write_record(downloads.folder, record)
            except OSError as fault:
                if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise SourceError(
                    f"{downloads.folder}: no room left on the disk for {file.name}; make room and run it again."
                ) from None
        fetched += here
    return tuple(fetched), tuple(already)


def _present(folder: Path, file: PublishedFile, record: dict[str, FetchedFile]) -> list[FetchedFile]:
    """The files that need not be fetched: there, and with the right checksum; none if any has to be."""
    if not file.unpack:
        known = record.get(file.name)
        sha256 = file.sha256 or (known.sha256 if known else None)
        path = folder / file.name
        if sha256 is None or not path.exists():
            return []
        _same(path, sha256)
        right = known is not None and known.sha256 == sha256
        return [known if known and right else FetchedFile(file.name, file.address, sha256, path.stat().st_size)]
    members = [known for known in record.values() if known.archive == file.name]
    if not members or any(not (folder / known.name).exists() for known in members):
        return []
    for known in members:
        _same(folder / known.name, known.sha256)
    return members


def _single(downloads: _Downloads, file: PublishedFile, record: dict[str, FetchedFile]) -> list[FetchedFile]:
    known = record.get(file.name)
    target = downloads.folder / file.name
    with tempfile.TemporaryDirectory(prefix=_ROOM, dir=downloads.folder) as room:
        arrived = Path(room) / file.name
        downloads.get(file, file.sha256 or (known.sha256 if known else None), arrived)
        sha256, n_bytes = _sha256(arrived), arrived.stat().st_size
        _put(arrived, target, sha256)
    return [FetchedFile(file.name, downloads.address(file), sha256, n_bytes)]


def _unpacked(downloads: _Downloads, file: PublishedFile, record: dict[str, FetchedFile]) -> list[FetchedFile]:
    before = {known.name: known.sha256 for known in record.values() if known.archive == file.name}
    with tempfile.TemporaryDirectory(prefix=_ROOM, dir=downloads.folder) as room:
        arrived, inside = Path(room) / file.name, Path(room) / "members"
        downloads.get(file, file.sha256, arrived)
        names = unpack(arrived, inside, wanted=file.unpack)
        sums = {name: _sha256(inside / name) for name in names}
        changed = [name for name in before if sums.get(name) != before[name]]
        if changed:
            raise SourceError(
                f"{downloads.address(file)}: {RECORD} wants {changed[0]} with the sha256 {before[changed[0]]}, found "
                f"{sums.get(changed[0], 'no such file')}; use a new folder for the new version."
            )
        here, whole = [], _sha256(arrived)
        for name in names:
            n_bytes = (inside / name).stat().st_size
            _put(inside / name, downloads.folder / name, sums[name])
            here.append(FetchedFile(name, downloads.address(file), sums[name], n_bytes, file.name, whole))
    return here


def _put(arrived: Path, target: Path, sha256: str) -> None:
    """Move a checked file into place; a file of that name that is another one is left alone."""
    if target.name == RECORD or target.is_dir():
        raise SourceError(f"{target}: a published file has this name; use another folder.")
    if target.exists():
        _same(target, sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SourceError(f"{target.parent}: wanted a folder; found a file. Use another folder.") from None
    arrived.replace(target)


def _same(path: Path, sha256: str) -> None:
    found = _sha256(path) if path.is_file() else "a folder"
    if found != sha256:
        raise SourceError(
            f"{path}: wanted the sha256 {sha256}, found {found}: it was changed, or is another version. Move it away "
            "and fetch again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SourceError(f"{folder}: wanted a folder to fetch into; found a file. Name another with --to.") from None
    for killed in folder.glob(f"{_ROOM}*"):  # of a call that could not clean up
        shutil.rmtree(killed, ignore_errors=True)


def _read_record(folder: Path) -> dict[str, FetchedFile]:
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        files = [FetchedFile(**row) for row in json.loads(path.read_text(encoding="utf-8"))["files"]]
        if not all(isinstance(file.name, str) and isinstance(file.sha256, str) for file in files):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise SourceError(
            f"{path}: wanted the list of fetched files that an earlier fetch wrote; it is damaged. Move it away."
        ) from None
    return {file.name: file for file in files}


def _write_record(folder: Path, record: dict[str, FetchedFile]) -> None:
    rows = [asdict(record[name]) for name in sorted(record)]
    text = json.dumps({"files": rows}, ensure_ascii=False, indent=1) + "\n"
    handle, name = tempfile.mkstemp(prefix=f".{RECORD}-", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(folder / RECORD)
