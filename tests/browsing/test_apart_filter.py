"""Items on which two people differ, against a naive loop."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
from browsed_folder import OPTIONS, write_folder

from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows


def test_equals_a_naive_loop(index: ItemIndex, browsed: Any) -> None:
    said = {(row, who): value for row, who, value, _ in browsed.ratings}
    for a, b in permutations(("made:p0", "made:p1", "made:p3"), 2):
        expected = [r for r in range(48) if (r, a) in said and (r, b) in said and said[r, a] != said[r, b]]
        assert found_rows(index, ItemFilter(apart=((a, b),))).rows.tolist() == expected
        assert expected
    both = ItemFilter(apart=(("made:p0", "made:p1"), ("made:p0", "made:p3")))
    one, other = (set(found_rows(index, ItemFilter(apart=(pair,))).rows.tolist()) for pair in both.apart)
    assert found_rows(index, both).rows.tolist() == sorted(one & other)


def test_address_words_and_unknown_names(index: ItemIndex) -> None:
    wanted = ItemFilter(apart=(("made:p0", "a:b\\c"),))
    assert ItemFilter.from_query(wanted.to_query()) == (wanted, [])
    assert ItemFilter.from_query({"apart": "x:x"})[1] == ['apart "x:x": wanted two different values; left out.']
    assert ItemFilter(apart=(("ann", "bob"),)).words() == ["ann and bob differ"]
    rest, said = fitted(wanted, index)
    assert rest == ItemFilter()
    assert "there is no such annotator" in said[0]


def test_of_several_values_the_sets_must_differ(tmp_path: Path) -> None:
    rows = [
        {"item_id": f"x:{k}", "group": f"g{k}", "statement": "s", "label": None, "source": "x", "split": "test",
         "leak_kind": None}
        for k in range(3)
    ]  # fmt: skip
    first, second = OPTIONS
    ratings = [
        (0, "a", first, None), (0, "a", second, None), (0, "b", second, None), (0, "b", first, None),
        (1, "a", first, None), (1, "a", second, None), (1, "b", second, None), (2, "a", first, None),
    ]  # fmt: skip
    index = ItemIndex(write_folder(tmp_path / "items", rows, ratings))
    found = found_rows(index, ItemFilter(apart=(("a", "b"),)))
    assert pl.Series(found.rows).to_list() == [1]
