"""What a build changed since the earlier build in the same folder, as facts for its manifest.

Nothing here knows a clock. A build that changes no content, source, split, label method or finding keeps what the
earlier manifest says of its own changes: so building the same again gives the same bytes, and the card goes on saying
what the last build that changed something has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.digest import KEYS
from dfar_toolkit.files.items import code_to_label, config_options, plain_types, read_manifest
from dfar_toolkit.files.swap import MANIFEST

_EXAMPLES: Final = 3
_MOVES: Final = 20  # ways from one label or split to another that are listed; the rest is counted
_DIGEST: Final = {"items": "default"}  # the table's name among the content digests


class Changes(NamedTuple):
    """What the manifest says under ``changes``, and whether this build is the same as the earlier one."""

    facts: dict[str, Any] | None
    unchanged: bool


def changes_since(
    earlier: Path,
    manifest: Mapping[str, Any],
    tables: Mapping[str, pl.DataFrame],
    *,
    audit_rows: Sequence[Mapping[str, Any]],
) -> Changes:
    """Compare a build with the items folder that it is about to replace.

    Rows are matched by the keys of their table; a row is changed where a column that both builds have, with one type,
    differs. A vote with another value is another row: the value belongs to the key of ``annotations``.
    Tables with equal content digests are not read. ``items`` are compared with the label's name, not its number.

    Args:
        earlier: The folder before it is replaced; it may be absent.
        manifest: The manifest of the new build, with ``content_digest``, ``sources``, ``split`` and ``labels``.
        tables: The tables of the new build, with every table of the items folder.
        audit_rows: The findings of the new build as rows.

    Returns:
        The facts for the manifest, and whether the builds are the same. The facts are ``since`` (content digests of
        the earlier build), ``tables`` (per changed table ``added``, ``removed``, ``changed`` and examples),
        ``labels`` and ``splits`` (items by where they went), ``sources`` (files whose sha256 differs), ``findings``
        (counts before and after) and ``settings``; None for the first build. Where nothing differs they are those of
        the earlier manifest.
    """
    if not (earlier / MANIFEST).is_file():
        return Changes(None, unchanged=False)
    try:
        before = read_manifest(earlier)
        if before.get("content_digest") == manifest["content_digest"]:
            found = _found(before, manifest, {}, _findings(earlier, audit_rows))
            if not any(found[part] for part in ("sources", "findings", "settings")):
                return Changes(before.get("changes"), unchanged=True)
        else:
            compared = _compared(earlier, before, manifest, tables)
            found = _found(before, manifest, compared, _findings(earlier, audit_rows))
        return Changes(found, unchanged=False)
    except (TableError, OSError, pl.exceptions.PolarsError, KeyError, TypeError, ValueError) as error:
        # A damaged earlier build is about to be replaced: the new one must not fail for it.
        return Changes({"since": {}, "unreadable": type(error).__name__}, unchanged=False)


def _found(
    before: Mapping[str, Any], now: Mapping[str, Any], compared: Mapping[str, Any], findings: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "since": dict(before.get("content_digest") or {}),
        "tables": compared.get("tables", {}),
        "labels": compared.get("labels", []),
        "splits": compared.get("splits", []),
        "sources": _sources(before["sources"], now["sources"]),
        "findings": findings,
        "settings": _settings(before, now),
    }


def _compared(
    earlier: Path, before: Mapping[str, Any], now: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """Rows by table, and where the items' labels and splits went."""
    found: dict[str, Any] = {"tables": {}}
    old_digests = before.get("content_digest") or {}
    for name, key in KEYS.items():
        digest = _DIGEST.get(name, name)
        if name not in tables or old_digests.get(digest) == now["content_digest"].get(digest):
            continue
        old, new = _earlier_table(earlier, before, name), plain_types(tables[name])
        found["tables"][name] = _rows(old, new, list(key))
        if name == "items":
            shared = old.select("item_id", "label", "split").join(
                new.select("item_id", "label", "split"), on="item_id", suffix="_now"
            )
            found |= {"labels": _moves(shared, "label"), "splits": _moves(shared, "split")}
    return found


def _earlier_table(folder: Path, manifest: Mapping[str, Any], name: str) -> pl.DataFrame:
    if name != "items":
        return pl.read_parquet(folder / f"{name}.parquet")
    options = config_options(pl.read_parquet(folder / "questions.parquet"))
    parts = [
        pl.read_parquet(folder / "data" / config / f"{split}.parquet").with_columns(code_to_label(options[config]))
        for config, facts in manifest["configs"].items()
        for split in facts["splits"]
    ]
    return pl.concat(parts, how="diagonal_relaxed")


def _rows(old: pl.DataFrame, new: pl.DataFrame, key: list[str]) -> dict[str, Any]:
    """Rows added, removed and changed, and the columns that only one of the two has (or has with another type).

    Keys and rows are compared by 64-bit hashes, made here for both: a few seconds for millions of rows. That two of
    n rows share a hash has a chance of about n * n / 4e19.
    """
    shared = [c for c in new.columns if c in old.columns and old[c].dtype == new[c].dtype and c not in key]
    was, now = _hashed(old, key, shared), _hashed(new, key, shared)
    both = now.join(was, on="key", how="full", suffix="_was")
    kinds = {
        "added": (new, both.filter(pl.col("at_was").is_null())["at"]),
        "removed": (old, both.filter(pl.col("at").is_null())["at_was"]),
        "changed": (new, both.filter(pl.col("row") != pl.col("row_was"))["at"]),
    }
    return {
        **{kind: len(at) for kind, (_, at) in kinds.items()},
        "new_columns": sorted(c for c in new.columns if c not in shared and c not in key),
        "lost_columns": sorted(c for c in old.columns if c not in shared and c not in key),
        "examples": {
            kind: frame[at.cast(pl.UInt32), key[0]].unique().sort().head(_EXAMPLES).to_list()
            for kind, (frame, at) in kinds.items()
            if len(at)
        },
    }


def _hashed(frame: pl.DataFrame, key: list[str], shared: list[str]) -> pl.DataFrame:
    """Where each row stands, and the hashes of its key and of its other columns."""
    rows = frame.select(shared).hash_rows(seed=2) if shared else pl.zeros(frame.height, pl.UInt64, eager=True)
    keys = frame.select(key).hash_rows(seed=1)
    return pl.DataFrame({"key": keys, "row": rows}).with_row_index("at")


def _moves(shared: pl.DataFrame, column: str) -> list[dict[str, Any]]:
    """How many items went from which value to which, most first; an empty value is null."""
    moved = shared.filter(pl.col(column).ne_missing(pl.col(f"{column}_now")))
    counted = moved.group_by(pl.col(column).alias("was"), pl.col(f"{column}_now").alias("is")).len("items")
    counted = counted.sort("items", "was", "is", descending=[True, False, False])
    listed = counted.head(_MOVES).to_dicts()
    rest = counted.slice(_MOVES)["items"].sum()
    return [*listed, {"was": None, "is": None, "items": int(rest), "others": True}] if rest else listed


def _sources(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Files whose sha256 is another one, or that only one of the builds read."""
    old, new = _digests(before), _digests(now)
    return [
        {"source": source, "file": file, "was": old.get((source, file)), "is": new.get((source, file))}
        for source, file in sorted({*old, *new})
        if old.get((source, file)) != new.get((source, file))
    ]


def _digests(sources: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    return {(str(s["name"]), str(f["name"])): str(f["sha256"]) for s in sources for f in s["files"]}


def _findings(earlier: Path, audit_rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings with another count than before; one that was not looked for has no count."""
    before = {row["finding"]: row["count"] for row in json.loads((earlier / "audit.json").read_text(encoding="utf-8"))}
    now = {row["finding"]: row["count"] for row in audit_rows}
    return [
        {"finding": name, "was": before.get(name), "is": now.get(name)}
        for name in dict.fromkeys([*now, *before])
        if (before.get(name) or 0) != (now.get(name) or 0)
    ]


def _settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How the build was asked for, where that differs: the split, the labels, the seed, the pseudonyms."""
    pairs = {
        "split": (before["split"].get("method"), now["split"].get("method")),
        "seed": (before.get("seed"), now.get("seed")),
        "pseudonyms": (before["annotators"]["pseudonyms"], now["annotators"]["pseudonyms"]),
        "accepted": (before["audit"]["accepted"], now["audit"]["accepted"]),
        **_label_pairs(before.get("labels") or {}, now.get("labels") or {}),
    }
    return [{"setting": name, "was": was, "is": now_is} for name, (was, now_is) in pairs.items() if was != now_is]


def _label_pairs(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    return {f"labels of {q}": (before.get(q), now.get(q)) for q in dict.fromkeys([*now, *before])}
