r"""A rate from few human verdicts and many of a judge model: prediction-powered inference (PPI++).

The judge model's verdicts are cheap and wrong in some direction; people's are right and few. The estimate is the human
one, moved by how much the judge says differently about the rows that nobody else saw. It needs the rows that people
judged to be a random sample with known chances (``inclusion_prob``) on which the judge was not tuned: nothing in the
verdicts themselves can show whether that was so, so without it there is no estimate. Cost: a sort of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, wilson_ends
from dfar_toolkit.metrics.judging.two_phase import TwoPhase, check_tuning, two_phase
from dfar_toolkit.metrics.labels import Column

_ALONE: Final = "people's verdicts alone"
_FEW: Final = 10.0  # effective human verdicts x min(p, 1 - p) below which a normal interval is not trusted
_ROUNDING: Final = 1e-12


def prediction_powered_rate(
    frame: pl.DataFrame | None = None,
    *,
    human: Column | npt.ArrayLike = "human",
    judge: Column | npt.ArrayLike = "judge",
    inclusion_prob: Column | float | None = "inclusion_prob",
    lam: float | None = None,
    weight: Column | None = None,
    group: Column | None = None,
    item: Column = "item_id",
    judge_tuned_on: Sequence[str] | pl.Series | None = None,
    guard: bool = True,
    confidence: float = 0.95,
    name: str = "prediction-powered rate",
) -> Estimate:
    r"""Rate of bad verdicts by people, sharpened by a judge model's verdicts on rows that people did not see.

    With $Y_i$ the people's verdict on n rows, $f_i$ the judge's on these and on N others (u),

        $\theta(\lambda) = \bar Y + \lambda (\bar f_u - \bar f)$,
        $SE^2 = \lambda^2 var(f_u) / N + var(Y - \lambda f) / n$,
        $\lambda^* = \frac{cov(Y, f)}{(1 + n / N) var_1(f)}$, cut to [0, 1]

    (variances with divisor n, $var_1$ with divisor n + N - 1 over all rows). Where rows have different chances
    $\pi_i$ or weights $w_i$, means over rows with human verdicts weigh $a_i \propto w_i / \pi_i$, $\bar f_u$ is the
    weighted mean of *all* rows, and the variance is that of the linearised estimate, as it is with groups: sums of
    what each group adds, times G / (G - 1), with Student's t, G groups with a human verdict; $\lambda^*$ minimises it.

    Args:
        frame: One row per judged reason (or item); None where the values themselves are given.
        human: Column or values (M,): True or 1 is bad, or the share of people who say so; null where nobody judged.
        judge: Column or values (M,) of the judge model; a probability of bad is as good as a verdict.
        inclusion_prob: With what probability people were to judge a row: column, values, or one number. Required.
        lam: None: tuned ($\lambda^*$). 0: people alone. 1: plain prediction-powered inference.
        weight: What a row counts; None: all the same.
        group: Column or values; None means the column ``group`` where the frame has one, else single rows.
        item: Column or values of item ids, looked at only with ``judge_tuned_on``.
        judge_tuned_on: Ids of items that the judge was tuned, prompted or chosen on.
        guard: Whether to leave the normal interval where $n_e \min(p, 1 - p) < 10$, p and $n_e$ (effective number)
            of the human verdicts: it covers 61 % instead of 95 % for n = 20 and p = .05. Wilson's interval of the human
            verdicts alone takes its place. False gives the published interval, which may leave [0, 1].
        confidence: Two-sided coverage.
        name: Printed name.

    Returns:
        The estimate; ``method`` says PPI++ (with lambda) or Wilson, ``note`` how many verdicts there were and why. n
        counts rows, after a fall-back those with a human verdict.

    Undefined:
        No row has both verdicts; no interval for fewer than two of them (groups of them).

    Raises:
        TableError: No ``inclusion_prob``, or the judge was tuned on rows that people judged; values out of range.
        ValueError: ``lam`` or ``confidence`` outside its range, a column is missing.

    Example:
        Four human verdicts, six of the judge. With lambda 1: 1/2 + (1/6 - 1/2) = 1/6.

        >>> none = 6 * [None]
        >>> verdicts = {"human": [1, 0, 0, 1, *none], "judge": [1, 0, 1, 0, 1, 0, 0, 0, 0, 0]}
        >>> found = prediction_powered_rate(pl.DataFrame(verdicts), inclusion_prob=0.4, lam=1, guard=False)
        >>> round(found.value, 3)
        0.167

    Reference:
        Angelopoulos, Duchi and Zrnic (2023), arXiv:2311.01453 (PPI++), section 6 and example 6.1; weights: Sarndal,
        Swensson and Wretman (1992), Model Assisted Survey Sampling, section 6.3 (the difference estimator).
    """
    if lam is not None and not 0 <= lam <= 1:
        raise ValueError(f"prediction_powered_rate: lam must lie in [0, 1] or be None, found {lam}")
    if not 0 < confidence < 1:
        raise ValueError(f"prediction_powered_rate: confidence must lie between 0 and 1, found {confidence}")
    by_name = isinstance(inclusion_prob, str) and frame is not None and inclusion_prob not in frame.columns
    if inclusion_prob is None or by_name:
        raise TableError(
            "prediction_powered_rate: inclusion_prob is wanted and not there: the probability with which each row was "
            "chosen for people. Verdicts on rows chosen in any other way say nothing about the rest."
        )
    if judge_tuned_on is not None:
        check_tuning("prediction_powered_rate", frame, human=human, item=item, tuned_on=judge_tuned_on)
    rows = two_phase(
        "prediction_powered_rate", frame, human=human, judge=judge, inclusion_prob=inclusion_prob, weight=weight,
        group=group,
    )  # fmt: skip
    found = _estimate(rows, name, lam, guard, confidence)
    if _ALONE not in found.note or not rows.note:
        return found
    # Where people's verdicts stand alone, those on rows that the judge did not see count as well.
    everyone = two_phase(
        "prediction_powered_rate", frame, human=human, judge=judge, inclusion_prob=inclusion_prob, weight=weight,
        group=group, people_alone=True,
    )  # fmt: skip
    alone = _estimate(everyone, name, lam, guard, confidence)
    return replace(alone, note=found.note) if alone.n > found.n else found


class _Parts(NamedTuple):
    r"""The estimate as $\theta = y + \lambda (f_r - f)$ and what each row adds: $u - \lambda v$ (M,).

    ``a`` (M,) are the weights of the human verdicts.
    """

    a: Floats
    human: float
    judge: float
    reference: float
    u: Floats
    v: Floats


def _estimate(rows: TwoPhase, name: str, lam: float | None, guard: bool, confidence: float) -> Estimate:
    judged, nan = rows.judged, float("nan")
    n, rest = int(judged.sum()), int((~judged).sum())
    codes = _codes(rows)
    unit = "groups" if codes is not None else "items"
    units = int(codes.max()) + 1 if codes is not None else len(judged)
    human_units = len(np.unique(codes[judged])) if codes is not None else n
    counted = f"{n} rows judged by people, {rest} by the judge alone"
    said = "; ".join(s for s in (counted, _unanswered(rows), rows.note) if s)
    blank = Estimate(name, nan, nan, nan, len(judged), units, unit, "items", "PPI++", confidence, said)
    if not n:
        return replace(blank, note=f"no row has both verdicts; {said}")
    parts = _parts(rows)
    alone = _square(parts.u, codes, human_units)
    effective = _effective(parts, alone, codes, n)
    telling = effective * min(parts.human, 1 - parts.human)
    if not rest or (guard and telling < _FEW):
        why = "people judged every row" if not rest else f"effective n x min(p, 1 - p) = {telling:.1f} < {_FEW:g}"
        wilson = replace(blank, value=parts.human, n=n, n_units=human_units, note=f"{why}: {_ALONE}; {said}")
        return _wilson(wilson, effective, exact=rows.even and codes is None)
    chosen = _tuned(rows, parts, codes) if lam is None else float(lam)
    square = _square(parts.u - chosen * parts.v, codes, human_units)
    value = parts.human + chosen * (parts.reference - parts.judge)
    found = replace(blank, value=value, method=f"{'PPI++' if lam is None else 'PPI'} (lambda {chosen:.3f})")
    return _normal(found, square, human_units if codes is not None else None, guard)


def _unanswered(rows: TwoPhase) -> str:
    """What must be said where every row was certain to be judged by people and some were not."""
    certain = bool((rows.inclusion[rows.judged] == 1).all()) and bool(rows.judged.any())
    if not certain or rows.judged.all():
        return ""
    return "inclusion_prob is 1, yet people left rows unjudged: taken for a random sample of the others"


def _parts(rows: TwoPhase) -> _Parts:
    """Weighted means of the human verdicts, of the judge's on the same rows, and of the judge's on the reference."""
    judged, even = rows.judged, rows.even
    a = judged.astype(np.float64)
    if not even:
        a = np.where(judged, rows.weight / np.where(judged, rows.inclusion, 1.0), 0.0)
    # With equal chances the rows that people did not see are a sample of the same; with unequal ones only all rows are.
    r = np.where(judged & even, 0.0, rows.weight)
    said, total, rest = np.where(judged, rows.human, 0.0), a.sum(), r.sum() or 1.0
    human, judge, reference = float(a @ said / total), float(a @ rows.judge / total), float(r @ rows.judge / rest)
    human = min(1.0, human)  # above by rounding alone
    a, r = a / total, r / rest
    v = a * (rows.judge - judge) - r * (rows.judge - reference)
    return _Parts(a, human, judge, reference, a * (said - human), v)


def _codes(rows: TwoPhase) -> npt.NDArray[np.int64] | None:
    """Number of each row's group, or None where every row stands alone."""
    if rows.groups is None or rows.groups.n_unique() == len(rows.groups):
        return None
    return rows.groups.rank("dense").to_numpy().astype(np.int64) - 1


def _sums(adds: Floats, codes: npt.NDArray[np.int64] | None) -> Floats:
    return adds if codes is None else np.bincount(codes, adds).astype(np.float64)


def _square(adds: Floats, codes: npt.NDArray[np.int64] | None, human_units: int) -> float:
    """Square of the standard error."""
    if codes is None:
        return float(np.sum(adds**2))
    return float(np.sum(_sums(adds, codes) ** 2)) * human_units / (human_units - 1) if human_units > 1 else float("nan")


def _tuned(rows: TwoPhase, parts: _Parts, codes: npt.NDArray[np.int64] | None) -> float:
    """The lambda of the least variance, in [0, 1]; 0 where the judge always says the same."""
    v = _sums(parts.v, codes)
    slope, scale = float(_sums(parts.u, codes) @ v), float(v @ v)
    if codes is None and rows.even:  # the published form: variance of the judge over all rows
        n, total = int(rows.judged.sum()), len(rows.judge)
        scale = (1 / n + 1 / (total - n)) * float(np.var(rows.judge, ddof=1))
    return min(1.0, max(0.0, slope / scale)) if scale > _ROUNDING**2 else 0.0


def _effective(parts: _Parts, square: float, codes: npt.NDArray[np.int64] | None, n: int) -> float:
    """How many independent verdicts the human ones are worth: p (1 - p) over the variance of their mean."""
    spread = parts.human * (1 - parts.human)
    if spread <= _ROUNDING or not square > 0:  # all alike: then the variance says nothing, the weights do
        return 1.0 / float(np.sum(_sums(parts.a, codes) ** 2))
    return min(float(n), spread / square)


def _normal(found: Estimate, square: float, groups: int | None, guard: bool) -> Estimate:
    from scipy.stats import norm, t

    units = found.n if groups is None else groups
    if units < 2 or not np.isfinite(square):
        return replace(found, note=f"no interval: one unit ({found.unit}) only; {found.note}")
    tail = 0.5 + found.confidence / 2
    half = float(norm.ppf(tail) if groups is None else t.ppf(tail, groups - 1)) * float(np.sqrt(square))
    low, high = found.value - half, found.value + half
    method = found.method if groups is None else f"{found.method}, cluster-robust, t({groups - 1})"
    if not guard:
        return replace(found, low=low, high=high, method=method)
    value = min(1.0, max(0.0, found.value))
    note = found.note if value == found.value else f"{found.value:.3f} cut to [0, 1]; {found.note}"
    return replace(found, value=value, low=max(0.0, low), high=min(1.0, high), method=method, note=note)


def _wilson(found: Estimate, n: float, *, exact: bool) -> Estimate:
    """Wilson's interval of the human verdicts, on their effective number."""
    method = "Wilson" if exact else "Wilson (effective n)"
    if found.unit == "groups" and found.n_units < 2:
        return replace(found, method=method, note=f"no interval: one group only; {found.note}")
    low, high = wilson_ends(found.value, n, found.confidence)
    return replace(found, low=low, high=high, method=method)
