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
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError

MANIFEST: Final = "manifest.json"
_OURS: Final = "dfar-"  # every manifest of ours says {"format": "dfar-..."}


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``; when the block ends well it takes the place of ``folder``.

    The block must write ``manifest.json`` last. If the block raises, the new folder is removed and the old one stays.
    Files that somebody else put into the old folder (its manifest does not list them) move into the new one.

    Raises:
        TableError: The target is neither absent, empty nor ours; there is no space; nothing whole was written.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow a link and replace its target
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(folder)
    fresh = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    try:
        fresh.mkdir()
        yield fresh
        if not (fresh / MANIFEST).is_file():
            raise TableError(f"{folder}: nothing whole was written (no {MANIFEST}); the folder stays as it was.")
        _carry_over(folder, fresh)
        _sync(fresh)
        _swap(fresh, folder)
    except (OSError, pl.exceptions.ComputeError) as error:
        if not _is_full(error):
            raise
        raise TableError(
            f"{folder}: there is no room to write the new folder ({_first_line(error)}); "
            "the old one is unchanged. Free some space and run again."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_full(error: Exception) -> bool:
    """Whether the disk, a quota or a file size limit stopped the writing; polars only says so in words."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return any(phrase in str(error) for phrase in ("No space left", "File too large", "uota exceeded"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def settle(folder: Path) -> None:
    """Put back what a killed writer had moved aside; do nothing where the folder is in place."""
    aside = _aside(folder)
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.aside")


def _swap(fresh: Path, folder: Path) -> None:
    aside = _aside(folder)
    if aside.exists():  # the folder is in place too (settle), so this is what an earlier writer failed to delete
        shutil.rmtree(aside)
    if folder.exists():
        folder.rename(aside)
    fresh.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse a target that is neither absent, empty nor ours; long work asks before it begins.

    Raises:
        TableError: The target is a file, or holds files that this toolkit did not write.
    """
    settle(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TableError(f"{folder}: wanted a folder to write, found a file. Give another --out.")
    if any(folder.iterdir()) and not is_ours(folder):
        raise TableError(
            f"{folder}: wanted an absent or empty folder, or one written by this toolkit, found other files. "
            "Give another --out; nothing was touched."
        )


def is_ours(folder: Path) -> bool:
    """Whether the folder holds a manifest that this toolkit wrote."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("format", "")).startswith(_OURS)


def _carry_over(old: Path, fresh: Path) -> None:
    """Copy what others put into the old folder: files its manifest does not list and the new folder does not have."""
    if not is_ours(old):
        return
    listed = json.loads((old / MANIFEST).read_text(encoding="utf-8")).get("files", {})
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        if (path.is_dir() and not path.is_symlink()) or name.as_posix() in listed or (fresh / name).exists():
            continue
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, fresh / name, follow_symlinks=False)


def _remove_orphans(folder: Path) -> None:
    """Delete what killed writers left: temporary folders whose process no longer runs."""
    for orphan in folder.parent.glob(f"{folder.name}.tmp-*"):
        pid = orphan.name.rpartition("-")[2]
        if pid.isdigit() and not _runs(int(pid)):
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
