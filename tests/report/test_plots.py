from __future__ import annotations

from typing import Any

import polars as pl
from report_example import HOSTILE, NAN, example, row

from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.plots import agreement_plot, confusion_plot, findings_plot, reasons_plot, scores_plot
from dfar_toolkit.report.sections import sections


def _rows(chart: Any) -> list[dict[str, Any]]:
    spec = chart.to_dict()
    found: list[dict[str, Any]] = spec["datasets"][spec["data"]["name"]]
    return found


def test_agreement_draws_defined_statistics_in_order() -> None:
    points = _rows(agreement_plot(example().agreement))
    assert [p["name"] for p in points] == ["krippendorff_alpha (nominal)", "unethical (nominal)"]
    assert (points[0]["low"], points[0]["value"], points[0]["high"]) == (0.311, 0.347, 0.383)


def test_pairs_of_annotators_share_a_line_without_whiskers() -> None:
    alpha = example().agreement[0]
    pairs = [
        {**alpha, "statistic": "cohen_kappa", "level": None, "rater_a": "a", "rater_b": str(i), "value": i / 1000}
        for i in range(400)
    ]
    chart: Any = agreement_plot([alpha, *pairs])
    points = _rows(chart)
    assert [p["name"] for p in points] == ["krippendorff_alpha (nominal)"] + ["cohen_kappa, pairs"] * 300
    assert points[300]["low"] == points[300]["high"] == points[300]["value"] == 0.299
    assert chart.to_dict()["height"] == 2 * 26
    table = next(s for s in sections(ReportData("", agreement=[alpha, *pairs])) if s.key == "agreement").tables[1]
    assert table.caption == "Pairs of annotators, the first 300 of 400"
    assert table.columns[:3] == ("statistic", "rater_a", "rater_b")
    assert len(table.rows) == 300


def test_findings_gravest_first_without_the_absent() -> None:
    rows = [
        {"finding": "a", "severity": "warn", "count": 5, "total": 9},
        {"finding": "b", "severity": "fail", "count": 1, "total": None},
        {"finding": "c", "severity": "fail", "count": 0, "total": 9},
    ]
    chart: Any = findings_plot(rows)
    assert [(p["name"], p["text"]) for p in _rows(chart)] == [("b", "1"), ("a", "5 of 9")]
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]
    assert findings_plot(rows[2:]) is None


def test_scores_with_the_majority_beside_accuracy_only() -> None:
    marks = _rows(scores_plot(example().scores))
    assert {m["metric"] for m in marks} == {"accuracy", "macro_f1"}
    assert {m["metric"] for m in marks if m["role"] == "majority"} == {"accuracy"}
    assert scores_plot(pl.DataFrame([row("accuracy", "r", NAN)])) is None


def test_a_value_without_an_interval_is_a_dot() -> None:
    marks = _rows(scores_plot(pl.DataFrame([row("accuracy", "r", 0.5, low=NAN, high=NAN)])))
    assert (marks[0]["low"], marks[0]["high"]) == (0.5, 0.5)


def test_human_reasons_are_the_floor_and_come_first() -> None:
    marks = _rows(reasons_plot(example().scores))
    assert [m["run"] for m in marks if m["role"] == "value"] == ["human", "reasons"]
    assert [m["run"] for m in marks if m["role"] == "floor"] == ["human"]


def test_confusion_has_a_column_without_a_label_and_tells_long_names_apart() -> None:
    long = ("x" * 60 + "1", "x" * 60 + "2")
    cells = _rows(confusion_plot(example(options=long).confusions["plain"]))
    assert len({c["gold"] for c in cells}) == 2
    assert {c["pred"] for c in cells} >= {"no label"}
    assert sum(c["count"] for c in cells) == 3 * 7 + 3 * 8
    named = _rows(confusion_plot(example(options=("no label", *HOSTILE)).confusions["plain"]))
    assert {"no label", "(no label)"} <= {c["pred"] for c in named}
