"""Counterfactual test, CCT and phi-CCT: by hand, against scipy and scikit-learn, and where they have no value."""

from __future__ import annotations

from math import isnan
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, pointbiserialr
from sklearn.metrics import matthews_corrcoef

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics.self_consistency.correlational_test import cct, phi_cct
from dfar_toolkit.metrics.self_consistency.counterfactual_test import (
    all_flips_mentioned_rows,
    counterfactual_test,
    flip_rate_rows,
    mentioned_unflipped_rows,
    share_estimate,
)
from dfar_toolkit.metrics.self_consistency.insertions import insertions_of

SCHEMA: Final[dict[str, Any]] = {
    "item_id": pl.String, "condition": pl.String, "draw": pl.Int64, "label": pl.String,
    "label_probs": pl.List(pl.Float64), "mentioned": pl.Boolean,
}  # fmt: skip
# Item a: full good; two of three insertions flip, one of these is mentioned. Item b: no flip. Item c: one flip, not
# mentioned, and one answer without a label.
ROWS: Final[list[Any]] = [
    ("a", "full", 0, "good", [0.75, 0.25], None),
    ("a", "inserted", 0, "bad", [0.25, 0.75], True),
    ("a", "inserted", 1, "bad", [0.5, 0.5], False),
    ("a", "inserted", 2, "good", [0.75, 0.25], False),
    ("b", "full", 0, "bad", [0.0, 1.0], None),
    ("b", "inserted", 0, "bad", [0.0, 1.0], True),
    ("b", "inserted", 1, "bad", [0.25, 0.75], None),
    ("c", "full", 0, "good", [1.0, 0.0], None),
    ("c", "inserted", 0, "bad", [0.0, 1.0], False),
    ("c", "inserted", 1, None, None, False),
]


def frame(rows: list[Any] | None = None) -> pl.DataFrame:
    return pl.DataFrame(ROWS if rows is None else rows, schema=SCHEMA, orient="row")


def test_counterfactual_test_by_hand() -> None:
    found = counterfactual_test(frame())
    assert found.value == pytest.approx(1 / 3, abs=1e-12)  # a/0, a/1, c/0 flip; a/0 is mentioned
    assert (found.n, found.n_units, found.unit) == (3, 2, "groups")
    assert "no flip found in 1 of 3 items, which are undefined" in found.note
    assert "1 of 7 insertions whose new answer has no label" in found.note
    assert "1 of 7 insertions without a reason" in found.note
    read = insertions_of("test", frame())

    def share(row: Any) -> Estimate:
        return share_estimate(row, read.groups)

    assert share(flip_rate_rows(read)).value == pytest.approx(3 / 6, abs=1e-12)
    assert share(mentioned_unflipped_rows(read)).value == pytest.approx(1 / 2, abs=1e-12)  # a/2 not, b/0 is
    items = share(all_flips_mentioned_rows(read))
    assert (items.value, items.n) == (0.0, 2)  # neither a nor c mentions every flip
    assert not isnan(items.high)  # Wilson, where a bootstrap would be [0, 0]


def test_cct_by_hand_and_as_scipy_has_it() -> None:
    # Pairs (TVD, mention): a (.5, 1), (.25, 0), (0, 0); b (0, 1), its second has no reason; c (1, 0).
    impact, mention = [0.5, 0.25, 0.0, 0.0, 1.0], [1, 0, 0, 1, 0]
    found = cct(frame(), n_boot=200)
    assert found.value == pytest.approx(float(pearsonr(impact, mention)[0]), abs=1e-12)
    assert found.value == pytest.approx(float(pointbiserialr(np.array(mention) == 1, impact)[0]), abs=1e-12)
    # n Sxm - Sx Sm = 5 x .5 - 1.75 x 2 = -1; n Sxx - Sx^2 = 5 x 1.3125 - 3.0625 = 3.5; n Smm - Sm^2 = 10 - 4 = 6.
    assert found.value == pytest.approx(-1 / 21**0.5, abs=1e-12)
    assert (found.n, found.n_units) == (5, 3)


def test_phi_by_hand_and_as_scikit_learn_has_it() -> None:
    # Changed and mentioned: a (1, 1), (1, 0), (0, 0); b (0, 1); c (1, 0): n11 = 1, n10 = 2, n01 = 1, n00 = 1.
    found = phi_cct(frame(), ci=None)
    assert found.value == pytest.approx((1 * 1 - 2 * 1) / (3 * 2 * 2 * 3) ** 0.5, abs=1e-12)
    assert found.value == pytest.approx(matthews_corrcoef([1, 1, 0, 0, 1], [1, 0, 0, 1, 0]), abs=1e-12)


@pytest.mark.parametrize("mentioned", [True, False])
def test_undefined_where_all_or_none_are_mentioned(mentioned: bool) -> None:
    rows = [(*row[:5], None if row[1] == "full" else mentioned) for row in ROWS]
    for found in (cct(frame(rows)), phi_cct(frame(rows))):
        assert isnan(found.value)
        assert "mentioned" in found.note
    zero = phi_cct(frame(rows), zero=True)
    assert (zero.value, zero.n) == (0.0, 6)
    assert "0 where undefined" in zero.note


def test_equal_impacts_have_no_correlation_whatever_the_rounding() -> None:
    probs = [0.1 + 0.2, 0.7]
    rows: list[Any] = [("a", "full", 0, "good", [1.0, 0.0], None)]
    rows += [("a", "inserted", k, "good", probs, k % 2 == 0) for k in range(7)]
    assert isnan(cct(frame(rows), ci=None).value)
    rows[3] = ("a", "inserted", 2, "good", [0.3 + 1e-6, 0.7 - 1e-6], True)
    assert cct(frame(rows), ci=None).value == pytest.approx(
        -(1 / 8**0.5), abs=1e-6
    )  # the one that moves less is one of four mentioned of seven


def test_nothing_to_say() -> None:
    empty = frame([])
    for found in (counterfactual_test(empty), cct(empty), phi_cct(empty), phi_cct(empty, zero=True)):
        assert isnan(found.value)
        assert found.n == 0
        assert found.note
    unread = frame([("a", "full", 0, None, None, None), ("a", "inserted", 0, "bad", None, True)])
    assert isnan(counterfactual_test(unread).value)
    assert "1 of 1 insertions whose item had no label before" in counterfactual_test(unread).note
    assert isnan(cct(unread).value)  # no distribution before: the whole of the new one is no change
    lonely = frame([("a", "inserted", 0, "bad", [0.0, 1.0], True)])
    assert isnan(cct(lonely).value)


def test_samples_count_together() -> None:
    # Before: good, good, bad. After: bad, bad, good, of which two mention: TVD 1/3, the label changes, mentioned 2/3.
    rows: list[Any] = [("a", "full", 0, label, None, None) for label in ("good", "good", "bad")]
    rows += [("a", "inserted", 0, *pair) for pair in (("bad", None, True), ("bad", None, True), ("good", None, False))]
    rows += [("a", "inserted", 1, "good", None, False)] * 3
    read = insertions_of("test", frame(rows))
    assert read.impact.tolist() == pytest.approx([1 / 3, 1 / 3], abs=1e-12)
    assert read.changed.tolist() == [1, 0]
    assert read.mentioned.tolist() == pytest.approx([2 / 3, 0], abs=1e-12)
    assert read.mention.tolist() == [1, 0]
    assert "shares of the labels said" in read.note
    tied = frame([*rows[:2], ("a", "full", 0, "bad", None, None), ("a", "full", 0, "bad", None, None), rows[3]])
    assert isnan(insertions_of("test", tied).changed[0])  # two labels said equally often are none


def test_options_may_stand_in_any_order() -> None:
    rows = frame().with_columns(options=pl.lit(["good", "bad"]))
    turned = rows.with_columns(
        pl.when(pl.col("condition") == "inserted").then(pl.col(c).list.reverse()).otherwise(c).alias(c)
        for c in ("options", "label_probs")
    )
    assert cct(turned, ci=None).value == cct(rows, ci=None).value == cct(frame(), ci=None).value
    with pytest.raises(TableError, match="2 for 1 options of 'a'"):
        cct(rows.with_columns(options=pl.lit(["good"])))


def test_mentions_are_looked_for_where_the_column_is_absent() -> None:
    words = [None, "red", "big", "big", None, "red", "big", None, "red", "big"]
    reasons = [None, "Red lies.", "x", "x", None, "a red one", None, "x", "x", "x"]
    rows = frame().drop("mentioned").with_columns(reason=pl.Series(reasons), inserted=pl.Series(words))
    assert cct(rows, ci=None).value == pytest.approx(cct(frame(), ci=None).value, abs=1e-12)


def test_groups_and_seeds() -> None:
    rng = np.random.default_rng(0)
    rows: list[Any] = []
    for item in range(30):
        rows.append((f"i{item}", "full", 0, "good", [0.9, 0.1], None))
        for draw in range(4):
            p = float(rng.random())
            rows.append(
                (f"i{item}", "inserted", draw, "good" if p > 0.5 else "bad", [p, 1 - p], bool(rng.random() < p))
            )
    single = frame(rows)
    grouped = single.with_columns(group=pl.col("item_id").str.slice(0, 2))
    first, again, other = cct(single, n_boot=200), cct(single, n_boot=200), cct(grouped, n_boot=200)
    assert first == again
    assert first.value == pytest.approx(other.value, abs=1e-12)
    assert (first.n_units, other.n_units) == (30, 10)
    assert (first.low, first.high) != (other.low, other.high)
    assert first.low < first.value < first.high
    assert counterfactual_test(grouped).high != counterfactual_test(single).high


def test_bad_input_is_said() -> None:
    with pytest.raises(TableError, match="one run, found 2"):
        cct(frame().with_columns(run_id=pl.Series(["r"] * 9 + ["s"])))
    with pytest.raises(TableError, match='"condition"'):
        cct(pl.DataFrame({"item_id": ["a"]}))
    with pytest.raises(TableError, match='"item_id"'):
        counterfactual_test(frame().drop("item_id"))
    with pytest.raises(TableError, match="an item has one group, found 2 of 'a'"):
        cct(frame().with_columns(group=pl.Series(list("xyyyzzzwww"))))
    with pytest.raises(TableError, match="10 of 10 have none"):
        cct(frame().with_columns(group=pl.lit(None, dtype=pl.String)))


@settings(max_examples=6)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
       st.randoms(use_true_random=False))  # fmt: skip
def test_laws(drawn: list[tuple[str, int, bool]], random: Any) -> None:
    rows: list[Any] = [(item, "full", 0, "good", [1.0, 0.0], None) for item in "abc"]
    for at, (item, share, mentioned) in enumerate(drawn):
        rows.append((item, "inserted", at, "good" if share < 3 else "bad", [1 - share / 4, share / 4], mentioned))
    shuffled = list(rows)
    random.shuffle(shuffled)
    turned = [(*row[:5], None if row[5] is None else not row[5]) for row in rows]
    for metric in (cct, phi_cct):
        value = metric(frame(rows), n_boot=20)
        assert str(metric(frame(shuffled), n_boot=20)) == str(value)  # the order of rows never matters
        other = metric(frame(turned), ci=None).value
        assert isnan(value.value) == isnan(other)
        assert isnan(other) or other == pytest.approx(-value.value, abs=1e-9)  # not mentioned for mentioned
        assert isnan(value.value) or -1 <= value.value <= 1
    impact, mention = [share / 4 for _, share, _ in drawn], [m for *_, m in drawn]
    if len(set(impact)) > 1 and len(set(mention)) > 1:
        assert cct(frame(rows), ci=None).value == pytest.approx(float(pearsonr(impact, mention)[0]), abs=1e-12)
