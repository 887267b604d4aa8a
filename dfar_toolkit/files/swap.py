"""Replace a folder as a whole: build beside it, move the old one aside, move the new one in, delete the old one.

A process that dies in between leaves the old folder under its own name, or aside, from where the next reader or
writer puts it back. At no moment can a half-written folder be read under the real name.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError

MANIFEST: Final = "manifest.json"
_ATTEMPTS: Final = 5
_LONGEST: Final = 200  # characters of somebody else's error
_OURS: Final = "dfar-"  # every manifest of ours says {"format": "dfar-..."}


@contextmanager
def replacing(folder: Path, *, kind: str) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``; when the block ends well it takes the place of ``folder``.

    The block must write ``manifest.json`` last. If the block raises, the new folder is removed and the old one stays.
    Files that somebody else put into the old folder (its manifest does not list them) move into the new one. A link
    stays a link: what it points to is replaced.

    Args:
        folder: Absent, empty, or an earlier folder of the same kind.
        kind: What the manifest says under "format", such as ``dfar-items``.

    Raises:
        TableError: The target is something else, cannot be written, or there is no room; nothing whole was written.
    """
    folder = Path(os.path.realpath(folder))
    check_replaceable(folder, kind=kind)
    fresh = folder.with_name(f"{folder.name}.tmp-dfar-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder)
        fresh.mkdir()
        yield fresh
        if not (fresh / MANIFEST).is_file():
            raise TableError(f"{folder}: nothing whole was written (no {MANIFEST}); the folder stays as it was.")
        _carry_over(folder, fresh)
        _sync(fresh)
        _swap(fresh, folder)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise TableError(write_error(folder, error)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        settle(folder)


def write_error(path: Path, error: Exception) -> str:
    """Why something could not be written, in a line; the old one is whole in any case."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else _first_line(error)
    if _is_full(error):
        return (
            f"{path}: there is no room to write it ({said}); the old one is unchanged. Free some space and try again."
        )
    return f"{path}: it cannot be written ({said}); nothing was changed there. Give another place to write to."


def _is_full(error: Exception) -> bool:
    """Whether the disk, a quota or a file size limit stopped the writing; some libraries only say so in words."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return any(phrase in str(error) for phrase in ("No space left", "File too large", "uota exceeded"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST]


def settle(folder: Path) -> None:
    """Put back what a killed writer had moved aside; do nothing where the folder is in place."""
    folder = Path(os.path.realpath(folder))
    aside = _aside(folder)
    if not os.path.exists(folder) and is_ours(aside):  # noqa: PTH110 - Path.exists raises at impossible names
        with suppress(OSError):  # a writer that is still at work has put its new folder there meanwhile
            aside.rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.aside-dfar")


def _swap(fresh: Path, folder: Path) -> None:
    """Two renames. A reader that puts the old folder back in between makes the second fail: then both again."""
    aside = _aside(folder)
    for attempt in range(_ATTEMPTS):
        if folder.exists():
            if is_ours(aside):  # left by a writer that was killed while it deleted
                shutil.rmtree(aside)
            folder.rename(aside)
        try:
            fresh.rename(folder)
        except OSError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    if is_ours(aside):
        shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(folder: Path, *, kind: str) -> None:
    """Refuse a target that is neither absent, empty nor an earlier folder of this kind; long work asks first.

    Raises:
        TableError: The target is a file, the working folder, or holds files that this toolkit did not write.
    """
    folder = Path(os.path.realpath(folder))
    settle(folder)
    if folder in (Path.cwd(), *Path.cwd().parents):
        raise TableError(f"{folder}: this is the working folder or holds it; give another --out, such as out/mine.")
    if not os.path.exists(folder):  # noqa: PTH110 - as above
        return
    if not folder.is_dir():
        raise TableError(f"{folder}: wanted a folder to write, found a file. Give another --out.")
    if not any(folder.iterdir()):
        return
    found = _format(folder)
    if found is None:
        raise TableError(
            f"{folder}: wanted an absent or empty folder, or one written by this toolkit, found other files. "
            "Give another --out; nothing was touched."
        )
    if found != kind:
        raise TableError(f"{folder}: wanted a folder of format {kind}, found one of {found}. Give another --out.")


def is_ours(folder: Path) -> bool:
    """Whether the folder holds a manifest that this toolkit wrote."""
    return _format(folder) is not None


def _format(folder: Path) -> str | None:
    """What the folder's manifest says it is, if this toolkit wrote it."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    name = str(manifest.get("format", "")) if isinstance(manifest, dict) else ""
    return name if name.startswith(_OURS) else None


def _carry_over(old: Path, fresh: Path) -> None:
    """Copy what others put into the old folder: files its manifest does not list and the new folder does not have."""
    if not is_ours(old):
        return
    listed = json.loads((old / MANIFEST).read_text(encoding="utf-8")).get("files") or {}
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        if (path.is_dir() and not path.is_symlink()) or name.as_posix() in listed or (fresh / name).exists():
            continue
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, fresh / name, follow_symlinks=False)


def _remove_orphans(folder: Path) -> None:
    """Delete what killed writers left: temporary folders whose process no longer runs."""
    begin = f"{folder.name}.tmp-dfar-"
    for orphan in folder.parent.iterdir():
        pid = orphan.name.removeprefix(begin)
        if orphan.name.startswith(begin) and pid.isdecimal() and not _runs(int(pid)):
            shutil.rmtree(orphan, ignore_errors=True)


def _runs(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    """Flush every file to the disk before the rename makes it visible."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
