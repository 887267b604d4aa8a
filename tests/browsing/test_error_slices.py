from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.browsing.group_codes import coded_groups
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.slice_test import slice_p_values
from dfar_toolkit.browsing.slices import error_slices, first_half, slices_of

WORDS = np.array(["they", "promised", "bread", "money", "school", "friend", "late", "told", "harm", "fair"])


def made(n: int, seed: int, *, planted: float = 0.0, per_group: int = 2) -> pl.DataFrame:
    """Items that are wrong at random, whole groups alike half of the time; more so where "promised" meets source b."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) // per_group
    text = [" ".join(rng.choice(WORDS, 5)) for _ in range(n)]
    source = np.where(rng.random(n) < 0.4, "b", "a")
    hit = np.array(["promised" in t for t in text]) & (source == "b")
    shared = rng.random(group.max() + 1)[group]
    draw = np.where(rng.random(n) < 0.5, shared, rng.random(n))
    return pl.DataFrame(
        {
            "group": group.astype(str), "wrong": draw < 0.2 + planted * hit, "statement": text, "source": source,
            "label": np.where(rng.random(n) < 0.5, "bad", "good"), "length": [len(t) for t in text],
            "disagreement": rng.choice([0.0, 0.4, 0.6], n),
        }
    ).with_columns(pl.lit(None, pl.String).alias("leak_kind"))  # fmt: skip


def test_a_planted_slice_is_found_on_one_half_and_estimated_on_the_other() -> None:
    frame = made(2400, 1, planted=0.5)
    found = slices_of(frame, n_boot=200, n_perm=2000)
    best = found.row(0, named=True)
    wanted, problems = ItemFilter.from_query(json.loads(best["filter"]))
    assert problems == []
    assert (wanted.source, wanted.regex) == (("b",), r"(?i)\bpromised\b")
    assert best["p_holm"] <= 0.01
    assert best["low"] < 0.5 < best["high"]
    # The numbers are those of the second half alone, counted by hand.
    rows = list(zip(frame.iter_rows(named=True), first_half(frame["group"]), strict=True))
    second = [(r["source"] == "b" and "promised" in r["statement"], r["wrong"]) for r, first in rows if not first]
    inside, outside = ([w for i, w in second if i is side] for side in (True, False))
    assert best["n"] == len(inside)
    assert math.isclose(best["error_inside"], sum(inside) / len(inside))
    assert math.isclose(best["value"], sum(inside) / len(inside) - sum(outside) / len(outside))
    first = [r["wrong"] for r, half in rows if half and r["source"] == "b" and "promised" in r["statement"]]
    assert best["found_n"] == len(first)


def test_without_slices_hardly_any_set_shows_a_significant_one() -> None:
    sets = [slices_of(made(300, seed), n_boot=1, n_perm=400, seed=seed, min_items=15) for seed in range(60)]
    assert all(len(found) for found in sets)
    some = sum(bool((found["p_holm"] <= 0.05).any()) for found in sets)
    assert some <= 5


def test_a_small_slice_without_errors_is_nothing_special() -> None:
    # 15 of 150 items without one of the 30 errors: C(120, 15) / C(150, 15) = .030 by chance, .044 with the other tail.
    wrong = np.arange(150) < 30
    members = (np.arange(150) >= 135)[:, None]
    p = slice_p_values(wrong, members, pl.Series([str(k) for k in range(150)]), n_perm=4000)[0]
    weights = [math.comb(30, k) * math.comb(120, 15 - k) / math.comb(150, 15) for k in range(16)]
    exact = sum(w for k, w in enumerate(weights) if abs(k - 3) >= 3)
    assert abs(p - exact) < 4 * math.sqrt(exact * (1 - exact) / 4000)


def test_the_test_knows_groups_and_no_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 8)
    wrong, members = (rng.random(30) < 0.5)[group], ((rng.random(30) < 0.5)[group])[:, None]
    names = pl.Series(group.astype(str))
    own = slice_p_values(wrong, members, names, n_perm=300)
    turned = rng.permutation(240)
    assert own.tolist() == slice_p_values(wrong[turned], members[turned], names[turned.tolist()], n_perm=300).tolist()
    assert own[0] > slice_p_values(wrong, members, pl.Series(np.arange(240).astype(str)), n_perm=300)[0]


def test_many_items_take_the_normal_limit_where_it_holds() -> None:
    rng = np.random.default_rng(1)
    n = 12_000
    wrong = rng.random(n) < 0.2
    members = np.column_stack([np.arange(n) < 3000, np.arange(n) < 60, wrong | (np.arange(n) < 500), np.zeros(n, bool)])
    p = slice_p_values(wrong, members, pl.Series([str(k) for k in range(n)]))
    a, b = wrong[:3000], wrong[3000:]
    z = (a.mean() - b.mean()) / math.sqrt(wrong.mean() * (1 - wrong.mean()) * (1 / 3000 + 1 / 9000))
    assert math.isclose(p[0], math.erfc(abs(z) / math.sqrt(2)), rel_tol=0.05)
    assert math.isnan(p[1])  # twelve errors expected inside
    assert p[2] < 1e-9
    assert math.isnan(p[3])


def test_groups_never_straddle_the_halves_and_rows_may_come_in_any_order() -> None:
    groups = pl.Series([f"g{k % 37}" for k in range(400)])
    half = first_half(groups, seed=3)
    sides = pl.DataFrame({"g": groups, "half": half}).group_by("g").agg(pl.col("half").n_unique())
    assert sides["half"].max() == 1
    assert pl.DataFrame({"g": groups, "half": half}).filter("half")["g"].n_unique() == 18
    assert first_half(groups.reverse(), seed=3).tolist() == half.tolist()[::-1]
    assert first_half(groups, seed=4).tolist() != half.tolist()


def test_nothing_to_slice_is_no_rows() -> None:
    frame = made(40, 0)
    for few in (frame.head(0), frame.head(1), frame.head(12), frame.with_columns(wrong=pl.lit(False))):
        assert slices_of(few, n_boot=10).shape[0] == 0
    assert slices_of(frame.head(0)).columns[:2] == ["slice", "filter"]


def test_slices_of_an_index_open_as_filters(index: ItemIndex) -> None:
    found = error_slices(index, "run a", min_items=3, n_boot=20)
    assert len(found)
    for query in found["filter"]:
        assert ItemFilter.from_query(json.loads(query))[1] == []
    with pytest.raises(ValueError, match="there is no run 'ghost'"):
        error_slices(index, "ghost")


def test_codes_of_groups_do_not_depend_on_the_order_of_rows() -> None:
    names = ["c", "a", "b", "a", None, "c", None]
    codes = coded_groups(pl.Series(names, dtype=pl.String)).to_list()
    assert codes == [2, 0, 1, 0, 3, 2, 4]
    assert coded_groups(pl.Series(names[::-1], dtype=pl.String)).to_list() == [3, 2, 4, 0, 1, 0, 2]
    assert coded_groups(pl.Series([], dtype=pl.String)).to_list() == []
    assert coded_groups(pl.Series([None, None], dtype=pl.String)).to_list() == [0, 1]
