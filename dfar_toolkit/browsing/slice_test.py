r"""Do items inside a slice err as often as those outside? Outcomes dealt anew to groups of equal size.

If a condition has nothing to do with errors, the outcomes of a group could as well be those of any other group of its
size, in any order: dealing them anew gives the distribution of the difference, whatever the error rate and however few
items. (Flipping the signs of the groups' parts does not: where nobody in a small slice errs its variance is taken for
nothing, and a fifth of all sets without slices would show one.) Above ``DEALT`` items the difference is compared with
its normal limit instead, with the variance at the error rate of all, and only where enough errors and non-errors are
expected inside.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.browsing.filter_conditions import Mask
from dfar_toolkit.estimate import Floats, collapse

DEALT: Final = 10_000  # items up to which outcomes are dealt
_EXPECTED: Final = 25.0  # errors and non-errors inside, from which the normal limit is trusted
_ROUNDING: Final = 1e-9


def slice_p_values(wrong: Mask, members: Mask, groups: pl.Series, *, n_perm: int = 1000, seed: int = 0) -> Floats:
    """Two-sided p (S,) that each slice errs as often as what is outside of it.

    Args:
        wrong: Whether each item is wrong (n,).
        members: Which items each slice has (n, S).
        groups: The group of each item (n,).
        n_perm: How often outcomes are dealt.
        seed: Seed of the dealing.

    Undefined:
        ``nan`` for a slice with no items or all; above ``DEALT`` items also where fewer than 25 errors or non-errors
        are expected inside.

    Example:
        >>> wrong = np.array([True] * 6 + [False] * 6)
        >>> p = slice_p_values(wrong, wrong[:, None], pl.Series([str(k) for k in range(12)]), n_perm=999)
        >>> bool(p[0] < 0.01)
        True
    """
    inside = members.sum(0).astype(np.float64)
    defined = (inside > 0) & (inside < len(wrong))
    if not defined.any():
        return np.full(members.shape[1], np.nan)
    found = _dealt(wrong, members, groups, n_perm, seed) if len(wrong) <= DEALT else _limit(wrong, members, groups)
    return np.where(defined, found, np.nan)


def _dealt(wrong: Mask, members: Mask, groups: pl.Series, n_perm: int, seed: int) -> Floats:
    """The share of dealings with a difference at least as large, the one found counted with them."""
    codes = groups.rank("dense").to_numpy().astype(np.int64) - 1
    sizes = np.bincount(codes)[codes]
    # An order that does not depend on that of the rows; within a group outcomes and members are put in order apart.
    of_members = np.lexsort((*members.T, codes, sizes))
    of_wrong = np.lexsort((wrong, codes, sizes))
    held, outcomes = members[of_members].astype(np.float64), wrong[of_wrong].astype(np.float64)
    size, group = sizes[of_wrong], codes[of_wrong]
    expected = outcomes.mean() * held.sum(0)
    found = np.abs(wrong.astype(np.float64) @ members - expected)
    rng = np.random.default_rng(seed)
    alone, as_large = bool((size == 1).all()), np.zeros(members.shape[1])
    for _ in range(n_perm):
        order = rng.permutation(len(outcomes)) if alone else (
            np.lexsort((rng.random(len(outcomes)), rng.permutation(codes.max() + 1)[group], size))
        )  # fmt: skip
        as_large += np.abs(outcomes[order] @ held - expected) >= found - _ROUNDING
    p: Floats = (1 + as_large) / (1 + n_perm)
    return p


def _limit(wrong: Mask, members: Mask, groups: pl.Series) -> Floats:
    """The normal limit, its variance widened by what belonging together adds."""
    n, overall = len(wrong), float(wrong.mean())
    p = np.full(members.shape[1], np.nan)
    for at, held in enumerate(members.T):
        inside = float(held.sum())
        if not 0 < inside < n or inside * min(overall, 1 - overall) < _EXPECTED:
            continue
        parts = (wrong - overall) * np.where(held, 1 / inside, -1 / (n - inside))
        units = collapse(parts, groups=groups)
        together = float(units.times @ units.rows[:, 0] ** 2) / float(parts @ parts)
        variance = overall * (1 - overall) * (1 / inside + 1 / (n - inside)) * max(1.0, together)
        p[at] = math.erfc(abs(float(parts.sum())) / math.sqrt(2 * variance))
    return p
