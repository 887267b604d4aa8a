"""The command that runs a whole comparison of ways of training: experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dfar_toolkit.cli.options import Json
from dfar_toolkit.cli.printing import interval, number, print_json, print_noted, print_table, say


def experiment(
    plan: Annotated[Path, typer.Argument(help="The YAML file: model, items, arms, seeds, evaluation sets.")],
    out: Annotated[Path, typer.Option("--out", help="The folder: absent, empty, or of an experiment.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the steps and what is done; take none.")
    ] = False,
    json: Json = False,
) -> None:
    """Train, predict, score, compare and report over arms, seeds and evaluation sets; goes on where it was stopped.

    Example: dfar experiment lr.yaml --out runs/lr
    """
    from dfar_toolkit.journeys.experiment import plan_experiment, run_experiment

    if dry_run:
        planned = plan_experiment(plan, out)
        for note in planned.notes:
            say(note)
        if json:
            print_json([{"step": name, "state": state} for name, state in planned.steps])
            return
        print_table(["step", "state"], planned.steps, title=f"{len(planned.steps)} steps")
        return
    try:
        found = run_experiment(plan, out, tell=say, inner=in_quarters)
    except KeyboardInterrupt:
        say("stopped; what is done is kept, and the same command goes on from there")
        raise
    tables = {"scores": found.tables.scores, "differences": found.tables.differences}
    if json:
        print_json([{"table": name, **row} for name, frame in tables.items() for row in frame.iter_rows(named=True)])
        return
    rows = [
        [r["set"], r["subset"], r["asking"], r["arm"], r["n_seeds"], number(r["value"]), number(r["sd"]),
         interval(r["low"], r["high"]), r["n"], r["scope"], r["note"]]
        for r in tables["scores"].filter(metric="accuracy").iter_rows(named=True)
    ]  # fmt: skip
    header = ["set", "subset", "asked", "arm", "seeds", "accuracy", "sd", "interval", "n", "over", "notes"]
    print_noted(header, rows, title="Accuracy", about=("subset", "over"))
    rows = [
        [r["set"], f"{r['arm']} - {r['against']}", r["metric"], number(r["value"]), interval(r["low"], r["high"]),
         r["n_seeds"], r["scope"], _p(r["p_value"]), _p(r["p_holm"]), r["note"]]
        for r in tables["differences"].filter(family="primary").iter_rows(named=True)
    ]  # fmt: skip
    if rows:
        header = ["set", "difference", "metric", "value", "interval", "seeds", "over", "p", "p Holm", "notes"]
        print_noted(header, rows, title="Differences", about=("metric", "over"))
    for path in found.files:
        say(f"wrote {path}")
    say(f"{found.taken} steps were taken; next: less {out / 'table.md'}")


def in_quarters(name: str) -> Callable[[Any], None]:
    """A line at each quarter of a step; the first of all is its name."""
    quarter = 0

    def line(state: Any) -> None:
        nonlocal quarter
        now = 4 * state.done // max(state.total, 1)
        if now > quarter:
            quarter = now
            say(f"{name}: {state.done} of {state.total}")

    return line


def _p(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else ""
