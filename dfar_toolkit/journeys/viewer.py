"""Start the Streamlit viewer on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_manifest


def start_viewer(
    items: Path,
    outputs: Sequence[Path],
    *,
    judgements: Path | None = None,
    port: int = 8501,
    tell: Callable[[str], None] | None = None,
) -> NoReturn:
    """Become the viewer until it is stopped; ``tell`` is called with its address.

    Raises:
        TableError: The items folder or a file is not there, or Streamlit is not installed.
    """
    read_manifest(items)
    for path in [*outputs, *([judgements] if judgements else [])]:
        if not path.exists():
            raise TableError(f"{path}: wanted an outputs or judgements file, found nothing there.")
    if find_spec("streamlit") is None:
        raise TableError("the viewer needs Streamlit; install it with: pip install 'dfar-toolkit[viewer]'")
    from dfar_toolkit._viewer.launch import command

    if tell:
        tell(f"http://127.0.0.1:{port} (stop with Ctrl-C)")
    words = command(items, list(outputs), judgements=judgements, port=port)
    sys.stdout.flush()
    # The viewer takes this process over, so that whatever stops the process stops the viewer.
    os.execv(words[0], words)
