"""A published set loaded back: pinned, verified, from the cache, never silently stale."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from published_everyday import QUICK, REPO, client_of, lean, published, quick_api, users

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.load import Snapshot, fetch_snapshot
from dfar_toolkit.hub.loopback import Fault, LoopbackHub
from dfar_toolkit.journeys.load import items_folder, load

pytest.importorskip("huggingface_hub")
TEST = "data/default/test.parquet"


@pytest.fixture(scope="module")
def items(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lean(demo / "items", tmp_path_factory.mktemp("lean") / "items")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(users()) as running, client_of(monkeypatch, tmp_path, running):
        published(running, items)
        yield running


def fetched(hub: LoopbackHub, revision: str | None = None, **more: Any) -> Snapshot:
    return fetch_snapshot(Address(REPO, revision), api=quick_api(hub), patience=QUICK, **more)


def blob(snapshot: Snapshot, name: str) -> Path:
    return (snapshot.folder / name).resolve()


def test_a_branch_is_pinned_to_its_commit_and_the_items_are_those_built(
    hub: LoopbackHub, items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = hub.repos["dataset", REPO].branches["main"]
    rows = load(REPO)
    assert rows.equals(read_items(items).items)
    said = capsys.readouterr().err
    assert f"main of {REPO} is commit {head}; give it as the revision to pin it" in said
    n = len(read_items(items).manifest["files"]) + 1
    assert f"{REPO} at commit {head}: {n} of {n} files fetched" in said
    assert load(f"hf://datasets/{REPO}@v1.0.0", config="default").equals(rows)
    assert f"{REPO} at commit {head}: read from the cache" in capsys.readouterr().err


def test_a_commit_in_the_cache_needs_no_hub_and_a_branch_is_never_silently_stale(hub: LoopbackHub) -> None:
    first = fetched(hub)
    asked = len(hub.log)
    again = fetched(hub, first.commit)
    assert (again.folder, len(hub.log)) == (first.folder, asked)
    hub.repos["dataset", REPO].change({"README.md": b"# edited\n"})
    hub.fail(Fault("status", times=None, status=503))
    with pytest.raises(HubError, match=rf"after 2 tries.*The cache holds commit {first.commit}.*say offline=True"):
        fetched(hub)
    asked = len(hub.log)
    stale = fetched(hub, offline=True)
    assert (stale.commit, len(hub.log)) == (first.commit, asked)
    assert stale.notes[0] == f"offline: main of {REPO} as it was when last loaded; the Hub was not asked"
    with pytest.raises(HubError, match="offline, and the cache does not hold 'v2'"):
        fetched(hub, "v2", offline=True)


def test_offline_mode_of_the_environment_is_obeyed(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = fetched(hub, "v1.0.0").commit
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.log)
    assert fetched(hub, "v1.0.0").commit == commit
    with pytest.raises(HubError, match="offline"):
        fetched(hub)
    with pytest.raises(HubError, match=r"0{40}.*not in the cache"):
        fetched(hub, "0" * 40)
    assert len(hub.log) == asked


def test_a_file_damaged_in_the_cache_is_fetched_again_once(hub: LoopbackHub, items: Path) -> None:
    first = fetched(hub)
    for name in (TEST, "audit.json", "manifest.json"):  # in large storage, in git, and what tells of the others
        path = blob(first, name)
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(HubError, match="damaged in the cache; load org/everyday once with a network"):
        fetched(hub, offline=True)
    mended = fetched(hub)
    assert [n for n in mended.notes if "damaged" in n] == [
        f"{n} was damaged and was fetched again" for n in ("audit.json", TEST, "manifest.json")
    ]
    assert read_items(mended.folder).items.equals(read_items(items).items)


def test_bytes_flipped_on_their_way_are_noticed(hub: LoopbackHub) -> None:
    hub.fail(Fault("flip", method="GET", path=TEST, times=1))
    assert f"{TEST} was damaged and was fetched again" in fetched(hub).notes
    hub.fail(Fault("flip", method="GET", path="train.parquet", times=None))
    shutil.rmtree(fetched(hub).folder.parent.parent)
    with pytest.raises(HubError, match=r"train.parquet came damaged twice at commit [0-9a-f]{40}"):
        fetched(hub)


def test_a_cut_download_is_tried_again(hub: LoopbackHub) -> None:
    cut = hub.fail(Fault("truncate", method="GET", path="audit.json"))
    assert read_items(fetched(hub).folder).items.height == 80
    assert cut.fired == 1


def test_edited_data_are_refused_and_an_edited_card_is_said(hub: LoopbackHub, items: Path) -> None:
    repo = hub.repos["dataset", REPO]
    repo.change({"README.md": b"# Mine\n"})
    assert "README.md was edited after publishing" in fetched(hub).notes
    repo.change({TEST: (items / "data/default/train.parquet").read_bytes()})
    with pytest.raises(HubError, match=rf"{TEST} at commit .* is not what was published .*dfar verify {REPO}@"):
        fetched(hub)
    assert fetched(hub, "v1.0.0").commit == repo.tags["v1.0.0"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (b'{"format": "other"}', 'wanted "format": "dfar-items"'),
        (b"{", "not valid JSON"),
        (None, "manifest.json.*there is no such file"),
        ("../../../../etc/passwd", "no name of a file inside it"),
        ("C:\\x", "no name of a file inside it"),
    ],
)
def test_a_strange_manifest_is_one_line(hub: LoopbackHub, manifest: bytes | str | None, said: str) -> None:
    repo = hub.repos["dataset", REPO]
    if isinstance(manifest, str):
        text = repo.read("manifest.json").decode()
        name = manifest.replace("\\", "\\\\")
        manifest = text.replace('"audit.json"', f'"{name}"').encode()
    repo.change({"manifest.json": manifest})
    with pytest.raises(HubError, match=said) as raised:
        fetched(hub)
    assert "\n" not in str(raised.value)


def test_a_split_that_lies_elsewhere_is_refused(hub: LoopbackHub) -> None:
    repo = hub.repos["dataset", REPO]
    text = repo.read("manifest.json").decode()
    repo.change({"manifest.json": text.replace('"train": {', '"../../../../x": {').encode()})
    with pytest.raises(HubError, match=r"lists no file .data/default/\.\./\.\./"):
        fetched(hub)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"annotations.parquet": {', '"other.parquet": {', "lists no file 'annotations.parquet'"),
        ('"splits": {', '"splitted": {', "names no splits of 'default'"),
        ('"sha256": "', '"sha": "', "no sha256 or no size"),
    ],
)
def test_a_manifest_that_lacks_something_is_one_line(hub: LoopbackHub, old: str, new: str, said: str) -> None:
    repo = hub.repos["dataset", REPO]
    repo.change({"manifest.json": repo.read("manifest.json").decode().replace(old, new).encode()})
    with pytest.raises(HubError, match=said):
        fetched(hub)


def test_folder_or_hub(
    hub: LoopbackHub, items: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubError, match="org/nothing: there is no such folder here, so the Hub was meant"):
        load("org/nothing")
    shutil.copytree(items, tmp_path / REPO)
    rows = load(REPO)
    assert "read from the folder of that name (hf://datasets/org/everyday means the Hub)" in capsys.readouterr().err
    assert load(f"hf://datasets/{REPO}").equals(rows)
    assert isinstance(rows, pl.DataFrame)
    with pytest.raises(TableError, match="this is a folder, which has no revision 'v1'"):
        load(REPO, revision="v1")
    (tmp_path / REPO).rename(tmp_path / "org/everyday.aside-dfar")
    assert items_folder(REPO) == Path(REPO)


def test_the_token_is_in_no_message(hub: LoopbackHub) -> None:
    hub.fail(Fault("status", times=None, status=500, body=b"Bearer ann-token hf_abcdefghijklmnopqr"))
    with pytest.raises(HubError) as raised:
        fetched(hub)
    assert "ann-token" not in str(raised.value)
    assert "hf_abc" not in str(raised.value)
