"""Commands that turn tables into numbers: agreement, score, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dfar_toolkit.cli.printing import interval, number, one_separator, percent, print_json, print_table, say, usage

if TYPE_CHECKING:
    import polars as pl

_DEFAULT: Final = ("percent_agreement", "krippendorff_alpha", "gwet_ac1")  # what a table shows unasked
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


def agreement(
    ratings: Annotated[Path, typer.Argument(help="An items folder, or a long table with one row per rating.")],
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item_id",
    rater: Annotated[str, typer.Option(help="Column of the annotator.")] = "annotator_id",
    value: Annotated[str, typer.Option(help="Column of the value given.")] = "value",
    group: Annotated[str | None, typer.Option(help="Column of the group that is resampled together.")] = None,
    kind: Annotated[str, typer.Option(help="For a table: nominal, ordinal, interval or ratio.")] = "nominal",
    order: Annotated[str | None, typer.Option(help="For ordinal words: their order, low,middle,high.")] = None,
    question: Annotated[str | None, typer.Option(help="Only this question.")] = None,
    by: Annotated[str | None, typer.Option(help="A column: statistics for each of its values.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole family of coefficients.")] = False,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Alpha again by the krippendorff package.")
    ] = False,
    confidence: Confidence = 0.95,
    n_boot: Draws = 2000,
    seed: Seed = 0,
    separator: Separator = None,
    json: Json = False,
) -> None:
    """Compute how far annotators agree, with intervals over groups.

    Example: dfar agreement demo/items --by split
    """
    from dfar_toolkit.journeys.agreement import agreement_of_folder, agreement_of_table, second_opinion

    named = order.split(",") if order else None
    if named and (len(set(named)) < len(named) or "" in named):
        usage(f"--order wants every value once, found {order!r}")
    if kind not in ("nominal", "ordinal", "interval", "ratio"):
        usage(f"--kind must be nominal, ordinal, interval or ratio, found {kind!r}")
    if ratings.is_dir():
        table, checked, notes = agreement_of_folder(
            ratings, question=question, everything=everything, by=by, confidence=confidence, n_boot=n_boot, seed=seed
        )
    else:
        table, checked, notes = agreement_of_table(
            ratings, item=item, rater=rater, value=value, group=group, kind=kind, question=question, order=named,
            separator=separator, everything=everything, by=by, confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
    for note in notes:
        say(note)
    if cross_check:
        table = second_opinion(table, checked, by=by)
        gaps = table["difference"].drop_nulls().abs().to_list()
        say(f"krippendorff package: largest difference {max(gaps):.2e}" if gaps else "no alpha to cross-check")
    if json:
        print_json(table.to_dicts())
    else:
        _print_agreement(table, by=by, everything=everything, cross_check=cross_check, confidence=confidence)


def _print_agreement(
    table: pl.DataFrame, *, by: str | None, everything: bool, cross_check: bool, confidence: float
) -> None:
    """The default coefficients, or all of them; columns that say nothing here are left out."""
    import polars as pl

    if not everything:
        family = table.height
        table = table.filter(pl.col("statistic").is_in(_DEFAULT))
        if table.height < family:
            say(f"left out of this table: {family - table.height} rows, Fleiss' kappa and pairs (--all or --json)")
    beside = [c for c in ("question", by, "rater_a", "rater_b") if c and c in table.columns and _used(table[c])]
    extra = ["cross_check", "difference"] if cross_check else []
    rows = [
        [*(row[c] for c in beside), _statistic(row), row["value"], interval(row["low"], row["high"]), row["n"],
         f"{row['n_units']} {row['unit']}", *(_exact(row[c]) for c in extra), row["note"]]
        for row in table.iter_rows(named=True)
    ]  # fmt: skip
    print_table([*beside, "statistic", "value", f"{percent(confidence)} interval", "n", "over", *extra, "note"], rows)


def _used(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _statistic(row: dict[str, object]) -> str:
    return f"{row['statistic']} ({row['level']})" if row.get("level") else str(row["statistic"])


def _exact(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ""


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
