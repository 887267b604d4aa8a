"""Permutation tests that move raters between two groups: all distinct splits where they are few, else random ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from math import comb
from typing import Final, NamedTuple

import numpy as np

from dfar_toolkit.agreement.counting import Floats

_EQUAL: Final = 1e-12  # statistics that differ by less differ by rounding alone
_UNDEFINED: Final = 0.05  # share of undefined splits above which the rest says nothing
_BLOCK: Final = 500  # splits made at once


class PermutationTest(NamedTuple):
    """A two-sided p, the smallest that it could have been, and what must be noted."""

    p: float
    smallest_p: float
    note: str


class RaterSplits:
    """The splits of ``n`` raters into ``n_a`` and the rest.

    Args:
        n: Raters.
        n_a: Raters of the first group.
        n_permutations: Distinct splits up to which all are taken, else how many random ones.
        seed: Seed of the random ones.

    Example:
        >>> splits = RaterSplits(6, 3, 9999, 0)
        >>> sum(len(block) for block in splits.blocks()), splits.least
        (20, 0.1)
    """

    def __init__(self, n: int, n_a: int, n_permutations: int, seed: int) -> None:
        self._n, self._n_a, self._drawn, self._seed = n, n_a, n_permutations, seed
        self._exact = comb(n, n_a) <= n_permutations

    @property
    def least(self) -> float:
        """The smallest p that a statistic could have if no two splits tie but those that exchange the groups."""
        mirrored = 2 * self._n_a == self._n  # the same distance from 0, the other way round
        return (2 if mirrored else 1) / comb(self._n, self._n_a) if 0 < self._n_a < self._n else float("nan")

    def blocks(self) -> Iterator[Floats]:
        """1 for raters in the first group, 0 for the others: blocks of splits (B, R)."""
        return self._all() if self._exact else self._random()

    def test(self, real: float, splits: Floats) -> PermutationTest:
        """How far from 0 the real statistic is among those of the splits.

        Args:
            real: The statistic of the real groups.
            splits: The statistic of every split of :meth:`blocks`, ``nan`` where undefined.

        Returns:
            p = share of splits at least as far from 0 as the real one (which is one of them; it is added to random
            splits). The smallest attainable p is read from all splits (how many share the largest distance), else the
            larger of 1 / (1 + random splits) and :attr:`least`.

        Undefined:
            More than 5 % of the splits are undefined, or the real statistic is.

        Reference:
            Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39.
        """
        nan, size = float("nan"), np.abs(splits[np.isfinite(splits)])
        absent = len(splits) - len(size)
        note = f"{absent} of {len(splits)} splits undefined" if absent else ""
        if absent > _UNDEFINED * len(splits) or not np.isfinite(real):
            return PermutationTest(nan, nan, f"no test: {note}" if absent else "")
        slack = _EQUAL * max(1.0, abs(real))
        reached = int((size >= abs(real) - slack).sum())
        if self._exact:
            return PermutationTest(reached / len(size), float((size >= size.max() - slack).mean()), note)
        note = "; ".join(filter(None, [f"{len(size)} random splits", note]))
        return PermutationTest((1 + reached) / (1 + len(size)), max(1 / (1 + len(size)), self.least), note)

    def _all(self) -> Iterator[Floats]:
        chosen = combinations(range(self._n), self._n_a)
        while block := list(islice(chosen, _BLOCK)):
            member = np.zeros((len(block), self._n))
            np.put_along_axis(member, np.array(block), 1.0, axis=1)
            yield member

    def _random(self) -> Iterator[Floats]:
        rng = np.random.default_rng(self._seed)
        for start in range(0, self._drawn, _BLOCK):
            keys = rng.random((min(_BLOCK, self._drawn - start), self._n))
            yield (np.argsort(np.argsort(keys, axis=1), axis=1) < self._n_a).astype(np.float64)
