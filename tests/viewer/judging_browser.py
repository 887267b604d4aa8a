"""Judges in real browsers, and a server that is killed under them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit._viewer.launch import command

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
READING = 0.45  # seconds before an answer: what comes sooner is taken for half of a double click
SEEN = """() => {
  const top = document.querySelector('[data-kept]'), card = document.querySelector('[data-blind]');
  return top && {kept: top.dataset.kept, count: Number(top.dataset.acknowledged), blind: card ? card.dataset.blind : '',
    practised: !!document.querySelector('.j-feedback'), end: !card && document.body.innerText.includes('Thank you')};
}"""


def chromium_path() -> str:
    """The system's Chromium; without one the test is left out."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """The viewer's server with a round, which can be killed and started again on the same port."""

    def __init__(self, items: Path, runs: Sequence[Path], judge: Path, log: Path) -> None:
        self.port = free_port()
        self._line = command(items, runs, judge=judge, port=self.port)
        self._log = log
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("a") as log:
            environment = {**os.environ, "DFAR_VIEWER_COORDINATOR_TOKEN": "a-token-of-this-test"}
            self._process = subprocess.Popen(self._line, stdout=log, stderr=log, env=environment)
        for _ in range(240):
            assert self._process.poll() is None, self._log.read_text()
            try:
                with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"the viewer did not start: {self._log.read_text()}")

    def kill(self) -> None:
        """As a crash of the machine would end it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class BrowsingJudge(threading.Thread):
    """A judge with a browser of their own, who answers until the end and notes what the page acknowledged.

    Attributes:
        acknowledged: Blind id and value, in the order in which the page showed that they are kept.
        failed: What went wrong, if anything did.
    """

    def __init__(self, name: str, address: str, until: float) -> None:
        super().__init__(daemon=True)
        self.judge, self._address, self._until = name, address, until
        self.acknowledged: list[tuple[str, str | None]] = []
        self.failed: BaseException | None = None
        self._rng = random.Random(name)

    def run(self) -> None:
        from playwright.sync_api import sync_playwright

        try:
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=chromium_path(), args=QUIET)
                self._judge_all(browser.new_page(viewport={"width": 1000, "height": 900}))
                browser.close()
        except BaseException as error:  # shown by whoever waits for the thread
            self.failed = error

    def _judge_all(self, page: Any) -> None:
        from playwright.sync_api import Error

        page.set_default_timeout(4000)
        lost = True
        while time.monotonic() < self._until:
            try:
                if lost:
                    page.goto(f"{self._address}/judge?judge={self.judge}")
                page.wait_for_function(f"({SEEN})()", timeout=10_000)
                lost = False
                if self._judged_one(page):
                    return
            except Error:  # the server is away: half of the judges wait, the others load the page again
                lost = self._rng.random() < 0.5
                time.sleep(0.3)
        raise TimeoutError(f"{self.judge} was not done in time")

    def _judged_one(self, page: Any) -> bool:
        """Answer what is on the page; whether it is the end."""
        seen = page.evaluate(SEEN)
        if seen["end"] or not seen["blind"]:
            return bool(seen["end"])
        if seen["practised"]:
            page.keyboard.press("ArrowRight")
            page.wait_for_function(f"({SEEN})().blind !== '{seen['blind']}'")
            return False
        if seen["kept"] == seen["blind"]:  # its answer is kept; the next reason is on its way
            time.sleep(0.05)
            return False
        page.wait_for_selector(f".st-key-accept-{seen['blind']} button:enabled")
        time.sleep(READING)
        value = answer_to(seen["blind"])
        self._give(page, seen["blind"], value)
        page.wait_for_function(f"({SEEN})().kept === '{seen['blind']}'")
        self.acknowledged.append((seen["blind"], value))
        return False

    def _give(self, page: Any, blind: str, value: str | None) -> None:
        """By key, by click or by double click, some with a note."""
        way = self._rng.random()
        if way < 0.1:
            page.locator(f".st-key-note-{blind} textarea").fill(note_on(blind))
        if way < 0.4:
            kind = {"good": "accept", "bad": "reject", None: "skip"}[value]
            button = page.locator(f".st-key-{kind}-{blind} button")
            (button.dblclick if way > 0.3 else button.click)()
        else:
            page.keyboard.press({"good": "g", "bad": "b", None: "s"}[value])


def answer_to(blind: str) -> str | None:
    """What every judge says of a reason."""
    return ("good", "bad", "good", None)[int(blind[1:]) % 4]


def note_on(blind: str) -> str:
    """A note that names its reason."""
    return f'About {blind}: "so, so"\nand more'
