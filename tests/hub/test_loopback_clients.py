"""The unmodified huggingface_hub client against the loopback Hub, Xet off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from loopback_calls import ANN, BOB, READ, USERS

from dfar_toolkit.hub.loopback import Fault, LoopbackHub

huggingface_hub = pytest.importorskip("huggingface_hub")
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, errors  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
CARD = b"---\nlicense: mit\n---\n# Data\n"
PARQUET = b"PAR1" + bytes(range(256)) * 40 + b"PAR1"


@pytest.fixture(autouse=True)
def _plain_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No Xet, no bars, no waiting between tries, no connection that outlives the test."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    huggingface_hub.utils.disable_progress_bars()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(USERS, page_size=4) as running:
        yield running


def client(hub: LoopbackHub, token: Any = ANN) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def adding(files: dict[str, bytes]) -> list[Any]:
    return [CommitOperationAdd(path, content) for path, content in files.items()]


def send(api: HfApi, files: dict[str, bytes], **more: Any) -> Any:
    return api.create_commit("ann/data", adding(files), commit_message="change", repo_type="dataset", **more)


def started(hub: LoopbackHub) -> HfApi:
    api = client(hub)
    api.create_repo("ann/data", repo_type="dataset")
    send(api, {"README.md": CARD, "data/train.parquet": PARQUET, "notes.txt": b"one"})
    return api


def test_from_nothing_to_a_tagged_data_set_and_on(hub: LoopbackHub, tmp_path: Path) -> None:
    api = client(hub)
    assert api.whoami()["orgs"][0]["name"] == "org"
    url = api.create_repo("org/data", repo_type="dataset", private=True)
    assert (url.repo_id, url.repo_type) == ("org/data", "dataset")
    with pytest.raises(errors.HfHubHTTPError, match="already created"):
        api.create_repo("org/data", repo_type="dataset")
    assert api.create_repo("org/data", repo_type="dataset", private=False, exist_ok=True).repo_id == "org/data"
    info = api.dataset_info("org/data")
    assert (info.private, info.gated) == (True, False)
    api.update_repo_settings("org/data", repo_type="dataset", private=False, gated="auto")
    assert api.dataset_info("org/data").private is False
    api.auth_check("org/data", repo_type="dataset", write=True)

    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    files = {"README.md": CARD, "train.parquet": PARQUET, **{f"more/{n}.txt": b"%d" % n for n in range(9)}}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    first = api.upload_folder(repo_id="org/data", repo_type="dataset", folder_path=folder, commit_message="first")
    api.create_tag("org/data", tag="v1.0.0", tag_message="one", repo_type="dataset")
    with pytest.raises(errors.HfHubHTTPError, match="409"):
        api.create_tag("org/data", tag="v1.0.0", repo_type="dataset")
    api.create_tag("org/data", tag="v1.0.0", repo_type="dataset", exist_ok=True)
    assert set(api.list_repo_files("org/data", repo_type="dataset")) == {*files, ".gitattributes"}
    entries = {one.path: one for one in api.list_repo_tree("org/data", "more", repo_type="dataset", expand=True)}
    assert len(entries) == 9
    assert entries["more/3.txt"].last_commit.oid == first.oid
    assert hub.log.asked("GET", "/tree/")[-1].query.endswith("cursor=8")

    again = api.upload_folder(repo_id="org/data", repo_type="dataset", folder_path=folder, commit_message="again")
    assert (again.oid, len(hub.log.asked("POST", "/commit/"))) == (first.oid, 1)

    change = [CommitOperationAdd("README.md", CARD + b"more"), CommitOperationDelete("more/", is_folder=True)]
    second = api.create_commit("org/data", change, commit_message="second", repo_type="dataset")
    assert second.oid != first.oid
    assert [c.title for c in api.list_repo_commits("org/data", repo_type="dataset")] == [
        "second", "first", "initial commit",
    ]  # fmt: skip
    refs = api.list_repo_refs("org/data", repo_type="dataset")
    assert [(t.name, t.target_commit) for t in refs.tags] == [("v1.0.0", first.oid)]
    assert len(api.list_repo_files("org/data", repo_type="dataset", revision="v1.0.0")) == 12
    (found,) = api.get_paths_info("org/data", ["train.parquet", "gone"], repo_type="dataset")
    assert (found.size, found.lfs.size) == (len(PARQUET), len(PARQUET))

    got = api.hf_hub_download("org/data", "README.md", repo_type="dataset", revision="v1.0.0")
    assert Path(got).read_bytes() == CARD
    whole = Path(api.snapshot_download("org/data", repo_type="dataset"))
    assert (whole / "train.parquet").read_bytes() == PARQUET
    assert whole.name == second.oid
    assert api.verify_repo_checksums("org/data", repo_type="dataset").mismatches == []
    api.delete_repo("org/data", repo_type="dataset")
    assert not api.repo_exists("org/data", repo_type="dataset")


def test_models_branches_and_pull_requests(hub: LoopbackHub) -> None:
    api = client(hub)
    api.create_repo("ann/adapter")
    weights = CommitOperationAdd("adapter.safetensors", b"\0" * 100)
    api.create_commit("ann/adapter", [weights], commit_message="weights")
    assert api.model_info("ann/adapter", files_metadata=True).siblings[1].lfs.size == 100
    api.create_branch("ann/adapter", branch="dev/one")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="ann/adapter", revision="dev/one")
    assert not api.file_exists("ann/adapter", "x.txt")
    assert api.file_exists("ann/adapter", "x.txt", revision="dev/one")
    more = [CommitOperationAdd("bob.bin", b"\0\1")]
    pull = client(hub, BOB).create_commit("ann/adapter", more, commit_message="offer", create_pr=True)
    assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1")
    assert api.file_exists("ann/adapter", "bob.bin", revision="refs/pr/1")
    assert api.list_repo_refs("ann/adapter", include_pull_requests=True).pull_requests[0].ref == "refs/pr/1"
    api.delete_branch("ann/adapter", branch="dev/one")
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info("ann/adapter", revision="dev/one")


def test_refusals_become_the_clients_own_errors(hub: LoopbackHub, tmp_path: Path) -> None:
    api = started(hub)
    head = api.dataset_info("ann/data").sha
    hub.repos["dataset", "ann/data"].change({"other.txt": b"x"}, author="bob")
    with pytest.raises(errors.HfHubHTTPError, match="412"):
        send(api, {"notes.txt": b"two"}, parent_commit=head)
    with pytest.raises(ValueError, match="duplicated mapping key"):
        api.upload_file(
            path_or_fileobj=b"---\na: 1\na: 2\n---\n", path_in_repo="README.md", repo_id="ann/data", repo_type="dataset"
        )
    for token, message in ((READ, "403"), (BOB, "403"), (False, "401")):
        with pytest.raises(errors.HfHubHTTPError, match=message):
            send(client(hub, token), {"notes.txt": b"two"})
    with pytest.raises(errors.RemoteEntryNotFoundError):
        api.hf_hub_download("ann/data", "gone.txt", repo_type="dataset")
    with pytest.raises(errors.RevisionNotFoundError):
        api.hf_hub_download("ann/data", "notes.txt", repo_type="dataset", revision="v9")
    hub.repos["dataset", "ann/data"].gated = "auto"
    with pytest.raises(errors.GatedRepoError):
        client(hub, BOB).hf_hub_download("ann/data", "notes.txt", repo_type="dataset")
    hub.repos["dataset", "ann/data"].private = True
    for token in (BOB, False):
        with pytest.raises(errors.RepositoryNotFoundError):
            client(hub, token).dataset_info("ann/data")
    with pytest.raises(errors.HfHubHTTPError, match="401"):
        client(hub, "wrong").dataset_info("ann/data")
    assert len(hub.log.asked("POST", "/commit/")) == 2


def test_a_lost_answer_and_the_second_try_that_does_nothing(hub: LoopbackHub) -> None:
    api = started(hub)
    head = api.dataset_info("ann/data").sha
    lost = hub.fail(Fault("drop_after", path="/commit/"))
    with pytest.raises(Exception, match="disconnected"):
        send(api, {"notes.txt": b"two"}, parent_commit=head)
    again = send(api, {"notes.txt": b"two"}, parent_commit=head)
    assert (lost.fired, again.oid) == (1, hub.repos["dataset", "ann/data"].branches["main"])
    assert len(hub.repos["dataset", "ann/data"].history()) == 3


def test_uploads_are_tried_again(hub: LoopbackHub) -> None:
    api = client(hub)
    api.create_repo("ann/data", repo_type="dataset")
    wait = {"RateLimit": '"api";r=0;t=1', "Retry-After": "1"}
    faults = [
        hub.fail(Fault("status", path="/preupload/", status=429, headers=wait)),
        hub.fail(Fault("drop_before", method="PUT")),
        hub.fail(Fault("drop_after", method="PUT", nth=2)),
        hub.fail(Fault("status", path="objects/batch", status=503, body=b"<html>")),
    ]
    send(api, {"data/train.parquet": PARQUET})
    assert [one.fired for one in faults] == [1, 1, 1, 1]
    assert hub.repos["dataset", "ann/data"].read("data/train.parquet") == PARQUET
    hub.fail(Fault("status", path="/commit/", status=500, body=b"<html>"))
    with pytest.raises(errors.HfHubHTTPError, match="500"):
        send(api, {"data/test.parquet": PARQUET[:99]})
    puts = len(hub.log.asked("PUT"))
    send(api, {"data/test.parquet": PARQUET[:99]})
    assert len(hub.log.asked("PUT")) == puts


def test_downloads_resume_and_wrong_bytes_are_found(tmp_path: Path) -> None:
    content = bytes(11 * 1024 * 1024)
    with LoopbackHub(USERS, cdn=True) as hub:
        api = started(hub)
        hub.repos["dataset", "ann/data"].change({"big.bin": content})
        cut = hub.fail(Fault("truncate", method="GET", path="/cdn/", at=len(content) - 7))
        got = api.hf_hub_download("ann/data", "big.bin", repo_type="dataset")
        assert (cut.fired, Path(got).read_bytes()) == (1, content)
        first, second = hub.log.asked("GET", "/cdn/")
        assert second.headers["range"] == f"bytes={10 * 1024 * 1024}-"
        assert second.sent == 1024 * 1024
        assert {one.headers["host"].split(":")[0] for one in (first, second)} == {"localhost"}
        assert not any(one.authorized for one in hub.log.asked(path="/cdn/"))
        assert all(one.authorized for one in hub.log.asked(path="/resolve/"))
        hub.fail(Fault("flip", method="GET", path="/cdn/"))
        api.hf_hub_download("ann/data", "data/train.parquet", repo_type="dataset")
        wrong = api.verify_repo_checksums("ann/data", repo_type="dataset").mismatches
        assert [one["path"] for one in wrong] == ["data/train.parquet"]
        huggingface_hub.close_session()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["status", "status_after", "drop_before", "drop_after", "truncate", "flip"])
def test_no_fault_at_any_request_leaves_half_a_commit(kind: Any) -> None:
    files = {"README.md": CARD, "data/train.parquet": PARQUET, "notes.txt": b"one"}
    number, fired = 1, 1
    while fired:
        with LoopbackHub(USERS) as hub:
            api = client(hub)
            api.create_repo("ann/data", repo_type="dataset")
            fault = hub.fail(Fault(kind, nth=number))
            with suppress(Exception):  # whatever the client makes of it
                send(api, files)
            hub.faults.clear()
            repo = hub.repos["dataset", "ann/data"]
            assert len(repo.history()) in (1, 2)
            assert len(repo.find("main").files) in (1, 4)
            send(api, files)
            assert {path: repo.read(path) for path in files} == files
            number, fired = number + 1, fault.fired
            huggingface_hub.close_session()
    assert number > 7
