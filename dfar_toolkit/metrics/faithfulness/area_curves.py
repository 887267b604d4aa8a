r"""ACU and RACU: how much faster performance falls when a method's words go than when random ones go.

At shares of words $r_0 = 0 < ... < r_m = 1$ with performance M(r) of the method and B(r) of random words:

    $ACU = \sum_j \frac{d_j + d_{j+1}}{2} (r_{j+1} - r_j)$, $d_j = B(r_j) - M(r_j)$;   RACU = ACU / the same of
    $B(r_j) - B(1)$

Negative: worse than random words. Both are sums over items, so the interval comes from resampling groups of items;
random draws of an item are averaged first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.faithfulness.aopc import curve_means
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, mean_over_items
from dfar_toolkit.metrics.faithfulness.matched_random import RANDOM
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Said, Step, step_rows
from dfar_toolkit.metrics.labels import Codes

Performance = Literal["probability", "accuracy"]

_WITHOUT = "without an answer at every share, of the method and of random words"


def acu(
    ratios: npt.ArrayLike,
    method: npt.ArrayLike,
    random: npt.ArrayLike,
    *,
    groups: pl.Series | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Area between the curves of random words and of a method, mean over items.

    Args:
        ratios: Shares of words taken away (m,), rising.
        method: Performance on each item at each share, the method's words taken away (N, m).
        random: The same with random words (N, m), the mean over draws.
        groups: Resampling unit of each item (N,), or None.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; higher is better, negative is worse than random words.

    Undefined:
        No item has both whole curves.

    Raises:
        ValueError: The shapes do not match, or the ratios do not rise.

    Example:
        >>> acu([0, 0.5, 1], [[1, 0, 0]], [[1, 1, 0]], ci=None).value
        0.5

    Reference:
        Madsen et al. (2022), Findings of EMNLP (recursive ROAR), section 5; Madsen et al. (2024), ICML, 2310.07819.
    """
    score, _ = _of_curves("acu", ratios, method, random)
    return estimate_items([score], groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def racu(
    ratios: npt.ArrayLike,
    method: npt.ArrayLike,
    random: npt.ArrayLike,
    *,
    groups: pl.Series | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""The area between the curves relative to that between random words and their last point; not clipped.

    Args:
        ratios: As for :func:`acu`; the last should be 1, no word left.
        method: As there.
        random: As there.
        groups: As there.
        ci: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        The estimate; higher is better, 1 where the method does at once what taking all words does.

    Undefined:
        Taking words away at random costs nothing.

    Raises:
        ValueError: As :func:`acu`.

    Example:
        >>> racu([0, 0.5, 1], [[1, 0, 0]], [[1, 1, 0]], ci=None).value.__round__(3)
        0.667
    """
    _, score = _of_curves("racu", ratios, method, random)
    return estimate_items([score], groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def area_curve_rows(
    perturbed: Perturbed,
    *,
    method: str,
    operator: str,
    shares: Sequence[float],
    performance: Performance = "probability",
    gold: Codes | None = None,
    random: str = RANDOM,
) -> tuple[Additive, Additive]:
    """ACU and RACU of one method as additive statistics over N items.

    Args:
        perturbed: All rows of a run.
        method: The method.
        operator: The operator.
        shares: Shares of words between 0 (the whole item) and 1 (the empty input), which are added.
        performance: ``probability`` of the explained label, or ``accuracy`` (an answer without a label is wrong).
        gold: Codes of the gold labels (N,) for accuracy, -1 where unknown.
        random: The method whose rows are random.

    Returns:
        Both.

    Raises:
        ValueError: Accuracy without gold, an unknown name.
    """
    if performance == "accuracy" and gold is None:
        raise ValueError("area_curve_rows: performance accuracy needs the gold labels (gold=)")
    inner = sorted(s for s in set(shares) if 0 < s < 1)
    curves = [_curve(perturbed, name, operator, inner, performance, gold) for name in (method, random)]
    area, relative = _of_curves("area_curve_rows", [0.0, *inner, 1.0], *curves)
    of = "" if performance == "probability" else " of accuracy"
    return area._replace(name=area.name + of), relative._replace(name=relative.name + of)


def _curve(
    perturbed: Perturbed, method: str, operator: str, inner: list[float], performance: Performance, gold: Codes | None
) -> Floats:
    """Performance of every item at 0, the shares between, and 1 (N, m)."""
    p = perturbed.of(method, operator)
    n = len(p.items)
    masks = [step_rows(p, Step(share=s)) for s in inner]
    target = np.full(n, len(p.options), dtype=np.int64)
    target[p.item] = p.target
    empty = p.empty[p.operators.index(operator)]
    if gold is not None and performance == "accuracy":
        ends = [_right(p.full, gold), _right(empty, gold)]
        values = _right(p.without, gold[p.item])
    else:
        ends = [_probability(p.full, target), _probability(empty, target)]
        values = p.p_without()
    return np.column_stack([ends[0], curve_means(p.item, values, masks, n), ends[1]])


def _right(said: Said, gold: Codes) -> Floats:
    """Whether each answer is right; ``nan`` where it failed, is missing, or the gold is not known."""
    k = said.probs.shape[1]
    return np.where((said.label <= k) & (gold >= 0), said.label == gold, np.nan)


def _probability(said: Said, target: Codes) -> Floats:
    known = target < said.probs.shape[1]
    found = np.full(len(target), np.nan)
    found[known] = said.probs[np.flatnonzero(known), target[known]]
    return found


def _of_curves(
    name: str, ratios: npt.ArrayLike, method: npt.ArrayLike, random: npt.ArrayLike
) -> tuple[Additive, Additive]:
    r, m, b = (np.asarray(x, dtype=np.float64) for x in (ratios, method, random))
    if m.ndim != 2 or m.shape != b.shape or r.shape != m.shape[1:] or len(r) < 2 or not (np.diff(r) > 0).all():
        raise ValueError(
            f"{name}: ratios (m,) must rise, and method and random be (N, m); found {r.shape}, {m.shape}, {b.shape}"
        )
    between: Floats = np.asarray(np.trapezoid(b - m, r, axis=1))
    could: Floats = np.asarray(np.trapezoid(b - b[:, -1:], r, axis=1))
    could = np.where(np.isnan(between), np.nan, could)
    known = ~np.isnan(between)
    one = mean_over_items("acu", "ACU (area between random and method)", between, without=_WITHOUT)
    rows = np.column_stack([np.where(known, between, 0.0), np.where(known, could, 0.0), known])
    why = "taking random words away costs nothing" if known.any() else one.undefined
    return one, Additive("racu", "RACU (relative area between random and method)", rows, _ratio, why, one.note)


def _ratio(sums: Floats) -> Floats:
    some = sums[:, 1] > 1e-12 * sums[:, 2]
    found: Floats = np.where(some, sums[:, 0] / np.where(some, sums[:, 1], 1.0), np.nan)
    return found
