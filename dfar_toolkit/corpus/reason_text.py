r"""Which option a reason states: whole words, negation, prefixes such as un- and non-.

A lexical test, and it says so: it reads "not unethical" as ethical and "neither ethical nor unethical" as undecided,
but no irony, no reported speech and no condition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

_PREFIXES: Final = ("non", "un", "in", "im", "il", "ir", "dis", "not", "no", "anti", "a")
_NEGATIONS: Final = (
    r"not|never|no|nothing|none|neither|nor|without|hardly|cannot|cant|"
    r"(?:is|are|was|were|do|does|did|has|have|had|wo|would|ca|could|should|must|need|ai|might)n['’]?t"
)
# Words that may stand between a negation and the option it negates.
_FILLERS: Final = (
    r"\w{3,}ly|be|been|being|(?:it|this|that|i|you|we|they|he|she)(?:['’](?:s|re|m)|\s+(?:is|are|was|were|am))?|"
    r"a|an|the|to|as|at|all|of|any|anything|"
    r"something|very|so|too|quite|always|ever|considered|deemed|called|seen|regarded|viewed|think|believe|find|"
    r"consider|see|say|feel|seem|seems|look|looks|appear|appears|make|makes|have|there|action|act|thing|in|way"
)
# What an adjective is about rather than says: "ethical concerns" states no verdict.
_ABOUT: Final = (
    r"concerns?|issues?|questions?|dilemmas?|norms?|standards?|principles?|values?|guidelines?|considerations?|"
    r"implications?|problems?|boundar(?:y|ies)|codes?|rules?|views?|perspectives?|points?|grounds?|reasons?|"
    r"obligations?|dut(?:y|ies)|responsibilit(?:y|ies)|judge?ments?|standpoints?|sense|matters?|theor(?:y|ies)|limits?|requirements?|"
    r"barriers?"
)
_UNREADABLE: Final = frozenset({"no", "not", "none", "nor", "never", "neither", "nothing", "without"})
_MENTION: Final = "\x02"
_ANY: Final = rf"{_MENTION}[+-]\d+;"
_SPLIT: Final = r"[\s_\-]+"


def readable_options(options: Sequence[str]) -> bool:
    """Whether the test can be read for these options: two or more, each with letters, none itself a negation word.

    Example:
        >>> readable_options(["ethical", "unethical"]), readable_options(["yes", "no"]), readable_options(["1", "2"])
        (True, False, False)
    """
    plain = [o.strip().lower() for o in options]
    words = len(set(plain)) == len(plain) and all(any(c.isalpha() for c in o) for o in plain)
    return len(plain) > 1 and words and not _UNREADABLE.intersection(plain)


def stated_options(reasons: pl.Series, options: Sequence[str]) -> pl.DataFrame:
    """Which options each text states, by whole words with negation.

    A negated option states the other one where there are two options or where one is the opposite of the other
    (un-, non-, in-, ...); else it states nothing. ``non-X`` and ``un-X`` read as the opposite of X. An option in
    front of a noun it merely describes ("ethical concerns") states nothing. Negation carries over a closed list of
    filler words ("I don't think that it is unethical"), not over "only" ("not only unethical but illegal").

    Args:
        reasons: Texts, (n,); null states nothing.
        options: Names of the K options.

    Returns:
        Boolean frame (n, K), columns named ``0`` to ``K - 1`` in the order of the options. Several true columns mean
        that the text names several; none, that it states none.

    Raises:
        ValueError: The options cannot be read in running text (:func:`readable_options`).

    Example:
        >>> texts = pl.Series(["It is not unethical.", "Ethical or unethical?"])
        >>> stated_options(texts, ["ethical", "unethical"]).rows()
        [(True, False), (True, True)]
    """
    if not readable_options(options):
        raise ValueError(f"stated_options: options must be two or more words, none a negation; found {list(options)}.")
    marked = pl.DataFrame({"text": reasons.fill_null("")}).select(_marked(pl.col("text"), options))
    opposite = _opposites(options)
    columns = []
    for k in range(len(options)):
        stated = pl.col("text").str.contains(f"{_MENTION}+{k};", literal=True)
        for j in (j for j, other in enumerate(opposite) if other == k):
            stated = stated | pl.col("text").str.contains(f"{_MENTION}-{j};", literal=True)
        columns.append(stated.alias(str(k)))
    return marked.select(columns)


def _opposites(options: Sequence[str]) -> list[int | None]:
    """The option that negating option k states, where there is one."""
    if len(options) == 2:
        return [1, 0]
    plain = [_words(o) for o in options]
    out: list[int | None] = [None] * len(options)
    for long, name in enumerate(plain):
        for short, base in enumerate(plain):
            if long != short and _is_prefixed(name, base):
                out[long], out[short] = short, long
    return out


def _words(option: str) -> str:
    return " ".join(re.split(_SPLIT, option.strip().lower()))


def _is_prefixed(name: str, base: str) -> bool:
    return any(name in (prefix + base, f"{prefix} {base}") for prefix in _PREFIXES)


def _marked(text: pl.Expr, options: Sequence[str]) -> pl.Expr:
    """The lower-case text with every mention of option k replaced by a mark ``+k;`` (stated) or ``-k;`` (negated)."""
    lower = text.str.to_lowercase().str.replace_all(r"\x02", " ").str.replace_all("[\u2010\u2011]", "-")
    plain = [_words(o) for o in options]
    opposite = _opposites(options)
    for k in sorted(range(len(plain)), key=lambda k: -len(plain[k])):
        name = r"[\s_\-]+".join(re.escape(w) for w in plain[k].split(" "))
        lower = lower.str.replace_all(rf"\b{name}\b", f"{_MENTION}+{k};")
        other = opposite[k]
        if other is not None and not _is_prefixed(plain[k], plain[other]):
            lower = lower.str.replace_all(rf"\b(?:non|un)[\s\-]?{_MENTION}\+{k};", f"{_MENTION}-{k};")
            lower = lower.str.replace_all(rf"\b(?:non|un){name}\b", f"{_MENTION}-{k};")
    return _negated(lower, len(plain)).alias("text")


def _negated(marked: pl.Expr, n_options: int) -> pl.Expr:
    """Drop the mentions that state nothing; turn the sign of those that are negated."""
    lower = marked.str.replace_all(rf"{_ANY}(\s+(?:and\s+\w+\s+)?(?:{_ABOUT})\b)", "$1")
    lower = lower.str.replace_all(rf"{_ANY}\s+or\s+not\b|\b(?:more|less)\s+{_ANY}", " ")
    lower = lower.str.replace_all(rf"\bwhether\s+(?:(?:{_FILLERS})\s+){{0,5}}{_ANY}", " ")
    lower = lower.str.replace_all(r"\bnot\s+(only|just|merely|simply|solely)\b", "$1")
    negation = rf"\b(?:{_NEGATIONS})\s+(?:(?:{_FILLERS})\s+){{0,7}}(?:\w+\s+n?or\s+(?:(?:{_FILLERS})\s+){{0,3}})?"
    for k in range(n_options):
        for sign, flipped in (("+", "~"), ("-", "+")):
            lower = lower.str.replace_all(rf"{negation}{_MENTION}\{sign}{k};", f"{_MENTION}{flipped}{k};")
    lower = lower.str.replace_all(rf"({_MENTION}~\d+;\s+n?or\s+){_MENTION}\+(\d+;)", f"${{1}}{_MENTION}~$2")
    return lower.str.replace_all(rf"{_MENTION}~(\d+;)", f"{_MENTION}-$1")
