from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from browsed_folder import HOSTILE, Browsed
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.browsing.export_view import csv_text, export_columns, export_view, filter_json
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.errors import TableError

RISKY = tuple("=+-@\t\r\n＝＋－＠")


@settings(max_examples=100)
@given(st.lists(st.text(max_size=8) | st.sampled_from(HOSTILE), min_size=1), st.sampled_from(HOSTILE))
def test_no_cell_begins_like_a_formula_and_all_come_back(texts: list[str], name: str) -> None:
    frame = pl.DataFrame({name or "x": texts, "n": [-1.5] * len(texts)})
    header, *rows = csv.reader(io.StringIO(csv_text(frame), newline=""))
    assert not any(cell.startswith(RISKY) for row in [header, *(r[:1] for r in rows)] for cell in row)
    assert [
        row[0].removeprefix("'") if row[0] != text else text for row, text in zip(rows, texts, strict=True)
    ] == texts
    assert {row[1] for row in rows} == {"-1.5"}


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠x", " =1", "\ufeff=1", "\0=1"]
)
def test_what_a_spreadsheet_may_compute_gets_a_quote_before_it(text: str) -> None:
    ((cell,),) = csv.reader(
        io.StringIO(csv_text(pl.DataFrame({"t": [text]}), header=False).replace("\0", "\x01"), newline="")
    )
    assert cell == "'" + text.replace("\0", "\x01")


def test_every_format_holds_the_rows_of_the_filter(browsed: Browsed, index: ItemIndex, tmp_path: Path) -> None:
    wanted = ItemFilter(split=("test",))
    names = export_columns(index)
    expected = index.frame(names).tail(18).with_columns(pl.col(pl.Enum).cast(pl.String))
    assert export_view(index, wanted, tmp_path / "v.parquet", kind="parquet") == 18
    assert pl.read_parquet(tmp_path / "v.parquet").equals(expected)
    assert export_view(index, wanted, tmp_path / "v.jsonl", kind="jsonl") == 18
    lines = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().split("\n")[:-1]]
    assert lines == expected.to_dicts()
    assert export_view(index, wanted, tmp_path / "v.csv", order="-length", columns=["item_id", "statement"]) == 18
    with (tmp_path / "v.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["item_id", "statement"]
    assert len(rows) == 19
    assert not any(cell.startswith(RISKY) for row in rows for cell in row)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["v.csv", "v.jsonl", "v.parquet"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_nothing_found_is_a_file_without_rows(index: ItemIndex, tmp_path: Path, kind: str) -> None:
    assert export_view(index, ItemFilter(text="nowhere at all"), tmp_path / "none", kind=kind) == 0  # type: ignore[arg-type]
    size = {"csv": 1, "jsonl": 0}
    if kind == "parquet":
        assert pl.read_parquet(tmp_path / "none").shape == (0, len(export_columns(index)))
    else:
        assert len((tmp_path / "none").read_text().splitlines()) == size[kind]


def test_what_cannot_be_written_is_one_line(index: ItemIndex, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be written") as caught:
        export_view(index, ItemFilter(), tmp_path / "no" / "such" / "v.csv")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match="wanted kind csv, jsonl, parquet"):
        export_view(index, ItemFilter(), tmp_path / "v.xls", kind="xls")  # type: ignore[arg-type]


def test_the_filter_itself_comes_back_from_json() -> None:
    wanted = ItemFilter(text="a\u202eb", beats=(("a", "b:c"),), length=(1, None))
    found = json.loads(filter_json(wanted, items="out/x", runs=("a",)))
    assert ItemFilter.from_query(found["filter"]) == (wanted, [])
    assert found["words"] == wanted.words()
