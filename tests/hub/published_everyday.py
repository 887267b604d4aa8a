"""The demo set on a loopback Hub as a publisher would have left it, and a client that waits for nothing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dfar_toolkit.hub.connection import Patience, connect
from dfar_toolkit.hub.loopback import LoopbackHub, Repo, User

TOKEN = "ann-token"
REPO = "org/everyday"
QUICK = Patience(connect=1, read=2, tries=2, pause=0)


def published(hub: LoopbackHub, folder: Path, *, private: bool = False) -> Repo:
    """All files of a folder in one commit, with a tag."""
    repo = hub.repos.create("dataset", REPO, private=private)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    repo.change(files, title="Publish", author="ann")
    repo.tags["v1.0.0"] = repo.branches["main"]
    return repo


@contextmanager
def client_of(patch: pytest.MonkeyPatch, home: Path, hub: LoopbackHub) -> Iterator[None]:
    """The Hub's clients in this process: this hub, this cache, no Xet, no pauses; restored afterwards."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "cache"))
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setenv("HF_TOKEN", TOKEN)
    patch.setattr(time, "sleep", lambda seconds: None)
    disable_progress_bars()
    try:
        yield
    finally:
        huggingface_hub.close_session()


def lean(items: Path, target: Path) -> Path:
    """The set without plots and what else no reader needs: fewer requests, the same rows."""
    manifest = json.loads((items / "manifest.json").read_text())
    kept = {n: f for n, f in manifest["files"].items() if n.endswith((".parquet", "README.md", "t.json"))}
    for name in [n for n in kept if n != "croissant.json"]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(items / name, target / name)
    manifest["files"] = {n: f for n, f in kept.items() if n != "croissant.json"}
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def users() -> dict[str, User]:
    return {TOKEN: User("ann", orgs=("org",))}


def quick_api(hub: LoopbackHub):  # type: ignore[no-untyped-def]
    return connect(endpoint=hub.url, token=TOKEN, patience=QUICK)
