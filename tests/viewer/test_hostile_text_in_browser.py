"""The hostile set in a real browser: nothing runs, nothing is asked of anybody else, and the text is there to read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from hostile_set import LINE, LONG_ITEM, NAMES, PAYLOADS, Hostile, item_id, write_hostile_set
from started_server import Started, free_port, started

from dfar_toolkit._viewer.launch import command

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_PAGES = ("", "items", "items?page=2", "agreement", "compare", "errors", "faithfulness", "export", "runs")
_ITEMS = (0, 2, 6, 10, 12, 18, 19, 23, 29, 31, 35, 44)
_READY = "document.querySelector('[data-test-script-state=notRunning]') && document.querySelector('.d-title, .i-head')"
# What only hostile text could have put there, and where links lead.
_STRANGE = """() => {
  const html = [...document.querySelectorAll('[data-testid=stHtml]')];
  const within = (s) => html.flatMap((h) => [...h.querySelectorAll(s)]);
  const tags = within('script, iframe, img, form, svg, math, link, meta, base, object, embed, video, input, marquee');
  const sheets = [...document.querySelectorAll('style')].filter((s) => s.textContent.includes('pwn'));
  const away = (address) => new URL(address).origin !== location.origin;
  const links = [...document.querySelectorAll('a[href]')].filter((a) => away(a.href));
  const images = [...document.querySelectorAll('img')].filter((i) => away(i.src) && !i.src.startsWith('data:'));
  const main = document.querySelector('[data-testid=stMain]');
  const known = ['href', 'title', 'aria-label'];
  const events = within('*').filter((e) => [...e.attributes].some((a) => a.name.startsWith('on')
    || (a.value.includes('pwn') && !known.includes(a.name))));
  return [...tags, ...sheets, ...links, ...events, ...images].map((e) => e.outerHTML.slice(0, 200))
    .concat(window.pwned === undefined ? [] : [`pwned ${window.pwned}`])
    .concat(main.scrollWidth > main.clientWidth ? [`${main.scrollWidth - main.clientWidth} px to the side`] : []);
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        return write_hostile_set(tmp_path_factory.mktemp("hostile"), options=NAMES)


@pytest.fixture(scope="module")
def server(hostile: Hostile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    port = free_port()
    line = command(hostile.items, hostile.runs, judgements=hostile.judgements, marks=hostile.marks, port=port)
    with started(line, port, tmp_path_factory.mktemp("log") / "log") as found:
        yield found


class Watched:
    """A page in a browser, with all that it asked for and said."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address = address
        self.hosts: set[str] = set()
        self.said: list[str] = []
        self.page = page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or request.url[:5]))
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).hostname or ""))
        page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.said.append(f"error {error}"))
        page.on("popup", lambda popup: self.said.append(f"popup {popup.url}"))
        page.on("framenavigated", self._gone)

    def _told(self, said: Any) -> None:
        """Errors, but for that of Streamlit, which looks for its server below the page's path first."""
        looked = said.location.get("url", "").endswith(("/_stcore/host-config", "/_stcore/health"))
        if said.type == "error" and not ("404" in said.text and looked):
            self.said.append(f"{said.text} {said.location.get('url')}")

    def _gone(self, frame: Any) -> None:
        if not frame.url.startswith((self.address, "about:blank")):
            self.said.append(f"gone to {frame.url}")

    def load(self, path: str) -> None:
        """Open an address as if it was typed."""
        self.page.goto(f"{self.address}/{path}")
        self.page.wait_for_function(_READY, timeout=60_000)

    def go(self, path: str) -> None:
        """Follow a link within the viewer."""
        follow = """(href) => { const a = document.createElement('a'); a.className = 'd-go'; a.href = href;
          document.body.append(a); a.click(); a.remove(); }"""
        self.page.evaluate(follow, path)

    def item(self, name: str, begins: str) -> None:
        """Follow a link to an item, until its statement is shown."""
        self.go("item?" + urlencode({"id": name}))
        begins = begins.replace("\0", "")
        shown = "(text) => document.querySelector('.i-statement')?.textContent.startsWith(text)"
        self.page.wait_for_function(shown, arg=begins, timeout=30_000)
        self.page.wait_for_function(_READY, timeout=30_000)

    def strange(self) -> list[str]:
        """What is in the page that should not be."""
        found: list[str] = self.page.evaluate(_STRANGE)
        return found


@pytest.fixture
def watched(server: Started) -> Iterator[Watched]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=_QUIET)
        yield Watched(browser, server.address)
        browser.close()


def test_nothing_runs_and_nothing_is_fetched(watched: Watched, server: Started, tmp_path: Path) -> None:
    page = watched.page
    for path in _PAGES:
        watched.load(path)
        assert watched.strange() == [], path
    page.screenshot(path=tmp_path / "runs.png")

    watched.load("item?" + urlencode({"id": item_id(1)}))
    for at in _ITEMS:
        watched.item(item_id(at), PAYLOADS[at])
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert watched.strange() == [], PAYLOADS[at]
        # Read as it stands, in an element that is shown.
        statement = page.locator(".i-statement")
        assert " ".join(statement.inner_text().split()) == " ".join(PAYLOADS[at].split())
        assert statement.bounding_box()["height"] > 10
    page.screenshot(path=tmp_path / "item.png")

    # What a list shows is clicked like anything else: an item whose statement is a link of its own.
    watched.load("items?" + urlencode({"text": PAYLOADS[10]}))
    page.locator("a.d-statement").first.click()
    page.locator(".i-statement").wait_for(timeout=30_000)
    assert page.locator(".i-statement").inner_text() == PAYLOADS[10]
    page.keyboard.press("l")
    page.locator("a.d-statement").first.wait_for(timeout=30_000)
    assert urlsplit(page.url).path == "/items"

    begin = time.monotonic()
    watched.item(LONG_ITEM, LINE[:200])
    assert time.monotonic() - begin < 5
    page.locator(".i-fold summary").first.click()
    assert page.locator("details[open] .i-statement").inner_text().strip() == LINE.strip()
    assert watched.strange() == []
    page.keyboard.press("p")
    page.wait_for_function("(id) => new URL(location.href).searchParams.get('id') !== id", arg=LONG_ITEM)

    assert watched.hosts <= {"127.0.0.1", "data:", "blob:"}
    assert watched.said == []
    assert "Traceback" not in server.log.read_text()
