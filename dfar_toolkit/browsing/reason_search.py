"""Which items have a reason that fits a pattern: a reason of somebody who rated them, or of a model about them.

Reasons are not part of the index: they are read when one is first searched for, a block of rows at a time. What fits
into a gigabyte is kept; blocks beyond that are read again for every search, so that memory stays bounded whatever the
reasons are. The cost grows with their bytes: five million reasons of people and three million of models (0.8 GB) are
read in one to two seconds, once, and then searched in 0.15 s where the words are rare, 0.25 s where they are common,
0.5 s where it is a phrase or pattern that begins like much else (two cores; every core takes a share). Blocks that are
read again take about ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.browsing.item_columns import reason
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.pattern_cost import SomeTexts, some_texts
from dfar_toolkit.browsing.row_lookup import rows_of
from dfar_toolkit.browsing.run_columns import RunFile
from dfar_toolkit.errors import DfarError

Mask = npt.NDArray[np.bool_]
_KEY: Final = "reasons of items"
_BLOCK: Final = 2**19  # rows of a file that are read at once, and searched by one core
_KEPT: Final = 2**30  # bytes of reasons that stay in memory
_SOME: Final = 20_000  # rows of a file from which it is learnt how long a pattern takes
_BROKEN: Final = (OSError, DfarError, pl.exceptions.PolarsError)


class _Source(NamedTuple):
    """A file with reasons, and which of its rows count."""

    file: RunFile
    counts: pl.Expr


class _Block(NamedTuple):
    """Reasons that stand together in a file, each with the row of its item (null where there is none).

    ``texts`` is None where they are read again, by ``lazy``.
    """

    lazy: pl.LazyFrame
    row: pl.Series
    texts: pl.Series | None


class _Reasons(NamedTuple):
    """Every reason that is not blank, and what could not be read."""

    blocks: tuple[_Block, ...]
    problems: tuple[str, ...]


def reason_mask(index: ItemIndex, pattern: str) -> Mask:
    """Whether a reason of each item (n,) matches a pattern of Rust's regex engine, as statements are searched.

    Reasons are those that come with a value, of people to any question, and those of models in rows of condition
    ``full``: the answer, further samples, answers in the place of a person, answers to other questions. What a model
    says about an altered input is about another text. In a file that cannot be read any more nothing is found.

    Args:
        index: The items.
        pattern: The pattern; one that is none raises polars' error.
    """
    mask = np.zeros(len(index), dtype=bool)
    blocks = _reasons(index).blocks
    fits = pl.col("row").filter(pl.col("reason").str.contains(pattern))
    kept = [pl.LazyFrame([block.row, block.texts]).select(fits) for block in blocks if block.texts is not None]
    for found in pl.collect_all(kept):
        mask[found["row"].drop_nulls().to_numpy()] = True
    for block in blocks:
        texts = _read_again(block) if block.texts is None else None
        if texts is not None:
            mask[pl.DataFrame([block.row, texts]).select(fits)["row"].drop_nulls().to_numpy()] = True
    return mask


def reasons_are_read(index: ItemIndex) -> bool:
    """Whether a search does not have to read the reasons first."""
    return index.remembers(_KEY)


def read_reasons(index: ItemIndex) -> None:
    """Read them now, where they are not yet; what cannot be read is among the problems of the index."""
    _reasons(index)


def some_reasons(index: ItemIndex) -> SomeTexts:
    """Some reasons, from the beginning of each file, without reading them all; and about how many bytes all have."""
    return index.remembered("some reasons", partial(_some_reasons, index))


def _some_reasons(index: ItemIndex) -> SomeTexts:
    found = [pl.Series("reason", [], dtype=pl.String)]
    n_bytes = 0.0
    for source in _sources(index):
        try:
            first = source.file.scan().head(_SOME)
            n_first, n_all = (int(rows.select(pl.len()).collect().item()) for rows in (first, source.file.scan()))
            texts = first.filter(source.counts).select("reason").collect()["reason"]
        except _BROKEN:
            continue  # whoever reads them all is told
        n_bytes += int(texts.str.len_bytes().sum()) * (n_all / max(1, n_first))
        found.append(texts)
    # Every file counts by what is read of it, which is the same number of rows.
    return some_texts(pl.concat(found), n_bytes)


def _reasons(index: ItemIndex) -> _Reasons:
    return index.remembered(_KEY, partial(_every_reason, index), says=lambda found: found.problems)


def _every_reason(index: ItemIndex) -> _Reasons:
    blocks: list[_Block] = []
    problems = []
    room = _KEPT
    for source in _sources(index):
        try:
            own = _blocks(source, index.column("item_id"), room)
        except _BROKEN as error:
            problems.append(f"{source.file.path}: reasons cannot be read ({reason(error)}).")
            continue
        # A file of another format is in memory as it is.
        room -= sum(_size(block.texts) for block in own) if source.file.frame is None else 0
        blocks += own
    return _Reasons(tuple(blocks), tuple(problems))


def _sources(index: ItemIndex) -> Iterator[_Source]:
    """What people say, then each file of outputs once, whatever the number of its runs."""
    given = pl.col("reason").str.contains(r"\S")
    people = index.files.folder / "annotations.parquet"
    yield _Source(RunFile(people, people, None), pl.col("value").is_not_null() & given)
    for path in dict.fromkeys(file.path for file in index.run_files.values()):
        runs = [run for run, file in index.run_files.items() if file.path == path]
        stands = pl.col("run_id").is_in(runs) & (pl.col("condition") == "full")
        yield _Source(index.run_files[runs[0]], stands & given)


def _blocks(source: _Source, ids: pl.Series, room: int) -> list[_Block]:
    """The reasons of a file, of which so many bytes are kept; the rows of all of them are looked up at once."""
    every = source.file.scan()
    of_items, found = [], []
    for begin in range(0, int(every.select(pl.len()).collect().item()), _BLOCK):
        lazy = every.slice(begin, _BLOCK).filter(source.counts)
        read = lazy.select("item_id", "reason").collect()
        if len(read):
            room -= _size(read["reason"]) if source.file.frame is None else 0
            of_items.append(read["item_id"])
            found.append((lazy.select("reason"), read["reason"] if room >= 0 else None))
    if not found:
        return []
    rows = rows_of(pl.concat(of_items), ids)[0].alias("row")
    ends = np.cumsum([len(names) for names in of_items])
    return [
        _Block(lazy, rows.slice(end - len(names), len(names)), texts)
        for (lazy, texts), names, end in zip(found, of_items, ends.tolist(), strict=True)
    ]


def _size(texts: pl.Series | None) -> int:
    return 0 if texts is None else int(texts.estimated_size())


def _read_again(block: _Block) -> pl.Series | None:
    """The reasons of a block that is not kept; None where its file has gone or has other rows now."""
    try:
        texts = block.lazy.collect()["reason"]
    except _BROKEN:
        return None
    return texts if len(texts) == len(block.row) else None
