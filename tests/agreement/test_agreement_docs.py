"""The page about agreement runs, and its printed digits are true."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agreement.md"


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/agreement.md", "exec"), {})
    printed = page.split("krippendorff_alpha(ratings, ci=None))  # ")[1].splitlines()[0]
    assert capsys.readouterr().out.startswith(printed)
