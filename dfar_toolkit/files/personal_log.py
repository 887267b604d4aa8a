"""What one person adds to a folder and may take back: the ground of flags and saved slices.

A row is a line of ``<person>-<digest>.jsonl``, and lines are only added. One that takes another back names its key as
``undoes``, one that stands in another's place as ``replaces``; the earlier ones stay on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dfar_toolkit.files.judge_log_lines import AppendedLines, file_of, new_key, now, person_named, rows_by_person


class PersonalLog:
    """The rows of one person.

    Args:
        folder: The folder of this kind of rows.
        person: The person's name, whatever it holds.

    Attributes:
        person: The name as it is stored.

    Example:
        >>> import tempfile
        >>> log = PersonalLog(Path(tempfile.mkdtemp()), "Ann")
        >>> kept = log.append({"word": "one"})
        >>> [row["word"] for row in log.standing()], log.withdraw(kept["key"]), log.withdraw(kept["key"])
        (['one'], True, False)
    """

    def __init__(self, folder: Path, person: str) -> None:
        self.person = person_named(person)
        self._lines = AppendedLines(folder / file_of(self.person))

    @property
    def path(self) -> Path:
        """The person's file."""
        return self._lines.path

    def append(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row; one without ``key`` and ``at`` gets a new key and the time.

        Returns:
            The row as it stands in the file: the earlier one, where there was one with this key.

        Raises:
            TableError: It cannot be written.
        """
        made = {"key": row.get("key") or new_key(), "at": row.get("at") or now()}
        return self._lines.append({"person": self.person, **row, **made})

    def withdraw(self, key: str) -> bool:
        """Take a row back; one that it had replaced does not return.

        Returns:
            Whether such a row of this person stood.

        Raises:
            TableError: It cannot be written.
        """
        there = any(row["key"] == key for row in self.standing())
        if there:
            self.append({"undoes": key})
        return there

    def standing(self) -> list[Mapping[str, Any]]:
        """The rows that neither were taken back nor replaced, in the order in which they were added."""
        return _standing(self._lines.rows())


def standing_of_all(folder: Path) -> dict[str, list[Mapping[str, Any]]]:
    """For each person the rows that stand, in their order.

    Args:
        folder: The folder of this kind of rows; without any the answer is empty.

    Raises:
        TableError: A file cannot be read, or was changed.
    """
    by, _ = rows_by_person(folder, "person")
    return {person: _standing(rows) for person, rows in by.items()}


def _standing(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    rows = list(rows)
    gone = {row[name] for row in rows for name in ("undoes", "replaces") if row.get(name)}
    return [row for row in rows if "undoes" not in row and row["key"] not in gone]
