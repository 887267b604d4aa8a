"""The command that writes items for training libraries and evaluation harnesses: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from dfar_toolkit.cli.printing import print_json, print_table, say, usage


def export(
    folder: Annotated[Path, typer.Argument(help="An items folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write: absent, empty, or an earlier export.")],
    kind: Annotated[
        str, typer.Option("--format", help="sft, dpo, kto, soft (to train), lm-eval or inspect (to evaluate).")
    ] = "sft",
    style: Annotated[
        str | None,
        typer.Option(
            help="How to ask: label, label_and_reason, dfar-llama2, dfar-llama2-label, dfar-mistral or "
            "dfar-mistral-label (default: label; for judged reasons label_and_reason)."
        ),
    ] = None,
    layout: Annotated[str, typer.Option(help="messages, or prompt-completion for plain texts.")] = "messages",
    per: Annotated[str, typer.Option(help="sft with reasons: a row per human reason, or per item.")] = "reason",
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Export these splits (default: all; to evaluate, all but train)."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option("--leave-out", help="leaked: items that stand in an earlier split.")
    ] = None,
    without_leaks: Annotated[
        bool, typer.Option("--without-leaks", help="Leave out training rows whose twin stands in a later split.")
    ] = False,
    judgements: Annotated[
        Path | None, typer.Option("--judgements", help="kto, dpo: Good/Bad verdicts on reasons.")
    ] = None,
    outputs: Annotated[
        list[Path] | None, typer.Option("--outputs", help="kto, dpo: outputs file of a judged run; again for each.")
    ] = None,
    pairs: Annotated[
        str, typer.Option("--from", help="dpo: pairs from judgements, or from labels (people's against each other).")
    ] = "judgements",
    most: Annotated[int | None, typer.Option("--pairs-per-item", min=1, help="dpo: pairs per item at most.")] = None,
    same_label: Annotated[bool, typer.Option("--same-label", help="dpo: only pairs that say the same label.")] = False,
    judge_model: Annotated[
        list[str] | None, typer.Option("--judge-model", help="A judge that is a model, never counted as a person.")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="The config, where the items have several.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """Write items, labels, reasons or verdicts as training files or as a task of an evaluation harness.

    Example: dfar export demo/items --format sft --style label_and_reason --out out/sft
    """
    from dfar_toolkit.corpus.exports.training_rows import LAYOUTS, Layout, Per
    from dfar_toolkit.journeys.exporting import KINDS, ExportOptions, Kind
    from dfar_toolkit.journeys.exporting import export as write_items
    from dfar_toolkit.prompts.render import STYLES

    _one_of("--format", kind, KINDS)
    _one_of("--layout", layout, LAYOUTS)
    _one_of("--per", per, get_args(Per))
    _one_of("--from", pairs, ("judgements", "labels"))
    if style is not None:
        _one_of("--style", style, list(STYLES))
    for name in leave_out or ():
        _one_of("--leave-out", name, ("leaked",))
    judged = kind == "kto" or (kind == "dpo" and pairs == "judgements")
    for option, given, fits, what in (
        ("--judgements", judgements is not None, judged, "kto, and dpo from judgements"),
        ("--outputs", bool(outputs), judged, "kto, and dpo from judgements"),
        ("--judge-model", bool(judge_model), judged, "kto, and dpo from judgements"),
        ("--from labels", pairs == "labels", kind == "dpo", "dpo"),
        ("--pairs-per-item", most is not None, kind == "dpo" and judged, "dpo from judgements"),
        ("--same-label", same_label, kind == "dpo" and judged, "dpo from judgements"),
        ("--per item", per == "item", kind == "sft", "sft"),
        ("--layout", layout != "messages", kind not in ("lm-eval", "inspect"), "training files"),
        ("--without-leaks", without_leaks, kind not in ("lm-eval", "inspect"), "training files; --leave-out leaked"),
    ):
        if given and not fits:
            usage(f"{option} does not go with --format {kind}{_from(kind, pairs)}: it is for {what}")
    if judged and judgements is None:
        other = ", or --from labels for pairs of labels" if kind == "dpo" else ""
        usage(f"--format {kind} is made from judges' verdicts on reasons: give --judgements FILE{other}")
    options = ExportOptions(
        style=style, layout=cast("Layout", layout), per=cast("Per", per), split=split,
        leave_out_leaked=bool(leave_out), without_leaks=without_leaks,
        pairs="labels" if pairs == "labels" else "judgements", most=most, same_label=same_label,
        judge_models=judge_model or (),
    )  # fmt: skip
    written = write_items(
        folder, out, cast("Kind", kind), options=options, config=config, judgements=judgements, outputs=outputs or (),
        said=say,
    )  # fmt: skip
    for note in written.notes:
        say(f"note: {note}")
    rows = [{"split": name, "rows": n, "left_out": ""} for name, n in written.rows.items()]
    rows += [{"split": name, "rows": n, "left_out": why} for name, why, n in written.left_out.iter_rows()]
    if json:
        print_json(rows)
        return
    print_table(["split", "rows", "left out because"], [list(row.values()) for row in rows], title=f"{out}: {kind}")


def _from(kind: str, pairs: str) -> str:
    return f" --from {pairs}" if kind == "dpo" else ""


def _one_of(option: str, found: str, known: list[str] | tuple[str, ...]) -> None:
    if found not in known:
        usage(f"{option} must be one of {', '.join(known)}, found {found!r}")
