"""Archives that may be hostile: nothing outside the folder, and one line for whatever is wrong with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_members import GOOD, tar_of, zip_of

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.unpacking import unpack


def test_links_twins_and_bombs(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_of(GOOD, link="/etc/passwd"))
    with pytest.raises(SourceError, match=r'"good/link.csv" is a link or a device'):
        unpack(archive, tmp_path / "1", wanted=("*",))
    archive.write_bytes(tar_of({"a.csv": bytes(10_000_000)}))
    with pytest.raises(SourceError, match="unpacks to more than 1,000 bytes"):
        unpack(archive, tmp_path / "2", wanted=("*",), most_bytes=1000)
    assert sum(path.stat().st_size for path in (tmp_path / "2").rglob("*")) <= 1000
    archive.write_bytes(tar_of(GOOD))
    with pytest.raises(SourceError, match="more than 2 members"):
        unpack(archive, tmp_path / "3", wanted=("*",), most_members=2)
    archive.write_bytes(tar_of({"a.csv": b"1", "./a.csv": b"2"}))
    with pytest.raises(SourceError, match=r'"a.csv" stands in it twice'):
        unpack(archive, tmp_path / "4", wanted=("*",))
    archive.write_bytes(tar_of({"a": b"1", "a/b": b"2"}))
    with pytest.raises(SourceError, match="both a file and a folder"):
        unpack(archive, tmp_path / "5", wanted=("*",))


@pytest.mark.parametrize("cut", [10, 60, 150])
def test_damaged_or_without_what_is_wanted(tmp_path: Path, cut: int) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_of({"a.csv": bytes(range(256)) * 9})[:cut])
    with pytest.raises(SourceError, match="damaged, or not an archive"):
        unpack(archive, tmp_path / "1", wanted=("*",))
    archive.write_bytes(tar_of(GOOD))
    with pytest.raises(SourceError, match=r'wanted "\*.jsonl" in it; found no such file'):
        unpack(archive, tmp_path / "2", wanted=("*.jsonl",))


@settings(max_examples=30)
@given(
    pack=st.sampled_from([tar_of(GOOD), zip_of(GOOD)]),
    harm=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_any_damage_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, pack: bytes, harm: list[tuple[int, int]]
) -> None:
    room, bad = tmp_path_factory.mktemp("room"), bytearray(pack)
    for where, value in harm:
        bad[where % len(bad)] = value
    (room / "archive").write_bytes(bad)
    with contextlib.suppress(SourceError):
        unpack(room / "archive", room / "inside", wanted=("*",))


@settings(max_examples=25)
@given(name=st.text(alphabet="./\\aC:~ \n\x00", min_size=1, max_size=12), kind=st.sampled_from([tar_of, zip_of]))
def test_no_name_writes_outside(
    tmp_path_factory: pytest.TempPathFactory, name: str, kind: Callable[[dict[str, bytes]], bytes]
) -> None:
    room = tmp_path_factory.mktemp("room")
    archive, inside = room / "archive", room / "inside"
    archive.write_bytes(kind({name: b"x"}))
    try:
        names = unpack(archive, inside, wanted=("*",))
    except SourceError:
        names = []
    assert sorted(p.name for p in room.iterdir() if p != inside) == ["archive"]
    assert all((inside / found).read_bytes() == b"x" for found in names)
