"""Commands that show: demo, report, view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfar_toolkit.cli.options import ByPosition, Config, Map, Method, Separator
from dfar_toolkit.cli.printing import print_table, say, usage

Judgements = Annotated[Path | None, typer.Option(help="Good/Bad judgements of the reasons.")]


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write: absent, empty, or an earlier demo.")] = Path(
        "demo"
    ),
) -> None:
    """Walk the whole path on an embedded example: build, audit, agreement, scores, comparison, report.

    Example: dfar demo --out demo
    """
    from dfar_toolkit.journeys.demo import run_demo

    result = run_demo(out, progress=lambda step: say(f"{step} ..."))
    for title, header, rows in result.tables:
        print_table(header, rows, title=title)
    print("Go on with:")
    for command, what in result.next_commands:
        print(f"\n  # {what}\n  {command}")


def report(
    items: Annotated[Path, typer.Option("--items", help="An items folder.")],
    config: Config = None,
    outputs: Annotated[list[Path] | None, typer.Argument(help="Outputs files or run folders.")] = None,
    judgements: Judgements = None,
    protocol: Annotated[Path | None, typer.Option(help="The judging protocol (YAML), printed with the rates.")] = None,
    judge_model: Annotated[
        list[str] | None, typer.Option("--judge-model", help="A judge that is a model: never counted as a person.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The HTML page; .md and .json are written beside it.")] = Path(
        "report.html"
    ),
    split: Annotated[list[str] | None, typer.Option("--split", help="Score these splits only.")] = None,
    map_labels: Annotated[
        list[str] | None, typer.Option("--map", help="Rename the models' labels: wrong=unethical.")
    ] = None,
    separator: Separator = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Coverage of the scores' intervals.")] = 0.95,
    n_boot: Annotated[int, typer.Option("--n-boot", min=100, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Write one self-contained HTML page with plots, and the same as Markdown and JSON.

    Example: dfar report demo/runs/label-only.jsonl demo/runs/with-reasons.jsonl --items demo/items
    """
    from dfar_toolkit.cli.options import parsed_label_map
    from dfar_toolkit.journeys.one_config import items_of
    from dfar_toolkit.journeys.report import report_on

    if out.suffix != ".html":
        usage(f"--out must end in .html, found {out.name}")
    written = report_on(
        items_of(items, config), outputs or [], judgements=judgements, protocol=protocol,
        judge_models=judge_model or (), out=out, split=split,
        label_map=parsed_label_map(map_labels), separator=separator, confidence=confidence, n_boot=n_boot, seed=seed,
    )  # fmt: skip
    say("wrote " + ", ".join(map(str, written)))


def view(
    items: Annotated[str, typer.Argument(help="An items folder, or hf://datasets/ORG/NAME@REVISION.")],
    outputs: Annotated[list[Path] | None, typer.Argument(help="Outputs files or run folders.")] = None,
    judgements: Annotated[
        Path | None, typer.Option(help="Good/Bad judgements of the reasons, or the folder of a judging round.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            metavar="ROUND",
            help="Judge in this folder, which holds a protocol.yaml: whoever comes judges and sees nothing else; the "
            "coordinator has an address of its own.",
        ),
    ] = None,
    marks: Annotated[Path | None, typer.Option(help="Folder for flags, comments and saved slices.")] = None,
    map_labels: Map = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Match outputs with items of these splits (default: of any).")
    ] = None,
    by_position: ByPosition = False,
    method: Method = None,
    separator: Separator = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Where others can connect a token is asked of them: a random one, or that of "
            "the variable DFAR_VIEWER_TOKEN."
        ),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A further name that browsers know the viewer by.")
    ] = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port to listen on.")] = 8501,
) -> None:
    """Browse items, disagreements and errors, and judge reasons.

    Example: dfar view demo/items demo/runs/with-reasons.jsonl
    """
    from dfar_toolkit.cli.options import parsed_label_map
    from dfar_toolkit.journeys.how_read import how_read
    from dfar_toolkit.journeys.viewer import start_viewer

    how = how_read(parsed_label_map(map_labels), split, separator, method, by_position)
    start_viewer(
        items, outputs or [], judgements=judgements, judge=judge, marks=marks, how=how, host=host,
        allow_hosts=allow_host or (), port=port,
    )  # fmt: skip
