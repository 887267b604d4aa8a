"""What readers do, in a real browser: search, filter, open, go on, come back, undo, on a phone, in the dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from shown_page import STREAMLIT_WARNINGS
from started_server import free_port, started

from dfar_toolkit._viewer.launch import command

pytestmark = [pytest.mark.browser, *STREAMLIT_WARNINGS]
PAGES = ("", "items", "agreement", "runs", "compare", "errors", "faithfulness", "judge", "export")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def address(chromium: str, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runs = sorted((demo / "runs").glob("*.jsonl"))
    root, port = tmp_path_factory.mktemp("walk"), free_port()
    (root / "marks").mkdir()
    line = command(
        str(demo / "items"), runs, judgements=demo / "judgements.csv", marks=root / "marks", port=port
    )  # fmt: skip
    with started(line, port, root / "log") as server:
        yield server.address


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that speaks to this machine alone."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    opened, hosts, errors = context.new_page(), set(), []
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or request.url[:5]))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert hosts <= {"127.0.0.1", "data:", "blob:"}
    assert errors == []


def settled(page: Any) -> None:
    """Wait until the page's script has run to its end, twice in a row."""
    for _ in range(2):
        page.wait_for_timeout(250)
        page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'",
            timeout=60_000,
        )


def query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def title(page: Any) -> str:
    return str(page.locator(".d-title").first.inner_text())


def test_search_filter_open_and_come_back(address: str, page: Any) -> None:
    page.goto(f"{address}/items")
    page.locator(".d-item").nth(10).wait_for(timeout=60_000)
    settled(page)
    assert title(page).startswith("80 items")

    # A facet, then the next page of the list by its key, then Back twice.
    page.locator(".d-choice", has_text="test").first.click()
    page.wait_for_function("document.querySelector('.d-title')?.innerText.startsWith('60 items')")
    settled(page)
    page.keyboard.press("n")
    page.wait_for_url("**page=2**")
    settled(page)
    assert query(page) == {"split": ["test"], "page": ["2"]}
    page.go_back()
    page.wait_for_function("!location.search.includes('page')")
    settled(page)
    assert page.locator(".d-item").count() == 50

    # "/" goes to the search field; Enter searches; the match is marked; u undoes; x takes everything away.
    page.keyboard.press("/")
    page.keyboard.type("mother")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=mother**")
    page.locator("mark", has_text="mother").first.wait_for()
    settled(page)
    page.locator(".d-title").click()
    page.keyboard.press("u")
    page.wait_for_function("!location.search.includes('text=')")
    settled(page)
    assert query(page) == {"split": ["test"]}
    assert page.get_by_placeholder("Search statements").input_value() == ""
    page.keyboard.press("x")
    page.wait_for_function("location.search === ''")
    settled(page)
    assert title(page).startswith("80 items")


def test_an_item_within_its_filter(address: str, page: Any) -> None:
    page.goto(f"{address}/items?differs=label-only&order=-disagreement")
    page.locator(".d-item").first.wait_for(timeout=60_000)
    settled(page)
    listed = page.locator(".d-statement").all_inner_texts()
    page.locator(".d-statement").nth(1).click()
    page.wait_for_url("**/item?**")
    page.get_by_text(listed[1], exact=True).first.wait_for()
    settled(page)
    assert query(page)["differs"] == ["label-only"]
    # The next of the filter, then Back, Back: the item before, then the list as it was.
    page.keyboard.press("n")
    page.get_by_text(listed[2], exact=True).first.wait_for()
    settled(page)
    permalink = page.url
    page.go_back()
    page.get_by_text(listed[1], exact=True).first.wait_for()
    settled(page)
    page.go_back()
    page.locator(".d-item").first.wait_for()
    settled(page)
    assert query(page) == {"differs": ["label-only"], "order": ["-disagreement"]}
    # The address alone opens it.
    page.goto(permalink)
    page.get_by_text(listed[2], exact=True).first.wait_for(timeout=60_000)
    settled(page)
    page.keyboard.press("l")
    page.locator(".d-item").first.wait_for()
    settled(page)
    assert query(page)["differs"] == ["label-only"]


@pytest.mark.parametrize("width", [1300, 360])
def test_the_navigation_takes_the_mouse(address: str, browser: Any, width: int) -> None:
    # Streamlit's bar lies over it: a click must reach the link, and tabs and history tell the pages apart.
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{address}/")
    page.locator(".d-tile").first.wait_for(timeout=60_000)
    settled(page)
    for name in ("Items", "Errors", "Export", "Overview"):
        page.locator(".d-nav a", has_text=name).click(timeout=5_000)
        page.locator(".d-nav a[aria-current]", has_text=name).wait_for()
        settled(page)
        assert page.title() == f"{name} · DFAR"
    page.goto(f"{address}/item?id=everyday:test:s035")
    page.locator(".i-item").wait_for(timeout=60_000)
    settled(page)
    assert page.title() == "everyday:test:s035 · DFAR"
    context.close()


def test_a_cell_of_the_confusion_opens_its_items(address: str, page: Any) -> None:
    page.goto(f"{address}/errors?run=label-only")
    cell = page.locator("a.d-go[href*='prediction=label-only'][href*='gold=']").first
    cell.wait_for(timeout=60_000)
    settled(page)
    n = cell.inner_text().split()[0]
    cell.click()
    page.wait_for_url("**/items?**")
    page.locator(".d-item").first.wait_for()
    settled(page)
    assert title(page).split()[0] == n


def test_a_download_is_the_filter(address: str, page: Any) -> None:
    page.goto(f"{address}/export?split=test&gold=ethical")
    button = page.get_by_role("button", name="JSON lines")
    button.wait_for(timeout=60_000)
    settled(page)
    n = int(title(page).split()[1])
    with page.expect_download() as waited:
        button.click()
    assert len(Path(waited.value.path()).read_text(encoding="utf-8").splitlines()) == n > 0


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_a_phone(address: str, browser: Any, path: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/{path}")
    page.locator(".d-title").first.wait_for(timeout=60_000)
    settled(page)
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0
    # Dark where the reader's system is dark: light text on a dark page.
    ink = page.evaluate("getComputedStyle(document.querySelector('.d-title')).color")
    assert min(int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")[:3]) > 150
    context.close()


def test_no_message_hangs_on_one_that_the_browser_may_have_let_go(address: str, page: Any) -> None:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    received: list[bytes] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(frame)))
    page.goto(f"{address}/items")
    page.locator(".d-item").nth(10).wait_for(timeout=60_000)
    settled(page)
    for name in ("Runs", "Items", "Overview", "Items"):
        page.locator(".d-nav").get_by_role("link", name=name).click()
        settled(page)
    messages = [ForwardMsg.FromString(frame) for frame in received if isinstance(frame, bytes)]
    assert max(message.ByteSize() for message in messages) > 10_000  # what Streamlit would send by its hash again
    assert [message.ref_hash for message in messages if message.WhichOneof("type") == "ref_hash"] == []
