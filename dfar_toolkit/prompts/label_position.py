r"""The label position of an answer as patterns: what may stand before a label, the label, what may follow it.

The patterns run in Polars' engine (Rust's regex crate), whose time is linear in the text whatever the text is, and
whose classes and word boundaries are Unicode's: a letter with a combining mark is another word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

# Quotes, brackets, Markdown, and characters without width (byte-order mark, directions of writing).
MARK: Final = r"[\s*_#>\"'`“”‘’«»„\[({~|\\\x{feff}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}]"  # opening
CLOSER: Final = r"[*_\"'`”’»\])}~\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}]"
_FIELD: Final = (
    r"(?:answer|label|verdict|judge?ment|response|prediction|output|classification|category|conclusion|decision|"
    r"result|choice|assessment|evaluation|rating)"
)
_OWN: Final = r"(?:(?:the|my|your|final|correct|predicted|overall|short)\s+){0,3}"
_IS: Final = r"(?:is|was|would\s+be)"
FIELD: Final = rf"{_OWN}{_FIELD}[*_\"'`]*\s*(?:[:=：]|\s{_IS}\b\s*:?|\s?(?:--?>|→)|\s[-–—]\s)"
_SUBJECT: Final = (
    r"(?:(?:the|this|that|your|my|such|given|above|described)\s+){0,3}"
    r"(?:statement|sentence|action|act|behaviou?r|conduct|comment|text|post|message|scenario|situation|case|it|this|"
    r"that)"
)
_SENTENCE: Final = (
    rf"{_SUBJECT}(?:\s+{_IS}\b|['’]s\b)(?:\s+(?:considered|classified\s+as|labell?ed(?:\s+as)?|an?)\b)*\s*:?"
)
_OPINION: Final = (
    r"i(?:\s+would|['’]d)?\s+(?:think|believe|say|find|consider|judge)\b(?:\s+that\b)?|in\s+my\s+(?:opinion|view)\b,?"
    r"|(?:sure|certainly|okay|ok|therefore|thus|hence|so)\b[,!.:]?"
    r"|(?:an?|clearly|definitely|generally|morally|simply|highly|very|quite|completely|totally|absolutely|probably)\s"
)
_TOKEN: Final = r"</?s>|</?(?:answer|label)>|<\|[\w ]{1,30}\|>|\\(?:boxed|text|textbf)\{"
_LEAD: Final = rf"(?:{MARK}|[-–—•+]\s|{_TOKEN}|{FIELD}|{_SENTENCE}|{_OPINION})"
_NOT: Final = (
    rf"(?:(?:{_SUBJECT}\s+)?(?:isn|wasn|aren|can|doesn|don|wouldn)['’]?t(?:\s+(?:be|seem|appear|think|it))*|"
    r"not|never|neither|no|non|nor|hardly|barely|scarcely|cannot\s+be|far\s+from|anything\s+but|lacks?|without)"
    r"[\s\-*_\"'“(]+(?:(?:an?|the|be|very|really|at\s+all|necessarily|entirely|completely|considered|strictly|always|"
    r"exactly|clearly|it|is|this|that)\s+){0,4}"
    rf"{MARK}*"
)
# Words that go on after a label without a stop; any other word there makes the label part of something else.
_GOES_ON: Final = (
    r"(?:because|since|as|due|given|for|if|when|unless|though|although|but|and|so|to|in|by|on|it|its|this|that|these|"
    r"those|the|they|you|your|he|she|his|her|their|my|we|i|there|based|according|reason|explanation)"
)
_NOUN: Final = r"(?:statement|behaviou?r|actions?|act|thing|conduct|practice|decision|choice|comment|text|post)"
_BETWEEN: Final = (
    rf"(?:{CLOSER}|\s)*(?:[/|\\,;&+(]|→|->|\b(?:or|and|vs|versus|nor|but|yet|to|and/or)\b\.?)"
    rf"(?:{MARK}|[/,-]|\b(?:or|and|also|partly|partially|an?|the|both|even|perhaps|maybe|sometimes|somewhat|possibly|"
    r"it|is)\b)*"
)


# Of the text after a label: what makes it no answer.
QUESTION: Final = rf"^{CLOSER}*\s*[?？]"
DENIED: Final = rf"(?i)^{CLOSER}*\s*[:=]\s*[\"']?(?:no|false|n)\b[\"']?\s*(?:[.,;}}\n]|$)"
SCORES: Final = rf"^{CLOSER}*\s*[:=]\s*[\"']?(?:[01]|[01]?[.,]\d+|\d{{1,3}}(?:[.,]\d+)?\s*%)[\"']?\s*(?:[,;}}\n|]|$)"
RUNS_ON: Final = r"^(?:[ \t]+[\w]|[-‑'’]\w|\w)"
GOES_ON: Final = (
    rf"(?i)^[ \t]+(?:{_GOES_ON}\b|{_NOUN}\b(?:{CLOSER}|[\s.,:;!])*(?:{_GOES_ON}\b|$)|{_NOUN}\b{CLOSER}*[.,:;!\n])"
)
# A label of one character or a number must be followed by a stop; "4.5", "4-5" and "A-" are other answers.
SHORT: Final = rf"(?i)^(?:{CLOSER}|\s)*(?:$|[.:;,!)\]\n]|\s[-–—]\s|(?:because|since)\b)"
NUMBER: Final = r"^\s*(?:[.,:/]\s?\d|%|[-–—]\s*\d)"
# Of the text after a label: what stands between it and the reason, and what ends a reason.
REASON_START: Final = (
    rf"(?i)^(?:[ \t]+{_NOUN}\b)?{CLOSER}*\s*(?:[.,:;!|–—-]+|→)?(?:{CLOSER}+(?:\s+|$))?\s*"
    r"(?:[*_\"]*(?:reason(?:ing)?|explanation|rationale|justification|why)[*_\"]*\s*[:：][*_\"]*\s*)?"
)
REASON_END: Final = r"(?:\s*(?:</s>|<\|[\w ]{1,30}\|>|</answer>|\[/?INST\]|```))+\s*$"
NEXT_PROMPT: Final = r"(?is)\s*###\s*(?:Question|Instruction)\s*:.*$"


class Names(NamedTuple):
    """Spellings of the labels: ``options`` by :func:`spelled`, and the pattern that finds any, longest first."""

    options: dict[str, str]
    pattern: str


def spelled(name: pl.Expr) -> pl.Expr:
    """The form in which two spellings of a name are equal: lower case, words apart by one space.

    Example:
        >>> pl.select(spelled(pl.lit(" Hate_Speech"))).item()
        'hate speech'
    """
    lower = name.str.normalize("NFC").str.strip_chars().str.to_lowercase()
    for _ in range(2):  # neighbouring gaps share a letter ("a_b_c"), and a gap once found is none any more
        lower = lower.str.replace_all(r"([\p{L}\p{M}\p{N}])[\s_\-]+([\p{L}\p{N}])", "${1}\x1f${2}")
    return lower.str.replace_all("\x1f", " ", literal=True)


def names_of(options: Sequence[str], label_map: Mapping[str, str] | None = None) -> Names:
    """The spellings of ``options`` and of the names that ``label_map`` carries to them.

    Raises:
        ValueError: No options, an empty or repeated name, two names that differ in case only, or a map to no option.
    """
    found: dict[str, str] = {}
    for name, key in zip(options, _spelled_all(options), strict=True):
        if not key:
            raise ValueError(f"parse_answers: options must be names, found {name!r}.")
        if key in found:
            raise ValueError(f"parse_answers: the options {found[key]!r} and {name!r} cannot be told apart in a text.")
        found[key] = name
    if not found:
        raise ValueError("parse_answers: wanted at least one option, found none.")
    further = dict(label_map or {})
    for (name, option), key in zip(further.items(), _spelled_all(list(further)), strict=True):
        if option not in options:
            known = ", ".join(map(repr, options))
            raise ValueError(f"parse_answers: label_map carries {name!r} to {option!r}; the options are {known}.")
        found[key] = option
    found.pop("", None)
    return Names(found, _alternation(found))


def _spelled_all(names: Sequence[str]) -> list[str]:
    return pl.select(spelled(pl.lit(pl.Series(names, dtype=pl.String)))).to_series().to_list()


def _alternation(spellings: Mapping[str, str]) -> str:
    """Any of the names between word boundaries; the longest first, since the engine takes the first that fits."""
    parts = []
    for name in sorted(spellings, key=lambda n: (-len(n), n)):
        words = [_escaped(word) for word in name.split(" ")]
        in_word = unicodedata.category(name[-1])[0] in "LMN"
        end = r"(?:\b|_+\b)" if in_word else ""  # "_" closes Markdown's emphasis
        parts.append(r"[\s_\-]+".join(words) + end)
    return f"(?:{'|'.join(parts)})"


def _escaped(text: str) -> str:
    """The text as a pattern of Rust's engine, where Python's own escapes are not all known."""
    return "".join(c if c.isalnum() or c == "_" or ord(c) > 127 else rf"\x{{{ord(c):x}}}" for c in text)


def start(names: Names) -> str:
    """The label position: group ``all`` from the start of the text to the label, ``label`` the label."""
    return rf"(?i)^(?P<all>(?P<lead>{_LEAD}*?)(?P<label>{names.pattern}))"


def negated(names: Names) -> str:
    """A negated label at the label position."""
    return rf"(?i)^{_LEAD}*?{_NOT}{names.pattern}"


def second(names: Names) -> tuple[str, str]:
    """After a label: a further label beside it ("a or b"), and one that is all of the next line."""
    beside = rf"(?i)^{_BETWEEN}({names.pattern})"
    below = (
        rf"(?i)^{CLOSER}*[ \t]*(?:\n\s*|\s[-–—]\s)(?:{MARK}|[-–—•]\s)*({names.pattern})"
        rf"(?:{CLOSER}|[.\s])*$"
    )
    return beside, below


def side_by_side(names: Names) -> str:
    """Two names with "or" or a slash between them, as a question repeats them."""
    return rf"(?i)\b{names.pattern}\s*(?:/|\||\bor\b)\s*{names.pattern}"
