"""The comparison that a report shows: its declared metric, its notes, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.comparing import HEADLINES
from dfar_toolkit.journeys.outputs import read_runs
from dfar_toolkit.journeys.run_comparison import run_comparison


@pytest.fixture(scope="module")
def folder(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture(scope="module")
def runs(demo: Path, folder: ItemsFolder) -> dict[str, pl.DataFrame]:
    found = read_runs([demo / "runs" / f"{name}.jsonl" for name in ("label-only", "with-reasons")], folder)
    second = found["with-reasons"]
    turned = pl.col("label").replace({"ethical": "unethical", "unethical": "ethical"})
    third = second.with_columns(run_id=pl.lit("third"), output_id="third/" + pl.col("output_id"))
    odd = pl.int_range(pl.len()) % 5 == 0
    # A second sample: set aside, and said once.
    again = third.head(3).with_columns(
        sample=pl.lit(1, dtype=third.schema["sample"]), output_id="2" + pl.col("output_id")
    )
    third = third.with_columns(label=pl.when(odd).then(turned).otherwise("label"))
    return {**found, "third": pl.concat([third, again])}


def test_three_runs_with_headlines_alone(demo: Path, folder: ItemsFolder, runs: dict[str, pl.DataFrame]) -> None:
    judged = read_judgements(demo / "judgements.csv", questions=folder.questions)
    found = run_comparison(runs, folder, judgements=judged, n_boot=50)
    assert found is not None
    assert (found.runs, found.primary) == (("label-only", "with-reasons", "third"), "accuracy")
    assert set(found.differences["metric"]) <= set(HEADLINES)
    accuracy = found.differences.filter(metric="accuracy")
    assert accuracy.select("run_a", "run_b").rows() == [
        ("label-only", "with-reasons"), ("label-only", "third"), ("with-reasons", "third")
    ]  # fmt: skip
    assert accuracy["p_holm"].null_count() == 0
    assert found.ranks.height == 3
    assert found.right_wrong.group_by("run_a", "run_b").agg(pl.col("count").sum())["count"].to_list() == [58] * 3
    assert "beside the lowest sample" in found.notes["all"]
    assert not found.differences["note"].str.contains("set aside|no leak known|checkpoints").any()


def test_without_gold_labels_distributions_are_compared(folder: ItemsFolder, runs: dict[str, pl.DataFrame]) -> None:
    items = folder.items.with_columns(label=pl.lit(None, dtype=folder.items.schema["label"]))
    found = run_comparison(runs, replace(folder, items=items), n_boot=20)
    assert found is not None
    assert found.primary == "soft_cross_entropy"
    assert found.outcomes.is_empty()
    bare = {run: part.with_columns(label_probs=pl.lit(None, dtype=pl.List(pl.Float64))) for run, part in runs.items()}
    assert run_comparison(bare, replace(folder, items=items)) is None


def test_one_run_is_no_comparison_and_splits_must_be_the_same(
    folder: ItemsFolder, runs: dict[str, pl.DataFrame]
) -> None:
    assert run_comparison({"third": runs["third"]}, folder) is None
    other = folder.items.filter(split="train").select("item_id").head(3)["item_id"].to_list()
    strange = runs["third"].head(3).with_columns(run_id=pl.lit("x"), item_id=pl.Series(other))
    with pytest.raises(TableError, match="must answer the same splits"):
        run_comparison({"label-only": runs["label-only"], "x": strange}, folder)
    unknown = strange.with_columns(item_id=pl.lit("7"))
    with pytest.raises(TableError, match="1 item id is not among them"):
        run_comparison({"label-only": runs["label-only"], "x": unknown}, folder)
