import polars as pl
import pytest

from dfar_toolkit.corpus.text_damage import (
    has_bom,
    has_control,
    has_outer_space,
    has_straight_quotes,
    has_typographic_quotes,
    mojibake,
)


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        ("childâ€™s", True),
        ("PokÃ©mon", True),
        ("Â£5", True),
        ("ethicalÂ\xa0to care", True),
        ("lost \ufffd here", True),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", True),
        ("it’s “fine” – really…", False),
        ("café, Ærø, naïve £5 at 20 °C", False),
        ("আমি একা ছিলাম।", False),
        ("Привет", False),
        ("plain", False),
    ],
)
def test_mojibake(text: str, damaged: bool) -> None:
    assert mojibake(pl.Series([text])).to_list() == [damaged]


def test_marks_and_spaces() -> None:
    frame = pl.DataFrame({"t": ["\ufeffa", "a\x00", "a\u200b", "ক্‍ষ \u200d", "a\r\nb\tc", " a", "‘a", "a'", None]})
    text = pl.col("t")
    found = frame.select(
        has_bom(text).alias("bom"),
        has_control(text).alias("control"),
        has_outer_space(text).alias("space"),
        has_typographic_quotes(text).alias("curly"),
        has_straight_quotes(text).alias("straight"),
    )
    where = {name: [k for k, hit in enumerate(found[name]) if hit] for name in found.columns}
    assert where == {"bom": [0], "control": [1, 2], "space": [5], "curly": [6], "straight": [7]}
