"""A published set at one commit, from the Hub or its cache: every byte compared with the manifest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.files.items import read_manifest
from dfar_toolkit.files.swap import MANIFEST
from dfar_toolkit.hub.addresses import Address, is_commit
from dfar_toolkit.hub.connection import Patience, connect, hub_errors, tried
from dfar_toolkit.hub.file_names import git_blob_id, listed_files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAIN: Final = "main"
BY_HAND: Final = ("README.md", "CITATION.cff")  # what people edit on the Hub without touching the data
_AT_ONCE: Final = 8  # files


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All files of a published set at one commit, in the cache, and what must be known of how they came there."""

    folder: Path
    at: Address
    commit: str
    notes: tuple[str, ...]


def fetch_snapshot(
    at: Address, *, api: HfApi | None = None, offline: bool = False, patience: Patience | None = None
) -> Snapshot:
    """Download a published set at the commit that a revision names now, and compare every file with its manifest.

    A whole commit sha that is in the cache needs no network. What a branch or a tag names is asked of the Hub each
    time; only ``offline`` (or ``HF_HUB_OFFLINE``) takes what it named when it was last loaded. A file that was
    damaged on its way or in the cache is fetched again once.

    Args:
        at: The repository and the revision.
        api: The client; None connects with the token of the usual places.
        offline: Ask nothing of the Hub.
        patience: Timeouts and tries.

    Returns:
        The folder in the cache, the commit, and notes.

    Raises:
        HubError: No such set, the Hub cannot be reached, or a file differs from the manifest.
    """
    how = patience or Patience()
    client = api or connect(patience=how)
    from huggingface_hub import is_offline_mode

    fetching = _Fetching(client, at.repo_id, how, offline or is_offline_mode())
    commit, notes = _pinned(fetching, at)
    fetching.commit = commit
    try:
        fetching.get(MANIFEST)
        folder = fetching.path(MANIFEST).parent
        manifest = read_manifest(folder)
    except TableError as error:
        raise HubError(f"{at.repo_id} at commit {commit}: {str(error).removeprefix(f'{folder}/')}") from None
    files = listed_files(manifest, where=f"{at.repo_id} at commit {commit}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda name: fetching.get(name, files[name][0]), files):
            pass
    if not fetching.offline:
        _remember(folder, at.revision or MAIN, commit)
    came = f"{fetching.fetched} of {len(files) + 1} files fetched" if fetching.fetched else "read from the cache"
    return Snapshot(folder, at, commit, (*notes, f"{at.repo_id} at commit {commit}: {came}", *sorted(fetching.notes)))


def _pinned(fetching: _Fetching, at: Address) -> tuple[str, list[str]]:
    """The commit that is meant, and what to say about it."""
    name = at.revision or MAIN
    if is_commit(at.revision):
        return name, []
    if fetching.offline:
        known = _remembered(at.repo_id, name)
        if known is None:
            raise HubError(f"{at}: offline, and the cache does not hold {name!r}; load it once with a network.")
        return known, [f"offline: {name} of {at.repo_id} as it was when last loaded; the Hub was not asked"]
    try:
        info = tried(
            f"reading {at}",
            lambda: fetching.api.repo_info(
                at.repo_id, revision=at.revision, repo_type="dataset", timeout=fetching.how.read
            ),
            patience=fetching.how,
        )
    except HubError as error:
        known = _remembered(at.repo_id, name)
        if known is None:
            raise
        raise HubError(
            f"{error} The cache holds commit {known}, which {name!r} named when it was last loaded: ask for that "
            f'revision ("{known}"), or say offline=True, to use it.'
        ) from None
    if not is_commit(info.sha):
        raise HubError(f"reading {at}: the Hub names no commit; try again later.")
    return str(info.sha), [f"{name} of {at.repo_id} is commit {info.sha}; give it as the revision to pin it"]


class _Fetching:
    """The files of one commit, one by one, and what happened to them."""

    def __init__(self, api: HfApi, repo_id: str, how: Patience, offline: bool) -> None:
        self.api, self.repo_id, self.how, self.offline = api, repo_id, how, offline
        self.commit = ""
        self.fetched = 0
        self.notes: list[str] = []
        self._paths: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Where a file lies that was got."""
        return self._paths[name]

    def get(self, name: str, wanted: str | None = None) -> None:
        """Bring a file into the cache, undamaged and (but for what people edit) as the manifest has it."""
        path = self._download(name)
        digest = file_digest(path)
        if digest != wanted and not _intact(path, digest):
            if self.offline:
                raise HubError(f"{path}: damaged in the cache; load {self.repo_id} once with a network to mend it.")
            path = self._download(name, again=True)
            digest = file_digest(path)
            if digest != wanted and not _intact(path, digest):
                raise HubError(f"{self.repo_id}: {name} came damaged twice at commit {self.commit}; try again later.")
            self.notes.append(f"{name} was damaged and was fetched again")
        self._paths[name] = path
        if wanted is None or digest == wanted:
            return
        if name not in BY_HAND:
            raise HubError(
                f"{self.repo_id}: {name} at commit {self.commit} is not what was published (sha256). Somebody has "
                f"changed it since; `dfar verify {self.repo_id}@{self.commit}` tells what, an earlier tag may be whole."
            )
        self.notes.append(f"{name} was edited after publishing")

    def _download(self, name: str, *, again: bool = False) -> Path:
        from huggingface_hub import try_to_load_from_cache

        there = try_to_load_from_cache(self.repo_id, name, repo_type="dataset", revision=self.commit)
        if isinstance(there, str) and not again:
            return Path(there)
        doing = f"fetching {name} of {self.repo_id} at commit {self.commit}"

        def work() -> str:
            return str(
                self.api.hf_hub_download(
                    self.repo_id,
                    name,
                    repo_type="dataset",
                    revision=self.commit,
                    force_download=again,
                    local_files_only=self.offline,
                )
            )

        if self.offline:
            with hub_errors(doing):
                return Path(work())
        path = Path(tried(doing, work, patience=self.how))
        self.fetched += 1
        return path


def _intact(path: Path, sha256: str) -> bool:
    """Whether a file in the cache has the bytes that the Hub named it by; False where that cannot be told."""
    blob = path.resolve()
    names: dict[int, Callable[[], str]] = {64: lambda: sha256, 40: lambda: git_blob_id(blob)}
    named = names.get(len(blob.name))
    return named is not None and named() == blob.name


def _remembered(repo_id: str, revision: str) -> str | None:
    """The commit that a branch or tag named when it was last loaded, if its manifest is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    there = try_to_load_from_cache(repo_id, MANIFEST, repo_type="dataset", revision=revision)
    return Path(there).parent.name if isinstance(there, str) else None


def _remember(folder: Path, revision: str, commit: str) -> None:
    """Write down what a branch or tag names, where the clients look for it; a cache that is read-only stays so."""
    if revision == commit:
        return
    ref = folder.parent.parent / "refs" / revision
    with suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="utf-8")
