from __future__ import annotations

import json

from report_example import HOSTILE, IMAGE, LINK, example

from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.json_document import json_document


def test_numbers_are_whole_and_undefined_is_null() -> None:
    found = json.loads(json_document(example()))
    assert found["agreement"][0]["value"] == 0.347
    undefined = [r for r in found["scores"] if r["metric"] == "mar_mean" and r["run_id"] == "plain"]
    assert undefined[0]["value"] is None
    assert undefined[0]["note"] == "no reason was judged"
    assert found["footer"] == []
    assert found["comparison"]["differences"][0]["p_value"] == 0.012
    assert found["comparison"]["runs"] == ["plain", "reasons"]
    assert json.loads(json_document(ReportData("t")))["comparison"] is None
    assert found["confusions"]["plain"][2] == {"gold": "ethical", "pred": None, "count": 7}


def test_text_comes_back_as_it_was() -> None:
    found = json.loads(json_document(example(options=HOSTILE, runs=(IMAGE, LINK))))
    assert list(found["confusions"]) == [IMAGE, LINK]
    assert found["findings"][0]["examples"] == [HOSTILE[0]] * 5


def test_lone_surrogates_can_be_written() -> None:
    assert json_document(ReportData(title="a\ud800b")).encode() == json_document(ReportData(title="a?b")).encode()
    assert json_document(example()) == json_document(example())
