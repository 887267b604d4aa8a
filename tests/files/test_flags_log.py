"""Flags and comments: kept, changed and withdrawn by appending."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfar_toolkit.files.flags_log import FlagsLog, Mark, flags_of


def test_marks_of_several_people_stand_side_by_side(tmp_path: Path) -> None:
    FlagsLog(tmp_path, "Bob").add(Mark("i1", comment="Why?\n\x00" + "x" * 1_000_000))
    FlagsLog(tmp_path, "../Ann").add(Mark("i1", output_id="m/i1", flag="wrong"))
    FlagsLog(tmp_path, "../Ann").add(Mark("i0", flag="funny"))
    found = flags_of(tmp_path)
    assert found.select("person", "item_id", "output_id", "flag").rows() == [
        ("../Ann", "i0", "", "funny"), ("Bob", "i1", "", ""), ("../Ann", "i1", "m/i1", "wrong"),
    ]  # fmt: skip
    assert found["comment"][1] == "Why?\n\x00" + "x" * 1_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["flags"]


def test_a_change_replaces_and_a_withdrawn_mark_is_gone_for_good(tmp_path: Path) -> None:
    log = FlagsLog(tmp_path, "Ann")
    first = log.add(Mark("i1", flag="wrong", key="k1"))
    second = log.add(Mark("i1", comment="rather odd", replaces=first.key))
    assert log.add(Mark("i1", flag="wrong", key="k1")) == first
    assert log.marks() == [second]
    assert not log.withdraw(first.key)
    assert FlagsLog(tmp_path, "Ann").withdraw(second.key)
    assert not log.withdraw(second.key)
    assert log.marks() == []
    assert flags_of(tmp_path).is_empty()
    assert len(log.path.read_text().splitlines()) == 3


def test_another_persons_mark_cannot_be_withdrawn(tmp_path: Path) -> None:
    mark = FlagsLog(tmp_path, "Ann").add(Mark("i1", flag="wrong"))
    assert not FlagsLog(tmp_path, "Bob").withdraw(mark.key)
    assert len(flags_of(tmp_path)) == 1


def test_a_torn_mark_is_left_out_and_the_next_is_kept(tmp_path: Path) -> None:
    log = FlagsLog(tmp_path, "Ann")
    log.add(Mark("i1", flag="a"))
    log.path.write_bytes(log.path.read_bytes()[:-3])
    log.add(Mark("i2", flag="b"))
    assert flags_of(tmp_path)["item_id"].to_list() == ["i2"]


@pytest.mark.parametrize("mark", [Mark("i1"), Mark("i1", flag=" ", comment="\n"), Mark("", flag="a")])
def test_a_mark_that_says_nothing_is_refused(tmp_path: Path, mark: Mark) -> None:
    with pytest.raises(ValueError, match="add: a mark needs"):
        FlagsLog(tmp_path, "Ann").add(mark)


def test_a_folder_without_marks_has_no_rows(tmp_path: Path) -> None:
    assert flags_of(tmp_path).columns[:3] == ["person", "item_id", "output_id"]
    assert FlagsLog(tmp_path, "Ann").marks() == []


def test_marks_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    log = FlagsLog(tmp_path, "Bob")
    said = [f"comment {k:02d}" for k in range(30)]
    for text in said:
        log.add(Mark("i1", comment=text, at="2025-01-02"))
    assert flags_of(tmp_path)["comment"].to_list() == said
