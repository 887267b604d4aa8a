from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import SOURCES, Mapping, mapping_from_yaml, read_source, source_facts
from dfar_toolkit.sources.layout import ITEMS, examples, items_frame, json_text, raw_file


def test_facts_have_a_row_per_source() -> None:
    facts = source_facts()
    assert facts.columns == ["name", "title", "licence", "homepage", "sets", "fetch", "layout"]
    assert facts["name"].to_list() == list(SOURCES)
    assert facts.filter(pl.col("name") == "lewidi")["sets"].item().startswith("varierrnli, csc, mp, ")
    assert facts.filter(pl.col("name") == "table")["fetch"].item() == ""


@pytest.mark.parametrize(
    ("spec", "mapping", "said"),
    [
        ("lewidy:csc", None, 'unknown source "lewidy"; is it "lewidi"? `dfar sources` lists all.'),
        ("dfar:train", None, "dfar has no sets"),
        ("table:x", None, "table has no sets"),
        ("table", None, "needs its columns: give --mapping"),
        ("dfar", Mapping(label="y"), "a mapping of columns is for the source table"),
    ],
)
def test_specs_that_name_nothing(tmp_path: Path, spec: str, mapping: Mapping | None, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_source(spec, tmp_path, mapping=mapping)
    assert said in str(caught.value)


def test_items_frame_has_the_declared_columns_in_order() -> None:
    frame = items_frame(pl.DataFrame({"more": [1], "statement": ["x"], "item_id": ["a"]}))
    assert dict(frame.schema) == ITEMS
    assert frame["context"].to_list() == [[]]
    assert items_frame(pl.DataFrame(schema={"item_id": pl.String})).height == 0


def test_small_words(tmp_path: Path) -> None:
    assert json_text({"b": "é", "a": 1}) == '{"a": 1, "b": "é"}'
    assert examples(range(9), most=2) == ("0", "1")
    (tmp_path / "x").write_bytes(b"abc")
    assert raw_file(tmp_path / "x", rows=1).n_bytes == 3


def _blocks(language: str) -> list[str]:
    page = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    return [block.split("```")[0] for block in page.split(f"```{language}\n")[1:]]


def test_the_page_on_sources_runs(capsys: pytest.CaptureFixture[str]) -> None:
    block = next(block for block in _blocks("python") if "read_source(" in block)
    exec(compile(block, "docs/sources.md", "exec"), {})
    assert capsys.readouterr().out.startswith("80 319 ()")


def test_the_mapping_files_on_the_page_are_sound(tmp_path: Path) -> None:
    layouts = []
    for block in _blocks("yaml"):
        (tmp_path / "m.yaml").write_text(block, encoding="utf-8")
        layouts.append(mapping_from_yaml(tmp_path / "m.yaml").layout)
    assert layouts == ["long", "wide"]
