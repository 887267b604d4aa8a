"""A folder is replaced whole or not at all: errors, full disks, killed writers."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.swap import MANIFEST, is_ours, replacing, settle


def write(folder: Path, content: str) -> None:
    (folder / "data.txt").write_text(content)
    (folder / MANIFEST).write_text(json.dumps({"format": "dfar-test"}))


def content(folder: Path) -> str:
    return (folder / "data.txt").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "out" / "set"
    with replacing(target, kind="dfar-test") as fresh:
        write(fresh, "old")
    return target


def test_new_takes_the_place_of_old(folder: Path) -> None:
    with replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
        assert content(folder) == "old"
    assert content(folder) == "new"
    assert [p.name for p in folder.parent.iterdir()] == ["set"]


def test_what_others_put_there_stays(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("years of work")
    (folder / "link").symlink_to("notes")
    (folder / "gone.txt").write_text("ours, listed, and not written again")
    (folder / MANIFEST).write_text(json.dumps({"format": "dfar-test", "files": {"data.txt": {}, "gone.txt": {}}}))
    with replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
    assert content(folder) == "new"
    assert (folder / "notes" / "mine.txt").read_text() == "years of work"
    assert (folder / "link").is_symlink()
    assert not (folder / "gone.txt").exists()


def test_an_error_leaves_the_old_one(folder: Path) -> None:
    def fail(fresh: Path) -> None:
        write(fresh, "new")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"), replacing(folder, kind="dfar-test") as fresh:
        fail(fresh)
    assert content(folder) == "old"
    assert [p.name for p in folder.parent.iterdir()] == ["set"]


def test_without_a_manifest_nothing_is_swapped(folder: Path) -> None:
    with (
        pytest.raises(TableError, match=r"nothing whole was written \(no manifest.json\)"),
        replacing(folder, kind="dfar-test") as fresh,
    ):
        (fresh / "data.txt").write_text("new")
    assert content(folder) == "old"


def test_a_full_disk_is_said_in_a_line(folder: Path) -> None:
    with (
        pytest.raises(TableError, match=r"no room .* the old one is unchanged") as caught,
        replacing(folder, kind="dfar-test"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(caught.value)
    assert content(folder) == "old"


def test_other_errors_of_the_system_are_not_called_a_full_disk(folder: Path) -> None:
    with (
        pytest.raises(TableError, match=r"cannot be written \(Permission denied\)"),
        replacing(folder, kind="dfar-test"),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert content(folder) == "old"


@pytest.mark.parametrize("place", ["file/below", "n" * 300, "/proc/dfar"])
def test_a_place_that_cannot_be_written_is_said_in_a_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TableError, match="cannot be written") as caught, replacing(tmp_path / place, kind="dfar-test"):
        pass
    assert "\n" not in str(caught.value)


def test_folders_of_others_beside_it_are_not_touched(folder: Path) -> None:
    others = [folder.with_name(n) for n in ("set.aside", "set.aside-dfar", "set.tmp-999999", "set.tmp-dfar-notes")]
    for other in others:
        other.mkdir()
        (other / "mine.txt").write_text("mine")
    (others[1] / "mine.txt").unlink()  # an empty folder of that name is in the way of nothing
    others[1].rmdir()
    with replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
    for other in (others[0], others[2], others[3]):
        assert (other / "mine.txt").read_text() == "mine"


def test_a_folder_of_others_where_the_old_one_would_go_stops_the_writer(folder: Path) -> None:
    other = folder.with_name("set.aside-dfar")
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(TableError, match="cannot be written"), replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
    assert (other / "mine.txt").read_text() == "mine"
    assert content(folder) == "old"


def test_another_kind_of_folder_is_refused(folder: Path) -> None:
    with (
        pytest.raises(TableError, match="wanted a folder of format dfar-demo, found one of dfar-test"),
        replacing(folder, kind="dfar-demo"),
    ):
        pass


def test_the_working_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    with pytest.raises(TableError, match="working folder"), replacing(folder, kind="dfar-test"):
        pass


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    for text in ("one", "two"):
        with replacing(tmp_path / "link", kind="dfar-test") as fresh:
            write(fresh, text)
        assert content(tmp_path / "real") == text
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_reader_that_puts_the_old_folder_back_does_not_stop_the_writer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, readers = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if target.name.endswith(".aside-dfar") and not readers:
            readers.append(settle(folder))
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
    assert readers
    assert content(folder) == "new"
    assert [p.name for p in folder.parent.iterdir()] == ["set"]


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TableError, match="found other files"), replacing(tmp_path, kind="dfar-test"):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_foreign_manifest_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"name": "a web app"}')
    assert not is_ours(tmp_path)
    (tmp_path / MANIFEST).write_text("[1]")
    assert not is_ours(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with (
        pytest.raises(TableError, match="wanted a folder to write, found a file"),
        replacing(tmp_path / "out", kind="dfar-test"),
    ):
        pass


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with replacing(tmp_path / "out", kind="dfar-test") as fresh:
        write(fresh, "new")
    assert content(tmp_path / "out") == "new"


KILLED = """
    import json, os, signal, sys
    from pathlib import Path
    from dfar_toolkit.files import swap
    folder, where = Path(sys.argv[1]), sys.argv[2]
    die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
    if where == "aside":
        real = Path.rename
        def rename(self, target):
            if ".tmp-dfar-" in self.name: die()
            return real(self, target)
        Path.rename = rename
    if where == "delete":
        swap.shutil.rmtree = die
    with swap.replacing(folder, kind="dfar-test") as fresh:
        (fresh / "data.txt").write_text("new")
        if where == "writing": die()
        (fresh / "manifest.json").write_text(json.dumps({"format": "dfar-test"}))
"""


@pytest.mark.parametrize(("where", "found"), [("writing", "old"), ("aside", "old"), ("delete", "new")])
def test_a_killed_writer_leaves_a_whole_folder(folder: Path, where: str, found: str) -> None:
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(folder), where], check=False)
    assert run.returncode == -signal.SIGKILL
    settle(folder)
    assert content(folder) == found
    with replacing(folder, kind="dfar-test") as fresh:  # and the next writer cleans up
        write(fresh, "next")
    assert content(folder) == "next"
    assert [p.name for p in folder.parent.iterdir()] == ["set"]


def test_the_folder_of_a_running_writer_is_left_alone(folder: Path) -> None:
    other = folder.with_name(f"set.tmp-dfar-{os.getppid()}")
    other.mkdir()
    with replacing(folder, kind="dfar-test") as fresh:
        write(fresh, "new")
    assert other.is_dir()
