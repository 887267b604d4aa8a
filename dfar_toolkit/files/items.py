"""Items folders: parquet per split, the long tables, and a manifest that is written last.

On disk ``label`` is an integer index into the options of its config's primary question, so that ``datasets`` reads a
real ClassLabel; in memory it is the option's name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.files.swap import MANIFEST, is_ours, settle
from dfar_toolkit.files.whole_json import whole_json
from dfar_toolkit.tables import conform, primary_questions

FORMAT: Final = "dfar-items"
FORMAT_VERSION: Final = 1
_PARTS: Final = {  # what must be in a manifest, and of which type
    "files": dict, "configs": dict, "rows": dict, "audit": dict, "sources": list, "questions": list,
}  # fmt: skip
_BY_HAND: Final = ("README.md", "CITATION.cff")  # what people may edit
LONG_TABLES: Final = ("annotations", "raters", "targets", "questions")
_VOTES: Final = ("label_counts", "label_probs")  # columns of items that are the primary question's, beside its label
FINDINGS: Final = "findings.parquet"  # which items show which finding of the audit; folders built before have none


@dataclass(frozen=True, slots=True)
class ItemsFolder:
    """An items folder in memory: the tables of all splits, and what stands beside them."""

    path: Path
    items: pl.DataFrame
    annotations: pl.DataFrame
    raters: pl.DataFrame
    targets: pl.DataFrame
    questions: pl.DataFrame
    manifest: dict[str, Any]
    audit: list[dict[str, Any]]
    agreement: list[dict[str, Any]]

    @property
    def options(self) -> list[str]:
        """Options of the primary question, in order; none where it is about numbers."""
        return list(self.questions["options"].to_list()[0] or [])

    @property
    def question(self) -> str:
        """The primary question's id."""
        return str(self.questions["question"][0])

    def of_question(self, question: str) -> ItemsFolder:
        """The folder with this question as the primary one: people's labels and votes of it, it first of all."""
        if question == self.question:
            return self
        first = pl.col("question") == question
        gold = self.targets.filter(first).select("item_id", pl.col("label").cast(pl.String), *_VOTES)
        columns = self.items.columns
        items = self.items.drop("label", *_VOTES).join(gold, on="item_id", how="left", maintain_order="left")
        questions = pl.concat([self.questions.filter(first), self.questions.filter(~first)])
        return replace(self, items=items.select(columns), questions=questions)

    def of_config(self, config: str) -> ItemsFolder:
        """The items of one config, its primary question first.

        Raises:
            TableError: There is no such config; lists those that there are.
        """
        primary = primary_questions(self.questions)
        if config not in primary or config not in self.manifest["configs"]:
            known = ", ".join(self.manifest["configs"])
            raise TableError(f"{self.path}: wanted a config of the items, found {config!r}; there are {known}.")
        items = self.items.filter(pl.col("config") == config)
        first = pl.col("question") == primary[config]
        of_these = items.select("item_id")
        return replace(
            self,
            items=items,
            questions=pl.concat([self.questions.filter(first), self.questions.filter(~first)]),
            annotations=self.annotations.join(of_these, on="item_id", how="semi"),
            targets=self.targets.join(of_these, on="item_id", how="semi"),
        )


def write_tables(folder: Path, *, items: pl.DataFrame, long_tables: Mapping[str, pl.DataFrame]) -> None:
    """Write ``data/<config>/<split>.parquet`` and one parquet per long table, rows in the order given."""
    options = config_options(long_tables["questions"])
    for (config, split), part in items.group_by("config", "split", maintain_order=True):
        target = folder / "data" / str(config) / f"{split}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_parquet(part.with_columns(label_to_code(options[str(config)])), target)
    for name in LONG_TABLES:
        _write_parquet(plain_types(long_tables[name]), folder / f"{name}.parquet")


def config_options(questions: pl.DataFrame) -> defaultdict[str, list[str]]:
    """The options of the primary question of each config, in order; of a config unknown, those of the first."""
    options = dict(zip(questions["question"], questions["options"].to_list(), strict=True))
    first: list[str] = next(iter(options.values()), [])
    return defaultdict(lambda: first, {c: options[q] for c, q in primary_questions(questions).items()})


def plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Enumerations as text: readers other than polars then see plain strings."""
    return frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))


def label_to_code(options: list[str]) -> pl.Expr:
    """The label's position among the options; null stays null."""
    codes = list(range(len(options)))
    return pl.col("label").replace_strict(options, codes, return_dtype=pl.Int64).alias("label")


def code_to_label(options: list[str]) -> pl.Expr:
    """The option's name at the position that ``label`` holds; null stays null."""
    codes = list(range(len(options)))
    return pl.col("label").replace_strict(codes, options, return_dtype=pl.String).alias("label")


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", statistics=True)


def write_json(folder: Path, name: str, content: object) -> None:
    """Write JSON with keys in the order given (that of splits means something) and a final newline."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def file_facts(folder: Path) -> dict[str, dict[str, object]]:
    """Size, sha256 and, for parquet, rows of every file below ``folder`` but the manifest, by relative name."""
    facts: dict[str, dict[str, object]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST):
        fact: dict[str, object] = {"sha256": file_digest(path), "n_bytes": path.stat().st_size}
        if path.suffix == ".parquet":
            fact["rows"] = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        facts[path.relative_to(folder).as_posix()] = fact
    return facts


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an items folder.

    Raises:
        TableError: There is no such folder, it is not whole, or it is not an items folder.
    """
    folder = Path(folder)
    settle(folder)
    if not folder.is_dir():
        raise TableError(f"{folder}: wanted an items folder, found {'a file' if folder.exists() else 'nothing'} there.")
    path = folder / MANIFEST
    if not path.is_file():
        raise TableError(f"{folder}: wanted an items folder, found no {MANIFEST}. Write one with `dfar build`.")
    try:
        manifest: dict[str, Any] = whole_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not valid JSON ({error}). Build the folder again.") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise TableError(f'{path}: wanted "format": "{FORMAT}", found {found!r}. This is not an items folder.')
    if manifest.get("format_version") != FORMAT_VERSION:
        raise TableError(
            f"{path}: this release reads format version {FORMAT_VERSION}, found {manifest.get('format_version')}."
        )
    lost = [key for key, kind in _PARTS.items() if not isinstance(manifest.get(key), kind)]
    if lost:
        raise TableError(f"{path}: wanted the entry {lost[0]!r}, found none that fits. Build the folder again.")
    return manifest


def read_items(folder: Path | str, *, verify: bool = True) -> ItemsFolder:
    """Read an items folder, all splits stacked in the manifest's order.

    Args:
        folder: The folder that ``dfar build`` wrote.
        verify: Compare the sha256 of every file with the manifest first.

    Raises:
        TableError: The folder is absent or not whole, or a file differs from the manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if verify:
        _verify(folder, manifest)
    tables = {name: conform(pl.read_parquet(folder / f"{name}.parquet"), name, where=name) for name in LONG_TABLES}
    options = config_options(tables["questions"])
    parts = [
        pl.read_parquet(part_file(folder, config, split)).with_columns(code_to_label(options[config]))
        for config, facts in manifest["configs"].items()
        for split in facts["splits"]
    ]
    return ItemsFolder(
        path=folder,
        items=conform(pl.concat(parts), "items", where=str(folder)),
        manifest=manifest,
        audit=_read_json_list(folder / "audit.json"),
        agreement=_read_json_list(folder / "agreement.json"),
        **tables,
    )


def part_file(folder: Path, config: str, split: str) -> Path:
    """The file of a split, whatever a manifest calls it.

    Raises:
        TableError: The names lead out of their folder.

    Example:
        >>> part_file(Path("items"), "default", "test").as_posix()
        'items/data/default/test.parquet'
    """
    for name in (config, split):
        if not name.strip(".") or set("/\\\0") & set(name):
            raise TableError(f"{folder / MANIFEST}: {name!r} cannot be the name of a config or a split.")
    return folder / "data" / config / f"{split}.parquet"


def read_previous_card(folder: Path) -> str | None:
    """The card of an earlier build at this place, whose hand-written parts a new card keeps."""
    settle(folder)
    card = folder / "README.md"
    if not (is_ours(folder) and card.is_file()):
        return None
    try:
        return card.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{card}: not UTF-8 (byte {error.start}); save it as UTF-8, or move it away.") from error


def _read_json_list(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = whole_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read ({error}). Build the folder again.") from error
    return rows


def _verify(folder: Path, manifest: dict[str, Any]) -> None:
    for name, fact in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise TableError(f"{folder}: the manifest lists {name}, which is not there. Build the folder again.")
        if name not in _BY_HAND and file_digest(path) != fact["sha256"]:
            raise TableError(
                f"{path}: its bytes differ from the manifest (sha256). It was changed after the build; build it again."
            )
