"""Rows that evaluation harnesses ask a model about, each with the id by which its answer is joined again."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.exports.account import Account
from dfar_toolkit.corpus.exports.training_rows import Asking
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.render import asked, before_label, option_texts, render

_MOST_LETTERS = 26


def lm_eval_rows(items: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Documents for lm-evaluation-harness.

    Args:
        items: The table items.
        asking: Style, options, wording.
        account: Where items without a label are counted.

    Returns:
        ``item_id, split, prompt`` (for generation), ``prompt_label`` (up to the label, for log-likelihoods),
        ``choices`` (the options), ``gold`` (the label's place among them), ``label``, ``label_probs``, ``group``.

    Raises:
        TableError: As :func:`~dfar_toolkit.prompts.render.render`.

    Example:
        >>> items = pl.DataFrame({"item_id": ["i"], "split": ["test"], "statement": ["I {{lied}}."], "label": ["bad"],
        ...                       "label_probs": [None], "group": ["g"]})
        >>> lm_eval_rows(items, Asking("label", ["good", "bad"]), Account())["gold"].to_list()
        [1]
    """
    rows = account.keep(items, pl.col("label").is_not_null(), "no label")
    options, wording = asking.options, asking.wording
    return rows.select(
        "item_id", "split", prompt=pl.lit(render(rows, asking.style, options, wording=wording)),
        prompt_label=pl.lit(before_label(rows, asking.style, options, wording=wording)),
        choices=pl.concat_list([pl.lit(name) for name in options]), gold=_place(asking), label="label",
        label_probs="label_probs", group="group",
    )  # fmt: skip


def inspect_rows(items: pl.DataFrame, asking: Asking, account: Account) -> pl.DataFrame:
    """Samples for inspect_ai.

    Args:
        items: The table items.
        asking: Style, options, wording.
        account: Where items without a label are counted.

    Returns:
        ``id`` (the item's), ``split, input`` (for generation), ``question`` (without options, for multiple choice),
        ``choices`` (the options), ``target`` (the label), ``letter`` (that of the label), ``label_probs``, ``group``.

    Raises:
        TableError: More than 26 options; as :func:`~dfar_toolkit.prompts.render.render`.

    Example:
        >>> items = pl.DataFrame({"item_id": ["i"], "split": ["test"], "statement": ["I lied."], "label": ["bad"],
        ...                       "label_probs": [None], "group": ["g"]})
        >>> inspect_rows(items, Asking("label", ["good", "bad"]), Account()).select("id", "target", "letter").row(0)
        ('i', 'bad', 'B')
    """
    if len(asking.options) > _MOST_LETTERS:
        raise TableError(f"inspect_ai's multiple choice has letters for 26 options, found {len(asking.options)}.")
    rows = account.keep(items, pl.col("label").is_not_null(), "no label")
    letters = [chr(ord("A") + place) for place in range(len(asking.options))]
    question = pl.lit(asked(rows, asking.wording)) + option_texts(rows, asking.options)
    return rows.select(
        pl.col("item_id").alias("id"), "split",
        input=pl.lit(render(rows, asking.style, asking.options, wording=asking.wording)), question=question,
        choices=pl.concat_list([pl.lit(name) for name in asking.options]), target="label",
        letter=pl.col("label").replace_strict(list(asking.options), letters, return_dtype=pl.String),
        label_probs="label_probs", group="group",
    )  # fmt: skip


def _place(asking: Asking) -> pl.Expr:
    places = range(len(asking.options))
    return pl.col("label").replace_strict(list(asking.options), places, return_dtype=pl.Int64)
