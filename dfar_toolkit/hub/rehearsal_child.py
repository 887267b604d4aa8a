"""The process of a rehearsal: its environment names the Hub on this machine before any client is imported."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl

from dfar_toolkit.errors import DfarError, HubError
from dfar_toolkit.files.digest import table_digest
from dfar_toolkit.files.items import LONG_TABLES, code_to_label, read_manifest
from dfar_toolkit.hub.connection import connect, without_token
from dfar_toolkit.hub.publish import Published, PublishOptions, publish
from dfar_toolkit.hub.repository import Repository


def main() -> int:
    """Publish the folder, load it back, and print one JSON line per step and one for the result."""
    folder, repo_id, told = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    options = PublishOptions(**{**told, "accept": tuple(told["accept"]), "dry_run": False})
    # it takes longer to import than the folder takes to be published
    early = threading.Thread(target=_import_datasets, daemon=True)
    early.start()
    try:
        published = publish(folder, Repository(connect(), repo_id), options, progress=_step)
        early.join()
        loaded = load_back(folder, repo_id, published)
    except DfarError as error:
        _line(error=str(error))
        return 1
    parts = len(loaded)
    verdict = (
        f"rehearsed: {repo_id} {', '.join(f'{n} {a}' for a, n in published.plan.counts.items())} in 1 commit"
        f"{f', tag {published.tag}' if published.tag else ''}; read back and the same as the folder; load_dataset gave "
        f"{parts} splits of {len({row['config'] for row in loaded})} configs with the content of the manifest"
    )
    _line(verdict=verdict, published={**published.as_json(), "url": ""}, loaded=loaded)
    return 0


def _import_datasets() -> None:
    import datasets  # noqa: F401


def _line(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def _step(text: str) -> None:
    _line(step=text)


def load_back(folder: Path, repo_id: str, published: Published) -> list[dict[str, Any]]:
    """Load every config and split with ``load_dataset`` and compare rows, labels and digests with the manifest.

    Args:
        folder: The folder that was published.
        repo_id: The repository.
        published: What publishing gave.

    Returns:
        ``config, split, rows`` of each.

    Raises:
        HubError: Something cannot be loaded, or has other content than the manifest.
    """
    manifest = read_manifest(folder)
    revision, loaded = str(published.commit), []
    wanted = {name: {s: f["rows"] for s, f in c["splits"].items()} for name, c in manifest["configs"].items()}
    wanted |= {name: {name: facts["rows"]} for name, facts in manifest["tables"].items()}
    items = []
    for config, splits in wanted.items():
        filled = {split: rows for split, rows in splits.items() if rows}  # load_dataset refuses one without rows
        if not filled:
            continue
        _step(f"loading {config}")
        frames = _loaded(repo_id, config, revision)
        found = {split: frame.height for split, frame in frames.items()}
        if found != filled:
            raise HubError(f"load_dataset gave {found} for {config}, the manifest says {filled}.")
        loaded += [{"config": config, "split": split, "rows": rows} for split, rows in found.items()]
        if config in LONG_TABLES:
            _same(config, table_digest(frames[config], config), manifest["content_digest"].get(config))
        else:
            items += list(frames.values())
    for config in (manifest.get("paper_trail") or {}).get("content_digest", {}):
        _step(f"loading {config}")
        rows = sum(f["rows"] for path, f in manifest["files"].items() if path.startswith(f"{config}/") and "rows" in f)
        found = {split: frame.height for split, frame in _loaded(repo_id, config, revision).items()}
        if found != {config: rows}:
            raise HubError(f"load_dataset gave {found} for {config}, the manifest says {rows} rows.")
        loaded.append({"config": config, "split": config, "rows": rows})
    if items:
        together = pl.concat(items, how="vertical_relaxed")
        _same("the items", table_digest(together, "items"), _items_digest(manifest["content_digest"]))
    return loaded


def _items_digest(digests: dict[str, str]) -> str | None:
    """The digest of the items, which are filed under one name beside those of the tables."""
    return next((digest for name, digest in digests.items() if name not in LONG_TABLES), None)


def _same(what: str, found: str, wanted: str | None) -> None:
    if found != wanted:
        raise HubError(f"load_dataset gave other content than the manifest for {what}: {found}, wanted {wanted}.")


def _loaded(repo_id: str, config: str, revision: str) -> dict[str, pl.DataFrame]:
    """The splits of a config as frames, labels by name."""
    import datasets

    try:
        splits = datasets.load_dataset(repo_id, config, revision=revision)
    except Exception as error:  # whatever a reader of the set would meet
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise HubError(f"load_dataset cannot load {config}: {without_token(first)[:300]}.") from error
    frames = {}
    for name, part in splits.items():
        frame = part.to_polars()
        label = part.features.get("label")
        if isinstance(label, datasets.ClassLabel):
            frame = frame.with_columns(code_to_label(list(label.names)))
        frames[str(name)] = frame
    return frames


if __name__ == "__main__":
    sys.exit(main())
