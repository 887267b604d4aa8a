"""The list: what a filter leaves, what its links lead to, and that text stays text."""

from __future__ import annotations

import html
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browsed_folder import HOSTILE, Browsed
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows

pytestmark = STREAMLIT_WARNINGS


def argv(browsed: Browsed) -> list[str | Path]:
    return ["--judgements", browsed.judgements, browsed.items, *browsed.runs]


def filter_of(href: str) -> ItemFilter:
    wanted, problems = ItemFilter.from_query(query_of(href))
    assert problems == []
    return wanted


def items_shown(test: Any) -> list[str]:
    """Ids of the items listed, in their order."""
    hrefs = [href.split('"')[0] for href in html_of(test).split('d-statement d-line" dir="auto" href="')[1:]]
    return [query_of(html.unescape(href))["id"][0] for href in hrefs]


def test_lists_the_first_page_in_the_order_of_the_files(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = show_page(monkeypatch, "items", argv(browsed))
    assert f"{len(index):,} items" in words_of(test)
    assert items_shown(test) == index.column("item_id").head(50).to_list()


def test_a_filter_of_the_address_is_what_is_listed(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = index.runs[0]
    wanted = ItemFilter(gold=("good",), differs=(run,))
    test = show_page(monkeypatch, "items", argv(browsed), {**wanted.to_query(), "order": "-disagreement"})
    rows = found_rows(index, wanted, order="-disagreement").rows[:50]
    assert items_shown(test) == index.column("item_id").gather(rows).to_list()
    assert len(rows) > 0
    # Each condition can be taken away, all can, and the item keeps the filter.
    links = links_of(test)
    assert filter_of(links["label good ×"]) == ItemFilter(differs=(run,))
    assert filter_of(links["Reset x"]) == ItemFilter()
    href = next(h for h in links.values() if h.startswith("item?"))
    assert filter_of(href) == wanted
    assert query_of(href)["order"] == ["-disagreement"]


def test_counts_of_facets_are_what_their_links_leave(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = show_page(monkeypatch, "items", argv(browsed), {"split": ["test"]})
    panel = next(h.value for h in test.get("html") if "d-facets" in h.value)
    checked = 0
    for part in panel.split('class="d-go d-choice')[1:]:
        href = html.unescape(part.split('href="')[1].split('"')[0])
        count = int(part.split("d-number d-quiet")[1].split(">")[1].split("<")[0].replace(",", ""))
        wanted = filter_of(href)
        if wanted.split == ("test",) and len(wanted.chips()) == 2:
            assert len(found_rows(index, wanted)) == count, href
            checked += 1
    assert checked > 15
    assert "✓ test" in words_of(test)


def test_pages_do_not_overlap_and_together_are_everything(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[list[str]] = []
    query: dict[str, Any] = {}
    for _ in range(20):
        test = show_page(monkeypatch, "items", argv(browsed), query)
        pages.append(items_shown(test))
        following = links_of(test).get("Next n")
        if following is None:
            break
        query = dict(query_of(following).items())
    assert [i for one in pages for i in one] == index.column("item_id").to_list()
    assert all(set(a).isdisjoint(b) for a, b in pairwise(pages))


def test_what_the_address_says_wrongly_is_said_and_left_out(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"regex": "(", "split": ["nowhere"], "order": "nothing", "page": "99999999999", "gold": ["good"]}
    test = show_page(monkeypatch, "items", argv(browsed), query)
    words = words_of(test)
    assert "no pattern: unclosed group" in words
    assert "there is no such split" in words
    assert 'order "nothing": there is no such column' in words
    assert f"{len(found_rows(index, ItemFilter(gold=('good',)))):,} item" in words


def test_nothing_found_is_said_with_a_way_out(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "items", argv(browsed), {"text": "no such words at all"})
    assert "No item meets all of these conditions." in words_of(test)
    assert filter_of(links_of(test)["show all items"]) == ItemFilter()


def test_typing_changes_the_address_and_undo_leads_back(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "items", argv(browsed), {"split": ["test"]})
    assert "Undo u" not in links_of(test)
    test.text_input(key="text").set_value("stat").run()
    assert dict(test.query_params) == {"split": "test", "text": "stat"}
    assert filter_of(links_of(test)["Undo u"]) == ItemFilter(split=("test",))
    test.text_input(key="text").set_value("").run()
    assert dict(test.query_params) == {"split": "test"}


def test_taking_the_only_condition_away_can_be_undone(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "items", argv(browsed), {})
    test.text_input(key="reason").set_value("because").run()
    assert links_of(test)["Reset x"] == links_of(test)["Undo u"].rstrip("?") == "items"
    test.query_params.clear()  # what either link does
    test.run()
    assert filter_of(links_of(test)["Undo u"]) == ItemFilter(reason="because")
    test.query_params["reason"] = "because"
    test.run()
    test.text_input(key="reason").set_value("because 1").run()
    assert filter_of(links_of(test)["Undo u"]) == ItemFilter(reason="because")


def test_reasons_are_searched_beside_statements(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = show_page(monkeypatch, "items", argv(browsed), {"text": "stole"})
    test.text_input(key="reason").set_value("Because 1").run()
    assert dict(test.query_params) == {"text": "stole", "reason": "Because 1"}
    wanted = ItemFilter(text="stole", reason="Because 1")
    assert items_shown(test) == index.column("item_id").gather(found_rows(index, wanted).rows).to_list()
    links = links_of(test)
    assert filter_of(links['a reason says "Because 1" ×']) == filter_of(links["Undo u"]) == ItemFilter(text="stole")
    assert filter_of(links["Reset x"]) == ItemFilter()
    assert filter_of(next(h for h in links.values() if h.startswith("item?"))) == wanted
    test.text_input(key="reason_regex").set_value("(").run()
    assert 'a reason matches "(": no pattern: unclosed group; left out.' in words_of(test)
    test.text_input(key="reason").set_value("").run()
    test.text_input(key="reason_regex").set_value("").run()
    assert dict(test.query_params) == {"text": "stole"}


def test_sliders_stand_in_the_address(browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    run = next(r for r in index.runs if index.column(f"probability {r}").null_count() < len(index))
    test = show_page(monkeypatch, "items", argv(browsed), {"disagreement": "0.5.."})
    assert test.slider(key="disagreement").value == (0.5, 1.0)
    test.slider(key=f"probability {run}").set_value((0.25, 1.0)).run()
    wanted, problems = ItemFilter.from_query(dict(test.query_params))
    assert problems == []
    assert (wanted.probability, wanted.disagreement) == (((run, 0.25, None),), (0.5, None))
    test.slider(key="disagreement").set_value((0.0, 1.0)).run()
    assert "disagreement" not in test.query_params


def test_hostile_text_is_shown_as_it_is(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = {row["statement"] for row in browsed.rows}
    pages = [show_page(monkeypatch, "items", argv(browsed), {"page": str(n)}) for n in range(1, 4)]
    said = " ".join(words_of(test) for test in pages)
    raw = "".join(html_of(test) for test in pages)
    assert "<script" not in raw
    assert "<img" not in raw
    seen = [text for text in HOSTILE if text in statements and text.strip() and len(text) < 200]
    assert len(seen) > 5
    for text in seen:
        assert " ".join(text.split()) in said


def test_matches_are_marked(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    word = next(w for row in browsed.rows for w in row["statement"].split() if w.isalpha() and len(w) > 3)
    test = show_page(monkeypatch, "items", argv(browsed), {"text": word.upper()})
    assert f"<mark>{word}</mark>" in html_of(test)


def test_a_missing_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "items", [tmp_path / "nothing"])
    assert len(test.error) == 1
    assert "\n" not in test.error[0].value
