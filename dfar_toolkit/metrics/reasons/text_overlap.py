r"""Scores of pairs of texts: ROUGE-L, token F1, chrF, BLEU.

P candidates and P references give P numbers in [0, 1]; equal texts are tokenised once and equal pairs scored once.
With a longest common subsequence of L words between n candidate and m reference words

    $P = L / n$,   $R = L / m$,   $F = 2 L / (n + m)$

and token F1 has the number of common words (as multisets) for L. All of these count words in common, not agreement in
meaning. Cost: ROUGE-L takes max(n, m) operations on integers of min(n, m) bits per pair, token F1 n + m; sacrebleu's
scores about a hundred times as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.reasons.word_tokens import distinct_word_tokens

_Common = Callable[[list[str]], int]  # words of a candidate -> how many it has in common with one reference
_LONG: Final = 4096  # words from which the shorter text is taken as the bits

Overlap = Callable[[Sequence[str], Sequence[str]], Floats]  # P candidates, P references -> (P,)
OverlapMetric = Literal[
    "rouge_l", "rouge_l_precision", "rouge_l_recall", "token_f1", "token_precision", "token_recall", "chrf", "bleu"
]


class OverlapParts(NamedTuple):
    """Precision, recall and F1 of P pairs, each (P,); ``nan`` where the denominator is 0."""

    precision: Floats
    recall: Floats
    f1: Floats


def rouge_l_scores(candidates: Sequence[str], references: Sequence[str]) -> OverlapParts:
    """ROUGE-L of P pairs: longest common subsequence of words, no stemming.

    Args:
        candidates: P texts.
        references: P texts.

    Returns:
        Precision, recall and F1 (beta = 1), each (P,).

    Undefined:
        Precision of a candidate without words, recall against a reference without words, F1 where both have none.

    Raises:
        ValueError: The numbers of texts differ.

    Example:
        The words a, c are common in order: L = 2, n = 3, m = 4.

        >>> rouge_l_scores(["a b c"], ["a c b d"]).precision.round(3).tolist()
        [0.667]

    Reference:
        Lin (2004), ROUGE: A package for automatic evaluation of summaries; Hyyrö (2004), Bit-parallel LCS-length
        computation revisited (the recurrence).
    """
    return _parts("rouge_l_scores", candidates, references, _subsequences_of)


def token_scores(candidates: Sequence[str], references: Sequence[str]) -> OverlapParts:
    """Precision, recall and F1 of the words of P pairs as multisets, whatever their order.

    Args:
        candidates: P texts.
        references: P texts.

    Returns:
        Each (P,).

    Undefined:
        As :func:`rouge_l_scores`.

    Raises:
        ValueError: The numbers of texts differ.

    Example:
        >>> token_scores(["a a b"], ["b a"]).f1.tolist()
        [0.8]

    Reference:
        Rajpurkar et al. (2016), SQuAD, arXiv 1606.05250, section 6.1 (there with its own normalisation).
    """
    return _parts("token_scores", candidates, references, _words_of)


def chrf_scores(candidates: Sequence[str], references: Sequence[str]) -> Floats:
    """Chrf (character n-grams up to 6, beta 2) of P pairs by sacrebleu's sentence score, divided by 100.

    Args:
        candidates: P texts.
        references: P texts.

    Returns:
        (P,) in [0, 1].

    Raises:
        ImportError: sacrebleu is not installed.
        ValueError: The numbers of texts differ.

    Example:
        >>> chrf_scores(["same text"], ["same text"]).tolist()
        [1.0]

    Reference:
        Popović (2015), chrF, WMT; Post (2018), A call for clarity in reporting BLEU scores, WMT (sacrebleu).
    """
    _check_lengths("chrf_scores", candidates, references)
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise ImportError("chrF needs sacrebleu: pip install 'dfar-toolkit[overlap]'") from error
    metric = CHRF()
    found = [metric.sentence_score(c, [r]).score / 100 for c, r in zip(candidates, references, strict=True)]
    return np.array(found, dtype=np.float64)


def bleu_scores(candidates: Sequence[str], references: Sequence[str]) -> Floats:
    """Sentence BLEU of P pairs by sacrebleu (effective order, its default tokens and smoothing), divided by 100.

    Args:
        candidates: P texts.
        references: P texts.

    Returns:
        (P,) in [0, 1].

    Raises:
        ImportError: sacrebleu is not installed.
        ValueError: The numbers of texts differ.

    Example:
        >>> bleu_scores(["one same text here"], ["one same text here"]).round(6).tolist()
        [1.0]

    Reference:
        Papineni et al. (2002), BLEU, ACL; Post (2018), A call for clarity in reporting BLEU scores, WMT (sacrebleu).
    """
    _check_lengths("bleu_scores", candidates, references)
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError("BLEU needs sacrebleu: pip install 'dfar-toolkit[overlap]'") from error
    metric = BLEU(effective_order=True)
    found = [metric.sentence_score(c, [r]).score / 100 for c, r in zip(candidates, references, strict=True)]
    return np.array(found, dtype=np.float64)


def overlap_scores(metric: OverlapMetric | Overlap, candidates: Sequence[str], references: Sequence[str]) -> Floats:
    """P scores of P pairs by a metric's name or by a function; equal pairs are scored once.

    Args:
        metric: A name, or a function of P candidates and P references that gives (P,) numbers.
        candidates: P texts.
        references: P texts.

    Returns:
        (P,).

    Raises:
        ValueError: An unknown name, or the function gives another shape.

    Example:
        >>> overlap_scores("token_f1", ["a a b", "x"], ["b a", "y"]).tolist()
        [0.8, 0.0]
    """
    _check_lengths("overlap_scores", candidates, references)
    place: dict[tuple[str, str], int] = {}
    of_pair = [place.setdefault(pair, len(place)) for pair in zip(candidates, references, strict=True)]
    left, right = [a for a, _ in place], [b for _, b in place]
    found = np.asarray(_function(metric)(left, right), dtype=np.float64)
    if found.shape != (len(place),):
        raise ValueError(f"overlap_scores: metric must give one number per pair ({len(place)}), found {found.shape}")
    scores: Floats = found[np.array(of_pair, dtype=np.int64)]
    return scores


def metric_name(metric: OverlapMetric | Overlap) -> str:
    """The name of a metric in tables; a function's own name where it has one.

    Example:
        >>> metric_name("rouge_l"), metric_name(chrf_scores)
        ('rouge_l', 'chrf_scores')
    """
    if isinstance(metric, str):
        return metric
    return metric.__name__ if isinstance(metric, type(metric_name)) else type(metric).__name__


def _function(metric: OverlapMetric | Overlap) -> Overlap:
    if not isinstance(metric, str):
        return metric
    functions: dict[str, Overlap] = {
        "rouge_l": lambda a, b: rouge_l_scores(a, b).f1,
        "rouge_l_precision": lambda a, b: rouge_l_scores(a, b).precision,
        "rouge_l_recall": lambda a, b: rouge_l_scores(a, b).recall,
        "token_f1": lambda a, b: token_scores(a, b).f1,
        "token_precision": lambda a, b: token_scores(a, b).precision,
        "token_recall": lambda a, b: token_scores(a, b).recall,
        "chrf": chrf_scores,
        "bleu": bleu_scores,
    }
    if metric not in functions:
        raise ValueError(f"overlap: metric must be a function or one of {', '.join(functions)}; found {metric!r}")
    return functions[metric]


def _parts(
    name: str, candidates: Sequence[str], references: Sequence[str], common: Callable[[list[str]], _Common]
) -> OverlapParts:
    """Parts from the number of common words; ``common`` makes a counter for a reference, used for all its pairs."""
    _check_lengths(name, candidates, references)
    words = distinct_word_tokens([*candidates, *references])
    place = {text: k for k, text in enumerate(words)}
    of_reference = np.array([place[r] for r in references], dtype=np.int64)
    shared, last, count = np.zeros(len(of_reference)), -1, common([])
    for pair in np.argsort(of_reference, kind="stable"):
        if of_reference[pair] != last:
            last, count = of_reference[pair], common(words[references[pair]])
        shared[pair] = count(words[candidates[pair]])
    n, m = (np.array([len(words[t]) for t in side], dtype=np.float64) for side in (candidates, references))
    blank = np.full(len(shared), np.nan)
    precision = np.divide(shared, n, out=blank.copy(), where=n > 0)
    recall = np.divide(shared, m, out=blank.copy(), where=m > 0)
    return OverlapParts(precision, recall, np.divide(2 * shared, n + m, out=blank, where=n + m > 0))


def _subsequences_of(reference: list[str]) -> _Common:
    """Length of the longest common subsequence: zeros of a bit row over the reference after a step per word."""
    if len(reference) > _LONG:  # symmetric: bits over the shorter of two texts take less room and time
        return lambda words: _subsequences(*sorted([words, reference], key=len))
    places = _bits(reference)
    return lambda words: _zeros(words, places, len(reference))


def _subsequences(short: list[str], long: list[str]) -> int:
    return _zeros(long, _bits(short), len(short))


def _bits(words: list[str]) -> dict[str, int]:
    """Of each word the places where it stands, as bits."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places


def _zeros(words: list[str], places: dict[str, int], width: int) -> int:
    row = full = (1 << width) - 1
    for word in words:
        hit = row & places.get(word, 0)
        if hit:
            row = ((row + hit) | (row - hit)) & full
    return width - row.bit_count()


def _words_of(reference: list[str]) -> _Common:
    counts = Counter(reference)

    def count(words: list[str]) -> int:
        return sum(min(times, counts[word]) for word, times in Counter(words).items() if word in counts)

    return count


def _check_lengths(name: str, candidates: Sequence[str], references: Sequence[str]) -> None:
    if len(candidates) != len(references):
        raise ValueError(f"{name}: {len(candidates)} candidates, {len(references)} references; give pairs")
