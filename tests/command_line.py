"""The command line run inside a test: what it printed where, and the one line of a refusal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from dfar_toolkit.cli import main


class Run(NamedTuple):
    code: int
    out: str
    err: str


Dfar = Callable[..., Run]


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    """The command ``dfar``, called with its words."""

    def run(*words: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["dfar", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 0
        else:
            code = 0
        printed = capsys.readouterr()
        return Run(code, printed.out, printed.err)

    return run


def refused(run: Run, *parts: str, code: int = 1) -> None:
    """One line on stderr that names the parts, nothing on stdout, the exit code, no traceback."""
    lines = [line for line in run.err.splitlines() if not line.endswith(" ...")]
    assert run.code == code, run.err
    assert run.out == ""
    assert "Traceback" not in run.err
    assert len(lines) == 1, run.err
    for part in parts:
        assert part in lines[0], lines[0]
