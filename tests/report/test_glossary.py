from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from report_example import row

from dfar_toolkit.agreement import agreement_table
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.comparing import HEADLINES
from dfar_toolkit.journeys.report import report_data
from dfar_toolkit.metrics.ordinal import ordinal_table
from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_scores
from dfar_toolkit.metrics.subsets import leak_subsets
from dfar_toolkit.report.answer_shares import BIAS_HEADLINES
from dfar_toolkit.report.as_annotator import PEOPLE_HEADLINES
from dfar_toolkit.report.calibrated import CALIBRATION_HEADLINES
from dfar_toolkit.report.ceilings import CEILING_HEADLINES
from dfar_toolkit.report.distributions import REFERENCES, SOFT_HEADLINES
from dfar_toolkit.report.document import ReportData
from dfar_toolkit.report.glossary import MEANINGS, meanings
from dfar_toolkit.report.plots import HEADLINE, RATES
from dfar_toolkit.report.reasons import JUDGE_HEADLINES
from dfar_toolkit.report.sections import glossary_section


@pytest.fixture(scope="module")
def data(demo: Path) -> ReportData:
    runs = sorted((demo / "runs").iterdir())
    return report_data(
        read_items(demo / "items"), runs, judgements=demo / "judgements.csv", judge_models=["judge_1"], n_boot=20
    )


def test_every_name_in_the_demo_has_a_sentence(data: ReportData) -> None:
    names = set(data.scores["metric"]) | {str(r["statistic"]) for r in data.agreement}
    assert data.comparison is not None
    names |= set(data.comparison.differences["metric"])
    names |= set(data.scores.filter(pl.col("part") != "judging")["predictor"].drop_nulls())
    assert len(names) > 150
    assert names <= set(MEANINGS)
    shown = {r[0] for t in glossary_section(data).tables for r in t.rows}
    assert shown == names


def test_every_headline_has_a_sentence() -> None:
    tables = (SOFT_HEADLINES, REFERENCES, CEILING_HEADLINES, CALIBRATION_HEADLINES, PEOPLE_HEADLINES, BIAS_HEADLINES)
    assert {name for table in (*tables, JUDGE_HEADLINES, HEADLINE[:4], RATES, HEADLINES) for name in table} <= set(
        MEANINGS
    )


def test_ordered_labels_have_sentences() -> None:
    table = ordinal_table(gold=[1, 2, 3], pred=[1, 3, 3], ci=None)
    assert set(table["metric"]) <= set(MEANINGS)


def test_the_name_of_a_judge_is_no_name_of_a_number() -> None:
    rows = [row("judge_kappa", "r", 0.5, part="judging", predictor="uniform")]
    assert [r[0] for r in glossary_section(ReportData("", scores=pl.DataFrame(rows))).tables[0].rows] == ["judge_kappa"]


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


def test_jensen_shannon_is_in_bits_as_the_scores_are() -> None:
    apart = pair_distributions("apart", None, gold=[[1.0, 0.0]], pred=[[0.0, 1.0]])
    found = next(score for score in soft_label_scores(apart) if score.metric == "jensen_shannon_divergence")
    assert found.formula(found.rows.sum(axis=0, keepdims=True))[0] == pytest.approx(1.0)
    assert "in bits, from 0 to 1." in MEANINGS["jensen_shannon_divergence"]


def test_names_without_a_sentence_are_left_out() -> None:
    assert list(meanings(["my_own", "f1"])) == ["f1"]
    assert glossary_section(ReportData("t")).tables == ()


def test_the_footer_names_version_draws_and_seed(data: ReportData) -> None:
    assert data.footer[0].startswith("dfar-toolkit ")
    assert data.footer[0].endswith("; 20 bootstrap draws for the scores; seed 0")
