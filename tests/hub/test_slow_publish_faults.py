"""Every way to fail at every request of a publish: it ends published and read back, or unchanged and said clearly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from publish_stage import TOKEN, Stage, a_stage, no_pauses, second_version, small_folder

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.loopback import Fault, loopback_environment
from dfar_toolkit.hub.loopback.faults import KINDS

FIRST, UPDATE = "first", "update"
SOME = {"drop_after": (3, 23), "killed": (20, 23)}  # for every day: making it, uploading, committing


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


def prepared(stage: Stage, flow: str, versions: tuple[Path, Path]) -> tuple[Path, int, str]:
    """The folder to publish, the commits that must be there afterwards, the tag."""
    if flow == UPDATE:
        stage.publish(versions[0], tag="v1")
        return versions[1], 3, "v2"
    return versions[0], 2, "v1"


def requests_of(flow: str, versions: tuple[Path, Path]) -> int:
    with a_stage() as stage:
        folder, _, tag = prepared(stage, flow, versions)
        before = len(stage.hub.log)
        stage.publish(folder, tag=tag)
        return len(stage.hub.log) - before


def settled(stage: Stage, folder: Path, commits: int, tag: str) -> None:
    """The one good end: one commit with the folder, the tag on it, nothing else."""
    assert len(stage.repo.history()) == commits
    assert len(stage.repo.commits) == commits
    assert stage.holds(folder)
    assert stage.repo.private
    assert stage.repo.tags[tag] == stage.repo.branches["main"]
    assert set(stage.repo.tags) == ({"v1", "v2"} if commits == 3 else {"v1"})
    assert not stage.repo.pulls


def struck(stage: Stage, folder: Path, commits: int, tag: str, fault: Fault | None, after: Fault | None = None) -> str:
    """Publish with a fault, look at what is left, publish once more without; the error, if there was one."""
    before = stage.there() and dict(stage.repo.tags)
    for one in (fault, after):
        if one:
            stage.hub.fail(one)
    said = ""
    failure = None
    try:
        found = stage.publish(folder, tag=tag)
        assert found.verified is not None
        assert found.verified.same
        settled(stage, folder, commits, tag)
    except HubError as error:
        failure = error
    if failure is not None:
        said = str(failure)
        assert said
        assert "\n" not in said
        assert TOKEN not in "".join(traceback.format_exception(failure))
        repo = stage.there()
        if repo is not None:  # unchanged, or committed and not yet tagged; a tag only ever on the whole commit
            assert len(repo.commits) in (commits - 1, commits)
            assert len(repo.commits) == commits or repo.tags == (before or {})
            assert len(repo.commits) == commits - 1 or stage.holds(folder)
    stage.hub.faults.clear()
    stage.publish(folder, tag=tag)
    settled(stage, folder, commits, tag)
    return said


def walk(flow: str, versions: tuple[Path, Path], kind: str, numbers: range | tuple[int, ...]) -> dict[int, str]:
    failed = {}
    for number in numbers:
        with a_stage() as stage:
            folder, commits, tag = prepared(stage, flow, versions)
            at, after = len(stage.hub.log) + number, None
            if kind == "killed":  # the request came through, then the process was gone
                fault, after = Fault("drop_after", request=at), Fault("drop_before", request=at + 1, times=None)
            elif kind == "down":
                fault = Fault("status", request=at, times=None, status=503)
            elif kind == "busy":
                fault = Fault("status", request=at, status=429, headers={"Retry-After": "1"})
            else:
                fault = Fault(kind, request=at, seconds=0.6)  # type: ignore[arg-type]
            if said := struck(stage, folder, commits, tag, fault, after):
                failed[number] = said
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("flow", [FIRST, UPDATE])
@pytest.mark.parametrize("kind", [*KINDS, "busy", "killed", "down"])
def test_every_fault_at_every_request(
    kind: str, flow: str, versions: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    count = requests_of(flow, versions)
    step = 1 if kind in (*KINDS, "killed") else 3
    numbers = range(1, count + 1, step)
    failed = walk(flow, versions, kind, numbers)
    out, err = capfd.readouterr()
    assert TOKEN not in out + err
    if kind in ("down", "killed"):
        assert len(failed) >= len(numbers) - 2
    elif kind != "flip":  # one lost, late or refused answer is always made up for
        assert not failed, failed


@pytest.mark.parametrize("kind", SOME)
def test_some_faults_at_some_requests(
    kind: str, versions: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    failed = walk(FIRST, versions, kind, SOME[kind])
    assert TOKEN not in "".join(capfd.readouterr())
    assert not failed or kind == "killed"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/repos/create", "/cdn/", "/commit/", "/tag/"])
def test_a_publisher_that_is_really_killed(path: str, versions: tuple[Path, Path], tmp_path: Path) -> None:
    folder, commits, tag = versions[0], 2, "v1"
    with a_stage() as stage:
        call = [
            *(str(Path(sys.executable).with_name("dfar")), "publish", str(folder), "--repo", "org/data", "--tag", tag),
            *("--accept", "card.unwritten"),
        ]
        environment = {**os.environ, **loopback_environment(stage.hub, tmp_path / "there", TOKEN)}
        fault = stage.hub.fail(Fault("hang_after", path=path, seconds=60))
        child = subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not fault.fired:
            time.sleep(0.02)
            assert child.poll() is None
        time.sleep(0.3)  # what was asked is done, the answer is held back
        child.kill()
        child.wait()
        stage.hub.faults.clear()
        run = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert TOKEN not in run.stdout + run.stderr
        settled(stage, folder, commits, tag)
