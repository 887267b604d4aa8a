"""From a source's tables to a whole items folder, or to nothing at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.corpus.recheck import recheck, refresh_card
from dfar_toolkit.errors import SourceError, TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.sources import Mapping, SourceTables, read_source

COLUMNS = Mapping(
    name="set", id="no", split="split", statement="text", annotator="who", label="says", reason="why",
    question="fair", options=("fair", "unfair"), licence="cc0-1.0",
)  # fmt: skip
TEXTS = [
    "I kept the change that the baker gave me by mistake.",
    "I told my sister that her song was lovely.",
    "I parked across two places because it was raining.",
    "I read my flatmate's diary when she was away.",
    "I gave up my seat to a man with a heavy bag.",
    "I promised to water the plants and forgot.",
]


def rows(values: str = "fffu") -> str:
    lines = ["no,split,text,who,says,why"]
    for n, text in enumerate(TEXTS):
        for who, value in enumerate(values):
            says = {"f": "fair", "u": "unfair", "-": ""}[value]
            lines.append(f'{n},{"train" if n < 4 else "test"},{text},p{who},{says},"because {n} and {who}, I think"')
    return "\n".join(lines) + "\n"


@pytest.fixture
def source(tmp_path: Path) -> SourceTables:
    (tmp_path / "t.csv").write_text(rows())
    return read_source("table", tmp_path / "t.csv", mapping=COLUMNS)


def test_what_stands_in_the_folder(source: SourceTables, tmp_path: Path) -> None:
    built = build_items(source, tmp_path / "out")
    read = read_items(tmp_path / "out")
    assert not built.failed
    assert read.items["label"].to_list() == ["fair"] * 6
    assert read.items["label_counts"].to_list() == [[3, 1]] * 6
    assert read.items["label_probs"].to_list() == [[0.75, 0.25]] * 6
    assert read.items["split"].to_list() == ["train"] * 4 + ["test"] * 2
    assert read.items["reasons"][0].to_list()[0]["text"] == "because 0 and 0, I think"
    assert read.targets["n_ratings"].to_list() == [4] * 6
    assert read.manifest["rows"] == {"items": 6, "annotations": 24, "raters": 4, "targets": 6, "questions": 1}
    assert read.manifest["disagreement"] == {"items": 6, "of": 6}
    assert {row["statistic"] for row in read.agreement} >= {"krippendorff_alpha", "gwet_ac1"}
    assert read.options == ["fair", "unfair"]


def test_every_input_row_is_in_the_output_or_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(rows("ff-u"))
    built = build_items(read_source("table", tmp_path / "t.csv", mapping=COLUMNS), tmp_path / "out")
    dropped = built.manifest["sources"][0]["dropped"]
    assert built.manifest["rows"]["annotations"] + sum(d["count"] for d in dropped) == 24
    assert dropped[0]["reason"]


def test_a_tie_has_no_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(rows("ffuu"))
    build_items(read_source("table", tmp_path / "t.csv", mapping=COLUMNS), tmp_path / "out")
    read = read_items(tmp_path / "out")
    assert read.items["label"].to_list() == [None] * 6
    assert read.targets["method"].unique().to_list() == ["tie"]


def test_the_same_inputs_and_seed_give_the_same_bytes(source: SourceTables, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_items(source, tmp_path / name, options=BuildOptions(seed=seed))
    files = {n: {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "abc"}
    assert files["a"] == files["b"]
    assert files["a"][Path("annotations.parquet")] != files["c"][Path("annotations.parquet")]


def test_ids_are_kept_only_when_asked(source: SourceTables, tmp_path: Path) -> None:
    build_items(source, tmp_path / "hidden")
    build_items(source, tmp_path / "kept", options=BuildOptions(keep_ids=True))
    assert set(read_items(tmp_path / "hidden").raters["annotator_id"]) == {f"set:a{n}" for n in (1, 2, 3, 4)}
    assert set(read_items(tmp_path / "kept").raters["annotator_id"]) == {f"set:p{n}" for n in (0, 1, 2, 3)}


def test_no_items_is_an_error(source: SourceTables, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("no,split,text,who,says,why\n")
    empty = read_source("table", tmp_path / "t.csv", mapping=COLUMNS)
    with pytest.raises(SourceError, match="no items were read"):
        build_items(empty, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_check_finds_what_the_build_found(source: SourceTables, tmp_path: Path) -> None:
    built = build_items(source, tmp_path / "out")
    findings, failed = recheck(tmp_path / "out")
    assert [(f.finding, f.count) for f in findings] == [(f.finding, f.count) for f in built.findings]
    assert failed == []


def test_a_refreshed_card_changes_nothing_else(source: SourceTables, tmp_path: Path) -> None:
    build_items(source, tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    refresh_card(tmp_path / "out")
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*")} == before


def test_a_person_who_rates_twice_is_a_finding_not_an_end(tmp_path: Path) -> None:
    again = f"0,train,{TEXTS[0]},p1,unfair,on second thoughts I see it differently"
    (tmp_path / "t.csv").write_text(rows() + again + "\n")
    built = build_items(read_source("table", tmp_path / "t.csv", mapping=COLUMNS), tmp_path / "out")
    assert {f.finding: f.count for f in built.findings}["rating.twice"] == 1
    (row,) = read_items(tmp_path / "out").agreement
    assert (row["statistic"], row["value"]) == ("krippendorff_alpha", None)
    assert "twice" in row["note"]
    assert "twice" in (tmp_path / "out" / "README.md").read_text()


def test_ties_of_a_set_question_are_counted(tmp_path: Path) -> None:
    """Shares decide: {a, b} and {b} lean to b; {a} and {b} tie; {a, b} twice ties."""
    lines = ["no,text,who,says"]
    for no, (one, two) in enumerate([("fair;unfair", "unfair"), ("fair", "unfair"), ("fair;unfair", "fair;unfair")]):
        lines += [f'{no},{TEXTS[no]},p1,"{one}"', f'{no},{TEXTS[no]},p2,"{two}"']
    (tmp_path / "t.csv").write_text("\n".join(lines).replace(";", ",") + "\n")
    mapping = replace(COLUMNS, kind="set", split=None, reason=None)
    built = build_items(read_source("table", tmp_path / "t.csv", mapping=mapping), tmp_path / "out")
    assert read_items(tmp_path / "out").items["label"].to_list() == ["unfair", None, None]
    assert {f.finding: f.count for f in built.findings}["label.tie"] == 2
    assert built.manifest["annotators"]["ratings"] == 6
    assert built.manifest["rows"]["annotations"] == 9


def test_a_foreign_folder_is_refused_before_the_work(source: SourceTables, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    steps: list[str] = []
    with pytest.raises(TableError, match="found other files"):
        build_items(source, tmp_path / "out", progress=steps.append)
    assert steps == []


KILLED = """
    import ast, os, signal, sys
    from pathlib import Path
    from dfar_toolkit.corpus import assemble
    from dfar_toolkit.sources import Mapping, read_source
    die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
    setattr(assemble, sys.argv[2], die)
    folder = Path(sys.argv[1])
    source = read_source("table", folder / "t.csv", mapping=Mapping(**ast.literal_eval(sys.argv[3])))
    assemble.build_items(source, folder / "out", options=assemble.BuildOptions(seed=7, n_boot=10))
"""
QUICK = BuildOptions(n_boot=10)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw file and the folder built from it, to be copied."""
    place = tmp_path_factory.mktemp("built")
    (place / "t.csv").write_text(rows())
    build_items(read_source("table", place / "t.csv", mapping=COLUMNS), place / "out", options=QUICK)
    return place


@pytest.mark.parametrize("step", ["write_tables", "render_card", "croissant", "file_facts"])
def test_killed_half_way_the_old_folder_stays_whole(
    built: Path, source: SourceTables, tmp_path: Path, step: str
) -> None:
    shutil.copytree(built / "out", tmp_path / "out")
    before = read_items(tmp_path / "out").manifest
    columns = repr(asdict(COLUMNS))
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), step, columns], check=False)
    assert run.returncode == -signal.SIGKILL
    assert read_items(tmp_path / "out").manifest == before
    if step == "write_tables":  # what the killed build left is cleared away by the next
        build_items(source, tmp_path / "out", options=QUICK)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "t.csv"]


FULL = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
    sys.argv = ["dfar", *sys.argv[2:]]
    from dfar_toolkit.cli import main
    main()
"""


@pytest.mark.parametrize("limit", [1000, 6000])
def test_a_disk_that_fills_leaves_the_old_folder(demo: Path, tmp_path: Path, limit: int) -> None:
    """A limit on file sizes stops writes as a full disk does; at two sizes, so in parquet and in the texts."""
    shutil.copytree(demo / "items", tmp_path / "out")
    words = ["build", "table", "--raw", str(demo / "raw"), "--mapping", str(demo / "raw" / "mapping.yaml")]
    words += ["--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    before = json.loads((tmp_path / "out" / "manifest.json").read_text())
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(limit), *words]
    failed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert failed.returncode == 1, failed.stderr
    assert "Traceback" not in failed.stderr
    assert "no room to write" in failed.stderr.splitlines()[-1]
    assert read_items(tmp_path / "out").manifest == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["train-1", "a b", "../evil", "all", "x" * 200])
def test_a_split_that_the_hub_refuses_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text(rows().replace(",train,", f",{name},"))
    with pytest.raises(SourceError, match="the Hub takes words joined by dots"):
        build_items(read_source("table", tmp_path / "t.csv", mapping=COLUMNS), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "dfar-items", "format_version": 1}',
        '{"format":"dfar-items","format_version":1,"files":[]}',
        "[" * 9999,
    ],
)
def test_a_damaged_manifest_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(TableError, match="Build the folder again"):
        read_items(tmp_path)


def test_a_card_that_is_no_text_is_said_and_kept(source: SourceTables, tmp_path: Path) -> None:
    build_items(source, tmp_path / "out")
    (tmp_path / "out" / "README.md").write_bytes("---\nname: Prüfung".encode("latin-1"))
    for again in (lambda: build_items(source, tmp_path / "out"), lambda: refresh_card(tmp_path / "out")):
        with pytest.raises(TableError, match="not UTF-8"):
            again()
    assert (tmp_path / "out" / "README.md").read_bytes().endswith(b"Pr\xfcfung")


def test_what_is_not_an_items_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "dfar-demo"}')
    with pytest.raises(TableError, match="This is not an items folder"):
        read_items(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "dfar-items", "format_version": 99}')
    with pytest.raises(TableError, match="reads format version 1, found 99"):
        read_items(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format"')
    with pytest.raises(TableError, match="not valid JSON"):
        read_items(tmp_path)


def test_raters_without_bands(source: SourceTables, tmp_path: Path) -> None:
    built = build_items(source, tmp_path / "out")
    assert built.manifest["annotators"]["bands"] == {}
    assert built.manifest["annotators"]["ratings_per_item"] == {"min": 4, "median": 4, "max": 4}
    assert pl.read_parquet(tmp_path / "out" / "raters.parquet").columns == ["annotator_id", "kind"]
