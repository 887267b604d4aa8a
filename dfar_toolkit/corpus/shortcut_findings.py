"""Findings about shortcuts: what foretells the label without anybody reading the text."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.corpus.annotator_shortcut import annotator_shortcut
from dfar_toolkit.corpus.findings import SEVERITIES, AuditThresholds, Finding, excerpt
from dfar_toolkit.corpus.length_areas import length_areas
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.tables import primary_questions

_NAMED: Final = ("nominal", "ordinal")
_SHOWN: Final = 5


def shortcut_findings(
    items: pl.DataFrame,
    annotations: pl.DataFrame,
    reasons: pl.DataFrame,
    questions: pl.DataFrame,
    thresholds: AuditThresholds,
) -> list[Finding]:
    """``shortcut.length`` and ``shortcut.annotator``, for the primary question of each config.

    Args:
        items: The items.
        annotations: The annotations.
        reasons: As ``given_reasons`` returns them.
        questions: The questions; those with named options are looked at.
        thresholds: When a finding is one.

    Returns:
        Two findings; ``total`` counts areas, and questions.
    """
    return [
        _length(length_shortcuts(items, reasons, questions), thresholds),
        _annotator(items, annotations, questions, thresholds),
    ]


def length_shortcuts(items: pl.DataFrame, reasons: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """Areas under the curve of the length of statements and of reasons, per config and option.

    Args:
        items: ``item_id, statement, label`` and, where present, ``config, group``.
        reasons: ``item_id, question, value, text``; a reason is labelled by the value it was given for.
        questions: The questions.

    Returns:
        Rows ``config, where`` (statement, reason), ``label`` and Estimate's fields.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "statement": ["I lied.", "I paid it."],
        ...                       "label": ["no", "yes"]})
        >>> questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["no", "yes"]]})
        >>> none = pl.DataFrame(schema=dict.fromkeys(("item_id", "question", "value", "text"), pl.String))
        >>> length_shortcuts(items, none, questions).select("where", "label", "value").rows()
        [('statement', 'yes', 1.0), ('reason', 'yes', nan)]
    """
    units = items["group"] if "group" in items.columns else items["item_id"]
    group = items.select("item_id", group=units).unique("item_id", keep="first")
    parts = []
    for config, question, options in named_configs(questions):
        several = _several(items, questions)
        own = items.filter(pl.col("config") == config) if several else items
        grouped = own["group"] if "group" in own.columns else None
        given = reasons.filter((pl.col("question") == question) | pl.col("question").is_null())
        if several:
            given = given.join(own.select("item_id"), on="item_id", how="semi", maintain_order="left")
        given = given.join(group, on="item_id", how="left", maintain_order="left")
        areas = {
            "statement": length_areas(own["statement"], own["label"], options=options, groups=grouped),
            "reason": length_areas(given["text"], given["value"], options=options, groups=given["group"]),
        }
        parts += [
            rows.select(pl.lit(config).alias("config"), pl.lit(where).alias("where"), pl.all())
            for where, rows in areas.items()
        ]
    return pl.concat(parts) if parts else pl.DataFrame(schema={"value": pl.Float64})


def named_configs(questions: pl.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Config, primary question and options, where the options are names (nominal, ordinal)."""
    rows = {q: (str(k), list(o or [])) for q, k, o in questions.select("question", "kind", "options").iter_rows()}
    primary = [(config, question, *rows[question]) for config, question in primary_questions(questions).items()]
    return [(config, question, options) for config, question, kind, options in primary if kind in _NAMED and options]


def _several(items: pl.DataFrame, questions: pl.DataFrame) -> bool:
    return "config" in items.columns and len(primary_questions(questions)) > 1


def _length(areas: pl.DataFrame, thresholds: AuditThresholds) -> Finding:
    name, limit = "shortcut.length", thresholds.length_area
    known = areas.filter(pl.col("value").is_finite())
    if known.is_empty():
        why = "not looked for: no labels of a question with named options"
        return Finding(name, SEVERITIES[name], 0, 0, (), why)
    far = pl.max_horizontal("value", 1 - pl.col("value"))
    beyond = (pl.col("low") > limit) | (pl.col("high") < 1 - limit)
    ordered = known.sort(far, descending=True, maintain_order=True)
    found = ordered.filter(pl.col("low").is_finite() & beyond)
    examples = tuple(_area(r) for r in found.head(_SHOWN).iter_rows(named=True))
    largest = "; ".join(_area(r) for r in ordered.head(2).iter_rows(named=True))
    note = f"interval of the area under the curve of length above {limit:g} or below {1 - limit:g}; farthest from .5: "
    return Finding(name, SEVERITIES[name], found.height, known.height, examples, note + largest)


def _area(row: dict[str, object]) -> str:
    config = "" if row["config"] == "default" else f"{excerpt(str(row['config']), length=30)}, "
    value, low, high = (float(str(row[c])) for c in ("value", "low", "high"))
    ends = f" [{low:.3f}, {high:.3f}]" if low == low else ""
    return f'{config}{row["where"]}, "{excerpt(str(row["label"]), length=30)}": {value:.3f}{ends}'


def _annotator(
    items: pl.DataFrame, annotations: pl.DataFrame, questions: pl.DataFrame, thresholds: AuditThresholds
) -> Finding:
    name, limit = "shortcut.annotator", thresholds.annotator_gain
    groups = items.select("item_id", "group") if "group" in items.columns else None
    found: list[tuple[str, dict[str, Estimate]]] = []
    for question in dict.fromkeys(q for _, q, _ in named_configs(questions)):
        of = annotations.filter(pl.col("question") == question)
        shares = annotator_shortcut(of, groups, n_boot=500, seed=thresholds.seed)
        if shares["annotator_gain"].value == shares["annotator_gain"].value:
            found.append((question, shares))
    if not found:
        why = "not looked for: no question with named options that annotators known by name answered in two groups"
        return Finding(name, SEVERITIES[name], 0, 0, (), why)
    said = [_gain(question, shares) for question, shares in found]
    beyond = [text for text, (_, shares) in zip(said, found, strict=True) if shares["annotator_gain"].low > limit]
    note = (
        f"accuracy gained by the annotator's own majority, out of fold; counted where its interval is above {limit:g}: "
    )
    return Finding(name, SEVERITIES[name], len(beyond), len(found), tuple(beyond[:_SHOWN]), note + "; ".join(said[:2]))


def _gain(question: str, shares: dict[str, Estimate]) -> str:
    gain = shares["annotator_gain"]
    ends = f" [{gain.low:.3f}, {gain.high:.3f}]" if gain.low == gain.low else ""
    own, overall = shares["annotator_accuracy"].value, shares["majority_accuracy"].value
    return f"{excerpt(question, length=30)}: {own:.3f} against {overall:.3f}, gain {gain.value:.3f}{ends}"
