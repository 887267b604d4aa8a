"""The files of a repository at one commit, as the Hub lists them: path, size, and what names the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.connection import Patience, tried

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file on the Hub: its bytes are named by ``sha256`` in large storage, else by ``blob_id`` (git's sha1)."""

    size: int
    sha256: str | None
    blob_id: str


def remote_files(
    api: HfApi, repo_id: str, *, revision: str | None, repo_type: str = "dataset", patience: Patience | None = None
) -> tuple[str, dict[str, RemoteFile]]:
    """The commit that a revision names now, and all files of that commit, in the order of their paths.

    Args:
        api: A client (see :func:`dfar_toolkit.hub.connection.connect`).
        repo_id: ``namespace/name``.
        revision: Branch, tag, commit or ``refs/pr/N``; None is the main branch.
        repo_type: ``dataset`` or ``model``.
        patience: How long to wait and how often to try.

    Returns:
        The sha of the commit, and path to file. Both stand for the same commit, whatever happens meanwhile.

    Raises:
        HubError: There is no such repository or revision, or the Hub does not answer.
    """
    from huggingface_hub.hf_api import RepoFile

    how = patience or Patience()
    where = f"{repo_id}@{revision}" if revision else repo_id
    info = tried(
        f"reading {where}",
        lambda: api.repo_info(repo_id, revision=revision, repo_type=repo_type, timeout=how.read),
        patience=how,
    )
    if not info.sha:
        raise HubError(f"reading {where}: the Hub names no commit; try again later.")
    commit = info.sha

    def listed() -> dict[str, RemoteFile]:
        rows = api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=repo_type)
        return {
            row.path: RemoteFile(row.size, row.lfs.sha256 if row.lfs else None, row.blob_id)
            for row in rows
            if isinstance(row, RepoFile)
        }

    files = tried(f"listing the files of {where}", listed, patience=how)
    return commit, dict(sorted(files.items()))
