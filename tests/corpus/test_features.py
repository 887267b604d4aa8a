from __future__ import annotations

from types import ModuleType

import polars as pl
import pytest
from card_sample import ANNOTATIONS, ITEMS, OPTIONS

from dfar_toolkit.corpus.features import dataset_features
from dfar_toolkit.errors import TableError

SCHEMA = pl.Schema(
    {
        "text": pl.String(),
        "label": pl.Int64(),
        "small": pl.Int8(),
        "share": pl.Float64(),
        "half": pl.Float32(),
        "yes": pl.Boolean(),
        "day": pl.Date(),
        "time": pl.Datetime("us", "UTC"),
        "local": pl.Datetime("ms"),
        "band": pl.Enum(["a", "b"]),
        "votes": pl.List(pl.Int64),
        "nested": pl.List(pl.List(pl.String)),
        "reasons": pl.List(pl.Struct({"text": pl.String, "probs": pl.List(pl.Float64)})),
        "record": pl.Struct({"a": pl.Int64, "b": pl.Struct({"c": pl.String})}),
        "pair": pl.Array(pl.Float64, 2),
    }
)


def test_equals_what_the_library_writes(datasets: ModuleType) -> None:
    value, listed = datasets.Value, datasets.List
    wanted = datasets.Features(
        {
            "text": value("string"),
            "label": datasets.ClassLabel(names=OPTIONS),
            "small": value("int8"),
            "share": value("float64"),
            "half": value("float32"),
            "yes": value("bool"),
            "day": value("date32"),
            "time": value("timestamp[us, tz=UTC]"),
            "local": value("timestamp[ms]"),
            "band": value("string"),
            "votes": listed(value("int64")),
            "nested": listed(listed(value("string"))),
            "reasons": listed({"text": value("string"), "probs": listed(value("float64"))}),
            "record": {"a": value("int64"), "b": {"c": value("string")}},
            "pair": listed(value("float64"), length=2),
        }
    )
    found = dataset_features(SCHEMA, class_labels={"label": OPTIONS})
    assert found == wanted._to_yaml_list()
    assert datasets.Features._from_yaml_list(found) == wanted


def test_our_own_tables_read_back(datasets: ModuleType) -> None:
    items = datasets.Features._from_yaml_list(dataset_features(ITEMS, class_labels={"label": OPTIONS}))
    assert items["label"] == datasets.ClassLabel(names=OPTIONS)
    assert items["reasons"] == datasets.List(dict.fromkeys(["annotator_id", "value", "text"], datasets.Value("string")))
    annotations = dataset_features(ANNOTATIONS, class_labels={})
    assert datasets.Features._from_yaml_list(annotations)._to_yaml_list() == annotations


def test_a_number_stays_a_number_without_names() -> None:
    assert dataset_features(pl.Schema({"label": pl.Int64()}), class_labels={}) == [{"name": "label", "dtype": "int64"}]


@pytest.mark.parametrize("dtype", [pl.Duration("us"), pl.Time(), pl.List(pl.Object)])
def test_a_type_without_a_feature_is_named(dtype: pl.DataType) -> None:
    with pytest.raises(TableError, match=r"'odd'.*store it as text"):
        dataset_features(pl.Schema({"odd": dtype}), class_labels={})


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ({"nowhere": ["a"]}, ValueError, "not among"),
        ({"text": ["a"]}, ValueError, "must be an integer"),
        ({"label": []}, ValueError, "at least one option"),
        ({"label": ["a", "b", "a"]}, TableError, "'a' twice"),
    ],
)
def test_labels_must_fit(labels: dict[str, list[str]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dataset_features(pl.Schema({"text": pl.String(), "label": pl.Int64()}), class_labels=labels)
