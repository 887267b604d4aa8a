"""Constraints that a user lists: reading them, checking them, their shares."""

from __future__ import annotations

import polars as pl
import pytest
import yaml
from statsmodels.stats.proportion import proportion_confint

from dfar_toolkit.metrics.reasons.constraints import Constraint, constraint_results, constraint_table, parse_constraints
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons

OPTIONS = ["ethical", "unethical"]
REASONS = ["It is ethical. It helps!", "Not ethical", "I think (really) it harms", "É 3.5 kg? Yes", None]
LABELS = ["ethical", "ethical", "unethical", None, "ethical"]
FILE = """
short: {max_words: 4}
long enough: {min_characters: 15}
one: {one_sentence: true}
no brackets: {must_not_match: '[()]'}
capital: {must_match: '^\\p{Lu}'}
says it: {must_name_label: true}
not the other: {must_not_name_other_label: true}
"""


def results(listed: object) -> dict[str, list[bool | None]]:
    pairs = pair_reasons("test", None, reason=REASONS, label=LABELS)
    found = constraint_results(pairs, parse_constraints(listed), options=OPTIONS)  # type: ignore[arg-type]
    order = pairs.rows.arg_sort()
    return {c: found[c].gather(order).to_list() for c in found.columns}


def test_every_kind_by_hand() -> None:
    assert results(yaml.safe_load(FILE)) == {
        "short": [False, True, False, False],
        "long enough": [True, False, True, False],
        "one": [False, True, True, False],
        "no brackets": [True, True, False, True],
        "capital": [True, True, True, True],
        "says it": [True, False, False, None],
        "not the other": [True, False, True, None],
    }
    counts = [{"name": k, "kind": k, "value": v} for k, v in
              (("min_words", 4), ("max_characters", 11), ("min_sentences", 2), ("max_sentences", 1))]  # fmt: skip
    assert results(counts) == {
        "min_words": [True, False, True, True],
        "max_characters": [False, True, False, False],
        "min_sentences": [True, False, False, True],
        "max_sentences": [False, True, True, False],
    }


@pytest.mark.parametrize(
    ("text", "sentences"),
    [("One", 1), ("One.", 1), ("One. Two", 2), ("3.5 kg", 1), ('He said "no." Then', 2), ("Wait... what?!", 2),
     ("ভুল। ঠিক।", 2), ("不可。可以。", 2), ("...", 1), ("One.\n\nTwo.", 2)],
)  # fmt: skip
def test_sentences(text: str, sentences: int) -> None:
    pairs = pair_reasons("test", None, reason=[text])
    low, high = (Constraint(k, k, sentences) for k in ("min_sentences", "max_sentences"))
    assert constraint_results(pairs, [low, high]).row(0) == (True, True)


def test_shares_with_intervals() -> None:
    checks = parse_constraints({"short": {"max_words": 4}, "says it": {"must_name_label": True}})
    frame = pl.DataFrame({"reason": REASONS, "label_pred": LABELS})
    table = constraint_table(frame, constraints=checks, label="label_pred", options=OPTIONS)
    assert table.select("metric", "constraint", "kind", "value", "n").rows() == [
        ("constraint_short", "short", "max_words", 0.25, 4),
        ("constraint_says it", "says it", "must_name_label", pytest.approx(1 / 3), 3),
        ("constraint_all", "all", "all", 0.0, 4),
    ]
    low, high = proportion_confint(1, 4, method="wilson")
    assert (table["low"][0], table["high"][0]) == pytest.approx((low, high), abs=1e-12)
    assert table["note"].to_list()[:2] == [
        "1 of 5 without a reason left out",
        "1 of 5 without a reason left out; 1 of 4 without a label left out",
    ]
    assert table.equals(constraint_table(frame.reverse(), constraints=checks, label="label_pred", options=OPTIONS))
    assert len(constraint_table(frame, constraints=[])) == 0


def test_a_name_may_be_all() -> None:
    checks = parse_constraints([{"name": "all", "kind": "max_words", "value": 1}])
    assert constraint_table(reason=["a", "a b"], constraints=checks)["value"].to_list() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"a": {"max_word": 3}}, "kind must be one of min_words"),
        ({"a": {"max_words": "3"}}, "whole number of at least 0, found '3'"),
        ({"a": {"max_words": True}}, "found True"),
        ({"a": {"max_words": 3, "min_words": 1}}, "one kind with its value"),
        ({"a": 3}, "one kind with its value"),
        ({"a": {"one_sentence": False}}, "leave the check out"),
        ({"a": {"must_match": "("}}, "'\\(' cannot be read"),
        ({"a": {"must_match": "(?=x)"}}, "without look-around"),
        ({"a": {"must_match": ""}}, "takes a regular expression"),
        ([{"name": "a", "kind": "max_words", "value": 1, "level": 2}], "'level' too"),
        ([{"kind": "one_sentence"}, {"kind": "one_sentence"}], "occurs twice"),
        (["max_words"], "wanted {name, kind, value}"),
        ([{"name": 3, "kind": "max_words", "value": 1}], "must be text, found 3"),
    ],
)
def test_wrong_constraints_are_named(listed: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_constraints(listed)  # type: ignore[arg-type]


def test_checks_about_labels_need_them() -> None:
    with pytest.raises(ValueError, match="'says' is about labels; give label and options"):
        constraint_table(reason=["a"], constraints=[Constraint("says", "must_name_label")])


def test_a_hostile_pattern_does_not_hang() -> None:
    check = [Constraint("x", "must_match", "(a+)+$")]
    pairs = pair_reasons("test", None, reason=["a" * 50_000 + "!"])
    assert constraint_results(pairs, check)["x"].to_list() == [False]
