"""What every renderer shows: sections of plain text and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Key = Literal[
    "data", "findings", "agreement", "annotators", "scores", "distributions", "calibration", "people", "bias",
    "confusions", "comparisons", "reasons", "rationales", "notes", "glossary",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under named columns; a line feed in a cell parts its lines.

    ``numeric`` holds the positions of columns that are aligned as numbers; a folded table opens on demand.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with paragraphs and tables. All text is plain; renderers escape it."""

    key: Key
    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...]
