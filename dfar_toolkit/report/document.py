"""What a report is about, as plain data; whoever computes the numbers fills it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

NO_LABEL: Final = "no label"  # how the column of items is called whose answer was unread, failed or is missing


@dataclass(frozen=True, slots=True)
class Comparison:
    """Any number of runs on the same items, every pair of them.

    Attributes:
        runs: The runs in the order in which they are paired, second minus first.
        primary: The metric declared beforehand.
        differences: Rows ``run_a, run_b, subset, metric``, the fields of ``Estimate`` and, where known, ``p_value,
            test, family, p_holm, low_simultaneous, high_simultaneous``.
        ranks: Rows ``subset, run_id, value, rank, rank_low, rank_high, share_best, kendall_tau``.
        outcomes: Rows ``subset, run_a, run_b, outcome`` (win, tie, loss of the second), ``count``, Estimate's fields.
        right_wrong: Rows ``run_a, run_b, subset, a_right, b_right, count``.
        notes: What each subset is and what was set aside, by subset.
    """

    runs: tuple[str, ...]
    primary: str
    differences: pl.DataFrame
    ranks: pl.DataFrame = field(default_factory=pl.DataFrame)
    outcomes: pl.DataFrame = field(default_factory=pl.DataFrame)
    right_wrong: pl.DataFrame = field(default_factory=pl.DataFrame)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows. Nothing in here is computed by the renderers, and no text is trusted.

    Attributes:
        title: Heading of the report.
        facts: Facts about the data set, in the order shown; see :func:`dfar_toolkit.report.facts.data_facts`.
        findings: Rows of the audit: ``finding, severity, count, total, examples, note``.
        agreement: Rows ``statistic, level, question, value, low, high, n, note``; an undefined value is None or nan.
        annotators: Rows of one question, ``rater, kappa, alpha_without`` and the fields of ``Estimate``.
        further: More tables about the same question by name (values, groups, drift), with the fields of ``Estimate``.
        annotators_note: Why there are none, where that is so.
        pairs: Rows of the same question, ``rater_a, rater_b, value`` (Cohen's kappa).
        disagreement: Its items in bins of how far two people part over them, ``disagreement, items``.
        scores: Rows ``run_id, subset, metric, label`` and the fields of ``Estimate``; with the columns ``part`` and
            ``predictor`` of a table of all scores, each part has a section of its own.
        reliability: Per run the bins of its reliability curve, ``run_id, bin_low, bin_high, mean_predicted, band_low,
            band_high`` and the fields of ``Estimate``: the observed share.
        confusions: Per run the cells ``gold, pred, count`` of its confusion matrix; ``pred`` null is "no label".
        comparison: The runs against each other, where there are several.
        rationales: Numbers about the runs' rationales, from ``rationale_scores``.
        rationale_differences: Paired tests between the methods of each run, from ``rationale_differences``.
        protocol: How reasons were judged (wording, what was shown, blinding, scale, judges per item).
        notes: Further lines at the end, such as what was left out and why.
        footer: What made the report, small at its end: version, seed, number of draws.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[Mapping[str, object]] = ()
    agreement: Sequence[Mapping[str, object]] = ()
    annotators: Sequence[Mapping[str, object]] = ()
    annotators_note: str = ""
    further: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    pairs: Sequence[Mapping[str, object]] = ()
    disagreement: Sequence[Mapping[str, object]] = ()
    scores: pl.DataFrame = field(default_factory=pl.DataFrame)
    reliability: pl.DataFrame = field(default_factory=pl.DataFrame)
    confusions: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    comparison: Comparison | None = None
    rationales: pl.DataFrame = field(default_factory=pl.DataFrame)
    rationale_differences: pl.DataFrame = field(default_factory=pl.DataFrame)
    protocol: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    footer: Sequence[str] = ()


def plain_text(value: object) -> str:
    """A value of a manifest, an audit or a protocol as text.

    Example:
        >>> plain_text(["a", 1]), plain_text(None), plain_text({"k": 0.5, "l": []}), plain_text(True)
        ('a, 1', '', 'k: 0.5; l: none', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {plain_text(v) or 'none'}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain_text(v) for v in value)
    return str(value)


def visible(text: object) -> str:
    r"""Text whose control characters, lone surrogates and direction marks are shown as the replacement character.

    Line feeds and tabs stay. Needed before anything becomes XML or is written as UTF-8.

    Example:
        >>> visible("a\x08b\nc\u202e")
        'a�b\nc�'
    """
    return "".join("�" if _is_unseen(ord(c)) else c for c in str(text))


def _is_unseen(code: int) -> bool:
    control = (code < 0x20 and code not in (0x09, 0x0A)) or 0x7F <= code <= 0x9F
    direction = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return control or direction or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF, 0xFEFF)
