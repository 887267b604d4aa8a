"""Files that are broken, vanish or change while somebody looks: said in a line, and the rest is shown."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, show_page, words_of

from dfar_toolkit._viewer import frame
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows

pytestmark = STREAMLIT_WARNINGS


@pytest.fixture
def copied(demo: Path, tmp_path: Path) -> Path:
    """The demo, to break."""
    shutil.copytree(demo, tmp_path / "demo")
    return tmp_path / "demo"


def line(row: dict[str, Any]) -> bytes:
    """A line of a log that carries its checksum."""
    body = json.dumps(row).encode()
    return b'%s,"crc32":%d}\n' % (body[:-1], zlib.crc32(body))


def test_items_are_listed_without_what_people_said(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copied / "items" / "annotations.parquet").unlink()
    words = words_of(show_page(monkeypatch, "items", [copied / "items"]))
    assert "80 items" in words
    assert "annotations.parquet: cannot be read" in words


def test_a_broken_file_of_items_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = copied / "items" / "data" / "default" / "test.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:8] + bytes(len(whole) // 2) + whole[8 + len(whole) // 2 :])  # its footer is whole
    test = show_page(monkeypatch, "app", [copied / "items"])
    assert len(test.error) == 1
    assert "test\\.parquet\\: cannot be read" in test.error[0].value


def test_a_page_that_cannot_be_made_says_so(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret words")

    show_page(monkeypatch, "app", [demo / "items"])
    monkeypatch.setattr(frame.StreamlitPage, "run", broken)
    test = show_page(monkeypatch, "app", [demo / "items"])
    assert [e.value.startswith("This page could not be made") for e in test.error] == [True]
    assert "secret" not in html_of(test) + test.error[0].value


def test_a_run_that_is_replaced_is_read_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied / "runs" / "with-reasons.jsonl"
    argv = [copied / "items", run]
    assert "with-reasons" in html_of(show_page(monkeypatch, "runs", argv))
    write = [json.dumps(json.loads(row) | {"run_id": "another-run"}) for row in run.read_text().splitlines()]
    run.write_text("\n".join(write))
    shown = html_of(show_page(monkeypatch, "items", argv))
    assert "another-run" in shown
    assert "with-reasons" not in shown
    run.unlink()
    assert "80 items" in words_of(show_page(monkeypatch, "items", argv))


@pytest.mark.parametrize("page", ["items", "errors"])
@pytest.mark.parametrize(
    "wrong",
    [
        b'{"key":"a","person":"P","crc32":5}\n', line({"key": "a"}), line({"person": "P"}),
        line({"key": "a", "person": "P", "item_id": "x", "name": "n", "filter": {"text": 5, "split": [1]}, "at": "t"}),
        b"\xff\xfe\x00{\n" * 9,
    ],
)  # fmt: skip
def test_marks_that_are_none_of_ours_hide_nothing(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, wrong: bytes
) -> None:
    for kind in ("flags", "slices"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "p.jsonl").write_bytes(wrong)
    run = demo / "runs" / "with-reasons.jsonl"
    words = words_of(show_page(monkeypatch, page, ["--marks", tmp_path, demo / "items", run]))
    assert "80 items" in words


def test_what_was_counted_while_flags_changed_is_counted_again(demo: Path) -> None:
    index = ItemIndex(demo / "items")
    ids = index.column("item_id")
    index.flag([ids[0]])

    def made() -> int:
        index.flag([ids[0], ids[1]])  # by another browser, meanwhile
        return 1

    assert index.remembered(("n",), made) == 1
    assert index.remembered(("n",), lambda: 2) == 2
    assert len(found_rows(index, ItemFilter(flagged=True))) == 2
