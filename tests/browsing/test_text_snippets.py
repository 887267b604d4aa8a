"""A snippet is a part of the text around the first mark."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.browsing.text_marks import TextPiece, snippet


@settings(max_examples=60)
@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=20), st.booleans()), max_size=5), st.integers(4, 40))
def test_a_snippet_is_a_part_that_holds_the_beginning_of_the_first_match(
    parts: list[tuple[str, bool]], longest: int
) -> None:
    pieces = [TextPiece(*part) for part in parts]
    whole = "".join(piece.text for piece in pieces)
    short = snippet(pieces, longest)
    text = "".join(piece.text for piece in short)
    assert text.strip("…") in whole
    assert len(text) <= longest + 2
    assert any(p.marked for p in short) == any(p.marked for p in pieces)
