r"""ERASER's scores of hard rationales, as its own code counts them, under its name.

Documents are those with anything on either side. Where they differ from the scores of this room: a document of which
only one side has anything scores 0, one with neither is no document; ``eraser_iou_f1`` lets several predictions hit
one human span, so that its recall and F1 can exceed 1, and its macro F1 is the F1 of mean precision (documents with
predictions) and mean recall (documents with human spans). An item is one document here, its fields laid end to end.
Cost: pairs of spans within documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Floats, estimates_frame
from dfar_toolkit.metrics.rationale.count_scores import Part, joined
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, Top, against_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.ragged_rows import Ints, row_sums
from dfar_toolkit.metrics.rationale.span_documents import (
    SpanDocuments,
    best_iou,
    common_rows,
    documents_of_words,
    token_rows,
)
from dfar_toolkit.metrics.reasons.present_means import estimate_present

PARTS: Final[tuple[Part, ...]] = ("precision", "recall", "f1")
THRESHOLD: Final = 0.5  # intersection over union of a hit, in ERASER's published numbers
_NO_DOCUMENT: Final = "no document has anything"
_RAISES: Final = "nothing predicted or nothing marked anywhere, where ERASER stops with a division by zero"


def eraser_token_f1(
    marked: MarkedWords | SpanDocuments,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    top: Top = "human",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""ERASER's token precision, recall and F1, micro and macro.

    With $k_d$ tokens predicted, $g_d$ marked, $t_d$ common in document d: micro $P = \sum t / \sum k$,
    $R = \sum t / \sum g$, $F = 2 P R / (P + R)$ (0 where either is); macro the means of the documents' own $P_d$,
    $R_d$, $F_d$ (0 where a side is empty) over the documents with any token on either side. Higher is better.

    Args:
        marked: Words that people and methods marked; or spans of
            :func:`~dfar_toolkit.metrics.rationale.span_documents.span_documents`.
        method: The method; None where there is only one.
        gold: By whom a word must be marked.
        top: How many words a method that only scores them chooses.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``average`` (micro, macro), ``part`` (precision, recall, f1) and Estimate's fields; n counts items with a
        document.

    Undefined:
        Nothing predicted, or nothing marked, in all documents: micro. No document has anything: macro.

    Raises:
        ValueError: An unknown method or rule.

    Example:
        >>> from dfar_toolkit.metrics.rationale.span_documents import span_documents
        >>> found = eraser_token_f1(span_documents({"a": [(0, 10)]}, {"a": [(2, 4)]}), ci=None)
        >>> found["value"].round(3).to_list()
        [1.0, 0.2, 0.333, 1.0, 0.2, 0.333]

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1; rationale_benchmark/metrics.py,
        score_hard_rationale_predictions.
    """
    documents = _documents(marked, method, gold, top)
    found = eraser_token_rows(documents)
    return _frame(found, documents, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def eraser_span_f1(
    marked: MarkedWords | SpanDocuments,
    *,
    method: str | None = None,
    gold: GoldRule = "majority",
    top: Top = "human",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """ERASER's precision, recall and F1 of exact spans: as :func:`eraser_token_f1`, with whole spans for tokens.

    Args:
        marked: As there.
        method: As there.
        gold: As there.
        top: As there.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        As there.

    Undefined:
        As there.

    Raises:
        ValueError: An unknown method or rule.

    Example:
        >>> from dfar_toolkit.metrics.rationale.span_documents import span_documents
        >>> found = eraser_span_f1(span_documents({"a": [(0, 3), (5, 7)]}, {"a": [(0, 3)]}), ci=None)
        >>> found["value"].round(3).to_list()[:3]
        [1.0, 0.5, 0.667]

    Reference:
        DeYoung et al. (2020), ERASER, ACL; rationale_benchmark/metrics.py, score_hard_rationale_predictions.
    """
    documents = _documents(marked, method, gold, top)
    return _frame(eraser_span_rows(documents), documents, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def eraser_iou_f1(
    marked: MarkedWords | SpanDocuments,
    *,
    method: str | None = None,
    threshold: float = THRESHOLD,
    gold: GoldRule = "majority",
    top: Top = "human",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""ERASER's IOU F1: a predicted span counts where its best intersection over union reaches the threshold.

    With $t_d$ such of $k_d$ predicted spans, and $g_d$ human ones: micro $P = \sum t / \sum k$,
    $R = \sum t / \sum g$; macro $P$ the mean of $t_d / k_d$ over documents with predictions, $R$ that of $t_d / g_d$
    over documents with human spans; $F = 2 P R / (P + R)$ of these. 0 for 0 / 0 throughout. Several predictions may hit
    one human span, so R and F can exceed 1: :func:`~dfar_toolkit.metrics.rationale.iou_f1.iou_f1` matches one to one.

    Args:
        marked: As for :func:`eraser_token_f1`.
        method: As there.
        threshold: Smallest intersection over union of a hit, above 0 and at most 1; reached counts.
        gold: As there.
        top: As there.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        As there.

    Undefined:
        No documents; ERASER's zeros where it divides 0 by 0.

    Raises:
        ValueError: An unknown method or rule, an impossible threshold.

    Example:
        Both predictions hit the one human span: recall 2.

        >>> from dfar_toolkit.metrics.rationale.span_documents import span_documents
        >>> found = eraser_iou_f1(span_documents({"a": [(0, 4)]}, {"a": [(0, 2), (2, 4)]}), ci=None)
        >>> found["value"].round(3).to_list()[:3]
        [1.0, 2.0, 1.333]

    Reference:
        DeYoung et al. (2020), ERASER, ACL, section 4.1; rationale_benchmark/metrics.py, partial_match_score.
    """
    documents = _documents(marked, method, gold, top)
    found = eraser_iou_rows(documents, threshold=threshold)
    return _frame(found, documents, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)


def eraser_token_rows(documents: SpanDocuments) -> list[Additive]:
    """The rows and formulas of :func:`eraser_token_f1`: micro precision, recall and F1, then macro."""
    tokens = documents._replace(human=token_rows(documents.human), predicted=token_rows(documents.predicted))
    return _exact("token", tokens)


def eraser_span_rows(documents: SpanDocuments) -> list[Additive]:
    """The rows and formulas of :func:`eraser_span_f1`: micro precision, recall and F1, then macro."""
    return _exact("span", documents)


def eraser_iou_rows(documents: SpanDocuments, *, threshold: float = THRESHOLD) -> list[Additive]:
    """The rows and formulas of :func:`eraser_iou_f1`: micro precision, recall and F1, then macro."""
    if not 0 < threshold <= 1:
        raise ValueError(f"eraser_iou_f1: threshold must be above 0 and at most 1, found {threshold!r}")
    hits = documents.predicted[best_iou(documents) >= threshold]
    t, k, g = (_per_document(side, documents.n) for side in (hits, documents.predicted, documents.human))
    columns = np.column_stack([t, k, g, _share(t, k), k > 0, _share(t, g), g > 0, (k + g) > 0])
    rows = _by_item(columns, documents)
    said, found = _said(documents, rows), []
    for average, places in (("micro", (0, 1, 0, 2)), ("macro", (3, 4, 5, 6))):
        for part in PARTS:
            formula = _two_shares(places, part, zero=True)
            found.append(_named("IOU", part, average, rows, formula, _NO_DOCUMENT, said))
    return found


def _documents(marked: MarkedWords | SpanDocuments, method: str | None, gold: GoldRule, top: Top) -> SpanDocuments:
    if isinstance(marked, SpanDocuments):
        return marked
    return documents_of_words(against_people(marked, method=method, gold=gold, top=top))


def _exact(what: str, documents: SpanDocuments) -> list[Additive]:
    """Scores of rows that both sides have, micro and macro."""
    sides = (common_rows(documents.human, documents.predicted), documents.predicted, documents.human)
    t, k, g = (_per_document(side, documents.n) for side in sides)
    precision, recall, either = _share(t, k), _share(t, g), (k + g) > 0
    columns = np.column_stack([t, k, g, precision, recall, _share(2 * t, k + g), either])
    rows = _by_item(columns, documents)
    said, found = _said(documents, rows), []
    for part in PARTS:
        found.append(_named(what, part, "micro", rows, _two_shares((0, 1, 0, 2), part, zero=False), _RAISES, said))
    for place, part in enumerate(PARTS, start=3):
        found.append(_named(what, part, "macro", rows, _mean_of_documents(place), _NO_DOCUMENT, said))
    return found


def _named(
    what: str, part: Part, average: str, rows: Floats, formula: Callable[[Floats], Floats], undefined: str, note: str
) -> Additive:
    name = f"ERASER {what} {part} ({average})"
    return Additive(f"eraser_{what.lower()}_{part}_{average}", name, rows, formula, undefined, note)


def _said(documents: SpanDocuments, rows: Floats) -> str:
    """The documents' note, and how many items are none for having nothing on either side."""
    there = np.bincount(documents.item, minlength=documents.n_items) > 0
    bare = int((there & (rows[:, -1] == 0)).sum())
    return joined(documents.note, f"{bare} with nothing chosen and nothing marked are no document" if bare else "")


def _two_shares(places: tuple[int, int, int, int], part: Part, *, zero: bool) -> Callable[[Floats], Floats]:
    """Precision, recall or their F1 of four column sums; 0 / 0 is 0, or undefined, as without any document."""

    def formula(sums: Floats) -> Floats:
        blank = np.where(sums[:, -1] > 0, 0.0, np.nan) if zero else np.full(len(sums), np.nan)
        top_p, bottom_p, top_r, bottom_r = (sums[:, place] for place in places)
        p, r = _share(top_p, bottom_p, blank), _share(top_r, bottom_r, blank)
        if part != "f1":
            return p if part == "precision" else r
        return np.where(np.isnan(p + r), np.nan, _share(2 * p * r, p + r))

    return formula


def _mean_of_documents(place: int) -> Callable[[Floats], Floats]:
    def formula(sums: Floats) -> Floats:
        return _share(sums[:, place], sums[:, -1], np.full(len(sums), np.nan))

    return formula


def _share(top: Floats, bottom: Floats, blank: Floats | None = None) -> Floats:
    """The quotient; where the bottom is 0 the ``blank``, or 0."""
    out = np.zeros(len(top)) if blank is None else blank.copy()
    found: Floats = np.divide(top, bottom, out=out, where=bottom > 0)
    return found


def _per_document(spans: Ints, n: int) -> Floats:
    return np.bincount(spans[:, 0], minlength=n).astype(np.float64)


def _by_item(columns: Floats, documents: SpanDocuments) -> Floats:
    """Rows of documents as rows of items (N, D): the mean of an item's documents, zeros without any."""
    count = np.bincount(documents.item, minlength=documents.n_items)
    total = np.column_stack([row_sums(documents.item, column, documents.n_items) for column in columns.T])
    found: Floats = total / np.maximum(count, 1)[:, None]
    return found


def _frame(
    scores: list[Additive], documents: SpanDocuments, *, ci: str | None, confidence: float, n_boot: int, seed: int
) -> pl.DataFrame:
    found = estimate_present(
        scores, groups=documents.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )  # fmt: skip
    beside = [{"average": average, "part": part} for average in ("micro", "macro") for part in PARTS]
    return estimates_frame(found, beside=beside)
