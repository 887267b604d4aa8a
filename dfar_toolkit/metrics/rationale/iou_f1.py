r"""IOU F1: spans of neighbouring words that a rationale and people have in common, matched one to one.

A span is a longest run of chosen (marked) neighbouring words of a field. Two spans a, b may be matched where
$|a \cap b| / |a \cup b|$ (in words) reaches the threshold, and the largest number of such matches counts. At a
threshold of .5 and above no span has more than one possible partner: two partners of a would each fill at least half
of it, hence exactly half, lie in it and touch, so they would be one run. Below .5 the maximum is found as a bipartite
matching. This is the rule of ``agreement.span_f1(match="partial")`` between people, in words. Cost: linear in the
words, but for the matching.
"""

from __future__ import annotations

import numpy as np

from dfar_toolkit.agreement.spans.span_scores import Average, BothEmpty
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.rationale.count_scores import Part, count_score, estimate_words
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, Top, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.ragged_rows import Bools, Ints, range_places, row_numbers


def iou_f1(
    marked: MarkedWords,
    *,
    method: str | None = None,
    part: Part = "f1",
    threshold: float = 0.5,
    average: Average = "macro",
    gold: GoldRule = "majority",
    top: Top = "human",
    both_empty: BothEmpty = "agree",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""F1 (or precision, or recall) of spans matched one to one at an intersection over union of at least .5.

    With $t_i$ matches of $k_i$ spans chosen and $g_i$ marked in item i, as
    :func:`~dfar_toolkit.metrics.rationale.token_f1.token_f1`. It never exceeds 1; ERASER's own, which lets several
    predictions hit one human span, is :func:`~dfar_toolkit.metrics.rationale.eraser.eraser_iou_f1`. Higher is better.

    Args:
        marked: Words that people and methods marked.
        method: The method; None where there is only one.
        part: ``precision``, ``recall`` or ``f1``.
        threshold: Smallest intersection over union of a match, above 0 and at most 1; reached counts.
        average: ``macro`` (mean over items) or ``micro`` (of sums).
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of the people asked.
        top: How many words a method that only scores them chooses.
        both_empty: Items where neither has a span: ``agree`` (1) or ``leave_out``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; n counts the items with a rationale.

    Undefined:
        No item has a rationale; micro: also where no span is chosen (precision) or marked (recall) anywhere.

    Raises:
        ValueError: An unknown method or option, an impossible threshold.

    Example:
        Of two spans chosen the first shares 2 of 3 words with the marked one: 2 x 1 / (2 + 1).

        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[1, 1, 1, 0, 0]]], [[0, 1, 1, 0, 1]])
        >>> round(iou_f1(marked, ci=None).value, 6)
        0.666667

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1 (IOU at .5); one to one: Everingham et al. (2010), Int. J.
        Comput. Vis. 88:303-338 (further detections of one object are false).
    """
    words = against_people(marked, method=method, gold=gold, top=top)
    row = iou_f1_rows(words, part=part, threshold=threshold, average=average, both_empty=both_empty)
    return estimate_words(row, words, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def iou_f1_rows(
    words: GoldWords,
    *,
    part: Part = "f1",
    threshold: float = 0.5,
    average: Average = "macro",
    both_empty: BothEmpty = "agree",
    counts: tuple[Floats, Floats, Floats] | None = None,
) -> Additive:
    """The rows and formula of :func:`iou_f1`.

    Args:
        words: A method's rationales beside people's marks.
        part: As there.
        threshold: As there.
        average: As there.
        both_empty: As there.
        counts: Those of :func:`span_counts`, where they are at hand.

    Returns:
        The additive statistic.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"iou_f1: threshold must be above 0 and at most 1, found {threshold!r}")
    counts = counts or span_counts(words, threshold)
    return count_score("IOU", words, counts, part=part, average=average, both_empty=both_empty)


def span_counts(words: GoldWords, threshold: float) -> tuple[Floats, Floats, Floats]:
    """Spans matched, chosen and marked of each rationale (R,)."""
    (a_from, a_to), (b_from, b_to) = word_runs(words.chosen, words.begins), word_runs(words.gold, words.begins)
    row, n = words.row, len(words.sizes)
    first, stop = np.searchsorted(b_to, a_from, "right"), np.searchsorted(b_from, a_to, "left")
    met = np.maximum(stop - first, 0)
    left, right = row_numbers(met), range_places(first, met)
    common = np.minimum(a_to[left], b_to[right]) - np.maximum(a_from[left], b_from[right])
    union = a_to[left] - a_from[left] + b_to[right] - b_from[right] - common
    near = common / union >= threshold
    matched = _largest_matching(left[near], right[near])
    counted = (a_from[matched], a_from, b_from)
    common_n, chosen_n, marked_n = (np.bincount(row[at], minlength=n).astype(np.float64) for at in counted)
    return common_n, chosen_n, marked_n


def word_runs(mask: Bools, begins: Bools) -> tuple[Ints, Ints]:
    """First word, and word after the last, of each run of marked neighbours; a field's first word begins a new run.

    Example:
        >>> mask, begins = np.array([True, True, True, False, True]), np.array([True, False, True, False, False])
        >>> [ends.tolist() for ends in word_runs(mask, begins)]
        [[0, 2, 4], [2, 3, 5]]
    """
    cut = np.concatenate([begins[1:], [True]]) if len(mask) else begins
    before, after = np.concatenate([[False], mask[:-1]]), np.concatenate([mask[1:], [False]])
    starts = mask & (begins | ~before[: len(mask)])
    stops = mask & (cut | ~after[: len(mask)])
    return np.flatnonzero(starts), np.flatnonzero(stops) + 1


def _largest_matching(left: Ints, right: Ints) -> Ints:
    """The left ends of a largest set of edges that share no end."""
    if len(np.unique(left)) == len(left) and len(np.unique(right)) == len(right):
        return left
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    names, own = np.unique(left, return_inverse=True)
    others = np.unique(right, return_inverse=True)[1]
    shape = (len(names), int(others.max()) + 1)
    graph = csr_array((np.ones(len(own), dtype=np.int8), (own, others)), shape=shape)
    matched: Ints = names[maximum_bipartite_matching(graph, perm_type="column") >= 0]
    return matched
