"""The command that plans judging by people: judge-plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfar_toolkit.cli.options import ByPosition, Config, Format, Json, Method, Seed, reading_options
from dfar_toolkit.cli.printing import print_json, print_table, say, usage


def judge_plan(
    outputs: Annotated[list[Path] | None, typer.Argument(help="Outputs files with reasons.")] = None,
    items: Annotated[Path | None, typer.Option("--items", help="The items folder that the outputs are about.")] = None,
    config: Config = None,
    judges: Annotated[str | None, typer.Option(help="Ids of the judges: ann,bob,eve.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the plan, absent or empty.")] = Path("judging"),
    per_item: Annotated[int, typer.Option(min=1, help="Judges per reason outside the overlap.")] = 1,
    overlap: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the items whose reasons all judges get.")
    ] = 0.1,
    share: Annotated[float, typer.Option(min=0.001, max=1, help="Share of the items that people judge at all.")] = 1.0,
    human_per_item: Annotated[
        int | None, typer.Option(min=0, help="How many of people's own reasons on an item are judged (default: all).")
    ] = None,
    question: Annotated[
        str, typer.Option(help="What judges are asked.")
    ] = "Is this a reason that a reasonable person could give for this label?",
    collect: Annotated[
        Path | None, typer.Option(help="Put the filled sheets of --out together into this judgements file (CSV).")
    ] = None,
    file_format: Format = None,
    by_position: ByPosition = False,
    method: Method = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Say who judges which reason, blind and in random order; or collect the filled sheets.

    Example: dfar judge-plan demo/runs/with-reasons.jsonl --items demo/items --judges ann,bob,eve --out judging
    """
    from dfar_toolkit.journeys.judge_sheets import collect_judgements, write_judge_plan
    from dfar_toolkit.journeys.one_config import items_of

    if collect is not None:
        if outputs or judges:
            usage("--collect takes the plan in --out alone; leave out the outputs and --judges")
        judgements, notes = collect_judgements(out, collect)
        for note in notes:
            say(note)
        print(f"{collect}: {len(judgements)} verdicts")
        return
    names = [name.strip() for name in (judges or "").split(",") if name.strip()]
    if not outputs or items is None or not names:
        usage("judge-plan wants outputs files, --items and --judges ann,bob (or --collect FILE)")
    plan = write_judge_plan(
        outputs, items=items_of(items, config), judges=names, out=out, per_item=per_item, overlap=overlap, share=share,
        human_per_item=human_per_item,
        question=question, reading=reading_options(file_format, by_position, method, None), seed=seed,
    )  # fmt: skip
    for note in plan.notes:
        say(note)
    if json:
        print_json(plan.summary.to_dicts())
        return
    rows = [[row[c] for c in plan.summary.columns] for row in plan.summary.iter_rows(named=True)]
    print_table(plan.summary.columns, rows, title=f"{plan.folder}: plan.csv, protocol.yaml and a sheet per judge")
