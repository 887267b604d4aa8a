"""An export on disk: the rows, a README with counts alone, and a manifest that is written last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import yaml

from dfar_toolkit.corpus.exports.account import Account
from dfar_toolkit.files.items import file_facts, write_json
from dfar_toolkit.files.swap import MANIFEST, replacing
from dfar_toolkit.markup import one_line

EXPORT_FORMAT: Final = "dfar-export"
PARQUET: Final = "data"
LINES: Final = "jsonl"


class Facts(NamedTuple):
    """What an export says of itself: its format, the settings it was made with, and the items' name and licences."""

    format: str
    settings: Mapping[str, object]
    name: str
    licences: Sequence[str]
    digest: str


class Written(NamedTuple):
    """A written export: where, its rows by split, what was left out (``split, why, rows``), what must be known."""

    path: Path
    rows: dict[str, int]
    left_out: pl.DataFrame
    notes: tuple[str, ...]


def write_export(
    out: Path,
    rows: pl.DataFrame,
    splits: Sequence[str],
    facts: Facts,
    account: Account,
    *,
    parquet: bool = True,
    texts: Mapping[str, str] | None = None,
    about: str = "",
) -> Written:
    """Write the rows of each split, further files, README and manifest, replacing an earlier export whole.

    Args:
        out: Folder: absent, empty, or an earlier export.
        rows: Rows with ``split``, which is not written.
        splits: Splits in order; one without rows has no file.
        facts: What the export says of itself.
        account: What was left out.
        parquet: Whether to write ``data/SPLIT.parquet`` beside ``jsonl/SPLIT.jsonl``.
        texts: Further files by relative name.
        about: Lines of the README on how to use the files; Markdown without any text from data.

    Returns:
        What was written.

    Raises:
        TableError: ``out`` holds other files, or there is no room.
    """
    parts = {split: rows.filter(pl.col("split") == split).drop("split") for split in splits}
    kept = {split: part for split, part in parts.items() if part.height}
    counts = {split: part.height for split, part in kept.items()}
    left_out, notes = account.left_out(), tuple(account.notes)
    with replacing(out, kind=EXPORT_FORMAT) as folder:
        for split, part in kept.items():
            (folder / LINES).mkdir(exist_ok=True)
            part.write_ndjson(folder / LINES / f"{split}.jsonl")
            if parquet:
                (folder / PARQUET).mkdir(exist_ok=True)
                part.write_parquet(folder / PARQUET / f"{split}.parquet", compression="zstd", statistics=True)
        for name, text in (texts or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        readme = _readme(facts, counts, left_out, notes, about, parquet=parquet)
        (folder / "README.md").write_text(readme, encoding="utf-8")
        manifest: dict[str, Any] = {
            "format": EXPORT_FORMAT, "format_version": 1, "export": facts.format, "settings": dict(facts.settings),
            "items": facts.name, "items_digest": facts.digest, "rows": counts, "left_out": left_out.to_dicts(),
            "notes": list(notes), "files": file_facts(folder),
        }  # fmt: skip
        write_json(folder, MANIFEST, manifest)
    return Written(out, counts, left_out, notes)


def _readme(
    facts: Facts,
    counts: Mapping[str, int],
    left_out: pl.DataFrame,
    notes: Sequence[str],
    about: str,
    *,
    parquet: bool,
) -> str:
    """The page: a head that ``load_dataset`` obeys, how to use the files, counts."""
    licences = [one_line(name) for name in dict.fromkeys(facts.licences)]
    head: dict[str, object] = {"license": licences[0] if len(licences) == 1 else licences}
    place, end = (PARQUET, "parquet") if parquet else (LINES, "jsonl")
    files = [{"split": split, "path": f"{place}/{split}.{end}"} for split in counts]
    head["configs"] = [{"config_name": "default", "data_files": files}]
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    lines = [f"---\n{front}---\n", f"# Export: {facts.format}\n", about.strip(), "", "| split | rows |", "|---|---|"]
    lines += [f"| {split} | {n} |" for split, n in counts.items()]
    if left_out.height:
        lines += ["", "Left out:", "", "| split | why | rows |", "|---|---|---|"]
        lines += [f"| {split} | {why} | {n} |" for split, why, n in left_out.iter_rows()]
    lines += ["", "Settings, notes and the sha256 of each file stand in `manifest.json`."] if notes or counts else []
    return "\n".join(lines) + "\n"
