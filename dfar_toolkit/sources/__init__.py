"""One file per published layout, each from raw files to our tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import (
    dfar,
    eraser,
    esnli,
    ethics,
    ethos,
    hatexplain,
    lewidi,
    medical_bios,
    scruples,
    table,
)
from dfar_toolkit.sources.exports import (
    ExportSettings,
    argilla,
    doccano,
    google_forms,
    label_studio,
    mturk,
    potato,
    prodigy,
)
from dfar_toolkit.sources.layout import Dropped, RawFile, SourceInfo, SourceTables
from dfar_toolkit.sources.mapping import Mapping, mapping_from_yaml
from dfar_toolkit.sources.published_files import can_be_fetched
from dfar_toolkit.tabular import nearest, quoted

__all__ = [
    "EXPORTS",
    "SOURCES",
    "Dropped",
    "ExportSettings",
    "Mapping",
    "RawFile",
    "SourceInfo",
    "SourceTables",
    "mapping_from_yaml",
    "read_source",
    "source_facts",
]

_PUBLISHED: Final = (dfar, ethics, ethos, scruples, esnli, eraser, medical_bios, lewidi, hatexplain)
_TOOLS: Final = (label_studio, argilla, doccano, prodigy, google_forms, mturk, potato)
SOURCES: Final[dict[str, SourceInfo]] = {m.INFO.name: m.INFO for m in (*_PUBLISHED, *_TOOLS, table)}
EXPORTS: Final[dict[str, Callable[..., SourceTables]]] = {m.INFO.name: m.read for m in _TOOLS}
_READERS: Final[dict[str, Callable[..., SourceTables]]] = {
    m.INFO.name: m.read for m in _PUBLISHED if m not in (dfar, lewidi)
}
_ANY_SET: Final = "eraser"  # a layout that many sets have, each under its own name


def read_source(
    spec: str,
    raw: Path | str,
    *,
    repair: bool = True,
    mapping: Mapping | None = None,
    settings: ExportSettings | None = None,
) -> SourceTables:
    """The tables of a published data set from its raw files.

    Args:
        spec: ``SOURCE`` or ``SOURCE:SET``, as in ``dfar`` or ``lewidi:csc``; :func:`source_facts` lists them. The
            set of an annotation tool's export is what the data set shall be called.
        raw: The folder of the raw files (for ``table`` also the file itself).
        repair: Whether damage whose mending is certain (a comma before a closing brace) is mended and said.
        mapping: What the columns mean; for ``table`` only, which needs it.
        settings: What an annotation tool's export does not say about itself.

    Returns:
        Items, annotations, raters and questions, and an account of every row that was read.

    Raises:
        SourceError: An unknown source or set, or files that are not in its layout.

    Example:
        >>> read_source("dfra", "raw")
        Traceback (most recent call last):
        dfar_toolkit.errors.SourceError: unknown source "dfra"; is it "dfar"? `dfar sources` lists all.
    """
    name, _, set_name = spec.partition(":")
    if name not in SOURCES:
        near = nearest(name, SOURCES).strip().replace("Is it", "is it") or f"known are {quoted(SOURCES, most=99)}."
        raise SourceError(f"unknown source {quoted([name])}; {near} `dfar sources` lists all.")
    if settings is not None and name not in EXPORTS:
        raise SourceError(f"settings of an export are for {quoted(EXPORTS, most=99)}; found {quoted([name])}.")
    if name in EXPORTS and mapping is None:
        return EXPORTS[name](Path(raw), set_name=set_name, settings=settings)
    if set_name and not SOURCES[name].sets and name != _ANY_SET:
        raise SourceError(f"{name} has no sets; found {quoted([spec])}, wanted {quoted([name])}.")
    if mapping is not None and name != "table":
        raise SourceError(f"a mapping of columns is for the source table; {name} has a layout of its own.")
    if name == "dfar":
        return dfar.read(Path(raw))
    if name == "lewidi":
        return lewidi.read(Path(raw), set_name=set_name, repair=repair)
    if name in _READERS:
        return _READERS[name](Path(raw), set_name=set_name)
    if mapping is None:
        raise SourceError("the source table needs its columns: give --mapping FILE.yaml or the columns as options.")
    return table.read(Path(raw), mapping=mapping)


def source_facts() -> pl.DataFrame:
    """One row per source: ``name, title, licence, homepage, sets, fetch, layout``; ``fetch`` is "yes" or empty.

    Example:
        >>> source_facts()["name"].to_list()[:4]
        ['dfar', 'ethics', 'ethos', 'scruples']
    """
    columns = ("name", "title", "licence", "homepage", "sets", "fetch", "layout")
    rows = [
        {"name": i.name, "title": i.title, "licence": i.licence, "homepage": i.homepage}
        | {"sets": ", ".join(i.sets), "fetch": "yes" if can_be_fetched(i.name) else "", "layout": i.layout}
        for i in SOURCES.values()
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String))
