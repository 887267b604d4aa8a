"""The interval of Hayes and Krippendorff, by name only: against its closed form, and drawing pairs one by one."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from dfar_toolkit.agreement import krippendorff_alpha

Rows = list[tuple[Any, Any, Any]]
LEVELS = ("nominal", "ordinal", "interval", "ratio", "circular", "bipolar")


def made(seed: int, n_items: int, n_raters: int, n_values: int = 4, missing: float = 0.0) -> Rows:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, n_values + 1, n_items)
    rows = []
    for i in range(n_items):
        for j in range(n_raters):
            value = truth[i] if rng.random() < 0.6 else rng.integers(1, n_values + 1)
            if j < 2 or rng.random() >= missing:
                rows.append((i, j, int(value)))
    return rows


def codes(rows: Rows) -> list[list[int]]:
    """The places of the values of each item among the sorted values."""
    x = sorted({v for _, _, v in rows})
    found: dict[Any, list[int]] = defaultdict(list)
    for item, _, value in rows:
        found[item].append(x.index(value))
    return list(found.values())


def apart(level: str, x: list[float], c: int, k: int) -> float:
    low, high, a, b = x[0], x[-1], x[c], x[k]
    if c == k:
        return 0.0
    return {
        "nominal": 1.0,
        "interval": (a - b) ** 2,
        "ratio": ((a - b) / (a + b)) ** 2,
        "circular": math.sin(math.pi * (a - b) / (high - low + 1)) ** 2,
        "bipolar": (a - b) ** 2 / ((a + b - 2 * low) * (2 * high - a - b)),
    }[level]


def test_hayes_krippendorff_draws_pairs() -> None:
    """At the nominal level a draw of M pairs is binomial: its quantiles in closed form."""
    rows = made(11, 30, 4, missing=0.5)
    per_item = codes(rows)
    pairs = sum(len(c) * (len(c) - 1) // 2 for c in per_item)
    n = sum(len(c) for c in per_item)
    share = sum(sum(a != b for a, b in permutations(c, 2)) / (len(c) - 1) for c in per_item) / n
    found = krippendorff_alpha(rows, ci="hayes-krippendorff", n_boot=20_000)
    scale = (1 - found.value) / share
    wanted = [1 - scale * binom.ppf(q, pairs, share) / pairs for q in (0.975, 0.025)]
    assert [found.low, found.high] == pytest.approx(wanted, abs=1.01 * scale / pairs)
    assert (found.method, found.scope) == ("hayes-krippendorff", "pairs")
    assert "too narrow" in found.note
    assert repr(found) == repr(krippendorff_alpha(rows[::-1], ci="hayes-krippendorff", n_boot=20_000))


@pytest.mark.parametrize("level", LEVELS)
def test_hayes_krippendorff_at_every_level(level: Any) -> None:
    """Against drawing pairs one by one, with the squared differences of the whole data."""
    rows = made(12, 25, 3, missing=0.4)
    per_item, x = codes(rows), sorted({float(v) for _, _, v in rows})
    marginal = np.bincount([c for own in per_item for c in own], minlength=len(x))
    rank = np.cumsum(marginal) - marginal / 2

    def delta(c: int, k: int) -> float:
        return float((rank[c] - rank[k]) ** 2) if level == "ordinal" else apart(level, x, c, k)

    drawn, chance = [], []
    for own in per_item:
        for c, k in permutations(own, 2):
            drawn.append(delta(c, k))
            chance.append(1 / (len(own) - 1))
    p = np.array(chance) / sum(chance)
    found = krippendorff_alpha(rows, level=level, ci="hayes-krippendorff")
    rng = np.random.default_rng(5)
    means = rng.choice(drawn, size=(4000, len(drawn) // 2), p=p).mean(axis=1)
    wanted = np.quantile(1 - (1 - found.value) * means / float(np.dot(drawn, p)), [0.025, 0.975])
    assert [found.low, found.high] == pytest.approx(wanted, abs=0.1 * (wanted[1] - wanted[0]))


def test_hayes_krippendorff_where_nothing_can_be_drawn() -> None:
    perfect = krippendorff_alpha([("x", "a", 1), ("x", "b", 1), ("y", "a", 2), ("y", "b", 2)], ci="hayes-krippendorff")
    assert perfect.value == 1.0
    assert "no interval: every draw gives the same value" in perfect.note
    assert math.isnan(perfect.low)
    nothing = krippendorff_alpha([("x", "a", 1)], ci="hayes-krippendorff")
    assert math.isnan(nothing.value)
    assert "no item" in nothing.note
    for n_boot in (0, -1):
        with pytest.raises(ValueError, match="n_boot must be at least 1"):
            krippendorff_alpha(made(1, 5, 3), ci="hayes-krippendorff", n_boot=n_boot)
    with pytest.raises(ValueError, match="confidence"):
        krippendorff_alpha(made(1, 5, 3), ci="hayes-krippendorff", confidence=1.0)
