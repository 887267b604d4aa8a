"""Rows to train on: supervised answers, distributions, preference pairs, single verdicts.

All are made by expressions over whole tables; texts of items and reasons are put in as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import polars as pl

from dfar_toolkit.corpus.exports.account import Account
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.render import completion_of, has_words, read_back, render, style_of, target

Layout = Literal["messages", "prompt-completion"]
Per = Literal["reason", "item"]
LAYOUTS = get_args(Layout)


class Asking(NamedTuple):
    """How items are put to a model: style, options and wording of the question, and the layout of the rows."""

    style: str
    options: Sequence[str]
    wording: str = ""
    layout: Layout = "messages"


def supervised_rows(items: pl.DataFrame, asking: Asking, account: Account, *, per: Per = "reason") -> pl.DataFrame:
    """Prompts with the answer that people gave: by label, or by label and reason.

    Without reasons in the style: one row per item with a label. With reasons: one row per human reason, with the label
    that its writer gave; or with ``per="item"`` one row per item, its label with the first reason written for it.

    Args:
        items: The table items.
        asking: Style, options, wording, layout.
        account: Where rows left out are counted.
        per: A row per human reason, or per item.

    Returns:
        ``item_id, split``, then ``messages`` (a user's and an assistant's) or ``prompt, completion``, then ``label``.

    Raises:
        TableError: As :func:`~dfar_toolkit.prompts.render.render`; a style of DFAR with messages.

    Example:
        >>> items = pl.DataFrame({"item_id": ["i"], "split": ["train"], "statement": ["I lied."], "label": ["bad"]})
        >>> rows = supervised_rows(items, Asking("label", ["good", "bad"], layout="prompt-completion"), Account())
        >>> rows.select("completion", "label").row(0)
        (' bad', 'bad')
    """
    _check(asking)
    if not style_of(asking.style).reasons:
        rows = account.keep(items, pl.col("label").is_not_null(), "no label").with_columns(reason=pl.lit(""))
    else:
        rows = _reasons(items, asking, account, per)
    return _laid_out(rows, asking, account)


def soft_rows(items: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Prompts with people's distribution over the options.

    Args:
        items: The table items.
        asking: Style, options, wording, layout.
        account: Where items without a distribution are counted.

    Returns:
        ``item_id, split, prompt`` (text, or one message), ``options``, ``label_probs`` and ``label_counts`` in their
        order, ``label``.

    Raises:
        TableError: As :func:`~dfar_toolkit.prompts.render.render`; a style of DFAR with messages.

    Example:
        >>> items = pl.DataFrame({"item_id": ["i"], "split": ["dev"], "statement": ["I lied."], "label": [None],
        ...                       "label_probs": [[0.5, 0.5]], "label_counts": [[1, 1]]})
        >>> soft_rows(items, Asking("label", ["good", "bad"]), Account())["label_probs"].to_list()
        [[0.5, 0.5]]
    """
    _check(asking)
    rows = account.keep(items, pl.col("label_probs").is_not_null(), "no distribution over the options")
    prompts = render(rows, asking.style, asking.options, wording=asking.wording)
    return rows.select(
        "item_id", "split", prompt=said("user", prompts, asking.layout), options=_repeated(asking.options),
        label_probs="label_probs", label_counts="label_counts", label="label",
    )  # fmt: skip


def label_pairs(items: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Preference pairs of people's label and each other option.

    Args:
        items: The table items.
        asking: A style without reasons.
        account: Where items without a label are counted.

    Returns:
        ``item_id, split, prompt, chosen, rejected, chosen_label, rejected_label``.

    Raises:
        TableError: A style with reasons, which another label has none of.

    Example:
        >>> items = pl.DataFrame({"item_id": ["i"], "split": ["train"], "statement": ["I lied."], "label": ["bad"]})
        >>> label_pairs(items, Asking("label", ["good", "bad"]), Account())["rejected_label"].to_list()
        ['good']
    """
    _check(asking)
    if style_of(asking.style).reasons:
        raise TableError(
            f"pairs of labels want a style without reasons, found {asking.style!r}: nobody gave a reason for the other "
            "label. Use --style label, or pairs from judged reasons."
        )
    rows = account.keep(items, pl.col("label").is_not_null(), "no label")
    other = rows.with_columns(rejected_label=_repeated(asking.options)).explode("rejected_label")
    other = other.filter(pl.col("rejected_label") != pl.col("label"))
    nothing = other.with_columns(chosen_label="label", chosen_reason=pl.lit(""), rejected_reason=pl.lit(""))
    return pair_rows(nothing, asking, account)


def pair_rows(pairs: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Rows with a label (and a reason) to prefer and one to reject, as preference data.

    Args:
        pairs: Rows of items with ``chosen_label, chosen_reason, rejected_label, rejected_reason``.
        asking: Style, options, wording, layout.
        account: Where answers that would be read otherwise are noted.

    Returns:
        ``item_id, split, prompt, chosen, rejected, chosen_label, rejected_label``; texts, or lists of one message.
    """
    prompts = render(pairs, asking.style, asking.options, wording=asking.wording)
    sides = []
    for side in ("chosen", "rejected"):
        labels, reasons = pairs[f"{side}_label"], pairs[f"{side}_reason"]
        answers = target(labels, reasons, asking.style, asking.options)
        check_read_back(pairs["item_id"], answers, labels, reasons, asking, account)
        sides.append(answered(prompts, answers, asking))
    chosen, rejected = sides
    return pairs.select(
        "item_id", "split", prompt=said("user", prompts, asking.layout), chosen=chosen, rejected=rejected,
        chosen_label="chosen_label", rejected_label="rejected_label",
    )  # fmt: skip


def answered(prompts: pl.Series, answers: pl.Series, asking: Asking) -> pl.Expr:
    """An answer as it follows its prompt: one message, or a text that begins with the blank between them."""
    _, completions = completion_of(prompts, answers, asking.style)
    return said("assistant", answers if asking.layout == "messages" else completions, asking.layout)


def said(role: str, texts: pl.Series, layout: Layout) -> pl.Expr:
    """Texts as they are, or each as a list of one message."""
    if layout != "messages":
        return pl.lit(texts)
    return pl.concat_list(_message(role, texts))


def check_read_back(
    ids: pl.Series, answers: pl.Series, labels: pl.Series, reasons: pl.Series, asking: Asking, account: Account
) -> None:
    """Note how many answers ``parse_answers`` would read otherwise than they are meant."""
    same = read_back(answers, labels, reasons, asking.style, asking.options)
    if not same.all():
        account.notes.append(
            f"answers whose label or reason `dfar score` would read otherwise: {int((~same).sum())} of {len(same)}, "
            f"e.g. one about {ids.filter(~same)[0]}"
        )


def _message(role: str, texts: pl.Series) -> pl.Expr:
    return pl.struct(pl.lit(role).alias("role"), pl.lit(texts).alias("content"))


def _repeated(names: Sequence[str]) -> pl.Expr:
    return pl.lit(pl.Series([list(names)], dtype=pl.List(pl.String))).first()


def _check(asking: Asking) -> None:
    style_of(asking.style)
    if asking.layout not in LAYOUTS:
        raise TableError(f"unknown layout {asking.layout!r}; wanted one of {', '.join(LAYOUTS)}.")
    if asking.style.startswith("dfar-") and asking.layout == "messages":
        raise TableError(
            f"the style {asking.style!r} is a whole text with marks of its own, not messages; use --layout "
            "prompt-completion."
        )


def _reasons(items: pl.DataFrame, asking: Asking, account: Account, per: Per) -> pl.DataFrame:
    """Rows of items with ``label`` and ``reason`` by people's reasons."""
    listed = account.keep(items, pl.col("reasons").list.len() > 0, "no reason")
    if per == "item":
        listed = account.keep(listed, pl.col("label").is_not_null(), "no label")
    single = listed.explode("reasons").with_columns(
        value=pl.col("reasons").struct.field("value"), reason=pl.col("reasons").struct.field("text")
    )
    if per == "item":
        own = single.filter(pl.col("value") == pl.col("label"), has_words(pl.col("reason")))
        first = own.unique("item_id", keep="first", maintain_order=True)
        lost = listed.join(first, on="item_id", how="anti")
        account.keep(lost, pl.lit(False), "no reason for the item's label")
        return first
    single = account.keep(single, has_words(pl.col("reason")), "a reason without a word")
    known = pl.col("value").is_in(list(asking.options))
    single = account.keep(single, known, "a reason whose writer gave no label")
    return single.with_columns(label="value")


def _laid_out(rows: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    prompts = render(rows, asking.style, asking.options, wording=asking.wording)
    answers = target(rows["label"], rows["reason"], asking.style, asking.options)
    check_read_back(rows["item_id"], answers, rows["label"], rows["reason"], asking, account)
    if asking.layout == "messages":
        both = pl.concat_list(_message("user", prompts), _message("assistant", answers))
        return rows.select("item_id", "split", messages=both, label="label")
    prompts, completions = completion_of(prompts, answers, asking.style)
    return rows.select("item_id", "split", prompt=pl.lit(prompts), completion=pl.lit(completions), label="label")
