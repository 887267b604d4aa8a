"""Drift after publishing: what changed is named, down to the cell; what did not is not."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from published_everyday import QUICK, REPO, client_of, lean, published, quick_api, users
from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.loopback import Fault, LoopbackHub, Repo
from dfar_toolkit.hub.table_changes import table_changes
from dfar_toolkit.hub.verify import Verified, verify

pytest.importorskip("huggingface_hub")
TEST, NOTES = "data/default/test.parquet", "annotations.parquet"


@pytest.fixture(scope="module")
def items(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lean(demo / "items", tmp_path_factory.mktemp("lean") / "items")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(users()) as running, client_of(monkeypatch, tmp_path, running):
        published(running, items)
        yield running


@pytest.fixture
def repo(hub: LoopbackHub) -> Repo:
    return hub.repos["dataset", REPO]


def checked(hub: LoopbackHub, revision: str | None = None, against: Path | None = None) -> Verified:
    return verify(Address(REPO, revision), against=against, api=quick_api(hub), patience=QUICK)


def differing(found: Verified) -> list[tuple[str, ...]]:
    return found.frame.filter(pl.col("status") != "same").select("what", "place", "status").rows()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def edited(repo: Repo, name: str, *changes: pl.Expr) -> None:
    """What an edit in the browser does: the same file with other cells, written by other software."""
    frame = pl.read_parquet(io.BytesIO(repo.read(name))).with_row_index("row")
    repo.change({name: parquet(frame.with_columns(*changes).drop("row"))}, title="Edit", author="bob")


def test_what_was_published_is_the_same(hub: LoopbackHub, items: Path) -> None:
    n = len(json.loads((items / "manifest.json").read_text())["files"]) + 1
    for against in (None, items):
        found = checked(hub, "v1.0.0", against)
        assert found.same
        assert found.verdict.endswith(f"(commit {found.commit}): same: {n} files, 5 tables")
        assert found.frame.group_by("what").len().sort("what").rows() == [("file", n), ("table", 5)]


def test_an_edited_cell_is_named(hub: LoopbackHub, repo: Repo, items: Path) -> None:
    at = pl.col("row") == 3
    before = pl.read_parquet(items / TEST).row(3, named=True)
    edited(
        repo, TEST,
        pl.when(at).then(1 - pl.col("label")).otherwise("label").alias("label"),
        pl.when(at).then(pl.lit("=cmd\u202e|x")).otherwise("statement").alias("statement"),
    )  # fmt: skip
    found = checked(hub)
    assert not found.same
    assert differing(found) == [("file", TEST, "changed"), ("table", "items", "changed")]
    found = checked(hub, against=items)
    cells = found.frame.filter(what="cell").select("place", "status", "key", "column", "before", "after").rows()
    names = ("ethical", "unethical")
    assert sorted(cells) == [
        ("items", "changed", before["item_id"], "label", names[before["label"]], names[1 - before["label"]]),
        ("items", "changed", before["item_id"], "statement", before["statement"], "=cmd\u202e|x"),
    ]
    assert found.verdict.endswith("differs: 1 file changed, 1 table changed, 2 cells changed")
    assert checked(hub, "v1.0.0").same


def test_rows_columns_and_files_that_came_or_went(hub: LoopbackHub, repo: Repo, items: Path) -> None:
    notes = pl.read_parquet(items / NOTES)
    more = notes.head(1).with_columns(annotator_id=pl.lit("everyday:a99"))
    changed = pl.concat([notes.slice(2), more]).with_columns(mood=pl.lit("grim"))
    repo.change({NOTES: parquet(changed), "raters.parquet": None, "extra.txt": b"hello"})
    found = checked(hub, against=items)
    assert ("file", "raters.parquet", "missing") in differing(found)
    assert ("file", "extra.txt", "added") in differing(found)
    assert ("table", "items", "unreadable") in differing(found)  # a folder without a table is none
    repo.change({"raters.parquet": (items / "raters.parquet").read_bytes()})
    found = checked(hub, against=items)
    counts = found.frame.filter(pl.col("what").is_in(["row", "column", "cell"])).group_by("what", "status").len()
    assert sorted(counts.rows()) == [("column", "added", 1), ("row", "added", 1), ("row", "missing", 2)]
    assert found.verdict.endswith("; 1 file added by others")


def test_rewritten_bytes_with_the_same_rows_differ_as_a_file_only(hub: LoopbackHub, repo: Repo, items: Path) -> None:
    shuffled = pl.read_parquet(items / NOTES).sample(fraction=1, shuffle=True, seed=1)
    repo.change({NOTES: parquet(shuffled)})
    assert differing(checked(hub, against=items)) == [("file", NOTES, "changed")]


def test_added_files_alone_are_no_difference_and_an_edited_card_is_one(hub: LoopbackHub, repo: Repo) -> None:
    repo.change({"extra.txt": b"hello"})
    assert checked(hub).same
    repo.change({"README.md": repo.read("README.md") + b"\nMine.\n"})
    assert differing(checked(hub)) == [("file", "README.md", "changed"), ("file", "extra.txt", "added")]


@pytest.mark.parametrize("name", [TEST, "audit.json"])
def test_bytes_spoilt_on_the_hub_are_told_from_a_bad_line(hub: LoopbackHub, name: str) -> None:
    once = hub.fail(Fault("flip", method="GET", path=f"resolve/.*{name}", times=1))
    found = checked(hub)
    assert (found.same, once.fired, found.notes) == (True, 1, (f"{name} came damaged once and whole the second time",))
    hub.fail(Fault("flip", method="GET", path=f"resolve/.*{name}", times=None))
    found = checked(hub)
    assert ("file", name, "damaged") in differing(found)
    assert not found.same


def test_a_rewritten_manifest_is_caught_by_the_folder(hub: LoopbackHub, repo: Repo, items: Path) -> None:
    """Who edits the rows and the manifest alike fools the manifest, not the folder."""
    edited(repo, TEST, pl.lit("x").alias("statement"))
    manifest = json.loads(repo.read("manifest.json"))
    hashed = verify(Address(REPO, None), api=quick_api(hub), patience=QUICK).frame
    sha256, size = str(hashed.filter(place=TEST)["after"][0]).removeprefix("sha256 ").split(", ")
    manifest["files"][TEST] |= {"sha256": sha256, "n_bytes": int(size.removesuffix(" bytes"))}
    manifest["content_digest"]["default"] = str(hashed.filter(place="items")["after"][0]).removeprefix("content ")
    repo.change({"manifest.json": json.dumps(manifest).encode()})
    assert checked(hub).same
    found = checked(hub, against=items)
    assert found.frame.filter(what="cell").height == 60
    assert found.frame.filter(place="manifest.json")["column"].to_list() == ["content_digest, files"]


def test_a_paper_trail_cannot_stand_for_the_data(hub: LoopbackHub, repo: Repo, items: Path) -> None:
    """A manifest that lists edited data as published beside the folder fools nobody who has the folder."""
    edited(repo, TEST, pl.lit("x").alias("statement"))
    manifest = json.loads(repo.read("manifest.json"))
    content = repo.read(TEST)
    manifest["files"][TEST] |= {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}
    manifest["paper_trail"] = {"files": [TEST, f"outputs/../{TEST}", "README.md"]}
    repo.change({"manifest.json": json.dumps(manifest).encode()})
    found = checked(hub, against=items)
    assert ("file", TEST, "changed") in differing(found)
    assert ("file", "manifest.json", "changed") in differing(found)


@pytest.mark.parametrize("content", [None, b"{"])
def test_without_a_manifest_the_folder_is_asked_for(
    hub: LoopbackHub, repo: Repo, items: Path, content: bytes | None
) -> None:
    repo.change({"manifest.json": content})
    with pytest.raises(HubError, match=r"found no readable manifest.json; give the folder .*--against"):
        checked(hub)
    status = "missing" if content is None else "changed"
    assert differing(checked(hub, against=items)) == [("file", "manifest.json", status)]


def test_a_table_that_is_no_parquet_is_unreadable(hub: LoopbackHub, repo: Repo) -> None:
    repo.change({NOTES: b"not parquet"})
    assert ("table", "annotations", "unreadable") in differing(checked(hub))


def test_nothing_is_written_and_no_cache_is_asked(hub: LoopbackHub, tmp_path: Path) -> None:
    checked(hub)
    assert {r.method for r in hub.log} <= {"GET", "HEAD", "POST"}
    assert not (tmp_path / "cache").exists()


def test_the_command(hub: LoopbackHub, repo: Repo, items: Path, tmp_path: Path) -> None:
    run = CliRunner()
    same = run.invoke(app, ["verify", f"{REPO}@v1.0.0"])
    assert (same.exit_code, same.stdout.count("\n")) == (0, 1), same.output
    edited(repo, TEST, pl.when(pl.col("row") == 0).then(pl.lit("a\x1b[31m")).otherwise("statement").alias("statement"))
    shutil.copytree(items, tmp_path / "local")
    other = run.invoke(app, ["verify", REPO, "--against", str(tmp_path / "local"), "--json"])
    assert other.exit_code == 1
    rows = json.loads(other.stdout)
    assert [r["after"] for r in rows if r["what"] == "cell"] == ["a\x1b[31m"]
    shown = run.invoke(app, ["verify", REPO, "--against", str(tmp_path / "local")])
    assert "\x1b" not in shown.stdout
    assert "differs: 1 file changed, 1 table changed, 1 cell changed" in shown.stdout


def test_two_states_of_a_table_by_hand() -> None:
    old = pl.DataFrame({"k": ["a", "b", "c"], "x": [[1], None, [3]], "gone": [1, 2, 3], "n": [1, 2, None]})
    new = pl.DataFrame({"k": ["c", "b", "d"], "x": [[3], [2], [4]], "n": ["3", "2", "9"], "came": [0, 0, 0]})
    assert table_changes(old, new, keys=["k"]).rows() == [
        ("column", "missing", "", "gone", None, None),
        ("column", "added", "", "came", None, None),
        ("row", "missing", "a", "", None, None),
        ("row", "added", "d", "", None, None),
        ("cell", "changed", "b", "x", None, "[2]"),
        ("cell", "changed", "c", "n", None, "3"),
    ]
