"""The command line that starts the viewer on this machine only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

# Nobody else may connect, nothing goes out, and errors stay in the terminal.
_FLAGS = (
    "--server.address=127.0.0.1",
    "--server.allowedHosts=localhost",
    "--server.allowedHosts=127.0.0.1",
    "--browser.gatherUsageStats=false",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--client.toolbarMode=viewer",
    "--client.showErrorDetails=none",
    "--theme.base=light",
    "--theme.primaryColor=#4477aa",
)


def command(
    items: Path, outputs: Sequence[Path] = (), *, judgements: Path | None = None, port: int = 8501
) -> list[str]:
    """The full ``streamlit run`` command line.

    Args:
        items: An items folder.
        outputs: Outputs files and run folders.
        judgements: A judgements file.
        port: Port on 127.0.0.1.

    Returns:
        The program and its arguments; those of the viewer follow ``--``.
    """
    script = str(files("dfar_toolkit._viewer") / "app.py")
    start = [sys.executable, "-m", "streamlit", "run", script, f"--server.port={port}", *_FLAGS, "--"]
    judged = ["--judgements", str(_absolute(judgements))] if judgements is not None else []
    # A name that begins with a dash is no option: everything after the second -- is a path.
    return [*start, *judged, "--", str(_absolute(items)), *(str(_absolute(p)) for p in outputs)]


def _absolute(path: Path) -> Path:
    return Path(path).absolute()
