"""Several sources in one items folder: a config for each option set, labels that mean one thing in each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.corpus.recheck import recheck
from dfar_toolkit.errors import SourceError, TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.sources import Mapping, SourceTables, read_source
from dfar_toolkit.sources.combined import combined

ROWS = (
    "no,split,text,who,says,why\n0,train,{0} alpha,p1,{1},it is so\n0,train,{0} alpha,p2,{2},\n1,test,{0} beta,p1,{2},"
)


def made(folder: Path, name: str, options: tuple[str, str], question: str = "verdict") -> SourceTables:
    path = folder / f"{name}.csv"
    path.write_text(ROWS.format(f"A sentence of {name} about", *options))
    mapping = Mapping(name=name, id="no", split="split", statement="text", annotator="who", label="says",
                      reason="why", question=question, options=options, licence="mit")  # fmt: skip
    return read_source("table", path, mapping=mapping)


@pytest.fixture
def sources(tmp_path: Path) -> list[SourceTables]:
    return [
        made(tmp_path, "first", ("fair", "unfair")),
        made(tmp_path, "second", ("fair", "unfair")),
        made(tmp_path, "third", ("hate", "none")),
    ]


def test_the_same_question_shares_a_config_and_another_one_gets_its_own(
    sources: list[SourceTables], tmp_path: Path
) -> None:
    built = build_items(sources, tmp_path / "out", options=BuildOptions(n_boot=10, name="both"))
    read = read_items(tmp_path / "out")
    assert read.items.group_by("config", "source").len().sort("source").rows() == [
        ("default", "first", 2), ("default", "second", 2), ("third", "third", 2),
    ]  # fmt: skip
    of_third = read.items.filter(pl.col("source") == "third")
    assert of_third["label"].to_list() == [None, "none"]
    assert of_third["label_counts"].to_list() == [[1, 1], [0, 1]]
    assert of_third["reasons"].list.len().to_list() == [1, 0]
    assert read.questions.select("question", "primary_of").rows() == [
        ("verdict", "default"),
        ("third.verdict", "third"),
    ]
    assert [s["name"] for s in built.manifest["sources"]] == ["first", "second", "third"]
    assert built.manifest["name"] == "both"
    assert built.manifest["disagreement"] == {"items": 3, "of": 3}
    assert {f.finding: f.count for f in built.findings}["label.range"] == 0
    findings, failed = recheck(tmp_path / "out")
    assert not failed
    assert {f.finding: f.count for f in findings}["annotations.single"] == 3


def test_one_config_as_a_folder_of_its_own(sources: list[SourceTables], tmp_path: Path) -> None:
    build_items(sources, tmp_path / "out", options=BuildOptions(n_boot=10))
    third = read_items(tmp_path / "out").of_config("third")
    assert (third.question, third.options, third.items.height) == ("third.verdict", ["hate", "none"], 2)
    assert third.annotations["question"].unique().to_list() == ["third.verdict"]
    with pytest.raises(TableError, match="found 'fourth'; there are default, third"):
        read_items(tmp_path / "out").of_config("fourth")


def test_load_dataset_gives_every_config_its_own_class_labels(
    sources: list[SourceTables], datasets: ModuleType, tmp_path: Path
) -> None:
    build_items(sources, tmp_path / "out", options=BuildOptions(n_boot=10))
    for config, names in (("default", ["fair", "unfair"]), ("third", ["hate", "none"])):
        loaded = datasets.load_dataset(str(tmp_path / "out"), config, cache_dir=str(tmp_path / "cache"))
        assert loaded["train"].features["label"].names == names
    assert [names[k] for k in loaded["test"]["label"]] == ["none"]


def test_one_source_stays_as_it_is(sources: list[SourceTables]) -> None:
    assert combined(sources[:1]).tables is sources[0]


def test_sources_that_would_mix_are_refused(sources: list[SourceTables]) -> None:
    with pytest.raises(SourceError, match='each source once; found "first" more than once'):
        combined([sources[0], sources[0]])
    other = replace(sources[1], items=sources[0].items)
    with pytest.raises(SourceError, match='no two sources share; found "first:test:1"'):
        combined([sources[0], other])
    with pytest.raises(SourceError, match="found none"):
        combined([])
