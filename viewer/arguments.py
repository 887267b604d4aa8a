"""What the viewer was started with."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dfar_toolkit._viewer.doors import SERVED
from dfar_toolkit.errors import TableError
from dfar_toolkit.hub.addresses import SCHEME
from dfar_toolkit.journeys.how_read import AS_THEY_ARE, HowRead, how_read, named_labels, one_sign

_NOT_SERVED: Final = (
    "Judging and marks are off: started by streamlit run the viewer is open to whoever comes, so it only shows. "
    "Start it with dfar view."
)
_FROM_HUB: Final = "Judging and marks are off: a set on the Hub is only shown."


@dataclass(frozen=True, slots=True)
class Arguments:
    """Paths given on the command line.

    Attributes:
        items: The items folder, or an address of the Hub (``hf://datasets/org/name@revision``).
        outputs: Outputs files and run folders.
        judgements: A judgements file or the folder of a judging round, to look at.
        judge: The folder of a judging round, to judge in; then judges see the Judge page alone.
        marks: The folder that flags, comments and saved slices are written to; without it nothing is.
        refused: Why nothing can be judged or marked though it was asked for; empty where all is as asked.
        how: How outputs files are read.
    """

    items: str
    outputs: tuple[Path, ...] = ()
    judgements: Path | None = None
    judge: Path | None = None
    marks: Path | None = None
    refused: str = ""
    how: HowRead = AS_THEY_ARE


def arguments(argv: Sequence[str] | None = None) -> Arguments:
    """Paths after ``--`` on the command line.

    Judging and marks are only for our own server, which knows who comes; ``refused`` says so.

    Raises:
        TableError: There is none, or an option is not what it must be.
    """
    parser = argparse.ArgumentParser(prog="viewer", description="Browse items and outputs.", exit_on_error=False)
    for name in ("--judgements", "--judge", "--marks"):
        parser.add_argument(name, type=Path)
    for name in ("--map", "--split"):
        parser.add_argument(name, action="append")
    for name in ("--separator", "--method"):
        parser.add_argument(name)
    parser.add_argument("--by-position", action="store_true")
    parser.add_argument("paths", nargs="*")
    try:
        found, strange = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    except argparse.ArgumentError as error:
        raise TableError(f"the viewer was started with {error}") from None
    if strange:
        raise TableError(f"the viewer does not know {strange[0]}; it is started with: dfar view ITEMS [OUTPUTS ...]")
    if not found.paths:
        raise TableError("the viewer wants an items folder; start it with: dfar view ITEMS [OUTPUTS ...]")
    items, outputs = found.paths[0], tuple(Path(p) for p in found.paths[1:])
    how = how_read(named_labels(found.map), found.split, one_sign(found.separator), found.method, found.by_position)
    off = _FROM_HUB if on_hub(items) else "" if SERVED in os.environ else _NOT_SERVED
    if off and (found.judge or found.marks):
        return Arguments(items, outputs, found.judgements, refused=off, how=how)
    return Arguments(items, outputs, found.judgements, found.judge, found.marks, how=how)


def on_hub(items: str) -> bool:
    """Whether items are named by an address of the Hub.

    Example:
        >>> on_hub("hf://datasets/org/name@v1.0.0"), on_hub("demo/items")
        (True, False)
    """
    return items.startswith(SCHEME.partition("datasets")[0])
