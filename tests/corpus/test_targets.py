"""Aggregates: counts, shares, majority, ties, set-valued ratings, means."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.composition import annotator_facts, disagreement_facts
from dfar_toolkit.corpus.pseudonyms import pseudonyms
from dfar_toolkit.corpus.targets import aggregate, relabelled
from dfar_toolkit.tables import conform

QUESTIONS = pl.DataFrame(
    {"question": ["q"], "kind": ["nominal"], "options": [["a", "b", "c"]], "wording": [""]},
)


def annotations(rows: list[tuple[str, str, str, str]]) -> pl.DataFrame:
    """Rows of item, person, rating, value."""
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "rating_id", "value"], orient="row")
    return conform(frame.with_columns(question=pl.lit("q")), "annotations")


def test_majority_by_hand() -> None:
    found = aggregate(annotations([("i", p, f"i#{p}", v) for p, v in zip("123", "aab", strict=True)]), QUESTIONS)
    row = found.row(0, named=True)
    assert (row["label"], row["label_counts"], row["method"], row["n_ratings"]) == ("a", [2, 1, 0], "majority", 3)
    assert row["label_probs"] == pytest.approx([2 / 3, 1 / 3, 0], abs=1e-15)


def test_a_set_valued_rating_shares_one_vote() -> None:
    # One person says a and b (1/2 each), another b: shares a 1/2, b 3/2 of 2 ratings.
    found = aggregate(annotations([("i", "1", "i#1", "a"), ("i", "1", "i#1", "b"), ("i", "2", "i#2", "b")]), QUESTIONS)
    row = found.row(0, named=True)
    assert (row["label"], row["label_counts"], row["n_ratings"]) == ("b", [1, 2, 0], 2)
    assert row["label_probs"] == pytest.approx([1 / 4, 3 / 4, 0], abs=1e-15)


def test_thirds_that_add_to_a_tie_are_a_tie() -> None:
    # Three people give all three values each: 3 x 1/3 for each option, a tie in spite of rounding.
    rows = [("i", p, f"i#{p}", v) for p in "123" for v in "abc"]
    row = aggregate(annotations(rows), QUESTIONS).row(0, named=True)
    assert (row["label"], row["method"]) == (None, "tie")


def test_numbers_have_a_mean_and_no_label() -> None:
    questions = QUESTIONS.with_columns(kind=pl.lit("interval"), options=pl.lit([], dtype=pl.List(pl.String)))
    rows = annotations([("i", "1", "i#1", "1"), ("i", "2", "i#2", "4")]).with_columns(
        value_num=pl.col("value").cast(pl.Float64)
    )
    row = aggregate(rows, questions).row(0, named=True)
    assert (row["value"], row["label"], row["label_counts"], row["method"]) == (2.5, None, None, "mean")


def test_a_set_of_numbers_counts_as_one_rating() -> None:
    # One person says 1 and 2 (mean 3/2), another 5: (3/2 + 5) / 2 = 13/4, not (1 + 2 + 5) / 3.
    questions = QUESTIONS.with_columns(kind=pl.lit("ordinal"), options=pl.lit([], dtype=pl.List(pl.String)))
    rows = annotations([("i", "1", "i#1", "1"), ("i", "1", "i#1", "2"), ("i", "2", "i#2", "5"), ("j", "1", "j#1", "x")])
    found = aggregate(rows.with_columns(value_num=pl.col("value").cast(pl.Float64, strict=False)), questions)
    assert found["value"].to_list() == [13 / 4, None]
    assert found["n_ratings"].to_list() == [2, 1]


def test_values_outside_the_options_have_no_shares() -> None:
    for options in (["a", "b", "c"], ["a"]):
        questions = QUESTIONS.with_columns(options=pl.lit(options, dtype=pl.List(pl.String)))
        row = aggregate(annotations([("i", "1", "i#1", "z")]), questions).row(0, named=True)
        assert (row["label"], row["label_probs"], row["label_counts"]) == (None, None, [0] * len(options))


def test_identical_sets_agree() -> None:
    # i: two people say {a, b} in another order; j: {a, b} against {a}; k: one person; l: a against b.
    sets = {"i": ["1ab", "2ba"], "j": ["1ab", "2a"], "k": ["1a"], "l": ["1a", "2b"]}  # person, then the values
    rows = annotations([(i, r[0], f"{i}#{r[0]}", value) for i, said in sets.items() for r in said for value in r[1:]])
    other = rows.with_columns(question=pl.lit("second"))
    assert disagreement_facts(pl.concat([rows, other]), QUESTIONS) == {"items": 2, "of": 3}


def test_one_person_twice_is_not_two_people() -> None:
    rows = [
        ("i", "1", "i#1", "a"),
        ("i", "1", "i#2", "b"),
        ("j", "s:unknown", "j#1", "a"),
        ("j", "s:unknown", "j#2", "b"),
    ]
    assert disagreement_facts(annotations(rows), QUESTIONS) == {"items": 1, "of": 1}


def test_ratings_by_nobody_known_are_counted_apart() -> None:
    rows = annotations([("i", "s:1", "i#1", "a"), ("i", "s:unknown", "i#2", "a"), ("j", "s:unknown", "j#1", "b")])
    raters = pl.DataFrame({"annotator_id": ["s:1", "s:unknown"], "kind": ["human", "human"]})
    facts = annotator_facts(rows.with_columns(reason=pl.lit("")), raters, QUESTIONS, pseudonymous=False)
    assert (facts["count"], facts["ratings"], facts["unnamed"]) == (1, 3, 2)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ij"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_order_never_matters_and_shares_add_to_one(votes: list[tuple[str, str]]) -> None:
    rows = [(item, f"p{n}", f"{item}#{n}", value) for n, (item, value) in enumerate(votes)]
    one, two = aggregate(annotations(rows), QUESTIONS), aggregate(annotations(rows[::-1]), QUESTIONS)
    assert one.equals(two)
    for probs in one["label_probs"]:
        assert sum(probs) == pytest.approx(1, abs=1e-12)


class TestPseudonyms:
    def test_every_id_has_its_own(self) -> None:
        ids = pl.Series([f"s:{n}" for n in range(120)])
        names = pseudonyms(ids, seed=3)
        assert len(set(names.values())) == 120
        assert min(names.values()) == "s:a001"

    def test_the_order_of_ids_is_not_the_order_of_names(self) -> None:
        names = pseudonyms(pl.Series([f"s:{n:03d}" for n in range(50)]))
        assert [names[f"s:{n:03d}"] for n in range(50)] != [f"s:a{n:02d}" for n in range(1, 51)]

    def test_rows_do_not_matter_the_seed_does(self) -> None:
        ids = [f"s:{n}" for n in range(20)]
        assert pseudonyms(pl.Series(ids)) == pseudonyms(pl.Series(ids[::-1] * 2))
        assert pseudonyms(pl.Series(ids), seed=1) != pseudonyms(pl.Series(ids), seed=2)

    def test_the_unknown_annotator_stays_unknown(self) -> None:
        assert pseudonyms(pl.Series(["s:unknown", "s:x"])) == {"s:unknown": "s:unknown", "s:x": "s:a1"}


def test_other_ways_to_labels_keep_the_votes_and_say_which_way() -> None:
    # Three careful annotators and two who always say "b": the majority goes with the pair and one slip.
    rows = []
    for i in range(12):
        truth = "ab"[i % 2]
        said = [truth, truth, truth if i else "b", "b", "b"]
        rows += [(f"i{i:02}", f"r{r}", "q", f"i{i:02}/{r}", v) for r, v in enumerate(said)]
    annotations = conform(
        pl.DataFrame(rows, schema=["item_id", "annotator_id", "question", "rating_id", "value"], orient="row"),
        "annotations",
        where="test",
    )
    questions = conform(
        pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["a", "b"]], "wording": [""]}),
        "questions",
        where="test",
    )
    plain = aggregate(annotations, questions)
    model = relabelled(plain, annotations, questions, method="dawid_skene")
    assert plain["label"][0] == "b"
    assert model["label"][0] == "a"
    assert model["method"].unique().to_list() == ["dawid_skene"]
    assert model["label_counts"].to_list() == plain["label_counts"].to_list()
    assert model["label_probs"].to_list() == plain["label_probs"].to_list()
    assert model["label_posterior"][0].to_list()[0] > 0.5
    again = relabelled(plain, annotations, questions, method="majority")
    assert again["label"].to_list() == plain["label"].to_list()
