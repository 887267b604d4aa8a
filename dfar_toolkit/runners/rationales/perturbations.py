"""Which words are taken away to try a rationale out, and the rows that tell what the model says then."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from dfar_toolkit.engines.requests import Reply, Request
from dfar_toolkit.runners.rationales.explaining import RANDOM, Explaining
from dfar_toolkit.runners.rationales.item_without import ItemWithout
from dfar_toolkit.runners.rationales.rationale import (
    EMPTY,
    ONLY_EVIDENCE,
    ONLY_TOP,
    WITHOUT_EVIDENCE,
    WITHOUT_TOP,
    Rationale,
    top_words,
)
from dfar_toolkit.runners.units import Row


class Trial(NamedTuple):
    """One form of the item that tries a rationale out.

    Attributes:
        condition: ``without_top``, ``only_top``, ``without_evidence``, ``only_evidence``.
        method: Of the rationale.
        draw: Its draw.
        k: Number of words that the rationale names here; -1 where it is a set, which names as many as it has.
        shares: Shares of the words that were asked for with this k; none: k was asked for as a number.
        size: Number of words that the rationale names here, whether they go or stay.
        gone: The words that go.
    """

    condition: str
    method: str
    draw: int
    k: int
    shares: tuple[float, ...]
    size: int
    gone: frozenset[int]


def k_of_share(share: float, n_words: int) -> int:
    """How many words a share of them is: rounded up, one at least, exact for shares as they are written.

    Example:
        >>> k_of_share(0.07, 100), k_of_share(0.01, 5)  # 0.07 * 100 is 7.000000000000001
        (7, 1)
    """
    return max(1, math.ceil(Fraction(str(share)) * n_words))


def numbers_of_words(how: Explaining, n_words: int, human: int | None) -> dict[int, tuple[float, ...]]:
    """The k that scored rationales are tried out at, each with the shares that ask for it.

    Args:
        how: Shares, numbers, and whether the human number of words is one of them.
        n_words: Words of the item; of a larger k these.
        human: How many words the people marked; None: nobody was asked.

    Returns:
        By k, rising.

    Example:
        >>> how = Explaining(None, (), shares=(0.1, 0.2, 0.5), ks=(1, 3, 99))
        >>> numbers_of_words(how, 10, 4)
        {1: (0.1,), 2: (0.2,), 3: (), 4: (), 5: (0.5,), 10: ()}
    """
    found: dict[int, tuple[float, ...]] = {}
    for share in sorted(set(how.shares)):
        k = k_of_share(share, n_words)
        found[k] = (*found.get(k, ()), share)
    own = (human,) if how.human_length and human else ()
    numbers: dict[int, tuple[float, ...]] = dict.fromkeys((min(k, n_words) for k in (*how.ks, *own) if k > 0), ())
    return dict(sorted((numbers | found).items()))


def trials(rationales: Sequence[Rationale], n_words: int, how: Explaining, human: int | None) -> list[Trial]:
    """How each rationale is tried out: without its words, and with them alone.

    Args:
        rationales: Those of one item.
        n_words: Words of the item.
        how: At which numbers of words.
        human: How many words the people marked; None: nobody was asked.

    Returns:
        The trials. Random rationales are tried out at every number of words that any other rationale is. The set of a
        scored rationale is its top words, as many as people marked (Top-Var), where they marked some.
    """
    known = numbers_of_words(how, n_words, human)
    others = [one for one in rationales if one.method != RANDOM]
    scored = any(one.scores for one in others) or not any(one.chosen is not None for one in others)
    sizes = {len(one.chosen) for one in others if one.chosen}
    random_ks = sorted({*(known if scored else ()), *sizes})
    found: list[Trial] = []
    for one in rationales:
        if one.scores is not None:
            for k in random_ks if one.method == RANDOM else _fitting(one, known):
                found += _pair(one, top_words(one.scores, k), n_words, k, known.get(k, ()))
        own = one.chosen
        if own is None and one.scores and how.human_length and human:
            own = top_words(one.scores, human)  # the set that a scored rationale is compared as: Top-Var
        if own:  # a rationale that names no word is an outcome of its own, and not one that does not flip
            found += _pair(one, own, n_words, -1, ())
    return found


def _fitting(one: Rationale, known: Iterable[int]) -> list[int]:
    """The numbers of words that a rationale ranks: a list that the model wrote says nothing of further words."""
    ranked = math.inf if one.chosen is None else sum(score > 0 for score in one.scores or ())
    return [k for k in known if k <= ranked]


def _pair(one: Rationale, words: frozenset[int], n_words: int, k: int, shares: tuple[float, ...]) -> list[Trial]:
    without, only = (WITHOUT_EVIDENCE, ONLY_EVIDENCE) if k < 0 else (WITHOUT_TOP, ONLY_TOP)
    rest = frozenset(range(n_words)) - words
    return [
        Trial(condition, one.method, one.draw, k, shares, len(words), gone)
        for condition, gone in ((without, words), (only, rest))
    ]


def perturbed(
    item: ItemWithout, rationales: Sequence[Rationale], how: Explaining, human: int | None
) -> Generator[list[Request], list[Reply], list[Row]]:
    """Ask about an item without the words of its rationales, and with these alone, and without any word.

    Args:
        item: The item; what it was asked before is not asked again.
        rationales: Its rationales.
        how: The operators, and at which numbers of words.
        human: How many words the people marked; None: nobody was asked.

    Returns:
        The rows, by operator: ``empty`` first, then two for each rationale and number of words. ``share`` is the least
        share that asked for k words and ``shares`` all of them (a short item has the same k for several); ``n_removed``
        is the number of the rationale's words, which in ``only_*`` are those that stay.
    """
    n_words = len(item.all_words)
    if not n_words:
        return []
    tried = trials(rationales, n_words, how, human)
    gone = dict.fromkeys([item.all_words, *(trial.gone for trial in tried)])
    yield from item.ask((operator, words) for operator in how.operators for words in gone)
    rows: list[Row] = []
    for operator in dict.fromkeys(how.operators):
        rows.append({"condition": EMPTY, "method": "", "operator": operator, "k": -1, "draw": 0, "n_words": n_words,
                     "n_removed": n_words, **item.row(operator, item.all_words)})  # fmt: skip
        for trial in tried:
            rows.append({
                "condition": trial.condition, "method": trial.method, "operator": operator, "k": trial.k,
                "draw": trial.draw, "share": trial.shares[0] if trial.shares else None, "shares": list(trial.shares),
                "n_words": n_words, "n_removed": trial.size, **item.row(operator, trial.gone),
            })  # fmt: skip
    return rows
