"""The export page offers what the filter leaves, in the columns asked for."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from browsed_folder import Browsed
from shown_page import STREAMLIT_WARNINGS, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.export_view import export_columns, export_view
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows

pytestmark = STREAMLIT_WARNINGS
QUERY = {"split": ["test"], "order": "-disagreement"}


def test_offers_every_format_of_what_is_found(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = show_page(monkeypatch, "export", [browsed.items, *browsed.runs], QUERY)
    n = len(found_rows(index, ItemFilter(split=("test",))))
    assert words_of(test).startswith(f"Export {n:,} items of {len(index):,}")
    labels = [b.proto.label for b in test.get("download_button")]
    assert labels == ["CSV", "JSON lines", "Parquet", "The filter (JSON)"]


def test_columns_are_chosen_by_links(browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [browsed.items, *browsed.runs]
    test = show_page(monkeypatch, "export", argv, {**QUERY, "column": ["item_id", "label", "nothing"]})
    assert 'column "nothing": there is no such column; left out.' in words_of(test)
    links = links_of(test)
    assert query_of(links["✓ label"])["column"] == ["item_id"]
    assert query_of(links["split"])["column"] == ["item_id", "split", "label"]
    # The last column cannot be taken away.
    alone = show_page(monkeypatch, "export", argv, {"column": ["label"]})
    assert query_of(links_of(alone)["✓ label"])["column"] == ["label"]


def test_files_hold_the_items_in_their_order(
    browsed: Browsed, index: ItemIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: dict[str, bytes | str] = {}

    def caught(label: str, data: object, *args: object, **kwargs: object) -> bool:
        made[label] = data() if callable(data) else data  # type: ignore[assignment]
        return False

    import streamlit as st

    monkeypatch.setattr(st, "download_button", caught)
    show_page(monkeypatch, "export", [browsed.items, *browsed.runs], QUERY)
    ids = index.column("item_id").gather(found_rows(index, ItemFilter(split=("test",)), order="-disagreement").rows)
    lines = [json.loads(line) for line in bytes(made["JSON lines"]).splitlines()]  # type: ignore[arg-type]
    assert [line["item_id"] for line in lines] == ids.to_list()
    assert pl.read_parquet(bytes(made["Parquet"]))["item_id"].to_list() == ids.to_list()  # type: ignore[arg-type]
    columns = [c for c in export_columns(index) if not c.startswith("judged bad ")]
    export_view(index, ItemFilter(split=("test",)), tmp_path / "x.csv", order="-disagreement", columns=columns)
    assert made["CSV"] == (tmp_path / "x.csv").read_bytes()
    assert json.loads(str(made["The filter (JSON)"]))["filter"] == {"split": ["test"]}
