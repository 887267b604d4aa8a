"""Which item each row of another tool's file is about: by key, then by exact text, by position only if asked.

1. **key**: the row's key, or a text of its record, is an ``item_id``.
2. **spelt_key**: the key is an ``item_id`` but for what stands between its parts ("dfar-test-17", "dfar:test:00017").
3. **own_key**: the row's key is the last part of an ``item_id`` (after the last colon; whole numbers as numbers, so
   "17" is "00017"). Only where ``split`` is given.
4. **text**: one of the record's whole texts is the statement of exactly one item, up to white space at the ends. Of
   several items with that statement the one whose contexts are all texts of the record too; else the row is ambiguous.
5. **position**: only with ``by_position``, for what is left: the n-th position is the n-th item. There must be as many
   positions as items, and no row matched otherwise may contradict it.

The ways 2 and 3 are taken only if all items can be told apart by them, and for no row at all if the text of one row is
the statement of other items: then the tool counts in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular import quoted

WAYS: Final = ("key", "spelt_key", "own_key", "text", "position")
_SHOWN: Final = 80  # characters of a text in the list of unmatched rows


class Matched(NamedTuple):
    """Rows with their items.

    ``rows`` are the matched rows with ``item_id`` and ``matched_by`` (one of ``WAYS``) behind their columns; ``by``
    counts rows per way, and ``ambiguous`` and ``unmatched`` ones; ``unmatched`` has ``position, key, text, why`` of
    those two.
    """

    rows: pl.DataFrame
    by: dict[str, int]
    unmatched: pl.DataFrame
    notes: tuple[str, ...]


def match_items(
    rows: pl.DataFrame, items: pl.DataFrame, *, split: str | Sequence[str] | None = None, by_position: bool = False
) -> Matched:
    """Match rows of another tool with items, as this module's text says.

    Args:
        rows: Rows in ``FOREIGN_SCHEMA``.
        items: The table items.
        split: Splits that the file is about; None means any.
        by_position: Whether rows that no key and no text matches are matched by their position.

    Returns:
        The matched rows in their order, and what was not matched.

    Raises:
        TableError: A split that the items do not have; positions that cannot be those of the items.

    Example:
        >>> from dfar_toolkit.readers.foreign import foreign_rows
        >>> items = pl.DataFrame({"item_id": ["x:test:0", "x:test:1"], "split": ["test"] * 2, "statement": ["a", "b"]})
        >>> found = match_items(foreign_rows([{"texts": ["b ", "z"]}, {"key": "x:test:0"}]), items)
        >>> found.rows["item_id"].to_list(), found.by["text"]
        (['x:test:1', 'x:test:0'], 1)
    """
    scope = items if split is None else in_splits(items, split)
    numbered = rows.with_row_index("row")
    texts = _texts(numbered)
    by_text = _candidates(texts, scope.select("item_id", text=_stripped("statement")))
    single = _single(_in_context(by_text, texts, scope))
    keyed = _by_item_id(numbered, texts, scope)
    rest = numbered.join(keyed, on="row", how="anti")
    spelt, spelt_note = _by_part(rest, by_text, scope, _respelt, "spellings of the item ids")
    own, own_note = _by_part(rest, by_text, scope, _last_part, "the last parts of the item ids")
    if split is None:
        own, own_note = _nobody(), ""
    found = _first_way(numbered.select("row"), {"key": keyed, "spelt_key": spelt, "own_key": own, "text": single})
    gap_note = ""
    if by_position:
        found = _by_position(numbered, found, scope, split)
        gap_note = _gaps(numbered["position"].filter(found["matched_by"] == "position"), numbered["position"])
    return _matched(numbered, found, by_text["row"].unique(), [spelt_note, own_note, gap_note])


def in_splits(items: pl.DataFrame, split: str | Sequence[str]) -> pl.DataFrame:
    """The items of these splits.

    Raises:
        TableError: The items have no such split.
    """
    wanted = [split] if isinstance(split, str) else list(split)
    known = items["split"].unique().sort().to_list()
    absent = [name for name in wanted if name not in known]
    if absent:
        raise TableError(f"the items have no split {quoted(absent)}; found {quoted(known)}.")
    return items.filter(pl.col("split").is_in(wanted))


def _stripped(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars()


def _nobody() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.get_index_type(), "item_id": pl.String})


def _texts(numbered: pl.DataFrame) -> pl.DataFrame:
    """One row per row and text that is not blank."""
    listed = numbered.select("row", text="texts").explode("text").with_columns(_stripped("text"))
    return listed.filter(pl.col("text") != "").unique(maintain_order=True)


def _candidates(texts: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """``row, item_id`` of every item that a text of the row names."""
    named = named.filter(pl.col("text") != "")
    return texts.join(named, on="text", how="inner").select("row", "item_id").unique(maintain_order=True)


def _single(candidates: pl.DataFrame) -> pl.DataFrame:
    """The rows with one candidate."""
    return candidates.filter(pl.len().over("row") == 1)


def _by_item_id(numbered: pl.DataFrame, texts: pl.DataFrame, scope: pl.DataFrame) -> pl.DataFrame:
    """Rows whose key is an item id, and those of which one text alone is."""
    ids = scope.select("item_id", text="item_id")
    by_key = _candidates(numbered.select("row", text=_stripped("key")).drop_nulls(), ids)
    by_field = _single(_candidates(texts, ids)).join(by_key, on="row", how="anti")
    return pl.concat([by_key, by_field])


def _by_part(
    rows: pl.DataFrame, by_text: pl.DataFrame, scope: pl.DataFrame, part: Callable[[str], pl.Expr], said: str
) -> tuple[pl.DataFrame, str]:
    """Rows whose key is this part of an item id, and how these keys were taken, or why they were not."""
    own = scope.select("item_id", text=part("item_id"))
    found = _candidates(rows.select("row", text=part("key")).drop_nulls(), own)
    if not found.height:
        return found, ""
    if own["text"].is_duplicated().any():
        return _nobody(), f"keys were not taken for {said}, which are not unique"
    known = found.join(by_text.select("row").unique(), on="row", how="semi")
    if not known.height and _from_one(rows.select(text=part("key"))["text"], own["text"]):
        return (
            _nobody(),
            f"keys were not taken for {said}: they count from 1 and these from 0, and no text bears them out",
        )
    other = known.join(by_text, on=["row", "item_id"], how="anti")
    if not other.height:
        return found, f"keys were taken for {said}"
    first = other.join(rows, on="row").row(0, named=True)
    return _nobody(), (
        f"keys were not taken for {said}: in {other.height} of {known.height} rows with a known text it is not the "
        f"statement of the item that the key names (e.g. key {quoted([first['key']])}, item "
        f"{quoted([first['item_id']])})"
    )


def _from_one(keys: pl.Series, parts: pl.Series) -> bool:
    """Whether the keys are the numbers 1 to n where the parts are 0 to n - 1: each would name the next item."""
    given, own = (names.cast(pl.Int64, strict=False) for names in (keys, parts))
    if given.null_count() or own.null_count():
        return False
    return bool(own.min() == 0 and given.min() == 1 and given.max() == len(parts) and own.max() == len(parts) - 1)


def _last_part(name: str) -> pl.Expr:
    """What follows the last colon; a whole number without zeros in front."""
    return _stripped(name).str.replace(r"^.*:", "").str.replace(r"^0+([0-9]+)$", "${1}")


def _respelt(name: str) -> pl.Expr:
    """The whole name with "-" for all that is no letter or digit, and no zeros in front of its numbers."""
    parted = _stripped(name).str.replace_all(r"[^\p{L}\p{M}\p{N}]+", "-")
    return parted.str.replace_all(r"(^|-)0+([0-9])", "${1}${2}")


def _in_context(candidates: pl.DataFrame, texts: pl.DataFrame, scope: pl.DataFrame) -> pl.DataFrame:
    """Candidates of rows that have several: if one alone has contexts that are all texts of the row, that one."""
    several = candidates.filter(pl.len().over("row") > 1)
    if not several.height or "context" not in scope.columns or not isinstance(scope["context"].dtype, pl.List):
        return candidates
    contexts = scope.select("item_id", pl.col("context")).explode("context").drop_nulls()
    if not contexts.height:
        return candidates
    needed = contexts.select("item_id", text=pl.col("context").struct.field("text").str.strip_chars())
    needed = needed.filter(pl.col("text") != "").unique()
    wanted = several.join(needed, on="item_id", how="inner")
    lost = wanted.join(texts, on=["row", "text"], how="anti").select("row", "item_id").unique()
    whole = wanted.select("row", "item_id").unique().join(lost, on=["row", "item_id"], how="anti")
    chosen = _single(whole)
    return pl.concat([candidates.join(chosen, on="row", how="anti"), chosen])


def _first_way(rows: pl.DataFrame, ways: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """``row, item_id, matched_by`` by the first way that knows the row."""
    found = rows.with_columns(item_id=pl.lit(None, dtype=pl.String), matched_by=pl.lit(None, dtype=pl.String))
    for way, known in ways.items():
        joined = found.join(known.rename({"item_id": "new"}), on="row", how="left", maintain_order="left")
        fresh = pl.col("item_id").is_null() & pl.col("new").is_not_null()
        found = joined.select(
            "row",
            pl.when(fresh).then(pl.lit(way)).otherwise("matched_by").alias("matched_by"),
            pl.coalesce("item_id", "new").alias("item_id"),
        )
    return found


def _by_position(
    numbered: pl.DataFrame, found: pl.DataFrame, scope: pl.DataFrame, split: str | Sequence[str] | None
) -> pl.DataFrame:
    """The rows that are left, by the place of their position among all positions."""
    places = numbered["position"].n_unique()
    if places != len(scope):
        where = f"the split {quoted([split] if isinstance(split, str) else split)}" if split is not None else "them"
        hint = "" if split is not None else " Give the split that the file is about."
        raise TableError(
            f"to match by position there must be as many positions as items; found {places} positions in the file "
            f"and {len(scope)} items in {where}.{hint}"
        )
    placed = numbered.select("row", place=pl.col("position").rank("dense").cast(pl.Int64) - 1)
    order = scope.select("item_id").with_row_index("place").cast({"place": pl.Int64})
    placed = placed.join(order, on="place", how="left", maintain_order="left").select("row", "item_id")
    _check_counters(numbered.join(found.filter(pl.col("item_id").is_null()), on="row", how="semi"))
    against = placed.join(found.drop_nulls("item_id").rename({"item_id": "known"}), on="row").filter(
        pl.col("item_id") != pl.col("known")
    )
    if against.height:
        row = against.join(numbered, on="row").row(0, named=True)
        raise TableError(
            f"the positions do not follow the items: {against.height} rows matched by key or text are at another "
            f"place, e.g. position {row['position']} is item {quoted([row['known']])}, not {quoted([row['item_id']])}; "
            "match without positions."
        )
    return _first_way(found.select("row"), {**_ways_of(found), "position": placed})


def _gaps(used: pl.Series, positions: pl.Series) -> str:
    """A note where the positions do not follow each other, so that their ranks were taken."""
    low, high = positions.min(), positions.max()
    if not len(used) or not isinstance(low, int) or not isinstance(high, int):
        return ""
    lost = high - low + 1 - positions.n_unique()
    if not lost:
        return ""
    return f"the positions leave out {lost} numbers between {low} and {high}: the n-th was taken for the n-th item"


def _check_counters(rows: pl.DataFrame) -> None:
    """Refuse positions of rows whose keys are numbers that count in another order."""
    counted = rows.select("position", "key", number=pl.col("key").str.strip_chars().cast(pl.Int64, strict=False))
    counted = counted.unique(["position", "number"], maintain_order=True).sort("position", maintain_order=True)
    if counted["number"].null_count() or counted["number"].is_sorted():
        return
    fallen = counted.filter(pl.col("number") < pl.col("number").shift()).row(0, named=True)
    raise TableError(
        f"the keys of these rows are numbers in another order than the rows (key {quoted([fallen['key']])} stands at "
        f"position {fallen['position']}), so matching by position would be a guess; sort the file, or give the split "
        "(--split) without --by-position."
    )


def _ways_of(found: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {way: found.filter(pl.col("matched_by") == way).select("row", "item_id") for way in WAYS}


def _matched(numbered: pl.DataFrame, found: pl.DataFrame, named: pl.Series, key_notes: list[str]) -> Matched:
    joined = numbered.join(found, on="row", how="left", maintain_order="left")
    lost = joined.filter(pl.col("item_id").is_null())
    shared = pl.col("row").is_in(named.implode())
    first = pl.col("texts").list.first().str.strip_chars()
    why = pl.when(shared).then(pl.lit("ambiguous: its text is the statement of several items"))
    unmatched = lost.select(
        "position",
        "key",
        text=pl.when(first.str.len_chars() > _SHOWN).then(first.str.head(_SHOWN - 1) + "…").otherwise(first),
        why=why.otherwise(pl.lit("no item has its key as item_id, or one of its texts as statement")),
    )
    rows = joined.filter(pl.col("item_id").is_not_null()).drop("row")
    rows = rows.select(pl.exclude("item_id", "matched_by"), "item_id", "matched_by")
    by = {way: int((rows["matched_by"] == way).sum()) for way in WAYS}
    by["ambiguous"] = int(unmatched["why"].str.starts_with("ambiguous").sum())
    by["unmatched"] = len(unmatched) - by["ambiguous"]
    said = ", ".join(f"{count} {_SAID[way]}" for way, count in by.items() if count)
    notes = [f"rows matched with items: {said}" if rows.height else f"no row matched an item: {said or 'no rows'}"]
    return Matched(rows, by, unmatched, (*notes, *filter(None, key_notes)))


_SAID: Final = {
    "key": "by key",
    "spelt_key": "by a spelling of the item id",
    "own_key": "by the last part of the item id",
    "text": "by text",
    "position": "by position",
    "ambiguous": "ambiguous (a text that several items share)",
    "unmatched": "not matched",
}
