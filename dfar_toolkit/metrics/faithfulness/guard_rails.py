"""What must stand beside every number of faithfulness: how many answers there are, and what the model does anyway.

A model that says one label whatever it reads has flip rate 0, comprehensiveness 0 and (ERASER's) sufficiency 0, the
best possible, with any rationale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, estimates_frame, proportion
from dfar_toolkit.metrics.bias.collapse import collapse_estimates
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.flips import flippable_rows, noise_margin
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, estimate_share, mean_over_items
from dfar_toolkit.metrics.faithfulness.matched_random import RANDOM
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed
from dfar_toolkit.metrics.labels import Codes, PairedLabels

COLUMNS: Final = ("rationale_method", "operator", "metric", "label")

_ENOUGH = 0.95  # coverage below this is warned of


class GuardRails(NamedTuple):
    """``rows``: the guard rails; ``warnings``: what must be said beside the numbers of each method and operator.

    A warning under ("", operator) is about all methods, one under ("", "") about the whole run.
    """

    rows: pl.DataFrame
    warnings: Mapping[tuple[str, str], str]

    def warning(self, method: str, operator: str) -> str:
        """All that must be said beside a number of this method and operator."""
        keys = [("", ""), ("", operator), (method, operator)]
        return "; ".join(self.warnings[key] for key in dict.fromkeys(keys) if self.warnings.get(key))


class Absent(NamedTuple):
    """Items of the splits evaluated that the run says nothing about: their ``gold`` codes (A,) and ``groups`` (A,)."""

    gold: Codes
    groups: pl.Series | None


class _Rail(NamedTuple):
    method: str
    operator: str
    metric: str
    label: str | None
    found: Estimate


def guard_rails(
    perturbed: Perturbed,
    *,
    gold: Codes | None = None,
    absent: Absent | None = None,
    dtype: str | None = None,
    almost: float = 0.95,
    random: str = RANDOM,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> GuardRails:
    """Coverage, accuracy, predicted labels, the empty input, random rationales and numeric noise of one run.

    Args:
        perturbed: All rows of a run.
        gold: Codes of the gold labels (N,), -1 where unknown; None: no accuracy.
        absent: Further items that should have been answered: missing, and wrong in the accuracy.
        dtype: What the model computed in, where known.
        almost: Share of one label from which the model counts as saying it (almost) always.
        random: The method whose rows are random.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``rationale_method, operator, metric, label, higher_is_better`` and Estimate's fields: of the whole run
        coverage, unparsed_share, failed_share, missing_share, accuracy, predicted_share of every label, top_label_share
        (its note is the verdict), p_full, noise_margin; of every operator p_empty, flippable_share, random_draws; of
        every method and operator coverage and unparsed, failed and missing shares of its changed items. And the
        warnings.

    Undefined:
        As the parts are; the reason stands in the note.
    """
    how = (ci, confidence, n_boot, seed)
    warnings: dict[tuple[str, str], str] = {}
    rails = _answered("", "", perturbed.full.label, perturbed, confidence, absent)
    rails += _accuracy(perturbed, gold, absent, confidence) if gold is not None else []
    rails += _labels(perturbed, gold, almost, confidence, warnings)
    full = _predicted(perturbed, perturbed.full.probs)
    rails.append(
        _Rail("", "", "p_full", None, _mean("p_full", "probability of the predicted label", full, perturbed, how))
    )
    rails.append(_Rail("", "", "noise_margin", None, _noise(dtype)))
    for operator in perturbed.operators:
        rails += _operator(perturbed, operator, random, how, warnings)
    for method, operator in perturbed.blocks():
        own = perturbed.of(method, operator)
        found = _answered(method, operator, _worst(own), perturbed, confidence)
        rails += found
        covered = found[0].found.value
        if covered < _ENOUGH:
            warnings[method, operator] = f"coverage {100 * covered:.1f} %"
    beside = [
        {"rationale_method": r.method, "operator": r.operator, "metric": r.metric, "label": r.label,
         "higher_is_better": higher_is_better(r.metric)}
        for r in rails
    ]  # fmt: skip
    columns = {**dict.fromkeys(COLUMNS, pl.String), "higher_is_better": pl.Boolean}
    frame = pl.concat(
        [pl.DataFrame(beside, schema=columns), estimates_frame(r.found for r in rails)], how="horizontal"
    )  # fmt: skip
    return GuardRails(frame, warnings)


def _answered(
    method: str, operator: str, label: Codes, p: Perturbed, confidence: float, absent: Absent | None = None
) -> list[_Rail]:
    """Shares of items by what became of the answer."""
    k, groups = len(p.options), _all_groups(p.groups, absent)
    if absent is not None:
        label = np.append(label, np.full(len(absent.gold), k + 2))
    flags = {"coverage": label < k, "unparsed_share": label == k, "failed_share": label == k + 1,
             "missing_share": label == k + 2}  # fmt: skip
    what = "the item" if not method else "every changed form of the item"
    names = {"coverage": f"coverage ({what} has a label)", "unparsed_share": "unparsed", "failed_share": "failed",
             "missing_share": "not asked"}  # fmt: skip
    rails = [
        _Rail(method, operator, m, None, proportion(names[m], x, groups=groups, confidence=confidence))
        for m, x in flags.items()
    ]
    if absent is not None:
        said = f"{len(absent.gold)} of {len(label)} items are not in the run"
        rails[0] = rails[0]._replace(found=replace(rails[0].found, note=said))
    return rails


def _worst(own: Perturbed) -> Codes:
    """Of every item of the run, what became of its changed forms: the worst of them; missing where there is none.

    A side of which the method has no answer at all was not asked for and is not looked at.
    """
    absent = len(own.options) + 2
    worst = np.full(len(own.items), -1, dtype=np.int64)
    for said in (own.without, own.only):
        if (said.label < absent).any():
            np.maximum.at(worst, own.item, said.label)
    return np.where(worst < 0, absent, worst)


def _all_groups(groups: pl.Series | None, absent: Absent | None) -> pl.Series | None:
    """Resampling units of the items of the run, and of those that it says nothing about."""
    if groups is None or absent is None or absent.groups is None:
        return groups
    return pl.concat([groups, absent.groups.cast(groups.dtype).alias(groups.name)])


def _accuracy(p: Perturbed, gold: Codes, absent: Absent | None, confidence: float) -> list[_Rail]:
    """Correct / all items that have a gold label; what is not answered is wrong."""
    right, groups = p.full.label == gold, _all_groups(p.groups, absent)
    missing = 0
    if absent is not None:
        missing = int((absent.gold >= 0).sum())
        right, gold = np.append(right, np.zeros(len(absent.gold), dtype=bool)), np.append(gold, absent.gold)
    known = gold >= 0
    own = None if groups is None else groups.filter(pl.Series(known))
    found = proportion("accuracy", right[known], groups=own, confidence=confidence)
    notes = [found.note, f"{missing} of {int(known.sum())} items are not in the run and count as wrong" * bool(missing)]
    lost = int((~known).sum())
    notes += [f"{lost} of {len(gold)} items without a gold label left out"] if lost else []
    return [_Rail("", "", "accuracy", None, replace(found, note="; ".join(filter(None, notes))))]


def _labels(
    p: Perturbed, gold: Codes | None, almost: float, confidence: float, warnings: dict[tuple[str, str], str]
) -> list[_Rail]:
    """The share of every predicted label, and whether the model says one of them (almost) always."""
    k, label = len(p.options), p.full.label
    answered = label < k
    own = None if p.groups is None else p.groups.filter(pl.Series(answered))
    shares = [
        proportion(f"share of {name}, predicted", label[answered] == code, groups=own, confidence=confidence)
        for code, name in enumerate(p.options)
    ]
    rails = [_Rail("", "", "predicted_share", n, s) for n, s in zip(p.options, shares, strict=True)]
    if answered.any():
        top = int(np.argmax([s.value for s in shares]))
        verdict = _verdict(p, gold, shares[top], p.options[top], almost)
        if shares[top].value >= almost:
            warnings["", ""] = verdict
        found = replace(shares[top], name="share of the most frequent label", note=verdict)
        rails.append(_Rail("", "", "top_label_share", p.options[top], found))
    return rails


def _verdict(p: Perturbed, gold: Codes | None, share: Estimate, name: str, almost: float) -> str:
    said = f'the model says "{name}" for {100 * share.value:.1f} % of items'
    verdict = f"{said}: flips, comprehensiveness and sufficiency say little" if share.value >= almost else said
    if gold is None or not (gold >= 0).any():
        return verdict
    known = gold >= 0
    groups = None if p.groups is None else p.groups.filter(pl.Series(known))
    label = np.minimum(p.full.label, len(p.options))
    pairs = PairedLabels(gold[known], label[known], p.options, groups)
    return f"{verdict}; {collapse_estimates(pairs, almost=almost, ci=None)['note'][0]}"


def _operator(
    p: Perturbed,
    operator: str,
    random: str,
    how: tuple[str | None, float, int, int],
    warnings: dict[tuple[str, str], str],
) -> list[_Rail]:
    """The empty input, and how many random rationales there are."""
    code = p.operators.index(operator)
    empty = p.empty[code]
    before, after = _predicted(p, p.full.probs), _predicted(p, empty.probs)
    found = _mean("p_empty", "probability of the predicted label on the empty input", after, p, how)
    ci, confidence, n_boot, seed = how
    flippable = estimate_share(flippable_rows(p, operator), p.groups, ci=ci, confidence=confidence, n_boot=n_boot,
                               seed=seed)  # fmt: skip
    draws = _random_draws(p, code, random)
    said = []
    if np.isnan(flippable.value):
        said.append("the empty input was not asked")
    elif flippable.value == 0:
        said.append("no item flips even without any word")
    both = ~np.isnan(before - after)
    if both.any() and (before[both] - after[both]).mean() <= 0:
        said.append("the label is no less probable on the empty input")
    if not draws.any():
        said.append("no random rationales to compare with")
    warnings["", operator] = "; ".join(said)
    number = _mean("random_draws", "random rationales per item", draws, p, (None, confidence, n_boot, seed))
    return [_Rail("", operator, "p_empty", None, found), _Rail("", operator, "flippable_share", None, flippable),
            _Rail("", operator, "random_draws", None, number)]  # fmt: skip


def _random_draws(p: Perturbed, operator: int, random: str) -> Floats:
    """Number of different draws of random words of every item (N,)."""
    draws = np.zeros(len(p.items))
    if random in p.methods:
        own = (p.method == p.methods.index(random)) & (p.operator == operator)
        pairs = np.unique(np.stack([p.item[own], p.draw[own]]), axis=1)
        np.add.at(draws, pairs[0], 1.0)
    return draws


def _predicted(p: Perturbed, probs: Floats) -> Floats:
    """Probability (N,) of the label predicted on the whole item."""
    known = p.full.label < len(p.options)
    found = np.full(len(p.items), np.nan)
    found[known] = probs[np.flatnonzero(known), p.full.label[known]]
    return found


def _mean(metric: str, name: str, values: Floats, p: Perturbed, how: tuple[str | None, float, int, int]) -> Estimate:
    ci, confidence, n_boot, seed = how
    score = mean_over_items(metric, name, values, without="without a probability")
    return estimate_items([score], p.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def _noise(dtype: str | None) -> Estimate:
    nan, margin = float("nan"), noise_margin(dtype)
    note = f"the model computed in {dtype}" if dtype else "number format unknown: that of bfloat16 taken"
    name = "gap of log-probability below which a label may be rounding"
    return Estimate(name, margin, nan, nan, 0, 0, "items", "items", "none", nan, note)
