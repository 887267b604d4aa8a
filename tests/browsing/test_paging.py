from __future__ import annotations

from browsed_folder import Browsed

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import Neighbours, found_rows, n_pages, neighbours, page


def test_pages_cover_all_that_is_found_once(index: ItemIndex, browsed: Browsed) -> None:
    found = found_rows(index, ItemFilter(split=("test",)))
    pages = [page(index, found, n, ["item_id", "label"], size=5) for n in range(n_pages(found, size=5))]
    assert [len(p) for p in pages] == [5, 5, 5, 3]
    assert [i for p in pages for i in p["item_id"]] == [r["item_id"] for r in browsed.rows if r["split"] == "test"]
    assert pages[1]["row"].to_list() == [35, 36, 37, 38, 39]
    assert page(index, found, 99, ["item_id"], size=5).equals(pages[3].select("row", "item_id"))
    assert page(index, found, -1, ["item_id"], size=5).equals(pages[0].select("row", "item_id"))


def test_nothing_found_is_one_empty_page(index: ItemIndex) -> None:
    found = found_rows(index, ItemFilter(text="nowhere at all"))
    assert n_pages(found) == 1
    assert page(index, found, 0, ["item_id"]).shape == (0, 2)
    assert neighbours(found, 3) == Neighbours(None, None, None)


def test_neighbours_within_the_filter_and_of_what_is_outside(index: ItemIndex) -> None:
    found = found_rows(index, ItemFilter(gold=("bad",)))  # rows 1, 4, 7, ...
    assert neighbours(found, 4) == Neighbours(1, 1, 7)
    assert neighbours(found, 1) == Neighbours(0, None, 4)
    assert neighbours(found, 46) == Neighbours(15, 43, None)
    assert neighbours(found, 5) == Neighbours(None, 4, 7)
    assert neighbours(found, 0) == Neighbours(None, None, 1)


def test_an_order_is_stable_and_puts_the_unknown_last(index: ItemIndex) -> None:
    known = index.column("disagreement").to_list()
    for order, sign in (("disagreement", 1), ("-disagreement", -1)):
        rows = found_rows(index, ItemFilter(), order=order).rows.tolist()
        assert rows == sorted(range(48), key=lambda k: (known[k] is None, sign * (known[k] or 0), k))
        found = found_rows(index, ItemFilter(), order=order)
        assert neighbours(found, rows[3]) == Neighbours(3, rows[2], rows[4])
    assert neighbours(found_rows(index, ItemFilter(gold=("bad",)), order="length"), 0) == Neighbours(None, None, None)
