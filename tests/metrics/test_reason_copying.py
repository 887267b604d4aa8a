"""Copying, repetition, length and duplicated reasons."""

from __future__ import annotations

from math import isnan

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.metrics.reasons.copying import (
    COPY_METRICS,
    copying_scores,
    duplicated_reason_share,
    longest_common_run,
    reason_copying,
)

few = st.lists(st.sampled_from("abc"), max_size=10)


def naive_run(a: list[str], b: list[str]) -> int:
    runs = [size for size in range(1, len(a) + 1) for i in range(len(a) - size + 1)
            for j in range(len(b) - size + 1) if a[i : i + size] == b[j : j + size]]  # fmt: skip
    return max(runs, default=0)


@given(few, few)
@settings(max_examples=30)
def test_longest_run_against_the_definition(a: list[str], b: list[str]) -> None:
    assert longest_common_run(a, b) == naive_run(a, b) == longest_common_run(b, a)


def test_by_hand() -> None:
    # 7 words: i lied to ann i lied badly; triples: i-lied-to, lied-to-ann, to-ann-i, ann-i-lied, i-lied-badly.
    # The statement "yesterday I lied to Ann" has the first two; its longest shared run is "i lied to ann".
    row = copying_scores(["I lied to Ann; I lied badly"], ["Yesterday I lied to Ann."]).row(0, named=True)
    assert row == {
        "reason_words": 7.0,
        "reason_characters": 27.0,
        "copied_run_words": 4.0,
        "copied_run_share": 4 / 7,
        "copied_ngram_share": 2 / 5,
        "distinct_ngram_share": 1.0,
        "repeated_ngram_share": 0.0,
    }


def test_repetition_by_hand() -> None:
    # Pairs of a b a b a: ab ba ab ba: 2 distinct of 4, all repeat. a b c: none.
    found = copying_scores(["a b a b a", "a b c"], n=2)
    assert found["distinct_ngram_share"].to_list() == [0.5, 1.0]
    assert found["repeated_ngram_share"].to_list() == [1.0, 0.0]
    assert found["copied_run_words"].to_list() == [None, None]


def test_short_empty_and_unknown_texts() -> None:
    found = copying_scores(["a b", "😀", "a b c"], ["a b c", "😀", None])
    assert found["copied_ngram_share"].to_list() == [None, None, None]
    assert found["copied_run_share"].to_list() == [1.0, None, None]
    assert found["copied_run_words"].to_list() == [2.0, 0.0, None]
    assert found["reason_characters"].to_list() == [3.0, 1.0, 5.0]
    assert copying_scores([]).columns == list(COPY_METRICS)


def test_means_over_a_frame() -> None:
    frame = pl.DataFrame(
        {"reason": ["a b c d", None, "a"], "statement": ["a b c x", "a", "a"], "group": ["g", "g", "h"]}
    )
    grams = reason_copying(frame, n_boot=100)
    assert (grams.value, grams.n, grams.name) == (0.5, 1, "3-grams copied from the statement")
    assert grams.note.startswith(
        "1 of 3 without a reason left out; 1 of 2 without a statement or n-grams left out; no interval: "
    )
    assert isnan(grams.low)  # a quarter of the draws holds group h alone
    assert reason_copying(frame, metric="reason_words", ci=None).value == 2.5
    assert reason_copying(frame.reverse(), metric="reason_words") == reason_copying(frame, metric="reason_words")
    assert isnan(reason_copying(frame.drop("statement"), metric="copied_run_words", statement=None).value)


def test_duplicates_are_those_of_another_unit() -> None:
    texts = ["It is wrong.", "it is WRONG", "😀", "😁", "Fine.", "fine", None]
    assert duplicated_reason_share(reason=texts).value == pytest.approx(4 / 6, abs=1e-12)
    items = ["a", "b", "c", "d", "e", "e", "f"]
    found = duplicated_reason_share(reason=texts, item=items)
    assert found.value == pytest.approx(2 / 6, abs=1e-12)
    assert found.note == "1 of 7 without a reason left out"
    assert duplicated_reason_share(reason=texts, item=items, group=["g"] * 7).value == 0


def test_refused() -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        copying_scores(["a"], n=0)
    with pytest.raises(ValueError, match="1 reasons, 2 statements"):
        copying_scores(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="metric must be one of reason_words"):
        reason_copying(reason=["a"], statement=None, metric="copied")  # type: ignore[arg-type]
