"""What the Hub calls the bytes of a file, and which names of files a manifest from elsewhere may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import HubError
from dfar_toolkit.files.items import LONG_TABLES

_PIECE: Final = 1 << 20


def git_blob_id(path: Path) -> str:
    """The sha1 by which git, and the Hub for small files, name the content of a file; read in pieces.

    Args:
        path: The file.

    Returns:
        40 hexadecimal digits.
    """
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as handle:
        while piece := handle.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def listed_files(manifest: Mapping[str, Any], *, where: str) -> dict[str, tuple[str, int]]:
    """The files of a manifest that somebody else may have written: name to sha256 and size.

    Args:
        manifest: The manifest.
        where: What it belongs to, for messages.

    Returns:
        Only names that stay inside a folder; every file that a reader opens is among them.

    Raises:
        HubError: A name leads elsewhere, or an entry lacks its sha256 or size.
    """
    found: dict[str, tuple[str, int]] = {}
    for name, fact in manifest["files"].items():
        if not is_inside(name):
            raise HubError(f"{where}: the manifest lists {name!r}, which is no name of a file inside it.")
        sha256, size = (fact.get("sha256"), fact.get("n_bytes")) if isinstance(fact, dict) else (None, None)
        if not isinstance(sha256, str) or not isinstance(size, int):
            raise HubError(f"{where}: the manifest gives {name} no sha256 or no size; publish the set again.")
        found[name] = sha256, size
    needed = [*(f"{table}.parquet" for table in LONG_TABLES), "audit.json", "agreement.json"]
    for config, facts in manifest["configs"].items():
        splits = facts.get("splits") if isinstance(facts, dict) else None
        if not isinstance(splits, dict):
            raise HubError(f"{where}: the manifest names no splits of {config!r}; publish the set again.")
        needed += [f"data/{config}/{split}.parquet" for split in splits]
    lost = [name for name in needed if name not in found]
    if lost:
        raise HubError(f"{where}: the manifest lists no file {lost[0]!r}, which every set has; publish it again.")
    return found


def is_inside(name: str) -> bool:
    r"""Whether a path stays inside the folder that it is relative to, on any system.

    Example:
        >>> is_inside("data/a.parquet"), is_inside("../a"), is_inside("/a"), is_inside("c:\\a"), is_inside("a//b")
        (True, False, False, False, False)
    """
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts)) and not any(c in name for c in ("\\", ":", "\0"))
