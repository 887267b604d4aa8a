"""Export: the items of the present filter as a file, and the filter itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dfar_toolkit._viewer.addresses import Place, link, parameters, place
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.markup import clip, number, show
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.browsing.export_view import Format, export_columns, export_view, filter_json
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows, page

_KINDS: Final[dict[str, tuple[Format, str, str]]] = {
    "CSV": ("csv", "text/csv", "for spreadsheets: no text cell begins like a formula"),
    "JSON lines": ("jsonl", "application/x-ndjson", "one object per line"),
    "Parquet": ("parquet", "application/vnd.apache.parquet", "typed columns, smallest"),
}
_PREVIEW: Final = 5
_LARGE: Final = 200_000  # rows: a download passes through memory


def main() -> None:
    """The page."""
    index = opened()
    here = place(index)
    every = export_columns(index)
    columns, said = _columns(every)
    rows = found_rows(index, here.wanted, order=here.order)
    preview = page(index, rows, 0, columns, size=_PREVIEW)
    values = {
        "n": len(rows),
        "whole": len(index),
        "chips": [(chip.words, _link(replace(here, wanted=chip.rest), columns, every)) for chip in here.wanted.chips()],
        "back": link("items", here.wanted, order=here.order),
        "problems": [*here.problems, *said],
        "columns": [(name, _toggled(here, name, columns, every), name in columns) for name in every],
        "names": columns,
        "rows": [[_cell(value) for value in row] for row in preview.select(columns).iter_rows()],
        "large": len(rows) > _LARGE,
    }
    show("export.jinja", values)
    with st.container(horizontal=True):
        for words, (kind, mime, why) in _KINDS.items():
            st.download_button(
                words, _file(index, here, columns, kind), f"items.{kind}", mime, key=f"export {kind}", help=why,
                on_click="ignore",
            )  # fmt: skip
        said_filter = filter_json(here.wanted, items=arguments().items, runs=index.runs)
        st.download_button(
            "The filter (JSON)", said_filter, "filter.json", "application/json", key="export filter", on_click="ignore"
        )


def _columns(every: list[str]) -> tuple[list[str], list[str]]:
    """The columns that the address asks for, all where it names none, and what of it is unknown."""
    asked = parameters().get("column", [])
    unknown = [name for name in asked if name not in every]
    kept = [name for name in every if name in asked]
    return kept or every, [f'column "{name[:60]}": there is no such column; left out.' for name in unknown]


def _link(here: Place, columns: list[str], every: list[str]) -> str:
    asked = [] if columns == every else columns
    return link("export", here.wanted, order=here.order, more={"column": asked} if asked else None)


def _toggled(here: Place, name: str, columns: list[str], every: list[str]) -> str:
    """Without the column, or with it; never without any."""
    kept = [c for c in every if (c in columns) != (c == name)]
    return _link(here, kept or columns, every)


def _file(index: ItemIndex, here: Place, columns: list[str], kind: Format) -> Callable[[], bytes]:
    """Made when it is asked for."""
    wanted: ItemFilter = here.wanted

    def made() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"items.{kind}"
            export_view(index, wanted, path, kind=kind, order=here.order, columns=columns)
            return path.read_bytes()

    return made


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return number(value, 4) if isinstance(value, float) else clip(value, 80)


main()
