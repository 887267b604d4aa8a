"""Splits of a table whose rows stand in any order: earlier splits stay earlier, and the seed alone decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.corpus.split import grouped_split
from dfar_toolkit.corpus.split_methods import carve_split
from dfar_toolkit.corpus.splitting import SplitMethod, SplitPlan, split_items
from dfar_toolkit.errors import SourceError, TableError
from dfar_toolkit.sources import Mapping, SourceTables, read_source
from dfar_toolkit.sources.combined import combined

N = 40
ITEMS = pl.DataFrame(
    {
        "item_id": [f"i{k:02}" for k in range(N)],
        "group": [f"g{k // 2:02}" for k in range(N)],
        "label": ["xy"[k % 3 > 1] for k in range(N)],
        "source": ["s"] * N,
        "split": ["test" if k % 4 == 0 else "train" for k in range(N)],  # the first row is one of test
    }
)
RATED = pl.DataFrame(
    {
        "item_id": ITEMS["item_id"],
        "annotator_id": [f"s:{k // 4}" for k in range(N)],
        "at": [f"2024-01-{1 + k // 2:02}T10:00:00Z" for k in range(N)],
    }
)


@pytest.mark.parametrize("method", ["grouped", "random", "annotator", "time", "folds"])
def test_the_order_of_rows_decides_nothing(method: SplitMethod) -> None:
    plan = SplitPlan(method, folds=4)
    made = [split_items(rows, RATED, plan, seed=3)[0] for rows in (ITEMS, ITEMS.reverse(), ITEMS.sort("label"))]
    first, *others = [frame.select("item_id", "split").sort("item_id") for frame in made]
    assert all(first.equals(other) for other in others)


def test_a_split_by_time_trains_on_the_past_also_where_test_stands_first() -> None:
    items, facts = split_items(ITEMS, RATED, SplitPlan("time"), seed=0)
    when = items.join(RATED, on="item_id").group_by("split").agg(pl.col("at").min().alias("a"), pl.col("at").max())
    of = {row["split"]: row for row in when.iter_rows(named=True)}
    assert of["train"]["at"] <= of["test"]["a"]
    assert list(facts["sizes"]) == ["train", "test"]
    assert facts["note"].startswith("train from 2024-01-01")


def test_names_of_ones_own_keep_the_order_asked_for() -> None:
    plan = SplitPlan("time", sizes={"past": 0.5, "future": 0.25, "train": 0.25})
    items, facts = split_items(ITEMS.with_columns(split=pl.lit("train")), RATED, plan, seed=0)
    assert list(facts["sizes"]) == ["train", "past", "future"]
    assert items["split"].unique(maintain_order=True).to_list() == ["train", "past", "future"]


def test_a_part_without_an_item_is_refused() -> None:
    with pytest.raises(TableError, match='leave "dev" without an item'):
        carve_split(ITEMS, share=0.001)
    with pytest.raises(ValueError, match="split names are words"):
        grouped_split(ITEMS, sizes={"train\n": 0.5, "test": 0.5})


def _table(folder: Path, name: str, options: tuple[str, str], raters: str = "") -> SourceTables:
    path = folder / f"of_{name.strip('.')}.csv"
    path.write_text(f"text,who,says\nA text of {options[0]},p,{options[0]}\n")
    mapping = Mapping(name=name, statement="text", annotator="who", label="says", question="q", options=options,
                      raters_file=raters or None, raters_annotator="who" if raters else "")  # fmt: skip
    return read_source("table", path, mapping=mapping)


@pytest.mark.parametrize("name", ["default", "annotations", "raters", "targets", "questions", "..", "a b"])
def test_a_name_that_cannot_be_a_config_is_refused(tmp_path: Path, name: str) -> None:
    sources = [_table(tmp_path, "first", ("yes", "no")), _table(tmp_path, name, ("good", "bad"))]
    with pytest.raises(SourceError, match="so a config is called after it"):
        combined(sources)
    assert combined(sources[::-1]).tables.items["config"].to_list() == ["default", "first"]


@pytest.mark.parametrize("name", ["", "../x", "a\nb"])
def test_a_corpus_has_a_plain_name(tmp_path: Path, name: str) -> None:
    sources = [_table(tmp_path, "first", ("yes", "no")), _table(tmp_path, "second", ("yes", "no"))]
    with pytest.raises(SourceError, match="wanted a name of letters, digits"):
        combined(sources, name=name)


def test_a_column_of_numbers_beside_one_of_texts_is_text(tmp_path: Path) -> None:
    pl.DataFrame({"who": ["p"], "age": [3]}).write_parquet(tmp_path / "r1.parquet")
    (tmp_path / "r2.csv").write_text("who,age\np,old\n")
    made = [_table(tmp_path, "a", ("y", "n"), "r1.parquet"), _table(tmp_path, "b", ("y", "n"), "r2.csv")]
    assert combined(made).tables.raters["age"].to_list() == ["3", "old"]
    torn = made[1].raters.with_columns(age=pl.lit([1, 2]))
    with pytest.raises(SourceError, match='wanted columns of one type in raters of all sources; found "age"'):
        combined([made[0], replace(made[1], raters=torn)])
