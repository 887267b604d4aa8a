"""The command that looks whether a published set is still what was published: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from dfar_toolkit.cli.options import Json
from dfar_toolkit.cli.printing import print_json, print_table, say

_SHOWN: Final = 50  # differences in a table; the JSON has them all
_WIDEST: Final = 60  # characters of a value


def verify(
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME[@REV]", help="The set on the Hub, and a tag or commit.")],
    against: Annotated[
        Path | None, typer.Option(help="The items folder that was published: names every edited cell.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare a published set with what was published: hashes, bytes, rows, edited cells.

    Exit 0: the same; 1: it differs. Files that others added are listed and do not count.

    Example: dfar verify org/dfar@v1.0.0 --against out/dfar
    """
    from dfar_toolkit.hub.addresses import address
    from dfar_toolkit.hub.verify import verify as verified

    found = verified(address(repo), against=against)
    for note in found.notes:
        say(note)
    if json:
        print_json(found.frame.to_dicts())
        say(found.verdict)
    else:
        differing = [row for row in found.frame.iter_rows() if row[2] != "same"]
        cells = [["" if v is None else _short(str(v)) for v in row] for row in differing[:_SHOWN]]
        if cells:
            print_table(found.frame.columns, cells, title="What differs")
        if len(differing) > _SHOWN:
            say(f"{_SHOWN} of {len(differing)} differences shown; --json has them all")
        print(found.verdict)
    raise typer.Exit(0 if found.same else 1)


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
