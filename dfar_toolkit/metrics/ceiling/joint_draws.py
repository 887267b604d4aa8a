r"""Resamples of scores and votes together: sums of the scores' rows beside the weights of the rows of votes.

Up to 20,000 items, and wherever items come in groups, each resample is drawn unit by unit. With more single items the
weights $w_p$ of the distinct rows of votes are still drawn exactly; given them, the sums of the scores' rows x are
drawn from their normal limit, mean $\sum_p w_p \bar x_p$ and covariance $\sum_i (x_i - \bar x_{p(i)})(x_i -
\bar x_{p(i)})^T$.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.estimate.additive import EXACT_UNITS
from dfar_toolkit.metrics.ceiling.refitted import pattern_weights
from dfar_toolkit.metrics.ceiling.vote_counts import VoteCounts

_BLOCK: Final = 32_768  # items of a block: fits the cache


class JointDraws:
    """Resamples of N items with rows (N, D) of scores and votes on each.

    Iterate over :meth:`pattern_weights`; ``sums`` then holds the sums (D,) of each resample so far. ``total`` (D,) are
    those of the items themselves. ``normal`` says whether the sums come from the normal limit. Nothing depends on the
    order of the items.
    """

    def __init__(self, votes: VoteCounts, columns: Sequence[Floats], *, n_boot: int, seed: int) -> None:
        self.votes, self.n_boot, self.seed = votes, n_boot, seed
        self.normal = votes.groups is None and votes.n_items > EXACT_UNITS
        self.columns, self.of_item, self.unit = list(columns), votes.of_item, votes.groups
        # In the normal limit only sums by pattern are needed, which do not depend on the order but for rounding.
        if not self.normal:
            keys = (*columns, votes.of_item) if votes.groups is None else (*columns, votes.of_item, votes.groups)
            order = np.lexsort(keys)
            self.columns, self.of_item = [c[order] for c in columns], votes.of_item[order]
            self.unit = None if votes.groups is None else votes.groups[order]
        self.total = np.array([c.sum() for c in self.columns])
        self.sums: list[Floats] = []

    def pattern_weights(self) -> Iterator[Floats]:
        """Weights (P,) of the distinct rows of votes in each resample."""
        rng = np.random.default_rng(self.seed)
        return self._by_pattern(rng) if self.normal else self._by_unit(rng)

    def _by_unit(self, rng: np.random.Generator) -> Iterator[Floats]:
        n_units, width = self.votes.n_units, len(self.votes.patterns)
        rows = np.column_stack(self.columns)
        for _ in range(self.n_boot):
            weights = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units).astype(np.float64)
            if self.unit is not None:
                weights = weights[self.unit]
            self.sums.append(np.einsum("n,nd->d", weights, rows))
            yield np.bincount(self.of_item, weights=weights, minlength=width).astype(np.float64)

    def _by_pattern(self, rng: np.random.Generator) -> Iterator[Floats]:
        n_patterns, width = len(self.votes.patterns), len(self.columns)
        by_pattern = [np.bincount(self.of_item, weights=c, minlength=n_patterns) for c in self.columns]
        means = np.column_stack(by_pattern) / self.votes.times[:, None]
        scatter = np.zeros((width, width))
        for start in range(0, len(self.of_item), _BLOCK):
            here = slice(start, start + _BLOCK)
            within = np.column_stack([c[here] for c in self.columns]) - means[self.of_item[here]]
            scatter += within.T @ within
        values, vectors = np.linalg.eigh(scatter)
        half = vectors * np.sqrt(np.clip(values, 0.0, None))
        half[scatter.diagonal() == 0] = 0.0  # what is the same on all items stays so: a count of none is none
        noise = rng.standard_normal((self.n_boot, half.shape[1])) @ half.T
        for place, weights in enumerate(pattern_weights(self.votes, self.n_boot, rng)):
            self.sums.append(np.einsum("p,pd->d", weights, means) + noise[place])
            yield weights
