"""The items that outputs are about: of a corpus of several sources, those of one config."""

from __future__ import annotations

from pathlib import Path

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.hub.addresses import SCHEME
from dfar_toolkit.hub.strange_tables import strange_tables
from dfar_toolkit.journeys.load import items_folder


def items_of(items: Path | str | ItemsFolder, config: str | None = None) -> ItemsFolder:
    """An items folder, narrowed to one config where it has several, as every config was asked something else.

    Args:
        items: The folder, ``hf://datasets/ORG/NAME[@REVISION]``, or what ``read_items`` returned, which may be narrowed
            already.
        config: Name of the config; may be left out where there is one.

    Returns:
        The items, the config's primary question first.

    Raises:
        TableError: The folder is not whole, has no such config, or has several and none is named.
    """
    if isinstance(items, str) and items.startswith(SCHEME):
        items = items_folder(items)
    with strange_tables(str(items) if not isinstance(items, ItemsFolder) else items.path):
        folder = items if isinstance(items, ItemsFolder) else read_items(items)
    there = folder.items["config"].unique(maintain_order=True).to_list()
    if config is not None:
        return folder.of_config(config)
    if len(there) > 1:
        raise TableError(
            f"{folder.path}: the items have {len(there)} configs ({', '.join(there)}), each with a question of its "
            f"own; name the one that is meant: --config {there[0]}."
        )
    return folder
