from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.journeys.outputs import read_runs
from dfar_toolkit.journeys.reliability import reliability_of_runs
from dfar_toolkit.metrics.answers import join_outputs


@pytest.fixture(scope="module")
def folder(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture(scope="module")
def outputs(demo: Path, folder: ItemsFolder) -> pl.DataFrame:
    return pl.concat(read_runs(sorted((demo / "runs").iterdir()), folder).values(), how="diagonal_relaxed")


def test_bins_hold_every_complete_item(folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    found = reliability_of_runs(outputs, folder.items, options=folder.options)
    joined = join_outputs(outputs, folder.items, options=folder.options).frame
    complete = joined.drop_nulls(["label_probs", "label_probs_pred"]).group_by("run_id").len().rows()
    assert dict(found.group_by("run_id").agg(pl.col("n").sum()).rows()) == dict(complete)
    # Each bin once more from its definition.
    run = joined.filter(run_id="with-reasons").drop_nulls(["label_probs", "label_probs_pred"])
    top = pl.col("label_probs_pred").list.arg_max()
    pairs = run.select(sure=pl.col("label_probs_pred").list.max(), share=pl.col("label_probs").list.get(top))
    for row in found.filter(run_id="with-reasons").iter_rows(named=True):
        inside = pairs.filter(pl.col("sure").is_between(row["bin_low"] - 1e-9, row["bin_high"] + 1e-9))
        assert row["n"] == len(inside)
        assert row["value"] == pytest.approx(inside["share"].mean(), abs=1e-12)
        assert row["mean_predicted"] == pytest.approx(inside["sure"].mean(), abs=1e-12)


def test_no_band_where_people_were_of_one_mind(folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    found = reliability_of_runs(outputs, folder.items, options=folder.options)
    alike = found.filter(pl.col("value") == 1)
    assert len(alike)
    assert alike["band_low"].is_nan().all()
    assert not found.filter(pl.col("value") < 1)["band_low"].is_nan().any()


def test_single_labels_have_a_binomial_band_in_every_bin(folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    single = pl.when(pl.col("label").is_not_null()).then(
        pl.concat_list((pl.col("label") == o).cast(pl.Float64) for o in folder.options)
    )
    items = folder.items.with_columns(label_probs=single, label_counts=None, group=pl.col("item_id"))
    found = reliability_of_runs(outputs, items, options=folder.options)
    assert not found["band_low"].is_nan().any()
    assert set(found["unit"]) == {"items"}


def test_the_order_of_rows_plays_no_part(folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    found = reliability_of_runs(outputs, folder.items, options=folder.options)
    assert reliability_of_runs(outputs, folder.items.reverse(), options=folder.options).equals(found)


def test_no_columns_without_distributions(folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    bare = outputs.with_columns(label_probs=pl.lit(None, dtype=outputs.schema["label_probs"]))
    assert reliability_of_runs(bare, folder.items, options=folder.options).width == 0
