"""Any long or wide table of judgements, its columns mapped by options or a small YAML file (see ``mapping``).

Layout long, one row per rating, here an invented line of it::

    statement_id,split,statement,annotator,label,reason
    s07,test,"I read my sister's diary, she left it open.",ann_2,unethical,"An open book is not an invitation."

Layout wide, one row per item and columns per rater::

    id,statement,label_ann_1,reason_ann_1,label_ann_2,reason_ann_2
    s07,I read my sister's diary.,1,It is hers.,0,She left it open.

Warts that are met: published values such as 0 and 1 (``labels`` names them); no id (the row number in its split is the
key); cells without a label (dropped, counted, told apart by whether a reason stood there); an annotator who is not
named (``NAME:unknown``); numbers that JSON lines give as numbers and as texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import (
    Dropped,
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    items_frame,
    raw_file,
)
from dfar_toolkit.sources.mapping import ANNOTATOR, Mapping, source_path
from dfar_toolkit.sources.spellings import how_to_name
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform
from dfar_toolkit.tabular import quoted, read_table

INFO: Final = SourceInfo(
    name="table",
    title="Any table of judgements",
    licence="unknown",
    homepage="",
    citation="",
    layout="long (a row per rating) or wide (a row per item) CSV, TSV, JSONL, Parquet; columns by options or a mapping",
)
_STATEMENT, _ROW = "statement", "_row"


class _Ratings(NamedTuple):
    kept: pl.DataFrame
    dropped: list[Dropped]
    repairs: list[str]


def read(raw: Path, *, mapping: Mapping) -> SourceTables:
    """A table of judgements as our tables.

    Args:
        raw: The folder that the mapping's files lie in, or the one file itself.
        mapping: What the columns mean.

    Returns:
        Items ``NAME:SPLIT:KEY``, one annotation per value. For an ordinal question ``value_num`` is the value where
        all options are numbers, else its place among the options from 1.

    Raises:
        SourceError: A file or column is missing, item columns differ between rows of one id, or a value is unknown.
    """
    folder, files = _files(raw, mapping)
    parts = [_read_file(folder, name, split, mapping) for split, name in files.items()]
    rows = pl.concat((part for part, _, _ in parts), how="vertical")
    read_files = [file for _, file, _ in parts]
    rows, dropped = _with_statement(_with_ids(rows, mapping))
    _check_same(rows, mapping)
    ratings = _ratings(rows, mapping)
    ratings.repairs.extend(note for _, _, notes in parts for note in notes)
    ratings.repairs.extend(_without_key(rows, mapping))
    annotations = _annotations(ratings.kept, mapping)
    raters = annotations.select("annotator_id").unique(maintain_order=True)
    if mapping.raters_file is not None:
        path = source_path(folder, mapping.raters_file)
        raters, facts, lost, said = _with_facts(raters, path, mapping)
        read_files.append(facts)
        ratings.dropped.extend(lost)
        ratings.repairs.extend(said)
    return SourceTables(
        info=_info(mapping),
        questions=conform(_question(mapping), "questions", where=mapping.name),
        items=_items(rows, mapping),
        annotations=conform(annotations, "annotations", where=mapping.name),
        raters=conform(raters.sort("annotator_id"), "raters", where=mapping.name),
        files=tuple(read_files),
        dropped=(*dropped, *ratings.dropped),
        repairs=tuple(ratings.repairs),
    )


def _files(raw: Path, mapping: Mapping) -> tuple[Path, dict[str, str]]:
    """The folder, and the file of each split in it."""
    if raw.is_dir():
        if not mapping.files:
            raise SourceError(f"{raw}: this is a folder; wanted the file, or a mapping that names its files.")
        for name in mapping.files.values():
            source_path(raw, name)
        return raw, mapping.files
    if mapping.files and list(mapping.files.values()) != [raw.name]:
        raise SourceError(f"{raw}: wanted the folder that holds {quoted(mapping.files.values())}.")
    return raw.parent, mapping.files or {"": raw.name}


def _columns(mapping: Mapping, found: list[str]) -> dict[str, str]:
    """Our name of each mapped column -> its name in the file; a wide table's label and reason columns apart."""
    named = {
        "key": mapping.id,
        _STATEMENT: mapping.statement,
        "split": mapping.split,
        "stem": mapping.stem,
        "context_key": mapping.context_key,
        "annotator": mapping.annotator,
        "label": mapping.label,
        "reason": mapping.reason,
        "at": mapping.at,
        **{f"context:{name}": name for name in mapping.context},
    }
    for number, (label, reason) in enumerate(_wide_columns(mapping, found).values()):
        named |= {f"label:{number}": label, f"reason:{number}": reason or None}
    return {ours: theirs for ours, theirs in named.items() if theirs is not None}


def _wide_columns(mapping: Mapping, found: list[str]) -> dict[str, tuple[str, str]]:
    """Annotator -> columns of label and reason ("" where there is none)."""
    if mapping.wide_label is None:
        return mapping.wide_raters
    before, after = mapping.wide_label.split(ANNOTATOR)
    pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.DOTALL)
    taken = {mapping.id, mapping.statement, *mapping.context, mapping.split, mapping.stem, mapping.context_key}
    free = [name for name in found if name not in taken]
    people = {match[1]: name for name in free if (match := pattern.fullmatch(name)) is not None}
    reasons = {who: (mapping.wide_reason or "").replace(ANNOTATOR, who) for who in people}
    people = {who: label for who, label in people.items() if label not in reasons.values()}
    return {who: (label, reasons[who] if reasons[who] in found else "") for who, label in people.items()}


def _read_file(folder: Path, name: str, split: str, mapping: Mapping) -> tuple[pl.DataFrame, RawFile, list[str]]:
    """One file's rows as texts under our names; a wide file's rows once per rater."""
    path = source_path(folder, name)
    table = read_table(path, separator=mapping.separator, error=SourceError)
    wide = _wide_columns(mapping, table.columns)
    if mapping.layout == "wide" and not wide:
        raise SourceError(f"{path}: no column is like {quoted([mapping.wide_label])}; found {quoted(table.columns)}.")
    columns = _columns(mapping, table.columns)
    if any(theirs not in table.columns for theirs in columns.values()):
        read_table(path, separator=mapping.separator, columns=columns.values(), error=SourceError)
    rows = table.select(_as_text(table[theirs], ours, mapping) for ours, theirs in columns.items())
    given = pl.lit(split or mapping.fixed_split or "train") if mapping.split is None else pl.col("split")
    rows = rows.with_columns(given.alias("split"), pl.int_range(pl.len()).alias(_ROW), pl.lit(path.name).alias("file"))
    beside = [name for name in table.columns if name not in columns.values()]
    notes = [f"{path.name}: columns that are not mapped are left out: {quoted(beside)}"] if beside else []
    return (_stacked(rows, list(wide)) if wide else rows), raw_file(path, rows=table.height), notes


def _as_text(column: pl.Series, name: str, mapping: Mapping) -> pl.Series:
    """A column as text; lists stay apart only as the values of a set."""
    is_label = name == "label" or name.startswith("label:")
    if is_label and mapping.kind == "set" and isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).list.join(",").alias(name)
    if column.dtype.is_nested():
        raise SourceError(f"the column {quoted([column.name])} holds {column.dtype}; wanted one value per row.")
    try:
        return column.cast(pl.String).alias(name)
    except pl.exceptions.PolarsError as fault:
        raise SourceError(f"the column {quoted([column.name])} holds {column.dtype}, which is no text.") from fault


def _stacked(rows: pl.DataFrame, raters: list[str]) -> pl.DataFrame:
    """Wide to long: each row once per rater, in the order of rows, then raters."""
    shared = [name for name in rows.columns if not name.startswith(("label:", "reason:"))]
    parts = []
    for number, who in enumerate(raters):
        reason = pl.col(f"reason:{number}") if f"reason:{number}" in rows.columns else pl.lit(None, dtype=pl.String)
        parts.append(
            rows.select(*shared, annotator=pl.lit(who), label=f"label:{number}", reason=reason, _rater=pl.lit(number))
        )
    return pl.concat(parts).sort(_ROW, "_rater", maintain_order=True).drop("_rater")


def _with_ids(rows: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Rows with ``item_id``; refused where a split or a key is empty, or a wide table has a key twice."""
    named = [name for name in ("split", "key") if name in rows.columns]
    rows = rows.with_columns(pl.col(named).str.strip_chars())  # as labels and annotators are: "7 " is item "7"
    for name in named:
        empty = rows.filter(_is_empty(name))
        if empty.height:
            places = empty.select(pl.format("{} row {}", "file", pl.col(_ROW) + 1)).to_series()
            at = quoted(places.unique(maintain_order=True), most=3)
            column = mapping.split if name == "split" else mapping.id
            raise SourceError(f"{mapping.name}: the column {quoted([column])} is empty in {at} (after the header).")
    if "key" not in rows.columns:
        number = pl.struct("file", _ROW).rank("dense").over("split") - 1
        rows = rows.with_columns(number.cast(pl.String).str.zfill(5).alias("key"))
    rows = rows.with_columns(pl.format("{}:{}:{}", pl.lit(mapping.name), "split", "key").alias("item_id"))
    if mapping.layout == "wide":
        twice = rows.group_by("item_id", maintain_order=True).agg(n=pl.struct("file", _ROW).n_unique())
        twice = twice.filter(pl.col("n") > 1)
        if twice.height:
            ids = quoted(twice["item_id"], most=3)
            raise SourceError(
                f"{mapping.name}: wanted one row per id in a wide table; {twice.height} stand twice ({ids})."
            )
    return rows


def _without_key(rows: pl.DataFrame, mapping: Mapping) -> list[str]:
    """That every row became an item, where several people seem to have judged the same text in rows of their own."""
    if mapping.layout != "long" or mapping.id is not None or mapping.annotator is None:
        return []
    per_text = rows.group_by(_STATEMENT).agg(n=pl.len(), people=pl.col("annotator").n_unique())
    shared = per_text.filter((pl.col("n") > 1) & (pl.col("people") > 1))
    if not shared.height:
        return []
    return [
        f"no column id: each row is an item of its own, though {shared.height} statements stand in rows of several "
        "annotators; if these judged the same item, give the column with its name: --column id=COLUMN"
    ]


def _is_empty(name: str) -> pl.Expr:
    return pl.col(name).fill_null("").str.strip_chars() == ""


def _with_statement(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Dropped]]:
    lost = rows.filter(_is_empty(_STATEMENT)).unique(["split", "file", _ROW], maintain_order=True)
    dropped = []
    for name in lost["file"].unique(maintain_order=True):
        here = lost.filter(pl.col("file") == name)
        dropped.append(Dropped(name, "the statement is empty", here.height, examples(here["item_id"])))
    return rows.filter(~_is_empty(_STATEMENT)), dropped


def _check_same(rows: pl.DataFrame, mapping: Mapping) -> None:
    """Refuse ids whose rows differ in what belongs to the item."""
    of_item = [_STATEMENT, *(name for name in rows.columns if name in ("stem", "context_key") or ":" in name)]
    counts = rows.group_by("item_id", maintain_order=True).agg(pl.col(of_item).n_unique())
    theirs = _columns(mapping, [])
    for name in of_item:
        torn = counts.filter(pl.col(name) > 1)
        if torn.height:
            example = torn["item_id"][0]
            texts = rows.filter(pl.col("item_id") == example)[name].unique(maintain_order=True)
            raise SourceError(
                f"{mapping.name}: wanted one {quoted([theirs[name]])} per id; {torn.height} ids have several, e.g. "
                f"{example}: {quoted((text[:60] if text else '' for text in texts), most=2)}."
            )


def _ratings(rows: pl.DataFrame, mapping: Mapping) -> _Ratings:
    """One row per value of a rating, named by option, with the rating's id; the rest counted."""
    absent = [name for name in ("annotator", "reason", "at") if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    dropped, repairs = [], []
    unit = "ratings" if mapping.layout == "wide" else "rows"  # a row of a wide table holds the ratings of several
    for why, has_reason in (("the label is empty, a reason is given", True), ("label and reason are empty", False)):
        empty = rows.filter(_is_empty("label") & (_is_empty("reason") != has_reason))
        for file in empty["file"].unique(maintain_order=True):
            here = empty.filter(pl.col("file") == file)
            dropped.append(Dropped(file, why, here.height, examples(here["item_id"]), unit))
    rows = rows.filter(~_is_empty("label"))
    nameless = rows.filter(_is_empty("annotator")).height
    if nameless and mapping.annotator is not None:
        repairs.append(f"{nameless} ratings name no annotator: they are {mapping.name}:{UNKNOWN_ANNOTATOR}")
    k = pl.int_range(1, pl.len() + 1).over("item_id")
    rows = rows.with_columns(pl.format("{}#{}", "item_id", k).alias("rating_id"))
    values = pl.col("label").str.strip_chars()
    if mapping.kind == "set":
        none = rows.filter(values.str.replace_all(",", "").str.strip_chars() == "")
        for file in none["file"].unique(maintain_order=True):
            here = none.filter(pl.col("file") == file)
            why = "the label has commas and no value"
            dropped.append(Dropped(file, why, here.height, examples(here["item_id"]), unit))
        rows = rows.join(none.select("rating_id"), on="rating_id", how="anti", maintain_order="left")
        rows = rows.with_columns(values.str.split(",").alias("label")).explode("label").filter(~_is_empty("label"))
        rows = rows.with_columns(values)
        several = rows.height
        rows = rows.unique(["rating_id", "label"], keep="first", maintain_order=True)
        if several > rows.height:
            repairs.append(f"{several - rows.height} values stood twice in one rating: counted once")
    return _Ratings(_named(rows.with_columns(values), mapping), dropped, repairs)


def _named(rows: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Published values as option names and numbers; unknown ones refused with their counts."""
    if mapping.kind in ("interval", "ratio"):
        rows = rows.with_columns(value="label", value_num=pl.col("label").cast(pl.Float64, strict=False))
        unknown = rows.filter(pl.col("value_num").is_null() | ~pl.col("value_num").is_finite())
        wanted = "numbers"
    else:
        options = _options(mapping)
        named = {**{name: name for name in options}, **mapping.labels}
        value = pl.col("label").replace_strict(named, default=None, return_dtype=pl.String)
        rows = rows.with_columns(value=value).with_columns(value_num=_number(options, mapping))
        unknown = rows.filter(pl.col("value").is_null())
        wanted = (
            f"one of {quoted(named)}"
            if named
            else "options (give them in order: --column options=no,yes, or in the mapping)"
        )
    if unknown.height:
        counts = unknown["label"].value_counts(sort=True).sort("count", "label", descending=[True, False])
        found = ", ".join(f"{quoted([label])} ({count} x)" for label, count in counts.head(8).rows())
        more = f" and {counts.height - 8} more" if counts.height > 8 else ""
        mend = "" if mapping.kind in ("interval", "ratio") else how_to_name(counts["label"], _options(mapping))
        raise SourceError(f"{mapping.name}: the label: wanted {wanted}; found {found}{more}.{mend}")
    return rows


def _options(mapping: Mapping) -> list[str]:
    return list(mapping.options or dict.fromkeys(mapping.labels.values()))


def _number(options: list[str], mapping: Mapping) -> pl.Expr:
    if mapping.kind != "ordinal" or not options:
        return pl.lit(None, dtype=pl.Float64)
    numeric = all(re.fullmatch(r"[+-]?\d+(\.\d+)?", name) for name in options)
    numbers = {name: float(name) if numeric else float(place) for place, name in enumerate(options, start=1)}
    return pl.col("value").replace_strict(numbers, default=None, return_dtype=pl.Float64)


def _annotations(ratings: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    who = (
        pl.when(_is_empty("annotator")).then(pl.lit(UNKNOWN_ANNOTATOR)).otherwise(pl.col("annotator").str.strip_chars())
    )
    return ratings.select(
        "item_id",
        annotator_id=pl.format("{}:{}", pl.lit(mapping.name), who),
        question=pl.lit(mapping.question),
        rating_id="rating_id",
        value="value",
        value_num="value_num",
        reason=pl.when(~_is_empty("reason")).then("reason"),
        at=pl.when(~_is_empty("at")).then("at"),
    )


def _items(rows: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """One row per item in the order of the file; the context is what its columns hold, empty ones left out."""
    items = rows.unique("item_id", keep="first", maintain_order=True)
    cells = [pl.struct(field=pl.lit(name), role=pl.lit(""), text=pl.col(f"context:{name}")) for name in mapping.context]
    if cells:
        text = pl.element().struct.field("text").fill_null("").str.strip_chars()
        items = items.with_columns(context=pl.concat_list(cells).list.filter(text != ""))
        if mapping.context_key is None:
            joined = pl.col("context").list.eval(pl.element().struct.field("text")).list.join("\n")
            items = items.with_columns(context_key=joined)
    keys = [name for name in ("stem", "context_key") if name in items.columns]
    items = items.with_columns(pl.when(~_is_empty(name)).then(name).alias(name) for name in keys)
    return items_frame(items.with_columns(source=pl.lit(mapping.name)))


def _with_facts(
    raters: pl.DataFrame, path: Path, mapping: Mapping
) -> tuple[pl.DataFrame, RawFile, list[Dropped], list[str]]:
    """Raters with the other columns of the raters file; who rated nothing is counted, not kept."""
    table = read_table(path, columns=[mapping.raters_annotator], error=SourceError)
    facts = table.rename({mapping.raters_annotator: "annotator_id"}, strict=True)
    ids = pl.format("{}:{}", pl.lit(mapping.name), pl.col("annotator_id").cast(pl.String).str.strip_chars())
    facts = facts.with_columns(ids.alias("annotator_id"))
    twice = facts.filter(pl.col("annotator_id").is_duplicated())["annotator_id"].unique(maintain_order=True)
    if len(twice):
        raise SourceError(f"{path}: wanted one row per annotator; {quoted(twice, most=3)} stands twice.")
    idle = facts.join(raters, on="annotator_id", how="anti")
    bare = raters.join(facts, on="annotator_id", how="anti")
    lost = [Dropped(path.name, "no rating by this person in the files", idle.height, examples(idle["annotator_id"]))]
    said = f"{path.name}: says nothing about {bare.height} annotators ({quoted(bare['annotator_id'], most=3)})"
    joined = raters.join(facts, on="annotator_id", how="left", maintain_order="left")
    return joined, raw_file(path, rows=table.height), lost if idle.height else [], [said] if bare.height else []


def _question(mapping: Mapping) -> pl.DataFrame:
    options = pl.Series([_options(mapping)], dtype=pl.List(pl.String))
    row = {"question": [mapping.question], "kind": [mapping.kind], "options": options, "wording": [mapping.wording]}
    return pl.DataFrame(row)


def _info(mapping: Mapping) -> SourceInfo:
    named = [f"{raw} = {name}" for raw, name in mapping.labels.items() if raw != name]
    return SourceInfo(
        name=mapping.name,
        title=mapping.title or mapping.name,
        licence=mapping.licence,
        homepage=mapping.homepage,
        citation=mapping.citation,
        layout=f"{mapping.layout} table",
        languages=mapping.languages,
        notes=(f"Published values of {mapping.question}: {', '.join(named)}.",) if named else (),
    )
