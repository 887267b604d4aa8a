"""Files of one commit as the Hub gives them now, past every cache, and whether they are what it lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.hub.connection import Patience, tried
from dfar_toolkit.hub.file_names import git_blob_id
from dfar_toolkit.hub.remote_tree import RemoteFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class FileFact(NamedTuple):
    """What names the bytes of a file, and how many they are."""

    sha256: str
    size: int

    def __str__(self) -> str:
        return f"sha256 {self.sha256}, {self.size} bytes"


class FreshBytes:
    """Files of one commit downloaded past every cache into a folder of their own."""

    def __init__(
        self, api: HfApi, repo_id: str, commit: str, how: Patience, folder: Path, repo_type: str = "dataset"
    ) -> None:
        self.api, self.repo_id, self.commit, self.how, self.folder = api, repo_id, commit, how, folder
        self.repo_type = repo_type
        self.notes: list[str] = []

    def get(self, name: str, listed: RemoteFile) -> tuple[FileFact, bool]:
        """The bytes that come now, and whether they are those that the Hub lists; asked twice before saying no."""
        for again in (False, True):
            path = self._download(name)
            digest = file_digest(path)
            right = digest == listed.sha256 if listed.sha256 else git_blob_id(path) == listed.blob_id
            if right:
                self.notes += [f"{name} came damaged once and whole the second time"] if again else []
                break
        return FileFact(digest, path.stat().st_size), right

    def _download(self, name: str) -> Path:
        got = tried(
            f"downloading {name} of {self.repo_id} at commit {self.commit}",
            lambda: self.api.hf_hub_download(
                self.repo_id, name, repo_type=self.repo_type, revision=self.commit, local_dir=self.folder,
                force_download=True,
            ),
            patience=self.how,
        )  # fmt: skip
        return Path(str(got))
