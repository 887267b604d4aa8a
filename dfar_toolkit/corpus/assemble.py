"""From a source's tables to a whole items folder: pseudonyms, aggregates, groups, split, leaks, audit, card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement.labels.votes import Method
from dfar_toolkit.corpus.annotator_agreement import folder_agreement
from dfar_toolkit.corpus.audit import AuditThresholds, Finding, audit, gate
from dfar_toolkit.corpus.card import render_card
from dfar_toolkit.corpus.card_plots import write_plots
from dfar_toolkit.corpus.changes import changes_since
from dfar_toolkit.corpus.citation_file import write_citation
from dfar_toolkit.corpus.composition import (
    annotator_facts,
    config_facts,
    disagreement_facts,
    divided_facts,
    shown_facts,
)
from dfar_toolkit.corpus.croissant import croissant
from dfar_toolkit.corpus.findings import items_found
from dfar_toolkit.corpus.groups import item_groups
from dfar_toolkit.corpus.leaks import mark_leaks
from dfar_toolkit.corpus.pseudonyms import pseudonyms, replace_ids
from dfar_toolkit.corpus.records import near_or_sampled
from dfar_toolkit.corpus.split import SPLIT_NAME
from dfar_toolkit.corpus.splitting import SplitPlan, split_items
from dfar_toolkit.corpus.targets import aggregate, label_methods, relabelled, with_published
from dfar_toolkit.errors import SourceError
from dfar_toolkit.files.digest import table_digest
from dfar_toolkit.files.items import (
    FINDINGS,
    FORMAT,
    FORMAT_VERSION,
    LONG_TABLES,
    file_facts,
    plain_types,
    read_previous_card,
    write_json,
    write_tables,
)
from dfar_toolkit.files.swap import MANIFEST, check_replaceable, replacing
from dfar_toolkit.sources.combined import combined
from dfar_toolkit.sources.layout import SourceTables
from dfar_toolkit.tables import conform, of_config, text_key

_NAME: Final = 100  # letters of a split's name
_TOOLS: Final = ("dfar-toolkit", "polars", "numpy", "rensa", "ftfy")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build: the split, what may pass the gate, whose ids are kept, how ratings become labels.

    ``name`` is what a corpus of several sources is called.
    """

    plan: SplitPlan = field(default_factory=SplitPlan)
    seed: int = 0
    keep_ids: bool = False
    accept: tuple[str, ...] = ()
    thresholds: AuditThresholds = field(default_factory=AuditThresholds)
    n_boot: int = 2000
    labels: Method = "majority"
    name: str = "corpus"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build wrote, what the audit found, and which findings fail the gate."""

    path: Path
    manifest: dict[str, Any]
    findings: tuple[Finding, ...]
    failed: tuple[Finding, ...]


def build_items(
    source: SourceTables | Sequence[SourceTables],
    out: Path,
    *,
    options: BuildOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> Built:
    """Write the items folder of a source, whole or not at all, and audit it.

    Args:
        source: What :func:`dfar_toolkit.sources.read_source` read; several make one corpus (``sources.combined``).
        out: Folder to write; absent, empty or an earlier build.
        options: Split, seed, gate; the published split by default.
        progress: Called with a few words at each step.

    Returns:
        The manifest, the findings and those that fail the gate. The folder is written either way: a failed gate
        is something to look at, and only publishing refuses it.

    Raises:
        SourceError: The source has no items.
        TableError: A table breaks its contract, or the folder cannot be written.
    """
    options = options or BuildOptions()
    tell = progress or (lambda _: None)
    source, sources = combined([source] if isinstance(source, SourceTables) else source, name=options.name)
    if source.items.height == 0:
        raise SourceError(f"{source.info.name}: no items were read; nothing is written.")
    check_replaceable(out, kind=FORMAT)
    _check_splits(source)
    tell("aggregating")
    tables = _tables(source, options)
    if options.labels != "majority":
        left = {q: m for q, m in label_methods(tables["questions"], options.labels).items() if m != options.labels}
        tell(f"labels by {options.labels}" + (f", but not of {', '.join(left)} (set or number)" if left else ""))
    tell("looking for near-duplicates")
    grouped = _grouped(tables["items"], tables["annotations"], options)
    items = grouped.items
    tell("auditing")
    findings = audit(
        items,
        tables["annotations"],
        tables["questions"],
        raters=tables["raters"],
        thresholds=options.thresholds,
        near=grouped.near,
        near_note=grouped.near_note,
    )
    failed = gate(findings, accept=options.accept)
    tell("computing agreement")
    agreement = folder_agreement(
        tables["annotations"], tables["questions"], items, n_boot=options.n_boot, seed=options.seed
    )
    tell("writing")
    tables["items"] = items = conform(items, "items", where=source.info.name)
    with replacing(out, kind=FORMAT) as folder:
        write_tables(folder, items=items, long_tables=tables)
        manifest = _manifest(source, tables, options, folder=folder, grouped=grouped)
        manifest["sources"] = [_source_facts(each) for each in sources]
        manifest["audit"] = {"failed": [f.finding for f in failed], "accepted": list(options.accept)}
        audit_rows = [f.as_row() for f in findings]
        items_found(findings).write_parquet(folder / FINDINGS)
        manifest["changes"], unchanged = changes_since(out, manifest, tables, audit_rows=audit_rows)
        if unchanged:
            tell("nothing has changed since the earlier build")
        write_beside(
            folder,
            manifest,
            audit_rows=audit_rows,
            agreement_rows=_plain_rows(agreement),
            previous=read_previous_card(out),
            earlier=out,
        )
    return Built(out, manifest, tuple(findings), tuple(failed))


def write_beside(
    folder: Path,
    manifest: dict[str, Any],
    *,
    audit_rows: Sequence[Mapping[str, Any]],
    agreement_rows: Sequence[Mapping[str, Any]],
    previous: str | None,
    earlier: Path | None = None,
) -> None:
    """Write what stands beside the tables of a folder, and the manifest last.

    That is: audit, agreement, plots, card, Croissant and CITATION.cff; ``earlier`` is the folder that will be replaced.
    """
    write_json(folder, "audit.json", list(audit_rows))
    write_json(folder, "agreement.json", list(agreement_rows))
    schemas = table_schemas(folder, manifest)
    manifest["plots"] = write_plots(folder, manifest, agreement=agreement_rows)
    write_citation(folder, manifest, earlier=earlier)
    manifest["files"] = file_facts(folder)
    card = render_card(manifest, audit=audit_rows, agreement=agreement_rows, schemas=schemas, previous=previous)
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(folder, "croissant.json", croissant(manifest, schemas=schemas, agreement=agreement_rows))
    manifest["files"] = file_facts(folder)
    write_json(folder, MANIFEST, manifest)


def table_schemas(folder: Path, manifest: Mapping[str, Any]) -> dict[str, pl.Schema]:
    """Columns of every config as they stand in the parquet files."""
    schemas = {}
    for config, facts in manifest["configs"].items():
        split = next(iter(facts["splits"]))
        schemas[config] = pl.read_parquet_schema(folder / "data" / config / f"{split}.parquet")
    for name in LONG_TABLES:
        schemas[name] = pl.read_parquet_schema(folder / f"{name}.parquet")
    return {name: pl.Schema(schema) for name, schema in schemas.items()}


def _tables(source: SourceTables, options: BuildOptions) -> dict[str, pl.DataFrame]:
    """The source's tables with pseudonyms, the aggregates, and the items with their primary target and reasons."""
    annotations, raters = source.annotations, source.raters
    if not options.keep_ids:
        ids = pl.concat([annotations["annotator_id"], raters["annotator_id"]])
        names = pseudonyms(ids, seed=options.seed)
        annotations, raters = replace_ids(annotations, names), replace_ids(raters, names)
    where = source.info.name
    questions = conform(source.questions, "questions", where=where)
    annotations = conform(annotations, "annotations", where=where)
    targets = with_published(aggregate(annotations, questions), source.targets, where=where)
    if options.labels != "majority":
        targets = relabelled(targets, annotations, questions, method=options.labels, seed=options.seed)
    asked = source.items.select("item_id", of_config(questions).alias("question"))
    asked = asked.unique("item_id", keep="first", maintain_order=True)
    items = _with_target(source.items, targets.join(asked, on=["item_id", "question"], how="semi"))
    given = annotations.join(asked, on=["item_id", "question"], how="semi")
    items = items.join(_reasons(given), on="item_id", how="left", maintain_order="left")
    items = items.with_columns(
        pl.col("reasons").fill_null(pl.lit([], dtype=pl.List(_REASON))),
        text_key(pl.col("statement")).alias("text_key"),
    )
    return {
        "items": items,
        "annotations": plain_types(annotations.sort("item_id", "question", "rating_id", "value")),
        "raters": plain_types(conform(raters, "raters", where=where).sort("annotator_id")),
        "targets": targets,
        "questions": questions,
    }


_REASON: Final = pl.Struct({"annotator_id": pl.String, "value": pl.String, "text": pl.String})


def _reasons(annotations: pl.DataFrame) -> pl.DataFrame:
    given = annotations.filter(pl.col("reason").str.strip_chars().str.len_chars() > 0)
    reason = pl.struct("annotator_id", "value", pl.col("reason").alias("text")).alias("reasons")
    return given.sort("rating_id", "value").group_by("item_id").agg(reason)


def _with_target(items: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """Label, counts and shares from people where they are known, else the label the source published."""
    published = items["label"] if "label" in items.columns else None
    bare = items.drop("label", "label_counts", "label_probs", strict=False)
    joined = bare.join(
        targets.select("item_id", "label", "label_counts", "label_probs"),
        on="item_id",
        how="left",
        maintain_order="left",
    )
    if published is None:
        return joined
    unasked = pl.col("label_counts").is_null()
    return joined.with_columns(pl.when(unasked).then(published).otherwise(pl.col("label")).alias("label"))


class _Grouped(NamedTuple):
    """Items with group, split and leaks, what the manifest says of them, and the near pairs behind them."""

    items: pl.DataFrame
    groups: dict[str, Any]
    split: dict[str, Any]
    near: pl.DataFrame
    near_note: str


def _grouped(items: pl.DataFrame, annotations: pl.DataFrame, options: BuildOptions) -> _Grouped:
    """Groups, the split asked for, and the leaks between the splits that result."""
    near, near_note = near_or_sampled(items, threshold=options.thresholds.near, seed=options.seed)
    groups = item_groups(items, near)
    items = items.join(groups.frame, on="item_id", maintain_order="left")
    items, facts = split_items(items, annotations, options.plan, seed=options.seed)
    items = items.drop("leak_kind", "leak_of", "leak_against", strict=False)
    items = items.join(mark_leaks(items, near), on="item_id", maintain_order="left")
    group_facts = {"count": groups.n_groups, "largest": groups.largest, "note": groups.note}
    return _Grouped(items, group_facts, facts, near, near_note)


def _check_splits(source: SourceTables) -> None:
    """Refuse names that neither the Hub takes nor a file can have."""
    names = source.items["split"].unique().sort().to_list()
    odd = [name for name in names if not SPLIT_NAME.fullmatch(name) or name == "all" or len(name) > _NAME]
    if odd:
        raise SourceError(
            f'{source.info.name}: the split {odd[0]!r}: the Hub takes words joined by dots, such as "train" or '
            f'"test.hard", not "all", up to {_NAME} letters. Rename it in the files, or map another column.'
        )


def _manifest(
    source: SourceTables,
    tables: Mapping[str, pl.DataFrame],
    options: BuildOptions,
    *,
    folder: Path,
    grouped: _Grouped,
) -> dict[str, Any]:
    items = tables["items"]
    sizes = {name: (folder / f"{name}.parquet").stat().st_size for name in LONG_TABLES}
    info = source.info
    further = [c for c in ("primary_of",) if c in tables["questions"].columns]
    asked = ["question", "kind", "options", "wording", *further]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": info.name,
        "title": info.title,
        "sources": [],
        "rows": {name: frame.height for name, frame in tables.items()},
        "configs": config_facts(items, folder),
        "tables": {name: {"rows": tables[name].height, "n_bytes": sizes[name]} for name in LONG_TABLES},
        "questions": plain_types(tables["questions"]).select(asked).to_dicts(),
        "split": grouped.split,
        "groups": grouped.groups,
        "annotators": annotator_facts(
            tables["annotations"], tables["raters"], tables["questions"], pseudonymous=not options.keep_ids
        ),
        "disagreement": disagreement_facts(tables["annotations"], tables["questions"]),
        "divided": divided_facts(tables["targets"], tables["questions"]),
        "shown": shown_facts(items),
        "labels": label_methods(tables["questions"], options.labels),
        "content_digest": {
            "default": table_digest(items, "items"),
            **{name: table_digest(plain_types(tables[name]), name) for name in LONG_TABLES},
        },
        "seed": options.seed,
        "tools": {tool.replace("-", "_"): version(tool) for tool in _TOOLS},
    }


def _source_facts(source: SourceTables) -> dict[str, Any]:
    info = source.info
    return {
        "name": info.name,
        "title": info.title,
        "licence": info.licence,
        "homepage": info.homepage,
        "citation": info.citation,
        "languages": list(info.languages),
        "task": info.task,
        "notes": list(info.notes),
        "files": [asdict(f) for f in source.files],
        "dropped": [asdict(d) | {"examples": list(d.examples)} for d in source.dropped],
        "repairs": list(source.repairs),
    }


def _plain_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: undefined numbers as null."""
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).to_dicts()
