"""Publishing: the plan, one commit, the tag, what others do meanwhile, what is refused, and what is never shown."""

from __future__ import annotations

import json
import shutil
import traceback
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from publish_stage import BOB, READ, Stage, a_stage, no_pauses, seal, second_version, sha256, small_folder

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.hub.loopback import Fault
from dfar_toolkit.hub.one_commit import commit_plan
from dfar_toolkit.hub.plan import local_files, plan
from dfar_toolkit.hub.publish import PublishOptions, check_name


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    back = no_pauses(monkeypatch, tmp_path / "home")
    yield
    back()


@pytest.fixture(scope="module")
def versions(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("versions")
    first = small_folder(demo, place / "first")
    return first, second_version(first, place / "second")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_stage(page_size=4) as one:
        yield one


def test_first_publish_update_and_nothing_to_do(stage: Stage, versions: tuple[Path, Path]) -> None:
    first, second = versions
    made = stage.publish(first, tag="v1")
    assert (made.created, made.committed, made.tagged) == (True, True, True)
    assert made.plan.counts == {"add": 12}
    assert stage.repo.private
    assert stage.holds(first)
    assert [commit.title for commit in stage.repo.history()] == ["Publish Everyday conduct", "initial commit"]
    assert json.loads((first / "manifest.json").read_text())["content_digest"]["default"] in (
        stage.repo.history()[0].description
    )

    before = len(stage.hub.log)
    again = stage.publish(first)
    assert (again.committed, again.commit, again.verified and again.verified.same) == (False, made.commit, True)
    assert "unchanged" in again.verdict
    assert not [one for one in stage.hub.log[before:] if one.writes]

    tagged = stage.publish(first, tag="v1.0.1")  # a missing tag is still set
    assert (tagged.tagged, stage.repo.tags) == (True, {"v1": made.commit, "v1.0.1": made.commit})
    assert not stage.publish(first, tag="v1").tagged  # success: it names this commit

    before = len(stage.hub.log)
    new = stage.publish(second, tag="v2", message="Reasons\nmended")
    assert {row.path: row.action for row in new.plan.rows if row.action != "unchanged"} == {
        "README.md": "update", "annotations.parquet": "update", "manifest.json": "update", "notes.txt": "delete",
    }  # fmt: skip
    assert stage.holds(second)
    assert stage.repo.history()[0].title == "Reasons mended"
    sent = [one for one in list(stage.hub.log)[before:] if one.method == "PUT"]
    assert [one.path.rpartition("/")[2] for one in sent] == [sha256(second / "annotations.parquet")]
    with pytest.raises(HubError, match=r"the tag v1 names the commit \w{8} already and is never moved"):
        stage.publish(second, tag="v1")
    assert len(stage.repo.history()) == 3


def test_dry_run_writes_nothing(stage: Stage, versions: tuple[Path, Path]) -> None:
    found = stage.publish(versions[0], dry_run=True, tag="v1")
    assert (found.commit, stage.there(), found.plan.counts) == (None, None, {"add": 12})
    stage.publish(versions[0])
    before = len(stage.hub.log)
    found = stage.publish(versions[1], dry_run=True)
    assert found.plan.counts == {"update": 3, "delete": 1, "unchanged": 8}
    rows = {row.path: row for row in found.plan.rows}
    assert rows["README.md"].sha256 == sha256(versions[1] / "README.md")
    assert rows["README.md"].bytes == (versions[1] / "README.md").stat().st_size
    assert not [one for one in list(stage.hub.log)[before:] if one.writes or one.method not in ("GET", "HEAD")]
    with pytest.raises(HubError, match="your token may not do this"):
        stage.publish(versions[1], dry_run=True, token=READ)


def test_visibility_is_never_changed(stage: Stage, versions: tuple[Path, Path]) -> None:
    stage.publish(versions[0], public=True)
    assert not stage.repo.private
    with pytest.raises(HubError, match="org/data is public: say --public"):
        stage.publish(versions[1])
    stage.repo.private = True
    with pytest.raises(HubError, match="org/data is private: leave --public out"):
        stage.publish(versions[1], public=True)
    assert len(stage.repo.history()) == 2


def test_what_others_put_there(stage: Stage, versions: tuple[Path, Path]) -> None:
    first, second = versions
    stage.publish(first)
    stage.repo.change({"extra/more.txt": b"theirs"}, author="bob")
    found = stage.publish(second)
    assert [row.path for row in found.plan.of("kept")] == ["extra/more.txt"]
    assert stage.holds(second, {"extra/more.txt": b"theirs"})
    assert [row.path for row in stage.publish(second, delete_others=True).plan.of("delete")] == ["extra/more.txt"]
    assert stage.holds(second)

    stage.repo.change({"README.md": b"# Edited in the browser\n", "targets.parquet": b"PAR1"}, author="bob")
    with pytest.raises(HubError, match=r"hub.edited: README.md, targets.parquet: somebody else .*--accept hub.edited"):
        stage.publish(second)
    assert stage.publish(second, accept=("hub.edited",)).committed
    assert stage.holds(second)


@pytest.mark.parametrize("late", [False, True])
def test_a_concurrent_commit_is_never_overwritten(
    late: bool, stage: Stage, versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    stage.publish(versions[0])
    commit = HfApi.create_commit

    def meanwhile(self: HfApi, *args: object, **settings: object) -> object:
        if late:
            answer = commit(self, *args, **settings)  # type: ignore[arg-type]
        stage.repo.change({"theirs.txt": b"x"}, title="Add theirs", author="bob")
        return answer if late else commit(self, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "create_commit", meanwhile)
    if late:  # ours came first: it is done, read back and tagged at our commit
        assert stage.publish(versions[1], tag="v2").commit == stage.repo.history()[1].oid
        assert stage.repo.tags == {"v2": stage.repo.history()[1].oid}
        return
    with pytest.raises(HubError, match=r'has changed since the plan was made by bob: "Add theirs" .* in theirs.txt;'):
        stage.publish(versions[1], tag="v2")
    assert [one.title for one in stage.repo.history()][:2] == ["Add theirs", "Publish Everyday conduct"]
    assert not stage.repo.tags


def test_a_pull_request(stage: Stage, versions: tuple[Path, Path]) -> None:
    with pytest.raises(HubError, match="no such repository to open a pull request in"):
        stage.publish(versions[0], pull_request=True)
    stage.publish(versions[0], public=True)
    stage.hub.fail(Fault("drop_after", path="/commit/"))  # it was opened, the answer was lost
    found = stage.publish(versions[1], public=True, pull_request=True, token=BOB)
    assert (found.pull_request, found.url[-13:]) == ("refs/pr/1", "discussions/1")
    assert stage.publish(versions[1], public=True, pull_request=True, token=BOB).pull_request == "refs/pr/1"
    assert list(stage.repo.pulls) == [1]
    assert len(stage.repo.history()) == 2
    with pytest.raises(ValueError, match="publish: a tag is set on the main branch"):
        PublishOptions(pull_request=True, tag="v1")
    for tag in ("a b", "main", "f" * 40, "v1..2", "-x", "x.lock"):
        with pytest.raises(ValueError, match="publish: "):
            PublishOptions(tag=tag)


@pytest.mark.parametrize(
    ("token", "said"),
    [("hf_nobodyHasThisOne999", "does not know who you are|your token"), (BOB, "your token may not do this"),
     (READ, "your token may not do this")],
)  # fmt: skip
def test_tokens_that_will_not_do(
    token: str, said: str, stage: Stage, versions: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HubError, match=said) as refused:
        stage.publish(versions[0], token=token)
    assert stage.there() is None
    shown = f"{''.join(traceback.format_exception(refused.value))}{stage.said}{''.join(capfd.readouterr())}"
    assert token not in shown


def test_a_hub_that_stays_down_or_asks_for_too_much(stage: Stage, versions: tuple[Path, Path]) -> None:
    stage.publish(versions[0])
    stage.hub.fail(Fault("status", path="/commit/", times=None, status=502))
    with pytest.raises(HubError, match=r"the Hub answered 502.*, 4 times; nothing was published, run again"):
        stage.publish(versions[1])
    stage.hub.faults.clear()
    for path in ("/commit/", "/tree/"):  # the client itself would sleep for an hour over the second
        stage.hub.fail(Fault("status", path=path, status=429, headers={"Retry-After": "3600"}))
        with pytest.raises(HubError, match="asks to wait 3600 seconds"):
            stage.publish(versions[1])
        stage.hub.faults.clear()
    stage.hub.fail(Fault("status", path="/tree/", status=429, headers={"Retry-After": "2"}))
    assert stage.publish(versions[1]).committed


def test_busy_with_another_repository_is_no_endless_loop(stage: Stage, versions: tuple[Path, Path]) -> None:
    busy = b'{"error": "Cannot create repo: another conflicting operation is in progress"}'
    stage.hub.fail(Fault("status", path="/repos/create", times=None, status=409, body=busy))
    with pytest.raises(HubError, match="busy with another of your repositories"):
        stage.publish(versions[0])
    assert len(stage.hub.log.asked("POST", "/repos/create")) == 1


def test_folders_that_are_not_whole(stage: Stage, versions: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(versions[0], tmp_path / "edited"))
    (folder / "README.md").write_text("# By hand\n")
    with pytest.raises(TableError, match=r"README.md: its bytes differ .* `dfar card .*` takes your words over"):
        stage.publish(folder)
    (tmp_path / "secret").write_text("x")
    for path in ("../secret", "/etc/hosts", "a/../../secret", ".git/config"):
        manifest = json.loads((versions[0] / "manifest.json").read_text())
        manifest["files"][path] = {"sha256": "0" * 64, "n_bytes": 1}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(TableError, match="no path inside the folder"):
            local_files(folder)
    folder = Path(shutil.copytree(versions[0], tmp_path / "linked"))
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(TableError, match="no path inside the folder"):
        stage.publish(seal(folder))
    with pytest.raises(HubError, match="wanted ORG/NAME alone"):
        check_name("org/data@v1")
    assert not stage.hub.log.writing()


def test_three_hundred_files_go_up_in_one_commit(stage: Stage, versions: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(versions[0], tmp_path / "many"))
    (folder / "more").mkdir()
    for number in range(300 - 12):
        (folder / "more" / f"{number:03}.txt").write_text(str(number))
    seal(folder)
    found = stage.repository()
    found.create(public=False)
    head, remote = found.files()
    made = plan(local_files(folder), remote, parent=head)
    assert made.counts == {"add": 300}
    commit_plan(found, made, message="Many", pull_request=False, tell=lambda _: None)
    assert len(stage.repo.commits) == 2
    assert stage.holds(folder)


def test_planning_needs_no_more_memory_for_larger_files(versions: tuple[Path, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(versions[0], tmp_path / "large"))
    peaks = []
    for megabytes in (1, 48):
        with (folder / "notes.txt").open("wb") as handle:
            handle.truncate(megabytes << 20)
        seal(folder)
        tracemalloc.start()
        plan(local_files(folder), {}, parent=None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)
    assert peaks[1] < 8 << 20
