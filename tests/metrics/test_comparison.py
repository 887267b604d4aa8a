"""Two runs on the same items."""

from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics import compare, mcnemar_test, sign_flip_test
from dfar_toolkit.tables import empty
from small_tables import make_items, make_judgements, make_outputs

LABELS = ["e", "e", "e", "u", "u", "u"]
ITEMS = make_items(LABELS)
# a is right on i0, i1, i3; unanswered on i5. b is right on i0..i4; i5 has no output.
A = make_outputs({"i0": "e", "i1": "e", "i2": "u", "i3": "u", "i4": "e", "i5": None}, run="a")
B = make_outputs({"i0": "e", "i1": "e", "i2": "e", "i3": "u", "i4": "u"}, run="b")


def row(frame: pl.DataFrame, metric: str, subset: str = "all") -> dict[str, object]:
    return frame.filter(metric=metric, subset=subset).row(0, named=True)


def test_by_hand() -> None:
    found = compare(A, B, ITEMS)
    headline = row(found.differences, "accuracy")
    assert headline["value"] == pytest.approx(5 / 6 - 3 / 6, abs=1e-12)
    assert (headline["n"], headline["test"]) == (6, "exact McNemar")
    assert headline["p_value"] == pytest.approx(0.5, abs=1e-12)  # 0 against 2: 2 * 1/4
    assert "a 0.500, b 0.833" in str(headline["note"])
    assert str(headline["note"]).endswith("these two checkpoints, not ways of training")
    both = row(found.differences, "accuracy_answered")
    assert both["value"] == pytest.approx(1 - 3 / 5, abs=1e-12)
    assert both["n"] == 5
    assert found.right_wrong.rows() == [
        ("all", True, True, 3), ("all", True, False, 0), ("all", False, True, 2), ("all", False, False, 1),
    ]  # fmt: skip
    assert (found.run_a, found.run_b) == ("a", "b")


def test_swapping_the_runs_turns_the_sign_and_keeps_p() -> None:
    one, two = row(compare(A, B, ITEMS).differences, "accuracy"), row(compare(B, A, ITEMS).differences, "accuracy")
    assert one["value"] == pytest.approx(-float(str(two["value"])), abs=1e-12)
    assert one["p_value"] == two["p_value"]


def test_groups_take_the_sign_flip_test() -> None:
    items = make_items(LABELS, groups=["x", "x", "y", "y", "z", "z"])
    headline = row(compare(A, B, items).differences, "accuracy")
    expected = sign_flip_test([0, 0, 1, 0, 1, 0], groups=["x", "x", "y", "y", "z", "z"])
    assert (headline["p_value"], headline["test"]) == (expected.value, "sign-flip by group, exact")
    assert (headline["unit"], headline["n_units"]) == ("groups", 3)


def test_equal_runs_have_no_collapsed_interval() -> None:
    headline = row(compare(A, A.with_columns(run_id=pl.lit("c")), ITEMS).differences, "accuracy")
    assert (headline["value"], headline["p_value"]) == (0.0, 1.0)
    assert headline["low"] != headline["low"]
    assert "every bootstrap draw gives the same value" in str(headline["note"])


def test_leaked_and_clean_are_compared_apart() -> None:
    items = make_items(LABELS, leaks=["exact", None, "near", None, "stem", None])
    found = compare(A, B, items)
    assert found.differences["subset"].unique(maintain_order=True).to_list() == ["all", "leaked", "clean", "stem"]
    assert row(found.differences, "accuracy", "leaked")["value"] == pytest.approx(1 / 2, abs=1e-12)
    assert row(found.differences, "accuracy", "clean")["value"] == pytest.approx(1 / 4, abs=1e-12)
    assert found.right_wrong.filter(subset="clean")["count"].sum() == 4


def test_misalignment_is_compared_on_items_judged_for_both() -> None:
    judgements = pl.concat(
        [
            make_judgements({"i0": "bb", "i1": "bg", "i2": "gg"}, run="a"),
            make_judgements({"i0": "gg", "i1": "bg"}, run="b"),
        ]
    )
    found = compare(A, B, ITEMS, judgements=judgements).differences
    mean = row(found, "mar_mean")
    assert mean["value"] == pytest.approx(-1 / 2, abs=1e-12)  # i0: 0 - 1, i1: 0
    assert (mean["n"], mean["p_value"], mean["test"]) == (2, 1.0, "sign-flip by item, exact")
    # b - a over six items, missing at their best and worst: a = 1, 1/2, 0, ?, ?, ?; b = 0, 1/2, ?, ?, ?, ?
    assert row(found, "mar_lower_bound")["value"] == pytest.approx((-1 + 0 + 0 - 3) / 6, abs=1e-12)
    assert row(found, "mar_upper_bound")["value"] == pytest.approx((-1 + 0 + 1 + 3) / 6, abs=1e-12)
    assert row(found, "mar_upper_bound")["p_value"] is None


def test_misalignment_needs_a_judged_reason_of_both_runs() -> None:
    one = make_judgements({"i0": "bb", "i1": "bg"}, run="a")
    metrics = compare(A, B, ITEMS, judgements=one).differences["metric"].unique().sort().to_list()
    assert metrics == ["accuracy", "accuracy_answered"]
    items = make_items(LABELS, leaks=["exact", "near", None, None, None, None])
    both = pl.concat([one, make_judgements({"i2": "gg", "i0": "--"}, run="b")])
    found = compare(A, B, items, judgements=both).differences.filter(metric="mar_lower_bound")
    assert found["subset"].to_list() == ["all"]  # of the leaked items none is judged for b, of the clean none for a


def test_judgements_of_a_third_run_are_set_aside_and_counted() -> None:
    runs = [make_judgements({"i0": "bg"}, run=run) for run in ("a", "b", "third")]
    found = compare(A, B, ITEMS, judgements=pl.concat(runs)).differences
    assert row(found, "mar_mean")["n"] == 1
    assert "2 judgements of other runs set aside" in str(row(found, "mar_mean")["note"])
    with pytest.raises(TableError, match="about the run 'a' or 'b' or 'human'; found judgements of 'third'"):
        compare(A, B, ITEMS, judgements=runs[2])
    human = make_judgements({"i0": "g"}, run="human")
    with pytest.raises(TableError, match=r"1 judged human reasons are no ratings of the items, e\.g\. 'human/i0/q/0'"):
        compare(A, B, ITEMS, judgements=pl.concat([*runs, human]), annotations=empty("annotations"))


def test_items_without_gold_are_left_out() -> None:
    found = compare(A, B, make_items(["e", "e", "e", "u", "u", None]))
    assert row(found.differences, "accuracy")["n"] == 5


def test_mcnemar_is_the_test_of_independent_items() -> None:
    found = row(compare(A, B, ITEMS).differences, "accuracy")
    assert found["p_value"] == mcnemar_test([1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0]).value


def test_refusals() -> None:
    with pytest.raises(TableError, match="the second outputs must hold one run, found a, b"):
        compare(A, pl.concat([A, B]), ITEMS)
    items = make_items(LABELS, splits=["dev"] * 3 + ["test"] * 3)
    with pytest.raises(TableError, match="the first answers dev, the second test"):
        compare(A.head(3), B.tail(2), items)
    assert row(compare(A.head(3), B.tail(2), items, split="dev").differences, "accuracy")["n"] == 3
    judged = make_judgements({"i0": "b"}, run="a")
    with pytest.raises(TableError, match="both runs are called 'a'"):
        compare(A, A, ITEMS, judgements=judged)
