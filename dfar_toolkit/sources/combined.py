"""Several sources as one: questions that mean the same shared, others told apart, item ids never touched.

Sources whose primary question is the same (name, kind and options) stand in one config, ``default``; a source that was
asked something else has a config of its own, so that ``label`` means one thing in every config.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import SourceInfo, SourceTables
from dfar_toolkit.tabular import quoted

DEFAULT: Final = "default"
_TAKEN: Final = (DEFAULT, "annotations", "raters", "targets", "questions")  # configs that every folder has
_CONFIG: Final = re.compile(r"\w[\w-]*(\.[\w-]+)*")


class Combined(NamedTuple):
    """The rows of all sources as those of one, and the sources themselves for the record."""

    tables: SourceTables
    sources: tuple[SourceTables, ...]


def combined(sources: Sequence[SourceTables], *, name: str = "corpus") -> Combined:
    """One corpus of several sources, each item keeping its id and its ``source``.

    A question of two sources is one if name, kind and options are the same; else the later one is called
    ``SOURCE.question``. The table questions gets the column ``primary_of``: the config whose primary question it is.
    A single source stays as it is.

    Args:
        sources: What ``read_source`` read, in the order in which they are to stand.
        name: What the corpus is called where there are several sources.

    Returns:
        The tables, and the sources.

    Raises:
        SourceError: There is no source, one is given twice, two share an item id, or have columns of one name that
            cannot be one; or the corpus or a config cannot be called so.
    """
    if not sources:
        raise SourceError("wanted one source or more to build from; found none.")
    if len(sources) == 1:
        return Combined(sources[0], tuple(sources))
    if not _CONFIG.fullmatch(name):
        raise SourceError(
            f"wanted a name of letters, digits, _, - and dots between them for the corpus; found {quoted([name])}. "
            "Give another with --name."
        )
    names = [source.info.name for source in sources]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SourceError(f"wanted each source once; found {quoted(twice)} more than once.")
    asked: dict[str, dict[str, Any]] = {}
    primary: dict[str, str] = {}
    parts = []
    for source in sources:
        renamed = _called(source, asked)
        first = renamed.questions["question"][0]
        config = next((c for c, question in primary.items() if question == first), None)
        config = config or (_config(source.info.name) if primary else DEFAULT)
        primary[config] = first
        parts.append(replace(renamed, items=renamed.items.with_columns(config=pl.lit(config))))
    items = pl.concat([part.items for part in parts], how="diagonal")
    ids = items["item_id"]
    if ids.n_unique() < sum(part.items["item_id"].n_unique() for part in parts):
        shared = items.filter(ids.is_duplicated())["item_id"].unique().sort()
        raise SourceError(f"wanted item ids that no two sources share; found {quoted(shared, most=3)} in several.")
    of_config = {question: config for config, question in primary.items()}
    questions = pl.DataFrame(list(asked.values()), schema=parts[0].questions.schema)
    questions = questions.with_columns(
        pl.col("question").replace_strict(of_config, default=None, return_dtype=pl.String).alias("primary_of")
    )
    published = [part.targets for part in parts if part.targets is not None]
    tables = SourceTables(
        info=_info(sources, name),
        questions=questions,
        items=items,
        annotations=_stacked("annotations", [part.annotations for part in parts]),
        raters=_stacked("raters", [part.raters for part in parts]).unique("annotator_id", maintain_order=True),
        files=tuple(file for part in parts for file in part.files),
        dropped=tuple(lost for part in parts for lost in part.dropped),
        repairs=tuple(note for part in parts for note in part.repairs),
        targets=_stacked("targets", published) if published else None,
    )
    return Combined(tables, tuple(sources))


def _config(name: str) -> str:
    """The config of a source that was asked something of its own: its name, if a folder and the Hub can have it."""
    config = name.replace(":", ".")
    if config in _TAKEN or not _CONFIG.fullmatch(config):
        raise SourceError(
            f"the source {quoted([name])} was asked another question than the first one, so a config is called after "
            f"it; wanted letters, digits, _, - and dots between them, and none of {quoted(_TAKEN)}. Give it another "
            "name (--column name=...)."
        )
    return config


def _stacked(table: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all sources; a further column that is text in one and a number in another is text in all."""
    try:
        return pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        types: dict[str, set[pl.DataType]] = {}
        for frame in frames:
            for name, dtype in frame.schema.items():
                types.setdefault(name, set()).add(dtype)
        torn = [name for name, kinds in types.items() if len(kinds) > 1]
        raise SourceError(
            f"wanted columns of one type in {table} of all sources; found {quoted(torn)} in several, which cannot be "
            "one. Rename it in one of the sources."
        ) from None


def _called(source: SourceTables, asked: dict[str, dict[str, Any]]) -> SourceTables:
    """The source with questions renamed that another source asked with other options; adds its questions."""
    names: dict[str, str] = {}
    for row in source.questions.iter_rows(named=True):
        known, name = asked.get(row["question"]), row["question"]
        if known is not None and (known["kind"], known["options"]) != (row["kind"], row["options"]):
            name = f"{source.info.name}.{name}"
        names[row["question"]] = name
        asked.setdefault(name, row | {"question": name})
    if all(old == new for old, new in names.items()):
        return source
    rename = pl.col("question").replace(names)
    return replace(
        source,
        questions=source.questions.with_columns(rename),
        annotations=source.annotations.with_columns(rename),
        targets=None if source.targets is None else source.targets.with_columns(rename),
    )


def _info(sources: Sequence[SourceTables], name: str) -> SourceInfo:
    infos = [source.info for source in sources]
    licences = list(dict.fromkeys(info.licence for info in infos))
    return SourceInfo(
        name=name,
        title=" + ".join(info.title for info in infos),
        licence=licences[0] if len(licences) == 1 else "other",
        homepage="",
        citation="",
        layout="",
        languages=tuple(dict.fromkeys(code for info in infos for code in info.languages)),
    )
