"""The command line: thin doors that read, call one public function and print.

stdout is data, stderr is talk. Exit 0: done; 1: the data failed; 2: wrong usage. Rooms are imported inside the
commands, so that ``dfar --help`` loads none of them.
"""

from __future__ import annotations

import os
import re
import sys
from typing import cast

import typer

from dfar_toolkit.cli.agreeing import agreement
from dfar_toolkit.cli.comparing import compare
from dfar_toolkit.cli.data import build, card, check, sources
from dfar_toolkit.cli.experimenting import experiment
from dfar_toolkit.cli.explaining import explain
from dfar_toolkit.cli.exporting import export
from dfar_toolkit.cli.fetching import fetch
from dfar_toolkit.cli.judging import judge_plan
from dfar_toolkit.cli.judging_by_model import judge
from dfar_toolkit.cli.predicting import predict
from dfar_toolkit.cli.printing import one_line
from dfar_toolkit.cli.probing import probe
from dfar_toolkit.cli.publishing import publish
from dfar_toolkit.cli.publishing_models import publish_model
from dfar_toolkit.cli.scoring import score
from dfar_toolkit.cli.show import demo, report, view
from dfar_toolkit.cli.studying_rationales import rationale_study
from dfar_toolkit.cli.testing_reasons import self_consistency
from dfar_toolkit.cli.training import train
from dfar_toolkit.cli.verifying import verify
from dfar_toolkit.errors import DfarError

app = typer.Typer(
    name="dfar",
    help="From raw human judgements with reasons to a published dataset, and from model outputs to numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo)
app.command("sources")(sources)
app.command("fetch")(fetch)
app.command("build")(build)
app.command("check")(check)
app.command("card")(card)
app.command("export")(export)
app.command("publish")(publish)
app.command("publish-model")(publish_model)
app.command("verify")(verify)
app.command("agreement")(agreement)
app.command("predict")(predict)
app.command("explain")(explain)
app.command("test-reasons")(self_consistency)
app.command("rationale-study")(rationale_study)
app.command("judge")(judge)
app.command("train")(train)
app.command("experiment")(experiment)
app.command("score")(score)
app.command("compare")(compare)
app.command("probe")(probe)
app.command("judge-plan")(judge_plan)
app.command("report")(report)
app.command("view")(view)

# What a wrong option raises; typer carries its own click or uses the installed one, so the name is taken from here.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


@app.callback(invoke_without_command=True)
def _top(
    version: bool = typer.Option(False, "--version", help="Print the version and stop.", is_eager=True),
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("dfar-toolkit"))
        raise typer.Exit


def main() -> None:
    """Run the command line; a mistake in data is one line on stderr and exit 1, without a traceback."""
    try:
        status = app(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except _UsageError as error:
        said = error.format_message()
        # Without any argument typer's message is the whole help.
        print(said if "\n" in said else f"dfar: {one_line(said)} (dfar --help, dfar COMMAND --help)", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except DfarError as error:
        print(f"dfar: {one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of a pipe (head) has gone: not a mistake
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("dfar: stopped; nothing half-written was left", file=sys.stderr)
        sys.exit(130)
    except OSError as error:  # the machine said no: a file that may not be read, a disk that is gone
        place = f"{error.filename}: " if error.filename else ""
        print(f"dfar: {one_line(place + (error.strerror or str(error)))}", file=sys.stderr)
        sys.exit(1)
    except (TypeError, ValueError) as error:
        if not _about_an_argument(error):
            raise
        print(f"dfar: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def _about_an_argument(error: Exception) -> bool:
    """Whether one of our functions refused its argument; by agreement such a message begins with its name."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("dfar_toolkit")
    return ours and re.match(r"[a-z_]+: ", str(error)) is not None


if __name__ == "__main__":
    main()
