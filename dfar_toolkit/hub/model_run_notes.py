"""What a ``run.json`` says, looked up without trust in what is there: what is absent or of another kind is nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError

RUN: Final = "run.json"


class RunNotes:
    """The content of a ``run.json``.

    Args:
        content: The object.

    Example:
        >>> notes = RunNotes({"counts": {"leaked": 2}, "task": 7})
        >>> notes.number("counts", "leaked"), notes.text("task"), notes.number("counts", "learned")
        (2, '', None)
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def at(self, *path: str) -> Any:
        """Whatever stands there; None where nothing does."""
        found: Any = self._content
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def text(self, *path: str) -> str:
        """A text; empty where there is none."""
        found = self.at(*path)
        return found if isinstance(found, str) else ""

    def texts(self, *path: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.at(*path)
        return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()

    def number(self, *path: str) -> int | float | None:
        """A finite number; None where there is none."""
        found = self.at(*path)
        return found if is_number(found) else None

    def section(self, *path: str) -> dict[str, Any]:
        """An object; empty where there is none."""
        found = self.at(*path)
        return dict(found) if isinstance(found, Mapping) else {}

    def sections(self, *path: str) -> list[RunNotes]:
        """A list of objects."""
        found = self.at(*path)
        return [RunNotes(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def read_run_notes(run: Path) -> RunNotes:
    """What the ``run.json`` of a folder says; nothing where there is none.

    Args:
        run: Folder of the run.

    Raises:
        TableError: It is no JSON.
    """
    path = run / RUN
    if not path.is_file():
        return RunNotes({})
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not valid JSON ({str(error)[:80]}).") from None
    return RunNotes(found if isinstance(found, dict) else {})


def is_number(value: object) -> bool:
    """Whether a value is a finite number.

    Example:
        >>> is_number(0.5), is_number(True), is_number(float("nan"))
        (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
