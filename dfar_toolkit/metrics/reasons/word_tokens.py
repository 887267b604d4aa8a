r"""The one tokenisation of reasons: NFKC, case folded, runs of letters, marks, digits and ``_``.

Marks stay inside words, so that Bengali and Hindi words keep their vowel signs (Python's own ``\w`` breaks there).
Everything else parts words: "don't" is two words, "well-known" too. Where a script puts no spaces between words
(Chinese, Japanese, Thai) a whole run of characters is one word: two texts then have words in common only where a whole
run is the same, and chrF, which compares characters, is the score to look at. Cost: linear in the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def fold_text(texts: pl.Series | Sequence[str | None]) -> pl.Series:
    """The texts (N,) in NFKC and case folded; null stays null.

    Example:
        >>> fold_text(["STRASSE", "straße"]).to_list()
        ['strasse', 'strasse']
    """
    series = pl.Series("text", texts, dtype=pl.String)
    folded = [None if t is None else t.casefold() for t in series.str.normalize("NFKC")]
    return pl.Series(series.name, folded, dtype=pl.String).str.normalize("NFKC")


def word_tokens(texts: pl.Series | Sequence[str | None]) -> pl.Series:
    """The words of each text: lists of strings (N,), in order; null stays null.

    Example:
        >>> word_tokens(["It isn't fair, is it?", "…"]).to_list()
        [['it', 'isn', 't', 'fair', 'is', 'it'], []]
    """
    return fold_text(texts).str.extract_all(r"\w+")


def distinct_word_tokens(texts: Sequence[str]) -> dict[str, list[str]]:
    """The words of each different text, by the text: what pairwise scores look up.

    Example:
        >>> distinct_word_tokens(["A b", "A b"])
        {'A b': ['a', 'b']}
    """
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, word_tokens(distinct).to_list(), strict=True))
