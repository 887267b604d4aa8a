r"""One answer per item from all orders of its options, and how often it is right beside that of a single order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.bias.shown_orders import ShownOrders, read_orders
from dfar_toolkit.metrics.labels import Codes

Rule = Literal["mean_probs", "vote", "unanimous"]

_ROUNDING: Final = 1e-12


def debiased_labels(
    frame: pl.DataFrame,
    *,
    item: str = "item_id",
    options: str = "options",
    pred: str = "label",
    probs: str | None = None,
    group: str | None = None,
    neutral: Sequence[str] = (),
    rule: Rule | None = None,
) -> pl.DataFrame:
    r"""One answer per item from all orders: the mean of the probabilities, the vote, or only a unanimous answer.

    Args:
        frame: One row per item and order.
        item: Column of the item.
        options: Column with the list of options in the order shown.
        pred: Column with the option answered, by name; null is no answer.
        probs: Column with the list of probabilities in the order shown; orders without are left out of the mean.
        group: Column of the resampling unit, carried along as ``group``.
        neutral: Answers that stand at no position ("tie"); they vote.
        rule: ``mean_probs``, ``vote``, or ``unanimous`` (answered alike in every order); None means mean_probs where
            ``probs`` is given, else vote.

    Returns:
        One row per item shown in two orders or more, sorted: ``item_id, n_orders, n_answers`` (different ones),
        ``same`` (in every order), ``always_at`` (the position all answers stand at although they differ, from 1),
        ``label`` (null where tied or not unanimous), ``options`` and ``label_probs`` (mean over the orders; null
        without ``probs``).

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.bias.shown_orders.read_orders`.
        ValueError: An unknown rule, or mean_probs without ``probs``.

    Example:
        >>> frame = pl.DataFrame({"item_id": [1, 1], "options": [["x", "y"], ["y", "x"]], "label": ["x", "y"],
        ...                       "label_probs": [[0.9, 0.1], [0.6, 0.4]]})
        >>> debiased_labels(frame, probs="label_probs").select("label", "label_probs").row(0)
        ('x', [0.65, 0.35])
    """
    shown = read_orders(
        "debiased_labels", frame, item=item, options=options, pred=pred, probs=probs, group=group, neutral=neutral
    )
    return _debiased(shown, _rule("debiased_labels", rule, probs))


def _rule(name: str, rule: Rule | None, probs: str | None) -> Rule:
    if rule is not None and rule not in get_args(Rule):
        raise ValueError(f"{name}: rule must be mean_probs, vote or unanimous, found {rule!r}")
    if rule == "mean_probs" and probs is None:
        raise ValueError(f"{name}: rule mean_probs needs probs, the column of probabilities")
    return rule or ("vote" if probs is None else "mean_probs")


def _debiased(shown: ShownOrders, rule: Rule) -> pl.DataFrame:
    mean = _mean_probs(shown)
    options = np.sort(shown.shown[shown.starts], axis=1)
    n_answers, code = _decided(shown, rule)
    names = pl.Series(shown.names, dtype=pl.String)
    nothing = pl.Series([None] * len(options), dtype=pl.List(pl.Float64))
    found = pl.DataFrame(
        {
            "item_id": shown.items,
            "n_orders": shown.n_orders.astype(np.int64),
            "n_answers": n_answers,
            "same": shown.same(),
            "always_at": pl.Series(shown.stuck() + 1, dtype=pl.Int64).replace({0: None}),
            "label": names.gather(pl.Series(code, dtype=pl.Int64).replace({-1: None})),
            "options": _lists(names.gather(options.ravel()), options.shape),
            "label_probs": nothing if mean is None else _lists(pl.Series(mean.ravel()), mean.shape),
        }
    )
    blank = pl.col("label_probs").list.eval(pl.element().is_nan().any()).list.first()
    found = found.with_columns(pl.when(~blank).then("label_probs"))
    return found if shown.groups is None else found.with_columns(shown.groups.alias("group"))


def _lists(flat: pl.Series, shape: tuple[int, ...]) -> pl.Series:
    """A flat series as lists of equal length."""
    if not shape[0]:
        return pl.Series([], dtype=pl.List(flat.dtype))
    return flat.reshape(shape).arr.to_list()


def _decided(shown: ShownOrders, rule: Rule) -> tuple[Codes, Codes]:
    """Number of different answers, and the code decided on (-1 where none) of each item."""
    n_answers, code = _votes(shown)
    mean = _mean_probs(shown)
    if rule == "unanimous":
        return n_answers, np.where(shown.same(), code, -1).astype(np.int64)
    if rule == "vote" or mean is None or not len(mean):
        return n_answers, code
    options = np.sort(shown.shown[shown.starts], axis=1)
    ordered = np.nan_to_num(mean, nan=-1.0)
    tied = (ordered >= ordered.max(axis=1, keepdims=True) - _ROUNDING).sum(axis=1) > 1  # so are unknown ones
    picked = np.take_along_axis(options, ordered.argmax(axis=1)[:, None], axis=1)[:, 0]
    return n_answers, np.where(tied, -1, picked).astype(np.int64)


def _mean_probs(shown: ShownOrders) -> Floats | None:
    """Mean over the orders of the probability of each option of an item, options sorted (I, K)."""
    if shown.probs is None:
        return None
    ordered = np.take_along_axis(shown.probs, np.argsort(shown.shown, axis=1), axis=1)
    known: npt.NDArray[np.bool_] = np.logical_not(np.isnan(ordered).any(axis=1))
    total = shown.per_item(np.where(known[:, None], ordered, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = total / shown.per_item(known)[:, None]
    return mean


def _votes(shown: ShownOrders) -> tuple[Codes, Codes]:
    """Number of different answers, and the most frequent one (-1 where tied or without an answer), of each item."""
    given = pl.DataFrame({"item": shown.item, "answer": shown.answer}).filter(pl.col("answer") >= 0)
    counts = given.group_by("item", "answer").len()
    top = pl.col("len") == pl.col("len").max()
    best = pl.when(top.sum() == 1).then(pl.col("answer").filter(top).first()).otherwise(-1)
    by_item = counts.group_by("item").agg(n=pl.len().cast(pl.Int64), best=best)
    every = pl.DataFrame({"item": np.arange(len(shown.items))})
    whole = every.join(by_item, on="item", how="left", maintain_order="left")
    return whole["n"].fill_null(0).to_numpy(), whole["best"].fill_null(-1).to_numpy()


def debiased_accuracy(
    frame: pl.DataFrame,
    *,
    gold: str,
    item: str = "item_id",
    options: str = "options",
    pred: str = "label",
    probs: str | None = None,
    group: str | None = None,
    neutral: Sequence[str] = (),
    rule: Rule | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Accuracy of the answer from all orders, of a single order, their difference, and by place of the gold option.

    Args:
        frame: One row per item and order.
        gold: Column with the item's gold option, by name; items without are left out and counted.
        item: Column of the item.
        options: Column with the list of options in the order shown.
        pred: Column with the option answered, by name; null is no answer and is wrong.
        probs: Column with the list of probabilities in the order shown.
        group: Column of the resampling unit; None means ``group`` where the frame has it, else the item.
        neutral: Answers that stand at no position ("tie").
        rule: As for :func:`debiased_labels`; what it leaves undecided is wrong, and counted.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (debiased_accuracy; single_order_accuracy: the mean over an item's orders, then over items;
        debiased_gain, their difference; accuracy_gold_at for each position), ``position`` (of the gold option, from 1,
        else null) and Estimate's fields; ``n`` counts items. The intervals are paired, from one set of draws.

    Undefined:
        No item with gold is shown in two orders; a position at which no gold option is ever shown.

    Raises:
        TableError: As :func:`~dfar_toolkit.metrics.bias.shown_orders.read_orders`.
        ValueError: As :func:`debiased_labels`.

    Example:
        Right in both orders, and in one of two (a tied vote).

        >>> frame = pl.DataFrame({"item_id": [1, 1, 2, 2], "options": [["x", "y"], ["y", "x"]] * 2,
        ...                       "label": ["x", "x", "x", "y"], "gold": ["x", "x", "x", "x"]})
        >>> debiased_accuracy(frame, gold="gold", ci=None).select("metric", "position", "value").rows()[:3]
        [('debiased_accuracy', None, 0.5), ('single_order_accuracy', None, 0.75), ('debiased_gain', None, -0.25)]
    """
    name = "debiased_accuracy"
    shown = read_orders(
        name, frame, item=item, options=options, pred=pred, probs=probs, gold=gold, group=group, neutral=neutral
    )
    scores, groups = _accuracy_rows(shown, _rule(name, rule, probs))
    found = estimate_together(scores, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    places = [None] * 3 + list(range(1, len(found) - 2))
    beside = pl.DataFrame(
        {"metric": [s.metric for s in scores], "position": places},
        schema={"metric": pl.String, "position": pl.Int64},
    )
    return pl.concat([beside, estimates_frame(found)], how="horizontal")


def _accuracy_rows(shown: ShownOrders, rule: Rule) -> tuple[list[Additive], pl.Series | None]:
    """The statistics of items with gold, and their groups."""
    assert shown.gold is not None
    keep = shown.gold >= 0
    groups = None if shown.groups is None else shown.groups.filter(pl.Series(keep))
    n_answers, code = _decided(shown, rule)
    open_ = int(((code < 0) & (n_answers > 0) & keep).sum())
    notes = [
        f"{int((~keep).sum())} of {len(keep)} items without a gold option left out" if not keep.all() else "",
        f"{open_} items undecided by {rule}, wrong" if open_ else "",
        shown.note,
    ]
    why, note = "no item with gold is shown in two orders", "; ".join(filter(None, notes))
    right = (shown.answer == shown.gold[shown.item]) * 1.0
    of_all = ((code == shown.gold) * 1.0)[keep]
    single = (shown.per_item(right) / shown.n_orders)[keep]
    named = {
        "debiased_accuracy": of_all,
        "single_order_accuracy": single,
        "debiased_gain": of_all - single,
    }
    scores = [mean_of(m, m.replace("_", " "), x, undefined=why, note=note) for m, x in named.items()]
    for j in range(shown.shown.shape[1]):
        here = (shown.shown[:, j] == shown.gold[shown.item]) * 1.0
        rows = np.column_stack([shown.per_item(here * right), shown.per_item(here)])[keep]
        title = f"accuracy where the gold option stands at {j + 1}"
        scores.append(Additive("accuracy_gold_at", title, rows, _ratio, f"no gold option at {j + 1}", note))
    return scores, groups


def _ratio(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]
