from __future__ import annotations

import polars as pl
from report_example import NAN, example, row

from dfar_toolkit.report.cells import over_text
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.reasons import reasons_section
from dfar_toolkit.report.scored import scores_section
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
    assert found.rows[0] == ("leak.exact", "fail", "189", "500", "", "ethical\nethical\nethical\n… and 2 more")
    assert absent.rows == (("label.range", "fail", "500"),)


def test_what_could_not_be_looked_for_is_not_called_clean() -> None:
    blind = {"finding": "annotators.fast", "severity": "warn", "count": 0, "total": 0, "examples": []}
    seen = {**blind, "finding": "text.bom", "total": 8}
    (audit,) = sections(ReportData(title="t", findings=[blind, seen]))
    assert [(table.caption, table.rows) for table in audit.tables] == [
        ("Looked for and not found", (("text.bom", "warn", "8"),)),
        ("Nothing to look at", (("annotators.fast", "warn"),)),
    ]


def test_every_interval_says_what_it_is_over() -> None:
    scores = next(s for s in sections(example()) if s.key == "scores")
    assert scores.text[0].startswith("Intervals of 95 %;")
    for section in sections(example()):
        for table in section.tables:
            if "over" in table.columns:
                at = {name: i for i, name in enumerate(table.columns)}
                for r in table.rows:
                    wanted = "" if r[at["interval"]] == "–" else " groups, bootstrap"
                    assert r[at["over"]].endswith(wanted)
                    assert bool(r[at["over"]]) == bool(wanted)


def test_a_wider_scope_is_said() -> None:
    wide = {"low": 0.1, "high": 0.2, "n_units": 1, "unit": "groups", "method": "bootstrap", "scope": "items+raters"}
    assert over_text(wide) == "1 group, bootstrap, over items+raters"


def test_label_mix_stands_by_the_scores_once_where_runs_share_it() -> None:
    shares = [
        row("label_share", run, value, label=label, subset=subset, n=n)
        for run in "ab"
        for subset, n in (("all", 1500), ("clean", 40 if run == "a" else 41))
        for label, value in (("ethical", 0.53), ("unethical", 0.47))
    ]
    text = scores_section(pl.DataFrame(shares)).text
    assert text[1:] == (
        "Label mix (all): ethical 53 %, unethical 47 % (n = 1,500).",
        "Label mix (clean, a): ethical 53 %, unethical 47 % (n = 40).",
        "Label mix (clean, b): ethical 53 %, unethical 47 % (n = 41).",
    )


def test_runs_without_a_judged_reason_stand_apart() -> None:
    reasons = next(s for s in sections(example()) if s.key == "reasons")
    assert "No reason of plain was judged." in reasons.text
    judged, unjudged, _ = reasons.tables
    assert [r[0] for r in judged.rows] == ["human", "reasons"]
    assert unjudged.folded
    assert [(r[0], r[3], r[-1]) for r in unjudged.rows] == [("plain", "–", "undefined: no reason was judged")]
    none = [row("mar_mean", "a", NAN), row("reason_missing_share", "a", 1.0)]
    assert reasons_section(pl.DataFrame(none), {}).text == ("a gave no reasons.",)
