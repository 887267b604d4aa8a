"""Length and wording shortcuts."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest
from scipy.stats import pointbiserialr
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.bias.shortcuts import length_shortcut
from dfar_toolkit.metrics.bias.word_shortcuts import word_shortcuts


def _made(n: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Texts of tied lengths; the run leans to "b" on long ones more than the gold does."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 12, size=n)
    gold = np.where(length / 12 + rng.normal(size=n) > 0.5, "b", "a")
    pred = np.where(length / 4 + rng.normal(size=n) > 1.5, "b", "a")
    return ["é" * k for k in length], gold.tolist(), pred.tolist()


def _row(table: pl.DataFrame, metric: str, label: str = "b") -> dict[str, object]:
    return table.filter(pl.col("metric") == metric, pl.col("label") == label).row(0, named=True)


def _delong(x: np.ndarray, sides: list[np.ndarray]) -> tuple[list[float], np.ndarray]:
    """Areas and their covariance by DeLong's components, from loops (the two classes differ between the sides)."""
    n = len(x)
    values, influences = [], []
    for y in sides:
        pos, neg = np.flatnonzero(y), np.flatnonzero(~y)
        win = (x[pos][:, None] > x[neg][None, :]) + 0.5 * (x[pos][:, None] == x[neg][None, :])
        own = np.zeros(n)
        own[pos] = (win.mean(axis=1) - win.mean()) * n / len(pos)
        own[neg] = (win.mean(axis=0) - win.mean()) * n / len(neg)
        values.append(float(win.mean()))
        influences.append(own)
    return values, np.cov(np.array(influences)) / n


def test_areas_correlations_and_interval_equal_the_libraries() -> None:
    texts, gold, pred = _made(150, 0)
    table = length_shortcut(text=texts, gold=gold, pred=pred, n_boot=50)
    x = np.array([len(t) for t in texts], dtype=float)
    p, g = np.array(pred) == "b", np.array(gold) == "b"
    values, covariance = _delong(x, [p, g])
    assert _row(table, "length_auc")["value"] == pytest.approx(roc_auc_score(p, x), abs=1e-12)
    assert _row(table, "length_auc_gold")["value"] == pytest.approx(roc_auc_score(g, x), abs=1e-12)
    difference = _row(table, "length_auc_difference")
    assert difference["value"] == pytest.approx(values[0] - values[1], abs=1e-12)
    se = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert difference["high"] - difference["low"] == pytest.approx(2 * 1.959963984540054 * se, rel=1e-9)
    assert difference["low"] > 0
    assert _row(table, "length_correlation")["value"] == pytest.approx(pointbiserialr(p, x)[0], abs=1e-12)
    assert _row(table, "length_correlation_gold")["value"] == pytest.approx(pointbiserialr(g, x)[0], abs=1e-12)


def test_two_labels_give_one_test_and_three_are_corrected_by_holm() -> None:
    texts, gold, pred = _made(120, 1)
    two = length_shortcut(text=texts, gold=gold, pred=pred, ci="bootstrap", n_boot=20)
    assert two["label"].unique().to_list() == ["b"]
    assert _row(two, "length_auc_difference")["p_value"] == _row(two, "length_auc_difference")["p_holm"]
    three = length_shortcut(
        text=texts, gold=["c" if i % 5 == 0 else g for i, g in enumerate(gold)],
        pred=["c" if i % 7 == 0 else p for i, p in enumerate(pred)], n_boot=20,
    ).filter(pl.col("metric") == "length_auc_difference")  # fmt: skip
    assert three["p_holm"].to_list() == pytest.approx(
        list(multipletests(three["p_value"].to_numpy(), method="holm")[1]), abs=1e-12
    )


def test_words_or_characters() -> None:
    texts, labels = ["🙂 🙂 🙂", "abcdefghij"], ["b", "a"]
    by_words = length_shortcut(text=texts, gold=labels, pred=labels, unit="words", ci=None)
    by_characters = length_shortcut(text=texts, gold=labels, pred=labels, ci=None)
    assert _row(by_words, "length_auc")["value"] == 1.0
    assert _row(by_characters, "length_auc")["value"] == 0.0


def test_length_undefined_and_left_out() -> None:
    table = length_shortcut(text=["x", None, "y"], gold=["b", "a", "b"], pred=["b", "a", "b"], options=["a", "b"])
    assert table["value"].is_nan().all()
    assert table["note"].str.contains("1 of 3 items without an answer or a text left out").all()
    few = _row(length_shortcut(text=["x", "yy"] * 4, gold=list("abba" * 2), pred=list("abab" * 2)), "length_auc_gold")
    assert isnan(few["low"])
    assert "fewer than 10 items" in few["note"]


def test_groups_change_the_interval_not_the_value() -> None:
    texts, gold, pred = _made(40, 2)
    alone = length_shortcut(text=texts * 3, gold=gold * 3, pred=pred * 3, n_boot=20)
    grouped = length_shortcut(text=texts * 3, gold=gold * 3, pred=pred * 3, group=list(range(40)) * 3, n_boot=20)
    a, g = (_row(t, "length_auc_difference") for t in (alone, grouped))
    assert a["value"] == pytest.approx(g["value"], abs=1e-12)
    # Tripled items seen as groups of three: the standard error of 40 items, up to the factors G / (G - 1).
    ratio = (g["high"] - g["low"]) / (a["high"] - a["low"])
    assert ratio == pytest.approx(np.sqrt(3 * (40 / 39) / (120 / 119)), rel=1e-9)


def _worded(n: int, seed: int) -> pl.DataFrame:
    """Three words; on "not" the run always says "bad", while the gold is a coin; "cat" means nothing."""
    rng = np.random.default_rng(seed)
    have = rng.random((n, 3)) < 0.5
    gold = rng.choice(["bad", "good"], size=n)
    pred = np.where(have[:, 0], "bad", gold)
    words = np.array(["Not", "cat", "it's"])
    return pl.DataFrame(
        {"statement": [" ".join([*words[h], f"n{i}"]) for i, h in enumerate(have)], "label": gold, "label_pred": pred}
    )


def test_a_word_that_moves_the_run_is_found_and_estimated_on_the_other_half() -> None:
    frame = _worded(400, 0)
    table = word_shortcuts(frame)
    top = table.row(0, named=True)
    assert (top["word"], top["label"]) == ("not", "good")
    assert top["n"] == 200
    assert top["high"] < -0.3
    assert top["p_holm"] < 1e-6
    assert top["value"] == pytest.approx(top["predicted_shift"] - top["gold_shift"], abs=1e-12)
    assert table["p_holm"].to_list() == pytest.approx(
        list(multipletests(table["p_value"].to_numpy(), method="holm")[1]), abs=1e-12
    )
    assert table.equals(word_shortcuts(frame.reverse()))
    assert not table.equals(word_shortcuts(frame, seed=1))


def test_the_estimate_by_hand() -> None:
    frame = _worded(200, 3)
    table = word_shortcuts(frame, seed=5)
    # The second half again: the groups are the texts (all differ), ranked and permuted.
    rank = frame["statement"].rank("dense").to_numpy() - 1
    second = np.ones(200, dtype=bool)
    second[np.random.default_rng(5).permutation(200)[:100]] = False
    half = frame.filter(pl.Series(second[rank.astype(int)]))
    with_word = pl.col("statement").str.contains("Not")
    d = (pl.col("label_pred") == "good").cast(pl.Float64) - (pl.col("label") == "good").cast(pl.Float64)
    expected = half.select(d.filter(with_word).mean() - d.filter(~with_word).mean()).item()
    assert table.filter(pl.col("word") == "not")["value"].item() == pytest.approx(expected, abs=1e-12)


def test_rare_words_are_not_looked_at_and_texts_stay_together() -> None:
    assert word_shortcuts(_worded(400, 0), min_items=399).height == 0
    assert word_shortcuts(text=[], gold=[], pred=[], options=["a", "b"]).height == 0
    repeated = pl.concat([_worded(60, 1)] * 3)
    table = word_shortcuts(repeated, min_items=5)
    assert set(table["n"]) == {90}
    assert set(table["n_units"]) == {30}


@pytest.mark.parametrize(
    ("how", "message"),
    [({"most": 0}, "most must be at least 1"), ({"confidence": 1.0}, "confidence must lie between 0 and 1")],
)
def test_refusals(how: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        word_shortcuts(_worded(20, 0), **how)


def test_refusals_of_columns() -> None:
    with pytest.raises(ValueError, match='no column "text" for text'):
        length_shortcut(_worded(20, 0), text="text")
    with pytest.raises(ValueError, match="unit must be characters or words"):
        length_shortcut(_worded(20, 0), unit="lines")
    with pytest.raises(TableError, match="gold label"):
        word_shortcuts(text=["x"], gold=[None], pred=["a"])
    with pytest.raises(ValueError, match="text has 1 values for 2 items"):
        length_shortcut(text=["x"], gold=["a", "b"], pred=["a", "b"])
