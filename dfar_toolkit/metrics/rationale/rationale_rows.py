"""The rows of outputs that hold rationales, with their words; the ratings that hold people's evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.rationale.ragged_rows import Ints
from dfar_toolkit.metrics.rationale.span_marks import TextWords
from dfar_toolkit.spans import word_spans
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

RATIONALE: Final = "rationale"  # condition of rows that hold rationales
FULL: Final = "full"  # condition of answers, which in files of other tools hold rationales too
REPORTED: Final = "reported"  # what the method of these is called
STATEMENT: Final = "statement"

_SPANS: Final = pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64}))


class RationaleRows(NamedTuple):
    """Rows ``item_id, evidence, word_scores, method_number`` of rationales, and their words.

    ``methods`` (M,) and ``fields`` (F,) are the names behind the numbers; ``words`` has the rows as its texts.
    """

    frame: pl.DataFrame
    words: TextWords
    methods: tuple[str, ...]
    fields: tuple[str, ...]
    notes: list[str]


def check_one_run(outputs: pl.DataFrame) -> None:
    """Refuse outputs of several runs or questions.

    Raises:
        TableError: Columns are missing, there are several runs or questions, or no rows.
    """
    for name in ("run_id", "item_id", "question", "method", "condition"):
        if name not in outputs.columns:
            raise TableError(f'rationale: the table outputs needs the column "{name}"; bring it into shape first.')
    for name, what in (("run_id", "run"), ("question", "question")):
        found = outputs[name].unique().sort().to_list()
        if len(found) != 1:
            listed = ", ".join(str(one) for one in found) or "none"
            raise TableError(f"rationale: the outputs must be of one {what}, found {listed}; choose one.")


def human_rows(annotations: pl.DataFrame, question: str | None) -> pl.DataFrame:
    """One row per person who was asked to mark words of an item: ``item_id, person, evidence``.

    The spans of all ratings of a person are taken together; ratings by nobody known are people of their own.

    Args:
        annotations: The table annotations; ``foil`` where known.
        question: The question whose evidence counts; None: the questions without a foil (why this label rather than
            another), of which an item may then have one with evidence.

    Raises:
        TableError: No rating has evidence, or no question is named and an item has evidence to several.
    """
    if "evidence" not in annotations.columns:
        raise TableError('rationale: the table annotations has no column "evidence": people marked no words.')
    asked = annotations.filter(pl.col("evidence").is_not_null())
    if question is not None:
        own = asked.filter(pl.col("question") == question)
    else:
        own = asked.filter(pl.col("foil").is_null()) if "foil" in asked.columns else asked
    if not len(own):
        found, named = ", ".join(asked["question"].unique().sort()) or "no question", question or "any question"
        raise TableError(f"rationale: people marked no words to {named}; there are marks to {found}; name it.")
    several = own.group_by("item_id").agg(pl.col("question").unique().sort()).filter(pl.col("question").list.len() > 1)
    if len(several):
        item, questions = several.sort("item_id").row(0)
        raise TableError(f"rationale: {item} has marks to several questions ({', '.join(questions)}); name one.")
    nobody = pl.col("annotator_id").str.ends_with(f":{UNKNOWN_ANNOTATOR}") | (
        pl.col("annotator_id") == UNKNOWN_ANNOTATOR
    )
    person = pl.when(nobody).then("rating_id").otherwise("annotator_id").alias("person")
    spans = pl.col("evidence").list.explode(keep_nulls=False, empty_as_null=False)
    return _plain(own, "evidence").select("item_id", person, "evidence").group_by("item_id", "person").agg(spans)


def rationale_rows(outputs: pl.DataFrame, items: pl.DataFrame) -> RationaleRows:
    """The rows that hold a rationale of one of the items, in the order of their keys, with their words.

    Args:
        outputs: The table outputs, one run; ``words`` (lists of field, start, end) may stand beside it.
        items: The table items: those that people marked.

    Returns:
        The rows. Rationales of other items are counted in the notes.
    """
    holding = [pl.col(name).is_not_null() for name in ("evidence", "word_scores") if name in outputs.columns]
    found = outputs.filter(
        pl.col("condition").is_in([RATIONALE, FULL]) & pl.any_horizontal(pl.lit(value=False), *holding)
    )
    scores = pl.col("word_scores") if "word_scores" in found.columns else pl.lit(None)
    found = _plain(_plain(found, "evidence"), "words").with_columns(
        scores.cast(pl.List(pl.Float64)).alias("word_scores")
    )
    known = found.join(items.select("item_id"), on="item_id", how="semi")
    lost = len(found) - len(known)
    method = pl.when(pl.col("method") == "").then(pl.lit(REPORTED)).otherwise("method")
    order = [name for name in ("item_id", "method", "draw", "sample", "annotator_id") if name in known.columns]
    known = known.with_columns(method.alias("method")).sort(order, maintain_order=True)
    methods = tuple(found.select(method.alias("method"))["method"].unique().sort())
    number: dict[Any, int] = {name: k for k, name in enumerate(methods)}
    known = known.with_columns(
        pl.col("method").replace_strict(number, default=-1, return_dtype=pl.Int64).alias("method_number")
    )
    known = _with_words(known, items)
    fields = tuple(known["words"].explode().struct.field("field").drop_nulls().unique().sort())
    kept = known.select("item_id", "evidence", "word_scores", "method_number")
    notes = [f"{lost} rationales of items that nobody marked left out"] if lost else []
    return RationaleRows(kept, _flat(known["words"], fields), methods, fields, notes)


def of_split(items: pl.DataFrame, outputs: pl.DataFrame) -> pl.Expr:
    """The items of the splits that occur among the outputs."""
    if "split" not in items.columns:
        return pl.lit(value=True)
    named = items.join(outputs.select("item_id").unique(), on="item_id", how="semi")["split"].unique()
    return pl.col("split").is_in(named.to_list())


def _with_words(rows: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The rows with ``words`` everywhere: those given, else the words of the item's texts.

    These are the words of the statement alone where there are as many scores as these, else all.
    """
    if not rows["words"].null_count():
        return rows
    flat = _item_words(items.join(rows.filter(pl.col("words").is_null()), on="item_id", how="semi"))
    word = pl.struct("field", "start", "end")
    whole = flat.group_by("item_id", maintain_order=True).agg(word.alias("whole"))
    alone = flat.filter(pl.col("field") == STATEMENT).group_by("item_id", maintain_order=True).agg(word.alias("alone"))
    joined = rows.join(whole, on="item_id", how="left", maintain_order="left")
    joined = joined.join(alone, on="item_id", how="left", maintain_order="left")
    n = pl.col("word_scores").list.len()
    of_statement = ((n == pl.col("alone").list.len()) & (n != pl.col("whole").list.len())).fill_null(value=False)
    own = pl.when(of_statement).then("alone").otherwise("whole").fill_null(pl.lit([], dtype=_SPANS))
    return joined.with_columns(pl.coalesce("words", own).alias("words")).drop("whole", "alone")


def _item_words(items: pl.DataFrame) -> pl.DataFrame:
    """``item_id, field, start, end`` of the words of contexts and statement, in this order."""
    names: list[str] = []
    fields: list[str] = []
    places: list[tuple[int, int]] = []
    context = items["context"].to_list() if "context" in items.columns else [None] * len(items)
    for item, before, statement in zip(items["item_id"], context, items[STATEMENT], strict=True):
        for field, text in [*((one["field"], one["text"]) for one in before or []), (STATEMENT, statement)]:
            spans = word_spans(text)
            places += spans
            names += [item] * len(spans)
            fields += [field] * len(spans)
    ends = np.array(places, dtype=np.int64).reshape(-1, 2)
    columns = {"item_id": names, "field": fields, "start": ends[:, 0], "end": ends[:, 1]}
    return pl.DataFrame(columns, schema_overrides={"item_id": pl.String, "field": pl.String})


def _flat(words: pl.Series, fields: Sequence[str]) -> TextWords:
    sizes = words.list.len().to_numpy().astype(np.int64)
    flat = words.filter(words.list.len() > 0).explode().struct.unnest()
    number: dict[Any, int] = {name: k for k, name in enumerate(fields)}
    field = flat["field"].replace_strict(number, default=-1, return_dtype=pl.Int64)
    columns: list[Ints] = [column.to_numpy().astype(np.int64) for column in (field, flat["start"], flat["end"])]
    return TextWords(sizes, *columns)


def _plain(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The frame with a column of lists of spans (field, start, end alone); nulls stay null, an absent one is null."""
    if name not in frame.columns:
        return frame.with_columns(pl.lit(None, dtype=_SPANS).alias(name))
    kind = frame.schema[name]
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return frame.with_columns(pl.col(name).cast(_SPANS))
    one = pl.element().struct
    bare = pl.struct(one.field("field"), one.field("start").cast(pl.Int64), one.field("end").cast(pl.Int64))
    return frame.with_columns(pl.col(name).list.eval(bare).cast(_SPANS))
