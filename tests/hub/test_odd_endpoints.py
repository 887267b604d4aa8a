"""Addresses that no Hub can have, and answers that no Hub gives: one line, and never the token."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from publish_stage import QUICK, TOKEN, no_pauses

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.connection import connect
from dfar_toolkit.hub.repository import Repository


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    back = no_pauses(monkeypatch, tmp_path / "home")
    yield
    back()


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that says the same to everything."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Same) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (200, b"null", {"Content_Type": "application/json"}, "no account"),
        (200, b"no gzip", {"Content_Encoding": "gzip"}, "cannot read"),
        (302, b"", {"Location": "/api/whoami-v2"}, "in a circle"),
        (400, b"{}", {"X_Error_Message": f"you sent {TOKEN}"}, "you sent [*]{3}"),
    ],
)
def test_an_answer_that_no_hub_gives(status: int, body: bytes, headers: dict[str, str], said: str) -> None:
    with answering(status, body, **headers) as url, pytest.raises(HubError, match=said) as caught:
        Repository(connect(endpoint=url, token=TOKEN, patience=QUICK), "org/data", QUICK, lambda _: None).user()
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["huggingface.co", "http://[::bad", "http://127.0.0.1:99999", "ftp://hub", f"http://ann:{TOKEN}@hub"]
)
def test_an_address_that_no_hub_has(endpoint: str) -> None:
    with pytest.raises(HubError, match="HF_ENDPOINT: wanted the address of a Hub") as caught:
        connect(endpoint=endpoint, token=TOKEN, patience=QUICK)
    assert TOKEN not in str(caught.value)


def test_the_command_says_so_before_the_clients_read_the_address() -> None:
    called = [sys.executable, "-c", "from dfar_toolkit.cli import main; main()", "verify", "org/data"]
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:99999"}
    done = subprocess.run(called, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "HF_ENDPOINT: wanted the address of a Hub" in done.stderr
