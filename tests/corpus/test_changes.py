"""What a build says it changed, worked out by hand; and the same bytes where nothing did."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus import changes as changes_module
from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.corpus.changes import changes_since
from dfar_toolkit.corpus.recheck import refresh_card
from dfar_toolkit.corpus.splitting import SplitPlan
from dfar_toolkit.files.items import read_items
from dfar_toolkit.sources import Mapping, read_source

COLUMNS = Mapping(
    name="set", id="no", split="split", statement="text", annotator="who", label="says", question="fair",
    options=("fair", "unfair"), licence="cc0-1.0",
)  # fmt: skip
TEXTS = {
    "a": "I kept the change that the baker gave me by mistake.",
    "b": "I told my sister that her song was lovely.",
    "c": "I parked across two places because it was raining.",
    "d": "I promised to water the plants and forgot.",
}
# Item: split, votes of the three people.
FIRST = {"a": ("train", "ffu"), "b": ("train", "ffu"), "c": ("test", "uuu")}


@dataclass(frozen=True)
class Made:
    """What a build says, and the items that it wrote."""

    manifest: dict[str, Any]
    items: pl.DataFrame


def build(
    folder: Path,
    items: dict[str, tuple[str, str]],
    *,
    texts: dict[str, str] = TEXTS,
    seed: int = 0,
    plan: SplitPlan | None = None,
    end: str = "\n",
    progress: Callable[[str], None] | None = None,
) -> Made:
    says = {"f": "fair", "u": "unfair"}
    lines = ["no,split,text,who,says"]
    for no, (split, votes) in items.items():
        lines += [f'{no},{split},"{texts[no]}",p{i},{says[v]}' for i, v in enumerate(votes)]
    (folder / "t.csv").write_text("\n".join(lines) + end)
    source = read_source("table", folder / "t.csv", mapping=COLUMNS)
    options = BuildOptions(plan=plan or SplitPlan(), seed=seed, keep_ids=True, n_boot=20)
    built = build_items(source, folder / "out", options=options, progress=progress)
    return Made(built.manifest, read_items(folder / "out").items)


def everything(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_first_build_has_no_earlier_one(tmp_path: Path) -> None:
    assert build(tmp_path, FIRST).manifest["changes"] is None
    assert "This is the first version" in (tmp_path / "out" / "README.md").read_text()


def test_building_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path, FIRST)
    first = everything(tmp_path / "out")
    build(tmp_path, FIRST)
    assert everything(tmp_path / "out") == first
    # And after a change: what the last build that changed something did stays to be read.
    build(tmp_path, FIRST | {"d": ("test", "fff")})
    second = everything(tmp_path / "out")
    said: list[str] = []
    build(tmp_path, FIRST | {"d": ("test", "fff")}, progress=said.append)
    assert "nothing has changed since the earlier build" in said
    refresh_card(tmp_path / "out")
    assert everything(tmp_path / "out") == second
    assert second != first


def test_rows_labels_and_splits_are_counted(tmp_path: Path) -> None:
    before = build(tmp_path, FIRST).manifest
    # a has another label; the published split is part of the name, so b in test is another record; c gone, d new.
    now = {"a": ("train", "fuu"), "b": ("test", "ffu"), "d": ("test", "fff")}
    changes = build(tmp_path, now).manifest["changes"]
    assert changes["since"] == before["content_digest"]
    assert list(changes["tables"]) == ["items", "annotations", "targets"]
    items, votes = changes["tables"]["items"], changes["tables"]["annotations"]
    assert (items["added"], items["removed"], items["changed"]) == (2, 2, 1)
    assert items["examples"] == {
        "added": ["set:test:b", "set:test:d"],
        "removed": ["set:test:c", "set:train:b"],
        "changed": ["set:train:a"],
    }
    # Of a, one vote changed its value, which is part of its key: one row out, one in. And three for each other item.
    assert (votes["added"], votes["removed"], votes["changed"]) == (1 + 6, 1 + 6, 0)
    assert changes["labels"] == [{"was": "fair", "is": "unfair", "items": 1}]
    assert changes["splits"] == changes["settings"] == changes["findings"] == []
    (source,) = changes["sources"]
    assert source["file"] == "t.csv"
    assert source["was"] == before["sources"][0]["files"][0]["sha256"] != source["is"]
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| `items` | 2 | 2 | 1 |" in text
    assert "- Labels, 1 item: fair became unfair" in text


def test_other_splits_findings_and_settings(tmp_path: Path) -> None:
    one, other = SplitPlan("random", {"test": 0.5}), SplitPlan("random", {"test": 0.25})
    first = build(tmp_path, FIRST | {"d": ("test", "fff")}, plan=one)
    texts = TEXTS | {"c": "\ufeff" + TEXTS["c"]}
    second = build(tmp_path, FIRST | {"d": ("test", "fff")}, plan=other, texts=texts)
    changes = second.manifest["changes"]
    was, now = (dict(read.select("item_id", "split").iter_rows()) for read in (first.items, second.items))
    moved = sum(was[item] != now[item] for item in was)
    assert moved > 0
    assert sum(move["items"] for move in changes["splits"]) == moved
    assert {"finding": "text.bom", "was": 0, "is": 1} in changes["findings"]
    third = build(tmp_path, FIRST | {"d": ("test", "fff")}, plan=other).manifest["changes"]
    assert {"finding": "text.bom", "was": 1, "is": 0} in third["findings"]
    assert "no longer found, before 1" in (tmp_path / "out" / "README.md").read_text()
    fourth = build(tmp_path, FIRST | {"d": ("test", "fff")}, plan=other, seed=5).manifest["changes"]
    assert {"setting": "seed", "was": 0, "is": 5} in fourth["settings"]


def test_a_source_that_changed_but_not_its_rows(tmp_path: Path) -> None:
    build(tmp_path, FIRST)
    changes = build(tmp_path, FIRST, end="\n\n").manifest["changes"]
    assert changes["tables"] == {}
    assert len(changes["sources"]) == 1
    assert "No row of any table was changed." in (tmp_path / "out" / "README.md").read_text()


def test_an_unreadable_earlier_build_is_said_and_stops_nothing(tmp_path: Path) -> None:
    build(tmp_path, FIRST)
    (tmp_path / "out" / "annotations.parquet").unlink()
    (tmp_path / "out" / "audit.json").write_text("[")
    built = build(tmp_path, FIRST | {"d": ("test", "fff")})
    assert built.manifest["changes"]["unreadable"]
    assert "could not be compared" in (tmp_path / "out" / "README.md").read_text()
    assert read_items(tmp_path / "out").items.height == 4


@pytest.mark.parametrize("missing", [{}, {"manifest.json": "{}"}])
def test_no_earlier_build_no_changes(tmp_path: Path, missing: dict[str, str]) -> None:
    for name, text in missing.items():
        (tmp_path / name).write_text(text)
    found, unchanged = changes_since(tmp_path, {"content_digest": {}}, {}, audit_rows=[])
    assert not unchanged
    assert found is None if not missing else found == {"since": {}, "unreadable": "TableError"}
    assert json.dumps(found)


RECORD = st.fixed_dictionaries({"x": st.sampled_from(["a", None]), "y": st.integers(0, 1)})
ROW = st.fixed_dictionaries(
    {
        "text": st.sampled_from(["a", "b", None, ""]),
        "number": st.sampled_from([0.5, None, 2.0]),
        "list": st.lists(st.integers(0, 2), max_size=2) | st.none(),
        "records": st.lists(RECORD, max_size=2),
    }
)
TYPES = {
    "key": pl.String,
    "text": pl.String,
    "number": pl.Float64,
    "list": pl.List(pl.Int64),
    "records": pl.List(pl.Struct({"x": pl.String, "y": pl.Int64})),
}
TABLE = st.dictionaries(st.sampled_from("pqrstu"), ROW, max_size=6)


@settings(max_examples=30, deadline=None)
@given(old=TABLE, new=TABLE, cut=st.integers(0, 6))
def test_rows_are_compared_as_python_would(old: dict[str, Any], new: dict[str, Any], cut: int) -> None:
    frames = [pl.DataFrame([{"key": k, **row} for k, row in t.items()], schema=TYPES) for t in (old, new)]
    # In other pieces of memory, and in another order: neither may matter.
    frames[1] = pl.concat([frames[1].slice(cut), frames[1].head(cut)], rechunk=False)
    found = changes_module._rows(*frames, ["key"])
    by_hand = {
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changed": sorted(k for k in set(old) & set(new) if old[k] != new[k]),
    }
    assert {kind: found[kind] for kind in by_hand} == {kind: len(keys) for kind, keys in by_hand.items()}
    assert found["examples"] == {kind: keys[:3] for kind, keys in by_hand.items() if keys}


def test_a_column_of_another_type_is_another_column() -> None:
    old = pl.DataFrame({"key": ["a"], "x": [1], "gone": [1]})
    found = changes_module._rows(old, pl.DataFrame({"key": ["a"], "x": ["1"]}), ["key"])
    assert (found["changed"], found["new_columns"], found["lost_columns"]) == (0, ["x"], ["gone", "x"])
