"""Outputs joined with items: one row per run and evaluated item, with what became of the answer.

The denominator is the items of the splits that occur in the file (or the splits asked for). An item without an
output is missing, one whose output carries an error has failed, one whose text gave no label is unparsed: all three
stay in, with a null prediction, and are told apart in ``state``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.predicted import predicted_distributions, renamed_probabilities
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message
from dfar_toolkit.metrics.unknown_labels import unknown_labels_message

_ROUNDING = 1e-9  # probabilities that differ by less are equally probable
STATES = ("answered", "unparsed", "failed", "missing")


class Answers(NamedTuple):
    """Runs by evaluated items.

    ``frame`` has ``run_id, item_id, split, group, leak_kind, label`` (gold, null where people tied), the people's
    ``label_counts`` and ``label_probs`` (null where unknown), ``label_pred`` (null where unanswered), ``state``,
    ``below_top`` (another option than the label given is more probable; null where that is unknown),
    ``label_probs_pred`` in the order of ``options`` (null where no probabilities are known), ``label_mass`` and
    ``n_samples`` behind it, in the order of the runs and items. ``outputs`` are the output rows of the question that
    were looked at, every sample of them, with ``label_pred``, ``state`` and ``below_top``. ``items`` are the
    evaluated items; ``note`` says what was set aside or renamed.
    """

    frame: pl.DataFrame
    items: pl.DataFrame
    outputs: pl.DataFrame
    options: tuple[str, ...]
    note: str


def join_outputs(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
) -> Answers:
    """Put every run's answer beside the gold label of every evaluated item.

    Looked at are rows of condition ``full`` that predict no particular annotator; with several samples per item
    the one with the lowest number. What is set aside is counted in the note. A run that has ``label_probs`` and not
    one label is given the most probable option of each row (none where several share the highest).

    Args:
        outputs: The table outputs; several runs are kept apart.
        items: The table items.
        split: Splits to evaluate; None means those that occur in ``outputs``.
        question: The question answered; needed where the outputs hold several.
        options: Names of the labels in order; None means the gold labels of the items, sorted.
        label_map: Renames the outputs' labels before they are compared.
        targets: The table targets: gold is then its label for the question, not the item's own.

    Returns:
        The joined rows.

    Raises:
        TableError: No outputs, an item id that the items do not have, two outputs for one item, a label that is no
            option, a question or split that is not there.
    """
    if not len(outputs):
        raise TableError("score: outputs must have at least one row, found none; was the run finished?")
    question = _question(outputs, question)
    rows = _kept(outputs, outputs["question"] == question)
    plain = _kept(rows, (rows["condition"] == "full") & (rows["annotator_id"] == ""))
    if "method" in plain.columns and (plain["method"] == "").any():  # beside them may stand answers within a test
        plain = _kept(plain, plain["method"] == "")
    if not len(plain):
        conditions = ", ".join(rows["condition"].unique().sort())
        raise TableError(
            'score: no output has the condition "full" and an empty annotator_id; nothing to score. Conditions found: '
            f"{conditions}; give a run that answers the items."
        )
    places = _places(plain, items)
    golds = _golds(items, targets, question)
    names = tuple(options) if options is not None else tuple(golds["label"].drop_nulls().unique().sort())
    evaluated = _evaluated(golds, items["split"].gather(places)) if split is None else (
        evaluated_items(golds, plain, split=split)
    )  # fmt: skip
    plain = _labelled(renamed_probabilities(plain, names, label_map) if label_map else plain, names, label_map)
    first = _first_sample(plain, _run_and_item(plain, places, len(items)))
    predicted = predicted_distributions(plain, names, alone=len(first) == len(plain))
    if options is None and len(predicted):
        _check_order(evaluated, names)
    answers = first.select("run_id", "item_id", "label_pred", "state", "below_top")
    frame = _crossed(_beside(answers, predicted, ["run_id", "item_id"]), evaluated)
    notes = [_aside(len(rows) - len(plain), "of another condition or method, or for one annotator, set aside")]
    notes.append(_aside(len(plain) - len(first), "beside the lowest sample of each item set aside"))
    elsewhere = 0
    if len(evaluated) < len(items):
        elsewhere = len(plain.select("item_id").join(evaluated.select("item_id"), on="item_id", how="anti"))
    notes.append(_aside(elsewhere, "of other splits set aside"))
    if label_map:
        notes.append("labels renamed: " + ", ".join(f"{a} -> {b}" for a, b in label_map.items()))
    return Answers(frame, evaluated, plain, names, "; ".join(n for n in notes if n))


def evaluated_items(
    items: pl.DataFrame, outputs: pl.DataFrame, *, split: str | Sequence[str] | None = None
) -> pl.DataFrame:
    """Items of the splits asked for, else of the splits of which ``outputs`` holds at least one item.

    Args:
        items: The table items.
        outputs: Anything with ``item_id``.
        split: Names of splits, or None.

    Returns:
        The rows of ``items`` that are the denominator, in their order.

    Raises:
        TableError: A split asked for does not exist.
    """
    if split is None:
        present = items.select("item_id", "split").join(outputs.select("item_id"), on="item_id", how="semi")
        return _evaluated(items, present["split"])
    wanted = [split] if isinstance(split, str) else list(split)
    known = items["split"].unique().sort().to_list()
    absent = [s for s in wanted if s not in known]
    if absent:
        raise TableError(f'score: the items have no split "{absent[0]}"; found {", ".join(known)}.')
    return items.filter(pl.col("split").is_in(wanted))


def _evaluated(items: pl.DataFrame, present: pl.Series) -> pl.DataFrame:
    """The items of the splits that occur."""
    splits = present.unique()
    whole = splits.len() == items["split"].n_unique()
    return items if whole else items.filter(pl.col("split").is_in(splits.implode()))


def _question(outputs: pl.DataFrame, question: str | None) -> str:
    found = outputs["question"].unique().sort().to_list()
    if question is None and len(found) > 1:
        raise TableError(f"score: outputs answer {len(found)} questions ({', '.join(found)}); choose one (question=).")
    if question is not None and question not in found:
        raise TableError(f'score: no output answers the question "{question}"; found {", ".join(found)}.')
    return str(found[0]) if question is None else question


def _kept(rows: pl.DataFrame, keep: pl.Series) -> pl.DataFrame:
    """The rows marked; the frame itself, not a copy, where those are all."""
    return rows if keep.fill_null(False).all() else rows.filter(keep)


def _places(outputs: pl.DataFrame, items: pl.DataFrame) -> pl.Series:
    """The row of each output's item among the items; an item that is not among them is refused."""
    ids = outputs["item_id"]
    if _same(ids, items["item_id"]):
        return pl.int_range(len(ids), dtype=pl.UInt32, eager=True)
    numbered = items.select("item_id").with_row_index("place").unique("item_id", keep="first")
    places = ids.to_frame().join(numbered, on="item_id", how="left", maintain_order="left")["place"]
    if places.null_count():
        strange = unknown_items(ids, items)
        raise TableError(
            f"score: every output must be about one of the items; {unknown_items_message(strange, items)}. Are these "
            "the right items?"
        )
    return places


def _run_and_item(plain: pl.DataFrame, places: pl.Series, n_items: int) -> pl.Series:
    """One number for each run and item, of each row: compared many times faster than two names."""
    runs = plain["run_id"]
    if runs.n_unique() == 1:
        return places
    codes = runs.cast(pl.Categorical).to_physical().cast(pl.UInt64)
    numbers: pl.Series = codes * n_items + places
    return numbers


def _same(left: pl.Series, right: pl.Series) -> bool:
    """Whether two columns are equal row by row: then nothing has to be looked up."""
    return left.equals(right, null_equal=False)


def _golds(items: pl.DataFrame, targets: pl.DataFrame | None, question: str) -> pl.DataFrame:
    human = ["label", "label_counts", "label_probs"]
    kept = items.select("item_id", "split", "group", "leak_kind", *human)
    if targets is None:
        return kept
    absent = [pl.lit(None, dtype=items.schema[c]).alias(c) for c in human if c not in targets.columns]
    of_question = targets.filter(pl.col("question") == question).with_columns(absent).select("item_id", *human)
    if not len(of_question):
        known = ", ".join(targets["question"].unique().sort())
        raise TableError(f'score: targets hold nothing for the question "{question}"; found {known or "no rows"}.')
    return kept.drop(human).join(of_question, on="item_id", how="left", maintain_order="left")


def _first_sample(plain: pl.DataFrame, of: pl.Series) -> pl.DataFrame:
    """One row per run and item (``of``, one number for each); of several samples the one with the lowest number."""
    first = plain
    if plain["sample"].n_unique() > 1:
        lowest = pl.col("sample") == pl.col("sample").min().over("of")
        keep = plain.select("sample", of=of).select(lowest).to_series()
        first, of = plain.filter(keep), of.filter(keep)
    if of.n_unique() < len(of):
        row = first.filter(of.is_duplicated()).row(0, named=True)
        raise TableError(
            f"score: one answer per run and item is wanted; item {row['item_id']!r} of run {row['run_id']!r} occurs "
            f"twice at sample {row['sample']} (rows differ in method, operator, k or draw); keep one of them."
        )
    return first


def _labelled(rows: pl.DataFrame, names: tuple[str, ...], label_map: Mapping[str, str] | None) -> pl.DataFrame:
    """``label_pred``, ``state`` and ``below_top`` of each output, whose ``label_probs`` are about ``names``."""
    probs = pl.col("label_probs")
    ours = rows["options"].null_count() == len(rows)  # then every list is in one order, that of the names
    order = pl.col("options").fill_null(pl.lit(list(names), dtype=pl.List(pl.String)))
    label = pl.col("label").replace(dict(label_map)) if label_map else pl.col("label")
    if rows["label"].null_count():
        best = pl.when(_single_top(probs)).then(order.list.get(probs.list.arg_max(), null_on_oob=True))
        # A run with texts was read, and where no label was found in them there is none.
        of_probabilities = (pl.col("label").is_null() & pl.col("raw").is_null()).all().over("run_id")
        label = pl.when(of_probabilities & probs.is_not_null()).then(best).otherwise(label)
    failed = pl.col("error").is_not_null()
    rows = rows.with_columns(pl.when(~failed).then(label).alias("label_pred"))
    unknown = rows.filter(~pl.col("label_pred").is_in(list(names)))["label_pred"]
    if len(unknown):
        raise TableError(f"score: {unknown_labels_message(unknown, names)}")
    answered = pl.when(pl.col("label_pred").is_null()).then(pl.lit("unparsed")).otherwise(pl.lit("answered"))
    state = pl.when(failed).then(pl.lit("failed")).otherwise(answered)
    width = int(rows.select(probs.list.len().max()).item() or 0)
    at = [pl.lit(name) for name in names[:width]] if ours else [
        order.list.get(place, null_on_oob=True) for place in range(width)
    ]  # fmt: skip
    return rows.with_columns(state.alias("state"), _below_top(at).alias("below_top"))


def _below_top(at: Sequence[pl.Expr]) -> pl.Expr:
    """Whether an option is more probable than the label given, of options ``at`` each place; null where unknown."""
    probs = pl.col("label_probs")
    own = [
        pl.when(name == pl.col("label_pred")).then(probs.list.get(place, null_on_oob=True))
        for place, name in enumerate(at)
    ]
    given = pl.coalesce(own) if own else pl.lit(None, dtype=pl.Float64)
    return pl.when(pl.col("label").is_not_null() & pl.col("label_pred").is_not_null()).then(
        given < probs.list.max() - _ROUNDING
    )


def _single_top(probs: pl.Expr) -> pl.Expr:
    """Whether one option alone has the highest probability."""
    return probs.list.eval(pl.element() >= pl.element().max() - _ROUNDING).list.sum() == 1


def _check_order(golds: pl.DataFrame, names: tuple[str, ...]) -> None:
    """Refuse shares of people that stand in another order than the names that were taken for it.

    A label need not be the option that most people chose, so a few items prove nothing; most of them do.
    """
    shares = pl.col("label_probs")
    told = golds.filter(pl.col("label").is_not_null(), shares.is_not_null(), _single_top(shares))
    order = pl.lit(list(names), dtype=pl.List(pl.String))
    top = told.select("label", top=order.list.get(shares.list.arg_max(), null_on_oob=True))
    other = int(top["top"].ne_missing(top["label"]).sum())
    if 2 * other > len(top):
        raise TableError(
            f"score: the options were taken to be {', '.join(names)} (the labels, sorted), but people's label_probs "
            f"are highest for another option than the label on {other} of {len(top)} items; give the options in the "
            "order of the lists (options=)."
        )


def _crossed(answers: pl.DataFrame, evaluated: pl.DataFrame) -> pl.DataFrame:
    """Every run by every evaluated item; what has no output is missing."""
    runs = answers.select("run_id").unique().sort("run_id")
    grid = runs.join(evaluated, how="cross", maintain_order="left_right")
    joined = _beside(grid, answers, ["run_id", "item_id"])
    return joined.with_columns(pl.col("state").fill_null("missing"))


def _beside(left: pl.DataFrame, right: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """The columns of the right frame, one row for each key, beside the left one; null where it has no row."""
    if all(_same(left[key], right[key]) for key in on):
        return left.hstack(right.drop(on))
    return left.join(right, on=on, how="left", maintain_order="left")


def _aside(count: int, what: str) -> str:
    return f"{count} output{'s' if count != 1 else ''} {what}" if count else ""
