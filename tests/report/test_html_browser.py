"""The report in a real browser: it asks nobody for anything, and hostile text does nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from report_example import HOSTILE, IMAGE, LINK, SCRIPT, example

from dfar_toolkit.report.html import html

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_report_in_chromium(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    file = tmp_path / "report.html"
    file.write_text(html(example(options=HOSTILE, runs=(IMAGE, LINK), title=SCRIPT)), encoding="utf-8")
    asked: list[str] = []
    complaints: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        assert page.title() == SCRIPT
        assert page.locator("h1").inner_text() == SCRIPT
        assert page.locator("svg").count() == 6
        assert page.locator("script, img, iframe, form, object, embed, link").count() == 0
        widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1]
        page.screenshot(path=tmp_path / "report.png", full_page=True)
        browser.close()
    assert asked == [file.as_uri()]
    assert complaints == []
