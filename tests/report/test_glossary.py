from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.agreement import agreement_table
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.demo import run_demo
from dfar_toolkit.journeys.report import report_data
from dfar_toolkit.metrics.subsets import leak_subsets
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.glossary import MEANINGS, meanings
from dfar_toolkit.report.sections import glossary_section


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    out = tmp_path_factory.mktemp("demo") / "out"
    run_demo(out)
    runs = sorted((out / "runs").iterdir())
    return report_data(read_items(out / "items"), runs, judgements=out / "judgements.csv", n_boot=20)


def test_every_name_in_the_demo_has_a_sentence(demo: ReportData) -> None:
    names = set(demo.scores["metric"]) | {str(r["statistic"]) for r in demo.agreement}
    names |= {m for c in demo.comparisons for m in c.differences["metric"]}
    assert len(names) > 30
    assert names <= set(MEANINGS)
    shown = {r[0] for t in glossary_section(demo).tables for r in t.rows}
    assert shown == names


def test_everything_of_agreement_and_every_subset_has_a_sentence() -> None:
    ratings = [("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("y", "b", 2)]
    table = agreement_table(ratings, kind="ordinal", everything=True, ci=None)
    assert set(table["statistic"]) <= set(MEANINGS)
    items = pl.DataFrame({"leak_kind": ["exact", "near", "stem", None]})
    assert {s.name for s in leak_subsets(items)} - {"all"} <= set(MEANINGS)


def test_sentences_are_one_plain_line() -> None:
    for text in MEANINGS.values():
        assert text.endswith(".")
        assert "\n" not in text
        assert "  " not in text


def test_names_without_a_sentence_are_left_out() -> None:
    assert list(meanings(["my_own", "f1"])) == ["f1"]
    assert glossary_section(ReportData("t")).tables == ()


def test_the_footer_names_version_draws_and_seed(demo: ReportData) -> None:
    assert demo.footer[0].startswith("dfar-toolkit ")
    assert demo.footer[0].endswith("; 20 bootstrap draws for the scores; seed 0")
