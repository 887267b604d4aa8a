r"""How long a pattern would take over all texts: tried on some of them first, as a search cannot be called off.

The engine never backtracks, so the time grows with the texts alone, but a repetition of a class with thousands of
letters (``(\w+\W+){1,100}``) takes a second for three megabytes where others take a thousandth of that. Nobody else
could search meanwhile. Trying takes milliseconds, and a few seconds at most for a pattern that is refused.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import polars as pl

LONGEST: Final = 20.0  # seconds that a search may take
_TRIED: Final = (2**14, 2**17, 2**20)  # bytes; small ones first, as a pattern may take seconds for those
_CERTAIN: Final = 0.5  # seconds of a trial that are neither noise nor the engine's own beginning
_CUT: Final = 4096  # characters of each text


class SomeTexts(NamedTuple):
    """Some of the texts that are searched, and how many bytes all of them have."""

    texts: pl.Series
    n_bytes: float


def some_texts(texts: pl.Series, n_bytes: float | None = None) -> SomeTexts:
    """A sample from all over the texts (n,), of a megabyte or two where there is so much.

    Args:
        texts: Texts, null where there is none.
        n_bytes: Bytes of all that is searched where the texts are only some of it.
    """
    own = int(texts.str.len_bytes().sum())
    sample = texts.gather_every(max(1, own // (2 * _TRIED[-1]))).drop_nulls().str.slice(0, _CUT)
    return SomeTexts(sample, own if n_bytes is None else n_bytes)


def slow_pattern(pattern: str, some: SomeTexts) -> str:
    """Why a pattern is not searched for: it would take too long; empty where it would not.

    Args:
        pattern: A pattern of Rust's regex engine.
        some: Texts to try it on.

    Example:
        >>> slow_pattern("sto(le|re)", some_texts(pl.Series(["I stole it."])))
        ''
    """
    ends = some.texts.str.len_bytes().cum_sum()
    for most in _TRIED:
        texts = some.texts.head(int((ends < most).sum()) + 1)
        n_bytes = int(ends[len(texts) - 1]) if len(texts) else 0
        if not n_bytes:
            return ""
        share = max(1.0, some.n_bytes / n_bytes)
        took = _seconds(pattern, texts)
        last = len(texts) == len(some.texts) or most == _TRIED[-1]
        if took * share > LONGEST and last and took < _CERTAIN:
            took = min(took, _seconds(pattern, texts), _seconds(pattern, texts))  # the machine may have been busy
        if took * share > LONGEST and (last or took >= _CERTAIN):
            return (
                f"it would take about {took * share:,.0f} seconds, and more than {LONGEST:.0f} are not allowed; "
                r"[a-z] is faster than \w, and few repetitions than many"
            )
        if last:
            break
    return ""


def _seconds(pattern: str, texts: pl.Series) -> float:
    begin = time.perf_counter()
    texts.str.contains(pattern)
    return time.perf_counter() - begin
