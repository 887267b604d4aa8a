"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfar_toolkit.cli.printing import usage

if TYPE_CHECKING:
    from dfar_toolkit.journeys.outputs import OutputsOptions


def one_separator(text: str | None) -> str | None:
    """Check ``--separator``; stops with exit 2 where it is no single character."""
    from dfar_toolkit.errors import TableError
    from dfar_toolkit.journeys.how_read import one_sign

    try:
        return one_sign(text)
    except TableError as error:
        usage(str(error))


Json = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.9999, help="Coverage of the intervals.")]
Draws = Annotated[int, typer.Option("--n-boot", min=100, help="Bootstrap draws.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the draws; same seed, same interval.")]
Items = Annotated[Path, typer.Option("--items", help="The items folder that the outputs are about.")]
Config = Annotated[
    str | None, typer.Option("--config", help="The config of the items that is meant, where they have several.")
]
Split = Annotated[list[str] | None, typer.Option("--split", help="Score these splits (default: those in the file).")]
Map = Annotated[
    list[str] | None, typer.Option("--map", help="Rename the model's labels: wrong=unethical,fine=ethical.")
]
Separator = Annotated[
    str | None, typer.Option(help="Separator of CSV files where it is not a comma.", callback=one_separator)
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Read as lm_eval, inspect_ai, lighteval, openai_batch, vllm, helm, hf_trainer, llama_factory, plain or "
        "dfar (default: by the content).",
    ),
]
ByPosition = Annotated[
    bool, typer.Option("--by-position", help="Match rows that have no key and no text with the items in their order.")
]
Method = Annotated[str | None, typer.Option(help="The filter or scorer to read, where a file has several.")]
RunId = Annotated[str | None, typer.Option("--run-id", help="Name of the run, where the file does not name it.")]


def reading_options(
    file_format: str | None, by_position: bool, method: str | None, run_id: str | None
) -> OutputsOptions:
    """The options about a file of another tool together; stops with exit 2 at an unknown format."""
    from dfar_toolkit.journeys.outputs import READABLE, OutputsOptions

    if file_format is not None and file_format not in READABLE:
        usage(f"--format must be one of {', '.join(READABLE)}, found {file_format!r}")
    return OutputsOptions(format=file_format, by_position=by_position, method=method, run_id=run_id)


def parsed_label_map(given: list[str] | None) -> dict[str, str] | None:
    """Pairs of ``--map``, given label to option; stops with exit 2 where they cannot be read."""
    from dfar_toolkit.errors import TableError
    from dfar_toolkit.journeys.how_read import named_labels

    try:
        return named_labels(given)
    except TableError as error:
        usage(str(error))
