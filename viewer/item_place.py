"""Where an item stands: its place within the filter, its neighbours, and links that keep both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dfar_toolkit._viewer.addresses import Place, link, parameter
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import PAGE, Neighbours, found_rows, neighbours

_KEPT: Final = ("diff", "words", "flag")  # what else an item's address may hold


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """One item within the filter of the address.

    Attributes:
        index: The items.
        at: Filter and order.
        row: The item's row.
        item_id: Its id.
    """

    index: ItemIndex
    at: Place
    row: int
    item_id: str

    def here(self, **change: str) -> str:
        """The address of this very view with some of ``diff``, ``words`` and ``flag`` changed; empty ones go."""
        kept = {name: parameter(name) for name in _KEPT} | change
        return self.of(self.item_id, **kept)

    def of(self, item_id: str, **more: str) -> str:
        """The address of an item within the same filter and order."""
        return link("item", self.at.wanted, order=self.at.order, more={"id": item_id, **more})

    def answer(self, run: str) -> str | None:
        """What a run answers, as every list has it: its label, or else the most probable option."""
        label = self.index.column(f"answer {run}")[self.row]
        return None if label is None else str(label)

    def top(self) -> dict[str, Any]:
        """What the line above the item shows."""
        found = found_rows(self.index, self.at.wanted, order=self.at.order)
        beside = neighbours(found, self.row)
        return {
            "place": beside.place,
            "found": len(found),
            "chips": [chip.words for chip in self.at.wanted.chips()],
            "order": self.at.order,
            "steps": self._steps(beside),
            "alone": link("item", more={"id": self.item_id}),
            "id": self.item_id,
            "problems": self.at.problems,
        }

    def _steps(self, beside: Neighbours) -> list[tuple[str, str, str]]:
        ids = self.index.column("item_id")
        rows = (("Previous", beside.previous, "p"), ("Next", beside.following, "n"))
        steps = [(words, "" if row is None else self.of(str(ids[row])), key) for words, row, key in rows]
        number = 1 if beside.place is None else beside.place // PAGE + 1
        return [*steps, ("List", link("items", self.at.wanted, order=self.at.order, number=number), "l")]


def list_of(**condition: str) -> str:
    """The address of the list of items that meet one condition, such as ``annotator``."""
    named: dict[str, Any] = {name: (value,) for name, value in condition.items()}
    return link("items", ItemFilter(**named))
