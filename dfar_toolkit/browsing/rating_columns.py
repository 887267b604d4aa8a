"""What people said about each item, in codes: one row per rating, and numbers per item."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.browsing.item_columns import ItemFiles, as_enum, enum_names, reason
from dfar_toolkit.browsing.row_lookup import rows_of
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import of_config, primary_questions

_CELLS: Final = 64_000_000  # items times values that are counted as a table
_SETS: Final = ("set", "span")  # kinds of question in which one rating may hold several values


class Ratings(NamedTuple):
    """Ratings of the primary question.

    ``long`` has ``row`` (of the item), ``annotator_id`` and ``value`` as enumerations, ``place`` in the file, in the
    order of the rows; ``items`` has ``n_ratings`` and ``disagreement`` (null below two ratings) for every item.
    """

    long: pl.DataFrame
    items: pl.DataFrame
    problems: tuple[str, ...]


def ratings(files: ItemFiles, ids: pl.Series, configs: pl.Series) -> Ratings:
    """Read the ratings of every item's primary question."""
    file = files.folder / "annotations.parquet"
    try:
        read, problems = _long(files, file, ids, configs)
    except (OSError, TableError, pl.exceptions.PolarsError) as error:
        read, problems = _none(), [f"{file}: cannot be read ({reason(error)}); shown without people's values."]
    kinds = dict(zip(files.questions["question"], files.questions["kind"].cast(pl.String), strict=True))
    in_sets = any(kinds.get(q) in _SETS for q in primary_questions(files.questions).values())
    found = _of_sets(read, file) if in_sets and len(read) else _of_single(read, len(ids))
    if len(found) < len(ids):
        every = pl.DataFrame({"row": pl.int_range(len(ids), dtype=pl.UInt32, eager=True)})
        found = every.join(found, on="row", how="left", maintain_order="left")
    items = found.select(pl.col("n_ratings").fill_null(0).cast(pl.UInt32), pl.col("disagreement").fill_nan(None))
    return Ratings(read, items, tuple(problems))


def _long(files: ItemFiles, file: Path, ids: pl.Series, configs: pl.Series) -> tuple[pl.DataFrame, list[str]]:
    several = len(files.questions) > 1
    columns = ["item_id", "annotator_id", "value", *(["question"] if several else [])]
    read = pl.scan_parquet(file, glob=False).select(columns).collect()
    rows, strange = rows_of(read["item_id"], ids)
    problems = [f"{file}: {strange} ratings are about items that are not there; left out."] if strange else []
    options = [name for names in files.questions["options"].to_list() for name in names or ()]
    long = pl.DataFrame(
        {
            "row": rows,
            "annotator_id": as_enum(read["annotator_id"]),
            "value": as_enum(read["value"], tuple(dict.fromkeys(options))),
            "place": pl.int_range(len(read), dtype=pl.UInt32, eager=True),
        }
    )
    keep = long["row"].is_not_null() & long["value"].is_not_null()
    if several:
        asked = configs.gather(rows).cast(pl.String).alias("config").to_frame().select(of_config(files.questions))
        keep &= (asked.to_series() == read["question"]).fill_null(False)
    long = long if keep.all() else long.filter(keep)
    return (long if long["row"].is_sorted() else long.sort("row", maintain_order=True)), problems


def _none() -> pl.DataFrame:
    no_names = pl.Enum([])
    return pl.DataFrame(schema={"row": pl.UInt32, "annotator_id": no_names, "value": no_names, "place": pl.UInt32})


def _of_single(long: pl.DataFrame, n_items: int) -> pl.DataFrame:
    """The number of ratings and the disagreement of ``item_disagreement`` where every row is a rating of its own."""
    n_values = max(1, len(enum_names(long["value"])))
    rows, codes = long["row"].to_numpy(), long["value"].to_physical().to_numpy()
    if n_items * n_values <= _CELLS:
        votes = np.bincount(rows * np.int64(n_values) + codes, minlength=n_items * n_values).reshape(-1, n_values)
        n, agreeing = votes.sum(1), (votes * (votes - 1)).sum(1)
    else:
        counted = long.group_by("row", pl.col("value").to_physical()).len("votes").cast({"votes": pl.Int64})
        of, votes = counted["row"].to_numpy(), counted["votes"].to_numpy()
        n, agreeing = (np.bincount(of, weights=w, minlength=n_items) for w in (votes, votes * (votes - 1)))
    pairs = n * (n - 1)
    disagreement = 1 - np.divide(agreeing, pairs, out=np.full(n_items, np.nan), where=pairs > 0)
    every = pl.int_range(n_items, dtype=pl.UInt32, eager=True)
    return pl.DataFrame({"row": every, "n_ratings": n.astype(np.int64), "disagreement": disagreement})


def _of_sets(long: pl.DataFrame, file: Path) -> pl.DataFrame:
    """The same where rows that share a rating are one rating."""
    names = pl.scan_parquet(file, glob=False).select("rating_id").collect().to_series().gather(long["place"])
    return item_disagreement(long.select(pl.col("row").alias("item_id"), "value").with_columns(rating_id=names)).rename(
        {"item_id": "row"}
    )


def reason_column(files: ItemFiles, long: pl.DataFrame, n_items: int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """``has_reason``: whether one of the ratings of an item comes with a reason that is not blank."""
    file = files.folder / "annotations.parquet"
    nobody = pl.repeat(False, n_items, dtype=pl.Boolean, eager=True)
    if not len(long):
        return nobody.alias("has_reason").to_frame(), ()
    try:
        given = pl.col("reason").str.contains(r"\S").fill_null(False)
        found = pl.scan_parquet(file, glob=False).select(given).collect().to_series().gather(long["place"])
    except (OSError, pl.exceptions.PolarsError) as error:
        return nobody.alias("has_reason").to_frame(), (f"{file}: reasons cannot be read ({reason(error)}).",)
    with_reason = nobody.scatter(long["row"].filter(found).unique(), True)
    return with_reason.alias("has_reason").to_frame(), ()
