"""The published files, read by the json module alone: equal to the krippendorff package, or a clear refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import agreement_table, krippendorff_alpha
from dfar_toolkit.errors import TableError

pytestmark = pytest.mark.real


def records(folder: Path, name: str, splits: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for split in splits:
        read = json.loads((folder / "lewidi" / f"{name}_{split}.json").read_text(encoding="utf-8"))
        found += [(f"{split}:{key}", record) for key, record in read.items()]
    return found


def matrix(frame: pl.DataFrame, codes: dict[str, int]) -> np.ndarray:
    coded = frame.with_columns(pl.col("value").replace_strict(codes, return_dtype=pl.Float64))
    wide = coded.pivot("annotator_id", index="item_id", values="value").drop("item_id")
    return wide.to_numpy().T


def long(rows: list[tuple[str, ...]], *more: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", *more], orient="row")


def test_csc_on_its_scale_of_six(shared_data: Path) -> None:
    rows = [
        (key, who, value)
        for key, record in records(shared_data, "CSC", ("dev", "test"))
        for who, value in record["annotations"].items()
    ]
    frame = long(rows)
    assert set(frame["value"]) == set("123456")
    cells = matrix(frame, {v: int(v) for v in "123456"})
    for level in ("nominal", "ordinal", "interval", "ratio"):
        theirs = krippendorff.alpha(reliability_data=cells, level_of_measurement=level)
        ours = krippendorff_alpha(frame, level=level, n_boot=200)  # type: ignore[arg-type]
        assert ours.value == pytest.approx(theirs, abs=1e-12)
        assert ours.low < ours.value < ours.high


def test_hs_brexit(shared_data: Path) -> None:
    rows = [
        (key, who, value)
        for key, record in records(shared_data, "HS-Brexit", ("train", "dev", "test"))
        for who, value in zip(record["annotators"].split(","), record["annotations"].split(","), strict=True)
    ]
    frame = long(rows)
    assert frame["item_id"].n_unique() == 1120
    theirs = krippendorff.alpha(reliability_data=matrix(frame, {"0": 0, "1": 1}), level_of_measurement="nominal")
    found = krippendorff_alpha(frame)
    assert found.value == pytest.approx(theirs, abs=1e-12)
    assert f"{found.value:.3f}" == "0.347"
    family = agreement_table(frame, n_boot=100)
    assert (family["statistic"] == "cohen_kappa").sum() == 15


def test_varierr_refuses_two_values_by_one_person_and_works_without(shared_data: Path) -> None:
    rows = [
        (key, who, value, f"{key}/{who}")
        for key, record in records(shared_data, "VariErrNLI", ("train", "dev", "test"))
        for who, values in record["annotations"].items()
        for value in values.split(",")
    ]
    frame = long(rows, "rating_id")
    with pytest.raises(TableError, match=r"twice on an item because one person gave several values in one rating, \d+"):
        krippendorff_alpha(frame)
    alone = frame.filter(pl.len().over("item_id", "annotator_id") == 1)
    assert len(alone) < len(frame)
    codes = {"contradiction": 0, "entailment": 1, "neutral": 2}
    theirs = krippendorff.alpha(reliability_data=matrix(alone, codes), level_of_measurement="nominal")
    assert krippendorff_alpha(alone, n_boot=200).value == pytest.approx(theirs, abs=1e-12)
