"""Rows of another tool's file as our table outputs: matched with items, read as labels, probabilities and reasons.

The label of a row is, in this order:

1. the tool's own ``answer``: an option, a name that ``label_map`` carries to one, the item's own text of an option, or
   what :func:`parse_answers` reads from it;
2. where numbers of whole choices (``forced``, ``classifier``, or of no kind) are there: the most probable option, null
   where several are;
3. what :func:`parse_answers` reads from ``raw``;
4. the most probable option of other numbers (first tokens, samples, verbalised), where no text came.

A row with an ``error`` has no label. The file's own gold is compared with the items' labels and never scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.label_position import names_of, spelled
from dfar_toolkit.prompts.parsing import parse_answers, parsing_note
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.matching import Matched, in_splits, match_items
from dfar_toolkit.readers.option_numbers import option_probabilities
from dfar_toolkit.tables import HUMAN_RUN, conform
from dfar_toolkit.tabular import quoted

_NO_METHOD: Final = ("", "none")  # "none" is how lm-eval calls the absence of a filter
ONE_METHOD: Final = "the file has no filters or scorers to choose from: --method was not needed"
_TOKENS: Final = ("first_token", "samples", "verbalised")  # kinds of numbers that stand beside a text
_FEW: Final = 20  # so many different names can be labels, of so many characters; others are texts
_SHORT: Final = 60


class Converted(NamedTuple):
    """The table outputs of the matched rows, the rows that match no item, and what a person must know."""

    outputs: pl.DataFrame
    unmatched: pl.DataFrame
    notes: tuple[str, ...]


def to_outputs(
    foreign: Foreign,
    items: pl.DataFrame,
    questions: pl.DataFrame,
    *,
    label_map: Mapping[str, str] | None = None,
    split: str | Sequence[str] | None = None,
    by_position: bool = False,
    method: str | None = None,
    run_id: str | None = None,
) -> Converted:
    """The answers of another tool's file to the primary question, as outputs of our items.

    Args:
        foreign: The file's rows.
        items: The table items.
        questions: The table questions; the first is the primary one, whose options the labels are.
        label_map: From the file's names of labels or choices to options.
        split: Splits that the file is about; needed where keys are the last parts of item ids.
        by_position: Whether rows that no key and no text matches are matched by their position.
        method: The tool's filter or scorer to read, where the file has several.
        run_id: Name of the run, for rows that name none.

    Returns:
        The outputs in the order of the file, the rows that were not matched, and notes.

    Raises:
        TableError: Several methods and none chosen, no row that matches an item, choices or answers that are no
            options, numbers that are NaN or infinite, a run without a name, two answers to one question, a
            ``label_map`` to no option.

    Example:
        >>> from dfar_toolkit.readers.foreign import foreign_rows
        >>> items = pl.DataFrame({"item_id": ["x:test:0"], "split": ["test"], "statement": ["I lied."],
        ...                       "label": ["unethical"]})
        >>> questions = pl.DataFrame({"question": ["q"], "options": [["ethical", "unethical"]]})
        >>> rows = foreign_rows([{"texts": ["I lied."], "choices": [" ethical", " unethical"], "logprobs": [-3.0, -1.0],
        ...                       "probs_kind": "forced", "run_id": "m", "gold": "unethical"}])
        >>> found = to_outputs(Foreign("lm_eval", rows), items, questions).outputs.row(0, named=True)
        >>> found["label"], [round(p, 3) for p in found["label_probs"]], round(found["label_mass"], 3)
        ('unethical', [0.119, 0.881], 0.418)
    """
    question, options = str(questions["question"][0]), questions["options"][0].to_list()
    if not options:
        raise TableError(f"the question {quoted([question])} has no options; only answers with options are read.")
    rows = _of_method(foreign.rows, method)
    if not rows.height:
        raise TableError(f"this {foreign.format} file holds no outputs; was the run finished?")
    matched = match_items(rows, items, split=split, by_position=by_position and foreign.ordered)
    if by_position and not foreign.ordered and matched.unmatched.height:
        raise TableError(_unordered(matched))
    if not matched.rows.height:
        raise TableError(_nothing_matched(rows, items if split is None else in_splits(items, split), matched.notes))
    known = _named_runs(matched.rows, run_id).with_row_index("row")
    names = _Names(_spellings(options, label_map), _own_texts(known, items, options))
    named = _named_choices(known, names)
    answers = _optioned(known.select("row", "item_id", text="answer"), names)
    _check_choices(known, named, answers, options)
    numbers = option_probabilities(known, named, options)
    known = known.hstack(numbers.frame.drop("row")).with_columns(answered=answers["option"])
    known, said = _labelled(known, options, label_map)
    if "kind" in questions.columns and questions["kind"].cast(pl.String)[0] == "set":
        known, said = _of_a_set(known, said)
    _check_answers(known, options)
    gold = _gold_note(known, items, names, options, label_map)
    alone = [ONE_METHOD] if method is not None and rows["method"].null_count() == len(rows) else []
    notes = [*foreign.notes, *alone, *matched.notes, *said, *numbers.notes, *gold]
    outputs = _identified(known, question, options)
    return Converted(conform(outputs, "outputs", where=foreign.format), matched.unmatched, tuple(n for n in notes if n))


class _Names(NamedTuple):
    """What names an option: ``spellings`` anywhere; ``own`` (``item_id, text, option``) for single items."""

    spellings: dict[str, str]
    own: pl.DataFrame


def _of_method(rows: pl.DataFrame, method: str | None) -> pl.DataFrame:
    found = rows["method"].drop_nulls().unique().sort().to_list()
    if method is None and len(found) > 1:
        raise TableError(
            f"this file holds the answers of {len(found)} filters or scorers ({quoted(found)}); choose one (--method)."
        )
    if method is None or not found:
        return rows
    if method not in found:
        raise TableError(f"this file has no filter or scorer {quoted([method])}; found {quoted(found)}.")
    return rows.filter(pl.col("method") == method)


def _unordered(matched: Matched) -> str:
    """Why rows in no order cannot be matched by position."""
    shown = matched.unmatched.row(0, named=True)
    name = quoted([shown["key"]]) if shown["key"] is not None else f"at place {shown['position']}"
    return (
        f"{matched.unmatched.height} rows match no item by key or text (e.g. {name}), and this file is in no order "
        "that positions could follow; give every request the item_id as its key, or leave out --by-position."
    )


def _nothing_matched(rows: pl.DataFrame, items: pl.DataFrame, notes: Sequence[str]) -> str:
    key, texts = rows.select("key", "texts").row(0) if rows.height else (None, None)
    text = next((t for t in texts or [] if t.strip()), "")
    shown = [f"{name} {quoted([value[:80]])}" for name, value in (("key", key or ""), ("text", text)) if value]
    ids = f"such as {quoted(items['item_id'].head(1))}" if items.height else "(there are no items)"
    return (
        f"none of the {rows.height} rows matches an item: the first has {' and '.join(shown) or 'no key and no text'}, "
        f"the items have ids {ids}. A column item_id is surest; else give the split (--split) for keys that are the "
        "last part of an id, or match by position (--by-position). "
        f"({'; '.join(notes)})"
    )


def _named_runs(rows: pl.DataFrame, run_id: str | None) -> pl.DataFrame:
    if run_id is None and rows["run_id"].null_count():
        raise TableError(f"{rows['run_id'].null_count()} rows name no run or model; give the run's name (--run-id).")
    rows = rows.with_columns(pl.col("run_id").fill_null(run_id)) if run_id is not None else rows
    if (rows["run_id"] == HUMAN_RUN).any():
        raise TableError(f"the run name {quoted([HUMAN_RUN])} is kept for people's own reasons; rename the run.")
    return rows


def _spellings(options: Sequence[str], label_map: Mapping[str, str] | None) -> dict[str, str]:
    try:
        return names_of(options, label_map).options
    except ValueError as error:
        raise TableError(str(error).removeprefix("parse_answers: ")) from error


def _own_texts(rows: pl.DataFrame, items: pl.DataFrame, options: Sequence[str]) -> pl.DataFrame:
    """``item_id, text, option`` where items have option texts of their own; a text that stands twice is left out."""
    schema = {"item_id": pl.String, "text": pl.String, "option": pl.String}
    if "option_texts" not in items.columns or items["option_texts"].null_count() == items.height:
        return pl.DataFrame(schema=schema)
    of_rows = items.filter(pl.col("option_texts").list.len() == len(options))
    of_rows = of_rows.join(rows.select("item_id").unique(), on="item_id", how="semi")
    own = of_rows.select("item_id", text="option_texts", option=pl.lit(list(options), dtype=pl.List(pl.String)))
    own = own.explode("text", "option").with_columns(pl.col("text").str.strip_chars())
    return own.filter(~pl.struct("item_id", "text").is_duplicated()).cast(schema)  # type: ignore[arg-type]


def _optioned(texts: pl.DataFrame, names: _Names) -> pl.DataFrame:
    """The rows with ``option``, that the text is a spelling of as a whole."""
    any_item = spelled(pl.col("text")).replace_strict(names.spellings, default=None, return_dtype=pl.String)
    table = texts.select(pl.col("text").drop_nulls().unique()).with_columns(any=any_item)
    found = texts.join(table, on="text", how="left", maintain_order="left")
    if names.own.height:
        found = found.with_columns(stripped=pl.col("text").str.strip_chars()).join(
            names.own, left_on=["item_id", "stripped"], right_on=["item_id", "text"], how="left", maintain_order="left"
        )
        return found.with_columns(option=pl.coalesce("option", "any"))
    return found.with_columns(option=pl.col("any"))


def _named_choices(rows: pl.DataFrame, names: _Names) -> pl.DataFrame:
    """``row, place, text, option`` of every choice."""
    places = pl.int_ranges(pl.col("choices").list.len())
    listed = rows.filter(pl.col("choices").list.len() > 0).select("row", "item_id", text="choices", place=places)
    return _optioned(listed.explode("text", "place"), names).select("row", "place", "text", "option")


def _check_choices(rows: pl.DataFrame, named: pl.DataFrame, answers: pl.DataFrame, options: Sequence[str]) -> None:
    """Refuse choices that are no options where they carry numbers or are the answer; other tokens are no choices."""
    numbered = pl.col("logprobs").is_not_null() | pl.col("probs").is_not_null()
    whole = rows.filter(numbered, ~(pl.col("probs_kind") == "first_token").fill_null(False)).select("row")
    open_choices = named.filter(pl.col("option").is_null())
    open_answers = answers.filter(pl.col("option").is_null()).select("row", "text")
    strange = pl.concat(
        [
            open_choices.join(whole, on="row", how="semi").select("text"),
            open_choices.join(open_answers, on=["row", "text"], how="semi").select("text"),
        ]
    )["text"].drop_nulls()
    if len(strange):
        raise TableError(_unknown(strange, options, "choices"))


def _unknown(names: pl.Series, options: Sequence[str], what: str) -> str:
    counts = names.rename("name").value_counts().sort(["count", "name"], descending=[True, False])
    shown = [str(name)[:60] for name in counts["name"].head(5)]
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
    one = ",".join(f"{name.strip()}=OPTION" for name in shown)
    return (
        f"{what} must be one of the options {quoted(options)}; found {quoted(shown)}{more}. "
        f'Say which option each is: --map "{one}".'
    )


def _labelled(
    rows: pl.DataFrame, options: Sequence[str], label_map: Mapping[str, str] | None
) -> tuple[pl.DataFrame, list[str]]:
    """``label`` and ``reason`` by the order of this module's text, and what could not be read."""
    text = pl.coalesce(pl.when(pl.col("answered").is_null()).then("answer"), "raw")
    rows = rows.with_columns(text=text)
    parsed = parse_answers(rows["text"], options, label_map=label_map)
    rows = rows.hstack(parsed.rename({"label": "read", "reason": "told"}))
    beside = pl.col("probs_kind").is_in(_TOKENS).fill_null(False)
    silent = pl.col("answer").is_null() & pl.col("raw").is_null()
    whole = pl.col("answer").is_null() & ~beside & pl.col("top").is_not_null()
    label = (
        pl.when(pl.col("error").is_not_null())
        .then(None)
        .when(pl.col("answered").is_not_null())
        .then("answered")
        .when(whole | silent)
        .then("top")
        .otherwise("read")
    )
    rows = rows.with_columns(label=label)
    kept = pl.coalesce("reason", pl.when(pl.col("read") == pl.col("label")).then("told"))
    fine = pl.col("error").is_null()
    rows = rows.with_columns(
        pl.when(fine).then(kept).alias("reason"),
        pl.when(fine).then(pl.col("label_probs", "label_mass")),
        parsed=fine & pl.col("answered").is_null() & ~whole & ~silent,
        ranked=whole | silent,
    )
    return rows, _label_notes(rows)


def _label_notes(rows: pl.DataFrame) -> list[str]:
    tied = rows.filter("ranked", pl.col("label").is_null(), pl.col("label_probs").is_not_null()).height
    failed = len(rows) - rows["error"].null_count()
    return [
        parsing_note(rows.filter(pl.col("parsed"))["how"]),
        f"rows without a label because several options are equally probable: {tied}" if tied else "",
        f"rows without an answer (errors): {failed}" if failed else "",
    ]


def _of_a_set(rows: pl.DataFrame, said: list[str]) -> tuple[pl.DataFrame, list[str]]:
    """Without the shares of one whole, since of a set several options may hold at once."""
    given = len(rows) - rows["label_probs"].null_count()
    note = f"probabilities left out, since several options may hold at once (give label_probs in our own file): {given}"
    return rows.with_columns(label_probs=None, label_mass=None), [*said, *([note] if given else [])]


def _check_answers(rows: pl.DataFrame, options: Sequence[str]) -> None:
    """Refuse a file of which no answer is an option: its labels have other names, and --map is wanted."""
    given = rows.filter(pl.col("answer").is_not_null(), pl.col("error").is_null())
    names = given["answer"].n_unique() <= _FEW and (given["answer"].str.len_chars() <= _SHORT).all()
    if given.height and names and given["label"].null_count() == given.height:
        raise TableError(_unknown(given["answer"], options, "answers"))


def _gold_note(
    rows: pl.DataFrame,
    items: pl.DataFrame,
    names: _Names,
    options: Sequence[str],
    label_map: Mapping[str, str] | None,
) -> list[str]:
    """How often the file's gold is another label than the items'."""
    given = rows.select("row", "item_id", text="gold").drop_nulls()
    if not given.height or "label" not in items.columns:
        return []
    gold = _optioned(given, names)
    texts = gold.filter(pl.col("option").is_null())["text"].unique()  # "unethical. Because ...", as in training files
    read_as = parse_answers(texts, options, label_map=label_map)["label"]
    texts_read = pl.DataFrame({"text": texts, "read": read_as})
    gold = gold.join(texts_read, on="text", how="left", maintain_order="left")
    gold = gold.with_columns(option=pl.coalesce("option", "read"))
    both = gold.join(items.select("item_id", "label"), on="item_id", how="left").drop_nulls("label")
    read = both.drop_nulls("option")
    other = read.filter(pl.col("option") != pl.col("label"))
    notes = []
    if other.height:
        first = other.row(0, named=True)
        notes.append(
            f"gold of the file differs from the items' on {other.height} of {read.height} matched rows (e.g. item "
            f"{first['item_id']}: file {quoted([first['option']])}, items {quoted([first['label']])})"
        )
    lost = both.height - read.height
    if lost:
        shown = quoted(t[:40] for t in both.filter(pl.col("option").is_null())["text"].unique().sort().head(3))
        notes.append(f"gold of the file that is no option and was not compared: {lost} rows (e.g. {shown})")
    return notes


def _identified(rows: pl.DataFrame, question: str, options: Sequence[str]) -> pl.DataFrame:
    """The columns of outputs, with ids as our own files give them; two answers to one question are refused."""
    method = pl.when(~pl.col("method").is_in(_NO_METHOD)).then("method").otherwise(pl.lit("")).fill_null("")
    key = ["run_id", "item_id", "sample", "method"]
    rows = rows.with_columns(
        method=method,
        options=pl.lit(list(options), dtype=pl.List(pl.String)),
        probs_kind=pl.when(pl.col("label_probs").is_not_null()).then("probs_kind"),
        question=pl.lit(question),
    )
    twice = rows.filter(pl.struct(key).is_duplicated())
    if twice.height:
        row = twice.row(0, named=True)
        places = twice.join(twice.select(key).head(1), on=key, how="semi")["position"].unique(maintain_order=True)
        others = twice.select(key).n_unique() - 1
        more = f" ({others} more such item{'s' if others > 1 else ''})" if others else ""
        raise TableError(
            f"two answers for item {row['item_id']} (run {row['run_id']}, sample {row['sample']}), at the positions "
            f"{', '.join(map(str, places.head(5)))}{more}; keep one of them, or tell the samples apart."
        )
    ident = pl.concat_str(["run_id", "item_id", "question", pl.col("sample").cast(pl.String)], separator="/")
    suffix = pl.when(pl.col("method") == "").then(pl.lit("")).otherwise(pl.lit("/method=") + pl.col("method"))
    columns = ["run_id", "item_id", "question", "sample", "method", "label", "label_probs", "label_mass", "probs_kind"]
    return rows.select(*columns, "temperature", "reason", "raw", "error", "options", output_id=ident + suffix)
