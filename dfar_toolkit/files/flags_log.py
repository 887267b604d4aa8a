"""Flags and comments that people put on items and outputs while they look at them: one file per person, append-only.

They stand in ``flags/<person>-<digest>.jsonl`` of a folder of their own, never in the data. A change appends a line
that names the mark it replaces, taking one back a line that names the mark; the earlier ones stay on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.files.personal_log import PersonalLog, standing_of_all

FLAGS: Final = "flags"


@dataclass(frozen=True, slots=True)
class Mark:
    """A flag, a comment, or both.

    Attributes:
        item_id: The item.
        output_id: The output of the item that it is about; empty where it is about the item itself.
        flag: A word such as ``wrong label``; empty for a comment alone.
        comment: What there is to say; empty for a flag alone.
        data: Digest of the data that was looked at, where known.
        replaces: Key of the mark in whose place this one stands.
        key: Of this very mark; sent twice, it is kept once.
        at: When, in UTC.
    """

    item_id: str
    output_id: str = ""
    flag: str = ""
    comment: str = ""
    data: str = ""
    replaces: str = ""
    key: str = ""
    at: str = ""


_FIELDS: Final = tuple(f.name for f in fields(Mark))


class FlagsLog(PersonalLog):
    """The marks of one person.

    Args:
        folder: The folder that they are kept in.
        person: The person's name, whatever it holds.

    Attributes:
        person: The name as it is stored.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> log = FlagsLog(folder, "Ann")
        >>> first = log.add(Mark("i1", flag="wrong label"))
        >>> second = log.add(Mark("i1", flag="wrong label", comment="It was a joke.", replaces=first.key))
        >>> flags_of(folder).select("person", "item_id", "flag", "comment").rows()
        [('Ann', 'i1', 'wrong label', 'It was a joke.')]
        >>> log.withdraw(second.key), log.marks()
        (True, [])
    """

    def __init__(self, folder: Path, person: str) -> None:
        super().__init__(folder / FLAGS, person)

    def add(self, mark: Mark) -> Mark:
        """Keep a mark.

        Args:
            mark: With a ``key`` where it may be sent twice, and with ``replaces`` where it changes an earlier one.

        Returns:
            The mark as it is kept, on the disk.

        Raises:
            TableError: It cannot be written.
            ValueError: It names no item, or says nothing.
        """
        if not mark.item_id or not (mark.flag.strip() or mark.comment.strip()):
            raise ValueError("add: a mark needs an item_id, and a flag or a comment")
        return _mark(self.append(asdict(mark)))

    def marks(self) -> list[Mark]:
        """The marks that stand, in the order in which they were made."""
        return [_mark(row) for row in self.standing()]


def _mark(row: Mapping[str, Any]) -> Mark:
    return Mark(**{name: row[name] for name in _FIELDS if name in row})


def flags_of(folder: Path) -> pl.DataFrame:
    """The marks of all people that stand.

    Args:
        folder: The folder that they are kept in; without any there are no rows.

    Returns:
        ``person`` and the fields of :class:`Mark`, sorted by item, output and time; of one moment as they were written.

    Raises:
        TableError: A file cannot be read, or was changed.
    """
    schema = dict.fromkeys(("person", *_FIELDS), pl.String)
    rows = [
        {name: row.get(name, "") for name in schema} for own in standing_of_all(folder / FLAGS).values() for row in own
    ]
    return pl.DataFrame(rows, schema=schema, orient="row").sort("item_id", "output_id", "at", maintain_order=True)
