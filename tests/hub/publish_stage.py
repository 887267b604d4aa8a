"""A small items folder, a second version of it, and a Hub to publish them to in this process, quickly."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from dfar_toolkit.files.items import file_facts
from dfar_toolkit.hub.connection import Patience, connect
from dfar_toolkit.hub.loopback import LoopbackHub, Repo, User
from dfar_toolkit.hub.publish import Published, PublishOptions, publish
from dfar_toolkit.hub.repository import Repository

TOKEN = "hf_thisIsTheSecretOfAnn1234"
BOB = "hf_thisIsTheSecretOfBob1234"
READ = "hf_thisReadsOnlyForAnn1234"
USERS = {TOKEN: User("ann", orgs=("org",)), BOB: User("bob"), READ: User("ann", orgs=("org",), write=False)}
QUICK = Patience(connect=1, read=0.25, pause=0.001)
_LEFT_OUT = ("CITATION.cff", "croissant.json", "plots")


def seal(folder: Path) -> Path:
    """Write the facts of the files as they are now into the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = file_facts(folder)
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return folder


def small_folder(demo: Path, target: Path) -> Path:
    """The demo's items with few files, so that a walk over all requests is short."""
    shutil.copytree(demo / "items", target, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (target / "notes.txt").write_text("first")
    return seal(target)


def second_version(first: Path, target: Path) -> Path:
    """The same content with other bytes: one large and one small file changed, one gone."""
    shutil.copytree(first, target)
    pl.read_parquet(target / "annotations.parquet").write_parquet(target / "annotations.parquet", compression="lz4")
    (target / "README.md").write_text((target / "README.md").read_text() + "\nMore.\n")
    (target / "notes.txt").unlink()
    return seal(target)


@dataclass
class Stage:
    """A Hub with the folder's future repository."""

    hub: LoopbackHub
    said: list[str]

    def repository(self, name: str = "org/data", token: str = TOKEN) -> Repository:
        return Repository(connect(endpoint=self.hub.url, token=token, patience=QUICK), name, QUICK, lambda _: None)

    def publish(self, folder: Path, *, token: str = TOKEN, **options: object) -> Published:
        said = PublishOptions(**options)  # type: ignore[arg-type]
        return publish(folder, self.repository(token=token), said, progress=self.said.append)

    @property
    def repo(self) -> Repo:
        return self.hub.repos["dataset", "org/data"]

    def there(self) -> Repo | None:
        return self.hub.repos.find("dataset", "org/data")

    def holds(self, folder: Path, others: Mapping[str, bytes] | None = None) -> bool:
        """Whether the head of main holds exactly the files of the folder, and those of others."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        files |= others or {}
        head = set(self.repo.find("main").files) - {".gitattributes"}
        return head == set(files) and all(self.repo.read(path) == content for path, content in files.items())


@contextmanager
def a_stage(**settings: object) -> Iterator[Stage]:
    with LoopbackHub(USERS, **settings) as hub:  # type: ignore[arg-type]
        yield Stage(hub, [])


def no_pauses(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[[], None]:
    """Let the clients neither sleep, nor use Xet, nor show bars, nor find a token; gives what puts them back."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http, disable_progress_bars, enable_progress_bars

    quick = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    for module in ("huggingface_hub.utils._http", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{module}.time", quick)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT", "DEFAULT_ETAG_TIMEOUT", "DEFAULT_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.25, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    disable_progress_bars()

    def back() -> None:
        enable_progress_bars()
        set_client_factory(_http.default_client_factory)

    return back


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
