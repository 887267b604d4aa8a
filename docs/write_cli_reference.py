"""Write docs/cli.md from the commands' own help, so that the page cannot drift; a test compares the two."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "100"

from typer.main import get_command
from typer.testing import CliRunner

from dfar_toolkit.cli import app

PAGE = Path(__file__).with_name("cli.md")


def reference() -> str:
    """The page: the help of the program and of every command."""
    runner = CliRunner()
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    parts = ["# Commands\n\nWritten from `--help` by `make docs`. stdout is data, stderr is talk; exit 0, 1 (the data "
             "failed) or 2 (wrong usage).\n"]  # fmt: skip
    for name in ["", *names]:
        shown = runner.invoke(app, [*name.split(), "--help"], prog_name="dfar", env={"COLUMNS": "100"})
        title = f"## dfar {name}".rstrip()
        parts.append(f"{title}\n\n```text\n{_trimmed(shown.output)}\n```\n")
    return "\n".join(parts)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"wrote {PAGE}")
