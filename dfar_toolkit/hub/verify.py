"""Whether a published set is still what was published: names and hashes, bytes, rows, down to the edited cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.digest import KEYS, table_digest
from dfar_toolkit.files.items import LONG_TABLES, ItemsFolder, plain_types, read_items, read_manifest, write_json
from dfar_toolkit.files.swap import MANIFEST
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.connection import Patience, connect
from dfar_toolkit.hub.file_names import listed_files
from dfar_toolkit.hub.fresh_bytes import FileFact, FreshBytes
from dfar_toolkit.hub.remote_tree import RemoteFile, remote_files
from dfar_toolkit.hub.strange_tables import strange_tables
from dfar_toolkit.hub.table_changes import table_changes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_AT_ONCE: Final = 8
_OF_THE_HUB: Final = (".gitattributes",)  # every repository has it from its first commit
_DIFFERENT: Final = ("changed", "missing", "damaged", "unreadable")
_CARD: Final = "README.md"
_COLUMNS: Final = ("what", "place", "status", "key", "column", "before", "after")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: one row per file and table, and per row, column or cell that differs.

    Attributes:
        at: The repository and the revision asked for.
        commit: The commit that was looked at.
        frame: ``what`` (file, table, row, column, cell), ``place`` (name of the file or table), ``status``, ``key``,
            ``column``, ``before``, ``after``.
        same: Whether everything that was published is there and unchanged; files that were added do not count.
        verdict: The same in one line.
        notes: What must be known besides.
    """

    at: Address
    commit: str
    frame: pl.DataFrame
    same: bool
    verdict: str
    notes: tuple[str, ...] = ()


def verify(
    at: Address, *, against: Path | None = None, api: HfApi | None = None, patience: Patience | None = None
) -> Verified:
    """Compare a set on the Hub with its manifest, or with the folder that it was published from.

    Each file's size and hash as the Hub lists them, its bytes as they are downloaded now (never those of a cache),
    and the rows that it holds. Without the folder an edit is found by the digest of its table; with it, every cell
    is named.

    Args:
        at: The repository and the revision.
        against: The folder that was published; its manifest outranks that on the Hub.
        api: The client; None connects with the token of the usual places.
        patience: Timeouts and tries.

    Returns:
        What was found.

    Raises:
        HubError: There is no such set, it holds no manifest, or the Hub does not answer.
        TableError: The local folder is not whole.
    """
    how = patience or Patience()
    with strange_tables(against or ""):
        local = read_items(against) if against is not None else None
    client = api or connect(patience=how)

    def compared(commit: str, tree: Mapping[str, RemoteFile]) -> Verified:
        with TemporaryDirectory(prefix="dfar-verify-") as scratch:
            bytes_of = FreshBytes(client, at.repo_id, commit, how, Path(scratch))
            remote = _remote_manifest(bytes_of, tree, at)
            wanted = _wanted(remote, local.manifest if local is not None else None, f"{at} at commit {commit}")
            rows = [_of_manifest(remote, local, tree), *_of_files(bytes_of, wanted, tree)]
            rows += _added(tree, {*wanted, MANIFEST, *_OF_THE_HUB})
            frame = pl.concat([_frame(rows), *_tables(bytes_of.folder, remote, local)])
        return _verified(at, commit, frame, bytes_of)

    return _settled(lambda: remote_files(client, at.repo_id, revision=at.revision, patience=how), compared)


def _settled(
    listing: Callable[[], tuple[str, dict[str, RemoteFile]]],
    compared: Callable[[str, Mapping[str, RemoteFile]], Verified],
) -> Verified:
    """The comparison with what the Hub lists; a listing that makes a difference is asked for once more."""
    commit, tree = listing()
    try:
        found = compared(commit, tree)
        if found.same:
            return found
    except HubError:
        if (again := listing()) == (commit, tree):
            raise
        return compared(*again)
    return found if (again := listing()) == (commit, tree) else compared(*again)


def verify_files(
    at: Address,
    wanted: Mapping[str, tuple[str, int]],
    *,
    api: HfApi,
    repo_type: str = "dataset",
    patience: Patience | None = None,
) -> Verified:
    """Compare the files of a repository with hashes that are known: as listed, and as they are downloaded now.

    Args:
        at: The repository and the revision.
        wanted: Name to sha256 and size.
        api: The client.
        repo_type: ``dataset`` or ``model``.
        patience: Timeouts and tries.

    Returns:
        What was found; no tables.

    Raises:
        HubError: There is no such repository, or the Hub does not answer.
    """
    how = patience or Patience()
    facts = {name: FileFact(*fact) for name, fact in wanted.items()}

    def compared(commit: str, tree: Mapping[str, RemoteFile]) -> Verified:
        with TemporaryDirectory(prefix="dfar-verify-") as scratch:
            bytes_of = FreshBytes(api, at.repo_id, commit, how, Path(scratch), repo_type)
            rows = _of_files(bytes_of, facts, tree)
        rows += _added(tree, {*facts, *_OF_THE_HUB})
        return _verified(at, commit, _frame(rows), bytes_of)

    return _settled(
        lambda: remote_files(api, at.repo_id, revision=at.revision, repo_type=repo_type, patience=how), compared
    )


def _of_files(
    bytes_of: FreshBytes, wanted: Mapping[str, FileFact], tree: Mapping[str, RemoteFile]
) -> list[dict[str, str | None]]:
    """A row for each file that must be there; downloads all that are."""
    there = [name for name in wanted if name in tree]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(there, pool.map(lambda name: bytes_of.get(name, tree[name]), there), strict=True))
    return [_of_file(name, wanted[name], tree.get(name), found.get(name)) for name in wanted]


def _added(tree: Mapping[str, RemoteFile], expected: set[str]) -> list[dict[str, str | None]]:
    return [_row("file", name, "added", after=_told(tree[name])) for name in tree if name not in expected]


def _verified(at: Address, commit: str, frame: pl.DataFrame, bytes_of: FreshBytes) -> Verified:
    same = not frame["status"].is_in(_DIFFERENT).any()
    where = f"{at} (commit {commit})"
    return Verified(at, commit, frame, same, f"{where}: {_verdict(frame, same)}", tuple(sorted(bytes_of.notes)))


def _remote_manifest(bytes_of: FreshBytes, tree: Mapping[str, RemoteFile], at: Address) -> dict[str, Any] | None:
    """The manifest on the Hub; None where it is gone or no longer one."""
    if MANIFEST not in tree:
        return None
    _, as_listed = bytes_of.get(MANIFEST, tree[MANIFEST])
    if not as_listed:
        bytes_of.notes.append(f"{MANIFEST} came damaged twice")
        return None
    try:
        return read_manifest(bytes_of.folder)
    except TableError as error:
        bytes_of.notes.append(str(error).removeprefix(f"{bytes_of.folder}/"))
        return None


def _wanted(remote: dict[str, Any] | None, local: dict[str, Any] | None, where: str) -> dict[str, FileFact]:
    """What each file must be: as in the local folder, else as the manifest on the Hub says."""
    if local is None and remote is None:
        raise HubError(
            f"{where}: wanted a set that `dfar publish` wrote, found no readable {MANIFEST}; give the folder that was "
            "published (--against)."
        )
    of_remote = {n: FileFact(*f) for n, f in listed_files(remote, where=where).items()} if remote is not None else {}
    if local is None:
        return of_remote
    files = {n: FileFact(*f) for n, f in listed_files(local, where="the local folder").items()}
    files |= {name: fact for name, fact in of_remote.items() if name in _beside(remote, local)}
    return dict(sorted(files.items()))


def _beside(remote: dict[str, Any] | None, local: dict[str, Any]) -> set[str]:
    """Files that were published beside the folder's own (``--with``), and the card that lists them.

    Only what the folder does not have, so that no name in a manifest that was edited can stand for the folder's data.
    """
    trail = (remote or {}).get("paper_trail")
    names = trail.get("files") if isinstance(trail, dict) else None
    own = {*local["files"], MANIFEST}
    told = {n for n in names if isinstance(n, str) and n not in own} if isinstance(names, list) else set()
    beside = {name for name in told if name.startswith(("outputs/", "judgements/"))}
    return {*beside, _CARD} if beside else set()


def _of_manifest(
    remote: dict[str, Any] | None, local: ItemsFolder | None, tree: Mapping[str, RemoteFile]
) -> dict[str, str | None]:
    """The manifest itself: what stands in it, as its bytes may change with what is published beside the folder."""
    if remote is None:
        return _row("file", MANIFEST, "changed" if MANIFEST in tree else "missing")
    if local is None:
        return _row("file", MANIFEST, "same")
    beside = _beside(remote, local.manifest)
    theirs, ours = _without_trail(remote, beside), _without_trail(local.manifest, beside)
    parts = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
    return _row("file", MANIFEST, "changed" if parts else "same", column=", ".join(parts))


def _without_trail(manifest: dict[str, Any], beside: set[str]) -> dict[str, Any]:
    """A manifest less what publishing outputs and judgements beside the folder adds to it."""
    files = {name: fact for name, fact in manifest["files"].items() if name not in beside}
    return {**{k: v for k, v in manifest.items() if k != "paper_trail" or not beside}, "files": files}


def _of_file(
    name: str, wanted: FileFact, listed: RemoteFile | None, got: tuple[FileFact, bool] | None
) -> dict[str, str | None]:
    """One file that must be there: missing, changed, damaged (the Hub gives other bytes than it lists), or same."""
    if listed is None or got is None:
        return _row("file", name, "missing", before=str(wanted))
    found, as_listed = got
    changed = listed.sha256 not in (None, wanted.sha256) or listed.size != wanted.size
    if changed or (as_listed and found != wanted):
        return _row("file", name, "changed", before=str(wanted), after=_told(listed) if not as_listed else str(found))
    if not as_listed:
        return _row("file", name, "damaged", before=str(wanted), after=str(found))
    return _row("file", name, "same", before=str(wanted), after=str(found))


def _told(listed: RemoteFile) -> str:
    return f"sha256 {listed.sha256}, {listed.size} bytes" if listed.sha256 else f"{listed.size} bytes"


def _tables(folder: Path, remote: dict[str, Any] | None, local: ItemsFolder | None) -> list[pl.DataFrame]:
    """Digests of the tables recomputed from their rows; where the local tables are there, every difference."""
    manifest = remote if local is None else local.manifest
    digests = (manifest or {}).get("content_digest")
    if not isinstance(digests, dict):
        return []
    if remote is None:  # the folder's own stands in for it
        write_json(folder, MANIFEST, manifest)
    try:
        with strange_tables(folder):
            tables = _tables_of(read_items(folder, verify=False))
    except (TableError, OSError) as error:
        said = str(error).replace(f"{folder}/", "").splitlines()[0]
        return [_frame([_row("table", _table_name(k), "unreadable", column=said) for k in digests])]
    ours = _tables_of(local) if local is not None else None
    parts = []
    for key, digest in digests.items():
        table = _table_name(key)
        if table not in tables:
            continue
        found = table_digest(tables[table], table)
        status = "same" if found == digest else "changed"
        parts.append(_frame([_row("table", table, status, before=f"content {digest}", after=f"content {found}")]))
        if ours is not None and status == "changed":
            changes = table_changes(ours[table], tables[table], keys=KEYS[table])
            parts.append(
                changes.select("what", pl.lit(table).alias("place"), "status", "key", "column", "before", "after")
            )
    return parts


def _table_name(key: str) -> str:
    """The table that a digest of the manifest is of: the items are filed under their first config."""
    return key if key in LONG_TABLES else "items"


def _tables_of(folder: ItemsFolder) -> dict[str, pl.DataFrame]:
    return {"items": folder.items, **{name: plain_types(getattr(folder, name)) for name in LONG_TABLES}}


def _row(
    what: str, place: str, status: str, *, column: str = "", before: str | None = None, after: str | None = None
) -> dict[str, str | None]:
    return {"what": what, "place": place, "status": status, "key": "", "column": column, "before": before,
            "after": after}  # fmt: skip


def _frame(rows: list[dict[str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String))


def _verdict(frame: pl.DataFrame, same: bool) -> str:
    """Counts in one line."""
    files, tables = frame.filter(what="file"), frame.filter(what="table")
    added = files.filter(status="added").height
    beside = f"; {added} file{'s' if added != 1 else ''} added by others" if added else ""
    if same:
        return f"same: {files.height - added} files{f', {tables.height} tables' if tables.height else ''}{beside}"
    parts = []
    for what in ("file", "table", "row", "column", "cell"):
        of = frame.filter(pl.col("what") == what, pl.col("status") != "same")
        of = of.filter(pl.col("status") != "added") if what == "file" else of
        counts = of.group_by("status", maintain_order=True).len()
        parts += [f"{n} {what}{'s' if n != 1 else ''} {status}" for status, n in counts.iter_rows()]
    return f"differs: {', '.join(parts)}{beside}"
