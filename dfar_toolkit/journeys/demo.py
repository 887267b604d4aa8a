"""The main job from end to end on the embedded example: raw judgements to card, numbers, report."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.corpus.assemble import BuildOptions, Built, build_items
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import file_facts, read_items, write_json
from dfar_toolkit.files.swap import MANIFEST, replacing
from dfar_toolkit.journeys.report import report_data
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.html import html
from dfar_toolkit.report.json_document import json_document
from dfar_toolkit.report.markdown import markdown
from dfar_toolkit.sources import mapping_from_yaml, read_source

DEMO_FORMAT: Final = "dfar-demo"
_RAW: Final = ("annotations.csv", "raters.csv", "mapping.yaml")
_SHOWN: Final = ("accuracy", "majority_baseline", "macro_f1", "coverage", "mar_mean", "mar_majority")
_COMPARED: Final = ("accuracy", "accuracy_answered", "mar_mean")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo prints: tables (title, header, rows), and the commands to go on with."""

    path: Path
    tables: list[tuple[str, list[str], list[list[object]]]]
    next_commands: list[tuple[str, str]]


def run_demo(out: Path, *, progress: Callable[[str], None] | None = None) -> DemoResult:
    """Write ``raw/``, ``items/``, ``runs/``, judgements and a report into ``out``, replacing an earlier demo whole.

    Args:
        out: Folder to write: absent, empty, or an earlier demo.
        progress: Called with a few words at each step.

    Returns:
        What to print.

    Raises:
        TableError: ``out`` holds other files, or there is no room.
    """
    tell = progress or (lambda _: None)
    with replacing(out, kind=DEMO_FORMAT) as folder, as_file(files("dfar_toolkit.journeys") / "everyday") as example:
        _copy_example(example, folder)
        raw = folder / "raw"
        tables = read_source("table", raw, mapping=mapping_from_yaml(raw / "mapping.yaml"))
        built = build_items(tables, folder / "items", options=BuildOptions(), progress=progress)
        if built.failed:
            raise TableError(f"the embedded example fails its own gate: {', '.join(f.finding for f in built.failed)}")
        tell("scoring and comparing both runs")
        runs = sorted((folder / "runs").iterdir())
        data = report_data(
            read_items(folder / "items"), runs, judgements=folder / "judgements.csv", protocol=folder / "protocol.yaml"
        )
        tell("writing the report")
        for name, render in (("report.html", html), ("report.md", markdown), ("report.json", json_document)):
            (folder / name).write_text(render(data), encoding="utf-8")
        write_json(folder, MANIFEST, {"format": DEMO_FORMAT, "format_version": 1, "files": file_facts(folder)})
        shown = _tables(built, data)
    return DemoResult(out, shown, _next_commands(out))


def _copy_example(example: Path, folder: Path) -> None:
    (folder / "raw").mkdir()
    (folder / "runs").mkdir()
    for name in _RAW:
        shutil.copyfile(example / name, folder / "raw" / name)
    for name in ("judgements.csv", "protocol.yaml"):
        shutil.copyfile(example / name, folder / name)
    for run in sorted((example / "outputs").iterdir()):
        shutil.copyfile(run, folder / "runs" / run.name)


def _tables(built: Built, data: ReportData) -> list[tuple[str, list[str], list[list[object]]]]:
    rows = built.manifest["rows"]
    differing = built.manifest["disagreement"]
    made: list[list[object]] = [
        ["items", rows["items"]],
        ["annotations with reasons", f"{rows['annotations']} by {built.manifest['annotators']['count']} people"],
        ["items on which people differ", f"{differing['items']} of {differing['of']}"],
        ["audit", f"{sum(f.count > 0 and f.severity == 'warn' for f in built.findings)} kinds of warning, none fails"],
    ]
    agreement = [
        [_statistic(row), row["value"], _between(row), row["n"]]
        for row in data.agreement
        if row["statistic"] != "cohen_kappa"
    ]
    of_all = (pl.col("subset") == "all") & (pl.col("n") > 0)  # a run without reasons has no rate to show
    scores = data.scores.filter(pl.col("metric").is_in(_SHOWN) & of_all & pl.col("label").is_null())
    scored = [
        [row["run_id"], row["metric"], row["value"], _between(row), row["n"]] for row in scores.iter_rows(named=True)
    ]
    compared = data.comparison
    rows = [] if compared is None else compared.differences.filter(of_all, pl.col("metric").is_in(_COMPARED)).to_dicts()
    differences = [
        [row["metric"], row["value"], _between(row), row["n"], row["test"] or "", _p(row["p_value"])] for row in rows
    ]
    names = " -> ".join(compared.runs if compared is not None else ())
    return [
        ("Built", ["what", "how many"], made),
        ("Do people agree?", ["statistic", "value", "95 % interval", "n"], agreement),
        ("Do the models agree with people?", ["run", "metric", "value", "95 % interval", "n"], scored),
        (f"Which is better? {names}", ["difference", "value", "95 % interval", "n", "test", "p"], differences),
    ]


def _statistic(row: Mapping[str, object]) -> str:
    return f"{row['statistic']} ({row['level']})" if row["level"] else str(row["statistic"])


def _between(row: Mapping[str, object]) -> str:
    low, high = row["low"], row["high"]
    known = isinstance(low, float) and isinstance(high, float) and not math.isnan(low)
    return f"[{low:.3f}, {high:.3f}]" if known else ""


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else ""


def _next_commands(out: Path) -> list[tuple[str, str]]:
    def at(name: str) -> str:
        return shlex.quote(str(out / name))

    runs = f"{at('runs/label-only.jsonl')} {at('runs/with-reasons.jsonl')}"
    return [
        (f"open {at('report.html')}", "the report, with plots"),
        (f"dfar view {at('items')} {runs} --judgements {at('judgements.csv')}", "browse disagreements and errors"),
        (f"dfar check {at('items')}", "the audit"),
        (f"dfar agreement {at('items')} --by split --cross-check", "agreement per split"),
        (f"dfar score {at('runs/with-reasons.jsonl')} --items {at('items')}", "all scores of a run"),
        (f"less {at('items/README.md')}", "the card that would be published"),
    ]
