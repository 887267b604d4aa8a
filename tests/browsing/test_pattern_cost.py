"""Patterns that would take too long: tried on some texts, said and left out; what is quick is never refused."""

from __future__ import annotations

import polars as pl
import pytest
from browsed_folder import Browsed

from dfar_toolkit.browsing.filter_fitting import bad_pattern, fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.pattern_cost import SomeTexts, slow_pattern, some_texts
from dfar_toolkit.browsing.reason_search import some_reasons

SLOW = r"(\w+\W+){1,100}zzz"
TEXTS = pl.Series([f"I told my {k} neighbours that I had scraped a parked car, though nobody saw." for k in range(900)])


@pytest.mark.parametrize("pattern", ["stole", "(?i)the .* car", r"\bI\b", "^$", "x{99}", "(?s).*"])
def test_what_is_quick_is_not_refused(pattern: str) -> None:
    assert slow_pattern(pattern, some_texts(TEXTS)) == ""
    assert slow_pattern(pattern, SomeTexts(TEXTS, 30_000_000)) == ""


def test_what_would_take_too_long_is_refused_with_the_time() -> None:
    assert slow_pattern(SLOW, some_texts(TEXTS)) == ""  # there is little to search
    said = slow_pattern(SLOW, SomeTexts(TEXTS, 1e12))
    assert said.startswith("it would take about ")
    assert "more than 20 are not allowed" in said


def test_some_texts_are_from_all_over_and_say_how_much_there_is() -> None:
    texts = pl.Series([None, *(str(k % 10) * 10_000 for k in range(1_000))])
    some = some_texts(texts)
    assert some.n_bytes == 10_000_000
    assert 1_000_000 < some.texts.str.len_bytes().sum() < 4_000_000
    assert set(some.texts.str.head(1)) >= {"1", "5", "9"}
    assert some.texts.str.len_chars().max() == 4096
    assert slow_pattern("x", some_texts(pl.Series([], dtype=pl.String))) == ""


def test_a_slow_pattern_is_said_and_left_out(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ItemIndex(browsed.items, runs=browsed.runs)
    wanted = ItemFilter(text="a", regex=SLOW, reason_regex=SLOW)
    assert fitted(wanted, index) == (wanted, [])
    monkeypatch.setattr("dfar_toolkit.browsing.pattern_cost.LONGEST", 0.0)
    index = ItemIndex(browsed.items, runs=browsed.runs)
    left, said = fitted(wanted, index)
    assert left == ItemFilter(text="a")
    assert [line.split(" matches ")[0] for line in said] == ["text", "a reason"]
    assert all("it would take about" in line and line.endswith("left out.") for line in said)


def test_some_reasons_say_how_much_there_is_in_all(browsed: Browsed, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = some_reasons(ItemIndex(browsed.items, runs=browsed.runs))
    given = [text for *_, text in browsed.ratings if text is not None and text.strip()]
    assert {text[:4096] for text in given} <= set(whole.texts)
    assert whole.n_bytes >= sum(len(text.encode()) for text in given)
    monkeypatch.setattr("dfar_toolkit.browsing.reason_search._SOME", 20)
    part = some_reasons(ItemIndex(browsed.items, runs=browsed.runs))
    assert 0 < len(part.texts) < len(whole.texts)
    assert part.n_bytes == pytest.approx(whole.n_bytes, rel=0.9)


def test_a_pattern_that_is_too_large_is_said_in_one_plain_line() -> None:
    assert bad_pattern("(a{1000}){1000}") == "no pattern: Compiled regex exceeds size limit of 10485760 bytes"
