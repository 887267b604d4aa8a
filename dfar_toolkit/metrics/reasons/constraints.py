r"""Checks that a user lists: how many reasons keep them.

A constraint is a name, a kind and a value. Patterns are regular expressions of the linear-time kind (no look-around,
no back-references), so that no pattern can hang on a long text; nothing is ever evaluated as code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple, get_args

import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.labels import Column
from dfar_toolkit.metrics.reasons.own_label import own_label_namings
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, pair_reasons
from dfar_toolkit.metrics.reasons.word_tokens import word_tokens

Kind = Literal[
    "min_words", "max_words", "min_characters", "max_characters", "min_sentences", "max_sentences", "one_sentence",
    "must_match", "must_not_match", "must_name_label", "must_not_name_other_label",
]  # fmt: skip
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_NUMBERS: Final = frozenset(k for k in KINDS if k.startswith(("min_", "max_")))
_PATTERNS: Final = frozenset({"must_match", "must_not_match"})
_LABELS: Final = frozenset({"must_name_label", "must_not_name_other_label"})
# A run of end marks, quotes after it, then white space or the end; the Bengali and Hindi danda and CJK marks too.
_SENTENCE_END: Final = r"""[.!?…।॥]+["'”’)\]]*(?:\s+|$)|[。！？]+["'”’）」』]*\s*"""


class Constraint(NamedTuple):
    """One check: its name in tables, its kind, and its value (a number, a pattern, or True)."""

    name: str
    kind: Kind
    value: int | str | bool = True


def parse_constraints(listed: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Constraint]:
    """Read constraints as they stand in a YAML or JSON file.

    Args:
        listed: ``{name: {kind: value}}``, or a list of ``{name, kind, value}``. ``one_sentence``, ``must_name_label``
            and ``must_not_name_other_label`` take ``true``.

    Returns:
        The constraints, in order.

    Raises:
        ValueError: An unknown kind, a value of the wrong type, a pattern that cannot be compiled, a name twice.

    Example:
        >>> parse_constraints({"short": {"max_words": 40}, "polite": {"must_not_match": "(?i)idiot"}})[0]
        Constraint(name='short', kind='max_words', value=40)
    """
    if isinstance(listed, Mapping):
        entries = [_named_entry(name, checks) for name, checks in listed.items()]
    else:
        entries = [_listed_entry(entry) for entry in listed]
    found = [_checked(*entry) for entry in entries]
    names = [c.name for c in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ValueError(f"parse_constraints: names must differ; {twice!r} occurs twice")
    return found


def constraint_results(
    pairs: PairedReasons, constraints: Sequence[Constraint], *, options: Sequence[str] | None = None
) -> pl.DataFrame:
    """Whether each reason keeps each constraint.

    Args:
        pairs: Reasons; with labels where a constraint is about them.
        constraints: C checks.
        options: Names of the labels, for ``must_name_label`` and ``must_not_name_other_label``.

    Returns:
        Boolean frame (N, C), a column per name; null where a check about labels meets a reason without a label.

    Raises:
        ValueError: A check about labels without labels or options.
    """
    checked = [_checked(c.name, c.kind, c.value) for c in constraints]
    text = pl.DataFrame({"text": pairs.reasons, "words": word_tokens(pairs.reasons).list.len()})
    columns = [
        _label_check(pairs, c, options) if c.kind in _LABELS else text.select(_check(c)).to_series() for c in checked
    ]
    return pl.DataFrame([column.alias(c.name) for column, c in zip(columns, checked, strict=True)])


def constraint_table(
    frame: pl.DataFrame | None = None,
    *,
    constraints: Sequence[Constraint],
    reason: Column = "reason",
    label: Column | None = None,
    options: Sequence[str] | None = None,
    group: Column | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Share of the reasons that keep each constraint, and that keep all of them.

    Args:
        frame: One row per reason, or None with values.
        constraints: The checks, from :func:`parse_constraints` or made by hand.
        reason: Column or texts (N,), null where there is none: left out and counted, not failed.
        label: Column or labels (N,), for checks about labels.
        options: Names of the labels, for checks about labels.
        group: Column or values (N,) of the resampling unit.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, constraint, kind`` and Estimate's fields; the last row, constraint ``all``, is the share that
        keeps every one. ``metric`` is ``constraint_NAME``.

    Undefined:
        No reason (with a label, for checks about labels).

    Raises:
        ValueError: A wrong constraint, a check about labels without labels or options, a missing column.

    Example:
        >>> checks = parse_constraints({"short": {"max_words": 2}, "one": {"one_sentence": True}})
        >>> constraint_table(reason=["No harm. None.", "It is fair."], constraints=checks)["value"].to_list()
        [0.0, 0.5, 0.0]
    """
    pairs = pair_reasons("constraint_table", frame, reason=reason, label=label, group=group)
    results = constraint_results(pairs, constraints, options=options)
    kinds: list[str] = [c.kind for c in constraints]
    if constraints:
        results = results.with_columns(pl.all_horizontal(pl.all()).alias(_every(results.columns)))
        kinds.append("all")
    found = [_share(results[c], pairs, confidence, n_boot, seed) for c in results.columns]
    names = [*(c.name for c in constraints), "all"][: len(found)]
    beside = [{"metric": f"constraint_{n}", "constraint": n, "kind": k} for n, k in zip(names, kinds, strict=True)]
    return estimates_frame(found, beside=beside) if found else estimates_frame([])


def _every(taken: Sequence[str]) -> str:
    name = "all"
    while name in taken:
        name += "_"
    return name


def _share(passed: pl.Series, pairs: PairedReasons, confidence: float, n_boot: int, seed: int) -> Estimate:
    known = passed.is_not_null()
    groups = None if pairs.groups is None else pairs.groups.filter(known)
    values = passed.filter(known).cast(pl.Float64).to_numpy()
    name = f"reasons that keep {passed.name}"
    found = mean_share(name, values, groups=groups, confidence=confidence, n_boot=n_boot, seed=seed)
    lost = len(passed) - len(values)
    aside = f"{lost} of {len(passed)} without a label left out" if lost else ""
    return replace(found, note="; ".join(n for n in (found.note, pairs.note, aside) if n))


def _check(constraint: Constraint) -> pl.Expr:
    kind, value = constraint.kind, constraint.value
    text = pl.col("text")
    counts = {"words": pl.col("words"), "characters": text.str.len_chars(), "sentences": _sentences(text)}
    if kind == "one_sentence":
        return counts["sentences"] == 1
    if kind in _PATTERNS:
        found = text.str.contains(str(value))
        return found if kind == "must_match" else ~found
    bound, what = kind.split("_", 1)
    return counts[what] >= value if bound == "min" else counts[what] <= value


def _sentences(text: pl.Expr) -> pl.Expr:
    """Sentences by their end marks; what stands after the last mark is one too. Abbreviations count as ends."""
    ends = text.str.count_matches(_SENTENCE_END)
    rest = text.str.replace_all(_SENTENCE_END, "\x03").str.split("\x03").list.last()
    return ends + (rest.str.strip_chars().str.len_chars() > 0).cast(pl.UInt32)


def _label_check(pairs: PairedReasons, constraint: Constraint, options: Sequence[str] | None) -> pl.Series:
    if pairs.labels is None or options is None:
        raise ValueError(f"constraint_table: {constraint.name!r} is about labels; give label and options")
    namings = own_label_namings(pairs, options=options)
    if constraint.kind == "must_name_label":
        return namings.is_in(["own", "both"]) if len(namings) else pl.Series([], dtype=pl.Boolean)
    return ~namings.is_in(["other", "both"])


def _named_entry(name: object, checks: object) -> tuple[object, object, object]:
    if not isinstance(checks, Mapping) or len(checks) != 1:
        raise ValueError(f"parse_constraints: {name!r} must be one kind with its value, as {{max_words: 40}}; "
                         f"found {checks!r}")  # fmt: skip
    kind, value = next(iter(checks.items()))
    return name, kind, value


def _listed_entry(entry: object) -> tuple[object, object, object]:
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise ValueError(f"parse_constraints: wanted {{name, kind, value}}, found {entry!r}")
    strange = [key for key in entry if key not in ("name", "kind", "value")]
    if strange:
        raise ValueError(f"parse_constraints: wanted name, kind and value, found {strange[0]!r} too")
    return entry.get("name", entry["kind"]), entry["kind"], entry.get("value", True)


def _checked(name: object, kind: object, value: object) -> Constraint:
    if not isinstance(name, str) or not name:
        raise ValueError(f"parse_constraints: a constraint's name must be text, found {name!r}")
    if kind not in KINDS:
        raise ValueError(f"parse_constraints: {name!r}: kind must be one of {', '.join(KINDS)}; found {kind!r}")
    if kind in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"parse_constraints: {name!r}: {kind} takes a whole number of at least 0, found {value!r}")
    if kind in _PATTERNS:
        _check_pattern(name, kind, value)
    elif kind not in _NUMBERS and value is not True:
        raise ValueError(f"parse_constraints: {name!r}: {kind} takes true, found {value!r}; leave the check out")
    return Constraint(name, kind, value)  # type: ignore[arg-type]


def _check_pattern(name: str, kind: object, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"parse_constraints: {name!r}: {kind} takes a regular expression, found {value!r}")
    try:
        pl.Series(["x"]).str.contains(value)
    except pl.exceptions.ComputeError as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"parse_constraints: {name!r}: {kind} takes a regular expression without look-around and back-references; "
            f"{value!r} cannot be read: {why}"
        ) from error
