"""Every page of a set that is too large for what costs much: nothing breaks, and what is left out is offered."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from shown_page import STREAMLIT_WARNINGS, links_of, show_page, words_of

pytestmark = STREAMLIT_WARNINGS
N = 200_001  # one above the number up to which all is counted
INVENTING = Path(__file__).parents[2] / "benchmarks" / "browse_index.py"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The set of the benchmark, smaller: three runs, five people."""
    spec = importlib.util.spec_from_file_location("browse_index", INVENTING)
    assert spec is not None
    assert spec.loader is not None
    inventing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inventing)
    folder = tmp_path_factory.mktemp("large")
    inventing.invent(N, folder)
    return [folder / "items", *(folder / f"run_{run}" for run in range(inventing.RUNS))]


PAGES = {
    "overview": ["200,001 items", "run_0", "Open Runs for metrics"],
    "items": ["200,001 items"],
    "item": ["1 of 200,001"],
    "agreement": ["Agreement"],
    "runs": ["run_2", "right"],
    "compare": ["run_0", "run_1"],
    "errors": ["Errors of", "run_0"],
    "faithfulness": ["Faithfulness"],
    "judge": ["Judg"],
    "export": ["200,001"],
}


@pytest.mark.parametrize("page", PAGES)
def test_every_page_can_be_made(large: list[Path], page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query: dict[str, str | list[str]] = {"id": "made:test:0000000"} if page == "item" else {}
    shown = show_page(monkeypatch, page, large, query)
    words = words_of(shown)
    assert not shown.error, [one.value for one in shown.error]
    for wanted in PAGES[page]:
        assert wanted in words


def test_the_overview_through_the_frame(large: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show_page(monkeypatch, "app", large)
    assert "could not be made" not in words_of(shown)
    assert links_of(shown)["Open Runs for metrics with intervals →"]
