"""The command that looks at what a score does not show: probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dfar_toolkit.cli.options import (
    ByPosition,
    Confidence,
    Config,
    Draws,
    Format,
    Items,
    Json,
    Map,
    Method,
    Seed,
    Separator,
    Split,
    parsed_label_map,
    reading_options,
)
from dfar_toolkit.cli.printing import interval, number, percent, print_json, print_noted, say, usage

if TYPE_CHECKING:
    from dfar_toolkit.journeys.probe_inputs import ProbeTable

_NEEDS: Final = {  # what a probe asked for by name cannot do without
    "position": "", "prompts": "", "with-reason": "", "shortcuts": "", "subgroups": "--by COLUMN of the items",
    "annotator-groups": "--by COLUMN of the raters", "reason-metrics": "--judgements FILE",
    "judges": "--judgements FILE",
}  # fmt: skip
_ABOUT: Final = {  # columns that say what a row is about, and their headings
    "run_id": "run", "judge_id": "judge", "reason_metric": "metric of reasons", "metric": "metric",
    "against": "against", "annotator_group": "group", "value_of": "value of column", "position": "position",
    "variant": "prompt", "word": "word", "label": "label", "label_only": "label only", "with_reason": "with reason",
    "error_type": "error type", "at": "items",
}  # fmt: skip
_BESIDE: Final = {  # further numbers of a row
    "inside": "inside", "outside": "outside", "predicted_shift": "answers shift", "gold_shift": "gold shifts",
    "n_with": "n with", "count": "count", "label_only_right": "right before", "with_reason_right": "right after",
    "battles": "battles", "wins": "wins", "losses": "losses", "ties": "ties", "n_raters": "raters", "p_value": "p",
    "p_holm": "p Holm",
}  # fmt: skip
_NAMES: Final = ("run", "judge")


def probe(
    outputs: Annotated[list[Path], typer.Argument(help="Outputs of one or more runs.")],
    items: Items,
    config: Config = None,
    of: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this (repeat for more): {', '.join(_NEEDS)}. Default: all that the inputs allow."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="A column of the items (subgroups) or of the raters (annotator-groups).")
    ] = None,
    judgements: Annotated[Path | None, typer.Option(help="Judgements of the reasons, single or in pairs.")] = None,
    judge_model: Annotated[
        list[str] | None,
        typer.Option("--judge-model", help="A judge that is a model, never counted as a person (repeat for more)."),
    ] = None,
    split: Split = None,
    map_labels: Map = None,
    file_format: Format = None,
    by_position: ByPosition = False,
    method: Method = None,
    confidence: Confidence = 0.95,
    n_boot: Draws = 2000,
    seed: Seed = 0,
    separator: Separator = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also pairs of runs told apart at given numbers of items, judges by run.")
    ] = False,
    json: Json = False,
) -> None:
    """Look behind the scores: order of options, prompts, shortcuts, parts of the items, groups of people, judges.

    Example: dfar probe demo/runs/label-only.jsonl demo/runs/with-reasons.jsonl --items demo/items --of with-reason
    """
    from dfar_toolkit.journeys.one_config import items_of
    from dfar_toolkit.journeys.probes import probe_files

    _check(of, by=by, judgements=judgements, judge_model=judge_model)
    renamed = parsed_label_map(map_labels)
    found = probe_files(
        outputs, items=items_of(items, config), of=of, judgements=judgements, judge_models=judge_model or (), by=by,
        split=split,
        label_map=renamed, reading=reading_options(file_format, by_position, method, None),
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator, said=say,
    )  # fmt: skip
    for name, why in found.left_out.items():
        say(f"left out {name}: {why}")
    if json:
        print_json(found.rows())
        return
    hidden = sum(_print_table(table, percent(confidence), everything) for table in found.tables)
    if hidden:
        say(f"left out of these tables: {hidden} further rows (--all or --json)")


def _check(
    of: list[str] | None, *, by: str | None, judgements: Path | None, judge_model: list[str] | None
) -> None:  # fmt: skip
    """Stop with exit 2 at an unknown probe, or one asked for without what it needs."""
    given = {"--by": by is not None, "--judgements": judgements is not None}
    for name in of or ():
        if name not in _NEEDS:
            usage(f"--of must be among {', '.join(_NEEDS)}, found {name!r}")
        needed = _NEEDS[name]
        if needed and not given[needed.split()[0]]:
            usage(f"--of {name} needs {needed}")
    if judge_model and judgements is None:
        usage("--judge-model is about judgements; give --judgements FILE")


def _print_table(table: ProbeTable, coverage: str, everything: bool) -> int:
    """Print a table; returns how many rows were left out."""
    import polars as pl

    rows = table.rows
    if not everything and "at" in rows.columns:
        rows = rows.filter(pl.col("at").is_null())
    if not everything and {"judge_id", "error_type", "run_id"} <= set(rows.columns):
        rows = rows.filter((pl.col("run_id") == "") | pl.col("metric").is_in(["judge_excess_bad", "error_share"]))
    about = [name for name in _ABOUT if name in rows.columns]
    beside = [name for name in _BESIDE if name in rows.columns]
    cells = [
        [*(_cell(row[name]) for name in about), number(row["value"]), interval(row.get("low"), row.get("high")),
         row["n"], *(_p(row[name]) if name.startswith("p_") else number(row[name]) for name in beside), row["note"]]
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    header = [*(_ABOUT[name] for name in about), "value", f"{coverage} interval", "n",
              *(_BESIDE[name] for name in beside), "notes"]  # fmt: skip
    print_noted(header, cells, title=table.title, about=_NAMES)
    return table.rows.height - rows.height


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else ""
