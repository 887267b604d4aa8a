"""The command that downloads a source's published files: fetch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfar_toolkit.cli.printing import one_line, print_json, say, usage

if TYPE_CHECKING:
    from dfar_toolkit.sources.published_files import Published
    from dfar_toolkit.sources.resuming_download import Progress


def fetch(
    source: Annotated[str, typer.Argument(help="A source, or SOURCE:SET; see `dfar sources`.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to fetch into; what is there and right stays.")],
    mirror: Annotated[
        str, typer.Option("--from", help="Fetch from here instead: an address under which the files stand by name.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the files with their checksums.")] = False,
) -> None:
    """Download the published files of a source, check them, unpack them; call it again to continue.

    Example: dfar fetch dfar --to raw/dfar
    """
    from dfar_toolkit.errors import SourceError
    from dfar_toolkit.sources.fetching import fetch as fetch_files
    from dfar_toolkit.sources.published_files import published

    try:
        entry = published(source)
    except SourceError as error:  # the name was typed, not read
        usage(str(error))
    if entry.files:
        _announce(entry)
    with _bars() as progress:
        fetched = fetch_files(source, to, mirror=mirror, progress=progress)
    say(f"{to}: {len(fetched.files)} files, of which {len(fetched.already)} were here and right")
    if json:
        print_json(
            [{"path": str(to / f.name), **asdict(f), "already": f.name in fetched.already} for f in fetched.files]
        )
        return
    for file in fetched.files:
        print(one_line(str(to / file.name)))


def _announce(entry: Published) -> None:
    """The licence and the sizes, before anything is downloaded."""
    terms = "" if entry.licence not in ("other", "unknown") else ", terms of its own"
    say(f"{entry.spec}: licence {entry.licence}{terms} ({entry.licence_address})")
    for file in entry.files:
        size = "size unknown" if file.n_bytes is None else f"{file.n_bytes:,} bytes"
        sure = "" if file.sha256 else ", checksum not known yet: recorded now"
        say(f"  {file.name}: {size}{sure}")


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each file on a terminal's stderr; elsewhere one line for each."""
    seen: set[str] = set()
    if not sys.stderr.isatty():

        def line(name: str, done: int, total: int | None) -> None:
            if name not in seen:
                seen.add(name)
                say(f"{name} ...")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield bar
