r"""The answer after an intervention beside the answer before it: what every test of free-text reasons starts from.

One row per intervention. With the distributions p before and p' after, $TVD = \frac{1}{2} \sum_k |p_k - p'_k|$; from
``label_probs`` where the run has them (means over samples), else from the shares of the labels over the samples. The
label of several samples is the one said most often, none at a tie. Cost: a join of rows times options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats

IDENT: Final = ("run_id", "question", "item_id", "annotator_id")
_DEFAULTS: Final[dict[str, object]] = {
    "run_id": "", "question": "", "annotator_id": "", "condition": "full", "operator": "", "k": -1, "draw": 0,
}  # fmt: skip
_NULLABLE: Final[dict[str, pl.DataType]] = {
    "label": pl.String(), "label_probs": pl.List(pl.Float64), "options": pl.List(pl.String), "share": pl.Float64(),
}  # fmt: skip
_KEY: Final = (*IDENT, "condition", "operator", "k", "draw")


def answer_changes(
    name: str, outputs: pl.DataFrame, conditions: Sequence[str], *, before: str, beside: Sequence[pl.Expr] = ()
) -> pl.DataFrame:
    """The answers under some conditions beside the answer that the same item had before.

    Args:
        name: Function named in errors.
        outputs: Rows of the table outputs; a column ``group`` is kept.
        conditions: Conditions of the rows after an intervention.
        before: Condition of the rows before it.
        beside: Further columns, aggregated over the samples of an intervention.

    Returns:
        A row per intervention, sorted by key: the key, ``share``, ``group`` (the item where there is none),
        ``label_before`` and ``label_after`` (null where unread), ``changed`` (null where either is), ``tvd`` (null
        where a distribution is missing), and the columns ``beside``.

    Raises:
        TableError: A column is missing, or two groups for one item.
    """
    rows = typed_rows(name, outputs)
    after, base = rows.filter(pl.col("condition").is_in(list(conditions))), rows.filter(pl.col("condition") == before)
    single = after.group_by(_KEY).agg(
        said_label().alias("label_after"), pl.col("share").first(), pl.col("group").first(), *beside
    )
    known = base.group_by(IDENT).agg(said_label().alias("label_before"))
    single = single.join(known, on=IDENT, how="left").with_columns(
        changed=pl.col("label_before") != pl.col("label_after")
    )
    return single.join(_distances(after, base), on=_KEY, how="left").sort(_KEY)


def typed_rows(name: str, outputs: pl.DataFrame) -> pl.DataFrame:
    """Rows of outputs with every part of the key, and the resampling unit as ``group``.

    Args:
        name: Function named in errors.
        outputs: Rows of the table outputs; a column ``group`` is kept, else the item is the group.

    Returns:
        The rows, columns that are absent put in with what their absence means.

    Raises:
        TableError: No column ``item_id``, a row without a group, or two groups for one item.
    """
    if "item_id" not in outputs.columns:
        raise TableError(f'{name}: wanted the column "item_id", found {", ".join(outputs.columns) or "none"}.')
    absent = {c: pl.lit(v) for c, v in _DEFAULTS.items() if c not in outputs.columns}
    absent |= {c: pl.lit(None, dtype=kind) for c, kind in _NULLABLE.items() if c not in outputs.columns}
    rows = outputs.with_columns(**absent)
    rows = rows.with_columns(pl.col(c).fill_null(v) for c, v in _DEFAULTS.items())
    rows = rows.with_columns(pl.col(c).cast(kind) for c, kind in _NULLABLE.items())
    own = pl.col("item_id").cast(pl.String)
    if "group" not in rows.columns:
        return rows.with_columns(group=own)
    nulls = rows["group"].null_count()
    if nulls:
        raise TableError(f"{name}: every row needs a group; {nulls} of {len(rows)} have none (null).")
    several = rows.group_by("item_id").agg(pl.col("group").n_unique().alias("n")).filter(pl.col("n") > 1)
    if len(several):
        raise TableError(f"{name}: an item has one group, found {several['n'][0]} of {several['item_id'].min()!r}.")
    return rows.with_columns(pl.col("group").cast(pl.String))


def said_label(among: pl.Expr | None = None) -> pl.Expr:
    """The label said most often; null at a tie, or where none could be read.

    Args:
        among: Which rows count; None: all.
    """
    label = pl.col("label") if among is None else pl.col("label").filter(among)
    modes = label.drop_nulls().mode()
    return pl.when(modes.len() == 1).then(modes.first())


def _distances(after: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    """``tvd`` of each intervention that has both distributions, option by option whatever their order."""
    probs = after["label_probs"].is_not_null().any() or base["label_probs"].is_not_null().any()
    new, old = _shares(after, _KEY, probs), _shares(base, IDENT, probs)
    keys = new.select(_KEY).unique()
    both = pl.concat([
        new.with_columns(old=0.0).rename({"p": "new"}).select(*_KEY, "option", "new", "old"),
        keys.join(old, on=IDENT).with_columns(new=0.0).rename({"p": "old"}).select(*_KEY, "option", "new", "old"),
    ])  # fmt: skip
    gaps = both.group_by(*_KEY, "option").agg(pl.col("new", "old").sum())
    found = gaps.group_by(_KEY).agg(((pl.col("new") - pl.col("old")).abs().sort().sum() / 2).alias("tvd"))
    # Without a distribution before, all of the new one would count as a change.
    return found.join(old.select(IDENT).unique(), on=IDENT, how="semi")


def _shares(rows: pl.DataFrame, key: Sequence[str], probs: bool) -> pl.DataFrame:
    """The distribution of each key in long form: ``option`` and its mean probability ``p`` over the samples."""
    if not probs:
        said = rows.filter(pl.col("label").is_not_null())
        counted = said.group_by(*key, "label").agg(n=pl.len()).rename({"label": "option"})
        return counted.with_columns(p=pl.col("n") / pl.col("n").sum().over(key)).drop("n")
    given = rows.filter(pl.col("label_probs").is_not_null())
    place = pl.int_ranges(pl.col("label_probs").list.len()).cast(pl.List(pl.String))
    named = given.with_columns(option=pl.coalesce("options", place)).with_row_index("_row")
    wrong = named.filter(pl.col("option").list.len() != pl.col("label_probs").list.len())
    if len(wrong):
        raise TableError(
            f"answer_changes: label_probs must have one number per option; found "
            f"{wrong['label_probs'].list.len()[0]} for {wrong['option'].list.len()[0]} options of "
            f"{wrong['item_id'][0]!r}."
        )
    several = named.with_columns(n=pl.len().over(key)).explode("option", "label_probs")
    weighted = pl.col("label_probs") / pl.col("n")
    return several.group_by(*key, "option").agg(weighted.sort().sum().alias("p"))


def flags(frame: pl.DataFrame, column: str) -> Floats:
    """A column of truths or numbers as numbers (N,), ``nan`` where null.

    Example:
        >>> flags(pl.DataFrame({"a": [True, None]}), "a").tolist()
        [1.0, nan]
    """
    found: Floats = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return found
