"""Numbers of a simulator's guesses: a hand-worked file of eight items, what cannot be read, and what does not fit."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.faithfulness import HIGHER_IS_BETTER
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.metrics.self_consistency.simulation import SIMULATED, simulated_items, simulated_numbers
from dfar_toolkit.report.glossary import MEANINGS
from dfar_toolkit.scoring.rationale_scores import answers_nothing, rationale_parts, rationale_scores
from simulated_outputs import EIGHT, NUMBERS, OPTIONS, simulated_rows

WITHOUT_NAMES = {
    name: value for name, value in NUMBERS.items() if name not in ("named_label_share", "giveaway_unnamed")
}


def table(rows: pl.DataFrame, **how: Any) -> pl.DataFrame:
    return self_consistency_table(rows, n_boot=50, **how)


def values(rows: pl.DataFrame, **how: Any) -> dict[str, float]:
    return dict(table(rows, **how).select("metric", "value").rows())


def test_eight_items_by_hand() -> None:
    found = table(simulated_rows(), options=OPTIONS)
    assert dict(found.select("metric", "value").rows()) == {name: float(value) for name, value in NUMBERS.items()}
    assert found["metric"].to_list()[:4] == [
        "simulator_right_input", "simulator_right_both", "leaked_share", "leakage_adjusted_simulatability",
    ]  # fmt: skip
    coverage = dict(found.select("metric", "coverage").rows())
    assert coverage["leakage_adjusted_simulatability"] == 6 / 8
    assert [coverage[name] for name in ("simulator_right_input", "simulator_right_both", "leaked_share")] == [
        1,
        7 / 8,
        7 / 8,
    ]
    assert (coverage["giveaway_unnamed"], coverage["named_label_share"]) == (7 / 8, 1)
    notes = dict(found.select("metric", "note").rows())
    assert "2 of 24 guesses without a label, counted as wrong" in notes["leakage_adjusted_simulatability"]
    assert "the answers guessed are those of gpt" in notes["leakage_adjusted_simulatability"]
    assert "1 of 8 guesses without a label" in notes["simulator_right_both"]
    assert dict(found.select("metric", "higher_is_better").rows()) == {name: HIGHER_IS_BETTER[name] for name in NUMBERS}
    assert set(NUMBERS) <= set(MEANINGS)


def test_shares_have_wilsons_interval_where_items_stand_alone() -> None:
    rows = table(simulated_rows(), options=OPTIONS).filter(pl.col("value") == 0.5)
    assert rows["low"].to_list() == pytest.approx([0.2152] * len(rows), abs=1e-4)  # Wilson at 4 of 8
    groups = simulated_rows().with_columns(group=pl.col("item_id").cast(pl.Int64) // 2)
    wide = table(groups, options=OPTIONS).filter(pl.col("metric") == "leaked_share")
    assert (wide["value"].item(), wide["n_units"].item()) == (0.5, 5)


def test_neither_the_order_of_rows_nor_another_test_changes_a_number() -> None:
    rows = simulated_rows()
    whole = table(rows, options=OPTIONS)
    for seed in range(3):
        assert table(rows.sample(fraction=1, shuffle=True, seed=seed), options=OPTIONS).equals(whole)
    other = pl.DataFrame({"run_id": ["s"] * 2, "item_id": ["1", "1"], "condition": ["full", "inserted"],
                          "label": ["normal", "offensive"], "mentioned": [None, True]})  # fmt: skip
    both = table(pl.concat([rows, other], how="diagonal_relaxed"), options=OPTIONS)
    assert both.filter(pl.col("metric").is_in(list(NUMBERS))).equals(whole)
    assert "counterfactual_test" in both["metric"].to_list()


@pytest.mark.parametrize("seed", range(4))
def test_las_is_the_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = ("hatespeech", "normal", None)
    drawn = [(rng.integers(2), *rng.integers(3, size=3)) for _ in range(12)]  # the label, and three guesses
    items = [(str(at), *(said[place] for place in row), "So.") for at, row in enumerate(drawn)]
    gains: dict[bool, list[int]] = {True: [], False: []}
    for _, label, alone, both, reason, _ in items:
        gains[reason == label].append((both == label) - (alone == label))
    wanted = sum(Fraction(sum(own), len(own)) for own in gains.values()) / 2
    found = values(simulated_rows(items), options=OPTIONS)
    assert found["leakage_adjusted_simulatability"] == pytest.approx(float(wanted), abs=1e-12)


@pytest.mark.parametrize(("leaks", "why"), [(True, "every reason gives the answer away"), (False, "no reason gives")])
def test_all_leaked_or_none_is_undefined(leaks: bool, why: str) -> None:
    items = [(item, label, "normal", label, label if leaks else None, "So.") for item, label, *_ in EIGHT]
    found = table(simulated_rows(items), options=OPTIONS)
    by_name = {row["metric"]: row for row in found.iter_rows(named=True)}
    assert by_name["leaked_share"]["value"] == float(leaks)
    assert math.isfinite(by_name["leaked_share"]["low"])
    assert math.isnan(by_name["leakage_adjusted_simulatability"]["value"])
    assert by_name["leakage_adjusted_simulatability"]["note"].startswith(why)


def test_an_item_that_was_not_asked_in_every_way_is_left_out_and_one_that_failed_is_wrong() -> None:
    rows = simulated_rows()
    asked = rows.filter(~((pl.col("item_id") == "1") & (pl.col("condition") == SIMULATED[0])))
    found = table(asked, options=OPTIONS)
    las = found.row(3, named=True)
    assert las["n"] == 7
    assert "1 of 8 items without all three answers left out" in las["note"]
    assert las["value"] == float((Fraction(1, 3) + 0) / 2)  # without an item of gain 0 that was leaked
    half = rows.filter((pl.col("item_id") != "1") | (pl.col("condition") != SIMULATED[2]))
    by_name = {row["metric"]: row for row in table(half, options=OPTIONS).iter_rows(named=True)}
    for name, wanted in {
        "giveaway_over_majority": Fraction(3, 7) - Fraction(3, 7),  # three are normal
        "giveaway_unnamed": Fraction(1, 4), "named_label_share": Fraction(3, 7),
    }.items():  # fmt: skip
        assert by_name[name]["value"] == pytest.approx(float(wanted), abs=1e-12)
        assert "1 of 8 items without all three answers left out" in by_name[name]["note"]
    assert "2 of 21 guesses without a label" in by_name["leakage_adjusted_simulatability"]["note"]
    none = table(rows.filter(pl.col("condition") != SIMULATED[2]), options=OPTIONS)
    assert none["value"].is_nan().all()
    assert none["n"].to_list() == [0] * len(NUMBERS)
    failed = rows.with_columns(label=pl.when(pl.col("item_id") != "1").then("label"))
    assert values(failed, options=OPTIONS)["simulator_right_both"] == 4 / 8


def test_of_several_samples_the_guess_said_most_often_counts() -> None:
    rows = simulated_rows()
    more = [rows.with_columns(sample=pl.lit(n, dtype=pl.Int64)) for n in range(2)]
    wrong = rows.with_columns(sample=pl.lit(2, dtype=pl.Int64), label=pl.lit("offensive"))
    assert values(pl.concat([*more, wrong]).filter(pl.col("item_id") < "8"), options=OPTIONS)[
        "simulator_right_both"
    ] == 5 / 7  # fmt: skip
    tied = pl.concat([rows, rows.with_columns(sample=pl.lit(1, dtype=pl.Int64), label=pl.lit("offensive"))])
    found = simulated_items("f", tied.filter(pl.col("item_id") == "1"))
    assert found["guess_simulate_both"].to_list() == [None]


@pytest.mark.parametrize("options", [["yes", "no"], ["0", "1"], []])
def test_labels_that_cannot_be_found_in_a_text_leave_the_names_out(options: list[str]) -> None:
    found = table(simulated_rows(), options=options)
    assert dict(found.select("metric", "value").rows()) == {name: float(value) for name, value in WITHOUT_NAMES.items()}
    note = found.filter(pl.col("metric") == "giveaway_over_majority")["note"].item()
    assert "the labels cannot be found in running text" in note


def test_options_are_those_of_the_rows_where_none_are_given() -> None:
    assert set(values(simulated_rows())) == set(WITHOUT_NAMES)
    named = simulated_rows().with_columns(options=pl.lit(list(OPTIONS), dtype=pl.List(pl.String)))
    assert values(named) == {name: float(value) for name, value in NUMBERS.items()}


def test_what_does_not_fit_is_one_line() -> None:
    rows = simulated_rows()
    with pytest.raises(TableError, match='need the column "target_label"'):
        table(rows.drop("target_label"))
    first = (pl.col("item_id") == "1") & (pl.col("condition") == SIMULATED[1])
    for column, what in (("target_label", "target_label"), ("shown_reason", "shown_reason")):
        several = rows.with_columns(pl.when(first).then(pl.lit("other")).otherwise(column).alias(column))
        with pytest.raises(TableError, match=f"a simulated item has one {what}, found 2 of '1'"):
            table(several)
    with pytest.raises(TableError, match="labels must be one of"):
        table(rows, options=["good", "bad"])
    assert simulated_numbers("f", rows.filter(pl.col("condition") == "full")) == []


def test_the_score_of_a_run_takes_them_for_nobodys_answers() -> None:
    rows = simulated_rows().with_columns(method=pl.lit("simulate"), question=pl.lit("label"), annotator_id=pl.lit(""))
    rows = rows.with_columns(word_scores=pl.lit(None), evidence=pl.lit(None))
    assert rationale_parts(rows) == ("self_consistency",)
    assert answers_nothing(rows)
    assert not answers_nothing(rows.with_columns(condition=pl.lit("full")))
    assert not answers_nothing(rows.clear())
    items = pl.DataFrame({"item_id": [item for item, *_ in EIGHT], "group": [item for item, *_ in EIGHT]})
    found = rationale_scores(rows, items, options=OPTIONS, n_boot=50)
    assert dict(found.select("metric", "value").rows()) == {name: float(value) for name, value in NUMBERS.items()}
    assert found["part"].unique().to_list() == ["self_consistency"]
