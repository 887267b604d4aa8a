"""Item: everything that people and models say about one item, side by side."""

from __future__ import annotations

from typing import Any

from dfar_toolkit._viewer.addresses import Place, link, parameter, place
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.item_answers import camps_shown
from dfar_toolkit._viewer.item_marks import ITEM, show_marks
from dfar_toolkit._viewer.item_place import ItemPlace
from dfar_toolkit._viewer.item_reasons import comparison, reasons_of
from dfar_toolkit._viewer.item_statement import statement
from dfar_toolkit._viewer.item_words import steps_shown, words_shown
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.reason_reading import wait_for_reasons
from dfar_toolkit._viewer.sources import opened
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.item_record import ItemRecord, item_record
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.rationale_rows import rationale_rows


def main() -> None:
    """The page."""
    index = opened()
    at, item_id = place(index), parameter("id")
    wait_for_reasons(index, at.wanted)
    row = index.row_of(item_id) if item_id else None
    if row is None:
        _nothing(index, at, item_id)
        return
    here = ItemPlace(index, at, row, item_id)
    _item(here, item_record(index, row))


def _nothing(index: ItemIndex, at: Place, item_id: str) -> None:
    """There is no such item: the way to those that there are."""
    found = found_rows(index, at.wanted, order=at.order)
    first = str(index.column("item_id")[int(found.rows[0])]) if len(found) else ""
    more = link("item", at.wanted, order=at.order, more={"id": first}) if first else ""
    items = link("items", at.wanted, order=at.order)
    show("item_none.jinja", {"id": item_id, "items": items, "first": more, "found": len(found)})


def _item(here: ItemPlace, record: ItemRecord) -> None:
    given = arguments()
    marks = given.marks
    compared = comparison(here, record)
    flags = _flag_links(here, record) if marks is not None else {}
    shared: dict[str, Any] = {"compared": compared, "flags": flags, "runs": here.index.runs}
    # In one piece with the item's name: a key pressed while the page changes is about the item that one sees.
    flag = here.here(flag=ITEM) if marks is not None and not parameter("flag") else ""
    said = statement(here, record)
    show("item_head.jinja", {"top": here.top(), "said": said, "problems": record.problems, "flag": flag})
    names = {key: f"{one['who']}" for key, one in reasons_of(here, record).items()} | _outputs(record)
    show_marks(here, record, given, names)
    show("item_camps.jinja", {"all": camps_shown(here, record), **shared})
    rows = rationale_rows(record)
    steps = steps_shown(here, record, rows)
    if rows or steps:
        show("item_words.jinja", {"said": words_shown(here, record, rows), "steps": steps, "runs": here.index.runs})
    if compared["picked"] or compared["asked"]:
        show("item_diff.jinja", {"compared": compared, "runs": here.index.runs})


def _outputs(record: ItemRecord) -> dict[str, str]:
    return {run.answer["output_id"]: run.run for run in record.runs if run.answer}


def _flag_links(here: ItemPlace, record: ItemRecord) -> dict[str, str]:
    return {key: here.here(flag=key) for key in [*reasons_of(here, record), *_outputs(record)]}


main()
