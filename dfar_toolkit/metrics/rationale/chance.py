r"""Token F1 beyond what random words of the same number would have, in closed form.

k words drawn without replacement from n, of which people marked g, hit $T$ of them, hypergeometric with
$E[T] = k g / n$. F1 is linear in T, so

    $E[F_1] = \frac{2 E[T]}{k + g} = \frac{2 k g}{n (k + g)}$

without drawing anything. Cost: linear in the words.
"""

from __future__ import annotations

import numpy as np

from dfar_toolkit.agreement.spans.span_scores import BothEmpty
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.count_scores import WITHOUT, count_values, empty_note, estimate_words, joined
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, Top, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.token_f1 import token_counts
from dfar_toolkit.metrics.reasons.present_means import mean_present


def token_f1_above_chance(
    marked: MarkedWords,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    top: Top = "human",
    both_empty: BothEmpty = "agree",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Token F1 minus its expectation for as many words chosen at random, mean over items.

    $\frac{1}{N} \sum_i \left(F_{1,i} - \frac{2 k_i g_i}{n_i (k_i + g_i)}\right)$ with $n_i$ words in the item, $k_i$
    chosen, $g_i$ marked. 0 is chance, at any number of words; long rationales in short texts gain nothing. Higher is
    better. Where one side is empty, or both are, random words score the same and the difference is 0.

    Args:
        marked: Words that people and methods marked.
        method: The method; None where there is only one.
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of the people asked.
        top: How many words a method that only scores them chooses.
        both_empty: Items where neither has a word: ``agree`` (difference 0) or ``leave_out``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with a rationale.

    Undefined:
        No item has a rationale.

    Raises:
        ValueError: An unknown method or option.

    Example:
        F1 = 2 x 1 / (2 + 1) = 2/3; random: 2 x 2 x 1 / (4 x 3) = 1/3.

        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> round(token_f1_above_chance(marked_words([[[0, 1, 0, 0]]], [[1, 1, 0, 0]]), ci=None).value, 12)
        0.333333333333
    """
    words = against_people(marked, method=method, gold=gold, top=top)
    row = token_f1_above_chance_rows(words, both_empty=both_empty)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def token_f1_above_chance_rows(words: GoldWords, *, both_empty: BothEmpty = "agree") -> Additive:
    """The rows and formula of :func:`token_f1_above_chance`.

    Args:
        words: A method's rationales beside people's marks.
        both_empty: As there.

    Returns:
        The additive statistic.
    """
    counts = token_counts(words)
    values = count_values(counts, part="f1", both_empty=both_empty) - _expected(words, counts, both_empty)
    said = joined(words.note, words.top_note, empty_note(words, counts, both_empty).replace("as 1", "as 0"))
    name = "token F1 minus that of random words"
    return mean_present("token_f1_above_chance", name, words.per_item(values), without=WITHOUT, note=said)


def random_token_f1_rows(words: GoldWords, *, both_empty: BothEmpty = "agree") -> Additive:
    """The expected token F1 of random words, as many as each rationale has: the floor under :func:`token_f1_rows`.

    Args:
        words: A method's rationales beside people's marks.
        both_empty: As for :func:`token_f1_above_chance`.

    Returns:
        The additive statistic.
    """
    counts = token_counts(words)
    values = _expected(words, counts, both_empty)
    said = joined(words.note, words.top_note, empty_note(words, counts, both_empty))
    name = "token F1 of random words"
    return mean_present("token_f1_of_random_words", name, words.per_item(values), without=WITHOUT, note=said)


def expected_token_f1(chosen: Floats, marked: Floats, n: Floats) -> Floats:
    """Expected token F1 (R,) of ``chosen`` random words of ``n``, of which ``marked`` are marked; ``nan`` at 0 / 0.

    Example:
        >>> expected_token_f1(np.array([2.0]), np.array([1.0]), np.array([4.0])).round(6).tolist()
        [0.333333]
    """
    bottom = n * (chosen + marked)
    out: Floats = np.divide(2 * chosen * marked, bottom, out=np.full(len(bottom), np.nan), where=bottom > 0)
    return out


def _expected(words: GoldWords, counts: tuple[Floats, Floats, Floats], both_empty: BothEmpty) -> Floats:
    expected = expected_token_f1(counts[1], counts[2], words.sizes.astype(np.float64))
    expected[counts[1] + counts[2] == 0] = 1.0 if both_empty == "agree" else np.nan
    return expected
