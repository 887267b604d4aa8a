"""What stops a publish, or is only said: licences, small cells of annotators, and what others bring along."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.licence_rules import licence_faults

SMALLEST_CELL: Final = 5  # people who share all bands, below which a person may be recognised
_NOT_BANDS: Final = ("annotator_id", "kind", "revision", "prompt_hash")
_MOST: Final = 3  # named in one line


@dataclass(frozen=True, slots=True)
class GateFinding:
    """Something that stands against publishing: its name, what was found, how to mend it, and whether it stops us."""

    name: str
    text: str
    mend: str
    stops: bool

    def __str__(self) -> str:
        """One line."""
        return f"{self.name}: {self.text}; {self.mend}"


def licence_findings(published: Sequence[str], sources: Mapping[str, str], *, public: bool) -> list[GateFinding]:
    """Licences that are unknown or that do not go together; they stop only a public publish.

    Args:
        published: The card's licences.
        sources: Name of each source to its licence.
        public: Whether everybody will see it.

    Returns:
        The findings ``licence.unknown`` and ``licence.conflict``.
    """
    mends = {
        "unknown": "find out under which terms it may be given away, and build again with that licence",
        "conflict": "change the licence or leave the source out, or --accept licence.conflict if you know better",
    }
    faults = licence_faults(published, sources)
    return [
        GateFinding(f"licence.{kind}", "; ".join(texts), mends[kind], stops=public)
        for kind in mends
        if (texts := [fault.text for fault in faults if fault.kind == kind])
    ]


def small_cells(raters: pl.DataFrame, *, smallest: int = SMALLEST_CELL) -> pl.DataFrame:
    """Combinations of all bands that fewer people share than is safe; unknown bands are a value like others.

    Args:
        raters: ``annotator_id``, perhaps ``kind``, and bands: every other column but those of numbers with fractions.
        smallest: People from which a cell is large enough.

    Returns:
        The bands and ``people``, smallest cells first; people of whom no band is known are in no cell.

    Example:
        >>> raters = pl.DataFrame({"annotator_id": list("abcdef"), "gender": ["m"] * 5 + ["w"]})
        >>> small_cells(raters).rows()
        [('w', 1)]
    """
    people = raters
    if "kind" in raters.columns:
        people = raters.filter(pl.col("kind").cast(pl.String) != "model")
    bands = [
        name
        for name, kind in people.schema.items()
        if name not in _NOT_BANDS
        and not kind.is_nested()
        and not kind.is_float()
        and people[name].null_count() < len(people)
    ]
    if not bands:
        return pl.DataFrame(schema={"people": pl.Int64})
    known = people.filter(~pl.all_horizontal(pl.col(bands).is_null()))
    cells = known.group_by(bands).agg(people=pl.col("annotator_id").n_unique().cast(pl.Int64))
    return cells.filter(pl.col("people") < smallest).sort("people", *bands, nulls_last=True)


def cell_findings(raters: pl.DataFrame, *, public: bool, allowed: bool = False) -> list[GateFinding]:
    """The finding ``annotators.small_cells`` where bands leave fewer than 5 people in a cell.

    Args:
        raters: The table of raters.
        public: Whether everybody will see it; a private set is only warned.
        allowed: Whether small cells were allowed.

    Returns:
        One finding, or none.
    """
    cells = small_cells(raters)
    if cells.is_empty():
        return []
    bands = [name for name in cells.columns if name != "people"]
    shown = [
        f"{' + '.join('not said' if value is None else str(value)[:30] for value in row[:-1])}: {row[-1]}"
        for row in cells.head(_MOST).iter_rows()
    ]
    more = f" and {cells.height - _MOST} more" if cells.height > _MOST else ""
    text = (
        f"{cells['people'].sum()} of the people stand in groups of fewer than {SMALLEST_CELL} by "
        f"{', '.join(bands)} ({'; '.join(shown)}{more})"
    )
    mend = "coarsen or leave out bands of the raters, or pass --allow-small-cells if they agreed to it"
    return [GateFinding("annotators.small_cells", text, mend, stops=public and not allowed)]


def accepted(findings: Iterable[GateFinding], names: Collection[str]) -> list[GateFinding]:
    """The findings, of which those that were accepted no longer stop; an unknown licence stays what it is.

    Example:
        >>> accepted([GateFinding("card.unwritten", "x", "y", True)], ["card.unwritten"])[0].stops
        False
    """
    return [
        GateFinding(
            one.name, one.text, one.mend, one.stops and (one.name not in names or one.name == "licence.unknown")
        )
        for one in findings
    ]


def check_gate(findings: Iterable[GateFinding]) -> None:
    """Refuse to publish what is stopped.

    Raises:
        HubError: Names all findings that stop, in one line.
    """
    stops = [str(one) for one in findings if one.stops]
    if stops:
        count = "1 thing stands" if len(stops) == 1 else f"{len(stops)} things stand"
        raise HubError(f"not published, {count} against it: {' | '.join(stops)}.")
