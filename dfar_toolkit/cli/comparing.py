"""The command that sets runs against each other: compare."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from dfar_toolkit.cli.printing import (
    interval,
    number,
    one_line,
    percent,
    print_json,
    print_noted,
    print_table,
    say,
    usage,
)

if TYPE_CHECKING:
    from dfar_toolkit.journeys.comparing import ComparedFiles


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Outputs of two or more runs.")],
    items: Items,
    config: Config = None,
    judgements: Annotated[Path | None, typer.Option(help="Good/Bad judgements of the reasons.")] = None,
    primary: Annotated[
        str,
        typer.Option(
            help="The metric declared beforehand, such as macro_f1 or soft_cross_entropy: all pairs on it are "
            "the family of tests."
        ),
    ] = "accuracy",
    margin: Annotated[
        float | None, typer.Option(min=1e-9, help="Differences below it do not matter: tests that runs are alike.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="A column of the items: compare on each of its values too, all of them one family of tests."),
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
    everything: Annotated[bool, typer.Option("--all", help="Differences of every metric.")] = False,
    json: Json = False,
) -> None:
    """Compare runs on the same items: paired differences of every metric, tests, ranks, right and wrong by item.

    Example: dfar compare demo/runs/label-only.jsonl demo/runs/with-reasons.jsonl --items demo/items
    """
    from dfar_toolkit.journeys.comparing import compare_files
    from dfar_toolkit.journeys.one_config import items_of

    if margin is not None and not isfinite(margin):
        usage(f"--margin wants a finite number, found {margin}")
    renamed = parsed_label_map(map_labels)
    found = compare_files(
        runs, items=items_of(items, config), judgements=judgements, primary=primary, margin=margin, by=by, split=split,
        label_map=renamed, reading=reading_options(file_format, by_position, method, None),
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator, said=say,
    )  # fmt: skip
    if len(runs) < 2:
        say(f"one file was given ({runs[0]}): the runs in it are compared")
    if json:
        print_json(_json_rows(found))
        return
    left_out = _print_differences(found, percent(confidence), everything)
    _print_ranks(found, percent(confidence))
    verdict = {True: "right", False: "wrong"}
    for (run_a, run_b), part in found.right_wrong.group_by("run_a", "run_b", maintain_order=True):
        counted = [[row["subset"], verdict[row["a_right"]], verdict[row["b_right"]], row["count"]]
                   for row in part.iter_rows(named=True)]  # fmt: skip
        print_table(["subset", one_line(str(run_a)), one_line(str(run_b)), "items"], counted, title="Right and wrong")
    if left_out:
        say(f"left out of the differences: {left_out} rows of further metrics (--all or --json)")


def _json_rows(found: ComparedFiles) -> list[dict[str, object]]:
    import polars as pl

    cells = found.right_wrong.rename({"count": "value"}).with_columns(metric=pl.lit("right_wrong"))
    ranks = found.runs.ranks.with_columns(metric=pl.lit("rank"))
    detectable = found.runs.detectable.with_columns(metric="minimum_detectable_" + pl.col("metric"))
    outcomes = found.runs.outcomes.with_columns(metric=pl.lit("outcome"))
    tables = (found.runs.differences, found.of_pairs, detectable, ranks, outcomes, cells)
    return [row for table in tables for row in table.to_dicts()]


def _print_differences(found: ComparedFiles, coverage: str, everything: bool) -> int:
    """Differences, and what could be detected; returns how many rows were left out."""
    import polars as pl

    from dfar_toolkit.journeys.comparing import HEADLINES

    whole = pl.concat([found.runs.differences, found.of_pairs], how="diagonal")
    chosen = pl.col("metric").is_in(list(HEADLINES)) | (pl.col("family") == "primary") | pl.lit(everything)
    table = whole.filter(chosen | pl.col("metric").str.starts_with("mar_"))
    rows = [
        [f"{row['run_b']} - {row['run_a']}", row["subset"], row["metric"], number(row["value"]),
         interval(row["low"], row["high"]), row["n"], _p(row["p_value"]), _p(row["p_holm"]),
         _simultaneous(row), _p(row["p_equivalent"]), row["test"] or "", row["note"]]
        for row in table.iter_rows(named=True)
    ]  # fmt: skip
    header = ["difference", "subset", "metric", "value", f"{coverage} interval", "n", "p", "p Holm", "all together",
              "p alike", "test", "notes"]  # fmt: skip
    print_noted(header, rows, title="Differences", about=("difference", "subset"))
    shown = [[r["subset"], r["metric"], f"{r['run_b']} - {r['run_a']}", number(r["value"]), r["note"]]
             for r in found.runs.detectable.iter_rows(named=True)]  # fmt: skip
    header = ["subset", "metric", "pair", "smallest difference", "notes"]
    print_noted(header, shown, title="What could be detected", about=("subset", "metric"))
    return whole.height - table.height


def _print_ranks(found: ComparedFiles, coverage: str) -> None:
    rows = [
        [r["subset"], r["run_id"], number(r["value"]), number(r["rank"], digits=1),
         interval(r["rank_low"], r["rank_high"]), number(r["share_best"]), number(r["kendall_tau"])]
        for r in found.runs.ranks.iter_rows(named=True)
    ]  # fmt: skip
    header = ["subset", "run", "primary metric", "rank", f"{coverage} of resamples", "best in", "order kept (tau)"]
    print_table(header, rows, title="Ranks")


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else ""


def _simultaneous(row: dict[str, object]) -> str:
    return interval(row["low_simultaneous"], row["high_simultaneous"])
