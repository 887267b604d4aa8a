"""What a reader waits for in a real browser, at a million items with three runs and five people each.

The set is the invented one of browse_index.py. The viewer is started as `dfar view` starts it and driven in headless
Chromium through Playwright: the time from asking for an address (a new browser, nothing cached) until the list can be
read, then from each click or key until what it asked for can be read; for every filter, and some searches in reasons,
until the page is whole (`filter_whole_ms`). Waits are medians of several; the first page is measured with a server that
has just been started. Memory is the most that the server's process has had. At the end four browsers click at the same
time.

    python benchmarks/viewer_in_browser.py [--folder made-before]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "viewer"))
from browse_index import PEOPLE, RUNS, N, in_reasons, invent, one_of_each
from started_server import free_port, started

RESULTS = Path(__file__).parent / "results" / "viewer_in_browser.json"
REPEATS = 5
BROWSERS = 4
SCREEN = {"width": 1400, "height": 1000}
RESET = "a.d-go[data-key=x]"  # which stands where there is a filter
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The viewer on a free port."""
    from dfar_toolkit._viewer.launch import command

    port = free_port()
    line = command(str(folder / "items"), [folder / f"run_{run}" for run in range(RUNS)], port=port)
    with tempfile.TemporaryDirectory() as said, started(line, port, Path(said) / "log") as server:
        yield server.address, server.process


def peak_mib(server: subprocess.Popen[bytes]) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def waited(act: Callable[[], object], shown: Callable[[], object]) -> float:
    """Seconds from an act until what it asked for is shown."""
    start = time.perf_counter()
    act()
    shown()
    return time.perf_counter() - start


def title_is_not(page: Any, words: str) -> None:
    """Wait until the number of items found is another one."""
    page.wait_for_function(
        "words => { const t = document.querySelector('.d-title'); return t && t.innerText !== words }", arg=words
    )


def click_through(page: Any, address: str) -> dict[str, float]:
    """Milliseconds of one round of what readers do."""
    found: dict[str, float] = {}

    def facet(words: str) -> Any:
        return page.locator(".d-choice", has_text=words).first

    page.goto(f"{address}/items")
    page.locator(".d-item").nth(49).wait_for()
    page.wait_for_timeout(1500)
    for name, words in (("filter_label", "unacceptable"), ("filter_split", "test"), ("filter_outcome", "wrong")):
        before = page.locator(".d-title").inner_text()
        found[name] = waited(lambda words=words: facet(words).click(), lambda before=before: title_is_not(page, before))
        page.wait_for_timeout(300)
    before = page.locator(".d-statement").first.inner_text()
    changed = "t => document.querySelector('.d-statement') && document.querySelector('.d-statement').innerText !== t"
    found["page_turn"] = waited(lambda: page.keyboard.press("n"), lambda: page.wait_for_function(changed, arg=before))
    page.wait_for_timeout(300)
    start = time.perf_counter()
    found["item"] = waited(lambda: page.locator(".d-statement").nth(3).click(), lambda: item_shown(page))
    whole(page)
    found["item_whole"] = time.perf_counter() - start
    page.wait_for_timeout(300)
    first = page.url
    found["next_item"] = waited(lambda: page.keyboard.press("n"), lambda: item_shown(page, but=first))
    page.wait_for_timeout(300)
    found["back_to_item"] = waited(page.go_back, lambda: item_shown(page))
    page.wait_for_timeout(300)
    found["back_to_list"] = waited(page.go_back, lambda: page.locator(".d-item").nth(10).wait_for())
    page.wait_for_timeout(300)
    field = page.get_by_placeholder("Search statements")
    before = page.locator(".d-title").inner_text()
    field.fill("promised harm")
    found["search_words"] = waited(lambda: field.press("Enter"), lambda: title_is_not(page, before))
    page.wait_for_timeout(300)
    field = page.get_by_placeholder("Regular expression")
    before = page.locator(".d-title").inner_text()
    field.fill(r"harm\w* \d+7 ")
    found["search_pattern"] = waited(lambda: field.press("Enter"), lambda: title_is_not(page, before))
    return {name: 1000 * seconds for name, seconds in found.items()}


def every_filter(page: Any, address: str) -> tuple[dict[str, int], dict[str, int]]:
    """Milliseconds from a link to each filter, of the list without one, until the page that it gives is whole.

    The first time nothing of the filter is remembered (once; of the first search in reasons they are read in it); then
    the median of some times.
    """
    page.goto(f"{address}/items")
    page.locator(".d-item").nth(49).wait_for()
    page.wait_for_timeout(4000)  # until the index is read
    found: dict[str, list[float]] = {}
    for name, one in (*one_of_each().items(), *((f"reasons, {name}", one) for name, one in in_reasons().items())):
        go = f"items?{urlencode(one.to_query(), doseq=True)}"
        for _ in range(REPEATS):
            follow(page, "items")
            page.wait_for_function(f"!document.querySelector({RESET!r})")
            whole(page)
            page.wait_for_timeout(200)
            taken = 1000 * waited(lambda go=go: follow(page, go), lambda: filtered(page))
            found.setdefault(name, []).append(taken)
    again = {name: round(statistics.median(taken[1:])) for name, taken in found.items()}
    return {name: round(taken[0]) for name, taken in found.items()}, again


def follow(page: Any, href: str) -> None:
    """Follow a link to an address, as any link of the page is followed."""
    page.evaluate(
        "href => { const a = document.querySelector('a.d-go'); a.setAttribute('href', href); a.click() }", href
    )


def filtered(page: Any) -> None:
    """Wait until a filtered list is whole."""
    page.locator(RESET).wait_for()
    whole(page)


def item_shown(page: Any, *, but: str = "") -> None:
    """Wait until the item of the address can be read."""
    page.wait_for_function(
        """but => {
            const id = new URL(location.href).searchParams.get("id"), shown = document.querySelector(".i-id bdi");
            return location.href !== but && id && shown && shown.innerText === id;
        }""",
        arg=but,
    )


def whole(page: Any) -> None:
    """Wait until the page's script has run to its end."""
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]').getAttribute('data-test-script-state') === 'notRunning'"
    )


def new_page(play: Any) -> tuple[Any, Any]:
    """A browser of its own with one page."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("wanted a Chromium on this machine, found none (Debian: apt-get install chromium)")
    browser = play.chromium.launch(executable_path=found, args=_QUIET)
    return browser, browser.new_page(viewport=SCREEN)


def first_pages(folder: Path) -> dict[str, float]:
    """Milliseconds until the first page of a server just started can be read: the overview, the list."""
    from playwright.sync_api import sync_playwright

    found = {}
    for name, path, shown in (("overview", "", ".d-title"), ("items", "items", ".d-item >> nth=49")):
        taken = []
        for _ in range(3):
            with served(folder) as (address, _), sync_playwright() as play:
                browser, page = new_page(play)
                go = f"{address}/{path}"
                taken.append(waited(lambda go=go, page=page: page.goto(go), page.locator(shown).first.wait_for))
                browser.close()
        found[name] = 1000 * statistics.median(taken)
    return found


def together(address: str) -> list[float]:
    """Milliseconds of every wait of several browsers at once."""
    from playwright.sync_api import sync_playwright

    waits: list[float] = []

    def one() -> None:
        with sync_playwright() as play:
            browser, page = new_page(play)
            waits.extend(click_through(page, address).values())
            browser.close()

    threads = [threading.Thread(target=one) for _ in range(BROWSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def measure(folder: Path) -> dict[str, object]:
    """Everything, against servers of its own."""
    from playwright.sync_api import sync_playwright

    first = first_pages(folder)
    with served(folder) as (address, server):
        with sync_playwright() as play:
            browser, page = new_page(play)
            first_time, again = every_filter(page, address)
            click_through(page, address)  # what is read once
            rounds = [click_through(page, address) for _ in range(REPEATS)]
            browser.close()
        alone = peak_mib(server)
        waits = together(address)
        return {
            "machine": f"{_cores()} cores, {platform.system()}, Python {platform.python_version()}",
            "items": N, "runs": RUNS, "people": PEOPLE, "repeats": REPEATS,
            "first_page_ms": {name: round(ms) for name, ms in first.items()},
            "wait_ms": {name: round(statistics.median(r[name] for r in rounds)) for name in rounds[0]},
            "slowest_wait_ms": {name: round(max(r[name] for r in rounds)) for name in rounds[0]},
            "filter_whole_ms": {"first_time": first_time, "again": again},
            "browsers": BROWSERS,
            "wait_ms_with_browsers": {"median": round(statistics.median(waits)), "slowest": round(max(waits))},
            "server_peak_mib": alone,
            "server_peak_mib_with_browsers": peak_mib(server),
        }  # fmt: skip


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def main() -> None:
    """Invent the set, measure, write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where the set was made before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if given.folder is None:
            invent(N, folder)
        found = measure(folder)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
