r"""What more raters per item buy.

Two different things, often confused:

* The **coefficient** (alpha, kappa, percent agreement) describes two *single* raters. It does not depend on how many
  raters an item has: with 7 instead of 3 its expectation is the same, only its interval is narrower.
* The **panel's** result does get better: the mean of k ratings (Spearman-Brown), and the majority label of k raters, of
  which we say how often a second panel of k would give the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.planning.dirichlet_multinomial import (
    BELOW_CHANCE,
    VALUES,
    fit_prior,
    prior_of_sums,
    prior_rows,
    vote_table,
)
from dfar_toolkit.agreement.planning.drawn_agreement import PlannedLevel
from dfar_toolkit.agreement.planning.interval_width import fit_pilot, simulate
from dfar_toolkit.agreement.planning.plurality import check_panel
from dfar_toolkit.agreement.planning.two_panels import expected_chances, list_votes, observed_chances
from dfar_toolkit.agreement.ratings import RatingsLike
from dfar_toolkit.estimate import Estimate, Formula, Interval, collapse, estimate, estimates_frame

_TOO_MANY: Final = f"a majority label takes at most {VALUES} distinct values"


def agreement_by_panel_size(
    ratings: RatingsLike,
    *,
    sizes: Sequence[int] = (1, 2, 3, 5, 7),
    level: PlannedLevel = "nominal",
    order: Sequence[str] | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_simulations: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    r"""What changes with k raters per item: the coefficient's interval, the mean's reliability, the majority label.

    For each k, with $\alpha$ at the given level:

    * ``coefficient``: $\alpha$ itself, the same for every k in expectation, with the interval to expect from k ratings
      on each of today's items: $\alpha$ plus and minus half the median width that
      :func:`~dfar_toolkit.agreement.planning.plan_interval` simulates;
    * ``reliability``: of the mean (for names: of the shares) of k ratings, $k \alpha / (1 + (k - 1) \alpha)$;
    * ``same label (model)``: the chance that two panels of k on the same item have the same majority label, ties broken
      by lot, for items with $p_u \sim \mathrm{Dirichlet}(s \pi)$
      (``dirichlet_multinomial``); exact sums over the votes of both panels;
    * ``tie (model)``: the chance that k votes have no single majority label;
    * ``same label (observed)``: as above without the model, over all ways to draw two disjoint panels of k from an
      item's own raters, for items with 2k ratings or more.

    The model's two rows refit $\alpha$ and $\pi$ in every draw. At k = 1 "same label" is the agreement of two raters.
    The model takes raters to be alike: where the observed row lies clearly below it, they are not (on HS-Brexit, six
    people of two groups, two panels of three agree on .876 of the labels where the model says .903).

    Args:
        ratings: Long ratings, one row per item and rater; a frame or (item, rater, value) triples.
        sizes: Numbers of raters k, 1 to 100.
        level: Level of measurement for the coefficient and the reliability; labels are names.
        order: Names of the values from lowest to highest, for ordinal text.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: Kind of interval, or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        n_simulations: Data sets simulated for the projected interval.
        seed: Seed.

    Returns:
        Five rows per size: ``size``, ``quantity`` and the fields of Estimate.

    Undefined:
        Everything where alpha is; the model's rows where no two ratings of an item differ; the observed row where no
        item has 2k ratings; the projected interval at k = 1.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.alpha.krippendorff_alpha`.
        ValueError: A size is not between 1 and 100, or an unknown level.

    Example:
        >>> votes = {"x": "aa", "y": "ab", "z": "bb"}  # alpha = 4/9; 3 raters: (4/3) / (1 + 8/9) = 12/17
        >>> rows = [(i, who, v) for i, both in votes.items() for who, v in zip(("ann", "bob"), both)]
        >>> found = agreement_by_panel_size(rows, sizes=(3,), ci=None)
        >>> found.filter(quantity="reliability")["value"].round(4).to_list()
        [0.7059]

    Reference:
        Spearman (1910), Br. J. Psychol. 3:271-295; Brown (1910), Br. J. Psychol. 3:296-322 (the reliability of k).
    """
    for size in sizes:
        check_panel("agreement_by_panel_size", size)
    if level not in get_args(PlannedLevel):
        raise ValueError(
            f"agreement_by_panel_size: level must be one of {', '.join(get_args(PlannedLevel))}, found {level!r}"
        )
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group)
    alpha = krippendorff_alpha(
        ratings, level=level, order=order, item=item, rater=rater, value=value, group=group, ci=ci,
        confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    assert isinstance(alpha, Estimate)
    how = _Draws(ci, confidence, n_boot, seed)
    projected = _projected(cells, alpha, level, order, sizes, n_simulations, seed)
    rows = list(_rows(cells, alpha, projected, sizes, how))
    beside = [{"size": size, "quantity": quantity} for size, quantity, _ in rows]
    return estimates_frame([one for _, _, one in rows], beside=beside)


def spearman_brown(single: float, size: int) -> float:
    r"""Reliability of the mean of k raters from that of one: $k a / (1 + (k - 1) a)$; ``nan`` where that is 1 / 0.

    Example:
        >>> spearman_brown(0.5, 3)
        0.75
    """
    below = 1 + (size - 1) * single
    return size * single / below if below > 0 else float("nan")


class _Draws(NamedTuple):
    ci: Interval | None
    confidence: float
    n_boot: int
    seed: int


def _rows(
    cells: Cells, alpha: Estimate, projected: Sequence[Estimate], sizes: Sequence[int], how: _Draws
) -> Iterator[tuple[int, str, Estimate]]:
    votes = vote_table(cells) if len(cells.values) <= VALUES else None
    for size, coefficient in zip(sizes, projected, strict=True):
        yield size, "coefficient", coefficient
        yield size, "reliability", _reliability(alpha, size)
        for quantity, own in _labels(cells, votes, size, how) if votes is not None else _no_labels(how):
            yield size, quantity, own


def _projected(
    cells: Cells, alpha: Estimate, level: PlannedLevel, order: Sequence[str] | None, sizes: Sequence[int], n: int,
    seed: int,
) -> list[Estimate]:  # fmt: skip
    """Alpha with the interval to expect from each size on as many items."""
    from scipy.stats import norm

    fitted = fit_pilot(cells, "krippendorff_alpha", level, order)
    z = float(norm.ppf(0.5 + alpha.confidence / 2))
    found = []
    for size in sizes:
        bare = replace(alpha, low=float("nan"), high=float("nan"), method="projected")
        if size == 1 or math.isnan(fitted.rho + fitted.common):
            found.append(replace(bare, note="one rating per item has no pairs" if size == 1 else fitted.note))
            continue
        _, se = simulate(fitted, "krippendorff_alpha", level, items=max(2, alpha.n), raters=size, n=n, seed=seed)
        half = z * float(np.nanmedian(se))
        note = "; ".join(filter(None, ["the interval to expect, not one of the data", fitted.note]))
        found.append(replace(bare, low=alpha.value - half, high=min(1.0, alpha.value + half), note=note))
    return found


def _reliability(alpha: Estimate, size: int) -> Estimate:
    """Spearman-Brown of the value and both ends: it is monotone, so quantiles go over into quantiles."""
    value, low, high = (spearman_brown(x, size) for x in (alpha.value, alpha.low, alpha.high))
    note = alpha.note
    if math.isnan(value) and not math.isnan(alpha.value):
        note, low, high = "alpha is too far below 0 for a reliability", value, value
    elif math.isnan(low) and not math.isnan(alpha.low):
        note, high = "no interval: alpha's lower end is too far below 0", low
    return replace(alpha, name="reliability of the mean", value=value, low=low, high=high, note=note)


def _labels(cells: Cells, votes: Floats, size: int, how: _Draws) -> list[tuple[str, Estimate]]:
    """The three rows about majority labels."""
    prior, why = fit_prior(votes)
    patterns = collapse(prior_rows(votes), groups=cells.group)
    listed = None if why else list_votes(prior, size, how.seed)
    remark = "" if why or prior.alpha[0] > 0 else BELOW_CHANCE
    sampled = f"over {len(listed.votes)} sampled votes" if listed is not None and listed.proposal is not None else ""

    def chance(which: int) -> Formula:
        def formula(sums: Floats) -> Floats:
            if listed is None:
                return np.full(len(sums), np.nan)
            each = prior_of_sums(sums)
            return np.where(np.isnan(each.alpha), np.nan, expected_chances(each, listed)[:, which])

        return formula

    found = []
    for quantity, formula in (("same label (model)", chance(0)), ("tie (model)", chance(1))):
        one = estimate(
            quantity, patterns, formula, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot,
            seed=how.seed, undefined=why,
        )  # fmt: skip
        found.append((quantity, replace(one, note="; ".join(filter(None, [one.note, remark, sampled, *cells.notes])))))
    return [*found, ("same label (observed)", _observed(cells, votes, size, how))]


def _observed(cells: Cells, votes: Floats, size: int, how: _Draws) -> Estimate:
    enough = votes.sum(axis=1) >= 2 * size
    chances, sampled = observed_chances(votes[enough], size, seed=how.seed)
    rows = np.column_stack([chances[:, 0], np.ones(len(chances))])
    groups = None if cells.group is None else cells.group[enough]
    one = estimate(
        "same label (observed)", collapse(rows, groups=groups), lambda sums: sums[:, 0] / sums[:, 1],
        ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed,
    )  # fmt: skip
    why = f"no item has {2 * size} ratings" if not enough.any() else one.note
    note = [why, "some items by sampling" if sampled else "", *cells.notes]
    return replace(one, note="; ".join(filter(None, note)))


def _no_labels(how: _Draws) -> list[tuple[str, Estimate]]:
    """Rows of more values than a majority can be about."""
    nan = float("nan")
    return [
        (name, Estimate(name, nan, nan, nan, 0, 0, method=how.ci or "none", confidence=how.confidence, note=_TOO_MANY))
        for name in ("same label (model)", "tie (model)", "same label (observed)")
    ]
