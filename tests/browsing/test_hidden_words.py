"""Words that were taken away, on texts short and long, with scores, sets, ties and places that are not there."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dfar_toolkit.browsing.hidden_words import HiddenWords, hidden_words, pieces

TEXT = "one two three two"
PLACES = [(0, 3), (4, 7), (8, 13), (14, 17)]


def word(start: int, end: int, field: str = "statement") -> dict[str, Any]:
    return {"field": field, "start": start, "end": end}


def found(
    removed: int, *, scores: list[float | None] | None = None, chosen: list[int] | None = None, own: bool = False,
    draws: int = 1, words: list[dict[str, Any]] | None = None,
) -> HiddenWords:  # fmt: skip
    places = words or [word(*place) for place in PLACES]
    evidence = None if chosen is None else [{**places[at], "set": 0} for at in chosen]
    rows = pl.DataFrame(
        [{"item_id": "i", "method": "m", "draw": 0, "output_id": "o", "target": None,
          "words": places if scores is not None else None, "word_scores": scores, "evidence": evidence}],
        schema_overrides={"word_scores": pl.List(pl.Float64)}, infer_schema_length=None,
    )  # fmt: skip
    items = pl.DataFrame({"item_id": ["i"], "statement": [TEXT],
                          "context": [[{"field": "why", "role": "", "text": "It rained."}]]})  # fmt: skip
    steps = pl.DataFrame({"item_id": ["i"], "removed": [removed], "n_draws": [draws]})
    return hidden_words(rows, items, steps, own=own)["i"]


def test_the_highest_scores_are_taken_and_of_equal_ones_the_first() -> None:
    assert found(1, scores=[0.0, 2.0, 1.0, 2.0]).words == ("two",)
    one = found(3, scores=[0.0, 2.0, 1.0, 2.0])
    assert one.words == ("two", "two", "three")
    assert [(p.text, p.hidden) for p in one.fields["statement"]] == [
        ("one ", False), ("two", True), (" ", False), ("three", True), (" ", False), ("two", True)
    ]  # fmt: skip
    assert found(2, scores=[0.0, 2.0, None, float("nan")]).words == ("two", "one")


def test_a_set_is_taken_as_it_is() -> None:
    assert found(2, chosen=[0, 2]).words == ("one", "three")
    assert found(2, scores=[4.0, 3.0, 2.0, 1.0], chosen=[2, 3], own=True).words == ("three", "two")
    assert found(2, scores=[4.0, 3.0, 2.0, 1.0], chosen=[2, 3]).words == ("one", "two")
    assert found(2, scores=[4.0, 3.0, 2.0, 1.0], own=True).words == ("one", "two")  # as many as people marked


def test_what_cannot_be_said_is_said() -> None:
    assert found(1, scores=[1.0, 0.0, 0.0, 0.0], draws=5).note == "other words in each of 5 draws"
    none = pl.DataFrame(schema=dict.fromkeys(("item_id", "method", "draw", "output_id"), pl.String))
    nothing = hidden_words(
        none, pl.DataFrame({"item_id": ["i"], "statement": [TEXT]}),
        pl.DataFrame({"item_id": ["i", "gone"], "removed": [1, 1], "n_draws": [1, 1]}), own=False,
    )  # fmt: skip
    assert {one.note for one in nothing.values()} == {"the file does not say which words"}
    assert nothing["gone"].fields == {"statement": []}


def test_places_that_the_item_does_not_have() -> None:
    one = found(2, scores=[2.0, 1.0], words=[word(90, 95), word(3, 9, "why")])
    assert one.words == ("rained",)
    assert one.note == "1 words that the item does not have"
    assert [p.text for p in one.fields["why"] if p.hidden] == ["rained"]
    assert "".join(p.text for p in one.fields["statement"]) == TEXT


@pytest.mark.parametrize("spans", [[], [(0, 4)], [(4995, 5000)], [(7, 9), (8, 12), (2000, 2004), (2010, 2014)]])
def test_long_texts_are_cut_around_the_words(spans: list[tuple[int, int]]) -> None:
    text = "".join(chr(97 + k % 26) for k in range(5000))
    cut = pieces(text, spans)
    assert sum(len(p.text) for p in cut) < 800
    assert any(p.gap for p in cut)
    assert all(p.text in text for p in cut)
    assert [p.text for p in cut if p.hidden] == [text[a:b] for a, b in spans if (a, b) != (8, 12)]


def test_many_words_of_a_long_text_end_in_a_gap() -> None:
    text = "word " * 5000
    cut = pieces(text, [(5 * k, 5 * k + 4) for k in range(5000)])
    assert sum(p.hidden for p in cut) == 12
    assert cut[-1].gap
