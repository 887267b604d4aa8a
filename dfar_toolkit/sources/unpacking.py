"""Take the wanted files out of a tar or zip archive that may be hostile: nothing outside the folder, no links."""

from __future__ import annotations

import errno
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from dfar_toolkit.errors import SourceError
from dfar_toolkit.tabular import quoted

MOST_BYTES: Final = 4 << 30
MOST_MEMBERS: Final = 200_000
_CHUNK: Final = 1 << 20
_DAMAGED: Final = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
                   OverflowError, NotImplementedError)  # fmt: skip
_JUNK: Final = ("__MACOSX", ".DS_Store")  # what macOS adds, as it adds files that begin with "._"


class _Member(NamedTuple):
    name: str
    is_file: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Sequence[str],
    most_bytes: int = MOST_BYTES,
    most_members: int = MOST_MEMBERS,
) -> list[str]:
    """Write the wanted members of an archive below a folder.

    Args:
        archive: A tar (plain or compressed) or zip file.
        folder: An empty folder of its own, so that a refused archive leaves nothing behind elsewhere.
        wanted: Patterns such as ``*.csv`` for the members' paths.
        most_bytes: The most bytes that may come out of it.
        most_members: The most members it may have.

    Returns:
        The names of the files, relative to the folder, with ``/``, in the archive's order.

    Raises:
        SourceError: Not an archive, damaged, too large, without a wanted member; or a member that is a link or a
            device, or whose name is absolute, leaves the folder, or stands there twice.
    """
    names: list[str] = []
    left = most_bytes
    try:
        with _opened(archive) as members:
            for count, member in enumerate(members):
                if count >= most_members:
                    raise SourceError(f"{archive.name}: more than {most_members:,} members; not unpacked.")
                path = _safe(archive, member)
                if not _is_wanted(member, path, wanted):
                    continue
                target = folder / path
                if target.exists():
                    raise SourceError(f"{archive.name}: {quoted([str(path)])} stands in it twice; not unpacked.")
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _copied(member, target, left)
                if left < 0:
                    raise SourceError(f"{archive.name}: unpacks to more than {most_bytes:,} bytes; not unpacked.")
                names.append(str(path))
    except _DAMAGED as fault:
        raise SourceError(f"{archive.name}: damaged, or not an archive of a known kind ({fault}).") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise SourceError(f"{archive.name}: one name in it is both a file and a folder; not unpacked.") from None
    except OSError as fault:
        if fault.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):  # these come from what the archive says
            raise
        raise SourceError(f"{archive.name}: damaged ({fault.strerror or fault}).") from None
    if not names:
        raise SourceError(f"{archive.name}: wanted {quoted(wanted)} in it; found no such file.")
    return names


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield (_zip_member(archive, packed, info) for info in packed.infolist())
    else:
        with tarfile.open(archive, "r:*") as tar:
            yield (_tar_member(archive, tar, info) for info in tar)


def _zip_member(archive: Path, packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    name = info.orig_filename  # not cut at a null byte, as the other one is
    kind = (info.external_attr >> 16) & 0o170000
    if kind not in (0, 0o100000, 0o040000):
        raise SourceError(f"{archive.name}: {quoted([name])} is a link or a device; not unpacked.")
    if info.flag_bits & 1:
        raise SourceError(f"{archive.name}: {quoted([name])} is locked by a password; not unpacked.")
    return _Member(name, not name.endswith("/"), lambda: packed.open(info))


def _tar_member(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    if not (info.isreg() or info.isdir()):
        raise SourceError(f"{archive.name}: {quoted([info.name])} is a link or a device; not unpacked.")

    def opened() -> IO[bytes]:
        file = tar.extractfile(info)
        assert file is not None  # it is a regular file
        return file

    return _Member(info.name, info.isreg(), opened)


def _safe(archive: Path, member: _Member) -> PurePosixPath:
    """The member's path, which stays below the folder on every system."""
    path = PurePosixPath(member.name)
    bad = path.is_absolute() or ".." in path.parts or "\\" in member.name or re.match(r"[A-Za-z]:", member.name)
    if bad or not (path.parts or not member.is_file) or not member.name.isprintable():
        raise SourceError(f"{archive.name}: the name {quoted([member.name])} leads out of the folder; not unpacked.")
    return path


def _is_wanted(member: _Member, path: PurePosixPath, wanted: Sequence[str]) -> bool:
    if not member.is_file or path.name.startswith("._") or any(part in _JUNK for part in path.parts):
        return False
    return any(fnmatchcase(str(path), pattern) for pattern in wanted)


def _copied(member: _Member, target: Path, most: int) -> int:
    """Copy a member; stop as soon as it is longer than what is left."""
    done = 0
    with member.open() as packed, target.open("xb") as file:
        while done <= most and (piece := packed.read(_CHUNK)):
            done += len(piece)
            if done <= most:
                file.write(piece)
    return done
