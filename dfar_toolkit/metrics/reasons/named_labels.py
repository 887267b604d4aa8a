r"""Which labels a reason names, by one of three rules.

* ``negation``: whole words; "not unethical" and "non-unethical" name the other label, "neither ethical nor unethical"
  and "ethical concerns" name none. The rule by which the audit looks at reasons.
* ``words``: whole words as they stand; "not ethical" names ethical.
* ``substring``: the letters anywhere, except inside a longer label word: "ethically" names ethical, "unethical" does
  not.

All three are lexical: no irony, no reported speech, no condition. Case does not matter. Cost: linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import polars as pl

Rule = Literal["negation", "words", "substring"]

_PREFIXES: Final = ("non", "un", "in", "im", "il", "ir", "dis", "not", "no", "anti", "a")
_NEGATIONS: Final = (
    r"not|never|no|nothing|none|neither|nor|without|hardly|cannot|cant|"
    r"(?:is|are|was|were|do|does|did|has|have|had|wo|would|ca|could|should|must|need|ai|might)n['’]?t"
)
# Words that may stand between a negation and the label it negates.
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
    r"obligations?|dut(?:y|ies)|responsibilit(?:y|ies)|judge?ments?|standpoints?|sense|matters?|theor(?:y|ies)|limits?|"
    r"requirements?|barriers?"
)
_UNREADABLE: Final = frozenset({"no", "not", "none", "nor", "never", "neither", "nothing", "without"})
_MARK: Final = "\x02"  # in front of +k; (label k named) or -k; (negated): cannot stand in a text that is read here
_ANY: Final = rf"{_MARK}[+-]\d+;"
_SPLIT: Final = r"[\s_\-]+"


def readable_labels(options: Sequence[str], words: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether labels can be found in running text: two or more, every word with letters, all different, no negation.

    Example:
        >>> readable_labels(["ethical", "unethical"]), readable_labels(["yes", "no"]), readable_labels(["0", "1"])
        (True, False, False)
        >>> readable_labels(["0", "1"], {"0": ["fine"], "1": ["wrong", "unfair"]})
        True
    """
    plain = [_plain(w) for ws in _label_words(options, words) for w in ws]
    different = len(set(plain)) == len(plain) and all(any(c.isalpha() for c in w) for w in plain)
    return len(options) > 1 and different and not _UNREADABLE.intersection(plain)


def named_labels(
    reasons: pl.Series,
    options: Sequence[str],
    *,
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
) -> pl.DataFrame:
    """Which labels each text names.

    By ``negation`` a negated label names the other one where there are two or where one is the opposite of the other
    by its prefix (un-, non-, in-, ...), else none; negation carries over a closed list of words ("I don't think that
    it is unethical"), not over "only".

    Args:
        reasons: Texts (n,); null names none.
        options: Names of the K labels.
        words: Words that stand for a label, by its name; a label that is not in it stands for itself.
        rule: ``negation``, ``words`` or ``substring``.

    Returns:
        Boolean frame (n, K), columns ``0`` to ``K - 1`` in the order of the options.

    Raises:
        ValueError: The labels cannot be read in running text (:func:`readable_labels`), ``words`` names a label that
            is no option, an unknown rule.

    Example:
        >>> texts = pl.Series(["It is not unethical.", "Ethical or unethical?", "An ethical concern."])
        >>> named_labels(texts, ["ethical", "unethical"]).rows()
        [(True, False), (True, True), (False, False)]
        >>> named_labels(texts, ["ethical", "unethical"], rule="words").rows()
        [(False, True), (True, True), (True, False)]
    """
    if rule not in get_args(Rule):
        raise ValueError(f'named_labels: rule must be "negation", "words" or "substring", found {rule!r}')
    strange = [w for w in words or {} if w not in options]
    if strange:
        raise ValueError(f"named_labels: words must be of the labels {', '.join(options)}; found {strange[0]!r}")
    if not readable_labels(options, words):
        shown = _label_words(options, words)
        raise ValueError(
            f"named_labels: labels must be two or more, of different words, none a negation; found {shown}"
        )
    of_label = [[_plain(w) for w in ws] for ws in _label_words(options, words)]
    text = pl.DataFrame({"text": reasons.cast(pl.String).fill_null("")})
    opposite: list[int | None] = _opposites(of_label) if rule == "negation" else [None for _ in options]
    if rule == "substring":
        marked = text.select(_substrings(pl.col("text"), of_label))
    else:
        marked = text.select(_marked(pl.col("text"), of_label, opposite, rule == "negation"))
    return marked.select(_named(k, opposite).alias(str(k)) for k in range(len(options)))


def _label_words(options: Sequence[str], words: Mapping[str, Sequence[str]] | None) -> list[list[str]]:
    return [list(words[o]) if words is not None and o in words else [o] for o in options]


def _plain(word: str) -> str:
    return " ".join(re.split(_SPLIT, word.strip().lower()))


def _named(k: int, opposite: Sequence[int | None]) -> pl.Expr:
    named = pl.col("text").str.contains(f"{_MARK}+{k};", literal=True)
    for j in (j for j, other in enumerate(opposite) if other == k):
        named = named | pl.col("text").str.contains(f"{_MARK}-{j};", literal=True)
    return named


def _opposites(of_label: list[list[str]]) -> list[int | None]:
    """The label that negating label k names, where there is one."""
    if len(of_label) == 2:
        return [1, 0]
    out: list[int | None] = [None] * len(of_label)
    for long, names in enumerate(of_label):
        for short, bases in enumerate(of_label):
            if long != short and any(_is_prefixed(name, base) for name in names for base in bases):
                out[long], out[short] = short, long
    return out


def _is_prefixed(name: str, base: str) -> bool:
    return any(name in (prefix + base, f"{prefix} {base}") for prefix in _PREFIXES)


def _longest_first(of_label: list[list[str]]) -> list[tuple[int, str]]:
    every = [(k, word) for k, names in enumerate(of_label) for word in names]
    return sorted(every, key=lambda pair: -len(pair[1]))


def _folded(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.replace_all(r"\x02", " ").str.replace_all("[\u2010\u2011]", "-")


def _pattern(word: str) -> str:
    return r"[\s_\-]+".join(re.escape(w) for w in word.split(" "))


def _substrings(text: pl.Expr, of_label: list[list[str]]) -> pl.Expr:
    lower = _folded(text)
    for k, word in _longest_first(of_label):
        lower = lower.str.replace_all(_pattern(word), f"{_MARK}+{k};")
    return lower.alias("text")


def _marked(text: pl.Expr, of_label: list[list[str]], opposite: Sequence[int | None], negation: bool) -> pl.Expr:
    """The lower-case text with every mention of label k replaced by a mark ``+k;`` (named) or ``-k;`` (negated)."""
    lower = _folded(text)
    for k, word in _longest_first(of_label):
        name, other = _pattern(word), opposite[k]
        lower = lower.str.replace_all(rf"\b{name}\b", f"{_MARK}+{k};")
        if negation and other is not None and not any(_is_prefixed(word, base) for base in of_label[other]):
            lower = lower.str.replace_all(rf"\b(?:non|un)[\s\-]?{_MARK}\+{k};", f"{_MARK}-{k};")
            lower = lower.str.replace_all(rf"\b(?:non|un){name}\b", f"{_MARK}-{k};")
    return (_negated(lower, len(of_label)) if negation else lower).alias("text")


def _negated(marked: pl.Expr, n_labels: int) -> pl.Expr:
    """Drop the mentions that state nothing; turn the sign of those that are negated."""
    lower = marked.str.replace_all(rf"{_ANY}(\s+(?:and\s+\w+\s+)?(?:{_ABOUT})\b)", "$1")
    lower = lower.str.replace_all(rf"{_ANY}\s+or\s+not\b|\b(?:more|less)\s+{_ANY}", " ")
    lower = lower.str.replace_all(rf"\bwhether\s+(?:(?:{_FILLERS})\s+){{0,5}}{_ANY}", " ")
    lower = lower.str.replace_all(r"\bnot\s+(only|just|merely|simply|solely)\b", "$1")
    negation = rf"\b(?:{_NEGATIONS})\s+(?:(?:{_FILLERS})\s+){{0,7}}(?:\w+\s+n?or\s+(?:(?:{_FILLERS})\s+){{0,3}})?"
    for k in range(n_labels):
        for sign, flipped in (("+", "~"), ("-", "+")):
            lower = lower.str.replace_all(rf"{negation}{_MARK}\{sign}{k};", f"{_MARK}{flipped}{k};")
    lower = lower.str.replace_all(rf"({_MARK}~\d+;\s+n?or\s+){_MARK}\+(\d+;)", f"${{1}}{_MARK}~$2")
    return lower.str.replace_all(rf"{_MARK}~(\d+;)", f"{_MARK}-$1")
