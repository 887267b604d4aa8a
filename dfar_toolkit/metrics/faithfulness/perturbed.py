r"""What a model says to items without some of their words: the form in which every metric of faithfulness starts.

N items; R rows, each one item without (and with only) the k words that one method names, taken away by one operator.
A row has two answers, to ``without`` and ``only``; the item's own answer and the one to the empty input stand beside.
All is in flat arrays, so a metric is a few passes over numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.labels import Codes

EVIDENCE_K: Final = -1  # the k of rows about a rationale that is a set of words
_SAME: Final = 1e-9  # shares, and products of shares with numbers of words, that differ by less are equal


class Said(NamedTuple):
    """Answers to n inputs over K options.

    ``label`` (n,): 0..K-1, K answered without a label (unparsed), K + 1 failed, K + 2 not asked (missing);
    ``probs`` (n, K): probabilities of the options, ``nan`` where unknown.
    """

    label: Codes
    probs: Floats

    def take(self, keep: slice | npt.NDArray[np.bool_]) -> Said:
        """These answers."""
        return Said(self.label[keep], self.probs[keep])


class Step(NamedTuple):
    """How many words: ``k`` (all, where an item has fewer), a ``share``, or as many as the set of a method has.

    ``words_of`` names that method, such as human; none of the three: the rationale's own set of words.
    """

    k: int | None = None
    share: float | None = None
    words_of: str | None = None


class Perturbed(NamedTuple):
    """Answers of one run to changed items, R rows about N items.

    ``items`` (N,) ids, sorted; ``groups`` (N,) resampling units, or None; ``options`` (K,), ``methods``, ``operators``
    names that the codes stand for; ``n_words`` (N,), 0 where unknown; ``full`` the N answers to the items themselves;
    ``empty`` for each operator the N answers to the items without any word. Of each row ``item, method, operator``
    (codes), ``draw``, ``k`` (-1: the rationale's own set of words), ``removed`` (number of words), ``share`` (as it was
    asked, else ``nan``), ``target`` (code of the label whose probability counts, K where there is none), and what the
    model says ``without`` these words and to ``only`` them. Rows are sorted by method, operator, item, draw and k.
    ``shares`` are those that were asked for, in order; ``set_sizes`` of every method whose rationales are sets of words
    the number of these words in each item (N,), -1 where unknown.
    """

    items: pl.Series
    groups: pl.Series | None
    options: tuple[str, ...]
    methods: tuple[str, ...]
    operators: tuple[str, ...]
    n_words: Codes
    full: Said
    empty: tuple[Said, ...]
    item: Codes
    method: Codes
    operator: Codes
    draw: Codes
    k: Codes
    removed: Codes
    share: Floats
    target: Codes
    without: Said
    only: Said
    shares: tuple[float, ...]
    set_sizes: Mapping[str, Codes]
    note: str = ""

    def p_before(self) -> Floats:
        """Probability of the target on the whole item (R,); ``nan`` where unknown."""
        return _of_target(self.full.probs[self.item], self.target)

    def p_without(self) -> Floats:
        """Probability of the target without the words (R,)."""
        return _of_target(self.without.probs, self.target)

    def p_only(self) -> Floats:
        """Probability of the target on these words alone (R,)."""
        return _of_target(self.only.probs, self.target)

    def p_empty(self) -> Floats:
        """Probability of the target on the empty input of the row's operator (R,)."""
        found = np.full(len(self.item), np.nan)
        for code, said in enumerate(self.empty):
            own = self.operator == code
            found[own] = _of_target(said.probs[self.item[own]], self.target[own])
        return found

    def label_before(self) -> Codes:
        """Label of the whole item (R,)."""
        return self.full.label[self.item]

    def label_empty(self) -> Codes:
        """Label of the empty input of the row's operator (R,)."""
        found = np.full(len(self.item), len(self.options) + 2, dtype=np.int64)
        for code, said in enumerate(self.empty):
            own = self.operator == code
            found[own] = said.label[self.item[own]]
        return found

    def take(self, keep: slice | npt.NDArray[np.bool_]) -> Perturbed:
        """These rows, of the same items."""
        return self._replace(
            item=self.item[keep], method=self.method[keep], operator=self.operator[keep], draw=self.draw[keep],
            k=self.k[keep], removed=self.removed[keep], share=self.share[keep], target=self.target[keep],
            without=self.without.take(keep), only=self.only.take(keep),
        )  # fmt: skip

    def block(self, method: str, operator: str) -> slice:
        """Where the rows of one method and operator stand; nowhere, where there are none.

        Raises:
            ValueError: A method or operator that the run does not have.
        """
        for word, name, known in (("method", method, self.methods), ("operator", operator, self.operators)):
            if name not in known:
                raise ValueError(f"perturbed: no {word} {name!r}; found {', '.join(known) or 'none'}")
        wanted = self.methods.index(method) * len(self.operators) + self.operators.index(operator)
        start, end = np.searchsorted(self.method * len(self.operators) + self.operator, [wanted, wanted + 1])
        return slice(int(start), int(end))

    def of(self, method: str, operator: str) -> Perturbed:
        """The rows of one method and operator."""
        return self.take(self.block(method, operator))

    def at(self, step: Step) -> Perturbed:
        """The rows at one step, at most one for each item and draw of a method and operator."""
        return self.take(step_rows(self, step))

    def blocks(self) -> list[tuple[str, str]]:
        """Method and operator of all rows, each pair once, in order."""
        n = max(1, len(self.operators))
        found = np.unique(self.method * n + self.operator)
        return [(self.methods[b // n], self.operators[b % n]) for b in found.tolist()]


def _of_target(probs: Floats, target: Codes) -> Floats:
    known = target < probs.shape[1]
    found = np.full(len(target), np.nan)
    found[known] = probs[np.flatnonzero(known), target[known]]
    return found


def words_of_share(n_words: npt.ArrayLike, share: float) -> Codes:
    """Number of words that a share stands for: max(1, ceil(share x words)), rounding errors apart.

    Args:
        n_words: Words of the items (N,).
        share: Between 0 and 1.

    Returns:
        Whole numbers (N,).

    Example:
        >>> words_of_share([1, 10, 11], 0.1).tolist()
        [1, 1, 2]
    """
    exact = share * np.asarray(n_words, dtype=np.float64)
    return np.maximum(1, np.ceil(exact - _SAME)).astype(np.int64)


def step_rows(perturbed: Perturbed, step: Step) -> npt.NDArray[np.bool_]:
    """Which rows (R,), of one method and operator, are those of a step.

    A share is looked for by its name, and where an item has no row of that name by the number of words it comes to:
    several shares of a short item are one row.
    """
    p = perturbed
    if step.k is not None:
        n = p.n_words[p.item]
        return np.asarray((p.k == step.k) | ((n > 0) & (n < step.k) & (p.k == n)), dtype=bool)
    if step.words_of is not None and step.words_of in p.set_sizes:
        size = p.set_sizes[step.words_of][p.item]
        its_own = (p.method == p.methods.index(step.words_of)) & (p.k == EVIDENCE_K)
        return np.asarray(its_own | ((p.k > 0) & (p.k == size)), dtype=bool)
    if step.words_of is not None:
        return np.zeros(len(p.k), dtype=bool)
    if step.share is None:
        return np.asarray(p.k == EVIDENCE_K, dtype=bool)
    named = np.abs(p.share - step.share) < _SAME
    named_items = np.zeros(len(p.items), dtype=bool)
    named_items[p.item[named]] = True
    wanted = np.where(p.n_words > 0, words_of_share(p.n_words, step.share), -2)[p.item]
    return np.asarray(named | ((p.k == wanted) & ~named_items[p.item]), dtype=bool)
