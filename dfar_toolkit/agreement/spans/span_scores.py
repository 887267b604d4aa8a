"""What two raters' spans of an item have in common and how many there are, pair by pair; F1 of these numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.spans.span_estimates import SpanResampling, estimate_items
from dfar_toolkit.agreement.spans.span_matches import equal_spans, matched_spans, shared_length
from dfar_toolkit.agreement.spans.span_ratings import SpanRatings
from dfar_toolkit.agreement.spans.span_texts import in_words, placed
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame

Match = Literal["exact", "partial", "token", "character"]
Average = Literal["macro", "micro"]
BothEmpty = Literal["leave_out", "agree"]

_NAMES: Final = ("rater_a", "rater_b")
_RATERS: Final = 2000  # raters up to which every pair is listed: two million rows
_NOT_BOTH: Final = "no item was shown to both"
_NEITHER: Final = "neither marked anything where both looked"


class Rule(NamedTuple):
    """What counts as common, how pairs and items are averaged, and what two empty ratings are."""

    match: Match
    average: Average
    overlap: float
    both_empty: BothEmpty


class SpanScores(NamedTuple):
    """Pairs of entries of an item (P,): ``common`` spans or lengths, ``size`` of both together."""

    ratings: SpanRatings
    first: Ints
    second: Ints
    common: Floats
    size: Floats

    def only(self, keep: Ints) -> SpanScores:
        """The pairs ``keep``, as indices."""
        kept = (self.first[keep], self.second[keep], self.common[keep], self.size[keep])
        return SpanScores(self.ratings, *kept)


def checked_rule(match: Match, average: Average, overlap: float, both_empty: BothEmpty) -> Rule:
    """The caller's choices, refused where they are none."""
    for name, found, offered in (
        ("match", match, get_args(Match)),
        ("average", average, get_args(Average)),
        ("both_empty", both_empty, get_args(BothEmpty)),
    ):
        if found not in offered:
            raise ValueError(f"span_f1: {name} must be one of {', '.join(offered)}, found {found!r}")
    if not 0 < overlap <= 1:
        raise ValueError(f"span_f1: overlap must be above 0 and at most 1, found {overlap!r}")
    if both_empty == "agree" and average == "micro":
        raise ValueError('span_f1: both_empty="agree" needs average="macro": two empty ratings add nothing to sums')
    return Rule(match, average, overlap, both_empty)


def span_scores(ratings: SpanRatings, rule: Rule, texts: pl.DataFrame | None) -> SpanScores:
    """Compare the spans of every two raters of an item.

    Args:
        ratings: Marked spans.
        rule: What counts as common.
        texts: From :func:`~dfar_toolkit.agreement.span_texts.read_texts`, or None.

    Returns:
        One entry per pair of raters and item.

    Raises:
        TableError: A span lies beyond its text, or words are asked for without texts.
    """
    if rule.match == "token":
        if texts is None:
            raise TableError('match="token" needs texts= (a frame with the item and its text or tokens); found none.')
        ratings = in_words(ratings, texts).merged()
    elif texts is not None:
        placed(ratings, texts)  # refuses spans beyond their text
    if rule.match == "character":
        ratings = ratings.merged()
    first, second = ratings.pairs()
    if rule.match == "exact":
        common, size = equal_spans(ratings, first, second), ratings.numbers
    elif rule.match == "partial":
        common, size = matched_spans(ratings, first, second, overlap=rule.overlap), ratings.numbers
    else:
        common, size = shared_length(ratings, first, second), ratings.lengths
    return SpanScores(ratings, first, second, common, (size[first] + size[second]).astype(np.float64))


def f1_of(scores: SpanScores, rule: Rule, how: SpanResampling, notes: Sequence[str], undefined: str) -> Estimate:
    """The F1 of pairs of raters, averaged as the rule says; ``undefined`` is the note where there is none."""
    n_items = len(scores.ratings.cells.items)
    item = scores.ratings.cells.item[scores.first]
    bare = scores.size == 0
    counts = np.ones(len(bare)) if rule.both_empty == "agree" else (~bare).astype(np.float64)
    share = np.where(bare, 1.0, 2 * scores.common / np.where(bare, 1.0, scores.size))
    pairs = _summed(item, counts, n_items)
    if rule.average == "macro":
        top = _summed(item, share * counts, n_items) / np.where(pairs > 0, pairs, 1.0)
        bottom = np.ones(n_items)
    else:
        top, bottom = _summed(item, 2 * scores.common, n_items), _summed(item, scores.size, n_items)
    if bare.any():
        what = "taken as agreement" if rule.both_empty == "agree" else "left out"
        notes = (*notes, f"{bare.sum()} pair{'s' if bare.sum() != 1 else ''} with nothing marked by either {what}")
    name = f"span F1 ({rule.match}, {rule.average})"
    rows = np.stack([top, bottom], axis=1)
    return estimate_items(name, scores.ratings, rows, pairs > 0, _ratio, how, undefined=undefined, notes=notes)


def pairs_frame(scores: SpanScores, rule: Rule, how: SpanResampling) -> pl.DataFrame:
    """``rater_a``, ``rater_b`` and the F1 of every two raters, those without a common item too."""
    cells = scores.ratings.cells
    n_raters = len(cells.raters)
    if n_raters > _RATERS:
        raise TableError(
            f"pairwise_span_f1 lists every pair of raters and takes at most {_RATERS} of them; found {n_raters}; "
            f"filter to the raters in question."
        )
    code = cells.rater[scores.first] * n_raters + cells.rater[scores.second]
    order = np.argsort(code, kind="stable")
    listed = list(combinations(range(n_raters), 2))
    wanted = np.array([a * n_raters + b for a, b in listed], dtype=np.int64)
    starts, stops = (np.searchsorted(code[order], wanted, side) for side in ("left", "right"))
    found = []
    for start, stop in zip(starts, stops, strict=True):
        own = scores.only(order[start:stop])
        found.append(f1_of(own, rule, how, (), _NEITHER if stop > start else _NOT_BOTH))
    names = [cells.raters.gather([pair[k] for pair in listed]).alias(name) for k, name in enumerate(_NAMES)]
    return pl.concat([pl.DataFrame(names), estimates_frame(found)], how="horizontal")


def _summed(item: Ints, numbers: Floats, n_items: int) -> Floats:
    return np.bincount(item, weights=numbers, minlength=n_items).astype(np.float64)


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1])
