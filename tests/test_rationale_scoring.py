"""Scores of rationales and the tests between methods, from outputs made by hand, as exact fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from dfar_toolkit.cli.printing_rationales import print_rationales
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.faithfulness import perturbed_outputs, run_differences
from dfar_toolkit.scoring import score
from dfar_toolkit.scoring.alignment_changes import alignment_changes
from dfar_toolkit.scoring.rationale_differences import rationale_differences
from dfar_toolkit.scoring.rationale_scores import RATIONALE_COLUMNS, rationale_parts, rationale_scores
from made_rationales import ATTENTION, EMPTY, FULL, HUMAN, RANDOM, annotations, items, outputs


def scored(said: pl.DataFrame, people: pl.DataFrame | None = None, **how: Any) -> pl.DataFrame:
    return rationale_scores(said, items(), people, n_boot=200, **how)


def number(table: pl.DataFrame, metric: str, method: str = "attention", **where: Any) -> Mapping[str, Any]:
    rows = table.filter(
        pl.col("metric") == metric, pl.col("rationale_method") == method,
        *(pl.col(name).is_null() if value is None else pl.col(name) == value for name, value in where.items()),
    )  # fmt: skip
    assert len(rows) == 1
    return rows.row(0, named=True)


def drop(item: str, p: float) -> Fraction:
    return Fraction(FULL[item][1]) - Fraction(p)


def mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def random_drop(item: str, k: int) -> Fraction:
    return mean([drop(item, falls[k - 1]) for falls in RANDOM[item]])


def test_faithfulness_without_a_rationales_own_words() -> None:
    table = scored(outputs(), annotations())
    assert table.schema == RATIONALE_COLUMNS
    fallen = {"i1": drop("i1", 0.25), "i2": drop("i2", 0.25)}  # one word, and two: as many as people marked
    own = number(table, "comprehensiveness", k=-1)
    assert (own["value"], own["n"]) == (float(mean(list(fallen.values()))), 2)
    over = [fallen["i1"] - random_drop("i1", 1), fallen["i2"] - random_drop("i2", 2)]
    assert number(table, "comprehensiveness_over_random", k=-1)["value"] == float(mean(over)) == 13 / 32
    assert number(table, "flip_rate", k=-1)["value"] == 1.0
    assert number(table, "flip_rate_over_random", k=-1)["value"] == 1.0
    assert number(table, "flip_rate", "random", k=-1)["value"] == 0.0
    assert number(table, "flip_rate", "random", k=1)["value"] == 1 / 6  # one of two draws of one of three items
    assert number(table, "normalised_comprehensiveness", k=-1)["value"] == float(
        Fraction(9, 8) / (Fraction(1, 2) + Fraction(5, 8))
    )
    assert number(table, "sufficiency", k=1)["value"] == pytest.approx(
        float(mean([drop(i, 1 - p[0]) for i, p in ATTENTION.items()])), abs=1e-15
    )
    assert number(table, "flip_rate", "human", k=-1)["value"] == 0.5
    named = number(table, "comprehensiveness", k=None, share=None)  # by another way to the same words
    assert (named["words_of"], named["value"]) == ("human", own["value"])
    better = dict(zip(table["metric"], table["higher_is_better"], strict=True))
    assert (better["comprehensiveness"], better["sufficiency_over_random"], better["dffot"]) == (True, False, False)


def test_curves_of_a_short_item_have_a_term_for_every_share() -> None:
    table = scored(outputs(), annotations())
    terms = {item: [drop(item, p[0]), drop(item, p[0]), drop(item, p[1])] for item, p in ATTENTION.items()}
    aopc = number(table, "aopc_comprehensiveness")
    assert aopc["value"] == pytest.approx(float(mean([mean(own) for own in terms.values()])), abs=1e-15)
    assert aopc["n"] == 3
    assert aopc["value"] == pytest.approx(25 / 72, abs=1e-15)
    over = [mean([t - random_drop(i, k) for t, k in zip(own, (1, 1, 2), strict=True)]) for i, own in terms.items()]
    assert number(table, "aopc_comprehensiveness_over_random")["value"] == pytest.approx(float(mean(over)), abs=1e-15)
    assert number(table, "dfmit")["value"] == pytest.approx(1 / 3)
    assert number(table, "dffot")["value"] == pytest.approx(5 / 12)
    apart = [(drop(i, p[0]) - random_drop(i, 1), drop(i, p[1]) - random_drop(i, 2)) for i, p in ATTENTION.items()]
    area = mean(
        [Fraction(13, 40) * one + Fraction(3, 8) * two for one, two in apart]
    )  # trapezoids over 0, .1, .25, .5, 1
    assert number(table, "acu")["value"] == pytest.approx(float(area), abs=1e-15)
    assert not len(table.filter(rationale_method="random", metric="acu"))


def test_plausibility_against_people() -> None:
    table = scored(outputs(), annotations())
    above = number(table, "token_f1_above_chance")
    assert above["value"] == pytest.approx(1 / 4, abs=1e-15)  # 1 - 1/4, 1/2 - 1/2, and nothing marked: 0
    assert (above["n"], above["coverage"], above["higher_is_better"]) == (3, 3 / 4, True)  # of i4 nothing was said
    assert number(table, "token_f1")["value"] == pytest.approx(5 / 6, abs=1e-15)
    precise = number(table, "average_precision")
    assert (precise["value"], precise["n"]) == (pytest.approx(19 / 24, abs=1e-15), 2)
    assert "human" not in table.filter(part="plausibility")["rationale_method"]


def test_accuracy_beside_rationales_is_that_of_every_score() -> None:
    rails = scored(outputs(), annotations())
    found = number(rails, "accuracy", "")
    headline = score(outputs().filter(condition="full"), items(), parts=["labels"], n_boot=100)
    wanted = headline.filter(pl.col("metric") == "accuracy", pl.col("subset") == "all").row(0, named=True)
    for name in ("value", "low", "high", "n", "n_units"):
        assert found[name] == wanted[name], name
    assert (found["value"], found["n"]) == (3 / 4, 4)
    assert "1 of 4 items are not in the run and count as wrong" in found["note"]
    covered = number(rails, "coverage", "", operator="")
    assert (covered["value"], covered["note"]) == (3 / 4, "1 of 4 items are not in the run")
    assert number(rails, "missing_share", "", operator="")["value"] == 1 / 4
    assert number(rails, "p_empty", "")["value"] == float(mean([Fraction(p) for p in EMPTY.values()]))
    assert number(rails, "flippable_share", "")["value"] == pytest.approx(2 / 3)


def test_a_collapse_stands_beside_every_number_that_it_touches() -> None:
    table = scored(outputs(constant=True), annotations())
    touched = table.filter(pl.col("rationale_method") != "", pl.col("part") == "faithfulness")
    of_answers = touched.filter(
        ~pl.col("metric").is_in(["coverage", "unparsed_share", "failed_share", "missing_share"])
    )
    assert of_answers["note"].str.contains('the model says "a" for 100.0 % of items').all()
    assert number(table, "sufficiency", k=-1)["value"] == 0.0  # the best that there is, and worth nothing
    assert not scored(outputs())["note"].str.contains("the model says .*say little").any()


def test_without_random_words_nothing_is_over_random() -> None:
    table = scored(outputs(random=False), annotations())
    over = table.filter(pl.col("metric").str.ends_with("_over_random"))
    assert len(over)
    assert over["value"].is_nan().all()
    assert over["note"].str.contains("no random rationales to compare with").all()
    assert not table["metric"].is_in(["acu", "racu"]).any()
    assert number(table, "flip_rate", k=-1)["value"] == 1.0
    tests = rationale_differences(outputs(random=False), items(), annotations(), n_boot=100)
    assert tests["p_holm"].is_nan().all()


def test_without_peoples_marks_there_is_no_alignment() -> None:
    said = outputs()
    assert rationale_parts(said) == ("plausibility", "faithfulness")
    unmarked = annotations().with_columns(evidence=pl.lit(None, dtype=annotations().schema["evidence"]))
    for people in (None, unmarked):
        assert set(scored(said, people)["part"]) == {"faithfulness"}
        assert not rationale_differences(said, items(), people, n_boot=100)["metric"].str.contains("token").any()
    with pytest.raises(TableError, match="unknown part 'plausible'"):
        scored(said, parts=["plausible"])
    assert set(scored(said, annotations(), parts=["plausibility"])["part"]) == {"plausibility"}


def test_runs_are_scored_apart() -> None:
    both = pl.concat([outputs("r"), outputs("s", constant=True)])
    table = scored(both, annotations())
    for run, own in (("r", outputs("r")), ("s", outputs("s", constant=True))):
        alone = scored(own, annotations()).sort(pl.all())
        assert table.filter(run_id=run).sort(pl.all()).equals(alone, null_equal=True)
    tests = rationale_differences(both, items(), annotations(), n_boot=100)
    assert set(tests["run_id"]) == {"r", "s"}


def test_differences_are_the_second_method_minus_the_first() -> None:
    tests = rationale_differences(outputs(), items(), annotations(), n_boot=200)
    row = tests.filter(metric="comprehensiveness_over_random").row(0, named=True)
    assert (row["method_a"], row["method_b"], row["operator"]) == ("attention", "human", "mask")
    moved = [Fraction(0.25) - Fraction(HUMAN["i1"]), Fraction(0)]  # of equal numbers of words: the random part cancels
    assert row["value"] == float(mean(moved))
    assert (row["n"], row["n_units"], row["unit"]) == (2, 1, "groups")  # both items are of one group
    assert row["p_value"] == row["p_holm"] == 1.0
    assert row["higher_is_better"]
    flips = tests.filter(metric="flip_rate_over_random").row(0, named=True)
    assert flips["value"] == -0.5
    aligned = tests.filter(pl.col("metric") == "token_f1_above_chance")
    assert not len(aligned)  # people's words are the gold itself, and random words wrote no rationale here


def test_differences_are_of_the_parts_asked_for() -> None:
    assert not len(rationale_differences(outputs(), items(), annotations(), parts=("plausibility",), n_boot=200))


@pytest.mark.parametrize("column", ["k", "draw"])
def test_a_number_too_large_to_be_one_of_words_is_refused(column: str) -> None:
    huge = pl.when(pl.col("k") > 0).then(2**62).otherwise(column).alias(column)
    with pytest.raises(TableError, match="no numbers of words"):
        perturbed_outputs(outputs().with_columns(huge), items())


def test_methods_before_and_after_are_one_family() -> None:
    loose = items().with_columns(group=pl.col("item_id"))
    runs = {run: perturbed_outputs(outputs(run, constant=run == "after"), loose) for run in ("before", "after")}
    how: dict[str, Any] = {"metric": "comprehensiveness", "operator": "mask", "n_boot": 100}
    both = run_differences(runs, method=["attention", "human"], **how)
    single = [run_differences(runs, method=method, **how) for method in ("attention", "human")]
    assert both.drop("p_holm").equals(pl.concat(single).drop("p_holm"))
    smallest = min(both["p_value"])
    assert both["p_holm"].min() == min(1.0, 2 * smallest)
    assert both["value"][0] == -13 / 32  # after: nothing falls


def test_the_printed_row_is_that_of_the_rationales_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    table = scored(outputs(), annotations())
    hidden = print_rationales(table, rationale_differences(outputs(), items(), annotations(), n_boot=100), "95 %",
                              everything=False)  # fmt: skip
    printed = capsys.readouterr().out
    assert 0 < hidden < len(table)
    assert "noise_margin" in printed
    assert " 1e-05 " in printed
    (line,) = [own for own in printed.splitlines() if own.strip().startswith("attention") and "0.406" in own]
    assert "1.000" in line  # flips; at one word they would be 0.333
    assert "0.333" not in line
    assert "lower" in printed[printed.index("without the words") : printed.index("without the words") + 250]


def test_alignment_of_two_runs_is_compared_pair_by_pair() -> None:
    changed = {"item_id": "i1", "method": "attention", "condition": "rationale"}
    worse = outputs("late").with_columns(
        word_scores=pl.when(**changed)
        .then(pl.lit([0.0, 0.0, 0.0, 0.5]))
        .otherwise("word_scores")
    )  # fmt: skip
    both = pl.concat([outputs("early"), worse])
    [row] = alignment_changes(both, items(), annotations(), ("early", "late"), n_boot=100).to_dicts()
    # Item i1: one of four words is marked and one is chosen; F1 is 1 early and 0 late; chance is the same. Three items.
    assert row["value"] == pytest.approx(float(Fraction(-1, 3)), abs=1e-12)
    assert (row["rationale_method"], row["run_a"], row["run_b"], row["n"]) == ("attention", "early", "late", 3)
    assert row["p_holm"] == row["p_value"]
    assert "\x1f" not in row["note"]
    [back] = alignment_changes(both, items(), annotations(), ("late", "early"), n_boot=100).to_dicts()
    assert back["value"] == pytest.approx(float(Fraction(1, 3)), abs=1e-12)
