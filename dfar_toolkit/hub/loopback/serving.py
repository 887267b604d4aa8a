"""The loopback Hub as one object: started, asked, spoilt, and closed with nothing left over."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import TracebackType
from typing import Final

from dfar_toolkit.hub.loopback.access import HubState
from dfar_toolkit.hub.loopback.connections import PATIENCE, ConnectionServer, Inside
from dfar_toolkit.hub.loopback.faults import Fault, Faults, SetFault
from dfar_toolkit.hub.loopback.repositories import Repos, User
from dfar_toolkit.hub.loopback.request_log import RequestLog
from dfar_toolkit.hub.loopback.stored_files import LARGE, LargeFiles

_POLL: Final = 0.02  # seconds until a closed hub stops accepting


class LoopbackHub:
    """A Hub on 127.0.0.1 that the Hub's own clients can talk to, for rehearsals and tests.

    Datasets and models, tokens, private and gated repositories, branches, tags, pull requests, git-LFS, atomic
    commits with a check of the parent, ranges, paging, and faults by order. It forgets everything when closed.
    The clients must not use Xet (``HF_HUB_DISABLE_XET=1``, see :func:`loopback_environment`).

    Args:
        users: Token to user; other tokens are refused.
        page_size: Rows of a listing before the next page; a client may ask for fewer.
        cdn: Whether git-LFS files come from (and go to) another host name, as on the real Hub: ``localhost``.
        port: 0 for any free one.
        regular_limit: Bytes from which a file goes to git-LFS whatever its name.

    Attributes:
        log: Every request so far (:class:`RequestLog`).
        repos: The repositories (:class:`Repos`), to look at or to change as somebody else would.
        store: The bytes of git-LFS files (:class:`LargeFiles`), to look at or to spoil.
        faults: The faults at work (:class:`Faults`).
        defects: Tracebacks of the hub's own defects; closing it raises them.

    Raises:
        RuntimeError: On closing, if the hub itself had a defect.

    Example:
        >>> from http.client import HTTPConnection
        >>> with LoopbackHub({"tok": User("ann", orgs=("org",))}) as hub:
        ...     connection = HTTPConnection("127.0.0.1", hub.port)
        ...     connection.request("GET", "/api/whoami-v2", headers={"Authorization": "Bearer tok"})
        ...     connection.getresponse().status, connection.close(), hub.log[0].user
        (200, None, 'ann')
    """

    def __init__(
        self,
        users: Mapping[str, User] | None = None,
        *,
        page_size: int = 1000,
        cdn: bool = False,
        port: int = 0,
        regular_limit: int = LARGE,
    ) -> None:
        if page_size < 1:
            raise ValueError(f"page_size must be at least 1, found {page_size}.")
        self._wanted = port
        self._folder: TemporaryDirectory[str] | None = None
        self._settings = (dict(users or {}), page_size, cdn, regular_limit)
        self.log = RequestLog()
        self.faults = Faults()
        self.defects: list[str] = []

    def start(self) -> LoopbackHub:
        """Serve from now on; ``with`` does this."""
        if self._folder is not None:
            raise RuntimeError("The loopback Hub is already running.")
        self._folder = TemporaryDirectory(prefix="loopback-hub-")
        self.store = LargeFiles(Path(self._folder.name))
        users, page_size, cdn, limit = self._settings
        self.state = HubState(users, self.store, page_size, cdn, limit)
        try:
            self._inside = Inside(self.state, self.log, self.faults, self.defects)
            self._server = ConnectionServer(self._inside, self._wanted)
        except OSError:
            self._folder.cleanup()
            raise
        self.port: int = self._server.server_address[1]
        self.state.url, self.state.cdn_url = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True, name="loopback-hub")
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        """The endpoint, without a slash at its end."""
        return self.state.url

    @property
    def repos(self) -> Repos:
        """The repositories."""
        return self.state.repos

    def fail(self, fault: Fault) -> SetFault:
        """Let requests go wrong from now on; the counters given back tell whether they did."""
        return self.faults.add(fault)

    def close(self) -> None:
        """Stop: hanging requests are dropped, connections closed, threads ended, files removed."""
        if self._folder is None:
            return
        self._inside.closing.set()
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.end()
        self._folder.cleanup()
        self._folder = None
        if self.defects:
            raise RuntimeError(f"The loopback Hub had a defect.\n{self.defects[0]}")

    def __enter__(self) -> LoopbackHub:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RuntimeError as defect:
            if error is None:
                raise
            print(defect, file=sys.stderr)
