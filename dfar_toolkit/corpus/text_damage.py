"""Damage that texts carry from their files: wrong encodings, marks and characters nobody typed."""

from __future__ import annotations

from typing import Final

import polars as pl

# Where mojibake can show: Latin, Greek and Cyrillic letters and the signs that single-byte code pages place there.
# Text in other scripts alone never reaches ftfy.
_SUSPICIOUS: Final = r"[\x{80}-\x{52f}\x{201a}-\x{203a}\x{20a0}-\x{20bf}\x{2122}\x{2200}-\x{22ff}\x{2500}-\x{25ff}]"
_REPLACEMENT: Final = "\ufffd"
_CONTROL: Final = (
    r"[\x{00}-\x{08}\x{0b}\x{0c}\x{0e}-\x{1f}\x{7f}-\x{9f}"  # controls other than tab and line ends
    r"\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}]"  # zero width space, marks and overrides of direction
)
_TYPOGRAPHIC: Final = r"[‘’‚“”„«»]"
_STRAIGHT: Final = r"""['"]"""


def mojibake(texts: pl.Series) -> pl.Series:
    """Whether a text was decoded with the wrong encoding somewhere (``donâ€™t``), or holds U+FFFD; null is not.

    A text counts when ftfy can undo the damage, so typographic quotes and accented names alone do not.

    Example:
        >>> mojibake(pl.Series(["PokÃ©mon", "Pokémon", "it’s", None])).to_list()
        [True, False, False, False]
    """
    from ftfy import fix_encoding

    suspicious = texts.str.contains(_SUSPICIOUS).fill_null(False)
    damaged = [t for t in texts.filter(suspicious).unique() if fix_encoding(t) != t]
    found = texts.is_in(damaged) | texts.str.contains(_REPLACEMENT, literal=True)
    return found.fill_null(False)


def has_bom(text: pl.Expr) -> pl.Expr:
    r"""Whether a byte-order mark stands in the text.

    Example:
        >>> pl.DataFrame({"t": ["\ufeffI lied", "I lied"]}).select(has_bom(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    return text.str.contains("\ufeff", literal=True).fill_null(False)


def has_control(text: pl.Expr) -> pl.Expr:
    r"""Whether the text holds control characters (other than tab and line ends) or invisible formatting.

    Joiners (U+200C, U+200D) are part of Indic and Persian spelling and of emoji, and do not count.

    Example:
        >>> frame = pl.DataFrame({"t": ["I\x07 lied", "I\u202e lied", "I\n lied"]})
        >>> frame.select(has_control(pl.col("t"))).to_series().to_list()
        [True, True, False]
    """
    return text.str.contains(_CONTROL).fill_null(False)


def has_typographic_quotes(text: pl.Expr) -> pl.Expr:
    """Whether the text holds curly quotes or apostrophes.

    Example:
        >>> pl.DataFrame({"t": ["it’s", "it's"]}).select(has_typographic_quotes(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    return text.str.contains(_TYPOGRAPHIC).fill_null(False)


def has_straight_quotes(text: pl.Expr) -> pl.Expr:
    """Whether the text holds straight quotes or apostrophes.

    Example:
        >>> pl.DataFrame({"t": ["it’s", "it's"]}).select(has_straight_quotes(pl.col("t"))).to_series().to_list()
        [False, True]
    """
    return text.str.contains(_STRAIGHT).fill_null(False)


def has_outer_space(text: pl.Expr) -> pl.Expr:
    """Whether the text begins or ends with white space.

    Example:
        >>> pl.DataFrame({"t": ["I lied ", "I lied"]}).select(has_outer_space(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    return (text.str.strip_chars() != text).fill_null(False)
