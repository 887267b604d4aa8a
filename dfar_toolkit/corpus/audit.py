"""Audit: everything that is looked for in a set, every finding listed whether it occurs or not."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from dfar_toolkit.corpus.annotator_findings import annotator_findings
from dfar_toolkit.corpus.findings import SEVERITIES, AuditThresholds, Finding, as_json, gate
from dfar_toolkit.corpus.minhash import Progress
from dfar_toolkit.corpus.personal_findings import personal_findings
from dfar_toolkit.corpus.record_findings import (
    duplicate_findings,
    label_findings,
    leak_findings,
    name_findings,
    rating_findings,
)
from dfar_toolkit.corpus.records import near_or_sampled
from dfar_toolkit.corpus.shortcut_findings import shortcut_findings
from dfar_toolkit.corpus.text_findings import (
    all_texts,
    damage_findings,
    given_reasons,
    length_findings,
    reason_findings,
)
from dfar_toolkit.errors import TableError

__all__ = ["AuditThresholds", "Finding", "as_json", "audit", "gate"]


def audit(
    items: pl.DataFrame,
    annotations: pl.DataFrame,
    questions: pl.DataFrame,
    *,
    raters: pl.DataFrame | None = None,
    thresholds: AuditThresholds | None = None,
    near: pl.DataFrame | None = None,
    near_note: str = "",
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """All findings about a set, in the order of ``findings.SEVERITIES``, with count 0 where nothing was found.

    Args:
        items: ``item_id, split, statement, label`` and, where present, ``context, option_texts, reasons, config,
            label_counts, stem, leak_kind, group``, (n,).
        annotations: ``item_id, annotator_id, question, rating_id, value`` and, where present, ``reason, occasion, at,
            seconds``.
        questions: ``question, kind, options``; the first is the primary one.
        raters: ``annotator_id, kind`` and bands, where they are known.
        thresholds: When a finding is one, and how often it may occur.
        near: Near pairs where they are known, as ``near_or_sampled`` gives them for the same threshold.
        near_note: The note that came with them.
        progress: Called with (texts done, texts in all) while near duplicates are sought.

    Returns:
        One Finding per name of ``findings.SEVERITIES``.

    Raises:
        TableError: A column is missing.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "split": ["train", "test"], "statement": ["I lied."] * 2,
        ...                       "label": ["bad", "good"]})
        >>> annotations = pl.DataFrame(schema=dict.fromkeys(
        ...     ("item_id", "annotator_id", "question", "rating_id", "value"), pl.String))
        >>> questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["bad", "good"]]})
        >>> [(f.finding, f.count) for f in gate(audit(items, annotations, questions))]
        [('leak.exact', 1), ('label.conflict', 2)]
    """
    limits = thresholds or AuditThresholds()
    for name, frame, columns in (
        ("items", items, ("item_id", "split", "statement", "label")),
        ("annotations", annotations, ("item_id", "annotator_id", "question", "rating_id", "value")),
        ("questions", questions, ("question", "kind", "options")),
    ):
        lost = [c for c in columns if c not in frame.columns]
        if lost:
            raise TableError(f'the audit needs the column "{lost[0]}" of the {name}; found {", ".join(frame.columns)}.')
    distinct = items.unique("item_id", keep="first", maintain_order=True)
    if near is None or distinct.height < items.height:
        distinct = _numbered_where_twice(items)
        near, near_note = near_or_sampled(distinct, threshold=limits.near, seed=limits.seed, progress=progress)
    reasons = given_reasons(items, annotations)
    texts = all_texts(items, reasons)
    found = [
        *leak_findings(distinct, near),
        *duplicate_findings(distinct, near),
        *label_findings(items, annotations, questions),
        *name_findings(items),
        *rating_findings(annotations, questions),
        *reason_findings(items, reasons, questions),
        *damage_findings(items, texts),
        *length_findings(items, reasons, limits),
        *annotator_findings(annotations, questions, raters, limits),
        *shortcut_findings(items, annotations, reasons, questions, limits),
        *personal_findings(items, texts),
    ]
    by_name = {f.finding: f for f in found}
    if near_note:
        for name in ("leak.near", "duplicate.near"):
            by_name[name] = replace(by_name[name], note=f"{by_name[name].note}; {near_note}")
    return tuple(
        replace(by_name[name], allowed=limits.max_count.get(name, 0)) for name in SEVERITIES if name in by_name
    )


def _numbered_where_twice(items: pl.DataFrame) -> pl.DataFrame:
    """Ids made distinct, so that records that share one are still compared with each other."""
    nth = pl.int_range(pl.len()).over("item_id")
    mark = pl.concat_str("item_id", pl.lit(" ("), nth + 1, pl.lit(")"))
    return items.with_columns(pl.when(nth > 0).then(mark).otherwise(pl.col("item_id")).alias("item_id"))
