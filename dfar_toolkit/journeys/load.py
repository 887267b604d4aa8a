"""Items as a frame, from a folder or from the Hub."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.files.swap import settle
from dfar_toolkit.hub.addresses import SCHEME, address, names_repository
from dfar_toolkit.hub.load import fetch_snapshot
from dfar_toolkit.hub.strange_tables import strange_tables
from dfar_toolkit.markup import one_line


def load(
    source: Path | str, *, revision: str | None = None, config: str | None = None, offline: bool = False
) -> pl.DataFrame:
    """The items of an items folder, or of a set on the Hub, all splits stacked, labels by name.

    An existing folder wins; which of the two was read, and the commit, is said on stderr.

    Args:
        source: Folder that ``dfar build`` wrote, or ``org/name``; ``hf://datasets/org/name`` is never a folder.
        revision: Tag, branch or commit of a set on the Hub; None is its main branch. A commit is the same for ever.
        config: Only the items of this config, where there are several.
        offline: Use the cache, also for a tag or branch as it was when last loaded.

    Returns:
        One row per item, columns as in :class:`dfar_toolkit.tables.Items`.

    Raises:
        TableError: The folder is not whole, or has no such config.
        HubError: There is no such set, the Hub cannot be reached, or a file is not what was published.
    """
    folder = items_folder(source, revision=revision, offline=offline)
    with strange_tables(source):
        items = read_items(folder, verify=not _is_remote(source))
    return items.items if config is None else items.of_config(config).items


def items_folder(source: Path | str, *, revision: str | None = None, offline: bool = False) -> Path:
    """The items folder that a source means: itself, or the verified copy in the cache of a set on the Hub.

    Args:
        source: As in :func:`load`.
        revision: As in :func:`load`.
        offline: As in :func:`load`.

    Returns:
        A folder for :func:`dfar_toolkit.files.items.read_items`, and for every function that takes ``items``.

    Raises:
        TableError: A revision of a folder was asked for.
        HubError: As in :func:`load`.
    """
    if not _is_remote(source):
        if revision is not None:
            raise TableError(
                f"{source}: this is a folder, which has no revision {revision!r}; {SCHEME}ORG/NAME means the Hub."
            )
        if isinstance(source, str) and names_repository(source) and Path(source).exists():
            _say(f"{source}: read from the folder of that name ({SCHEME}{source} means the Hub)")
        return Path(source)
    text = str(source)
    try:
        snapshot = fetch_snapshot(address(text, revision=revision), offline=offline)
    except HubError as error:
        here = "" if text.startswith(SCHEME) else f"{text}: there is no such folder here, so the Hub was meant. "
        raise HubError(here + str(error)) from None
    for note in snapshot.notes:
        _say(note)
    return snapshot.folder


def _is_remote(source: Path | str) -> bool:
    """Whether a source can only mean the Hub."""
    if not isinstance(source, str):
        return False
    if source.startswith(SCHEME):
        return True
    if not names_repository(source):
        return False
    settle(Path(source))  # a writer that was killed may have left the folder aside
    return not Path(source).exists()


def _say(text: str) -> None:
    print(one_line(text), file=sys.stderr)
