"""Saved slices: kept and withdrawn by appending, by several processes at once, whatever their names."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.slices_log import LONGEST_NAME, SLICES, SavedSlice, SlicesLog, saved_slices

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://evil.example)",
    "=cmd|' /C calc'!A0",
    "a\nb\x00c",
    "\u202eshalom",
    "x" * 200,
]


def test_slices_of_several_people_stand_side_by_side(tmp_path: Path) -> None:
    SlicesLog(tmp_path, "Bob").add(SavedSlice("long", {"length": "500.."}, at="2025-01-02"))
    SlicesLog(tmp_path, "../Ann").add(SavedSlice("long", {"split": ["test"], "gold": ["a", ""]}, at="2025-01-01"))
    found = saved_slices(tmp_path)
    assert [(s.person, s.name, s.query) for s in found] == [
        ("../Ann", "long", {"split": ["test"], "gold": ["a", ""]}), ("Bob", "long", {"length": "500.."}),
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == [SLICES]


def test_names_come_back_as_they_were(tmp_path: Path) -> None:
    log = SlicesLog(tmp_path, "Ann")
    for name in HOSTILE:
        log.add(SavedSlice(name, {"text": name}))
    assert [(s.name, s.query["text"]) for s in SlicesLog(tmp_path, "Ann").slices()] == [(n, n) for n in HOSTILE]


def test_the_same_is_kept_once_and_a_withdrawn_one_can_be_saved_again(tmp_path: Path) -> None:
    log = SlicesLog(tmp_path, "Ann")
    first = log.add(SavedSlice("long", {"split": ("test",)}))
    assert log.add(SavedSlice("long", {"split": ["test"]})) == first
    assert log.add(SavedSlice("long", {"split": ["train"]})) != first
    assert SlicesLog(tmp_path, "Ann").withdraw(first.key)
    assert not log.withdraw(first.key)
    assert not SlicesLog(tmp_path, "Bob").withdraw(log.slices()[0].key)
    again = log.add(SavedSlice("long", {"split": ["test"]}))
    assert again.key != first.key
    assert [s.query for s in saved_slices(tmp_path)] == [{"split": ["train"]}, {"split": ["test"]}]
    assert len(log.path.read_text().splitlines()) == 4


def test_a_torn_last_line_is_left_out_and_the_next_is_kept(tmp_path: Path) -> None:
    log = SlicesLog(tmp_path, "Ann")
    log.add(SavedSlice("one", {"split": ["test"]}))
    log.add(SavedSlice("two", {"split": ["test"]}))
    log.path.write_bytes(log.path.read_bytes()[:-7])
    assert [s.name for s in saved_slices(tmp_path)] == ["one"]
    SlicesLog(tmp_path, "Ann").add(SavedSlice("three", {"split": ["test"]}))
    assert [s.name for s in saved_slices(tmp_path)] == ["one", "three"]


def test_a_changed_line_is_said(tmp_path: Path) -> None:
    log = SlicesLog(tmp_path, "Ann")
    log.add(SavedSlice("one", {"split": ["test"]}))
    log.path.write_bytes(log.path.read_bytes().replace(b"one", b"two"))
    with pytest.raises(TableError, match="line 1 was changed"):
        saved_slices(tmp_path)


def _save_some(folder: Path, start: Any, who: int) -> None:
    start.wait()
    log = SlicesLog(folder, "Ann")
    for k in range(20):
        log.add(SavedSlice(f"{who} {k}", {"text": str(k)}))


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    start = spawn.Barrier(2)
    writers = [spawn.Process(target=_save_some, args=(tmp_path, start, who)) for who in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert sorted(s.name for s in saved_slices(tmp_path)) == sorted(f"{w} {k}" for w in range(2) for k in range(20))
    assert len(list((tmp_path / SLICES).iterdir())) == 1


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (SavedSlice(" \n", {"text": "a"}), "1 to 200 characters"),
        (SavedSlice("x" * (LONGEST_NAME + 1), {"text": "a"}), "found 201"),
        (SavedSlice("all", {}), "needs a filter"),
    ],
)
def test_a_slice_of_nothing_is_refused(tmp_path: Path, one: SavedSlice, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SlicesLog(tmp_path, "Ann").add(one)
    assert saved_slices(tmp_path) == []


def test_slices_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    log = SlicesLog(tmp_path, "Bob")
    names = [f"slice {k:02d}" for k in range(30)]
    for k, name in enumerate(names):
        log.add(SavedSlice(name, {"length": f"{k}.."}, at="2025-01-02"))
    assert [one.name for one in saved_slices(tmp_path)] == names
