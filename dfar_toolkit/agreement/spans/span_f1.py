r"""How well people marked the same spans of text: pairwise F1 over all pairs of raters, and for each pair.

For two raters a, b with |A| and |B| spans (or characters, or words) of which T are common,

    $F_1 = \frac{2 T}{|A| + |B|}$,

the same whoever counts as the reference. There is no correction for chance; that is
:func:`~dfar_toolkit.agreement.unitizing.unitizing_alpha`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.agreement.ratings import By, RatingsLike
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.spans.span_estimates import SpanResampling
from dfar_toolkit.agreement.spans.span_ratings import read_spans
from dfar_toolkit.agreement.spans.span_rows import SpanColumns
from dfar_toolkit.agreement.spans.span_scores import (
    Average,
    BothEmpty,
    Match,
    checked_rule,
    f1_of,
    pairs_frame,
    span_scores,
)
from dfar_toolkit.agreement.spans.span_texts import read_texts
from dfar_toolkit.estimate import Estimate, Interval

_NO_PAIRS: Final = "no item has two or more raters"
_NOTHING: Final = "nobody marked anything where two raters looked"


def span_f1(
    ratings: RatingsLike,
    *,
    match: Match = "exact",
    average: Average = "macro",
    overlap: float = 0.5,
    both_empty: BothEmpty = "leave_out",
    texts: RatingsLike | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    evidence: str = "evidence",
    start: str = "start",
    end: str = "end",
    field: str | None = "field",
    label: str | None = None,
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    by: By = None,
) -> Estimate | pl.DataFrame:
    r"""Mean F1 of two raters' spans of text.

    With $T_{iab}$ spans (characters, words) of item i common to raters a and b, of $|A| + |B| = s_{iab}$ in all,

        macro: $\frac{1}{N} \sum_i \frac{1}{P_i} \sum_{a<b} \frac{2 T_{iab}}{s_{iab}}$;
        micro: $\frac{2 \sum_i \sum_{a<b} T_{iab}}{\sum_i \sum_{a<b} s_{iab}}$

    over the $P_i$ pairs of raters of item i that count. What is common:

    * ``exact``: spans with the same start, end, field and label;
    * ``partial``: the largest number of spans matched one to one whose shared part is at least ``overlap`` of their
      union (intersection over union, as ERASER's with .5);
    * ``token``: words that both touch; ``character``: characters that both marked. One rater's overlapping spans of a
      field and label are one for these two; a character with two labels counts once with each.

    Two raters of whom one marked nothing and the other something have F1 = 0. Where both marked nothing F1 is 0 / 0:
    such pairs say nothing about the agreement on spans and are left out and counted in the note, as in positive
    specific agreement, unless ``both_empty`` is ``agree``: then their F1 is 1, and the more items without spans there
    are, the higher the mean.

    Args:
        ratings: Rows with a list of spans per rating (null: not asked, empty: none marked); or long rows, one per span
            (both ends null: none marked); or (item, rater, list of (start, end)) triples. Half-open, in code points.
        match: What is common.
        average: Mean over items of the mean over their pairs (macro), or one F1 of the sums over all pairs (micro).
        overlap: Smallest intersection over union of a partial match, above 0.
        both_empty: What two empty ratings are; ``agree`` for macro only, as they add nothing to the sums of micro.
        texts: The texts: a frame with ``item``, ``text`` (or ``tokens``) and ``field`` where an item has several.
            Needed for ``token``; otherwise only to check that spans lie inside.
        item: Column of the item.
        rater: Column of the rater.
        evidence: Column of the lists of spans.
        start: Start of a span: a column, or a part of the structs in the lists.
        end: End of a span, exclusive.
        field: Which text of the item a span is in: a column, or a part of the structs; used if there.
        label: What a span is marked as: a column, or a part of the structs; None: spans have no labels.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap or jackknife over items (or groups), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with a pair that counts, or with ``by`` a frame with one row per slice.

    Undefined:
        No item has two raters, or no pair counts.

    Raises:
        TableError: Missing columns, spans that are none, a rater twice on an item, spans beyond their text, no words.

    Example:
        >>> rows = [("x", "ann", [(0, 5), (8, 12)]), ("x", "bob", [(0, 5), (8, 13), (20, 25)])]
        >>> print(span_f1(rows, ci=None))  # 2 x 1 / (2 + 3)
        span F1 (exact, macro) = 0.400
        >>> print(span_f1(rows, match="partial", ci=None))  # 8-12 and 8-13 share 4 of 5 characters
        span F1 (partial, macro) = 0.800

    Reference:
        Hripcsak and Rothschild (2005), J. Am. Med. Inform. Assoc. 12(3):296-298 (mean pairwise F1 is positive specific
        agreement); DeYoung et al. (2020), ACL, 4443-4458 (ERASER: F1 by intersection over union, and of tokens).
    """
    rule = checked_rule(match, average, overlap, both_empty)
    columns = SpanColumns(item, rater, evidence, start, end, field, label, group)
    how = SpanResampling(ci, confidence, n_boot, seed)
    known = read_texts(texts, item=item) if texts is not None else None
    slices = read_spans(ratings, columns, by=by)
    found = []
    for part in slices:
        scores = span_scores(part.ratings, rule, known)
        found.append(f1_of(scores, rule, how, scores.ratings.notes, _NOTHING if len(scores.first) else _NO_PAIRS))
    if not by:
        return found[0]
    return slices_frame([part.key for part in slices], [[one] for one in found], [by] if isinstance(by, str) else by)


def pairwise_span_f1(
    ratings: RatingsLike,
    *,
    match: Match = "exact",
    average: Average = "macro",
    overlap: float = 0.5,
    both_empty: BothEmpty = "leave_out",
    texts: RatingsLike | None = None,
    item: str = "item_id",
    rater: str = "annotator_id",
    evidence: str = "evidence",
    start: str = "start",
    end: str = "end",
    field: str | None = "field",
    label: str | None = None,
    group: str | None = None,
    ci: Interval | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """F1 of every two raters over the items both were asked about; see :func:`span_f1`.

    Args:
        ratings: As for :func:`span_f1`.
        match: As for :func:`span_f1`.
        average: As for :func:`span_f1`; with one pair per item.
        overlap: As for :func:`span_f1`.
        both_empty: As for :func:`span_f1`.
        texts: As for :func:`span_f1`.
        item: Column of the item.
        rater: Column of the rater.
        evidence: Column of the lists of spans.
        start: Start of a span.
        end: End of a span, exclusive.
        field: Which text of the item a span is in.
        label: What a span is marked as, or None.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap or jackknife, or None (much faster for many raters).
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        ``rater_a``, ``rater_b`` (sorted) and Estimate's fields; n = items that count for the two. Pairs without a
        common item are listed, undefined.

    Undefined:
        As for :func:`span_f1`, pair by pair.

    Raises:
        TableError: More than 2,000 raters, and as for :func:`span_f1`.

    Example:
        >>> rows = [("x", "ann", [(0, 5), (8, 12)]), ("x", "bob", [(0, 5), (8, 13), (20, 25)])]
        >>> pairwise_span_f1(rows, ci=None).select("rater_a", "rater_b", "value", "n").rows()
        [('ann', 'bob', 0.4, 1)]

    Reference:
        Hripcsak and Rothschild (2005), J. Am. Med. Inform. Assoc. 12(3):296-298.
    """
    rule = checked_rule(match, average, overlap, both_empty)
    columns = SpanColumns(item, rater, evidence, start, end, field, label, group)
    how = SpanResampling(ci, confidence, n_boot, seed)
    known = read_texts(texts, item=item) if texts is not None else None
    scores = span_scores(read_spans(ratings, columns)[0].ratings, rule, known)
    return pairs_frame(scores, rule, how)
