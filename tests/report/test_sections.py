from __future__ import annotations

from report_example import example

from dfar_toolkit.report.document import ReportData, manifest_facts
from dfar_toolkit.report.sections import sections


def test_sections_without_content_are_left_out() -> None:
    assert sections(ReportData(title="t")) == []
    assert [s.key for s in sections(ReportData(title="t", notes=["n"]))] == ["notes"]


def test_cells_match_their_columns() -> None:
    for section in sections(example()):
        for table in section.tables:
            assert {len(r) for r in table.rows} == {len(table.columns)}
            assert all(isinstance(c, str) for r in table.rows for c in r)


def test_findings_that_were_looked_for_and_not_found_are_listed() -> None:
    audit = next(s for s in sections(example()) if s.key == "findings")
    assert audit.text == ("3 checks, 2 with findings.",)
    found, absent = audit.tables
    assert found.rows[0] == ("leak.exact", "fail", "189", "500", "", "ethical ‖\nethical ‖\nethical ‖\n… and 2 more")
    assert absent.rows == (("label.range", "fail", "500"),)


def test_what_the_intervals_are_is_said_once() -> None:
    scores = next(s for s in sections(example()) if s.key == "scores")
    assert scores.text == ("Intervals: 95 %, bootstrap, over groups.",)


def test_facts_leave_files_out() -> None:
    manifest = {
        "files": {"a": 1},
        "configs": {"default": {"splits": {"train": {"rows": 3}}}},
        "accepted": [],
        "seed": 0,
    }
    assert manifest_facts(manifest) == {"configs · default · splits · train": "rows: 3", "seed": "0"}
