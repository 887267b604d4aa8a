r"""How much of a reason is copied from the statement, how much it repeats itself, how long it is.

Words as in :mod:`word_tokens`. Of a reason with n words:

* longest copied run: the most words in a row that stand in the statement in a row too; as words and as a share of n
* copied n-grams: share of its n - 2 word triples that occur in the statement
* distinct n-grams: different triples / all triples (1: nothing repeated); repeated: share of the triples that occur
  more than once in the reason
* duplicated: some reason of another item has the same words in the same order

Cost: linear in the words of statement and reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, pair_reasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present
from dfar_toolkit.metrics.reasons.word_tokens import word_tokens

CopyMetric = Literal[
    "reason_words", "reason_characters", "copied_run_words", "copied_run_share", "copied_ngram_share",
    "distinct_ngram_share", "repeated_ngram_share",
]  # fmt: skip
COPY_METRICS: Final[tuple[CopyMetric, ...]] = get_args(CopyMetric)
_TITLES: Final[dict[str, tuple[str, str]]] = {
    "reason_words": ("words of the reason", "without a reason"),
    "reason_characters": ("characters of the reason", "without a reason"),
    "copied_run_words": ("longest word run copied from the statement", "without a statement"),
    "copied_run_share": ("longest copied word run / words", "without a statement or words"),
    "copied_ngram_share": ("n-grams copied from the statement", "without a statement or n-grams"),
    "distinct_ngram_share": ("distinct n-grams / n-grams", "without n-grams"),
    "repeated_ngram_share": ("n-grams that repeat within the reason", "without n-grams"),
}


def copying_scores(
    reasons: pl.Series | Sequence[str], statements: pl.Series | Sequence[str | None] | None = None, *, n: int = 3
) -> pl.DataFrame:
    """Length, copying and repetition of each reason.

    Args:
        reasons: N texts.
        statements: N texts, null where unknown; None where there are none.
        n: Words of an n-gram.

    Returns:
        N rows with the columns of ``CopyMetric``; null where undefined (no statement; fewer than n words).

    Raises:
        ValueError: n is below 1, or the numbers of texts differ.

    Example:
        >>> copying_scores(["I lied to Ann, I lied to Bob"], ["I lied to Ann."]).row(0, named=True)["copied_run_words"]
        4.0
    """
    if n < 1:
        raise ValueError(f"copying_scores: n must be at least 1, found {n}")
    words = word_tokens(reasons).to_list()
    sources = [None] * len(words) if statements is None else word_tokens(statements).to_list()
    if len(words) != len(sources):
        raise ValueError(f"copying_scores: {len(words)} reasons, {len(sources)} statements; give one each")
    lengths = pl.Series(reasons, dtype=pl.String).str.len_chars()
    rows = [
        (float(len(w)), float(c), *_copied(w, s, n), *_repeated(w, n))
        for w, c, s in zip(words, lengths, sources, strict=True)
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(COPY_METRICS, pl.Float64), orient="row")


def longest_common_run(words: Sequence[str], source: Sequence[str]) -> int:
    """Most words in a row that both have.

    Example:
        >>> longest_common_run("a b c d".split(), "x b c y".split())
        2
    """
    moves, link, length = _automaton(source)
    state = best = size = 0
    for word in words:
        while state and word not in moves[state]:
            state = link[state]
            size = length[state]
        if word in moves[state]:
            state, size = moves[state][word], size + 1
        best = max(best, size)
    return best


def reason_copying(
    frame: pl.DataFrame | None = None,
    *,
    metric: CopyMetric = "copied_ngram_share",
    reason: Column = "reason",
    statement: Column | None = "statement",
    n: int = 3,
    group: Column | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean over the reasons of one measure of length, copying or repetition.

    Args:
        frame: One row per reason, or None with values.
        metric: The measure, as in the module's list.
        reason: Column or texts (N,), null where there is none.
        statement: Column or texts (N,); None where there are none.
        n: Words of an n-gram.
        group: Column or values (N,) of the resampling unit.
        ci: ``bootstrap`` or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No reason for which the measure exists.

    Raises:
        ValueError: An unknown metric, n below 1, a missing column.

    Example:
        The triples are "i lied to" and "lied to bob"; the first is in the statement.

        >>> reason_copying(reason=["I lied to Bob"], statement=["I lied to Ann"]).value
        0.5
    """
    pairs = pair_reasons("reason_copying", frame, reason=reason, statement=statement, group=group)
    if metric not in COPY_METRICS:
        raise ValueError(f"reason_copying: metric must be one of {', '.join(COPY_METRICS)}; found {metric!r}")
    row = {r.metric: r for r in reason_copying_rows(pairs, n=n)}[metric]
    return estimate_present([row], groups=pairs.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def reason_copying_rows(pairs: PairedReasons, *, n: int = 3) -> list[Additive]:
    """The rows and formulas of :func:`reason_copying`, one statistic per measure in the order of ``CopyMetric``.

    Args:
        pairs: Reasons, with statements where there are any.
        n: Words of an n-gram.

    Returns:
        Additive statistics, rows (N, 2).
    """
    scores = copying_scores(pairs.reasons, pairs.statements, n=n)
    found = []
    for metric in COPY_METRICS:
        title, without = _TITLES[metric]
        name = title.replace("n-grams", f"{n}-grams")
        found.append(mean_present(metric, name, scores[metric].to_numpy(), without=without, note=pairs.note))
    return found


def duplicated_reason_share(
    frame: pl.DataFrame | None = None,
    *,
    reason: Column = "reason",
    item: Column | None = None,
    group: Column | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Share of the reasons whose words are, in order, those of a reason of another item (group where given).

    Args:
        frame: One row per reason, or None with values.
        reason: Column or texts (N,), null where there is none.
        item: Column or item ids (N,): samples of one item may be alike. None where each row is an item.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Undefined:
        No reason.

    Raises:
        ValueError: A column is missing.

    Example:
        >>> duplicated_reason_share(reason=["It is wrong.", "it is  wrong", "It harms."]).value.__round__(3)
        0.667
    """
    pairs = pair_reasons("duplicated_reason_share", frame, reason=reason, item=item, group=group)
    values = duplicated_flags(pairs)
    found = mean_share(
        "share of duplicated reasons", values, groups=pairs.groups, confidence=confidence, n_boot=n_boot, seed=seed
    )
    return replace(found, note="; ".join(n for n in (found.note, pairs.note) if n))


def duplicated_flags(pairs: PairedReasons) -> Floats:
    """1 where a reason of another unit has the same words (N,), else 0."""
    words = word_tokens(pairs.reasons)
    key = pl.select(pl.when(words.list.len() > 0).then(words.list.join(" ")).otherwise(pairs.reasons)).to_series()
    frame = pl.DataFrame({"key": key, "unit": pairs.units()})
    flags: Floats = frame.select((pl.col("unit").n_unique().over("key") > 1).cast(pl.Float64)).to_series().to_numpy()
    return flags


def _copied(words: list[str], source: list[str] | None, n: int) -> tuple[float | None, float | None, float | None]:
    if source is None:
        return None, None, None
    run = float(longest_common_run(words, source))
    there = set(_grams(source, n))
    grams = _grams(words, n)
    share = sum(g in there for g in grams) / len(grams) if grams else None
    return run, run / len(words) if words else None, share


def _repeated(words: list[str], n: int) -> tuple[float | None, float | None]:
    counts = Counter(_grams(words, n))
    total = counts.total()
    if not total:
        return None, None
    return len(counts) / total, sum(c for c in counts.values() if c > 1) / total


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]


def _automaton(source: Sequence[str]) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """Suffix automaton: moves, suffix link and length of each state; linear in the words."""
    moves: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for word in source:
        new = len(moves)
        moves.append({})
        length.append(length[last] + 1)
        link.append(0)
        state = last
        while state != -1 and word not in moves[state]:
            moves[state][word] = new
            state = link[state]
        if state != -1:
            target = moves[state][word]
            if length[target] == length[state] + 1:
                link[new] = target
            else:
                twin = len(moves)
                moves.append(dict(moves[target]))
                length.append(length[state] + 1)
                link.append(link[target])
                while state != -1 and moves[state].get(word) == target:
                    moves[state][word] = twin
                    state = link[state]
                link[target] = link[new] = twin
        last = new
    return moves, link, length
