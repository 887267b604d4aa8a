"""Single ratings as arrays: sorted, sliced, grouped, and equal to the counts of the packed way."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement.cells import cell_slices, read_cells
from dfar_toolkit.agreement.counting import count_ratings
from dfar_toolkit.agreement.ratings import read_ratings
from dfar_toolkit.errors import TableError

ROWS = [
    ("y 🙂", "bob", "no"),
    ("x y", "cyd", "yes"),
    ("x y", "ann", "no"),
    ("z", "ann", None),
    ("y 🙂", "ann", "yes"),
    ("u", "bob", "maybe so"),
]


def frame_of(rows: list[tuple[Any, ...]], *more: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", *more], orient="row")


def test_entries_are_sorted_by_item_then_rater() -> None:
    cells = read_cells(ROWS)
    assert cells.items.to_list() == ["u", "x y", "y 🙂"]
    assert cells.raters.to_list() == ["ann", "bob", "cyd"]
    assert cells.values.to_list() == ["maybe so", "no", "yes"]
    assert cells.item.tolist() == [0, 1, 1, 2, 2]
    assert cells.rater.tolist() == [1, 0, 2, 0, 1]
    assert cells.value.tolist() == [0, 1, 2, 2, 1]
    assert cells.n_per_item.tolist() == [1, 2, 2]
    assert cells.group is None


def test_the_matrix_holds_numbers_and_gaps() -> None:
    found = read_cells(ROWS).matrix(np.array([5.0, 0.0, 1.0]))
    nan = np.nan
    wanted = np.array([[nan, 5, nan], [0, nan, 1], [1, 0, nan]])
    assert np.array_equal(found, wanted, equal_nan=True)


def test_only_keeps_indices_and_what_stands_beside() -> None:
    cells = read_cells(frame_of([(*row, n) for n, row in enumerate(ROWS)], "place"), beside=["place"])
    assert cells.beside["place"].to_list() == [5, 2, 1, 4, 0]
    kept = cells.only(cells.rater == 0)
    assert (kept.item.tolist(), kept.value.tolist()) == ([1, 2], [1, 2])
    assert kept.beside["place"].to_list() == [2, 4]
    assert kept.items.to_list() == cells.items.to_list()
    assert kept.n_per_item.tolist() == [0, 1, 1]
    assert read_cells(ROWS).only([False] * 5).beside.width == 0


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("n_values", [3, 300])
@pytest.mark.parametrize("group", [None, "context"])
def test_counts_equal_the_packed_way(as_text: bool, n_values: int, group: str | None) -> None:
    rng = np.random.default_rng(n_values)
    rows = [(i, j, int(rng.integers(n_values)), i // 3) for i in range(40) for j in range(5) if rng.random() < 0.5]
    frame = frame_of(rows, "context")
    frame = frame.cast({"value": pl.String}) if as_text else frame
    ours = read_cells(frame, group=group).counts()
    packed = count_ratings(read_ratings(frame, group=group))[0].counts
    assert ours.n_pairable == packed.n_pairable
    assert ours.values.to_list() == packed.values.to_list()

    def patterns(counts: Any) -> list[Any]:
        listed = []
        for p, times in enumerate(counts.times):
            here = counts.pattern == p
            listed += [tuple(zip(counts.code[here], counts.count[here], strict=True))] * int(times)
        return sorted(listed)

    assert patterns(ours) == patterns(packed)
    per_group = [np.bincount(np.unique(c.groups, return_inverse=True)[1], c.times) for c in (ours, packed) if group]
    assert not group or sorted(per_group[0]) == sorted(per_group[1])


def test_groups_of_one_item_are_no_groups() -> None:
    frame = frame_of([(*row, row[0]) for row in ROWS], "context")
    assert read_cells(frame, group="context").group is None
    shared = frame.with_columns(context=pl.lit("all"))
    found = read_cells(shared, group="context").group
    assert found is not None
    assert found.tolist() == [0, 0, 0]


def test_slices_hold_their_own_items_raters_and_values() -> None:
    frame = frame_of([(*row, part) for row, part in zip(ROWS, [1, 1, 2, 2, None, 2], strict=True)], "part")
    found = cell_slices(frame, by="part")
    assert [part.key["part"][0] for part in found] == [None, 1, 2]
    nameless, first, second = (part.cells for part in found)
    assert (nameless.raters.to_list(), nameless.values.to_list()) == (["ann"], ["yes"])
    assert (first.items.to_list(), first.raters.to_list()) == (["x y", "y 🙂"], ["bob", "cyd"])
    assert (first.values.to_list(), first.value.tolist()) == (["no", "yes"], [1, 0])
    assert (second.items.to_list(), second.values.to_list()) == (["u", "x y"], ["maybe so", "no"])
    assert cell_slices(frame.head(0), by="part") == []


def test_numbers_sort_as_numbers_and_texts_as_texts() -> None:
    rows = [("x", "a", 10), ("x", "b", 2), ("x", "c", 1)]
    assert read_cells(rows).values.to_list() == [1, 2, 10]
    assert read_cells([(i, j, str(v)) for i, j, v in rows]).values.to_list() == ["1", "10", "2"]
    assert read_cells([(i, j, v > 1) for i, j, v in rows]).values.to_list() == [0, 1]
    floats = read_cells([("x", "a", -0.0), ("x", "b", 0.0), ("y", "a", float("nan"))])
    assert floats.values.to_list() == [0.0]
    assert floats.notes == ("1 NaN value taken as missing",)


def test_nothing_at_all() -> None:
    for rows in ([], [("x", "a", None)]):
        cells = read_cells(rows)
        assert (len(cells.items), len(cells.raters), len(cells.values), len(cells.item)) == (0, 0, 0, 0)
        assert cells.counts().n_pairable == 0
        assert cells.matrix(np.empty(0)).shape == (0, 0)


def test_row_order_changes_nothing() -> None:
    one, two = read_cells(ROWS), read_cells(ROWS[::-1])
    for name in ("item", "rater", "value"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_refusals_name_the_rows() -> None:
    with pytest.raises(
        TableError, match=r'the same rater rated an item twice, 1 time .*item "x y", rater "ann": no, yes'
    ):
        read_cells([*ROWS, ("x y", "ann", "yes")])
    with pytest.raises(TableError, match="twice"):
        read_cells([*ROWS, ("x y", "ann", "no")])
    torn = frame_of([(*row, n) for n, row in enumerate(ROWS)], "context")
    with pytest.raises(TableError, match=r'same group on all its rows; 2 do not .*item "x y"'):
        read_cells(torn, group="context")
    # Two slices may hold the same rater's two ratings of an item, but columns beside do not tell them apart.
    twice = frame_of([*((*row, 1) for row in ROWS), ("x y", "ann", "yes", 2)], "part")
    assert [len(part.cells.item) for part in cell_slices(twice, by="part")] == [5, 1]
    with pytest.raises(TableError, match="twice"):
        read_cells(twice, beside=["part"])
