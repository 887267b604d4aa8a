"""The counting step: packed words and the general way give the same patterns, and hashes never decide a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import counting, krippendorff_alpha, pairwise_kappa, percent_agreement
from dfar_toolkit.agreement.counting import count_ratings
from dfar_toolkit.agreement.ratings import read_ratings
from dfar_toolkit.errors import TableError


def crowd(seed: int, *, n_items: int, n_raters: int, n_values: int, per_item: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    raters = np.concatenate([rng.choice(n_raters, per_item, replace=False) for _ in range(n_items)])
    return pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in np.repeat(np.arange(n_items), per_item)],
            "annotator_id": [f"r{r}" for r in raters],
            "value": [f"v{v}" for v in rng.integers(0, n_values, n_items * per_item)],
        }
    )


def table(frame: pl.DataFrame, **how: Any) -> list[tuple[float, ...]]:
    """Count vectors of the items, sorted."""
    counts = count_ratings(read_ratings(frame, **how))[0].counts
    dense = np.zeros((len(counts.times), len(counts.values)))
    dense[counts.pattern, counts.code] = counts.count
    return sorted(tuple(row) for row, times in zip(dense, counts.times, strict=True) for _ in range(int(times)))


def plain(frame: pl.DataFrame) -> list[tuple[float, ...]]:
    """The same by a pivot."""
    wide = frame.group_by("item_id", "value").len().pivot("value", index="item_id", values="len").fill_null(0)
    ordered = [str(value) for value in sorted(set(frame["value"]))]
    return sorted(tuple(map(float, row)) for row in wide.select(ordered).rows())


@pytest.mark.parametrize(
    ("n_raters", "n_values", "per_item"),
    [(2, 2, 2), (5, 3, 4), (64, 5, 6), (65, 9, 6), (128, 12, 20), (129, 5, 40), (700, 30, 50), (40, 90, 7)],
)
def test_counts_equal_a_pivot(n_raters: int, n_values: int, per_item: int) -> None:
    frame = crowd(n_raters, n_items=60, n_raters=n_raters, n_values=n_values, per_item=per_item)
    assert table(frame) == plain(frame)
    numbers = frame.with_columns(pl.col("value").str.slice(1).cast(pl.Int64))
    assert table(numbers) == plain(numbers)


def test_the_general_way_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = crowd(1, n_items=50, n_raters=9, n_values=4, per_item=5).with_columns(
        part=pl.col("item_id").str.slice(1, 1), context=pl.col("item_id").str.slice(0, 2)
    )
    packed = krippendorff_alpha(frame, by="part", group="context", ci="jackknife")
    numbers = frame.with_columns(pl.col("value").str.slice(1).cast(pl.Float64))
    monkeypatch.setattr(counting, "_WORDS", 0)
    for other in (frame, numbers):
        general = krippendorff_alpha(other, by="part", group="context", ci="jackknife")
        assert packed.drop("value", "low", "high").equals(general.drop("value", "low", "high"))
        for name in ("value", "low", "high"):
            assert np.allclose(packed[name], general[name], atol=1e-12, equal_nan=True)


def test_more_ratings_than_a_field_holds() -> None:
    frame = crowd(3, n_items=2, n_raters=1500, n_values=2, per_item=1400)
    assert table(frame) == plain(frame)


def test_patterns_are_few() -> None:
    frame = crowd(4, n_items=5000, n_raters=20, n_values=2, per_item=3)
    counts = count_ratings(read_ratings(frame))[0].counts
    assert len(counts.times) == 4  # 0 to 3 of three
    assert counts.times.sum() == counts.n_pairable == 5000


@pytest.mark.parametrize("n_raters", [3, 100, 300])
def test_a_rater_twice_on_an_item_is_found_among_many(n_raters: int) -> None:
    frame = crowd(5, n_items=400, n_raters=n_raters, n_values=3, per_item=3)
    again = frame.sample(1, seed=1).with_columns(value=pl.lit("v0"))
    item, rater = again["item_id"].item(), again["annotator_id"].item()
    for statistic in (percent_agreement, krippendorff_alpha, pairwise_kappa):
        with pytest.raises(TableError, match=rf'twice, 1 time \(e.g. item "{item}", rater "{rater}": v'):
            statistic(pl.concat([frame, again]).sample(fraction=1, shuffle=True, seed=2))
    assert percent_agreement(frame, ci=None).n == 400  # suspicion by hash alone is no refusal


def test_twice_counts_pairs_and_a_missing_value_is_no_rating() -> None:
    rows: list[Any] = [("x", "a", 1), ("x", "a", 1), ("y", "b", 1), ("y", "b", 2), ("y", "b", 3), ("x", "b", 1)]
    with pytest.raises(TableError, match=r"twice, 2 times \(e.g. item \"x\", rater \"a\": 1\)"):
        krippendorff_alpha(rows)
    assert percent_agreement([("x", "a", 1), ("x", "a", None), ("x", "b", 1)], ci=None).value == 1.0


def test_several_values_in_one_rating_are_told_apart() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["x", "x", "x", "y", "y"],
            "annotator_id": ["a", "a", "b", "a", "a"],
            "value": ["yes", "no", "no", "yes", "no"],
            "rating_id": ["1", "1", "2", "3", "4"],
        }
    )
    with pytest.raises(TableError) as caught:
        krippendorff_alpha(frame)
    message = str(caught.value)
    assert "twice" in message
    assert 'several values in one rating, 1 time (e.g. item "x", rater "a": no, yes)' in message
    assert "1 further repeats are separate ratings" in message
    assert "one yes/no question per value" in message
    with pytest.raises(TableError, match="rated an item twice, 1 time"):
        krippendorff_alpha(frame.filter(item_id="y"))


def test_repeats_in_different_slices_are_no_repeats() -> None:
    rows = pl.DataFrame({"item_id": ["x"] * 4, "annotator_id": list("abab"), "value": [1, 1, 1, 2], "at": [1, 1, 2, 2]})
    assert percent_agreement(rows, by="at", ci=None)["value"].to_list() == [1.0, 0.0]
    with pytest.raises(TableError, match="twice, 2 times"):
        percent_agreement(rows)


def test_an_item_in_two_groups_is_refused() -> None:
    rows = pl.DataFrame({"item_id": ["x", "x", "y"], "annotator_id": list("aba"), "value": [1, 1, 1], "g": list("pqp")})
    with pytest.raises(TableError, match=r'same group on all its rows; 1 do not \(e.g. item "x" in p, q\)'):
        percent_agreement(rows, group="g")


def test_groups_of_one_item_are_items() -> None:
    frame = crowd(6, n_items=30, n_raters=5, n_values=3, per_item=3)
    assert percent_agreement(frame, group="item_id", n_boot=50).unit == "items"
