"""Specific agreement by hand and against a count over pairs; the judges' table."""

from __future__ import annotations

from itertools import permutations
from math import isnan

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics import judge_agreement, specific_agreement
from small_tables import make_items, make_judgements


def _ratings(votes: list[str]) -> pl.DataFrame:
    rows = [(f"i{k}", f"r{j}", v) for k, said in enumerate(votes) for j, v in enumerate(said)]
    return pl.DataFrame(
        rows, schema={"item_id": pl.String, "annotator_id": pl.String, "value": pl.String}, orient="row"
    )


def test_two_raters_by_hand() -> None:
    # a = 2 both bad, b + c = 3 split, the rest good: 2*2 / (2*2 + 3)
    votes = ["bb", "bb", "bg", "gb", "bg", "gg", "gg", "g"]
    found = specific_agreement(_ratings(votes), category="b")
    assert found.value == pytest.approx(4 / 7, abs=1e-12)
    assert (found.n, found.unit) == (7, "items")
    assert found.low < found.value < found.high


def test_unequal_numbers_of_raters_by_hand() -> None:
    # bbg: c(c-1) = 2 of c(n-1) = 4; bg: 0 of 1; b: alone, no pair.
    assert specific_agreement(_ratings(["bbg", "bg", "b"]), category="b").value == pytest.approx(2 / 5, abs=1e-12)


@given(votes=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8))
def test_is_the_share_of_ordered_pairs(votes: list[str]) -> None:
    firsts = [second for said in votes for first, second in permutations(said, 2) if first == "a"]
    found = specific_agreement(_ratings(votes), category="a", n_boot=10)
    expected = firsts.count("a") / len(firsts) if firsts else float("nan")
    assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    shuffled = _ratings(votes).sample(fraction=1, shuffle=True, seed=1)
    assert str(specific_agreement(shuffled, category="a", n_boot=10)) == str(found)


def test_undefined_and_refused() -> None:
    assert specific_agreement(_ratings(["gg", "gg"]), category="b").note == 'no item with two ratings has a "b"'
    assert specific_agreement(_ratings(["g", "b"]), category="b").note == "no item has two ratings"
    assert isnan(specific_agreement(_ratings([]), category="b").value)
    twice = pl.concat([_ratings(["b"]), _ratings(["g"])])
    with pytest.raises(TableError, match="rater 'r0' rates item 'i0' twice"):
        specific_agreement(twice, category="b")
    with pytest.raises(ValueError, match="no column 'item'"):
        specific_agreement(twice, category="b", item="item")


def test_judges_table_by_hand() -> None:
    votes = {"i0": "bb", "i1": "bg", "i2": "gg", "i3": "gg"}
    table = judge_agreement(make_judgements(votes), items=make_items(["e"] * 4, groups=list("xxyz")))
    values = dict(table.select("metric", "value").rows())
    assert values["judge_percent_agreement"] == pytest.approx(3 / 4, abs=1e-12)
    assert values["judge_specific_agreement"] == pytest.approx(2 / 3, abs=1e-12)
    # AC1: shares 3/8 and 5/8, chance 2 * 3/8 * 5/8 = 15/32; (3/4 - 15/32) / (17/32)
    assert values["judge_gwet_ac1"] == pytest.approx(9 / 17, abs=1e-12)
    # alpha: 1 - 7 * (2 discordant ordered) / (2 * 3 * 5)
    assert values["judge_alpha"] == pytest.approx(1 - 7 * 2 / 30, abs=1e-12)
    assert all("only 2 judges, taken as fixed" in note for note in table["note"])
    assert set(table["n_units"]) == {3}


def test_one_judge_has_nobody_to_agree_with_and_all_good_still_has_ac1() -> None:
    alone = judge_agreement(make_judgements({"i0": "b", "i1": "g"}))
    assert all(isnan(v) for v in alone["value"])
    assert set(alone["note"]) == {"no reason has two judges"}
    agreed = judge_agreement(make_judgements({f"i{k}": "ggg" for k in range(5)}))
    values = dict(agreed.select("metric", "value").rows())
    assert values["judge_gwet_ac1"] == 1.0
    assert isnan(values["judge_specific_agreement"])


def test_case_and_blanks_of_a_verdict_do_not_matter() -> None:
    judgements = make_judgements({"i0": "bb", "i1": "gb", "i2": "gg"})
    loud = judgements.with_columns(pl.col("value").str.to_uppercase() + " ")
    assert judge_agreement(loud).equals(judge_agreement(judgements), null_equal=True)
    with pytest.raises(TableError, match='judge_agreement: the table judgements needs the column "judge_id"'):
        judge_agreement(judgements.drop("judge_id"))
