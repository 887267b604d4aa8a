"""The Agreement page: its numbers are those of the room of agreement, its cells lead to the items behind them."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsed_folder import OPTIONS, write_folder
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit._viewer.markup import rendered
from dfar_toolkit.agreement import group_agreement, krippendorff_alpha, rater_matrix, value_agreement
from dfar_toolkit.agreement.value_confusion import value_confusion
from dfar_toolkit.browsing import who_agrees
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.files.items import read_items
from viewer_example import LINK, SCRIPT, write_example
from viewer_example import OPTIONS as HOSTILE_OPTIONS

pytestmark = STREAMLIT_WARNINGS


def ratings(folder: Path) -> pl.DataFrame:
    read = read_items(folder)
    rows = read.annotations.join(read.items.select("item_id", "group", "split"), on="item_id")
    return rows.join(read.raters.drop("kind", strict=False), on="annotator_id", how="left")


def titles(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<td[^>]*title="([^"]*)"', page)]


def test_numbers_are_the_packages(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "agreement", [demo / "items"])
    words, said, rows = words_of(test), titles(html_of(test)), ratings(demo / "items")
    for row in json.loads((demo / "items" / "agreement.json").read_text()):
        if row["rater_a"] is None:
            assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in words
    for row in rater_matrix(rows).to_dicts():
        start = f"{row['rater_a']} and {row['rater_b']}: {row['value']:.3f} over {row['n']} items"
        assert any(title.startswith(start) for title in said)
    for row in value_agreement(rows, group="group").to_dicts():
        assert f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in words
    for row in value_confusion(rows, group="group").to_dicts():
        start = f"If one person says {row['given']}, another says {row['other']}: {row['value']:.3f}"
        end = f"[{row['low']:.3f}, {row['high']:.3f}]; {row['n_items']} items with both"
        assert any(title.startswith(start) and end in title for title in said)
    for row in krippendorff_alpha(rows, group="group", by="split").to_dicts():
        assert f"{row['split']} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] {row['n']}" in words
    within = group_agreement(rows, by_rater="gender", group="group").filter(pl.col("comparison") == "within")
    for row in within.to_dicts():
        assert any(title.startswith(f"α within {row['group_a']}: {row['value']:.3f}") for title in said)


def test_links_lead_to_the_items_behind_a_cell(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ItemIndex(demo / "items")
    page = html_of(show_page(monkeypatch, "agreement", [demo / "items"]))
    hrefs = [html.unescape(href) for href in re.findall(r'<a class="d-go" href="([^"]*apart=[^"]*)"', page)]
    assert len(hrefs) == 8 * 7
    wanted, said = ItemFilter.from_query(query_of(hrefs[0]))
    assert not said
    assert len(found_rows(index, wanted)) > 0
    assert "items?between=ethical%3Aunethical&amp;order=-disagreement" in page
    assert "shown=percent" in page
    shown = show_page(monkeypatch, "agreement", [demo / "items"], {"shown": "overlap"})
    row = rater_matrix(ratings(demo / "items"), statistic="overlap").to_dicts()[0]
    assert any(t.startswith(f"{row['rater_a']} and {row['rater_b']}: {row['n']} over") for t in titles(html_of(shown)))


def test_many_raters_are_shown_twenty_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"item_id": f"x:{k}", "group": f"g{k}", "statement": "s", "label": None, "source": "x", "split": "test",
         "leak_kind": None}
        for k in range(50)
    ]  # fmt: skip
    said = [(k, f"p{p:02d}", OPTIONS[(k + p) % 2], None) for k in range(50) for p in range(45) if k >= p]
    folder = write_folder(tmp_path / "items", rows, said)
    words = words_of(show_page(monkeypatch, "agreement", [folder]))
    assert "raters 1 to 20 of 45, the busiest first" in words
    test = show_page(monkeypatch, "agreement", [folder], {"raters": "3"})
    assert "raters 41 to 45 of 45" in words_of(test)
    assert query_of(links_of(test)["previous"])["raters"] == ["2"]
    test = show_page(monkeypatch, "agreement", [folder], {"rater": "p44"})
    assert "p44 and those who rated most of the same items" in words_of(test)
    assert "There is no such rater" in words_of(show_page(monkeypatch, "agreement", [folder], {"rater": SCRIPT}))
    # What is long to count waits until it is asked for.
    monkeypatch.setattr(who_agrees, "MANY", 10)
    monkeypatch.setattr("dfar_toolkit.browsing.who_agrees.MANY", 10)
    test = show_page(monkeypatch, "agreement", [folder])
    assert "the busiest first" not in words_of(test)
    asked = query_of(links_of(test)["Count this"])
    assert asked["part"] == ["items"] or asked["part"] == ["values"]
    assert "the busiest first" in words_of(show_page(monkeypatch, "agreement", [folder], {"part": "raters"}))


def test_hostile_text_stands_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "agreement", [write_example(tmp_path)])
    page, words = html_of(test), words_of(test)
    assert "<script" not in page
    assert "<img" not in page
    assert HOSTILE_OPTIONS[1][:18] in words
    assert LINK.split()[0] in html.unescape(page)


def test_one_rater_and_nobody(tmp_path: Path, browsed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write_folder(tmp_path / "one", browsed.rows, [(k, "p", OPTIONS[k % 2], None) for k in range(9)])
    words = words_of(show_page(monkeypatch, "agreement", [one]))
    assert "One person rated everything: there is nobody to agree with." in words
    assert "There is no item on which two people differ." in words
    nobody = write_folder(tmp_path / "nobody", browsed.rows, [])
    assert "Nobody's value is known." in words_of(show_page(monkeypatch, "agreement", [nobody]))
    unknown = write_folder(tmp_path / "unknown", browsed.rows, [(k, "x:unknown", OPTIONS[0], None) for k in (1, 1, 2)])
    words = words_of(show_page(monkeypatch, "agreement", [unknown]))
    assert "3 of people not known by name are left out" in words


def test_missing_files_and_repeats_are_said(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "items"
    shutil.copytree(demo / "items", folder)
    (folder / "agreement.json").unlink()
    (folder / "raters.parquet").unlink()
    words = words_of(show_page(monkeypatch, "agreement", [folder]))
    stored = json.loads((demo / "items" / "agreement.json").read_text())[1]
    assert f"{stored['value']:.3f} [{stored['low']:.3f}" in words  # computed instead
    assert "Nothing is known about the annotators" in words
    (folder / "annotations.parquet").write_bytes(b"nothing")
    words = words_of(show_page(monkeypatch, "agreement", [folder]))
    assert "annotations.parquet: cannot be read" in words


def test_values_that_one_person_may_give_together_are_not_called_ratings() -> None:
    head = {"question": "nli", "n": 1891, "n_unknown": 0, "configs": [], "problems": ()}
    assert "1,891 values given by known people" in rendered("agreement.jinja", {**head, "several": True})
    assert "1,891 ratings of known people" in rendered("agreement.jinja", {**head, "several": False})
    told = rendered("agreement_refused.jinja", {"refused": "Several.", "several": True})
    assert "Above, each value is a question of its own" in told
