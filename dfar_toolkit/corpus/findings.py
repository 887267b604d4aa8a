"""What an audit reports: findings with counts and examples, thresholds, and the gate."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import polars as pl

Severity = Literal["fail", "warn", "info"]

SEVERITIES: Final[Mapping[str, Severity]] = {
    "leak.identical_row": "fail",
    "leak.exact": "fail",
    "leak.near": "warn",
    "leak.stem": "warn",
    "duplicate.exact": "warn",
    "duplicate.near": "warn",
    "label.conflict": "fail",
    "label.range": "fail",
    "label.missing": "info",
    "label.tie": "info",
    "rating.twice": "warn",
    "id.duplicate": "fail",
    "split.name": "fail",
    "reason.empty": "warn",
    "reason.repeated": "warn",
    "reason.contradicts_label": "warn",
    "reason.names_both": "info",
    "text.mojibake": "warn",
    "text.bom": "warn",
    "text.control": "warn",
    "text.quotes": "info",
    "text.whitespace": "warn",
    "length.statement": "warn",
    "length.reason": "warn",
    "annotations.single": "info",
    "annotators.balance": "info",
    "annotators.fast": "warn",
    "annotators.straight_line": "warn",
    "shortcut.length": "warn",
    "shortcut.annotator": "info",
    "personal.email": "warn",
    "personal.phone": "warn",
    "personal.handle": "warn",
    "personal.url": "warn",
    "personal.ip": "warn",
    "personal.account": "warn",
}
ON_DEMAND: Final[Mapping[str, Severity]] = {  # looked for only where somebody asks, so not part of every audit
    "overlap.exact": "warn",
    "overlap.near": "warn",
    "words.listed": "info",
    "label.suspect": "info",
    "shortcut.reason": "info",
}
N_EXAMPLES: Final = 5
_EXCERPT: Final = 80


@dataclass(frozen=True, slots=True)
class AuditThresholds:
    """When a finding is one, and how often it may occur.

    ``near`` is the smallest 5-gram Jaccard similarity of a near duplicate; lengths are in characters, of the trimmed
    text; ``max_count`` gives for a finding the largest count that still passes the gate (0 where it says nothing).
    ``length_area`` is the area under the curve that counts as a shortcut once its interval is beyond it (or beyond 1
    minus it), ``annotator_gain`` the same for the accuracy gained by knowing the annotator. ``band_share`` is the share
    of ratings from which one value of a band dominates. An annotator with ``fast_ratings`` timed ratings is fast below
    ``fast_share`` of the median of all; one with ``run_ratings`` is looked at for runs, at Holm's p of ``run_p``.
    """

    near: float = 0.8
    statement_min: int = 5
    statement_max: int = 2000
    reason_min: int = 10
    reason_max: int = 5000
    length_area: float = 0.6
    annotator_gain: float = 0.05
    band_share: float = 0.75
    fast_share: float = 1 / 3
    fast_ratings: int = 10
    run_ratings: int = 20
    run_p: float = 0.01
    max_count: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse names that no finding has."""
        check_names(self.max_count, "AuditThresholds")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the audit looked for: how many rows of how many show it, with examples of item and excerpt.

    ``items`` are the ids of all items that show it, where the finding is about items; an id may stand in it twice.
    """

    finding: str
    severity: Severity
    count: int
    total: int
    examples: tuple[str, ...] = ()
    note: str = ""
    allowed: int = 0
    items: pl.Series | None = field(default=None, compare=False, repr=False)

    def as_row(self) -> dict[str, Any]:
        """The finding as a row for JSON; which items show it is a table of its own."""
        named = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "items"}
        return named | {"examples": list(self.examples)}


def check_names(names: Iterable[str], caller: str) -> None:
    """Raise ValueError for a name that no finding has."""
    known = [*SEVERITIES, *ON_DEMAND]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
            raise ValueError(f'{caller}: there is no finding "{name}".{hint}')


def gate(findings: Sequence[Finding], *, accept: Collection[str] = ()) -> tuple[Finding, ...]:
    """The findings of severity ``fail`` that occur more often than allowed and are not accepted.

    Raises:
        ValueError: ``accept`` names something that is no finding.

    Example:
        >>> found = [Finding("id.duplicate", "fail", 2, 10), Finding("text.bom", "warn", 1, 10)]
        >>> [f.finding for f in gate(found)], gate(found, accept=["id.duplicate"])
        (['id.duplicate'], ())
    """
    check_names(accept, "gate")
    return tuple(f for f in findings if f.severity == "fail" and f.count > f.allowed and f.finding not in accept)


def items_found(findings: Sequence[Finding]) -> pl.DataFrame:
    """Which items show which finding: ``finding, item_id``, in the order of the findings, ids sorted, each once.

    Example:
        >>> found = [Finding("text.bom", "warn", 2, 9, items=pl.Series(["b", "a", "b"]))]
        >>> items_found(found).rows()
        [('text.bom', 'a'), ('text.bom', 'b')]
    """
    schema = {"finding": pl.String, "item_id": pl.String}
    parts = [
        one.items.cast(pl.String)
        .unique()
        .sort()
        .alias("item_id")
        .to_frame()
        .select(pl.lit(one.finding).alias("finding"), "item_id")
        for one in findings
        if one.items is not None and len(one.items)
    ]
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Rows for JSON, one per finding.

    Example:
        >>> as_json([Finding("text.bom", "warn", 0, 10)])[0]["finding"]
        'text.bom'
    """
    return [f.as_row() for f in findings]


def excerpt(text: str, *, length: int = _EXCERPT) -> str:
    r"""The beginning of a text on one line, at most ``length`` characters, unprintable characters escaped.

    Example:
        >>> excerpt("one\ntwo\u202e")
        'one\\ntwo\\u202e'
    """
    head = text[: length + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in head)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def examples(rows: pl.DataFrame, *, text: str = "text") -> tuple[str, ...]:
    """Item id and excerpt of the first rows, which have ``item_id`` and a text column.

    Example:
        >>> examples(pl.DataFrame({"item_id": ["p"], "text": ["I lied."]}))
        ('p: I lied.',)
    """
    first = rows.head(N_EXAMPLES)
    return tuple(f"{excerpt(i)}: {excerpt(t or '')}" for i, t in first.select("item_id", text).iter_rows())
