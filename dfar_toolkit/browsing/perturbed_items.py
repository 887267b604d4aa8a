"""Which items a perturbation flips: one row per item at one step of one method, the largest drop first.

The counts and means of these rows are the numbers of ``faithfulness_table``: a flip rate is the mean of their shares of
flips, comprehensiveness and sufficiency the mean of their drops.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.faithfulness.drops import row_drops
from dfar_toolkit.metrics.faithfulness.flips import flip_gaps, flip_values, unparsed_values
from dfar_toolkit.metrics.faithfulness.perturbed import EVIDENCE_K, Perturbed, Said, Step

Side = Literal["without", "only"]
State = Literal["flipped", "in part", "kept", "unparsed", "unanswered"]
STATES: Final[tuple[State, ...]] = get_args(State)
_OWN: Final = "own"


def step_name(step: Step) -> str:
    """A step as a word for addresses, read back by :func:`step_of`.

    Example:
        >>> [step_name(s) for s in (Step(k=1), Step(share=0.05), Step(words_of="human"), Step())]
        ['k:1', 'share:0.05', 'words_of:human', 'own']
    """
    if step.k is not None:
        return f"k:{step.k}"
    if step.share is not None:
        return f"share:{step.share:g}"
    return _OWN if step.words_of is None else f"words_of:{step.words_of}"


def step_of(name: str) -> Step | None:
    """The step of a word; None where it is none.

    Example:
        >>> step_of("share:0.05"), step_of("k:x")
        (Step(k=None, share=0.05, words_of=None), None)
    """
    kind, _, value = name.partition(":")
    if name == _OWN:
        return Step()
    if kind == "k" and value.isdecimal() and len(value) < 10:
        return Step(k=int(value))
    if kind == "words_of" and value:
        return Step(words_of=value)
    try:
        share = float(value) if kind == "share" else float("nan")
    except ValueError:
        return None
    return Step(share=share) if 0 < share <= 1 else None


def perturbed_items(
    perturbed: Perturbed, *, method: str, operator: str, step: Step, side: Side = "without", margin: float = 0.0
) -> pl.DataFrame:
    """What became of every item that a method has at a step.

    Args:
        perturbed: All rows of a run.
        method: The method.
        operator: The operator.
        step: How many words.
        side: ``without`` the words, or ``only`` them.
        margin: Gap of log-probability below which a flip may be rounding.

    Returns:
        Rows ``item`` (code), ``item_id, removed`` (number of words, of draws the largest; -1 unknown), ``n_draws,
        n_answered, n_flipped, n_unparsed, n_within`` (flips within the margin), ``before`` and ``after`` (labels; null
        where draws differ or there is none), ``p_before, p_after`` (of the explained label, mean of the draws),
        ``drop``, and ``state``: flipped (by every draw that was answered), in part, kept, unparsed, unanswered. The
        largest drop first, items without one last; among equals flipped ones first, then by id.

    Raises:
        ValueError: A method or operator that the run does not have.
    """
    p = perturbed.of(method, operator).at(step)
    flips, unparsed = flip_values(p, side), unparsed_values(p, side)
    said = p.without if side == "without" else p.only
    rows = pl.DataFrame({
        "item": p.item, "removed": p.removed, "flip": flips, "unparsed": unparsed, "label": said.label,
        "drop": row_drops(p, side, "probability"), "within": (flips == 1) & (flip_gaps(p, side) < margin),
        "p_before": p.p_before(),
    }).with_columns(pl.col("flip", "unparsed", "drop", "p_before").fill_nan(None))  # fmt: skip
    label = pl.col("label")
    found = rows.group_by("item").agg(
        pl.col("removed").max(), pl.len().cast(pl.Int64).alias("n_draws"),
        pl.col("flip").count().cast(pl.Int64).alias("n_answered"), pl.col("flip").sum().cast(pl.Int64)
        .alias("n_flipped"), pl.col("unparsed").sum().cast(pl.Int64).alias("n_unparsed"),
        pl.col("within").sum().cast(pl.Int64).alias("n_within"),
        pl.when(label.min() == label.max()).then(label.min()).alias("after"),
        pl.col("p_before").first(), pl.col("drop").mean(),
    )  # fmt: skip
    named = found.with_columns(
        pl.Series("item_id", p.items.gather(found["item"]), dtype=pl.String),
        _names(pl.Series("before", p.full.label[found["item"].to_numpy()]), p.options),
        _names(found["after"], p.options),
        (pl.col("p_before") - pl.col("drop")).alias("p_after"),
        _state().cast(pl.Enum(STATES)).alias("state"),
    )
    order = named.sort(
        "drop", pl.col("state").to_physical(), "item_id", descending=[True, False, False], nulls_last=True
    )
    return order.select(
        "item", "item_id", "removed", "n_draws", "n_answered", "n_flipped", "n_unparsed", "n_within", "before",
        "after", "p_before", "p_after", "drop", "state",
    )  # fmt: skip


def _state() -> pl.Expr:
    return (
        pl.when(pl.col("n_answered") == 0).then(pl.lit("unanswered"))
        .when(pl.col("n_flipped") == pl.col("n_answered")).then(pl.lit("flipped"))
        .when(pl.col("n_flipped") > 0).then(pl.lit("in part"))
        .when(pl.col("n_unparsed") > 0).then(pl.lit("unparsed"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip


def _names(codes: pl.Series, options: tuple[str, ...]) -> pl.Series:
    """Codes beyond the options are answers without a label."""
    known = codes.set(codes >= len(options), None) if len(codes) else codes
    return pl.Series(codes.name, list(options), dtype=pl.String).gather(known.cast(pl.UInt32))


class OptionProbs(NamedTuple):
    """Probabilities of the options (m, K) on the whole item and on the changed one, mean of its draws."""

    before: Floats
    after: Floats


def option_probs(
    perturbed: Perturbed, items: pl.Series, *, method: str, operator: str, step: Step, side: Side = "without"
) -> OptionProbs:
    """The probabilities of every option for some items, such as those of a page of a list.

    Args:
        perturbed: All rows of a run.
        items: Codes of items (m,).
        method: The method.
        operator: The operator.
        step: How many words.
        side: ``without`` the words, or ``only`` them.

    Returns:
        The probabilities, ``nan`` where unknown.
    """
    p = perturbed.of(method, operator).at(step)
    said: Said = p.without if side == "without" else p.only
    codes = items.to_numpy().astype(np.int64)
    after = np.full((len(codes), len(p.options)), np.nan)
    for place, code in enumerate(codes.tolist()):
        own = said.probs[p.item == code]
        own = own[np.isfinite(own).all(axis=1)]
        after[place] = own.mean(axis=0) if len(own) else np.nan
    return OptionProbs(p.full.probs[codes], after)


def steps_of(perturbed: Perturbed, method: str, operator: str, wanted: list[Step]) -> list[Step]:
    """Those of the steps that a method has at all."""
    p = perturbed.of(method, operator)
    return [step for step in wanted if (p.k == EVIDENCE_K).any() or step != Step() if len(p.at(step).item)]
