"""The command that studies rationales before and after fine-tuning: rationale-study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfar_toolkit.cli.options import Json
from dfar_toolkit.cli.printing import percent, print_json, say


def rationale_study(
    plan: Annotated[Path, typer.Argument(help="The YAML file: model, items, methods, and how it is fine-tuned.")],
    out: Annotated[Path, typer.Option("--out", help="The folder: absent, empty, or of this study.")],
    json: Json = False,
) -> None:
    """Explain a model, fine-tune it, explain it again, and set alignment, flips and accuracy side by side.

    Example: dfar rationale-study study.yaml --out runs/study
    """
    import polars as pl

    from dfar_toolkit.cli.experimenting import in_quarters
    from dfar_toolkit.cli.printing_rationales import print_rationales
    from dfar_toolkit.journeys.rationale_study import rationale_study as run

    try:
        found = run(plan, out, tell=say, inner=in_quarters)
    except KeyboardInterrupt:
        say("stopped; what is done is kept, and the same command goes on from there")
        raise
    if json:
        tables = {"scores": found.table, "methods": found.differences, "before_after": found.before_after}
        print_json([{"table": name, **row} for name, frame in tables.items() for row in frame.iter_rows(named=True)])
        return
    primary = found.differences.filter(pl.col("metric") == "token_f1_above_chance")
    left = print_rationales(found.table, primary, percent(found.confidence), everything=False)
    for path in found.files:
        say(f"wrote {path}")
    say(f"left out of these tables: {left} further numbers (table.parquet); next: less {out / 'study.md'}")
