"""The report as JSON: the numbers as they are, undefined ones as null beside their note."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields

import polars as pl

from dfar_toolkit.report.document import Comparison, ReportData, plain_text


def json_document(data: ReportData) -> str:
    """Render a report as one JSON object.

    Args:
        data: What the report shows.

    Returns:
        JSON text with a final newline; the same data give the same text.

    Example:
        >>> json.loads(json_document(ReportData(title="t")))["title"]
        't'
    """
    content = {
        "title": data.title,
        "facts": data.facts,
        "findings": data.findings,
        "agreement": data.agreement,
        "annotators": data.annotators,
        "annotators_note": data.annotators_note,
        "pairs": data.pairs,
        "further": data.further,
        "disagreement": data.disagreement,
        "scores": data.scores,
        "reliability": data.reliability,
        "confusions": data.confusions,
        "comparison": None if data.comparison is None else _fields(data.comparison),
        "rationales": data.rationales,
        "rationale_differences": data.rationale_differences,
        "protocol": data.protocol,
        "notes": data.notes,
        "footer": data.footer,
    }
    # Lone surrogates cannot be written as UTF-8; nothing else is changed.
    text = json.dumps(_plain(content), ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode("utf-8", errors="replace").decode() + "\n"


def _fields(compared: Comparison) -> dict[str, object]:
    return {f.name: getattr(compared, f.name) for f in fields(compared)}


def _plain(value: object) -> object:
    """Only what JSON knows."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, pl.DataFrame):
        return [_plain(row) for row in value.to_dicts()]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return plain_text(value)
