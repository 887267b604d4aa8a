"""The command that turns outputs into numbers: score."""

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
    RunId,
    Seed,
    Separator,
    Split,
    parsed_label_map,
    reading_options,
)
from dfar_toolkit.cli.printing import interval, number, percent, print_json, print_noted, print_table, say, usage

if TYPE_CHECKING:
    import polars as pl

    from dfar_toolkit.journeys.lewidi_scores import LewidiScored

_COUNTS: Final = ("missing_outputs", "failed_outputs", "no_gold")
_TITLES: Final = {
    "labels": "Labels", "bias": "Answers by label", "ordinal": "Ordered labels", "soft": "Distributions of votes",
    "ceiling": "Ceilings", "calibration": "Calibration", "people": "The run as one more annotator",
    "reasons": "Reasons, without a judge", "judging": "Reasons, judged",
}  # fmt: skip
_RULES: Final = ("any", "majority", "all")
_OF_RATIONALES: Final = ("plausibility", "faithfulness", "self_consistency")
_BY_SUBSET: Final = ("labels", "judging")  # parts whose leaked and clean items are shown unasked
_BESIDE: Final = ("uniform", "corpus_mean", "hard_majority", "perfect_model", "best")
_HEADLINES: Final = {
    "labels": ("accuracy", "coverage", "balanced_accuracy", "macro_f1", "matthews_correlation", "majority_baseline",
               *_COUNTS),
    "bias": ("top_answer_share", "gold_top_share", "collapse_p", "label_homogeneity_p"),
    "soft": ("soft_cross_entropy", "brier_score_unbiased", "total_variation", "entropy_correlation", "option_mass"),
    "ceiling": ("ceiling_soft_cross_entropy", "ceiling_accuracy", "ceiling_agreement", "share_of_ceiling_accuracy",
                "share_of_ceiling_soft_cross_entropy"),
    "calibration": ("human_calibration_error", "entropy_calibration_error", "ece_majority", "aurc"),
    "people": ("kappa_run", "kappa_people", "alpha_people", "alpha_with_run", "alt_test_winning_rate",
               "alt_test_advantage"),
    "reasons": ("reason_share", "reason_words", "own_label_agreement", "rouge_l_mean", "rouge_l_mean_floor",
                "rouge_l_mean_ceiling", "knowledge_f1", "copied_run_share"),
}  # fmt: skip


def score(
    outputs: Annotated[Path, typer.Argument(help="Outputs of this toolkit or of another tool, or a run folder.")],
    items: Items,
    config: Config = None,
    judgements: Annotated[Path | None, typer.Option(help="Good/Bad judgements of the reasons.")] = None,
    judge_model: Annotated[
        list[str] | None,
        typer.Option("--judge-model", help="A judge that is a model, never counted as a person (repeat for more)."),
    ] = None,
    protocol: Annotated[Path | None, typer.Option(help="How the judging was done (YAML); printed on stderr.")] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part", help=f"Compute only this part (repeat for more): {', '.join((*_TITLES, *_OF_RATIONALES))}."
        ),
    ] = None,
    marked_by: Annotated[
        list[str] | None,
        typer.Option(
            "--marked-by",
            help="Words of rationales are held against those that any, the majority or all "
            "of the people asked marked (repeat; default: majority).",
        ),
    ] = None,
    split: Split = None,
    map_labels: Map = None,
    file_format: Format = None,
    by_position: ByPosition = False,
    method: Method = None,
    run_id: RunId = None,
    confidence: Confidence = 0.95,
    n_boot: Draws = 2000,
    seed: Seed = 0,
    separator: Separator = None,
    lewidi: Annotated[
        bool, typer.Option("--lewidi", help="The official metrics of the LeWiDi shared tasks, both tasks, instead.")
    ] = False,
    submission: Annotated[
        Path | None, typer.Option(help="With --lewidi: write the submission files into this folder.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every metric, every reference, rows per label.")] = False,
    json: Json = False,
) -> None:
    """Score a model's outputs against people, for all, leaked and clean items.

    Example: dfar score demo/runs/with-reasons.jsonl --items demo/items --judgements demo/judgements.csv
    """
    import polars as pl

    from dfar_toolkit.journeys.one_config import items_of
    from dfar_toolkit.journeys.scores import score_file

    reading = reading_options(file_format, by_position, method, run_id)
    if lewidi:
        from dfar_toolkit.journeys.lewidi_scores import score_lewidi

        found = score_lewidi(
            outputs, items_of(items, config), submission_dir=submission, split=split,
            label_map=parsed_label_map(map_labels), reading=reading,
            confidence=confidence, n_boot=n_boot, seed=seed, separator=separator,
        )  # fmt: skip
        _print_lewidi(found, percent(confidence), json)
        return
    if submission is not None:
        usage("--submission is for --lewidi")
    if judgements is None and (protocol is not None or judge_model):
        usage(
            f"{'--protocol' if protocol is not None else '--judge-model'} is about judgements; give --judgements FILE"
        )
    known = (*_TITLES, *_OF_RATIONALES)
    unknown = [p for p in part or () if p not in known]
    if unknown:
        usage(f"--part must be among {', '.join(known)}, found {unknown[0]!r}")
    rules = tuple(dict.fromkeys(marked_by or ("majority",)))
    if lost := [rule for rule in rules if rule not in _RULES]:
        usage(f"--marked-by must be among {', '.join(_RULES)}, found {lost[0]!r}")
    renamed = parsed_label_map(map_labels)
    scored = score_file(
        outputs, items=items_of(items, config), judgements=judgements, judge_models=judge_model or (), parts=part,
        split=split,
        label_map=renamed, reading=reading, marked_by=rules,  # type: ignore[arg-type]
        confidence=confidence, n_boot=n_boot, seed=seed, separator=separator, said=say,
    )  # fmt: skip
    if judgements is not None:
        own = judgements / "protocol.yaml"
        _say_protocol(own if protocol is None and own.is_file() else protocol)
    if json:
        tests = scored.differences.with_columns(part=pl.lit("rationale_differences")).to_dicts()
        print_json([*scored.table.to_dicts(), *scored.confusion_rows(), *scored.rationales.to_dicts(), *tests])
        return
    left_out = _print_parts(scored.table, everything, percent(confidence))
    for title, header, cells in scored.confusion_tables() if part is None or "labels" in part else ():
        print_table(header, cells, title=title)
    if len(scored.rationales):
        from dfar_toolkit.cli.printing_rationales import print_rationales

        left_out += print_rationales(
            scored.rationales, scored.differences, percent(confidence), everything=everything
        )  # fmt: skip
    if part is not None and not len(scored.table) and not len(scored.rationales):
        say(f"nothing to score in {', '.join(part)}: these outputs have no rows of that kind for these items")
    if left_out:
        say(f"left out of these tables: {left_out} further metrics and rows per label (--all or --json)")


def _print_lewidi(found: LewidiScored, coverage: str, json: bool) -> None:
    for note in found.notes:
        say(note)
    if json:
        print_json(found.table.to_dicts())
    else:
        rows = [
            [r["split"], r["run_id"], r["task"], r["metric"], r["predictor"], number(r["value"]),
             interval(r["low"], r["high"]), r["n"], r["note"]]
            for r in found.table.iter_rows(named=True)
        ]  # fmt: skip
        print_table(["split", "run", "task", "metric", "predictor", "value", f"{coverage} interval", "n", "note"], rows)
    for path in found.submission:
        say(f"wrote {path}")


def _print_parts(table: pl.DataFrame, everything: bool, coverage: str) -> int:
    """One table per part; returns how many rows were left out."""
    import polars as pl

    shown = 0
    for name, title in _TITLES.items():
        rows = table.filter(part=name)
        if not everything:
            headlines = _HEADLINES.get(name)
            kept_rows = pl.col("label").is_null() if headlines is None else pl.col("metric").is_in(list(headlines))
            nothing = pl.col("metric").is_in(list(_COUNTS)) & (pl.col("value") == 0)
            rows = rows.filter(kept_rows, ~nothing)
            if name not in _BY_SUBSET:
                rows = rows.filter(subset="all")
        if not len(rows):
            continue
        shown += len(rows)
        if name == "soft" and not everything:
            best = table.filter(part="ceiling", predictor="best")
            best = best.with_columns(pl.col("metric").str.strip_prefix("ceiling_"))
            _print_beside(pl.concat([rows, best]), title, coverage)
            continue
        cells = [
            [row["run_id"], row["subset"], row["metric"], row["label"] or "", row["predictor"] or "", _value(row),
             interval(row["low"], row["high"]), row["n"], _over(row), row["note"]]
            for row in rows.iter_rows(named=True)
        ]  # fmt: skip
        header = ["run", "subset", "metric", "label", "beside", "value", f"{coverage} interval", "n", "over", "notes"]
        print_noted(header, cells, title=title, about=("run", "subset"))
    return table.height - shown


def _print_beside(rows: pl.DataFrame, title: str, coverage: str) -> None:
    """One line per metric of a run, with what stands beside it in columns."""
    import polars as pl

    lines = []
    for row in rows.filter(pl.col("predictor").is_null()).iter_rows(named=True):
        same = rows.filter(run_id=row["run_id"], subset=row["subset"], metric=row["metric"])
        values = {str(r["predictor"]): r["value"] for r in same.iter_rows(named=True)}
        beside = [number(values[p]) if p in values else "" for p in _BESIDE]
        lines.append([row["run_id"], row["subset"], row["metric"], number(row["value"]),
                      interval(row["low"], row["high"]), *beside, row["n"], row["note"]])  # fmt: skip
    names = [p.replace("_", " ") for p in _BESIDE]
    header = ["run", "subset", "metric", "value", f"{coverage} interval", *names, "n", "notes"]
    print_noted(
        header,
        lines,
        title=f"{title}: beside other predictors, and BEST of all items with votes",
        about=("run", "subset"),
    )


def _over(row: dict[str, object]) -> str:
    """What an interval is over, where there is one."""
    method = str(row["method"]).removesuffix(" (effective n)")
    return f"{row['n_units']} {row['unit']}, {method}" if interval(row["low"], row["high"]) else ""


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
