"""Laws that hold whatever the ratings are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement import (
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pairwise_kappa,
    percent_agreement,
)
from dfar_toolkit.estimate import Estimate

ratings = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 4)), st.integers(0, 3), min_size=1, max_size=30
).map(lambda cells: [(f"i{i}", f"r{r}", str(v)) for (i, r), v in cells.items()])

FEW = settings(max_examples=25)


def all_of(rows: list[tuple[Any, Any, Any]], **how: Any) -> list[Estimate]:
    return [
        percent_agreement(rows, **how),
        krippendorff_alpha(rows, **how),
        krippendorff_alpha(rows, level="ordinal", **how),
        krippendorff_alpha(rows, level="interval", **how),
        krippendorff_alpha(rows, level="ratio", **how),
        fleiss_kappa(rows, **how),
        gwet_ac1(rows, **how),
    ]


def same(left: list[Estimate], right: list[Estimate], tolerance: float = 1e-12) -> None:
    for a, b in zip(left, right, strict=True):
        assert a.value == pytest.approx(b.value, abs=tolerance, nan_ok=True), a.name


@FEW
@given(ratings, st.randoms(use_true_random=False))
def test_row_order_changes_nothing_at_all(rows: list[Any], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    before, after = all_of(rows, n_boot=50), all_of(shuffled, n_boot=50)
    for a, b in zip(before, after, strict=True):
        assert repr(a) == repr(b)  # to the last bit, intervals and notes too
    assert pairwise_kappa(rows, n_boot=20).equals(pairwise_kappa(shuffled, n_boot=20), null_equal=True) or any(
        math.isnan(v) for v in pairwise_kappa(rows, n_boot=20)["value"]
    )


@FEW
@given(ratings)
def test_names_of_items_and_raters_do_not_matter(rows: list[Any]) -> None:
    renamed = [(f"other {item[::-1]}", f"someone-{rater}", value) for item, rater, value in rows]
    same(all_of(rows, ci=None), all_of(renamed, ci=None))


@FEW
@given(ratings, st.permutations("0123"))
def test_names_of_values_do_not_matter_at_the_nominal_level(rows: list[Any], names: list[str]) -> None:
    renamed = [(item, rater, f"v{names[int(value)]}") for item, rater, value in rows]
    for statistic in (percent_agreement, krippendorff_alpha, fleiss_kappa, gwet_ac1):
        same([statistic(rows, ci=None)], [statistic(renamed, ci=None)])


@FEW
@given(ratings)
def test_scales_only_matter_up_to_what_their_level_keeps(rows: list[Any]) -> None:
    def moved(change: Any) -> list[Any]:
        return [(item, rater, change(float(value))) for item, rater, value in rows]

    for level, change in (("ordinal", math.exp), ("interval", lambda v: 7 - 3 * v), ("ratio", lambda v: 3 * v)):
        how: dict[str, Any] = {"level": level, "ci": None}
        same([krippendorff_alpha(rows, **how)], [krippendorff_alpha(moved(change), **how)], 1e-10)


@FEW
@given(ratings)
def test_every_item_twice(rows: list[Any]) -> None:
    """Percent agreement, Fleiss' kappa and AC1 stay; alpha's (n - 1) becomes (2 n - 1) / 2."""
    twice = rows + [(f"{item} again", rater, value) for item, rater, value in rows]
    for statistic in (percent_agreement, fleiss_kappa, gwet_ac1):
        same([statistic(rows, ci=None)], [statistic(twice, ci=None)])
    counts = pl.DataFrame(rows, schema=["item", "rater", "value"], orient="row").group_by("item").len()
    n = int(counts.filter(pl.col("len") > 1)["len"].sum())
    for level in ("nominal", "ordinal", "interval", "ratio"):
        one = krippendorff_alpha(rows, level=level, ci=None).value  # type: ignore[arg-type]
        two = krippendorff_alpha(twice, level=level, ci=None).value  # type: ignore[arg-type]
        if not math.isnan(one):
            assert 1 - two == pytest.approx((1 - one) * (2 * n - 1) / (2 * (n - 1)), abs=1e-10)


@FEW
@given(ratings)
def test_bounds(rows: list[Any]) -> None:
    share, *others = (found.value for found in all_of(rows, ci=None))
    assert math.isnan(share) or 0 <= share <= 1
    assert all(math.isnan(value) or value <= 1 + 1e-12 for value in others)


@FEW
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
def test_cohen_does_not_mind_which_rater_comes_first(pairs: list[tuple[int, int]]) -> None:
    rows = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip("ab", pair, strict=True)]
    turned = [(i, who, v) for i, pair in enumerate(pairs) for who, v in zip("ba", pair, strict=True)]
    same([cohen_kappa(rows, ci=None)], [cohen_kappa(turned, ci=None)])


@FEW
@given(ratings)
def test_pandas_and_lazy_frames_and_triples_agree(rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    for other in (frame, frame.lazy(), frame.to_pandas(), frame.to_arrow()):
        assert repr(krippendorff_alpha(other, n_boot=20)) == repr(krippendorff_alpha(rows, n_boot=20))


@FEW
@given(ratings)
def test_a_slice_is_what_filtering_gives(rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64).mod(3).alias("part"))
    for statistic in (percent_agreement, krippendorff_alpha, fleiss_kappa, gwet_ac1):
        sliced = statistic(frame, by="part", n_boot=30)
        assert sliced["part"].to_list() == sorted(set(frame["part"]))
        for row in sliced.iter_rows(named=True):
            alone = statistic(frame.filter(pl.col("part") == row["part"]), n_boot=30)
            expected = [alone.value, alone.low, alone.high, alone.n]
            assert np.allclose([row[k] for k in ("value", "low", "high", "n")], expected, equal_nan=True, atol=1e-12)
            assert row["note"] == alone.note
