"""One file per published layout, each from raw files to our tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import dfar, lewidi, table
from dfar_toolkit.sources.layout import Dropped, RawFile, SourceInfo, SourceTables
from dfar_toolkit.sources.mapping import Mapping, mapping_from_yaml
from dfar_toolkit.tabular import nearest, quoted

__all__ = [
    "SOURCES",
    "Dropped",
    "Mapping",
    "RawFile",
    "SourceInfo",
    "SourceTables",
    "mapping_from_yaml",
    "read_source",
    "source_facts",
]

SOURCES: Final[dict[str, SourceInfo]] = {info.name: info for info in (dfar.INFO, lewidi.INFO, table.INFO)}


def read_source(spec: str, raw: Path | str, *, repair: bool = True, mapping: Mapping | None = None) -> SourceTables:
    """The tables of a published data set from its raw files.

    Args:
        spec: ``SOURCE`` or ``SOURCE:SET``, as in ``dfar`` or ``lewidi:csc``; :func:`source_facts` lists them.
        raw: The folder of the raw files (for ``table`` also the file itself).
        repair: Whether damage whose mending is certain (a comma before a closing brace) is mended and said.
        mapping: What the columns mean; for ``table`` only, which needs it.

    Returns:
        Items, annotations, raters and questions, and an account of every row that was read.

    Raises:
        SourceError: An unknown source or set, or files that are not in its layout.

    Example:
        >>> read_source("dfra", "raw")
        Traceback (most recent call last):
        dfar_toolkit.errors.SourceError: unknown source "dfra"; known are "dfar", "lewidi", "table". Is it "dfar"?
    """
    name, _, set_name = spec.partition(":")
    if name not in SOURCES:
        raise SourceError(f"unknown source {quoted([name])}; known are {quoted(SOURCES)}.{nearest(name, SOURCES)}")
    if set_name and name != "lewidi":
        raise SourceError(f"{name} has no sets; found {quoted([spec])}, wanted {quoted([name])}.")
    if mapping is not None and name != "table":
        raise SourceError(f"a mapping of columns is for the source table; {name} has a layout of its own.")
    if name == "dfar":
        return dfar.read(Path(raw))
    if name == "lewidi":
        return lewidi.read(Path(raw), set_name=set_name, repair=repair)
    if mapping is None:
        raise SourceError("the source table needs its columns: give --mapping FILE.yaml or the columns as options.")
    return table.read(Path(raw), mapping=mapping)


def source_facts() -> pl.DataFrame:
    """One row per source: ``name, title, licence, homepage, sets, layout``.

    Example:
        >>> source_facts()["name"].to_list()
        ['dfar', 'lewidi', 'table']
    """
    columns = ("name", "title", "licence", "homepage", "sets", "layout")
    rows = [
        {"name": i.name, "title": i.title, "licence": i.licence, "homepage": i.homepage}
        | {"sets": ", ".join(i.sets), "layout": i.layout}
        for i in SOURCES.values()
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String))
