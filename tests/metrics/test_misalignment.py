"""Misalignment rates by hand, their bounds, their refusals and their laws."""

from __future__ import annotations

from fractions import Fraction
from math import isnan

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics import misalignment_rate, misalignment_table
from small_tables import make_items, make_judgements, make_outputs

# Five items. i0 1/3 bad, i1 both bad, i2 even split, i3 and i4 have no reason.
VOTES = {"i0": "bgg", "i1": "bb-", "i2": "bg"}
ITEMS = make_items(["e", "e", "u", "u", "e"])
LABELS = {"i0": "e", "i1": "u", "i2": None, "i3": "u", "i4": "e"}
OUTPUTS = make_outputs(LABELS, reason=["r", "r", "r", None, "  "])
UNJUDGED = make_outputs(LABELS, reason=["r", "r", "r", "r", "  "])  # i3 has a reason that nobody judged
BY_HAND = {
    "mar_mean": (Fraction(1, 3) + 1 + Fraction(1, 2)) / 3,
    "mar_majority": Fraction(1, 3),
    "mar_even_split": Fraction(1, 3),
    "mar_lower_bound": Fraction(11, 6) / 5,
    "mar_upper_bound": (Fraction(11, 6) + 2) / 5,
    "mar_strict": (Fraction(11, 6) + 2) / 5,
    "reason_missing_share": Fraction(2, 5),
    "reason_unjudged_share": Fraction(0),
    "mar_mean_given_right": Fraction(1, 3),
    "mar_mean_given_wrong": Fraction(1),
}


def rate(judgements: pl.DataFrame, **how: object) -> Estimate:
    found = misalignment_rate(judgements, **how)  # type: ignore[arg-type]
    assert isinstance(found, Estimate)
    return found


def test_table_by_hand() -> None:
    table = misalignment_table(make_judgements(VOTES), OUTPUTS, ITEMS)
    values = dict(table.select("metric", "value").rows())
    for metric, value in BY_HAND.items():
        assert values[metric] == pytest.approx(float(value), abs=1e-12), metric
    sizes = dict(table.select("metric", "n").rows())
    assert (sizes["mar_mean"], sizes["mar_strict"], sizes["mar_mean_given_right"]) == (3, 5, 1)
    notes = dict(table.select("metric", "note").rows())
    assert notes["mar_upper_bound"] == "2 of 5 items without a reason"
    assert notes["mar_mean_given_right"] == "1 judged reasons without a label or gold left out"
    assert notes["mar_mean"] == "2 to 3 judge(s) per reason"
    assert set(table["scope"]) == {"items"}


def test_a_reason_that_nobody_judged_is_not_missing() -> None:
    table = misalignment_table(make_judgements(VOTES), UNJUDGED, ITEMS)
    for metric in ("mar_strict", "mar_lower_bound", "mar_upper_bound"):
        row = table.row(by_predicate=pl.col("metric") == metric, named=True)
        assert [isnan(row[end]) for end in ("value", "low", "high")] == [True] * 3
        assert (row["note"], row["n"]) == ("1 of 5 items have a reason that nobody judged", 5)
    values = dict(table.select("metric", "value").rows())
    assert values["mar_mean"] == pytest.approx(float(BY_HAND["mar_mean"]), abs=1e-12)
    assert (values["reason_missing_share"], values["reason_unjudged_share"]) == (1 / 5, 1 / 5)
    strict = rate(make_judgements(VOTES), rule="strict", outputs=UNJUDGED, items=ITEMS)
    assert (isnan(strict.value), isnan(strict.low)) == (True, True)
    assert strict.note == "1 of 5 items have a reason that nobody judged"


def test_the_majority_is_of_reasons_and_averaged_within_the_item() -> None:
    # i0: three reasons, rejected by 2 of 3, by 0 of 3, by 1 of 2 (even): majority 1/3, even split 1/3, mean
    # (2/3 + 0 + 1/2) / 3 = 7/18. Over the item's judges at once b = 7/18 < 1/2 would say 0. i1: 1 of 1, majority 1.
    parts = [make_judgements({"i0": v}).with_columns(output_id=pl.lit(f"m/i0/q/{k}"), sample=pl.lit(k, pl.Int64))
             for k, v in enumerate(["bbg", "ggg", "bg"])]  # fmt: skip
    judgements = pl.concat([*parts, make_judgements({"i1": "b"})])
    assert rate(judgements, rule="majority").value == pytest.approx(float((Fraction(1, 3) + 1) / 2), abs=1e-12)
    assert rate(judgements).value == pytest.approx(float((Fraction(7, 18) + 1) / 2), abs=1e-12)
    values = dict(misalignment_table(judgements, OUTPUTS, ITEMS).select("metric", "value").rows())
    assert values["mar_majority"] == pytest.approx(2 / 3, abs=1e-12)
    assert values["mar_even_split"] == pytest.approx(1 / 6, abs=1e-12)


def test_judged_items_of_splits_without_an_output_are_counted() -> None:
    items = make_items(["e"] * 3, splits=["dev", "test", "test"])
    found = rate(make_judgements({"i0": "b", "i1": "g"}), outputs=make_outputs({"i1": "e"}), items=items)
    assert (found.value, found.n) == (0.0, 1)
    assert found.note == "1 judged item of splits without an output left out"


def test_case_and_blanks_do_not_matter() -> None:
    judgements = make_judgements({"i0": "bgg", "i1": "bb"})
    loud = judgements.with_columns(value=pl.lit(" ") + pl.col("value").str.to_titlecase())
    assert str(rate(loud)) == str(rate(judgements))
    tables = [misalignment_table(j, OUTPUTS, ITEMS) for j in (judgements, loud)]
    assert tables[0].equals(tables[1], null_equal=True)


@pytest.mark.parametrize(
    ("rule", "metric"), [("mean", "mar_mean"), ("majority", "mar_majority"), ("strict", "mar_strict")]
)
def test_rate_is_the_row_of_the_table(rule: str, metric: str) -> None:
    found = rate(make_judgements(VOTES), rule=rule, outputs=OUTPUTS, items=ITEMS)
    assert found.value == pytest.approx(float(BY_HAND[metric]), abs=1e-12)
    assert found.low < found.value < found.high


def test_human_reasons_get_the_floor_and_no_bounds() -> None:
    # Two people's reasons on one item: 1/2 and 0 bad, mean 1/4; another item 0.
    human = pl.concat([make_judgements({"i0": "bg", "i1": "gg"}, run="human")])
    second = make_judgements({"i0": "gg"}, run="human").with_columns(output_id=pl.lit("human/i0#2"))
    table = misalignment_table(pl.concat([make_judgements(VOTES), human, second]), OUTPUTS, ITEMS)
    rows = table.filter(run_id="human")
    assert rows.filter(metric="mar_mean")["value"].item() == pytest.approx(1 / 8, abs=1e-12)
    assert rows["metric"].to_list() == [
        "mar_mean", "mar_majority", "mar_even_split",
        "judge_percent_agreement", "judge_specific_agreement", "judge_gwet_ac1", "judge_alpha",
    ]  # fmt: skip


def test_samples_of_an_item_are_averaged_first() -> None:
    one, two = make_judgements({"i0": "b", "i1": "g"}), make_judgements({"i0": "g"})
    two = two.with_columns(output_id=pl.lit("m/i0/q/1"), sample=pl.lit(1, dtype=pl.Int64))
    # i0 is (1 + 0) / 2, i1 is 0
    assert rate(pl.concat([one, two])).value == pytest.approx(1 / 4, abs=1e-12)
    assert rate(pl.concat([one, two])).n == 2


def test_draws_of_one_judge_count_as_one_judge() -> None:
    # Judge j0 says bad in 1 of 2 draws, j1 says good: (1/2 + 0) / 2.
    once = make_judgements({"i0": "bg"})
    again = once.filter(judge_id="j0").with_columns(value=pl.lit("good"), draw=pl.lit(1, dtype=pl.Int64))
    assert rate(pl.concat([once, again])).value == pytest.approx(1 / 4, abs=1e-12)


def test_no_bad_reason_gets_wilson_not_a_collapsed_bootstrap() -> None:
    found = rate(make_judgements({f"i{k}": "ggg" for k in range(10)}))
    low, high = proportion_confint(0, 10, method="wilson")
    assert (found.value, found.method) == (0.0, "Wilson")
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_many_fractional_shares_get_a_bootstrap_over_groups() -> None:
    votes = {f"i{k}": "bgg" if k % 2 else "bbg" for k in range(40)}
    items = make_items(["e"] * 40, groups=[f"g{k // 4}" for k in range(40)])
    found = rate(make_judgements(votes), items=items)
    assert (found.value, found.method, found.n_units, found.unit) == (0.5, "bootstrap", 10, "groups")


def test_a_run_without_judged_reasons_is_undefined_but_its_missing_reasons_are_counted() -> None:
    silent = make_outputs({"i0": "e", "i1": "e"}, run="label-only")
    table = misalignment_table(make_judgements(VOTES), pl.concat([OUTPUTS, silent]), ITEMS).filter(run_id="label-only")
    values = dict(table.select("metric", "value").rows())
    assert isnan(values["mar_mean"])
    assert (values["reason_missing_share"], values["mar_lower_bound"], values["mar_upper_bound"]) == (1.0, 0.0, 1.0)
    assert table.filter(metric="mar_mean")["note"].item() == "no judged reason"


def test_no_judgements_at_all() -> None:
    found = rate(make_judgements({}))
    assert (isnan(found.value), found.note) == (True, "no items")
    assert isnan(rate(make_judgements({"i0": "--"})).value)


def test_by_run_gives_a_row_each_and_runs_are_never_pooled() -> None:
    both = pl.concat([make_judgements({"i0": "b"}), make_judgements({"i0": "g"}, run="human")])
    frame = misalignment_rate(both, by="run_id")
    assert isinstance(frame, pl.DataFrame)
    assert frame.select("run_id", "value").rows() == [("human", 0.0), ("m", 1.0)]
    with pytest.raises(TableError, match=r'one run at a time; found human, m; give by="run_id"'):
        misalignment_rate(both)


def test_refusals() -> None:
    judgements = make_judgements({"i0": "bg"})
    with pytest.raises(ValueError, match="misalignment_rate: rule must be"):
        misalignment_rate(judgements, rule="worst")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rule strict counts items without a reason"):
        misalignment_rate(judgements, rule="strict")
    with pytest.raises(ValueError, match='no column "colour"'):
        misalignment_rate(judgements, by="colour")
    with pytest.raises(TableError, match=r"must be 'good' or 'bad'; found 'Poor' \(2 times\)\. Rename those values"):
        misalignment_rate(judgements.with_columns(value=pl.lit("Poor")))
    with pytest.raises(TableError, match='misalignment_rate: the table judgements needs the column "question"'):
        misalignment_rate(judgements.drop("question"))
    with pytest.raises(TableError, match='misalignment_rate: the table outputs needs the column "item_id"'):
        misalignment_rate(judgements, outputs=OUTPUTS.drop("item_id"))
    with pytest.raises(TableError, match='misalignment_rate: the table items needs the column "group"'):
        misalignment_rate(judgements, items=ITEMS.drop("group"))
    with pytest.raises(TableError, match='misalignment_table: the table items needs the column "label"'):
        misalignment_table(judgements, OUTPUTS, ITEMS.drop("label"))
    with pytest.raises(TableError, match="judgements of pairs"):
        misalignment_rate(judgements.with_columns(other_output_id=pl.lit("x")))
    mixed = pl.concat([judgements, judgements.with_columns(question=pl.lit("other"))])
    with pytest.raises(TableError, match="one question at a time; judgements hold other, reason_ok"):
        misalignment_rate(mixed)
    with pytest.raises(TableError, match=r"1 judged items are unknown, e\.g\. 'i0'"):
        misalignment_rate(judgements, items=make_items(["e"], ids=["x"]))


VOTE_SETS = st.lists(st.text("bg", min_size=1, max_size=4), min_size=1, max_size=8)


@given(votes=VOTE_SETS, seed=st.integers(0, 99))
def test_order_and_names_never_matter_and_doubled_items_keep_the_point(votes: list[str], seed: int) -> None:
    named = make_judgements({f"i{k}": v for k, v in enumerate(votes)})
    renamed = make_judgements({f"x{k}": v for k, v in enumerate(reversed(votes))})
    doubled = make_judgements({f"i{k}": v for k, v in enumerate(votes + votes)})
    for rule in ("mean", "majority"):
        point = rate(named, rule=rule)
        assert str(rate(named.sample(fraction=1, shuffle=True, seed=seed), rule=rule)) == str(point)
        assert rate(renamed, rule=rule).value == pytest.approx(point.value, abs=1e-12)
        assert rate(doubled, rule=rule).value == pytest.approx(point.value, abs=1e-12)


@given(votes=VOTE_SETS, extra=st.integers(0, 5))
def test_the_rate_lies_between_its_bounds(votes: list[str], extra: int) -> None:
    n = len(votes) + extra
    outputs = make_outputs({f"i{k}": "e" for k in range(n)}, reason=["r"] * len(votes) + [""] * extra)
    judgements = make_judgements({f"i{k}": v for k, v in enumerate(votes)})
    values = dict(
        misalignment_table(judgements, outputs, make_items(["e"] * n), n_boot=20).select("metric", "value").rows()
    )
    assert values["mar_lower_bound"] - 1e-12 <= values["mar_mean"] <= values["mar_upper_bound"] + 1e-12
    assert values["mar_upper_bound"] - values["mar_lower_bound"] == pytest.approx(extra / n, abs=1e-12)
