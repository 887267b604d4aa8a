"""Commands that turn outputs into numbers: score, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from dfar_toolkit.cli.printing import interval, number, one_separator, percent, print_json, print_table, say, usage

_COUNTS: Final = ("missing_outputs", "failed_outputs", "no_gold")

Json = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.9999, help="Coverage of the intervals.")]
Draws = Annotated[int, typer.Option("--n-boot", min=100, help="Bootstrap draws.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draws; same seed, same interval.")]
Items = Annotated[Path, typer.Option("--items", help="The items folder that the outputs are about.")]
Split = Annotated[list[str] | None, typer.Option("--split", help="Score these splits (default: those in the file).")]
Map = Annotated[str | None, typer.Option("--map", help="Rename the model's labels: wrong=unethical,fine=ethical.")]
Separator = Annotated[
    str | None, typer.Option(help="Separator of CSV files where it is not a comma.", callback=one_separator)
]


def score(
    outputs: Annotated[Path, typer.Argument(help="An outputs file (JSONL, CSV, Parquet) or a run folder.")],
    items: Items,
    judgements: Annotated[Path | None, typer.Option(help="Good/Bad judgements of the reasons.")] = None,
    protocol: Annotated[Path | None, typer.Option(help="How the judging was done (YAML); printed on stderr.")] = None,
    split: Split = None,
    map_labels: Map = None,
    confidence: Confidence = 0.95,
    n_boot: Draws = 2000,
    seed: Seed = 0,
    separator: Separator = None,
    everything: Annotated[bool, typer.Option("--all", help="Per-class rows and label shares too.")] = False,
    json: Json = False,
) -> None:
    """Score a model's outputs against people, for all, leaked and clean items.

    Example: dfar score demo/runs/with-reasons.jsonl --items demo/items --judgements demo/judgements.csv
    """
    from dfar_toolkit.journeys.scores import score_file

    scored = score_file(
        outputs, items=items, judgements=judgements, split=split, label_map=parsed_label_map(map_labels),
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator,
    )  # fmt: skip
    table = scored.table
    if judgements is not None:
        _say_protocol(protocol)
    if json:
        print_json([*table.to_dicts(), *scored.confusion_rows()])
        return
    shown = table if everything else table.filter(table["label"].is_null())
    rows = [
        [row["run_id"], row["subset"], row["metric"], row["label"] or "", _value(row),
         interval(row["low"], row["high"]), row["n"], _over(row), row["note"]]
        for row in shown.iter_rows(named=True)
    ]  # fmt: skip
    print_table(
        ["run", "subset", "metric", "label", "value", f"{percent(confidence)} interval", "n", "over", "note"], rows
    )
    for title, header, cells in scored.confusion_tables():
        print_table(header, cells, title=title)
    if shown.height < table.height:
        say(f"left out of this table: {table.height - shown.height} rows per label and label shares (--all or --json)")


def compare(
    run_a: Annotated[Path, typer.Argument(help="Outputs of the first run.")],
    run_b: Annotated[Path, typer.Argument(help="Outputs of the second run.")],
    items: Items,
    judgements: Annotated[Path | None, typer.Option(help="Good/Bad judgements of the reasons.")] = None,
    split: Split = None,
    map_labels: Map = None,
    confidence: Confidence = 0.95,
    n_boot: Draws = 2000,
    seed: Seed = 0,
    separator: Separator = None,
    json: Json = False,
) -> None:
    """Compare two runs on the same items: paired difference, its interval, a test, the 2x2 of right and wrong.

    Example: dfar compare demo/runs/label-only.jsonl demo/runs/with-reasons.jsonl --items demo/items
    """
    import polars as pl

    from dfar_toolkit.journeys.scores import compare_runs

    result = compare_runs(
        run_a, run_b, items=items, judgements=judgements, split=split, label_map=parsed_label_map(map_labels),
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator,
    )  # fmt: skip
    if json:
        cells = result.right_wrong.rename({"count": "value"}).with_columns(pl.lit("right_wrong").alias("metric"))
        print_json([*result.differences.to_dicts(), *cells.to_dicts()])
        return
    rows = [
        [row["subset"], row["metric"], row["value"], interval(row["low"], row["high"]), row["n"],
         _over(row), "" if row["p_value"] is None else f"{row['p_value']:.3g}", row["test"] or "", row["note"]]
        for row in result.differences.iter_rows(named=True)
    ]  # fmt: skip
    print_table(
        ["subset", "difference (B - A)", "value", f"{percent(confidence)} interval", "n", "over", "p", "test", "note"],
        rows,
    )
    verdict = {True: "right", False: "wrong"}
    counted = [[subset, verdict[a], verdict[b], n] for subset, a, b, n in result.right_wrong.rows()]
    print_table(["subset", result.run_a, result.run_b, "items"], counted, title="Right and wrong")


def _over(row: dict[str, object]) -> str:
    """What an interval is over, where there is one."""
    return f"{row['n_units']} {row['unit']}, {row['method']}" if interval(row["low"], row["high"]) else ""


def _value(row: dict[str, object]) -> str:
    """A score; counts are whole numbers."""
    value = row["value"]
    counted = row["metric"] in _COUNTS and isinstance(value, float)
    return f"{value:.0f}" if counted else number(value)


def _say_protocol(protocol: Path | None) -> None:
    from dfar_toolkit.files.protocol import read_protocol

    if protocol is None:
        say("no judging protocol was given (--protocol FILE): say with every rate how the reasons were judged")
    for name, text in read_protocol(protocol).items():
        say(f"judging protocol: {name}: {', '.join(map(str, text)) if isinstance(text, list) else text}")


def parsed_label_map(text: str | None) -> dict[str, str] | None:
    """Pairs of ``--map``, given label to option; stops with exit 2 where they cannot be read."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not pairs or any(not (a and sign and b) for a, sign, b in pairs):
        usage(f"--map wants pairs such as wrong=unethical,fine=ethical, found {text!r}")
    named: dict[str, str] = {}
    for given, _, option in pairs:
        if named.setdefault(given, option) != option:
            usage(f"--map gives two names for {given!r}")
    return named
