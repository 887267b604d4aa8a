import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.corpus.split import completed_sizes, grouped_split
from dfar_toolkit.errors import TableError


def frame(groups: list[int], labels: list[str | None]) -> pl.DataFrame:
    ids = [f"i{k:04d}" for k in range(len(groups))]
    return pl.DataFrame(
        {"item_id": ids, "group": [f"g{g}" for g in groups], "label": labels}, schema_overrides={"label": pl.String}
    )


ROWS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["x", "y", None])), min_size=1, max_size=60)


@given(ROWS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_group_straddles_and_order_does_not_matter(rows, seed, random) -> None:
    items = frame([g for g, _ in rows], [label for _, label in rows])
    sizes = {"train": 0.6, "dev": 0.2, "test": 0.2}
    split = grouped_split(items, sizes=sizes, seed=seed)
    joined = items.join(split.frame, on="item_id")
    assert joined.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert split.achieved["count"].sum() == items.height
    order = list(range(items.height))
    random.shuffle(order)
    again = grouped_split(items[order], sizes=sizes, seed=seed)
    assert again.frame.sort("item_id").equals(split.frame)


@given(st.lists(st.sampled_from(["x", "y", "z", None]), min_size=1, max_size=80), st.integers(0, 3))
def test_single_items_meet_sizes_exactly_and_strata_within_one(labels, seed) -> None:
    items = frame(list(range(len(labels))), labels)
    split = grouped_split(items, sizes={"train": 0.9, "test": 0.1}, seed=seed)
    wanted = split.achieved.group_by("split").agg(pl.col("count").sum())
    test = dict(wanted.rows())["test"]
    assert abs(test - 0.1 * len(labels)) <= 0.5 + 1e-9 or test in (
        math.floor(0.1 * len(labels)),
        math.ceil(0.1 * len(labels)),
    )
    assert ((split.achieved["count"] - split.achieved["wanted"]).abs() < 1 + 1e-9).all()


def test_counts_and_large_groups() -> None:
    items = frame([0] * 6 + list(range(1, 95)), ["x", "y"] * 50)
    split = grouped_split(items, sizes={"train": 80, "test": 20})
    assert split.frame["split"].value_counts().sort("split")["count"].to_list() == [20, 80]
    assert split.frame["split"][:6].n_unique() == 1
    assert (split.achieved["count"] - split.achieved["wanted"]).abs().max() <= 1
    assert "20 wanted" in split.note


def test_seed_changes_the_split_and_repeats_it() -> None:
    items = frame(list(range(100)), ["x", "y"] * 50)
    one, two = grouped_split(items, seed=0).frame, grouped_split(items, seed=1).frame
    assert one.equals(grouped_split(items, seed=0).frame)
    assert not one.equals(two)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"all": 1.0},
        {"my-test": 1.0},
        {"train": 0.5},
        {"train": 0.0, "test": 1.0},
        {"train": 7},
        {"train": math.nan},
    ],
)
def test_bad_sizes(sizes) -> None:
    with pytest.raises(ValueError, match="grouped_split"):
        grouped_split(frame([0, 1], ["x", "y"]), sizes=sizes)


def test_missing_columns_and_groups() -> None:
    with pytest.raises(TableError, match='"group"'):
        grouped_split(pl.DataFrame({"item_id": ["a"], "label": ["x"]}))
    with pytest.raises(TableError, match="without"):
        grouped_split(pl.DataFrame({"item_id": ["a"], "label": ["x"], "group": [None]}))


class TestSizes:
    @pytest.mark.parametrize(
        ("asked", "published", "wanted"),
        [
            ({}, {"train": 0.9, "test": 0.1}, {"train": 0.9, "test": 0.1}),
            ({"test": 0.5}, {"train": 0.8, "dev": 0.1, "test": 0.1}, {"train": 4 / 9, "dev": 0.5 / 9, "test": 0.5}),
            ({"dev": 0.1}, {"train": 0.5, "test": 0.5}, {"train": 0.45, "test": 0.45, "dev": 0.1}),
            ({"train": 0.5, "test": 0.5}, {"train": 0.9, "test": 0.1}, {"train": 0.5, "test": 0.5}),
        ],
    )
    def test_what_is_not_asked_for_shares_the_rest(
        self, asked: dict[str, float], published: dict[str, float], wanted: dict[str, float]
    ) -> None:
        found = completed_sizes(asked, published)
        assert list(found) == list(wanted)
        assert found == pytest.approx(wanted)

    @pytest.mark.parametrize("asked", [{"test": 1.0}, {"test": 1.2}, {"test": -0.1}, {"test": 0.6, "dev": 0.4}])
    def test_shares_that_leave_no_room_are_refused(self, asked: dict[str, float]) -> None:
        with pytest.raises(TableError, match="leave room for"):
            completed_sizes(asked, {"train": 0.9, "test": 0.1})

    def test_one_split_alone_is_refused(self) -> None:
        with pytest.raises(TableError, match=r"give --size test=0\.2"):
            completed_sizes({}, {"train": 1.0})
