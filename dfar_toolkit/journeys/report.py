"""One report on an items folder and the runs scored against it: HTML, Markdown and JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.files.protocol import read_protocol
from dfar_toolkit.journeys.scores import read_runs
from dfar_toolkit.metrics.comparison import compare
from dfar_toolkit.report.document import Comparison, ReportData
from dfar_toolkit.report.html import html
from dfar_toolkit.report.json_document import json_document
from dfar_toolkit.report.markdown import markdown
from dfar_toolkit.scoring import confusions, score


def report_on(
    items: Path | ItemsFolder,
    outputs: Sequence[Path] = (),
    *,
    judgements: Path | None = None,
    protocol: Path | None = None,
    out: Path,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    separator: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[Path]:
    """Compute what a report shows and write it as ``out`` and, beside it, as Markdown and JSON.

    Args:
        items: The items folder.
        outputs: Runs to score; every pair of them is compared.
        judgements: Good/Bad judgements of the runs' reasons.
        protocol: How the judging was done (YAML), printed with the misalignment rates.
        out: The HTML page; ``.md`` and ``.json`` take its name.
        split: Splits to score; by default those that occur in the outputs.
        label_map: From the models' labels to the options.
        separator: Separator of CSV files where it is not a comma.
        confidence: Coverage of the intervals of scores.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The files written.

    Raises:
        TableError: A file is not what it must be.
    """
    data = report_data(
        items, outputs, judgements=judgements, protocol=protocol, split=split, label_map=label_map,
        separator=separator, confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    texts = {out: html(data), out.with_suffix(".md"): markdown(data), out.with_suffix(".json"): json_document(data)}
    for path, text in texts.items():
        write_whole(path, text)
    return list(texts)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it, so that nobody reads half of it."""
    fresh = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def report_data(
    items: Path | ItemsFolder,
    outputs: Sequence[Path] = (),
    *,
    judgements: Path | None = None,
    protocol: Path | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    separator: str | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> ReportData:
    """Everything a report shows, computed; arguments as in :func:`report_on`."""
    folder = items if isinstance(items, ItemsFolder) else read_items(items)
    runs = read_runs(outputs, folder, separator=separator)
    judged = (
        read_judgements(judgements, questions=folder.questions, separator=separator) if judgements and outputs else None
    )
    scores = pl.DataFrame()
    confusion: dict[str, pl.DataFrame] = {}
    options = folder.options
    if outputs:
        stacked = pl.concat(runs.values(), how="diagonal_relaxed")
        scores = score(
            stacked, folder.items, judgements=judged, n_boot=n_boot, seed=seed, options=options, label_map=label_map
        )
        cells = confusions(stacked, folder.items, options=options, label_map=label_map).filter(
            pl.col("subset") == "all"
        )
        confusion = {str(run): part for (run,), part in cells.group_by("run_id", maintain_order=True)}
    compared = [
        compare(
            runs[a],
            runs[b],
            folder.items,
            judgements=judged,
            n_boot=n_boot,
            seed=seed,
            options=options,
            label_map=label_map,
        )
        for a, b in combinations(runs, 2)
    ]  # fmt: skip
    return ReportData(
        title=str(folder.manifest["title"]),
        facts=_facts(folder.manifest),
        findings=folder.audit,
        agreement=folder.agreement,
        scores=scores,
        confusions=confusion,
        comparisons=[Comparison(c.run_a, c.run_b, c.differences, c.right_wrong) for c in compared],
        protocol=read_protocol(protocol),
    )


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know of the data first, in words."""
    people, differing = manifest["annotators"], manifest["disagreement"]
    facts = {"items": f"{manifest['rows']['items']:,} ({_splits(manifest)})"}
    facts |= {f"labels in {split}": text for split, text in _label_mix(manifest).items()}
    judged = f"{manifest['rows']['annotations']:,}, {people['with_reason']:,} of them with a reason"
    facts["judgements"] = f"{judged}, by {people['count']} annotators" if people["known"] else judged
    if people["known"]:
        spread = people["ratings_per_item"]
        facts["ratings of an item"] = f"{spread['min']} to {spread['max']}, median {spread['median']}"
    if differing["of"]:
        facts["items on which people differ"] = f"{differing['items']:,} of {differing['of']:,}"
    facts |= {f"annotators by {band}": _listed(counts) for band, counts in people["bands"].items()}
    facts["groups"] = f"{manifest['groups']['count']:,} (what intervals resample and splits keep whole)"
    facts["split"] = str(manifest["split"]["method"])
    facts["content digest of the items"] = str(manifest["content_digest"]["default"])
    return facts


def _splits(manifest: Mapping[str, Any]) -> str:
    parts = manifest["configs"]["default"]["splits"]
    return ", ".join(f"{split} {facts['rows']:,}" for split, facts in parts.items())


def _label_mix(manifest: Mapping[str, Any]) -> dict[str, str]:
    parts = manifest["configs"]["default"]["splits"]
    mixes = {split: _listed(facts["labels"]) for split, facts in parts.items()}
    return {s: mix + (f", none {parts[s]['unlabelled']}" if parts[s]["unlabelled"] else "") for s, mix in mixes.items()}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
