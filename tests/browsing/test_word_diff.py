from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.browsing.word_diff import word_diff

WORDS = st.lists(st.sampled_from(["a", "b", "C,", "c", "—", "下", "اب"]), max_size=12)


def naive(a: list[str], b: list[str]) -> int:
    """Length of a longest common subsequence, from its definition."""

    @cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return max(longest(i + 1, j), longest(i, j + 1), longest(i + 1, j + 1) + 1 if a[i] == b[j] else 0)

    return longest(0, 0)


@settings(max_examples=40)
@given(WORDS, WORDS)
def test_the_pieces_are_the_texts_and_as_much_as_can_be_is_the_same(a: list[str], b: list[str]) -> None:
    found = word_diff(" ".join(a), "\n".join(b))
    assert "".join(piece.text for piece in found.first) == " ".join(a)
    assert "".join(piece.text for piece in found.second) == "\n".join(b)
    keys = [[{"C,": "c"}.get(word, word) for word in own] for own in (a, b)]
    assert found.n_same == naive(*keys)
    assert (found.n_first, found.n_second, found.cut) == (len(a), len(b), False)


def test_letter_case_and_punctuation_around_a_word_do_not_count() -> None:
    found = word_diff("It's WRONG, (really)!", "it's wrong: not really")
    assert [(piece.text, piece.same) for piece in found.second] == [
        ("it's wrong: ", True), ("not ", False), ("really", True)
    ]  # fmt: skip
    assert all(piece.same for piece in found.first)


def test_characters_of_scripts_without_blanks_are_words() -> None:
    found = word_diff("他说谎了", "他没说谎")
    assert [piece.text for piece in found.first if not piece.same] == ["了"]
    assert [piece.text for piece in found.second if not piece.same] == ["没"]


@pytest.mark.parametrize(("a", "b"), [("", ""), ("", "one"), ("  \n", "one")])
def test_an_empty_text_shares_nothing(a: str, b: str) -> None:
    found = word_diff(a, b)
    assert found.n_same == 0
    assert [piece.text for piece in found.second] == ([b] if b else [])


def test_what_is_too_long_is_cut_and_said() -> None:
    text = " ".join(f"w{k}" for k in range(50))
    found = word_diff(text, text + " end", longest=10)
    assert found.cut
    assert found.n_first == found.n_same == 10
    assert found.first[0].text == " ".join(f"w{k}" for k in range(10)) + " "
