"""The command that turns ratings into numbers: agreement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast, get_args

import typer

from dfar_toolkit.cli.options import Confidence, Draws, Json, Seed, Separator
from dfar_toolkit.cli.printing import interval, percent, print_json, print_table, say, usage

if TYPE_CHECKING:
    import polars as pl

    from dfar_toolkit.agreement.duplicates import Kept

_DEFAULT: Final = ("percent_agreement", "krippendorff_alpha", "gwet_ac1", "set_alpha")  # what a table shows unasked
_KINDS: Final = ("nominal", "ordinal", "interval", "ratio", "circular", "bipolar")
_LEFT_OUT: Final = "left out: "
_WIDEST: Final = 400  # characters of a note


def agreement(
    ratings: Annotated[Path, typer.Argument(help="An items folder, or a long table with one row per rating.")],
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item_id",
    rater: Annotated[str, typer.Option(help="Column of the annotator.")] = "annotator_id",
    value: Annotated[str, typer.Option(help="Column of the value given.")] = "value",
    group: Annotated[str | None, typer.Option(help="Column of the group that is resampled together.")] = None,
    kind: Annotated[str, typer.Option(help=f"For a table: {', '.join(_KINDS)}.")] = "nominal",
    order: Annotated[str | None, typer.Option(help="For ordinal words: their order, low,middle,high.")] = None,
    question: Annotated[str | None, typer.Option(help="Only this question.")] = None,
    by: Annotated[str | None, typer.Option(help="A column: statistics for each of its values.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All statistics that apply; the rest with why not.")
    ] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Cohen's kappa of every pair of annotators.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Agreement about each value.")] = False,
    raters: Annotated[bool, typer.Option("--raters", help="Each annotator against the rest, and left out.")] = False,
    groups: Annotated[
        str | None, typer.Option(help="A column of annotators: agreement within and between its groups, with a test.")
    ] = None,
    drift: Annotated[str | None, typer.Option(help="A column of times: agreement in four windows.")] = None,
    repeats: Annotated[
        str | None, typer.Option(help="Who rated an item twice: first, last or mean is kept (default: refused).")
    ] = None,
    ci: Annotated[str, typer.Option("--interval", help="bootstrap, jackknife, analytic or none.")] = "bootstrap",
    scope: Annotated[str, typer.Option(help="Intervals over items, or items+raters.")] = "items",
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
    from dfar_toolkit.agreement.statistic import Ci, Scope
    from dfar_toolkit.journeys.agreement import agreement_of_folder, agreement_of_table, second_opinion
    from dfar_toolkit.journeys.who_and_where import Wanted

    named = order.split(",") if order else None
    if named and (len(set(named)) < len(named) or "" in named):
        usage(f"--order wants every value once, found {order!r}")
    _one_of("--kind", kind, _KINDS)
    _one_of("--interval", ci, ("bootstrap", "jackknife", "analytic", "none"))
    _one_of("--scope", scope, get_args(Scope))
    if scope == "items+raters" and ci in ("jackknife", "analytic"):
        usage("--scope items+raters has bootstrap intervals only; leave --interval out")
    keep = _repeats(repeats)
    wanted = Wanted(
        values, raters, groups, drift, None if ci == "none" else cast("Ci", ci), cast("Scope", scope), confidence,
        n_boot, seed,
    )  # fmt: skip
    listed = True if pairs else None
    if ratings.is_dir():
        names = {"--item": item != "item_id", "--rater": rater != "annotator_id", "--value": value != "value"}
        _for_tables({**names, "--group": group is not None, "--kind": kind != "nominal", "--order": order is not None})
        found = agreement_of_folder(
            ratings, question=question, everything=everything, pairs=listed, by=by, repeats=keep, wanted=wanted
        )
    else:
        found = agreement_of_table(
            ratings, item=item, rater=rater, value=value, group=group, kind=kind, question=question, order=named,
            separator=separator, everything=everything, pairs=listed, by=by, repeats=keep, wanted=wanted,
        )  # fmt: skip
    for note in found.notes:
        say(note)
    table = found.table
    if cross_check:
        table = second_opinion(table, found.rated, by=by)
        gaps = table["difference"].drop_nulls().abs().to_list()
        say(f"krippendorff package: largest difference {max(gaps):.2e}" if gaps else "no alpha to cross-check")
    if json:
        further = [{"table": name, **row} for name, frame in found.further.items() for row in frame.to_dicts()]
        print_json([*table.to_dicts(), *further])
        return
    _print_statistics(table, by=by, shown=_shown(everything, pairs), cross_check=cross_check, confidence=confidence)
    for name, frame in found.further.items():
        _print_further(name, frame, confidence)


def _for_tables(given: dict[str, bool]) -> None:
    """Refuse options that a folder answers itself."""
    if named := [option for option, is_given in given.items() if is_given]:
        usage(f"{', '.join(named)}: for a table of ratings; an items folder knows its columns, kinds and groups")


def _one_of(option: str, found: str, choices: tuple[str, ...]) -> None:
    if found not in choices:
        usage(f"{option} must be one of {', '.join(choices)}, found {found!r}")


def _repeats(found: str | None) -> Kept | None:
    if found is None:
        return None
    _one_of("--repeats", found, ("first", "last", "mean"))
    return cast("Kept", found)


def _shown(everything: bool, pairs: bool) -> tuple[str, ...] | None:
    """Names of the statistics in the table; None is all of them."""
    return None if everything else (*_DEFAULT, "cohen_kappa") if pairs else _DEFAULT


def _print_statistics(
    table: pl.DataFrame, *, by: str | None, shown: tuple[str, ...] | None, cross_check: bool, confidence: float
) -> None:
    """The chosen coefficients; columns that say nothing here are left out, and what was left out is said."""
    import polars as pl

    gone = pl.col("note").str.starts_with(_LEFT_OUT)
    absent = table.filter(gone)
    table = table.filter(~gone)
    if shown is not None:
        family = table.height
        table = table.filter(pl.col("statistic").is_in(shown))
        if table.height < family:
            left = family - table.height
            rows_of = "row" if left == 1 else "rows"
            say(f"left out of this table: {left} {rows_of} of further statistics (--all, --pairs or --json)")
    beside = [c for c in ("question", by, "rater_a", "rater_b") if c and c in table.columns and _used(table[c])]
    extra = ["cross_check", "difference"] if cross_check else []
    rows = [
        [*(row[c] for c in beside), _statistic(row), row["value"], interval(row["low"], row["high"]), row["n"],
         f"{row['n_units']} {row['unit']}{_made(row)}", *(_exact(row[c]) for c in extra), row["note"]]
        for row in table.iter_rows(named=True)
    ]  # fmt: skip
    print_table([*beside, "statistic", "value", f"{percent(confidence)} interval", "n", "over", *extra, "note"], rows)
    for row in absent.iter_rows(named=True):
        say(f"left out {_statistic(row)}: {row['note'].removeprefix(_LEFT_OUT)[:_WIDEST]}")


_TITLES: Final = {
    "values": "About each value: this value or another (Krippendorff's alpha)",
    "raters": "Each annotator against the rest: share of others who said the same, kappa, alpha without them",
    "groups": "Groups of annotators: within, between, difference; p permutes annotators",
    "drift": "Over time: share of other annotators of the item who said the same",
}
_HIDDEN: Final = ("name", "unit", "scope", "method", "confidence", "low", "high")


def _print_further(name: str, frame: pl.DataFrame, confidence: float) -> None:
    columns = [c for c in frame.columns if c not in _HIDDEN and c != "note" and _used(frame[c])]
    if "question" in columns and frame["question"].n_unique() < 2:
        columns.remove("question")
    at = columns.index("value") + 1
    header = [*columns[:at], f"{percent(confidence)} interval", *columns[at:], "note"]
    rows = [
        [*(row[c] for c in columns[:at]), interval(row["low"], row["high"]), *(row[c] for c in columns[at:]),
         row["note"]]
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    print_table(header, rows, title=_TITLES[name])


def _made(row: dict[str, object]) -> str:
    """How the interval was made, where it is none of the bootstrap over items."""
    has_one = isinstance(row["low"], float) and row["low"] == row["low"]
    return f", {row['method']}" if has_one and row["method"] != "bootstrap" else ""


def _used(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _statistic(row: dict[str, object]) -> str:
    return f"{row['statistic']} ({row['level']})" if row.get("level") else str(row["statistic"])


def _exact(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ""
