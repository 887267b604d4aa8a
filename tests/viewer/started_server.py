"""The viewer's server as a process of its own, asked over the wire."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """A server: its process, port, and what it has said so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self, pattern: str) -> str:
        """What the server printed in the place of a group."""
        found = re.search(pattern, self.log.read_text())
        assert found, self.log.read_text()
        return found[1]

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers (lower case) and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def started(
    words: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """Run a command line until the block ends; it must answer before."""
    with (
        log.open("w") as out,
        subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, **(environment or {})}) as process,
    ):
        server = Started(process, port, log)
        try:
            _wait(server)
            yield server
        finally:
            process.terminate()


def _wait(server: Started) -> None:
    for _ in range(600):
        assert server.process.poll() is None, server.log.read_text()
        try:
            if server.get("/_stcore/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the viewer did not start: {server.log.read_text()}")
