"""The viewer's own server: ``python -m dfar_toolkit._viewer.server``, which is what ``dfar view`` becomes."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from dfar_toolkit._viewer.arguments import Arguments, arguments
from dfar_toolkit._viewer.document import Document
from dfar_toolkit._viewer.doors import (
    COORDINATOR_TOKEN,
    SERVED,
    TOKEN,
    check_secrets,
    cookie_name,
    doors,
    make_secrets,
)
from dfar_toolkit._viewer.entrance import Entrance
from dfar_toolkit._viewer.launch import HERE, PORT, listening, open_to_others
from dfar_toolkit._viewer.protection import Application, Hosts, Protection
from dfar_toolkit.errors import DfarError

_EVERYWHERE: Final = ("0.0.0.0", "::")
_PATIENCE: Final = 3.0  # seconds that what runs may take to end
# Nothing goes out, errors stay in the terminal, and colours follow the reader's system.
_OPTIONS: Final[Mapping[str, object]] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "viewer",
    # Every message is sent whole. Streamlit sends a large one that the browser has seen by its hash; where the browser
    # has let it go meanwhile, after quick clicks, it throws, and shows nothing that comes later until it is reloaded.
    "global.minCachedMessageSize": 1e15,
    # Streamlit collects the whole heap after every page: a tenth of a second in which no other browser is served, for
    # the few cycles that a page leaves, which Python's own collection finds.
    "runner.postScriptGC": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": 1,
    "theme.light.primaryColor": "#2f5f95",
    "theme.light.textColor": "#1b1f24",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f5f7f9",
    "theme.dark.primaryColor": "#86b6e8",
    "theme.dark.textColor": "#e6e9ed",
    "theme.dark.backgroundColor": "#13161b",
    "theme.dark.secondaryBackgroundColor": "#1b2027",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it.

    Returns:
        The exit status: 0 where it was ended, 1 where it could not begin, which one line on stderr explains.
    """
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _end)
    own, pages = _parsed(sys.argv[1:] if argv is None else argv)
    sys.argv = ["app.py", *pages]  # what Streamlit shows to the pages
    os.environ[SERVED] = str(own.port)
    try:
        given = arguments(pages)
        check_secrets(os.environ)
        place = listening(own.host, own.port)
    except DfarError as error:
        print(f"dfar: {error}", file=sys.stderr)
        return 1
    made = make_secrets(os.environ, open_to_others=open_to_others(own.host), judging=given.judge is not None)
    for line in said_addresses(given, own.host, own.port, made):
        print(line, file=sys.stderr, flush=True)
    # While the browser fetches what it shows pages with, the server fetches what they are made of.
    threading.Thread(target=importlib.import_module, args=("dfar_toolkit._viewer.frame",), daemon=True).start()
    _serve(place, protected(_streamlit(), hosts_of(own.host, own.allow_host), given))
    return 0


def protected(inside: Application, hosts: Hosts, given: Arguments) -> Application:
    """An application behind all that keeps others out."""
    ways = doors(os.environ, judging=given.judge is not None)
    return Protection(Entrance(Document(inside), ways, cookie=cookie_name()), hosts)


def hosts_of(host: str, allowed: Sequence[str] = ()) -> Hosts:
    """The names that a viewer which listens on ``host`` goes by.

    Example:
        >>> sorted(hosts_of("127.0.0.1").names), sorted(hosts_of("10.1.2.3", ["Lab.example"]).names)
        (['127.0.0.1', '::1', 'localhost'], ['10.1.2.3', 'lab.example'])
    """
    here = {"localhost", HERE, "::1"}
    names = {host.lower(), *(name.lower() for name in allowed)}
    if host in _EVERYWHERE:  # a numeric address cannot be rebound
        return Hosts(frozenset(names | here | {socket.gethostname().lower()}), any_address=True)
    return Hosts(frozenset(names if open_to_others(host) else names | here))


def said_addresses(given: Arguments, host: str, port: int, made: frozenset[str]) -> list[str]:
    """What is printed at the start: who opens what. Secrets that were set from outside are not repeated."""
    name = socket.gethostname() if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    at, token, key = f"http://{name}:{port}", os.environ.get(TOKEN), os.environ.get(COORDINATOR_TOKEN)
    first = f"{at}/?token={token if TOKEN in made else f'${TOKEN}'}" if token else at
    lines = []
    if open_to_others(host):
        lines += [
            f"Warning: port {port} is open to other machines. Whoever has the address below can look, and nothing is "
            "encrypted: outside a network that you trust put a proxy with https before it."
        ]
    if host in _EVERYWHERE:
        lines += [f"Other machines may need the numeric address of this one in place of {name}."]
    if given.judge is None:
        return [*lines, f"{first} (stop with Ctrl-C)"]
    own = f"{at}/coordinator?key={key if COORDINATOR_TOKEN in made else f'${COORDINATOR_TOKEN}'}"
    return [*lines, f"judges: {first}", f"coordinator: {own} (keep it from the judges; stop with Ctrl-C)"]


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="viewer")
    parser.add_argument("--host", default=HERE)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--allow-host", action="append", default=[])
    return parser.parse_args(argv[:cut]), list(argv[cut + 1 :])


def _streamlit() -> Application:
    import streamlit
    from streamlit import config

    for name, value in _OPTIONS.items():
        config.set_option(name, value)
    made: Application = streamlit.App(Path(__file__).with_name("app.py"))
    return made


def _serve(place: socket.socket, application: Application) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            _end_later()  # its own end waits for pages that are being made
            super().handle_exit(sig, frame)

    settings = uvicorn.Config(
        application, log_level="warning", access_log=False, ws="websockets-sansio", server_header=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    Server(settings).run(sockets=[place])


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End at once, and well; what does not end by itself is left behind."""
    _end_later()
    sys.exit(0)


def _end_later() -> None:
    late = threading.Timer(_PATIENCE, os._exit, [0])
    late.daemon = True
    late.start()


if __name__ == "__main__":
    sys.exit(main())
