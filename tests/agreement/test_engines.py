"""Counting in the caller's engine: the plan for any lazy frame gives the very slices, and refusals, of polars.

The plan runs here on a polars frame behind narwhals, where it is cheap; on PySpark in test_spark.py.
"""

from __future__ import annotations

import datetime
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement import (
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    percent_agreement,
    slices,
)
from dfar_toolkit.agreement.counting import Slice, count_ratings
from dfar_toolkit.agreement.engine_counts import count_in_engine
from dfar_toolkit.agreement.ratings import foreign_lazy, read_ratings
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame


def crowd(seed: int, *, n_items: int, n_raters: int, n_values: int, per_item: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    raters = np.concatenate([rng.choice(n_raters, per_item, replace=False) for _ in range(n_items)])
    item = pl.Series(np.repeat(np.arange(n_items), per_item))
    value = pl.Series(rng.integers(0, n_values, n_items * per_item))
    frame = pl.DataFrame({"item": item, "rater": raters, "value": value}).select(
        pl.format("item {} ☂", "item").alias("item_id"),
        pl.format("r{}", "rater").alias("annotator_id"),
        pl.format("v{}", "value").alias("value"),
        (pl.col("value") / 4).alias("number"),
        pl.format("c{}", pl.col("item") // 4).alias("context"),
        pl.when(pl.col("item") % 3 > 0).then(pl.col("item") % 3).alias("part"),
    )
    return frame.sample(fraction=1, shuffle=True, seed=seed)


def there(frame: pl.DataFrame, **how: Any) -> list[Slice]:
    names: dict[str, Any] = {"item": "item_id", "rater": "annotator_id", "value": "value", **how}
    return count_in_engine(nw.from_native(frame.lazy()), **names).slices


def here(frame: pl.DataFrame, **how: Any) -> list[Slice]:
    return count_ratings(read_ratings(frame, **how))


def same(a: list[Slice], b: list[Slice]) -> None:
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        assert left.key.equals(right.key, null_equal=True)
        x, y = left.counts, right.counts
        assert x.values.to_list() == y.values.to_list()
        assert x.notes == y.notes
        for one, other in zip(
            (x.pattern, x.code, x.count, x.times), (y.pattern, y.code, y.count, y.times), strict=True
        ):
            assert np.array_equal(one, other)
        assert np.array_equal(x.groups, y.groups) if x.groups is not None and y.groups is not None else x is not y


@pytest.mark.parametrize("value", ["value", "number"])
@pytest.mark.parametrize("how", [{}, {"group": "context"}, {"by": ("part",)}, {"group": "context", "by": ("part",)}])
@pytest.mark.parametrize(
    ("n_raters", "n_values", "per_item"), [(2, 2, 2), (5, 3, 4), (65, 9, 6), (128, 12, 20), (700, 30, 50), (40, 90, 7)]
)
def test_slices_are_those_of_polars(
    n_raters: int, n_values: int, per_item: int, how: dict[str, Any], value: str
) -> None:
    frame = crowd(n_raters, n_items=40, n_raters=n_raters, n_values=n_values, per_item=per_item)
    same(here(frame, value=value, **how), there(frame, value=value, **how))


def test_more_ratings_than_a_word_counts() -> None:
    frame = crowd(3, n_items=2, n_raters=1500, n_values=2, per_item=1400)
    same(here(frame, group="context"), there(frame, group="context"))


@given(
    st.lists(
        st.tuples(st.sampled_from("xyzw"), st.sampled_from("abc"), st.sampled_from([None, "no", "yes", "nan", "é ☂"])),
        unique_by=lambda row: row[:2],
        max_size=12,
    )
)
def test_any_small_table(rows: list[tuple[str, str, str | None]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"item_id": pl.String, "annotator_id": pl.String, "value": pl.String}, orient="row"
    )
    same(here(frame), there(frame))
    same(here(frame, by=("item_id",)), there(frame, by=("item_id",)))


def test_every_kind_of_value() -> None:
    ids = {"item_id": [1, 1, 2, 2], "annotator_id": [True, False, True, False]}
    columns = {
        "flag": [True, True, False, None],
        "day": [datetime.date(2020, 1, 2)] * 3 + [datetime.date(2020, 1, 1)],
        "signed": [0.0, -0.0, float("nan"), 1.0],
        "whole": pl.Series([3, 3, -1, 200], dtype=pl.Int16),
        "kind": pl.Series(["b", "a", "b", "b"], dtype=pl.Enum(["b", "a"])),
        "empty": pl.Series([None] * 4, dtype=pl.String),
    }
    frame = pl.DataFrame({**ids, **columns})
    for name in columns:
        same(here(frame, value=name), there(frame, value=name))
    assert there(frame, value="signed")[0].counts.notes == ("1 NaN value taken as missing",)


def table(found: Estimate | pl.DataFrame) -> pl.DataFrame:
    return estimates_frame([found]) if isinstance(found, Estimate) else found


def refused(frame: pl.DataFrame, **how: Any) -> str:
    """The words of the refusal, which are the same here and there."""
    with pytest.raises(TableError) as ours:
        here(frame, **how)
    with pytest.raises(TableError) as theirs:
        there(frame, **how)
    assert str(ours.value) == str(theirs.value)
    return str(ours.value)


def test_refusals_are_those_of_polars() -> None:
    frame = crowd(1, n_items=9, n_raters=4, n_values=2, per_item=3)
    again = pl.concat([frame, frame.head(2).with_columns(value=pl.lit("v9"))])
    assert "rated an item twice, 2 times" in refused(again)
    assert "rated an item twice, 2 times" in refused(again, by=("part",))
    assert "stands twice on an item because one person gave several values" in refused(
        again.with_columns(rating_id=pl.format("{}-{}", "item_id", "annotator_id"))
    )
    parts = again.with_columns(rating_id=pl.int_range(pl.len()) % 3)
    assert "rated an item twice" in refused(parts.with_columns(rating_id=pl.int_range(pl.len())))
    assert "same group on all its rows; 9 do not" in refused(frame, group="annotator_id")
    nobody = frame.with_columns(annotator_id=pl.lit("crowd:unknown"))
    assert "every rating is by an unknown annotator" in refused(nobody)
    some = pl.concat([frame, nobody.filter(pl.col("item_id").str.ends_with("1 ☂"))])
    assert "an unknown annotator has more than one rating on an item, 1 time" in refused(some)
    for name in ("item_id", "annotator_id", "context"):
        holed = frame.with_columns(pl.when(pl.int_range(pl.len()) > 2).then(name).alias(name))
        assert f'"{name}" must name one on every row with a value; found 3 nulls' in refused(holed, group="context")
    asked = frame.with_columns(question=pl.when(pl.int_range(pl.len()) > 2).then(pl.lit("tone")).otherwise(pl.lit("a")))
    assert "the ratings hold 2" in refused(asked)
    same(here(asked, by=("question",)), there(asked, by=("question",)))
    assert 'needs the column "unit" (item)' in refused(frame, item="unit")
    assert 'needs the column "lang" (by)' in refused(frame, by=("lang",))
    listed = frame.with_columns(pl.concat_list("value"))
    assert "must hold one text or number per row; found List" in refused(listed)
    assert "must hold one id per row; found List" in refused(listed, item="value", value="number")


@pytest.mark.parametrize("how", [{}, {"by": "part"}, {"group": "context", "by": ["part"]}, {"ci": None}])
def test_statistics_of_counts_take_the_engine(monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]) -> None:
    frame = crowd(2, n_items=60, n_raters=6, n_values=3, per_item=4)
    assert foreign_lazy(frame.lazy()) is None
    assert foreign_lazy(nw.from_native(frame.lazy())) is None  # polars keeps what is polars'
    assert foreign_lazy(frame.to_pandas()) is None
    assert foreign_lazy(frame.rows()) is None

    def as_foreign(ratings: Any) -> Any:
        return nw.from_native(ratings.lazy())

    def all_of(data: Any) -> list[Estimate | pl.DataFrame]:
        return [
            krippendorff_alpha(data, n_boot=50, **how),
            krippendorff_alpha(data, level="ordinal", value="number", n_boot=50, **how),
            percent_agreement(data, n_boot=50, **how),
            fleiss_kappa(data, n_boot=50, **how),
            gwet_ac1(data, n_boot=50, **how),
        ]

    ours = all_of(frame)
    monkeypatch.setattr(slices, "foreign_lazy", as_foreign)
    monkeypatch.setattr(slices, "read_ratings", None)  # nothing is read here
    for one, other in zip(ours, all_of(frame), strict=True):
        assert table(one).equals(table(other), null_equal=True)  # to the last bit
