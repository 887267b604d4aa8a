r"""Length shortcuts: do a run's labels follow the length of the statement more than people's labels do?

Over items that have an answer and a text. The areas under the curve are linearised (the influence of an item, summed by
group), so that a million items cost a few sorts. Words are in :mod:`~dfar_toolkit.metrics.bias.word_shortcuts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, unit_rows
from dfar_toolkit.metrics.correlation import weight_above
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.labels import Column, PairedLabels, pair_labels

Unit = Literal["characters", "words"]

_FEWEST: Final = 10  # items of a class below which a linearised interval is not given
_RELATIVE: Final = 1e-12
_METHOD: Final = "linearised"


class TextPairs(NamedTuple):
    """Labels of the items that have both an answer and a text, the texts (N,), and a note of those left out."""

    pairs: PairedLabels
    texts: pl.Series
    note: str


def length_shortcut(
    frame: pl.DataFrame | None = None,
    *,
    text: Column = "statement",
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    unit: Unit = "characters",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Does the predicted label depend on the length of the text more than the gold label does?

    With length $\ell_i$ and a label k, each for prediction and gold, and prediction minus gold:

        area under the curve $P(\ell_i > \ell_j) + P(\ell_i = \ell_j) / 2$, i labelled k and j not (.5: no dependence)
        point-biserial correlation of $\ell_i$ with being labelled k

    Args:
        frame: One row per item, or None with arrays.
        text: Column or values (N,) of the text.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of the resampling unit.
        options: Names of the labels in order; None means those that occur.
        unit: What length counts.
        ci: ``bootstrap`` (of the correlations; the areas are linearised with it), or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric`` (length_auc, length_auc_gold, length_auc_difference, and length_correlation likewise),
        ``label``, Estimate's fields, and for length_auc_difference ``p_value`` (normal) and ``p_holm`` over the labels.
        With two options only the second is listed: the first is its mirror image.

    Undefined:
        A label that no item has, or all have, on the side in question; a correlation also where all texts are equally
        long. No interval of an area with fewer than 10 items on either side.

    Raises:
        TableError: A gold label is null, or a label is not an option.
        ValueError: An unknown unit; a column is missing or the lengths differ.

    Example:
        Long texts are called "b" and are no more often "b" than short ones.

        >>> texts = ["x", "y", "long one", "long two"]
        >>> found = length_shortcut(text=texts, gold=list("abab"), pred=list("aabb"), ci=None)
        >>> found.select("metric", "value").rows()[:3]
        [('length_auc', 1.0), ('length_auc_gold', 0.5), ('length_auc_difference', 0.5)]

    Reference:
        DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44:837-845; by group: Obuchowski (1997), Biometrics
        53:567-578.
    """
    if unit not in get_args(Unit):
        raise ValueError(f"length_shortcut: unit must be characters or words, found {unit!r}")
    own = pair_texts("length_shortcut", frame, text=text, gold=gold, pred=pred, group=group, options=options)
    count = own.texts.str.len_chars() if unit == "characters" else own.texts.str.extract_all(r"\S+").list.len()
    length = count.cast(pl.Float64).to_numpy()
    names = own.pairs.options
    rows: list[tuple[str, str, Estimate]] = []
    for code in label_codes(own.pairs):
        areas = _areas(own, length, code, confidence, with_interval=ci is not None)
        rows += [(m, names[code], e) for m, e in areas.items()]
        scores = _correlations(own, length, code)
        found = estimate_together(
            scores, groups=own.pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
        )
        rows += [(s.metric, names[code], e) for s, e in zip(scores, found, strict=True)]
    return _with_p(rows)


def pair_texts(
    name: str,
    frame: pl.DataFrame | None,
    *,
    text: Column,
    gold: Column,
    pred: Column,
    group: Column | None,
    options: Sequence[str] | None,
) -> TextPairs:
    """Gold and predicted labels of the items that have an answer and a text."""
    if isinstance(text, str) and (frame is None or text not in frame.columns):
        found = "no frame" if frame is None else ", ".join(f'"{c}"' for c in frame.columns)
        raise ValueError(f'{name}: no column "{text}" for text; found {found}')
    texts = frame[text] if isinstance(text, str) and frame is not None else pl.Series("text", text)
    pairs = pair_labels(name, frame, gold=gold, pred=pred, group=group, options=options)
    if len(texts) != len(pairs.gold):
        raise ValueError(f"{name}: text has {len(texts)} values for {len(pairs.gold)} items; give one per item")
    keep = (pairs.pred < len(pairs.options)) & texts.is_not_null().to_numpy()
    groups = None if pairs.groups is None else pairs.groups.filter(pl.Series(keep))
    left = len(keep) - int(keep.sum())
    note = f"{left} of {len(keep)} items without an answer or a text left out" if left else ""
    own = PairedLabels(pairs.gold[keep], pairs.pred[keep], pairs.options, groups)
    return TextPairs(own, texts.filter(pl.Series(keep)).cast(pl.String), note)


def label_codes(pairs: PairedLabels) -> list[int]:
    """The labels to tell from the rest: all of them, or the second of two."""
    return [1] if len(pairs.options) == 2 else list(range(len(pairs.options)))


def _areas(own: TextPairs, length: Floats, code: int, confidence: float, *, with_interval: bool) -> dict[str, Estimate]:
    pred, gold = own.pairs.pred == code, own.pairs.gold == code
    (a, of_a), (b, of_b) = _area(length, pred), _area(length, gold)
    label = own.pairs.options[code]
    found = {}
    for metric, value, influence, sides, word in (
        ("length_auc", a, of_a, [pred], "predicted"),
        ("length_auc_gold", b, of_b, [gold], "gold"),
        ("length_auc_difference", a - b, of_a - of_b, [pred, gold], "predicted minus gold"),
    ):
        few = min((min(int(s.sum()), int((~s).sum())) for s in sides), default=0)
        name = f'area under the curve of length for "{label}", {word}'
        found[metric] = _linearised(
            name, value, influence, own, few if with_interval else None, confidence, bounded=len(sides) == 1
        )
    return found


def _area(x: Floats, positive: np.typing.NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area, and the influence of each item on it (N,), which sums to 0; nan where a class is empty."""
    n, n1 = len(x), int(positive.sum())
    if n1 in (0, n):
        return float("nan"), np.full(n, np.nan)
    one = positive.astype(np.float64)
    below = 1 - weight_above(x, 1 - one) * n / (n - n1)
    above = weight_above(x, one) * n / n1
    value = float(below[positive].mean())
    return value, np.where(positive, (below - value) * n / n1, (above - value) * n / (n - n1))


def _linearised(
    name: str, value: float, influence: Floats, own: TextPairs, few: int | None, confidence: float, *, bounded: bool
) -> Estimate:
    """The estimate with a normal interval, on the logit of an area; ``few``: items of the smallest class, or None."""
    from scipy.special import expit, logit, ndtri

    units, unit = unit_rows(influence[:, None], groups=own.pairs.groups)
    nan, n, g = float("nan"), len(influence), len(units)
    blank = Estimate(name, value, nan, nan, n, g, unit, "items", "none" if few is None else _METHOD, confidence,
                     own.note)  # fmt: skip
    if not np.isfinite(value):
        why = "no item has the label, or all have it, on a side" if n else "no item has an answer and a text"
        return replace(blank, value=nan, note="; ".join(filter(None, [why, own.note])))
    if few is None:
        return blank
    if few < _FEWEST or g < _FEWEST or not np.any(units):
        why = f"no interval: fewer than {_FEWEST} items or {unit} of a kind" if few < _FEWEST or g < _FEWEST else ""
        why = why or "no interval: the value is the same whichever unit is left out"
        return replace(blank, note="; ".join(filter(None, [why, own.note])))
    half = float(ndtri(0.5 + confidence / 2)) * float(np.sqrt(g / (g - 1) * np.sum(units**2))) / n
    if not bounded:
        return replace(blank, low=value - half, high=value + half)
    if not 0 < value < 1:
        return replace(blank, note="; ".join(filter(None, ["no interval: length parts the labels", own.note])))
    half /= value * (1 - value)
    return replace(blank, low=float(expit(logit(value) - half)), high=float(expit(logit(value) + half)))


def _correlations(own: TextPairs, length: Floats, code: int) -> list[Additive]:
    """Point-biserial correlations of prediction and gold, and their difference, on one set of rows."""
    x = length - np.sort(length)[len(length) // 2] if len(length) else length
    p, g = ((codes == code) * 1.0 for codes in (own.pairs.pred, own.pairs.gold))
    rows = np.column_stack([np.ones_like(x), x, x**2, p, x * p, g, x * g])
    label = own.pairs.options[code]
    why = "the label, or the length, is the same throughout" if len(x) else "no item has an answer and a text"
    said = f'correlation of length with "{label}"'
    return [
        Additive("length_correlation", f"{said}, predicted", rows, lambda s: _biserial(s, 3), why, own.note),
        Additive("length_correlation_gold", f"{said}, gold", rows, lambda s: _biserial(s, 5), why, own.note),
        Additive("length_correlation_difference", f"{said}, predicted minus gold", rows,
                 lambda s: _biserial(s, 3) - _biserial(s, 5), why, own.note),
    ]  # fmt: skip


def _biserial(sums: Floats, at: int) -> Floats:
    n, x, xx, y, xy = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, at], sums[:, at + 1]
    spread = [n * xx - x**2, n * y - y**2]
    spread = [np.where(v > _RELATIVE * n * ss, v, np.nan) for v, ss in zip(spread, (xx, y), strict=True)]
    return np.asarray((n * xy - x * y) / np.sqrt(spread[0] * spread[1]), dtype=np.float64)


def _with_p(rows: list[tuple[str, str, Estimate]]) -> pl.DataFrame:
    """The rows as a frame, with p of the differences of areas and Holm's correction over the labels."""
    from scipy.special import ndtr, ndtri

    tested = [k for k, (m, _, e) in enumerate(rows) if m == "length_auc_difference" and np.isfinite(e.low)]
    p: list[float | None] = [None] * len(rows)
    for k in tested:
        e = rows[k][2]
        se = (e.high - e.low) / 2 / float(ndtri(0.5 + e.confidence / 2))
        p[k] = float(2 * ndtr(-abs(e.value) / se))
    corrected: list[float | None] = [None] * len(rows)
    for k, value in zip(tested, holm([p[k] or 0.0 for k in tested]), strict=True):
        corrected[k] = float(value)
    beside = pl.DataFrame(
        {"metric": [r[0] for r in rows], "label": [r[1] for r in rows]},
        schema={"metric": pl.String, "label": pl.String},
    )
    tests = pl.DataFrame({"p_value": p, "p_holm": corrected}, schema={"p_value": pl.Float64, "p_holm": pl.Float64})
    return pl.concat([beside, estimates_frame([r[2] for r in rows]), tests], how="horizontal")
