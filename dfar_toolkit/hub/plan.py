"""What a publish would change: every file of the folder against the files of the repository, path by path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_manifest
from dfar_toolkit.files.swap import MANIFEST
from dfar_toolkit.hub.file_names import is_inside
from dfar_toolkit.hub.remote_tree import RemoteFile

Action = Literal["add", "update", "delete", "unchanged", "kept"]

HUB_OWN: Final = (".gitattributes",)  # written by the Hub, never deleted
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of the folder: its bytes are named by ``sha256`` in large storage and by ``blob_id`` in git."""

    path: str
    place: Path
    size: int
    sha256: str
    blob_id: str

    def is_at(self, remote: RemoteFile | None) -> bool:
        """Whether the repository holds exactly these bytes."""
        if remote is None or remote.size != self.size:
            return False
        return self.sha256 == remote.sha256 if remote.sha256 else self.blob_id == remote.blob_id


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One path and what becomes of it; ``sha256`` is null where only git's own name of the bytes is known.

    ``kept`` are files that others put there.
    """

    path: str
    action: Action
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All paths of folder and repository in order, and the commit they were compared with (null: none yet)."""

    rows: tuple[PlanRow, ...]
    parent: str | None
    files: Mapping[str, LocalFile]
    remote: Mapping[str, RemoteFile]

    def of(self, *actions: Action) -> list[PlanRow]:
        """The rows with one of these actions."""
        return [row for row in self.rows if row.action in actions]

    @property
    def changes(self) -> bool:
        """Whether anything is to be committed."""
        return bool(self.of("add", "update", "delete"))

    @property
    def counts(self) -> dict[str, int]:
        """How many paths have each action; actions that do not occur are left out."""
        actions: tuple[Action, ...] = ("add", "update", "delete", "unchanged", "kept")
        return {action: len(found) for action in actions if (found := self.of(action))}

    def holds(self, remote: Mapping[str, RemoteFile]) -> bool:
        """Whether a repository with these files is what carrying out the plan leads to."""
        wanted = {row.path for row in self.rows if row.action != "delete"}
        if wanted | set(HUB_OWN) != set(remote) | set(HUB_OWN):
            return False
        kept = [row.path for row in self.of("kept")]
        return all(file.is_at(remote[path]) for path, file in self.files.items()) and all(
            remote[path] == self.remote[path] for path in kept
        )

    def as_json(self) -> list[dict[str, Any]]:
        """The rows for JSON."""
        return [asdict(row) for row in self.rows]


def local_files(folder: Path) -> dict[str, LocalFile]:
    """The files that the manifest of an items folder lists, and the manifest, each read once and in pieces.

    Args:
        folder: An items folder.

    Returns:
        Path to file, in the order of the paths.

    Raises:
        TableError: The folder is not whole, a path leads out of it, or the bytes differ from the manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    places = {path: _inside(folder, path) for path in sorted({*manifest["files"], MANIFEST})}
    found = {}
    for path, place in places.items():
        if not place.is_file():
            raise TableError(f"{folder}: the manifest lists {path}, which is not there. Build the folder again.")
        file, fact = _hashed(path, place), manifest["files"].get(path)
        if path != MANIFEST and not (isinstance(fact, dict) and file.sha256 == fact.get("sha256")):
            raise TableError(
                f"{place}: its bytes differ from the manifest (sha256). If you wrote in it by hand, `dfar card "
                f"{folder}` takes your words over; else build the folder again."
            )
        found[path] = file
    return found


def _inside(folder: Path, path: str) -> Path:
    """Where a file of the folder lies; a path that leads elsewhere would publish what nobody meant to."""
    safe = is_inside(path) and path.isprintable() and ".git" not in path.split("/")
    place = folder / path
    if not safe or not place.resolve().is_relative_to(folder.resolve()):
        raise TableError(f"{folder}: the manifest lists {path!r}, which is no path inside the folder; build it again.")
    return place


def _hashed(path: str, place: Path) -> LocalFile:
    """Both names of a file's bytes in one reading."""
    size = place.stat().st_size
    sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with place.open("rb") as handle:
        while piece := handle.read(_PIECE):
            sha256.update(piece)
            blob.update(piece)
    return LocalFile(path, place, size, sha256.hexdigest(), blob.hexdigest())


def manifest_paths(text: bytes) -> set[str]:
    """The paths that a published manifest lists, itself among them; empty where it is none of ours.

    Example:
        >>> sorted(manifest_paths(b'{"format": "dfar-items", "files": {"README.md": {}}}')), manifest_paths(b"{")
        (['README.md', 'manifest.json'], set())
    """
    return set(manifest_digests(text)) | {MANIFEST} if manifest_digests(text) else set()


def manifest_digests(text: bytes) -> dict[str, str]:
    """Path to sha256 as a published manifest lists them; empty where it is none of ours."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not str(found.get("format", "")).startswith("dfar-"):
        return {}
    return {str(path): str(fact.get("sha256", "")) for path, fact in files.items() if isinstance(fact, dict)}


def plan(
    files: Mapping[str, LocalFile],
    remote: Mapping[str, RemoteFile],
    *,
    parent: str | None,
    ours: Iterable[str] = (),
    delete_others: bool = False,
) -> Plan:
    """Compare a folder with a repository.

    Args:
        files: The files of the folder.
        remote: The files of the repository, empty for a new one.
        parent: The commit that ``remote`` was read at.
        ours: Paths that an earlier publish put there: they go when the folder no longer has them.
        delete_others: Delete also what somebody else put there.

    Returns:
        One row per path, ordered by path.

    Example:
        >>> here = {"a": LocalFile("a", Path("a"), 1, "x", "y"), "b": LocalFile("b", Path("b"), 1, "v", "w")}
        >>> there = {"a": RemoteFile(1, None, "y"), "b": RemoteFile(2, "u", "t"), "c": RemoteFile(1, None, "z")}
        >>> [(row.path, row.action) for row in plan(here, there, parent="1").rows]
        [('a', 'unchanged'), ('b', 'update'), ('c', 'kept')]
    """
    ours, rows = set(ours), []
    for path in sorted({*files, *remote}):
        file = files.get(path)
        if file is None and path in HUB_OWN:
            continue
        if file is not None:
            action: Action = "add" if path not in remote else "unchanged" if file.is_at(remote[path]) else "update"
            rows.append(PlanRow(path, action, file.size, file.sha256))
        else:
            goes = delete_others or path in ours
            rows.append(PlanRow(path, "delete" if goes else "kept", remote[path].size, remote[path].sha256))
    return Plan(tuple(rows), parent, dict(files), dict(remote))
