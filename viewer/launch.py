"""The command line that starts the viewer, and the port that it listens on."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dfar_toolkit._viewer.arguments import on_hub
from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.how_read import AS_THEY_ARE, HowRead

HERE: Final = "127.0.0.1"
PORT: Final = 8501
_WAITING: Final = 512  # connections that wait to be taken


def command(
    items: Path | str,
    outputs: Sequence[Path] = (),
    *,
    judgements: Path | None = None,
    judge: Path | None = None,
    marks: Path | None = None,
    how: HowRead = AS_THEY_ARE,
    host: str = HERE,
    allow_hosts: Sequence[str] = (),
    port: int = PORT,
) -> list[str]:
    """The full command line of the server.

    Args:
        items: An items folder, or an address of the Hub.
        outputs: Outputs files and run folders.
        judgements: A judgements file or the folder of a judging round, to look at.
        judge: The folder of a judging round, to judge in.
        marks: The folder that flags, comments and slices are written to.
        how: How outputs files are read.
        host: The address to listen on; anything but this machine's own needs a token (``doors.py``).
        allow_hosts: Further names that browsers may know the viewer by, behind a proxy for example.
        port: The port.

    Returns:
        The program and its arguments; those of the pages follow ``--``.
    """
    # -P: what lies in the working directory is data, no modules.
    start = [sys.executable, "-P", "-m", "dfar_toolkit._viewer.server", f"--host={host}", f"--port={port}"]
    start += [f"--allow-host={name}" for name in allow_hosts]
    named = {"--judgements": judgements, "--judge": judge, "--marks": marks}
    given = [f"{name}={_absolute(path)}" for name, path in named.items() if path is not None]
    place = str(items) if on_hub(str(items)) else _absolute(items)
    given += how.words()
    # A name that begins with a dash is no option: everything after the second -- is a path.
    return [*start, "--", *given, "--", place, *(_absolute(p) for p in outputs)]


def open_to_others(host: str) -> bool:
    """Whether others than this machine can connect to an address.

    Example:
        >>> open_to_others("127.0.0.1"), open_to_others("localhost"), open_to_others("0.0.0.0")
        (False, False, True)
    """
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() != "localhost"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        TableError: Something listens there already, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise TableError(f"--host {host}: there is no such address on this machine ({error.strerror}).") from None
    try:
        if os.name != "nt":  # there it would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(_WAITING)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise TableError(
                f"port {port} of {host} is in use; stop what runs there, or give another --port."
            ) from None
        raise TableError(f"cannot listen on port {port} of {host}: {error.strerror}.") from None
    return made


def _absolute(path: Path | str) -> str:
    return str(Path(path).absolute())
