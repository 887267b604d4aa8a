r"""Krippendorff's alpha for unitizing: agreement beyond chance on where spans of text are, and what they are.

The texts of an item are a continuum of L characters that each of m raters cuts into units (marked spans, with a value
each) and gaps. Two raters' cuts meet in intersections; with $\ell_{ck}$ the length of all intersections of value c by
one rater with value k by another, summed over ordered pairs of raters and divided by m - 1, and the gap as one value:

    $\alpha = 1 - \frac{D_o}{D_e}$,   $D_o = \sum_{c \ne k} \ell_{ck}$,
    $D_e = \sum_{c \ne k} \frac{\ell_{c} \ell_{k}}{\ell - Q / \ell}$,   $Q = \sum_{units} L_u^2 + \sum_{gaps} L_g$

with $\ell_c = \sum_k \ell_{ck}$, $\ell = \sum_c \ell_c$. Q takes the place of n in alpha's n - 1: a unit is not paired
with itself, while a gap has no parts of its own. If every unit is one character long, $Q = \ell$ and this is nominal
alpha of the characters.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.ratings import By, RatingsLike, shown
from dfar_toolkit.agreement.slices import slices_frame
from dfar_toolkit.agreement.spans.span_estimates import SpanResampling, estimate_items
from dfar_toolkit.agreement.spans.span_matches import shared_length
from dfar_toolkit.agreement.spans.span_ratings import SpanRatings, read_spans
from dfar_toolkit.agreement.spans.span_rows import SpanColumns
from dfar_toolkit.agreement.spans.span_texts import in_words, placed, read_texts, text_lengths
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Interval

Measure = Literal["character", "token"]

_NO_PAIRS: Final = "no item has two or more raters"
_ONE_VALUE: Final = "all text is marked, or none, so agreement beyond chance has no meaning"


def unitizing_alpha(
    ratings: RatingsLike,
    *,
    texts: RatingsLike,
    measure: Measure = "character",
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
    r"""Krippendorff's alpha of marked spans: binary (marked or not), or nominal over the labels and the gap.

    For item i with $m_i \ge 2$ raters and texts of $L_i$ characters together, $\ell_{ck} = \sum_i \frac{1}{m_i - 1}
    \sum_{a \ne b} |c_{ia} \cap k_{ib}|$ with $c_{ia}$ the characters of value c by rater a (the gap is a value),
    $\ell = \sum_i m_i L_i$, and

        $\alpha = 1 - \left(\ell - \frac{Q}{\ell}\right) \frac{\sum_{c \ne k} \ell_{ck}}{\ell^2 - \sum_c \ell_c^2}$,
        $Q = \sum_{units} L_u^2 + \ell_{gap}$

    The items lie one behind the other in one continuum; units end with their text. Without ``label`` this is
    $_{|u}\alpha$, the reliability of telling marked from unmarked text; with it $_u\alpha$ at the nominal level.

    One rater's spans of the same field and label that overlap are one unit; spans that only touch stay two. Spans of
    different ``set`` are taken together.

    Args:
        ratings: Marked spans as for :func:`~dfar_toolkit.agreement.span_f1.span_f1`.
        texts: The texts that were shown: a frame with ``item``, ``text`` (or ``length``; for words ``tokens``) and
            ``field`` where an item has several. Texts nobody could mark must not be in it: they would be gaps.
        measure: Lengths in characters, or in words; a span then is the words it touches.
        item: Column of the item.
        rater: Column of the rater.
        evidence: Column of the lists of spans.
        start: Start of a span: a column, or a part of the structs in the lists.
        end: End of a span, exclusive.
        field: Which text of the item a span is in; used if there.
        label: What a span is marked as: a column, or a part of the structs; None: marked or not.
        group: Column with the resampling unit of the item; None: the item itself.
        ci: bootstrap or jackknife over items (or groups), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        by: Column or columns to slice by.

    Returns:
        An Estimate with n = items with two or more raters, or with ``by`` a frame with one row per slice. The cost
        grows with pairs of raters times pairs of their spans in a text, never with the length of texts.

    Undefined:
        No item has two raters; or nothing is marked, or everything as one value.

    Raises:
        TableError: As for ``span_f1``; one rater gave a piece of text two labels; the length of a text is unknown.

    Example:
        Ann marks 0 to 4 and Bob 2 to 6 of ten characters: $D_o$ = 8, $\ell$ = 20 (8 marked), Q = 16 + 16 + 12 = 44,
        and 1 - (20 - 44 / 20) x 8 / (400 - 64 - 144).

        >>> rows = [("x", "ann", [(0, 4)]), ("x", "bob", [(2, 6)])]
        >>> print(unitizing_alpha(rows, texts=pl.DataFrame({"item_id": ["x"], "text": ["0123456789"]}), ci=None))
        unitizing alpha (binary) = 0.258

    Reference:
        Krippendorff, Mathet, Bouvry and Widlöcher (2016), Quality & Quantity 50:2347-2364 (erratum
        50:2365), eqs. 1, 4, 5a (with labels) and 6; also Krippendorff (2019), Content Analysis, 4th ed., ch. 12.6.
    """
    if measure not in get_args(Measure):
        raise ValueError(f"unitizing_alpha: measure must be one of {', '.join(get_args(Measure))}, found {measure!r}")
    columns = SpanColumns(item, rater, evidence, start, end, field, label, group)
    how = SpanResampling(ci, confidence, n_boot, seed)
    known = read_texts(texts, item=item)
    name = f"unitizing alpha ({'binary' if label is None else 'nominal'})"
    slices = read_spans(ratings, columns, by=by)
    found = [_alpha(name, part.ratings, known, how, words=measure == "token") for part in slices]
    if not by:
        return found[0]
    return slices_frame([part.key for part in slices], [[one] for one in found], [by] if isinstance(by, str) else by)


def _alpha(name: str, ratings: SpanRatings, texts: pl.DataFrame, how: SpanResampling, *, words: bool) -> Estimate:
    placed(ratings, texts)  # refuses spans beyond their text
    units = (in_words(ratings, texts) if words else ratings).merged()
    _check_one_label(units)
    length = text_lengths(units, texts, words=words)
    m = units.cells.n_per_item
    pairable = m >= 2
    first, second = units.pairs()
    item, marked = units.cells.item[first], units.lengths
    # Differing text of a pair: what either marked, less what both did, and less what they gave the same label.
    apart = marked[first] + marked[second] - shared_length(units, first, second, same_label=False)
    apart = apart - shared_length(units, first, second)
    observed = 2 * np.bincount(item, weights=apart, minlength=len(m)) / np.where(pairable, m - 1, 1)
    by_label, square = _per_item(units)
    rows = np.column_stack([observed, m * length, square, by_label])
    undefined = _ONE_VALUE if pairable.any() else _NO_PAIRS
    return estimate_items(name, units, rows, pairable, _formula, how, undefined=undefined, notes=units.notes)


def _formula(sums: Floats) -> Floats:
    observed, total, square, marked = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3:]
    gap = total - marked.sum(axis=1)
    apart = total**2 - gap**2 - np.square(marked).sum(axis=1)
    value: Floats = 1 - (total - (square + gap) / total) * observed / np.where(apart > 0, apart, np.nan)
    return value


def _per_item(units: SpanRatings) -> tuple[Floats, Floats]:
    """Length marked with each label (N, K), and sum of squared lengths of units (N,), over all raters of an item."""
    n_items = len(units.cells.items)
    item = units.cells.item[units.spans["entry"].to_numpy()]
    length = (units.spans["end"] - units.spans["start"]).to_numpy().astype(np.float64)
    code = (units.spans["label"].rank("dense") - 1).to_numpy().astype(np.int64)
    n_labels = int(code.max(initial=-1)) + 1
    table = np.bincount(item * n_labels + code, weights=length, minlength=n_items * n_labels).astype(np.float64)
    square = np.bincount(item, weights=length**2, minlength=n_items).astype(np.float64)
    return table.reshape(n_items, n_labels), square


def _check_one_label(units: SpanRatings) -> None:
    """Refuse text that one rater gave two labels: a continuum has one value at each place."""
    apart = ["entry", "field"]
    reached = pl.col("end").cum_max().shift().over(apart)
    torn = units.spans.sort(*apart, "start", "end").filter((pl.col("start") < reached).fill_null(value=False))
    if len(torn):
        row = torn.row(0, named=True)
        cells, entry = units.cells, row["entry"]
        raise TableError(
            f"unitizing alpha takes one label per piece of text and rater; {len(torn)} spans overlap with one of "
            f'another label (e.g. at {row["start"]}, by rater "{shown(cells.raters[int(cells.rater[entry])])}" on item '
            f'"{shown(cells.items[int(cells.item[entry])])}"); use span_f1, or compute it label by label.'
        )
