"""Is a word mentioned? In any script, with hostile neighbours."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.self_consistency.mentions import mentioned_words, mentions, with_mentions

CASES = [
    ("He was very QUIET.", "quiet", True),
    ("He spoke quietly.", "quiet", False),  # no inflection
    ("a well-known lie", "known", True),
    ("snake_case", "snake", False),
    ("it's 4x4", "4", False),
    ("STRASSE", "straße", True),
    ("ﬁne", "fine", True),  # a ligature
    ("very   \n quiet", "very quiet", True),
    ("unquiet, then quiet", "quiet", True),  # the second place counts
    ("quiet", "", False),
    ("", "quiet", False),
    (".*", "quiet", False),
    ("a (b", "(b", True),  # signs are no patterns
    ("cafe\u0301", "café", True),
    ("cafe\u0301", "cafe", False),  # the accent goes on
    ("সে ঘৃণা করে।", "ঘৃণা", True),
    ("সে করিম।", "কর", False),  # a vowel sign goes on
    ("ক্\u200dষ", "ক্", False),  # a joiner goes on
    ("كان هادئًا جدا", "هادئًا", True),
    ("والهادئ", "هادئ", False),
    ("这个人很安静。", "安静", True),  # no blanks: letters wherever they stand
    ("GPT了", "GPT", True),
    ("ดีมาก", "ดี", True),
    ("ดีมาก", "ด", False),  # a vowel sign belongs to its letter
    ("静かな人", "静か", True),
    ("👍🏽 quiet👍", "quiet", True),
    ("👍🏽", "👍🏽", True),
]


@pytest.mark.parametrize(("text", "word", "expected"), CASES)
def test_by_hand(text: str, word: str, expected: bool) -> None:
    assert mentions(text, word) is expected


def test_null_where_nothing_can_be_said() -> None:
    assert mentioned_words(["x", None, " \n", "x"], ["x", "x", "x", None]).to_list() == [True, None, None, None]
    assert mentioned_words([], []).dtype == pl.Boolean
    with pytest.raises(ValueError, match="2 texts, 1 words"):
        mentioned_words(["a", "b"], ["a"])


def test_the_column_and_what_it_needs() -> None:
    frame = pl.DataFrame({"reason": ["Red.", None, "x"], "inserted": ["red", "red", None], "k": [1, 2, 3]})
    found = with_mentions(frame)
    assert found["mentioned"].to_list() == [True, None, None]
    assert found["k"].to_list() == [1, 2, 3]
    with pytest.raises(TableError, match='"inserted", found reason'):
        with_mentions(pl.DataFrame({"reason": ["a"]}))


@settings(max_examples=20)
@given(st.text(max_size=12), st.text(max_size=12), st.sampled_from(["red", "ঘৃণা", "هادئ"]))
def test_a_word_between_blanks_is_always_found(before: str, after: str, word: str) -> None:
    assert mentions(f"{before} {word} {after}", word)
    assert not mentions(f"{word}s", word)
