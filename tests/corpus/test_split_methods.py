"""Splits at random, by annotator, by time, by source, in folds, and a part carved from another."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.corpus.split_methods import (
    annotator_split,
    carve_split,
    fold_split,
    random_split,
    source_split,
    time_split,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items

HALVES = {"train": 0.5, "test": 0.5}


def items(n: int, *, per_group: int = 1, split: str = "train") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"i{k:03d}" for k in range(n)],
            "group": [f"g{k // per_group:03d}" for k in range(n)],
            "label": ["xy"[k % 2] for k in range(n)],
            "split": [split] * n,
        }
    )


def rated(pairs: list[tuple[int, int]], at: list[str] | None = None) -> pl.DataFrame:
    frame = {"item_id": [f"i{i:03d}" for i, _ in pairs], "annotator_id": [f"s:{a}" for _, a in pairs]}
    return pl.DataFrame(frame | ({"at": at} if at else {}))


def test_a_random_split_keeps_the_mix_and_parts_groups() -> None:
    rows = items(200, per_group=4)
    dealt = random_split(rows, sizes={"train": 0.8, "test": 0.2}, seed=1)
    assert dealt.achieved["count"].to_list() == [80, 80, 20, 20]
    of_group = (
        rows.join(dealt.frame.rename({"split": "new"}), on="item_id").group_by("group").agg(pl.col("new").n_unique())
    )
    assert of_group["new"].max() == 2
    assert random_split(rows, seed=1).frame.equals(random_split(rows, seed=1).frame)
    assert not random_split(rows, seed=1).frame.equals(random_split(rows, seed=2).frame)


def test_folds_are_disjoint_whole_groups_of_one_size() -> None:
    rows = items(60, per_group=3)
    dealt = fold_split(rows, folds=4, seed=3)
    sizes = dealt.frame["split"].value_counts().sort("split")
    assert sizes["split"].to_list() == ["fold1", "fold2", "fold3", "fold4"]
    assert sizes["count"].to_list() == [15, 15, 15, 15]
    with_group = rows.select("item_id", "group").join(dealt.frame, on="item_id")
    assert with_group.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    with pytest.raises(ValueError, match="from 2 to the 20 groups; found 21"):
        fold_split(rows, folds=21)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 5)), min_size=1, max_size=30), st.integers(0, 3))
@settings(max_examples=30)
def test_no_annotator_stands_in_two_splits(pairs: list[tuple[int, int]], seed: int) -> None:
    there = sorted({i for i, _ in pairs})
    rows = items(12).filter(pl.col("item_id").is_in([f"i{i:03d}" for i in there]))
    try:
        dealt = annotator_split(rows, rated(pairs), sizes=HALVES, seed=seed)
    except TableError:  # all of them share items; see the next test
        return
    of_person = rated(pairs).join(dealt.frame, on="item_id").group_by("annotator_id").agg(pl.col("split").n_unique())
    assert of_person["split"].max() == 1


def test_annotators_who_all_share_items_cannot_be_told_apart() -> None:
    pairs = [(k, a) for k in range(10) for a in (k % 3, (k + 1) % 3)]
    with pytest.raises(TableError, match=r"form 1 sets that share no item, the largest with 10 of 10 items"):
        annotator_split(items(10), rated(pairs), sizes=HALVES)
    with pytest.raises(TableError, match="9 of 10 items have none"):
        annotator_split(items(10), rated([(0, 1)]), sizes=HALVES)


def test_later_judgements_go_to_the_later_split_in_any_zone() -> None:
    at = ["2024-05-01T10:00:00Z", "2024-05-01T09:30:00-02:00", "2024-05-01", "1714546800.5"]
    # in UTC: 10:00, 11:30, 00:00 and 07:00:00.5 of one day
    dealt = time_split(items(4), rated([(0, 1), (1, 1), (2, 1), (3, 1)], at), sizes=HALVES)
    assert dict(dealt.frame.iter_rows()) == {"i000": "test", "i001": "test", "i002": "train", "i003": "train"}
    assert dealt.note == "train from 2024-05-01; test from 2024-05-01"


def test_a_group_goes_by_its_latest_member() -> None:
    at = ["2024-01-01", "2024-01-04", "2024-01-02", "2024-01-03"]
    dealt = time_split(items(4, per_group=2), rated([(0, 1), (1, 1), (2, 1), (3, 1)], at), sizes=HALVES)
    assert dealt.frame["split"].to_list() == ["test", "test", "train", "train"]


def test_times_that_cannot_be_ordered_are_refused() -> None:
    with pytest.raises(TableError, match='found "05/01/2024 9:30" in 1 of 2 judgements'):
        time_split(items(2), rated([(0, 1), (1, 1)], ["05/01/2024 9:30", "2024-01-01"]))
    with pytest.raises(TableError, match="1 of 2 items have none"):
        time_split(items(2), rated([(0, 1)], ["2024-01-01"]))
    with pytest.raises(TableError, match="2024-13-01"):
        time_split(items(1), rated([(0, 1)], ["2024-13-01"]))


def test_sources_go_whole_and_each_once() -> None:
    rows = items(4).with_columns(source=pl.Series(["a", "a", "b", "c"]))
    dealt = source_split(rows, places={"train": ["a", "c"], "test": ["b"]})
    assert dealt.frame["split"].to_list() == ["train", "train", "test", "train"]
    assert dealt.achieved.group_by("split").agg(pl.col("count").sum()).sort("split").rows() == [
        ("test", 1),
        ("train", 3),
    ]
    for places, words in (
        ({"train": ["a"], "test": ["b"]}, '"c" left out'),
        ({"train": ["a", "b", "c"], "test": ["b"]}, '"b" named twice'),
        ({"train": ["a", "b", "c"], "test": ["d"]}, '"d" unknown'),
        ({"all": ["a", "b", "c"]}, 'not "all"'),
    ):
        with pytest.raises(TableError, match=words):
            source_split(rows, places=places)


def test_a_carved_split_takes_groups_from_train_alone() -> None:
    rows = pl.concat([items(40, per_group=2), items(10, split="test").with_columns(item_id="t" + pl.col("item_id"))])
    dealt = carve_split(rows, share=0.25, seed=5)
    assert dealt.frame["split"].value_counts().sort("split").rows() == [("dev", 10), ("test", 10), ("train", 30)]
    train = rows.filter(split="train").select("item_id", "group").join(dealt.frame, on="item_id")
    assert train.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    with pytest.raises(TableError, match="a split 'test' is there already"):
        carve_split(rows, share=0.5, name="test")
    with pytest.raises(TableError, match="wanted a split 'valid'"):
        carve_split(rows, share=0.5, out_of="valid")


def table(folder: Path) -> Path:
    lines = ["no,split,text,who,says"]
    lines += [f"{k},train,Statement number {k} about {'abcdefgh'[k % 8] * 9},p{k % 4},{'xy'[k % 2]}" for k in range(40)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


COLUMNS = [
    f"--column={c}"
    for c in ("name=set", "id=no", "split=split", "statement=text", "annotator=who", "label=says", "options=x,y")
]


def test_the_command_splits_and_says_so_in_the_card(tmp_path: Path) -> None:
    base = ["build", "table", "--raw", str(table(tmp_path)), "--out", str(tmp_path / "out"), *COLUMNS]
    for further, splits, words in (
        (["--split", "random", "--size", "test=0.25"], ["train", "test"], "at random"),
        (["--split", "annotator", "--size", "test=0.25"], ["train", "test"], "no annotator"),
        (["--split", "folds", "--folds", "4"], ["fold1", "fold2", "fold3", "fold4"], "4 folds"),
        (["--dev", "0.1"], ["train", "dev"], "share 0.1 of `train`"),
    ):
        run = CliRunner().invoke(app, [*base, *further])
        assert run.exit_code == 0, run.output
        read = read_items(tmp_path / "out")
        assert list(read.manifest["configs"]["default"]["splits"]) == splits
        assert words in (tmp_path / "out" / "README.md").read_text()


def test_two_sources_on_the_command_line_and_a_split_by_source(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    head = "Statement,Label,Reason\n"
    (raw / "DFAR_trainset.csv").write_text(head + "I lied to my aunt.,1,Lies hurt.\nI fed the cat.,0,It was hungry.\n")
    (raw / "DFAR_testset.csv").write_text(head + "I sold a broken bike as new.,1,It is fraud.\n")
    both = [f"dfar={raw}", f"table={table(tmp_path)}", "--out", str(tmp_path / "out"), *COLUMNS]
    run = CliRunner().invoke(app, ["build", *both, "--split", "source", "--place", "train=set", "--place", "test=dfar"])
    assert run.exit_code == 0, run.output
    read = read_items(tmp_path / "out")
    assert read.items.group_by("source", "split", "config").len().sort("source").rows() == [
        ("dfar", "test", "default", 3), ("set", "train", "set", 40),
    ]  # fmt: skip
    for wrong, words in (
        (["--split", "source"], "--place goes with --split source"),
        (["--split", "weekly"], "--split must be one of"),
        (["--size", "test=0.2"], "--size goes with"),
        (["--raw", str(raw)], "--raw is for sources given without =DIR"),
    ):
        run = CliRunner().invoke(app, ["build", *both, *wrong])
        assert run.exit_code == 2
        assert words in run.stderr
