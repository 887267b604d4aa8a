"""Majority, soft labels, the one door to the methods, and labels against gold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from dfar_toolkit.agreement.labels.dawid_skene import dawid_skene
from dfar_toolkit.agreement.labels.gold import compare_with_gold
from dfar_toolkit.agreement.labels.one_coin import one_coin
from dfar_toolkit.agreement.labels.votes import majority_vote, soft_labels, votes
from dfar_toolkit.errors import TableError

Triples = list[tuple[Any, Any, Any]]
FEW = settings(max_examples=40)
NAMES = ["yes 😀", "no", "not  sure"]

ratings = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 4)), st.sampled_from(NAMES), min_size=1, max_size=30
).map(lambda cells: [(i, f"r{r}", v) for (i, r), v in cells.items()])

THREE = [("i", "x", "b"), ("i", "y", "a"), ("i", "z", "b"), ("j", "x", "a"), ("j", "y", "b"), ("k", "z", "a")]


def test_majority_by_hand() -> None:
    found = majority_vote(THREE)
    assert found.columns == ["item_id", "label", "tied", "n_ratings", "share"]
    assert found.rows() == [("i", "b", [], 3, 2 / 3), ("j", None, ["a", "b"], 2, 0.5), ("k", "a", [], 1, 1.0)]


@FEW
@given(ratings, st.randoms(use_true_random=False))
def test_equal_to_counting_by_hand(rows: Triples, random: Any) -> None:
    for name, label, tied, n, share in majority_vote(random.sample(rows, len(rows))).rows():
        counted = Counter(v for i, _, v in rows if i == name)
        top = max(counted.values())
        leaders = sorted(v for v, k in counted.items() if k == top)
        assert (label, tied) == ((leaders[0], []) if len(leaders) == 1 else (None, leaders))
        assert (n, share) == (counted.total(), top / counted.total())


@FEW
@given(ratings, st.sampled_from([0.0, 0.5, 2.0]))
def test_soft_labels_equal_to_counting_by_hand(rows: Triples, smoothing: float) -> None:
    options = [*reversed(NAMES), "nobody said this"]
    for name, counts, probs, n in soft_labels(rows, options=options, smoothing=smoothing).rows():
        counted = Counter(v for i, _, v in rows if i == name)
        assert counts == [counted[o] for o in options]
        assert n == counted.total()
        assert probs == pytest.approx([(counted[o] + smoothing) / (n + 4 * smoothing) for o in options], abs=1e-12)


@FEW
@given(ratings)
def test_every_method_keeps_every_item_and_every_vote(rows: Triples) -> None:
    first = votes(rows)
    for method in ("majority", "soft", "dawid_skene", "one_coin"):
        found = votes(rows, method=method, options=NAMES)
        assert found["item_id"].equals(first["item_id"])
        assert found["label_counts"].list.sum().to_list() == found["n_ratings"].to_list()
        assert found["label_probs"].list.sum().to_list() == pytest.approx([1.0] * len(found), abs=1e-12)
        for label, tied, probs in found.select("label", "tied", "label_probs").rows():
            lead = sorted(o for o, p in zip(NAMES, probs, strict=True) if p > max(probs) - 1e-9)
            assert ([label], []) == (lead, tied) if len(lead) == 1 else (label, sorted(tied)) == (None, lead)
        assert set(found["method"]) == {method}


def test_models_give_their_posteriors() -> None:
    for method, model in (("dawid_skene", dawid_skene), ("one_coin", one_coin)):
        found = votes(THREE, method=method, smoothing=0.1)  # type: ignore[arg-type]
        assert found["label_probs"].to_list() == model(THREE, smoothing=0.1).posterior["label_probs"].to_list()
        assert found["label_counts"].to_list() == [[1, 2], [1, 1], [1, 0]]


def test_values_keep_their_type() -> None:
    rows = [(1, "x", 2.5), (1, "y", 2.5), (2, "x", 0.5)]
    assert votes(rows)["label"].to_list() == [2.5, 0.5]
    assert votes(rows, options=[3, 2.5, 0.5])["label_counts"].to_list() == [[0, 2, 0], [0, 0, 1]]
    assert majority_vote(rows)["label"].dtype == pl.Float64


def test_repeats() -> None:
    rows = [("i", "x", "a"), ("i", "x", "a"), ("i", "y", "b")]
    with pytest.raises(TableError, match="twice"):
        majority_vote(rows)
    assert majority_vote(rows, repeats="keep").row(0) == ("i", "a", [], 3, 2 / 3)
    assert soft_labels(rows, repeats="keep")["label_counts"].to_list() == [[2, 1]]
    assert votes(rows, repeats="keep")["n_ratings"].to_list() == [3]


def test_missing_values_are_left_out_and_items_without_any_are_not_there() -> None:
    frame = pl.DataFrame({"item_id": [1, 1, 2], "annotator_id": ["x", "y", "x"], "value": ["a", None, None]})
    assert majority_vote(frame).rows() == [(1, "a", [], 1, 1.0)]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"votes: method must be one of majority, .* found 'best'"):
        votes(THREE, method="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="votes: the method majority takes no smoothing, found 1"):
        votes(THREE, smoothing=1)
    with pytest.raises(ValueError, match="smoothing must be 0 or more, found -1"):
        soft_labels(THREE, smoothing=-1)
    with pytest.raises(TableError, match='the value "b" is no option; the options are a, c'):
        votes(THREE, options=["a", "c"])
    with pytest.raises(ValueError, match="votes: options must differ, found a, b, a"):
        votes(THREE, options=["a", "b", "a"])
    with pytest.raises(ValueError, match="soft_labels: options must be of the type of the values, Int64"):
        soft_labels([(1, "x", 1)], options=["one"])


def gold_frame(**more: Any) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ["i", "j", "k", "l"], "label": ["b", "a", "b", "a"], **more})


def test_gold_by_hand() -> None:
    # i: b is right; j ties; k: a is wrong; l has no row. 1 of 4; of the two decided 1; 2 of 4 have one label.
    found = compare_with_gold(votes(THREE), gold_frame())
    shown = found.select("label_method", "statistic", "n_tied", "n_missing", "value", "n").rows()
    assert shown == [
        ("majority", "accuracy", 1, 1, 0.25, 4),
        ("majority", "accuracy_decided", 1, 1, 0.5, 2),
        ("majority", "coverage", 1, 1, 0.5, 4),
    ]
    assert set(found["method"]) == {"Wilson"}


def test_gold_by_method_and_in_groups() -> None:
    both = pl.concat([votes(THREE, method="one_coin"), votes(THREE)])
    found = compare_with_gold(both, gold_frame(context=["p", "p", "q", "q"]), group="context")
    assert found["label_method"].to_list() == ["majority"] * 3 + ["one_coin"] * 3
    assert found.filter(statistic="accuracy")["n_units"].to_list() == [2, 2]
    assert set(found.filter(statistic="accuracy")["method"]) == {"Wilson (effective n)"}


def test_gold_equals_scikit_learn_where_nothing_ties() -> None:
    rows = [(i, r, (i * k) % 3) for i in range(40) for k, r in ((1, "x"), (1, "y"), (5, "z"))]
    made = votes(rows)
    gold = pl.DataFrame({"item_id": range(40), "label": [(i // 2) % 3 for i in range(40)]})
    theirs = accuracy_score(gold["label"].to_numpy(), made["label"].to_numpy())
    found = compare_with_gold(made, gold)
    assert found["value"].to_list() == pytest.approx([theirs, theirs, 1.0], abs=1e-12)


def test_gold_notes_and_refusals() -> None:
    made = votes(THREE)
    short = pl.DataFrame({"item_id": ["i", "j"], "label": ["b", None]})
    found = compare_with_gold(made, short)
    assert found["n"].to_list() == [1, 1, 1]
    assert set(found["note"]) == {"2 labelled items have no gold; 1 gold rows have no label"}
    nothing = compare_with_gold(made, short.clear())
    assert nothing["value"].is_nan().all()
    with pytest.raises(TableError, match=r'needs the column "truth" in gold; found item_id, label'):
        compare_with_gold(made, short, gold_label="truth")
    with pytest.raises(TableError, match="gold must have one row per item_id; i has more"):
        compare_with_gold(made, pl.concat([short, short]))
    with pytest.raises(TableError, match="labels must have one row per item_id and method; i, majority has more"):
        compare_with_gold(pl.concat([made, made]), short)
    with pytest.raises(TableError, match="same types; found String, String and Int64, String"):
        compare_with_gold(made, pl.DataFrame({"item_id": [1], "label": ["a"]}))
    with pytest.raises(TableError, match="same types; found String, String and String, Int64"):
        compare_with_gold(made, pl.DataFrame({"item_id": ["i"], "label": [1]}))
