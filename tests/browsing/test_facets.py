from __future__ import annotations

from dataclasses import replace

import pytest

from dfar_toolkit.browsing.facets import facet_names, facets
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows

A, B = "run a", "b:\\$"


@pytest.mark.parametrize(
    "wanted",
    [
        ItemFilter(),
        ItemFilter(text="i", gold=("bad",), split=("test",)),
        ItemFilter(state=((A, "right"), (B, "wrong")), annotator=("made:p1",), leak=("none",)),
        ItemFilter(prediction=((A, "bad"),), given=("good",), finding=("leak.near",)),
    ],
)
def test_a_count_is_what_choosing_that_value_alone_would_find(index: ItemIndex, wanted: ItemFilter) -> None:
    counted = facets(index, wanted)
    assert len(counted)
    for facet, run, value, count, chosen in counted.iter_rows():
        now = getattr(wanted, facet)
        alone = (*[v for v in now if run and v[0] != run], (run, value) if run else value)
        assert count == len(found_rows(index, replace(wanted, **{facet: alone})).rows)
        assert chosen == (((run, value) if run else value) in now)


def test_every_facet_is_there_and_only_may_name_some(index: ItemIndex) -> None:
    assert list(
        facets(index, ItemFilter()).select("facet", "run").unique(maintain_order=True).iter_rows()
    ) == facet_names(index)
    some = facets(index, ItemFilter(split=("test",)), only=[("split", "")])
    assert some.to_dicts() == [
        {"facet": "split", "run": "", "value": "test", "count": 18, "chosen": True},
        {"facet": "split", "run": "", "value": "train", "count": 30, "chosen": False},
    ]


def test_a_chosen_value_stays_where_it_counts_nothing(index: ItemIndex) -> None:
    counted = facets(index, ItemFilter(text="nowhere at all", source=("made.b",)))
    assert counted.select("facet", "value", "count", "chosen").rows() == [("source", "made.b", 0, True)]
