"""docs/dfar-encoder.md is what its script makes of the committed numbers, and these are sound."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dfar-encoder.md"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "dfar_encoder.json").read_text())
    return content


@pytest.fixture(scope="module")
def rates() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "dfar_encoder_rate.json").read_text())
    return content


def test_the_page_is_what_the_script_writes(found: dict[str, Any], rates: dict[str, Any]) -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "dfar_encoder_page.py"))
    assert PAGE.read_text(encoding="utf-8") == script["page"](found, rates)


def test_the_rate_is_the_one_that_the_development_split_picks(found: dict[str, Any], rates: dict[str, Any]) -> None:
    best = max(rates["rates"], key=lambda row: (row["accuracy"], -row["log_loss"]))
    assert best["rate"] == rates["picked"] == rates["default"] == found["settings"]["learning_rate"]
    assert [row["rate"] for row in rates["rates"]] == [1e-4, 3e-4, 1e-3]
    assert rates["learned"] + rates["development"] == found["items"]["clean"]["learned"]
    for row in rates["rates"]:
        hits = row["accuracy"] * rates["development"]
        assert hits == pytest.approx(round(hits), abs=1e-6)


def test_the_numbers_are_of_the_same_items(found: dict[str, Any]) -> None:
    n = {row["subset"]: row["n"] for row in found["subsets"]}
    assert n["leaked"] + n["clean"] == n["all"] == 500
    assert (
        found["items"]["clean"]["learned"] == found["items"]["published"]["learned"] - found["items"]["clean"]["leaked"]
    )
    runs = {(r["method"], r["arm"], r["seed"], r["subset"]): r for r in found["runs"]}
    assert len(runs) == len(found["runs"]) == 6 * 2 * 3 * 3
    for (method, arm, seed, subset), run in runs.items():
        assert run["n"] == n[subset]
        assert run["accuracy"] * run["n"] == pytest.approx(round(run["accuracy"] * run["n"]), abs=1e-9)
        if subset == "all":
            parts = [runs[method, arm, seed, name] for name in ("leaked", "clean")]
            hits = sum(part["accuracy"] * part["n"] for part in parts)
            assert run["accuracy"] * run["n"] == pytest.approx(hits, abs=1e-9)
    for row in found["over_seeds"]:
        own = [runs[row["method"], row["arm"], seed, row["subset"]]["accuracy"] for seed in (0, 1, 2)]
        assert row["value"] == pytest.approx(sum(own) / 3)
        assert row["low"] <= row["value"] <= row["high"]
