"""Rows to train on from what judges said of reasons: Good/Bad verdicts as preference pairs or single verdicts."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.exports.account import Account
from dfar_toolkit.corpus.exports.training_rows import Asking, answered, check_read_back, pair_rows, said
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.verdicts import reason_verdicts
from dfar_toolkit.prompts.render import has_words, render, style_of, target
from dfar_toolkit.tables import HUMAN_RUN


def human_reasons(annotations: pl.DataFrame, question: str) -> pl.DataFrame:
    """People's reasons in the columns of outputs, under the ids by which they are judged.

    Args:
        annotations: The table annotations.
        question: The question whose reasons are meant.

    Returns:
        ``run_id, item_id, output_id, label, reason``.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["i"], "question": ["q"], "rating_id": ["i#1"], "value": ["bad"],
        ...                      "reason": ["She lied."]})
        >>> human_reasons(rows, "q").row(0)
        ('human', 'i', 'human/i#1', 'bad', 'She lied.')
    """
    asked = annotations.filter(pl.col("question") == question)
    return asked.select(
        pl.lit(HUMAN_RUN).alias("run_id"),
        "item_id",
        (pl.lit(f"{HUMAN_RUN}/") + pl.col("rating_id")).alias("output_id"),
        pl.col("value").alias("label"),
        "reason",
    )


def verdict_rows(
    judgements: pl.DataFrame, outputs: pl.DataFrame, items: pl.DataFrame, asking: Asking, account: Account
) -> pl.DataFrame:
    """One row per judged reason: the item's columns, its label and reason, and whether most judges say good.

    Args:
        judgements: Judgements of single reasons, good or bad.
        outputs: ``output_id, item_id, label, reason`` of what was judged.
        items: The table items, those to export.
        asking: A style with reasons.
        account: Where rows left out are counted.

    Returns:
        Rows of items with ``output_id, label, reason, good``, sorted by item and output.

    Raises:
        TableError: A style without reasons; judgements on another scale.
    """
    if not style_of(asking.style).reasons:
        raise TableError(
            f"judgements are about reasons, and the style {asking.style!r} has none; use --style label_and_reason."
        )
    verdicts = reason_verdicts(judgements)
    elsewhere = verdicts.join(items, on="item_id", how="anti").height
    if elsewhere:
        account.notes.append(f"judged reasons about items that are not exported: {elsewhere}")
    texts = outputs.select("output_id", "label", "reason")
    facts = items.drop("label", "reasons", strict=False)
    rows = verdicts.join(facts, on="item_id", how="inner", maintain_order="left")
    rows = rows.join(texts, on="output_id", how="left", maintain_order="left").sort("item_id", "output_id")
    rows = account.keep(rows, pl.col("even_split") == 0, "judges evenly split")
    known = pl.col("label").is_in(list(asking.options))
    rows = account.keep(rows, known, "a judged answer without a label")
    rows = account.keep(rows, has_words(pl.col("reason")), "a judged answer without a reason")
    return rows.with_columns(good=pl.col("majority_bad") == 0)


def single_verdicts(rows: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Judged reasons as unpaired preference data.

    Args:
        rows: From :func:`verdict_rows`.
        asking: Style, options, wording, layout.
        account: Where answers that would be read otherwise are noted.

    Returns:
        ``item_id, split, prompt, completion, label`` (true where most judges say good), ``output_id``.
    """
    prompts = render(rows, asking.style, asking.options, wording=asking.wording)
    answers = target(rows["label"], rows["reason"], asking.style, asking.options)
    check_read_back(rows["item_id"], answers, rows["label"], rows["reason"], asking, account)
    return rows.select(
        "item_id", "split", prompt=said("user", prompts, asking.layout),
        completion=answered(prompts, answers, asking), label="good", output_id="output_id",
    )  # fmt: skip


def judged_pairs(
    rows: pl.DataFrame, asking: Asking, account: Account, *, most: int | None = None, same_label: bool = False
) -> pl.DataFrame:
    """Pairs of a good and a bad reason about the same item.

    Args:
        rows: From :func:`verdict_rows`.
        asking: Style, options, wording, layout.
        account: Where judged reasons without a counterpart and pairs beyond ``most`` are counted.
        most: Pairs per item at most, the first by their ids; None means all.
        same_label: Whether both must say the same label, so that they differ in the reason alone.

    Returns:
        ``item_id, split, prompt, chosen, rejected, chosen_label, rejected_label, chosen_id, rejected_id``.
    """
    renamed = {"label": "label", "reason": "reason", "output_id": "id"}
    good = rows.filter("good").rename({c: f"chosen_{n}" for c, n in renamed.items()})
    bad = rows.filter(~pl.col("good")).select(
        "item_id", *(pl.col(c).alias(f"rejected_{n}") for c, n in renamed.items())
    )
    pairs = good.join(bad, on="item_id", how="inner", maintain_order="left_right")
    if same_label:
        pairs = pairs.filter(pl.col("chosen_label") == pl.col("rejected_label"))
    used = pl.concat([pairs["chosen_id"], pairs["rejected_id"]]).unique()
    counterpart = pl.col("output_id").is_in(used.implode())
    account.keep(rows, counterpart, "a judged reason without one of the other verdict on its item")
    pairs = pairs.sort("item_id", "chosen_id", "rejected_id")
    if most is not None:
        place = pl.int_range(pl.len()).over("item_id")
        pairs = account.keep(pairs, place < most, f"pairs beyond {most} of an item")
    laid = pair_rows(pairs, asking, account)
    return laid.with_columns(pairs["chosen_id"], pairs["rejected_id"])
