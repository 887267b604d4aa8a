r"""Wording shortcuts: words whose presence shifts the predicted label more than the gold label.

Words are found on one half of the groups and estimated on the other, so that the search does not flatter what it finds.
Cost: one pass over the words of the texts, then one over the items for each word found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.bias.shortcuts import TextPairs, label_codes, pair_texts
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.labels import Column

_WORD: Final = r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*|\p{Emoji_Presentation}"
_ROUNDING: Final = 1e-12


class _Half(NamedTuple):
    """Items of one half: differences, predicted and gold one-hots (N, K) of the labels looked at; groups as codes."""

    pred: Floats
    gold: Floats
    group: npt.NDArray[np.int64]
    words: pl.DataFrame  # row, word: which words each item has, once each

    @property
    def d(self) -> Floats:
        return self.pred - self.gold


def word_shortcuts(
    frame: pl.DataFrame | None = None,
    *,
    text: Column = "statement",
    gold: Column = "label",
    pred: Column = "label_pred",
    group: Column | None = None,
    options: Sequence[str] | None = None,
    most: int = 20,
    min_items: int = 10,
    confidence: float = 0.95,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Words with which the predicted label shifts more than the gold label.

    With $d_i = 1[\hat y_i = k] - 1[y_i = k]$ and $w_i$ whether text i has the word,

        excess $= (\bar d \mid w = 1) - (\bar d \mid w = 0)$ = shift of the prediction - shift of the gold

    On the first half of the groups every word is scored by its excess over its standard error; the ``most`` largest
    whose excess has the direction of the prediction's own shift are estimated on the second half. There the interval is
    linearised over groups (t), p is a score test over groups (as if the word had nothing to do with d), and Holm's
    correction is over the words estimated.

    Args:
        frame: One row per item, or None with arrays.
        text: Column or values (N,) of the text.
        gold: Column or values (N,).
        pred: Column or values (N,), null where there is no answer.
        group: Column or values (N,) of what must not straddle the halves; None means ``group`` where the frame has
            it, else the text itself, so that repeated texts stay together.
        options: Names of the labels in order; None means those that occur. Of two only the second is looked at.
        most: Most words (and labels) to take to the second half.
        min_items: Items with the word, and without, needed in a half.
        confidence: Two-sided coverage of each interval, not of all together.
        seed: Seed of the halves.

    Returns:
        Rows ``word``, ``label``, Estimate's fields of the excess on the second half (``n`` its items),
        ``predicted_shift``, ``gold_shift``, ``n_with`` (its items with the word), ``p_value``, ``p_holm``; the most
        suspicious of the first half first. No rows where no word is frequent enough.

    Undefined:
        Interval and p of a word with fewer than ``min_items`` items or groups, with or without it, in the second half.

    Raises:
        TableError: A gold label is null, or a label is not an option.
        ValueError: ``most`` or ``min_items`` below 1 or 2; a column is missing.

    Example:
        >>> texts = [f"{'not ' if i % 2 else ''}thing {i}" for i in range(80)]
        >>> gold = ["bad" if i % 4 > 1 else "good" for i in range(80)]
        >>> pred = ["good" if i % 2 else "bad" for i in range(80)]
        >>> found = word_shortcuts(text=texts, gold=gold, pred=pred)
        >>> found.select("word", "label", pl.col("predicted_shift")).rows()
        [('not', 'good', 1.0)]

    Reference:
        Gururangan et al. (2018), Annotation Artifacts in Natural Language Inference Data, NAACL (words that give labels
        away); Gardner et al. (2021), Competency Problems, EMNLP (tests of them).
    """
    if most < 1 or min_items < 2:
        raise ValueError(f"word_shortcuts: most must be at least 1 and min_items 2, found {most} and {min_items}")
    if not 0 < confidence < 1:
        raise ValueError(f"word_shortcuts: confidence must lie between 0 and 1, found {confidence}")
    own = pair_texts("word_shortcuts", frame, text=text, gold=gold, pred=pred, group=group, options=options)
    first, second = _halves(own, seed)
    labels = [own.pairs.options[c] for c in label_codes(own.pairs)]
    chosen = _found(first, most, min_items)
    rows = [_estimated(second, word, place, labels[place], min_items, confidence, own.note) for word, place in chosen]
    return _frame(rows, [(word, labels[place]) for word, place in chosen])


def _halves(own: TextPairs, seed: int) -> tuple[_Half, _Half]:
    groups = own.texts if own.pairs.groups is None else own.pairs.groups
    codes = (groups.rank("dense").cast(pl.Int64) - 1).to_numpy() if len(groups) else np.empty(0, dtype=np.int64)
    n_groups = int(codes.max()) + 1 if len(codes) else 0
    in_first = np.zeros(n_groups, dtype=bool)
    in_first[np.random.default_rng(seed).permutation(n_groups)[: (n_groups + 1) // 2]] = True
    columns = label_codes(own.pairs)
    sides = [(x[:, None] == np.array(columns)[None, :]) * 1.0 for x in (own.pairs.pred, own.pairs.gold)]
    listed = pl.DataFrame({"word": own.texts.str.to_lowercase().str.extract_all(_WORD).list.unique()})
    halves = []
    for keep in (in_first[codes], ~in_first[codes]):
        words = listed.filter(pl.Series(keep)).with_row_index("row").explode("word").drop_nulls()
        halves.append(_Half(sides[0][keep], sides[1][keep], codes[keep], words))
    return halves[0], halves[1]


def _found(half: _Half, most: int, min_items: int) -> list[tuple[str, int]]:
    """The words and places of labels with the largest excess over its standard error, in the direction of the run."""
    n = len(half.pred)
    if n < 2:
        return []
    columns = {f"d{j}": half.d[:, j] for j in range(half.d.shape[1])}
    columns |= {f"p{j}": half.pred[:, j] for j in range(half.d.shape[1])}
    sums = half.words.join(pl.DataFrame(columns).with_row_index("row"), on="row").group_by("word")
    table = sums.agg(pl.len().alias("n"), pl.exclude("row").sum()).filter(
        pl.col("n").is_between(min_items, n - min_items)
    )
    parts = []
    with_word = pl.col("n").cast(pl.Float64)
    for j in range(half.d.shape[1]):
        scale = (with_word * (1 - with_word / n) * float(half.d[:, j].var())).sqrt()
        shift = pl.col(f"p{j}") - with_word * float(half.pred[:, j].mean())
        excess = pl.col(f"d{j}") - with_word * float(half.d[:, j].mean())
        part = table.select("word", place=pl.lit(j), z=(excess / scale).round(9), shift=shift)
        parts.append(part.filter(pl.col("z").is_finite() & (pl.col("z") * pl.col("shift") > _ROUNDING)))
    ranked = pl.concat(parts).sort(pl.col("z").abs(), "word", "place", descending=[True, False, False])
    return list(ranked.head(most).select("word", "place").iter_rows())


class _Row(NamedTuple):
    estimate: Estimate
    predicted_shift: float
    gold_shift: float
    n_with: int
    p: float


def _estimated(half: _Half, word: str, place: int, label: str, min_items: int, confidence: float, note: str) -> _Row:
    n, nan = len(half.pred), float("nan")
    have = np.zeros(n, dtype=bool)
    have[half.words.filter(pl.col("word") == word)["row"].to_numpy()] = True
    name = f'shift towards "{label}" with "{word}", prediction minus gold'
    n_groups = len(np.unique(half.group))
    blank = Estimate(name, nan, nan, nan, n, n_groups, "groups" if n_groups < n else "items", "items",
                     "linearised (t)", confidence, note)  # fmt: skip
    n_with = int(have.sum())
    if n_with in (0, n):
        why = f"the second half has no text {'without' if n and n_with else 'with'} the word"
        return _Row(replace(blank, note="; ".join(filter(None, [why, note]))), nan, nan, n_with, nan)
    ours, theirs = (float(x[have, place].mean() - x[~have, place].mean()) for x in (half.pred, half.gold))
    found = replace(blank, value=ours - theirs)
    parts = [min(int(side.sum()), len(np.unique(half.group[side]))) for side in (have, ~have)]
    if min(parts) < min_items:
        why = f"described, not tested: fewer than {min_items} items or groups with or without the word"
        return _Row(replace(found, note="; ".join(filter(None, [why, note]))), ours, theirs, n_with, nan)
    interval, p = _inference(found, half.d[:, place], have, half.group)
    return _Row(interval, ours, theirs, n_with, p)


def _inference(
    found: Estimate, d: Floats, have: npt.NDArray[np.bool_], group: npt.NDArray[np.int64]
) -> tuple[Estimate, float]:
    """The estimate with its interval, and p of the score test, both over groups."""
    from scipy.stats import norm, t

    w, of_word = have.astype(np.float64), len(np.unique(group[have]))
    influence = np.where(have, (d - d[have].mean()) / w.sum(), -(d - d[~have].mean()) / (1 - w).sum())
    se = float(np.sqrt(of_word / (of_word - 1) * np.sum(_by_group(influence, group) ** 2)))
    score = _by_group((w - w.mean()) * (d - d.mean()), group)
    spread = float(np.sum(score**2))
    p = float(2 * norm.sf(abs(score.sum()) / np.sqrt(spread))) if spread > _ROUNDING else 1.0
    half_width = float(t.ppf(0.5 + found.confidence / 2, of_word - 1)) * se
    if half_width <= _ROUNDING:
        note = "; ".join(filter(None, ["no interval: no spread within either part", found.note]))
        return replace(found, note=note), p
    return replace(found, low=found.value - half_width, high=found.value + half_width), p


def _by_group(values: Floats, group: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.bincount(group, values), dtype=np.float64)


def _frame(rows: list[_Row], names: list[tuple[str, str]]) -> pl.DataFrame:
    beside = pl.DataFrame(
        {"word": [n[0] for n in names], "label": [n[1] for n in names]}, schema={"word": pl.String, "label": pl.String}
    )
    p = np.array([r.p for r in rows], dtype=np.float64)
    tests = pl.DataFrame(
        {
            "predicted_shift": [r.predicted_shift for r in rows],
            "gold_shift": [r.gold_shift for r in rows],
            "n_with": [r.n_with for r in rows],
            "p_value": p,
            "p_holm": holm(p),
        },
        schema={"predicted_shift": pl.Float64, "gold_shift": pl.Float64, "n_with": pl.Int64, "p_value": pl.Float64,
                "p_holm": pl.Float64},
    ).with_columns(pl.col("p_value", "p_holm").fill_nan(None))  # fmt: skip
    return pl.concat([beside, estimates_frame([r.estimate for r in rows]), tests], how="horizontal")
