"""Filters that people saved under a name while they looked at items: one file per person, append-only.

They stand in ``slices/<person>-<digest>.jsonl`` of a folder of their own, beside the flags and never in the data.
Taking one back appends a line that names it; the earlier lines stay on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.files.personal_log import PersonalLog, standing_of_all

SLICES: Final = "slices"
LONGEST_NAME: Final = 200  # characters

Query = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class SavedSlice:
    """A filter with a name.

    Attributes:
        name: What it is called, whatever the text.
        query: The filter as parameters of an address, as ``ItemFilter.to_query`` gives them.
        person: Who saved it.
        data: Digest of the data that was looked at, where known.
        key: Of this very slice; sent twice, it is kept once.
        at: When, in UTC.
    """

    name: str
    query: Query
    person: str = ""
    data: str = ""
    key: str = ""
    at: str = ""


class SlicesLog(PersonalLog):
    """The saved slices of one person.

    Args:
        folder: The folder that they are kept in.
        person: The person's name, whatever it holds.

    Attributes:
        person: The name as it is stored.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> log = SlicesLog(folder, "Ann")
        >>> kept = log.add(SavedSlice("long ones", {"length": "500.."}))
        >>> [(s.person, s.name, s.query) for s in saved_slices(folder)]
        [('Ann', 'long ones', {'length': '500..'})]
        >>> log.withdraw(kept.key), saved_slices(folder)
        (True, [])
    """

    def __init__(self, folder: Path, person: str) -> None:
        super().__init__(folder / SLICES, person)

    def add(self, one: SavedSlice) -> SavedSlice:
        """Keep a slice.

        Args:
            one: With a ``key`` where it may be sent twice; ``person`` is that of the log.

        Returns:
            The slice as it is kept, on the disk; the earlier one where this person saved the same filter by this name.

        Raises:
            TableError: It cannot be written.
            ValueError: It has no name, or too long a one, or filters nothing.
        """
        if not one.name.strip() or len(one.name) > LONGEST_NAME:
            raise ValueError(f"add: the name of a slice has 1 to {LONGEST_NAME} characters, found {len(one.name)}")
        if not one.query:
            raise ValueError("add: a slice needs a filter; without one it is all items")
        query = {name: value if isinstance(value, str) else list(value) for name, value in one.query.items()}
        for known in self.slices():
            if (known.name, known.query) == (one.name, query) and one.key in ("", known.key):
                return known
        row = {"name": one.name, "filter": query, "data": one.data, "key": one.key, "at": one.at}
        return _slice(self.append(row))

    def slices(self) -> list[SavedSlice]:
        """The slices that stand, in the order in which they were saved."""
        return [_slice(row) for row in self.standing()]


def _slice(row: Mapping[str, Any]) -> SavedSlice:
    query = row.get("filter")
    texts = {
        name: value if isinstance(value, str) else [str(one) for one in value]
        for name, value in (query if isinstance(query, dict) else {}).items()
        if isinstance(value, str | list)
    }  # others are none that a filter has
    return SavedSlice(
        str(row.get("name", "")), texts, row["person"], str(row.get("data", "")), row["key"], str(row.get("at", ""))
    )


def saved_slices(folder: Path) -> list[SavedSlice]:
    """The slices of all people that stand, the earliest first.

    Args:
        folder: The folder that they are kept in; without any the list is empty.

    Raises:
        TableError: A file cannot be read, or was changed.
    """
    found = [_slice(row) for rows in standing_of_all(folder / SLICES).values() for row in rows]
    # Of one person those of one moment stay as they were written.
    return sorted(found, key=lambda one: (one.at, one.person))
