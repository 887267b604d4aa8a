"""Start the viewer: look at what it is given, then become its server."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_manifest
from dfar_toolkit.hub.addresses import address
from dfar_toolkit.journeys.how_read import AS_THEY_ARE, HowRead
from dfar_toolkit.journeys.judge_session_protocol import read_session_protocol


def start_viewer(
    items: Path | str,
    outputs: Sequence[Path],
    *,
    judgements: Path | None = None,
    judge: Path | None = None,
    marks: Path | None = None,
    how: HowRead = AS_THEY_ARE,
    host: str = "127.0.0.1",
    allow_hosts: Sequence[str] = (),
    port: int = 8501,
) -> NoReturn:
    """Become the viewer until it is stopped; its server prints the addresses to open.

    Args:
        items: An items folder, or an address of the Hub.
        outputs: Outputs files and run folders.
        judgements: A judgements file or the folder of a judging round, to look at.
        judge: The folder of a judging round, to judge in.
        marks: The folder that flags, comments and slices are written to.
        how: How outputs files are read: labels renamed, splits, separator, filter of another tool.
        host: The address to listen on; where others can connect a token is asked of them.
        allow_hosts: Further names that browsers may know the viewer by.
        port: The port.

    Raises:
        TableError: A folder or a file is not there or not what it must be, the port is in use, a token is too short,
            or Streamlit is not installed.
        HubError: The address of the Hub is none.
    """
    if find_spec("streamlit") is None:
        raise TableError("the viewer needs Streamlit; install it with: pip install 'dfar-toolkit[viewer]'")
    from dfar_toolkit._viewer.arguments import on_hub
    from dfar_toolkit._viewer.doors import check_secrets
    from dfar_toolkit._viewer.launch import command, listening

    if on_hub(str(items)):
        address(str(items))
        if judge or marks:
            raise TableError(f"{items}: a set on the Hub is only shown; to judge or mark it, give an items folder.")
    else:
        read_manifest(Path(items))
    for path in [*outputs, *([judgements] if judgements else [])]:
        if not path.exists():
            raise TableError(f"{path}: wanted an outputs or judgements file, found nothing there.")
    if judge:
        _check_round(judge)
    if marks:
        _check_writable(marks, "--marks")
    check_secrets(os.environ)
    listening(host, port).close()
    words = command(
        items, outputs, judgements=judgements, judge=judge, marks=marks, how=how, host=host, allow_hosts=allow_hosts,
        port=port,
    )  # fmt: skip
    sys.stdout.flush()
    # The viewer takes this process over, so that whatever stops the process stops the viewer.
    os.execv(words[0], words)


def _check_round(folder: Path) -> None:
    if not (folder / "protocol.yaml").is_file():
        raise TableError(f"--judge {folder}: wanted the folder of a judging round, found no protocol.yaml in it.")
    read_session_protocol(folder)
    _check_writable(folder, "--judge")


def _check_writable(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise TableError(f"{option} {folder}: wanted a folder that can be written to; {error.strerror}.") from None
