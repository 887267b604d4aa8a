from __future__ import annotations

import hashlib
import json
import re
import socket
from pathlib import Path
from typing import Any

import card_sample as sample
import polars as pl
import pytest

from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.corpus.croissant import croissant
from dfar_toolkit.errors import TableError
from dfar_toolkit.sources import Mapping, read_source

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
    assert sorted(metadata.data_annotation_protocol) == [
        "conduct (nominal): Is it right?; options: ethical; unethical",
        "shown with the statement: where, in 5 items of default",
    ]
    assert metadata.annotations_per_item == "least 2, median 2.5, most 3"
    assert metadata.annotator_demographics == ["annotators: 2", "age_band: 18-29 1, unknown 1"]
    assert sorted(metadata.data_annotation_analysis) == [
        "conduct, Fleiss' kappa (nominal): undefined; unequal counts; n = 3",
        "conduct, Krippendorff's alpha (nominal): 0.347 [0.311, 0.383] (95 % bootstrap); n = 3, 3 groups",
        "people differed on 1 of the 3 items that two or more judged",
    ]
    assert metadata.cite_as.startswith("@misc{demo")


def test_the_responsible_part_is_filled(dataset: Any) -> None:
    metadata = dataset.metadata
    assert metadata.license == ["https://spdx.org/licenses/MIT"]
    assert metadata.data_collection == "Demo of conduct: 1 file as published, https://example.org/demo?a=1"
    assert metadata.data_collection_raw_data == f"demo.csv (file: sha256 {'ab' * 32})"
    assert metadata.data_annotation_platform == ["Not said by the source"]
    assert metadata.machine_annotation_tools == ["none known"]
    assert metadata.data_biases == ["Only 2 people judged: what they share, the data shares."]
    assert "The audit failed on label.conflict." in metadata.data_limitations
    assert "The makers accept findings of leak.exact." in metadata.data_limitations
    assert "demo: 34 rows of demo.csv were left out, because no statement." in metadata.data_limitations
    assert sorted(metadata.personal_sensitive_information) == [
        "annotators are described by age_band",
        "annotators have pseudonyms",
        "reasons in people's own words can give a person away",
    ]
    assert any(use.startswith("To study how people judge") for use in metadata.data_use_cases)
    assert any(use.startswith("Not: To decide about a person") for use in metadata.data_use_cases)
    assert "Nobody is bound to make one" in metadata.data_release_maintenance_plan


def test_models_and_label_models_are_machine_tools() -> None:
    facts = sample.manifest() | {"labels": {"conduct": "dawid_skene", "how": "mean"}}
    facts["annotators"]["models"] = ["demo:judge"]
    found = croissant(facts, schemas=sample.SCHEMAS)["rai:machineAnnotationTools"]
    assert found == ["demo:judge", "labels of conduct by dawid_skene"]


def test_several_configs_of_a_real_build_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    texts = ["I kept the change by mistake.", "I parked across two places.", "I promised to water the plants."]
    built = []
    for name, options in (("one", ("fair", "unfair")), ("two", ("a", "b", "c"))):
        lines = [f"{i},{text} {name},p{who},{options[who]}" for i, text in enumerate(texts) for who in (0, 1)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["no,text,who,says", *lines]) + "\n")
        columns = Mapping(
            name=name, id="no", statement="text", annotator="who", label="says", question=name, options=options
        )
        built.append(read_source("table", tmp_path / f"{name}.csv", mapping=columns))
    out = tmp_path / "out"
    build_items(built, out, options=BuildOptions(name="both", n_boot=10))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("no network in tests"))
    dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    assert dataset.metadata.ctx.issues.errors == set()
    configs = list(json.loads((out / "manifest.json").read_text())["configs"])
    assert len(configs) == 2
    for config in configs:
        rows = list(dataset.records(config))
        assert sorted(r[f"{config}/statement"].decode().rpartition(" ")[0] for r in rows) == sorted(texts)
    files = json.loads((out / "manifest.json").read_text())["files"]
    described = json.loads((out / "croissant.json").read_text())["distribution"]
    digests = {f["contentUrl"]: f["sha256"] for f in described if f["@type"] == "cr:FileObject"}
    assert digests == {n: f["sha256"] for n, f in files.items() if n.endswith(".parquet")}
    for name, digest in digests.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


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
    assert metadata.annotator_demographics == ["Not said by the source"]
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
