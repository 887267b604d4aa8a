"""Perspectivist scores: hand-worked fractions, a naive loop as oracle, laws, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.perspectivist import (
    annotator_scores,
    error_rate,
    error_rate_rows,
    normalised_absolute_distance,
    normalised_absolute_distance_rows,
)
from dfar_toolkit.metrics.rating_pairs import pair_ratings

OPTIONS = ["no way", "maybe", "yes 🙂"]


def ratings(rows: list[tuple[str, str, Any, Any]]) -> pl.DataFrame:
    names = ["item_id", "annotator_id", "value", "value_pred"]
    return pl.DataFrame({name: [row[k] for row in rows] for k, name in enumerate(names)})


# Item i: x right, y wrong, z unanswered -> 2/3, of the answered 1/2. Item j: x right -> 0. Item k: y unanswered -> 1.
ROWS: list[tuple[str, str, Any, Any]] = [
    ("i", "x", "no way", "no way"),
    ("i", "y", "yes 🙂", "no way"),
    ("i", "z", "maybe", None),
    ("j", "x", "yes 🙂", "yes 🙂"),
    ("k", "y", "no way", None),
]


class TestByHand:
    def test_error_rate(self) -> None:
        found = error_rate(ratings(ROWS), ci=None)
        assert found.value == pytest.approx(float((Fraction(2, 3) + 0 + 1) / 3), abs=1e-12)
        assert (found.n, found.note) == (3, "2 of 5 ratings have no prediction and count as the worst answer")

    def test_over_the_answered(self) -> None:
        found = error_rate(ratings(ROWS), over="answered", ci=None)
        assert found.value == pytest.approx(float((Fraction(1, 2) + 0) / 2), abs=1e-12)
        assert (found.n, found.note) == (2, "2 of 5 ratings have no prediction and are left out")

    def test_every_item_weighs_the_same(self) -> None:
        """Pooled over the four ratings 1/4 would be wrong; by item it is (1/3 + 0) / 2."""
        rows = [("i", "x", "a", "b"), ("i", "y", "a", "a"), ("i", "z", "a", "a"), ("j", "x", "a", "a")]
        assert error_rate(ratings(rows), ci=None).value == pytest.approx(1 / 6, abs=1e-12)

    def test_sets_are_wrong_by_label(self) -> None:
        """{c, n} for {c}: one of three labels; {} for {e}: one; nothing said: all. (1/3 + 1/3) / 2 and 1, by item."""
        rows: list[tuple[str, str, Any, Any]] = [
            ("i", "x", ["c"], ["n", "c"]),
            ("i", "y", ["e"], []),
            ("j", "x", ["c", "e"], None),
        ]
        found = error_rate(ratings(rows), options=["c", "e", "n"], ci=None)
        assert found.value == pytest.approx((1 / 3 + 1) / 2, abs=1e-12)

    def test_distance_by_points_and_by_range(self) -> None:
        """Item i: 0, 2, and for "maybe" without an answer 1 (either end): 3/3; j: 0; k: the far end, 2. All over s."""
        frame = ratings(ROWS)
        by_points = normalised_absolute_distance(frame, options=OPTIONS, ci=None)
        assert by_points.value == pytest.approx(float((Fraction(1) + 0 + 2) / 3 / 3), abs=1e-12)
        by_range = normalised_absolute_distance(frame, options=OPTIONS, divisor="range", ci=None)
        assert by_range.value == pytest.approx(float((Fraction(1) + 0 + 2) / 3 / 2), abs=1e-12)
        answered = normalised_absolute_distance(frame, options=OPTIONS, over="answered", ci=None)
        assert answered.value == pytest.approx(float((Fraction(0 + 2, 2) + 0) / 2 / 3), abs=1e-12)

    def test_values_that_are_not_one_apart(self) -> None:
        found = normalised_absolute_distance(
            gold=["a", "b"], pred=["c", "b"], item=["i", "j"], annotator=None,
            options=["a", "b", "c"], values=[-5, 0, 5], divisor="range", ci=None,
        )  # fmt: skip
        assert found.value == 0.5

    def test_by_annotator(self) -> None:
        pairs = pair_ratings("f", ratings(ROWS), options=OPTIONS)
        table = annotator_scores(pairs, ci=None)
        assert table.select("annotator_id", "value", "n").rows() == [("x", 0.0, 2), ("y", 1.0, 2), ("z", 1.0, 1)]
        far = annotator_scores(pairs, "normalised_absolute_distance", ci=None)["value"].to_list()
        assert far == pytest.approx([0, (2 + 2) / 2 / 3, 1 / 3], abs=1e-12)


def naive(rows: list[tuple[str, str, Any, Any]], k: int) -> tuple[float, float]:
    """From the definition: error rate, and distance over points, of options 0..K-1."""
    by_item: dict[str, list[tuple[float, float]]] = {}
    for item, _, gold, pred in rows:
        wrong = 1.0 if pred is None or pred != gold else 0.0
        far = max(gold, k - 1 - gold) if pred is None else abs(gold - pred)
        by_item.setdefault(item, []).append((wrong, far / k))
    means = [np.mean(losses, axis=0) for losses in by_item.values()]
    return tuple(np.mean(means, axis=0))


sides = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.none() | st.integers(0, 2)),
    min_size=1, max_size=14, unique_by=lambda row: row[:2],
)  # fmt: skip


class TestLaws:
    @settings(max_examples=20)
    @given(sides)
    def test_as_the_loop(self, drawn: list[tuple[int, int, int, int | None]]) -> None:
        rows = [(str(i), str(a), g, p) for i, a, g, p in drawn]
        frame = ratings(rows)
        wrong, far = naive(rows, 3)
        options = ["0", "1", "2"]
        assert error_rate(frame, options=options, ci=None).value == pytest.approx(wrong, abs=1e-12)
        found = normalised_absolute_distance(frame, options=options, ci=None)
        assert found.value == pytest.approx(far, abs=1e-12)

    @settings(max_examples=20)
    @given(sides, st.randoms(use_true_random=False))
    def test_order_names_and_flipped_scale(self, drawn: list[tuple[int, int, int, int | None]], rng: Any) -> None:
        rows = [(str(i), str(a), OPTIONS[g], None if p is None else OPTIONS[p]) for i, a, g, p in drawn]
        frame = ratings(rows)
        rng.shuffle(rows)
        for options in (OPTIONS, OPTIONS[::-1]):
            pairs, mixed = pair_ratings("f", frame, options=OPTIONS), pair_ratings("f", ratings(rows), options=options)
            assert np.array_equal(error_rate_rows(pairs).rows, error_rate_rows(mixed).rows)
            far = normalised_absolute_distance_rows(pairs).rows
            assert far == pytest.approx(normalised_absolute_distance_rows(mixed).rows, abs=1e-12)

    @settings(max_examples=20)
    @given(sides)
    def test_items_twice_change_nothing(self, drawn: list[tuple[int, int, int, int | None]]) -> None:
        rows = [(str(i), str(a), g, p) for i, a, g, p in drawn]
        twice = ratings(rows + [(f"again {i}", a, g, p) for i, a, g, p in rows])
        assert error_rate(twice, ci=None).value == pytest.approx(error_rate(ratings(rows), ci=None).value, abs=1e-12)

    def test_sets_of_one_have_two_wrong_labels_of_k(self) -> None:
        single = ratings([("i", "x", "a", "b"), ("i", "y", "a", "a"), ("j", "x", "b", "c")])
        listed = single.with_columns(
            pl.concat_list("value").alias("value"), pl.concat_list("value_pred").alias("value_pred")
        )
        names = ["a", "b", "c"]
        alone, sets = error_rate(single, options=names, ci=None), error_rate(listed, options=names, ci=None)
        assert sets.value == pytest.approx(alone.value * 2 / 3, abs=1e-12)


class TestIntervals:
    def frame(self) -> pl.DataFrame:
        rng = np.random.default_rng(1)
        rows = [(f"i{i:02}", f"a{a}", int(rng.integers(3)), int(rng.integers(3))) for i in range(30) for a in range(3)]
        return ratings(rows)

    def test_same_seed_same_bytes_whatever_the_order(self) -> None:
        frame = self.frame()
        one, two = error_rate(frame, n_boot=200), error_rate(frame.reverse(), n_boot=200)
        assert one == two
        assert one.low < one.value < one.high
        assert (one.n, one.n_units, one.unit, one.scope) == (30, 30, "items", "items")

    def test_groups_change_the_interval_not_the_value(self) -> None:
        frame = self.frame().with_columns(pl.col("item_id").str.slice(0, 2).alias("group"))
        alone, grouped = error_rate(frame.drop("group"), n_boot=200), error_rate(frame, n_boot=200)
        assert grouped.value == pytest.approx(alone.value, abs=1e-12)
        assert (grouped.n, grouped.n_units, grouped.unit) == (30, 3, "groups")
        assert (grouped.low, grouped.high) != (alone.low, alone.high)

    def test_one_item_has_no_interval(self) -> None:
        found = error_rate(ratings([("i", "x", "a", "b")]), n_boot=200)
        assert found.value == 1.0
        assert np.isnan(found.low)
        assert "one unit" in found.note


class TestUndefined:
    def test_nothing_rated(self) -> None:
        empty = pl.DataFrame({"item_id": [], "annotator_id": [], "value": [], "value_pred": []}, schema_overrides={
            "item_id": pl.String, "annotator_id": pl.String, "value": pl.String, "value_pred": pl.String})  # fmt: skip
        for found in (error_rate(empty), normalised_absolute_distance(empty, options=OPTIONS)):
            assert np.isnan(found.value)
            assert "no items" in found.note

    def test_nothing_predicted(self) -> None:
        rows: list[tuple[str, str, Any, Any]] = [("i", "x", "a", None)]
        assert error_rate(ratings(rows), ci=None).value == 1.0
        answered = error_rate(ratings(rows), over="answered")
        assert np.isnan(answered.value)

    def test_one_option_has_no_range(self) -> None:
        frame = ratings([("i", "x", "a", "a"), ("j", "x", "a", "a")])
        assert normalised_absolute_distance(frame, options=["a"], ci=None).value == 0.0
        assert np.isnan(normalised_absolute_distance(frame, options=["a"], divisor="range", ci=None).value)

    def test_unrated_rows_are_counted(self) -> None:
        rows: list[tuple[str, str, Any, Any]] = [("i", "x", "a", "a"), ("i", "y", None, "a")]
        found = error_rate(ratings(rows), ci=None)
        assert (found.value, found.note) == (0.0, "1 rows without a rating left out")


class TestRefused:
    @pytest.mark.parametrize(
        ("frame", "options", "message"),
        [
            (ratings([("i", "x", "a", "a"), ("i", "x", "b", "b")]), None, "annotator 'x' stands twice on item 'i'"),
            (ratings([("i", "x", "a", "q")]), ["a", "b"], "must be one of a, b; found 'q'"),
            (ratings([("i", None, "a", "a")]), None, "every rating needs its annotator; 1 have none"),  # type: ignore[list-item]
            (
                ratings([("i", "x", "a", "a"), ("i", "y", "a", "a")]).with_columns(group=pl.Series(["g", "h"])),
                None,
                "item 'i' has several",
            ),
            (ratings([("i", "x", ["a", "a"], ["a"])]), ["a"], "names each option once"),
        ],
    )
    def test_data(self, frame: pl.DataFrame, options: list[str] | None, message: str) -> None:
        with pytest.raises(TableError, match=message):
            error_rate(frame, options=options)

    def test_arguments(self) -> None:
        frame = ratings([("i", "x", "a", "a")])
        lists = frame.with_columns(pl.concat_list("value").alias("value"))
        with pytest.raises(ValueError, match=r'^error_rate: no column "who" for annotator.*annotator=None'):
            error_rate(frame, annotator="who")
        with pytest.raises(ValueError, match="labels on both sides, or lists"):
            error_rate(lists)
        with pytest.raises(ValueError, match="sets of options have no distance"):
            normalised_absolute_distance(
                lists.with_columns(pl.concat_list("value_pred").alias("value_pred")), options=["a"]
            )
        with pytest.raises(ValueError, match="names or whole numbers"):
            error_rate(gold=[1.0], pred=[1.0], item=["i"], annotator=None)
        with pytest.raises(ValueError, match="2 rising numbers"):
            normalised_absolute_distance(frame, options=["a", "b"], values=[1, 1])
        with pytest.raises(ValueError, match="lengths differ"):
            error_rate(gold=["a"], pred=["a", "b"], item=["i"], annotator=None)
        with pytest.raises(ValueError, match="distinct names"):
            error_rate(frame, options=["a", "a"])
        with pytest.raises(ValueError, match="no annotators"):
            annotator_scores(pair_ratings("f", frame, annotator=None))
