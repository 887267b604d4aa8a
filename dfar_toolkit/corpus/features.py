"""The columns of a table as the features that a dataset card declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError

_VALUES: Final[dict[type[pl.DataType], str]] = {
    pl.String: "string",
    pl.Enum: "string",
    pl.Categorical: "string",
    pl.Boolean: "bool",
    pl.Int8: "int8",
    pl.Int16: "int16",
    pl.Int32: "int32",
    pl.Int64: "int64",
    pl.UInt8: "uint8",
    pl.UInt16: "uint16",
    pl.UInt32: "uint32",
    pl.UInt64: "uint64",
    pl.Float32: "float32",
    pl.Float64: "float64",
    pl.Date: "date32",
    pl.Binary: "binary",
    pl.Null: "null",
}


def dataset_features(schema: pl.Schema, *, class_labels: Mapping[str, Sequence[str]]) -> list[dict[str, object]]:
    """The ``features`` of a card's ``dataset_info``, one entry per column, as the library ``datasets`` reads them.

    Declared features are law for the loader: without them, text comes back as ``large_string`` and a label as a
    bare number.

    Args:
        schema: Names and types of the columns, in the order of the file.
        class_labels: The option names of each integer column that is a label, in the order of their numbers.

    Returns:
        A list ready for YAML; nested columns keep their structure.

    Raises:
        TableError: A column has a type that cannot be declared, or an option name occurs twice.
        ValueError: ``class_labels`` names a column that is not there, is no integer, or has no options.

    Example:
        >>> dataset_features(pl.Schema({"label": pl.Int64}), class_labels={"label": ["ethical", "unethical"]})
        [{'name': 'label', 'dtype': {'class_label': {'names': {'0': 'ethical', '1': 'unethical'}}}}]
    """
    for column, names in class_labels.items():
        _check_labels(schema, column, names)
    return [
        {"name": name, "dtype": {"class_label": {"names": {str(i): label for i, label in enumerate(labels)}}}}
        if (labels := class_labels.get(name)) is not None
        else {"name": name, **_feature(dtype, name)}
        for name, dtype in schema.items()
    ]


def _check_labels(schema: pl.Schema, column: str, names: Sequence[str]) -> None:
    if column not in schema:
        raise ValueError(f"dataset_features: the label column {column!r} is not among {list(schema)}")
    if not schema[column].is_integer():
        raise ValueError(f"dataset_features: the label column {column!r} must be an integer, found {schema[column]}")
    if not names:
        raise ValueError(f"dataset_features: the label column {column!r} needs at least one option name")
    if len(set(names)) < len(names):
        twice = next(n for n in names if list(names).count(n) > 1)
        raise TableError(f"the options of {column!r} must differ, found {twice!r} twice; rename one of them")


def _feature(dtype: pl.DataType, where: str) -> dict[str, object]:
    """One column, or what a list holds, without its name: one of the keys ``dtype``, ``list``, ``struct``."""
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = _feature(_data_type(dtype.inner), where)
        [(kind, what)] = inner.items()
        # The library writes a list of a plain value, or of a record, without the word in between.
        held: object = what if kind in ("dtype", "struct") else inner
        length = {"length": dtype.size} if isinstance(dtype, pl.Array) else {}
        return {"list": held, **length}
    if isinstance(dtype, pl.Struct):
        return {"struct": [{"name": f.name, **_feature(_data_type(f.dtype), where)} for f in dtype.fields]}
    return {"dtype": _value(dtype, where)}


def _value(dtype: pl.DataType, where: str) -> str:
    if isinstance(dtype, pl.Datetime):
        return (
            f"timestamp[{dtype.time_unit}, tz={dtype.time_zone}]"
            if dtype.time_zone
            else f"timestamp[{dtype.time_unit}]"
        )
    name = _VALUES.get(type(dtype))
    if name is None:
        raise TableError(
            f"the column {where!r} must hold text, numbers, truth values, dates, lists or records of them to be "
            f"declared in a card, found {dtype}; store it as text"
        )
    return name


def _data_type(dtype: object) -> pl.DataType:
    """An inner type as an instance: polars lets both ``pl.Int64`` and ``pl.Int64()`` stand there."""
    if isinstance(dtype, pl.DataType):
        return dtype
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        return dtype()
    raise TypeError(f"dataset_features: a polars type was wanted, found {dtype!r}")
