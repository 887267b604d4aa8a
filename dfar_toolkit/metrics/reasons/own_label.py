r"""Does a reason agree with the label it was given for?

Every reason with a label is one of four: it names its **own** label alone, an**other** label alone, **both**, or
**neither** (:mod:`named_labels` says what naming is, by three rules). A reason that names the other label argues
against its answer; one that names both or neither is undecided by this test, not wrong: among people's own reasons in
DFAR 29 % are (train; 14 % in test).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.named_labels import Rule, named_labels
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import mean_present

Naming = Literal["own", "other", "both", "neither"]
NAMINGS: Final[tuple[Naming, ...]] = get_args(Naming)
_TITLES: Final[dict[Naming, str]] = {
    "own": "reasons that name their own label alone",
    "other": "reasons that name another label alone",
    "both": "reasons that name their own and another label",
    "neither": "reasons that name no label",
}


def own_label_namings(
    pairs: PairedReasons,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
) -> pl.Series:
    """What each reason names: own, other, both or neither; null where it has no label.

    Args:
        pairs: Reasons with labels.
        options: Names of the labels.
        words: Words that stand for a label, by its name.
        rule: As in ``named_labels``.

    Returns:
        (N,) of ``Naming``.

    Raises:
        TableError: A label is no option.
        ValueError: No labels, or they cannot be read in running text.
    """
    if pairs.labels is None:
        raise ValueError("own_label: give the labels of the reasons (label)")
    strange = pairs.labels.filter(~pairs.labels.is_in(list(options))).drop_nulls().unique().sort()
    if len(strange):
        raise TableError(f"own_label: labels must be one of {', '.join(options)}; found {strange[0]!r}.")
    named = named_labels(pairs.reasons, options, words=words, rule=rule).to_numpy().reshape(-1, len(options))
    code = {option: k for k, option in enumerate(options)}
    at = np.array([code[label] if label is not None else 0 for label in pairs.labels], dtype=np.int64)
    own = named[np.arange(len(at)), at] if len(at) else np.empty(0, dtype=bool)
    other = named.sum(axis=1) - own > 0
    found = np.where(own, np.where(other, "both", "own"), np.where(other, "other", "neither"))
    kept = [str(f) if label is not None else None for f, label in zip(found, pairs.labels, strict=True)]
    return pl.Series("naming", kept, dtype=pl.String)


def own_label_agreement(
    frame: pl.DataFrame | None = None,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
    reason: Column = "reason",
    label: Column = "label_pred",
    group: Column | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Share that names its own label among the reasons that name one side alone: own / (own + other).

    Args:
        frame: One row per reason, or None with values.
        options: Names of the labels.
        words: Words that stand for a label, by its name.
        rule: As in ``named_labels``.
        reason: Column or texts (N,), null where there is none.
        label: Column or labels (N,), null where the answer has none.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts the reasons that name one side alone.

    Undefined:
        No reason names one side alone.

    Raises:
        TableError: A label is no option.
        ValueError: The labels cannot be read in running text, a missing column.

    Example:
        >>> texts, labels = ["It is ethical.", "It is not ethical.", "Fine."], ["ethical", "ethical", "ethical"]
        >>> own_label_agreement(reason=texts, label=labels, options=["ethical", "unethical"]).value
        0.5
    """
    pairs = pair_reasons("own_label_agreement", frame, reason=reason, label=label, group=group)
    row = own_label_agreement_rows(pairs, options=options, words=words, rule=rule)
    return _share(row, pairs, confidence, n_boot, seed)


def own_label_agreement_rows(
    pairs: PairedReasons,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
) -> Additive:
    """The rows and formula of :func:`own_label_agreement`.

    Args:
        pairs: Reasons with labels.
        options: As there.
        words: As there.
        rule: As there.

    Returns:
        The additive statistic, rows (N, 2).
    """
    namings = own_label_namings(pairs, options=options, words=words, rule=rule)
    values = namings.replace_strict({"own": 1.0, "other": 0.0}, default=None, return_dtype=pl.Float64)
    return mean_present(
        "own_label_agreement",
        "own label among reasons that name one side",
        values.to_numpy(),
        without="without a label, or naming both or neither,",
        note=pairs.note,
    )


def own_label_table(
    frame: pl.DataFrame | None = None,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
    reason: Column = "reason",
    label: Column = "label_pred",
    group: Column | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Shares of the reasons that name their own label, another, both, neither, and their agreement.

    Args:
        frame: As in :func:`own_label_agreement`.
        options: As there.
        words: As there.
        rule: As there.
        reason: As there.
        label: As there.
        group: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        Rows ``metric, rule`` and Estimate's fields: own_label_own, own_label_other, own_label_both, own_label_neither
        (over reasons with a label; they sum to 1), own_label_agreement.

    Undefined:
        No reason with a label; for the agreement, none that names one side alone.

    Raises:
        TableError: A label is no option.
        ValueError: As there.

    Example:
        >>> found = own_label_table(reason=["Ethical.", "Unethical.", "Hm."], label=["e", "e", "u"],
        ...                         options=["e", "u"], words={"e": ["ethical"], "u": ["unethical"]})
        >>> found["value"].round(3).to_list()
        [0.333, 0.333, 0.0, 0.333, 0.5]
    """
    pairs = pair_reasons("own_label_table", frame, reason=reason, label=label, group=group)
    rows = own_label_rows(pairs, options=options, words=words, rule=rule)
    found = [_share(row, pairs, confidence, n_boot, seed) for row in rows]
    return estimates_frame(found, beside=[{"metric": row.metric, "rule": rule} for row in rows])


def own_label_rows(
    pairs: PairedReasons,
    *,
    options: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
) -> list[Additive]:
    """The rows and formulas of :func:`own_label_table`, in its order.

    Args:
        pairs: Reasons with labels.
        options: As there.
        words: As there.
        rule: As there.

    Returns:
        Five additive statistics, rows (N, 2).
    """
    namings = own_label_namings(pairs, options=options, words=words, rule=rule)
    found = []
    for naming in NAMINGS:
        values = (namings == naming).cast(pl.Float64).to_numpy()
        title = _TITLES[naming]
        found.append(mean_present(f"own_label_{naming}", title, values, without="without a label", note=pairs.note))
    return [*found, own_label_agreement_rows(pairs, options=options, words=words, rule=rule)]


def _share(row: Additive, pairs: PairedReasons, confidence: float, n_boot: int, seed: int) -> Estimate:
    """A share of ones among the items that count: Wilson's interval, over groups where there are any."""
    counts = row.rows[:, 1] > 0
    values: Floats = row.rows[counts, 0]
    groups = None if pairs.groups is None else pairs.groups.filter(pl.Series(counts))
    found = mean_share(row.name, values, groups=groups, confidence=confidence, n_boot=n_boot, seed=seed)
    why = "" if counts.any() else row.undefined
    return replace(found, note="; ".join(n for n in (why or found.note, row.note) if n))
