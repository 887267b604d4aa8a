"""Sentences of reasons in several scripts, and reasons that are cut, replaced and emptied."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.runners.self_consistency.reason_pieces import (
    filler_characters,
    filler_words,
    first_pieces,
    replaced,
    same_words,
    sentence_spans,
)
from dfar_toolkit.runners.self_consistency.side_by_side import side_by_side


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It hurts. It is 3.5 times worse!", ["It hurts.", "It is 3.5 times worse!"]),
        ('He said "No." Then left', ['He said "No."', "Then left"]),
        ("এটা ভুল। কারণ মিথ্যা।", ["এটা ভুল।", "কারণ মিথ্যা।"]),
        ("هل هذا خطأ؟ نعم.", ["هل هذا خطأ؟", "نعم."]),
        ("这样不好。他受伤了！", ["这样不好。", "他受伤了！"]),
        ("First\n- second\n\n- third", ["First", "- second", "- third"]),
        ("Well... no", ["Well...", "no"]),
        ("Yes. 🙂 !", ["Yes. 🙂 !"]),  # no words of their own: they belong to what stands before
        ("... Yes", ["Yes"]),
        ("...", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == expected


@settings(max_examples=20)
@given(st.text(st.sampled_from("ab .!।。\n\"'🙂"), max_size=30))
def test_sentences_stand_apart_in_order_and_hold_every_word(text: str) -> None:
    spans = sentence_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    assert [c for c in kept if c in "ab"] == [c for c in text if c in "ab"]
    for share in (0.0, 0.3, 1.0):
        count, part = first_pieces(text, spans, share)
        assert 0 <= count <= len(spans)
        assert part == " " if not count else text.startswith(part)


def test_shares_round_up_whatever_the_float() -> None:
    spans = [(at, at + 1) for at in range(10)]
    assert [first_pieces("0123456789", spans, tenth / 10)[0] for tenth in range(11)] == list(range(11))
    assert first_pieces("0123456789", spans, 0.01) == (1, "0")


def test_fillers_and_edits() -> None:
    assert filler_words("下雨了", "characters") == "... ... ..."
    assert filler_characters("আ ম\n🙂") == ". .\n."
    assert replaced("a\\1b", (1, 3), r"\g<0>") == r"a\g<0>b"
    assert not same_words("a b", "ab")


def test_side_by_side_ends_at_different_times() -> None:
    def asks(times: int):  # type: ignore[no-untyped-def]
        said = []
        for at in range(times):
            said.append((yield f"{times}:{at}"))
        return [{"raw": one} for one in said]

    steps = side_by_side([asks(2), asks(0), asks(1)])
    assert next(steps) == ["2:0", "1:0"]  # type: ignore[comparison-overlap]
    assert steps.send(["A", "C"]) == ["2:1"]  # type: ignore[comparison-overlap,list-item]
    with pytest.raises(StopIteration) as end:
        steps.send(["B"])  # type: ignore[list-item]
    assert end.value.value == [[{"raw": "A"}, {"raw": "B"}], [], [{"raw": "C"}]]
    with pytest.raises(StopIteration):
        next(side_by_side([]))
