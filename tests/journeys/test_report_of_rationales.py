"""A report on explained runs holds what ``dfar score`` says of their rationales; of other runs nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest
from explained_set import Explained, explained_set

from dfar_toolkit.journeys.report import report_data, report_on
from dfar_toolkit.journeys.scores import score_file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Explained:
    return explained_set(tmp_path_factory.mktemp("explained"))


def test_the_numbers_are_those_of_dfar_score(made: Explained) -> None:
    data = report_data(made.items, [made.runs["why"], made.runs["early"]], n_boot=100)
    for run in ("why", "early"):
        alone = score_file(made.runs[run], items=made.items, n_boot=100)
        assert len(alone.rationales) > 0
        assert data.rationales.filter(run_id=run).equals(alone.rationales)
        assert data.rationale_differences.filter(run_id=run).equals(alone.differences)


def test_the_section_stands_in_page_and_markdown(made: Explained, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    report_on(made.items, [made.runs["why"]], out=out, n_boot=100)
    assert "why: before any rationale is believed" in out.read_text(encoding="utf-8")
    assert "## Rationales" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_plain_runs_have_no_such_section(made: Explained) -> None:
    data = report_data(made.items, [made.runs["plain"]], n_boot=100)
    assert not len(data.rationales)
    assert not len(data.rationale_differences)
