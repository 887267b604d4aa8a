"""Places in a text go from characters to words and tokens and back without loss."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.spans import joined_tokens, merged_spans, spans_of_units, unit_range_span, units_of_spans, word_spans

TEXTS = st.text(alphabet="ab é\n\t😀ক", max_size=30)
TOKENS = st.lists(st.text(alphabet="abé😀", min_size=1, max_size=4), min_size=1, max_size=12)


@given(TEXTS)
@settings(max_examples=30)
def test_words_are_what_split_gives_and_stand_where_they_say(text: str) -> None:
    assert [text[a:b] for a, b in word_spans(text)] == text.split()


@given(TOKENS, st.data())
@settings(max_examples=30)
def test_chosen_tokens_survive_the_way_to_characters_and_back(tokens: list[str], data: st.DataObject) -> None:
    text, units = joined_tokens(tokens)
    assert [text[a:b] for a, b in units] == tokens
    chosen = data.draw(st.sets(st.integers(0, len(tokens) - 1)))
    assert units_of_spans(units, spans_of_units(units, chosen)) == sorted(chosen)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda p: (min(p), max(p))), max_size=8))
@settings(max_examples=30)
def test_merged_spans_cover_the_same_characters_and_stand_apart(spans: list[tuple[int, int]]) -> None:
    merged = merged_spans(spans)
    assert {c for a, b in merged for c in range(a, b)} == {c for a, b in spans for c in range(a, b)}
    assert all(left[1] < right[0] for left, right in pairwise(merged))


def test_a_unit_touched_by_one_character_counts_and_a_neighbour_does_not() -> None:
    assert units_of_spans([(0, 2), (3, 9)], [(2, 4)]) == [1]
    assert units_of_spans([(0, 2), (3, 9)], [(2, 3), (1, 1)]) == []


def test_a_token_may_belong_to_two_words_that_one_span_touches() -> None:
    assert units_of_spans([(0, 4), (2, 6)], [(3, 4)]) == [0, 1]


def test_a_range_outside_the_text_is_refused_with_the_numbers() -> None:
    assert unit_range_span([(0, 2), (3, 9)], 0, 2) == (0, 9)
    with pytest.raises(IndexError, match=r"within 0 to 2; found 1 to 3"):
        unit_range_span([(0, 2), (3, 9)], 1, 3)
    with pytest.raises(IndexError, match="found 2"):
        spans_of_units([(0, 2), (3, 9)], [2])
