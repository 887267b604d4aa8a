"""The real command in a real browser: starts, shows, keeps text as text, and speaks to nobody else."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from dfar_toolkit._viewer.launch import command
from viewer_example import LINK, OPTIONS, SCRIPT, item_id, write_example

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = write_example(tmp_path_factory.mktemp("browser")).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outputs = [root / "plain.jsonl", root / "reasons.jsonl", root / "broken.jsonl"]
    line = command(root / "items", outputs, judgements=root / "judgements.csv", port=port)
    with (root / "log").open("w") as log, subprocess.Popen(line, stdout=log, stderr=log) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, root / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(health, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"the viewer did not start: {log.read_text()}")


@pytest.fixture
def page(chromium: str) -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=_QUIET)
        opened = browser.new_page(viewport={"width": 1300, "height": 1700})
        yield opened
        browser.close()


def _settled(page) -> None:  # type: ignore[no-untyped-def]
    """Wait until the page's script has run to its end, twice in a row: what an event starts begins a moment later."""
    app = "document.querySelector('[data-testid=stApp]')"
    for _ in range(2):
        page.wait_for_timeout(400)
        page.wait_for_function(f"{app}?.getAttribute('data-test-script-state') === 'notRunning'", timeout=60_000)


def test_viewer_in_chromium(address: str, page, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    hosts: set[str] = set()
    said: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or request.url[:5]))
    page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).hostname or ""))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))

    page.goto(f"{address}/?item={item_id(0)}&label={quote(OPTIONS[0])}")
    page.get_by_text("x:a · age_band 18-29", exact=True).wait_for(timeout=60_000)
    _settled(page)
    assert page.get_by_text(SCRIPT, exact=True).count() >= 2
    assert page.get_by_text("30 items", exact=False).count() or page.get_by_text("60 items", exact=False).count()
    # Choosing a hostile option must not make the browser fetch or format anything.
    page.get_by_label("Label").click()
    page.get_by_role("option", name=OPTIONS[1]).click()
    page.get_by_text("120 items", exact=False).wait_for(timeout=30_000)
    _settled(page)
    page.get_by_label("Gold differs from prediction in").click()
    page.get_by_role("option", name=f"plain {LINK}").click()
    page.wait_for_function("new URL(location.href).searchParams.has('wrong')")
    page.keyboard.press("Escape")
    # A click on the second row of the list (a canvas, so by its place) opens that item.
    page.get_by_text("27 items", exact=False).wait_for(timeout=30_000)
    _settled(page)
    box = page.get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 35 + 66 + 33)
    page.wait_for_function(f"new URL(location.href).searchParams.get('item') === '{item_id(6)}'")
    # The key belongs to a button of the page that this click makes: it must stand, and the list must give up the focus.
    opened = page.get_by_text(f"{item_id(6)}: number", exact=False)
    opened.wait_for(timeout=30_000)
    _settled(page)
    opened.click()
    page.keyboard.press("n")
    page.wait_for_function(f"new URL(location.href).searchParams.get('item') === '{item_id(9)}'")
    page.screenshot(path=tmp_path / "browse.png", full_page=True)

    page.get_by_role("link", name="Metrics").click()
    page.get_by_text("Comparison", exact=True).wait_for(timeout=60_000)
    page.get_by_text("is right alone", exact=False).wait_for(timeout=60_000)
    _settled(page)
    page.screenshot(path=tmp_path / "metrics.png", full_page=True)
    assert page.locator("img").count() >= 3  # plots, drawn on the server

    page.get_by_role("link", name="Data set").click()
    page.get_by_text("2 checks, 1 with findings.").wait_for(timeout=30_000)
    page.screenshot(path=tmp_path / "dataset.png", full_page=True)

    assert hosts <= {"127.0.0.1", "data:", "blob:"}
    assert "127.0.0.1" in hosts
    assert said == []
    assert page.locator("strong", has_text="bold").count() == 0
