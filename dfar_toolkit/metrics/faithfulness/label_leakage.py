r"""Do free-text reasons give the label away, by naming it or to somebody who reads the reason alone?

A reason that names its label makes every simulator right and says nothing about why: such numbers belong beside
simulatability and beside every test in which a model reads the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.item_means import estimate_share
from dfar_toolkit.metrics.labels import Column, group_series
from dfar_toolkit.metrics.reasons.named_labels import Rule
from dfar_toolkit.metrics.reasons.own_label import own_label_namings
from dfar_toolkit.metrics.reasons.paired_reasons import column_values, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present

_NAMED: Final = 3  # of labels that are equally frequent


def named_label_share(
    frame: pl.DataFrame | None = None,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "words",
    reason: Column = "reason",
    label: Column = "label_pred",
    group: Column | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of the reasons that name the label they were given for, alone or beside another.

    Args:
        frame: One row per reason, or None with values.
        options: Names of the labels.
        words: Words that stand for a label, by its name.
        rule: As in :mod:`~dfar_toolkit.metrics.reasons.named_labels`; ``words`` takes "not ethical" for ethical too.
        reason: Column or texts (N,), null where there is none.
        label: Column or labels (N,), null where the answer has none.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage.

    Returns:
        The estimate; ``n`` counts the reasons with a label.

    Undefined:
        No reason has a label.

    Raises:
        TableError: A label is no option.
        ValueError: The labels cannot be read in running text, a missing column.

    Example:
        >>> named_label_share(reason=["It is fine.", "A kind act.", None], label=["fine", "fine", "bad"],
        ...                   options=["fine", "bad"]).value
        0.5
    """
    pairs = pair_reasons("named_label_share", frame, reason=reason, label=label, group=group)
    naming = own_label_namings(pairs, options=options, words=words, rule=rule)
    named = naming.is_in(["own", "both"]).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    score = mean_present("named_label_share", "reasons that name their label", named, without="without a label",
                         note=pairs.note)  # fmt: skip
    return estimate_share(score, pairs.groups, confidence=confidence)


def giveaway_table(
    frame: pl.DataFrame | None = None,
    *,
    label: Column = "label_pred",
    guess: Column = "label_from_reason",
    named: Column | None = None,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """How often somebody who reads the reason alone gets the model's label.

    Args:
        frame: One row per item, or None with values.
        label: Column or labels (N,) that the model gave.
        guess: Column or labels (N,) that a person or model gave from the reason alone; null: none, a miss.
        named: Column or values (N,): whether the reason names its label, for the rate among those that do not.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, higher_is_better`` and Estimate's fields: giveaway_rate; giveaway_over_majority (less the share
        of the label that the model gives most often, taken as given; of several the mean of theirs, so that labels'
        names decide nothing); giveaway_unnamed where ``named`` is given.

    Undefined:
        No item has a label of the model.

    Raises:
        ValueError: A column is missing, or lengths differ.

    Example:
        >>> found = giveaway_table(label=["a", "a", "b", "b"], guess=["a", "a", "b", None], ci=None)
        >>> found.select("metric", "value").rows()
        [('giveaway_rate', 0.75), ('giveaway_over_majority', 0.25)]
    """
    name = "giveaway_table"
    own, other = (column_values(name, frame, c, r).cast(pl.String) for c, r in ((label, "label"), (guess, "guess")))
    if len(own) != len(other):
        raise ValueError(f"{name}: label has {len(own)} values, guess has {len(other)}; give one per item")
    groups = group_series(name, frame, group, len(own))
    known = own.is_not_null().to_numpy()
    hit = np.where(known, (own == other).fill_null(False).to_numpy(), np.nan)
    counts = own.drop_nulls().alias("label").value_counts(name="times")
    top = counts.filter(pl.col("times") == pl.col("times").max())["label"].sort().to_list()
    always = own.is_in(top).fill_null(False).cast(pl.Float64).to_numpy() / max(1, len(top))
    over = hit - np.where(known, always, np.nan)
    without = "without a label of the model"
    scores = [
        mean_present("giveaway_rate", "label got from the reason alone", hit, without=without),
        mean_present("giveaway_over_majority", "the same less always guessing the most frequent label", over,
                     without=without, note=_most_frequent(top)),
    ]  # fmt: skip
    if named is not None:
        names = column_values(name, frame, named, "named").cast(pl.Float64).fill_null(float("nan")).to_numpy()
        scores.append(mean_present("giveaway_unnamed", "label got from reasons that do not name it",
                                   np.where(names == 0, hit, np.nan), without="that name it, or unknown"))  # fmt: skip
    found = estimate_present(scores, groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    if ci is not None:
        found[0] = replace(estimate_share(scores[0], groups, confidence=confidence), name=found[0].name)
    beside = [{"metric": s.metric, "higher_is_better": higher_is_better(s.metric)} for s in scores]
    return estimates_frame(found, beside=beside)


def _most_frequent(labels: Sequence[str]) -> str:
    named = ", ".join(map(repr, labels[:_NAMED]))
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return f"most frequent: {named}{more}" if labels else ""
