from __future__ import annotations

import pytest
from browsed_folder import HOSTILE

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.text_marks import marked_pieces, reason_spans, search_spans


@pytest.mark.parametrize("text", [t for t in HOSTILE if t and len(t) < 100])
def test_any_text_finds_itself(text: str) -> None:
    assert search_spans(f"ab {text} cd", ItemFilter(text=text)) == [(3, 3 + len(text))]


def test_patterns_are_those_of_the_filter() -> None:
    text = "I lied; he Lied twice."
    assert search_spans(text, ItemFilter(regex=r"(?i)\blied\b")) == [(2, 6), (11, 15)]
    assert search_spans(text, ItemFilter(regex="x*")) == []
    assert search_spans(text, ItemFilter(regex="(")) == []
    assert search_spans(text, ItemFilter(text="he", regex="[a-z]+ L")) == [(8, 12)]
    assert search_spans(text, ItemFilter()) == []


def test_statements_and_reasons_are_searched_each_for_its_own() -> None:
    text = "I lied; he Lied twice."
    assert reason_spans(text, ItemFilter(reason="LIED", reason_regex="tw.ce")) == [(2, 6), (11, 15), (16, 21)]
    assert reason_spans(text, ItemFilter(text="lied", regex="he")) == []
    assert search_spans(text, ItemFilter(reason="lied", reason_regex="he")) == []
    assert reason_spans(text, ItemFilter(reason_regex="(")) == []


def test_a_pattern_that_is_slow_elsewhere_is_not_here_and_marks_are_bounded() -> None:
    assert search_spans("a" * 5000, ItemFilter(regex="(a+)+b")) == []
    assert len(search_spans("ab " * 5000, ItemFilter(text="ab"))) == 1000


def test_characters_of_private_use_may_stand_in_the_text() -> None:
    assert search_spans("\ue000x\ue001", ItemFilter(text="x")) == [(1, 2)]


def test_pieces_are_the_text() -> None:
    pieces = marked_pieces("abcdef", [(1, 2), (1, 3), (5, 9), (-1, 2), (4, 4)])
    assert [(p.text, p.marked) for p in pieces] == [("a", False), ("bc", True), ("def", False)]
    assert marked_pieces("", [(0, 1)])[0].text == ""
