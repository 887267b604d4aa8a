from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import card_sample as sample
import polars as pl
import pytest

from dfar_toolkit.corpus.croissant import croissant
from dfar_toolkit.errors import TableError

# What mlcroissant and rdflib below it do with what rdflib and pandas have deprecated is not ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items")
    facts = sample.write_data(path)
    written = croissant(facts, schemas=sample.SCHEMAS, agreement=sample.agreement())
    (path / "croissant.json").write_text(json.dumps(written), encoding="utf-8")
    return path


@pytest.fixture
def dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The folder as mlcroissant reads it, with every connection refused."""
    mlcroissant = pytest.importorskip("mlcroissant")

    def refuse(*_: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))


def test_mlcroissant_finds_no_error(dataset: Any) -> None:
    issues = dataset.metadata.ctx.issues
    assert issues.errors == set()
    # A date would need a clock, a version a person.
    assert {re.findall(r"schema.org/(\w+)", warning)[0] for warning in issues.warnings} == {"datePublished", "version"}


def test_the_items_read_back(dataset: Any) -> None:
    found = {r["default/item_id"].decode(): r for r in dataset.records("default")}  # in the order of the folder
    assert len(found) == 7
    records = [found[f"demo:train:{i:05d}"] for i in range(4)]
    first = records[0]
    assert first["default/statement"] == b"I did thing 0."
    assert [r["default/label"] for r in records] == [0, 1, None, 0]
    assert first["default/label_counts"] == [2, 1]
    assert first["default/reasons"] == [
        {
            "default/reasons/annotator_id": b"demo:a",
            "default/reasons/value": b"ethical",
            "default/reasons/text": b"Why not?",
        }
    ]
    assert records[3]["default/reasons"] == []


@pytest.mark.parametrize(("table", "rows"), [("annotations", 6), ("raters", 2), ("targets", 1), ("questions", 1)])
def test_the_tables_read_back(dataset: Any, table: str, rows: int) -> None:
    assert len(list(dataset.records(table))) == rows


def test_files_have_their_digests(folder: Path) -> None:
    written = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    files = [f for f in written["distribution"] if f["@type"] == "cr:FileObject"]
    wanted = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert {f["contentUrl"]: f["sha256"] for f in files} == {n: f["sha256"] for n, f in wanted.items()}
    assert not any(f["contentUrl"].startswith("/") for f in files)


def test_the_judging_is_described(dataset: Any) -> None:
    metadata = dataset.metadata
    assert metadata.data_annotation_protocol == ["conduct (nominal): Is it right?; options: ethical; unethical"]
    assert metadata.annotations_per_item == "least 2, median 2.5, most 3"
    assert metadata.annotator_demographics == ["annotators: 2", "age_band: 18-29 1, unknown 1"]
    assert sorted(metadata.data_annotation_analysis) == [
        "conduct, Fleiss' kappa (nominal): undefined; unequal counts; n = 3",
        "conduct, Krippendorff's alpha (nominal): 0.347 [0.311, 0.383] (95 % bootstrap); n = 3, 3 groups",
        "people differed on 1 of the 3 items that two or more judged",
    ]
    assert metadata.cite_as.startswith("@misc{demo")


def test_unknown_people_and_hostile_names_are_valid(folder: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    facts["annotators"] |= {"known": False, "bands": {}}
    facts["annotators"]["ratings_per_item"] = dict.fromkeys(["min", "median", "max"])
    facts["disagreement"] = {"items": 0, "of": 0}
    facts["questions"][0]["wording"] = '<b>\n\u2028 ] } \\ "'
    facts["sources"][0] |= {"citation": "", "homepage": ""}
    raters = pl.Schema({**sample.RATERS, "a b/c#d?": pl.String()})
    written = croissant(facts, schemas=sample.SCHEMAS | {"raters": raters})
    metadata = mlcroissant.Dataset(jsonld=json.loads(json.dumps(written))).metadata
    assert metadata.ctx.issues.errors == set()
    assert metadata.annotations_per_item is None
    assert metadata.annotator_demographics is None
    fields = {r.name: [f.name for f in r.fields] for r in metadata.record_sets}
    assert fields["raters"][-1] == "a b/c#d?"


def test_the_same_every_time_and_serialisable() -> None:
    facts = sample.manifest()
    first = json.dumps(croissant(facts, schemas=sample.SCHEMAS))
    assert first == json.dumps(croissant(facts, schemas=sample.SCHEMAS))
    assert "date" not in {key.lower()[:4] for key in json.loads(first)}


def test_a_missing_value_is_named() -> None:
    facts = sample.manifest()
    del facts["disagreement"]
    with pytest.raises(TableError, match="'disagreement'"):
        croissant(facts, schemas=sample.SCHEMAS)
