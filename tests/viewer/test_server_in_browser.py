"""The server in a real browser: nothing leaves the machine, nobody frames it, judges see one page."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from started_server import Started, free_port, started

from dfar_toolkit._viewer.launch import command

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TOKEN = "token-of-the-judges"
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def server(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    root = tmp_path_factory.mktemp("shown")
    (root / "protocol.yaml").write_text("question: Is this a reason?\n")
    port = free_port()
    line = command(demo / "items", [demo / "runs" / "with-reasons.jsonl"], judge=root, port=port)
    with started(line, port, root / "log", {"DFAR_VIEWER_TOKEN": TOKEN}) as found:
        yield found


@pytest.fixture
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=found, args=_QUIET)
        yield opened
        opened.close()


@pytest.fixture
def elsewhere(server: Started) -> Iterator[str]:
    """A page of another site (another name of this machine) that frames the viewer and links to it."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = server.address
            body = f'<a href="{at}/?token={TOKEN}">in</a> <a href="{at}/judge">back</a><iframe src="{at}/"></iframe>'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *words: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://localhost:{other.server_address[1]}/"
        other.shutdown()


def test_it_keeps_to_itself(server: Started, browser: Any, elsewhere: str) -> None:
    page = browser.new_page()
    hosts: set[str] = set()
    refused: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or request.url[:5]))
    page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).hostname or ""))
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)

    page.goto(elsewhere)
    assert any("frame" in said for said in refused), refused
    refused.clear()

    # A link elsewhere leads in, with the token and, once there is a cookie, without it.
    page.get_by_text("in", exact=True).click()
    page.get_by_test_id("stApp").wait_for(timeout=60_000)
    assert page.url == f"{server.address}/"
    assert page.evaluate("window.dfarPage")
    assert page.evaluate("document.cookie").find("dfar-viewer") == -1
    page.goto(elsewhere)
    page.get_by_text("back", exact=True).click()
    page.get_by_test_id("stApp").wait_for(timeout=60_000)
    assert page.url == f"{server.address}/judge"
    assert not [said for said in refused if "ontent Security Policy" in said and "frame-ancestors" not in said]

    # Judges see the page of judges, whatever they type; the coordinator sees all.
    for path in ("items", "runs", "coordinator", "overview"):
        page.goto(f"{server.address}/{path}")
        page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
        assert page.locator(".d-nav").count() == 0
        assert "with-reasons" not in page.content()
    page.goto(server.address + server.said(r"coordinator: http://[^/]*(/coordinator\?key=\S+)"))
    page.locator(".d-nav").wait_for(timeout=60_000)
    assert page.url == f"{server.address}/coordinator"
    assert page.get_by_role("link", name="Runs").count() == 1

    assert hosts == {"127.0.0.1", "localhost"}
