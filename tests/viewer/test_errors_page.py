"""Errors: every cell opens what it counts; slices; what to read first; slices that people saved."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.files.slices_log import SavedSlice, SlicesLog, saved_slices
from viewer_example import LINK, write_example

pytestmark = STREAMLIT_WARNINGS
NAME = "<script>alert(1)</script> ![x](http://evil.example/x.png)"


@pytest.fixture
def argv(demo: Path) -> list[Path]:
    return [demo / "items", *(demo / "runs" / f"{run}.jsonl" for run in ("label-only", "with-reasons"))]


def cells(shown: str) -> list[tuple[str, int]]:
    """Address and count of every cell of the confusion table."""
    found = re.findall(r'<td class="d-err-cell[^>]*><a class="d-go" href="([^"]*)"[^>]*>([\d,]+)', shown)
    return [(html.unescape(href), int(n.replace(",", ""))) for href, n in found]


@pytest.mark.parametrize(
    "query", [{}, {"split": "test"}, {"state": "run a:wrong"}, {"prediction": "run a:bad"}, {"gold": "bad"}]
)
def test_every_cell_opens_the_items_that_it_counts(
    monkeypatch: pytest.MonkeyPatch, browsed: Any, index: ItemIndex, query: dict[str, str]
) -> None:
    shown = html_of(show_page(monkeypatch, "errors", [browsed.items, *browsed.runs], {"run": "run a", **query}))
    found = cells(shown)
    for href, n in found:
        wanted, problems = ItemFilter.from_query(query_of(href))
        assert problems == []
        assert len(found_rows(index, wanted)) == n
    whole, _ = ItemFilter.from_query({name: [value] for name, value in query.items()})
    assert sum(n for _, n in found) == len(found_rows(index, whole))


def test_the_error_rate_and_its_items(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "errors", argv, {"run": "with-reasons"})
    words = words_of(page)
    assert "20.7 % [12.3 %, 32.8 %]" in words
    assert "of 58 items with a label and an output" in words
    assert "missing" in words
    wanted, _ = ItemFilter.from_query(query_of(links_of(page)["Show the errors"]))
    assert len(found_rows(ItemIndex(argv[0], runs=argv[1:]), wanted)) == 12


def test_the_filter_is_carried_and_taken_away(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "errors", argv, {"run": "with-reasons", "split": "test", "gold": "ghost"})
    links = links_of(page)
    assert query_of(links["split test ×"]) == {"run": ["with-reasons"]}
    assert query_of(links["change the filter in Items"]) == {"split": ["test"]}
    assert query_of(links["Alabel-only"]) == {"run": ["label-only"], "split": ["test"]}
    assert "ghost: there is no such label" in words_of(page)
    assert 'There is no run "nobody".' in words_of(show_page(monkeypatch, "errors", argv, {"run": "nobody"}))


def test_errors_to_read_first(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "errors", argv, {"run": "with-reasons"})
    parts = html_of(page).split("<h3")[1:]
    most, surely, maybe = (html.unescape(re.sub(r"<[^>]*>", " ", part)) for part in parts)
    chances = [float(p) for p in re.findall(r"p (\d\.\d\d)", most)]
    assert chances == sorted(chances, reverse=True)
    assert all(float(d) <= 0.2 for d in re.findall(r"disagreement (\d\.\d\d)", surely))
    apart = [float(d) for d in re.findall(r"disagreement (\d\.\d\d)", maybe)]
    assert apart == sorted(apart, reverse=True)
    assert min(apart) >= 0.4
    href = next(href for words, href in links_of(page).items() if words.startswith("I walked out"))
    assert query_of(href)["differs"] == ["with-reasons"]
    assert query_of(href)["id"] == ["everyday:test:s023"]


def test_slices_are_found_or_it_is_said_that_none_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: list[Path]
) -> None:
    assert "No condition on label" in words_of(show_page(monkeypatch, "errors", argv))
    folder = write_example(tmp_path, n_items=360)
    page = show_page(monkeypatch, "errors", [folder, tmp_path / "plain.jsonl"], {"split": "test"})
    words = words_of(page)
    assert "had no part in choosing them" in words
    opened = [query_of(href) for words, href in links_of(page).items() if words == "errors"]
    assert opened
    assert all(query["differs"] == [f"plain {LINK}"] and query["split"] == ["test"] for query in opened)


def test_a_slice_is_saved_listed_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, argv: list[Path], tmp_path: Path
) -> None:
    from streamlit.testing.v1 import AppTest

    page: AppTest = show_page(
        monkeypatch, "errors", ["--marks", tmp_path, *argv], {"split": "test", "run": "with-reasons"}
    )
    assert "No slice has been saved yet." in words_of(page)
    page.text_input[0].set_value(NAME)
    page.button[0].click().run()
    assert "A slice needs a name, and yours" in page.error[0].value
    page.text_input[0].set_value(NAME)
    page.text_input[1].set_value("Ann")
    page.button[0].click().run()
    assert [(s.person, s.name, s.query) for s in saved_slices(tmp_path)] == [("Ann", NAME, {"split": ["test"]})]
    assert not page.exception
    assert "<script" not in html_of(page)
    assert query_of(links_of(page)[" ".join(NAME.split())]) == {"split": ["test"]}
    assert "0.207 [0.123, 0.328]" in words_of(page)
    assert "0.345 [0.235, 0.474]" in words_of(page)
    withdrawing = next(button for button in page.button if str(button.key).startswith("withdraw"))
    assert "<" not in withdrawing.label.replace("\\<", "")
    withdrawing.click().run()
    assert saved_slices(tmp_path) == []


def test_saved_slices_of_others_and_of_another_set(
    monkeypatch: pytest.MonkeyPatch, argv: list[Path], tmp_path: Path
) -> None:
    log = SlicesLog(tmp_path, "Bob")
    for k in range(22):
        log.add(SavedSlice(f"slice {k:02d}", {"gold": ["nowhere"], "length": f"{k}.."}))
    page = show_page(monkeypatch, "errors", ["--marks", tmp_path, *argv])
    words = words_of(page)
    assert "slice 21" in words
    assert "slice 01" not in words
    assert "there is no such label" in words
    assert not [b for b in page.button if str(b.key).startswith("withdraw")]
    assert "slice 01" in words_of(show_page(monkeypatch, "errors", ["--marks", tmp_path, *argv], {"saved": "all"}))
    log.path.write_bytes(log.path.read_bytes().replace(b"slice 03", b"slice 99"))
    assert "line 4 was changed" in show_page(monkeypatch, "errors", ["--marks", tmp_path, *argv]).error[
        0
    ].value.replace("\\", "")


def test_without_a_folder_nothing_is_written(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "errors", argv, {"split": "test"})
    assert "start the viewer with --marks FOLDER" in words_of(page)
    assert not page.text_input


def test_no_runs_no_errors_and_hostile_texts(
    monkeypatch: pytest.MonkeyPatch, argv: list[Path], tmp_path: Path, browsed: Any
) -> None:
    assert "There are no runs." in words_of(show_page(monkeypatch, "errors", argv[:1]))
    none = words_of(
        show_page(
            monkeypatch, "errors", argv, {"split": "train", "state": "with-reasons:missing", "run": "with-reasons"}
        )
    )
    assert "none has both a label and an output" in none
    folder = write_example(tmp_path)
    for run in ("plain", "reasons"):
        shown = html_of(show_page(monkeypatch, "errors", [folder, tmp_path / f"{run}.jsonl"]))
        assert "<script" not in shown
        assert "<img" not in shown
    shown = html_of(show_page(monkeypatch, "errors", [browsed.items, *browsed.runs], {"run": "b:\\$"}))
    assert "<script" not in shown
