"""The ratings of an index in the shape in which the room of agreement takes them, and who the busiest raters are."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.group_codes import group_codes
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, primary_questions

_SEVERAL: Final = ("set", "span")  # kinds in which one rating may hold several values
_MOST_GROUPS: Final = 8  # values of a column of raters up to which it makes groups
_ABOUT: Final = ("annotator_id", "kind", "source", "extra")  # columns of raters that make no groups


class RatedQuestion(NamedTuple):
    """The ratings of known people about one primary question.

    ``ratings`` has ``item_id`` (the row of the index), ``annotator_id``, ``value``, ``group`` (a number),
    ``source``, ``split``;
    ``order`` are the options from lowest to highest where the question is ordinal; ``refused`` says why there are no
    statistics of "the same or not", empty where there are.
    """

    question: str
    kind: str
    ratings: pl.DataFrame
    order: list[str] | None
    n_unknown: int
    refused: str


def rated_configs(index: ItemIndex) -> list[str]:
    """The configs of the set: each asks a primary question of its own, and no statistic pools questions."""
    return list(dict.fromkeys(part.config for part in index.files.parts))


def rated_question(index: ItemIndex, config: str) -> RatedQuestion:
    """The ratings of the items of a config, remembered.

    Args:
        index: The items.
        config: Its name.
    """
    return index.remembered(("rated", config), lambda: _rated_question(index, config))


def _rated_question(index: ItemIndex, config: str) -> RatedQuestion:
    primary = primary_questions(index.files.questions)
    question = primary.get(config, next(iter(primary.values()), ""))
    asked = index.files.questions.filter(pl.col("question") == question)
    kind = str(asked["kind"][0]) if len(asked) else "nominal"
    options = asked["options"].to_list()[0] if len(asked) else None
    long = index.ratings().long
    rows = long["row"]
    frame = pl.DataFrame(
        [rows.alias("item_id"), long["annotator_id"], long["value"]]
        + [column.gather(rows) for column in (group_codes(index), index.column("source"), index.column("split"))]
    )
    if len(rated_configs(index)) > 1:
        frame = frame.filter(index.column("config").gather(rows) == config)
    unknown = [name for name in enum_names(long["annotator_id"]) if name.split(":")[-1] == UNKNOWN_ANNOTATOR]
    known = frame.filter(~pl.col("annotator_id").is_in(unknown)) if unknown else frame
    order = list(options) if kind == "ordinal" and options else None
    return RatedQuestion(question, kind, known, order, len(frame) - len(known), _refused(kind, known, len(frame)))


def _refused(kind: str, ratings: pl.DataFrame, n_before: int) -> str:
    if not n_before:
        return "Nobody's value is known."
    if not len(ratings):
        return "Agreement needs ratings whose annotators are known; here they are not."
    if kind in _SEVERAL:
        return "One person may give several values here, so two people are not simply the same or not."
    if ratings["annotator_id"].n_unique() < 2:
        return "One person rated everything: there is nobody to agree with."
    return ""


def rater_columns(index: ItemIndex) -> list[str]:
    """What is known about raters and makes groups of them: columns of two to eight values that two or more know."""
    found = []
    for name in index.raters.columns:
        values = index.raters[name].drop_nulls()
        plain = not values.dtype.is_nested() and name not in _ABOUT
        if plain and 2 <= values.n_unique() <= _MOST_GROUPS and len(values) > values.n_unique():
            found.append(name)
    return found


def with_rater_column(index: ItemIndex, ratings: pl.DataFrame, column: str) -> pl.DataFrame:
    """The ratings with what is known about their raters, null where nothing is."""
    known = index.raters.select("annotator_id", pl.col(column).cast(pl.String)).unique("annotator_id", keep="first")
    names = ratings["annotator_id"].dtype
    own = known.filter(pl.col("annotator_id").is_in(enum_names(ratings["annotator_id"])))
    return ratings.join(own.cast({"annotator_id": names}), on="annotator_id", how="left", maintain_order="left")


def busiest_raters(ratings: pl.DataFrame) -> pl.DataFrame:
    """Raters by the number of their ratings, most first, then by name: ``annotator_id, n``."""
    return _by_number(ratings["annotator_id"])


def closest_raters(ratings: pl.DataFrame, rater: str) -> pl.DataFrame:
    """A rater and then the others by how many of their items they rated too: ``annotator_id, n``."""
    own = ratings.filter(pl.col("annotator_id") == rater)
    beside = _by_number(ratings.filter(pl.col("item_id").is_in(own["item_id"].implode()))["annotator_id"])
    return beside.sort(pl.col("annotator_id") != rater, maintain_order=True)


def _by_number(names: pl.Series) -> pl.DataFrame:
    counted = names.value_counts(name="n").cast({"annotator_id": pl.String, "n": pl.Int64})
    return counted.sort("n", "annotator_id", descending=[True, False])


def item_votes(index: ItemIndex, rows: list[int]) -> dict[int, list[tuple[str, int]]]:
    """How many people gave each value to each of a few items, in the order of the values."""
    long = index.ratings().long
    own = long.filter(pl.col("row").is_in(rows))
    counted = own.group_by("row", "value").len("n").sort("row", "value")
    found: dict[int, list[tuple[str, int]]] = {row: [] for row in rows}
    for row, value, n in counted.iter_rows():
        found[row].append((str(value), n))
    return found
