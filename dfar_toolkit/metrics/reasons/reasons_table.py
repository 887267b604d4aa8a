"""Everything that can be said of a run's reasons without judges, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, estimates_frame, proportion
from dfar_toolkit.metrics.reasons.constraints import Constraint, constraint_table
from dfar_toolkit.metrics.reasons.copying import duplicated_reason_share
from dfar_toolkit.metrics.reasons.coverage import item_reasons, reason_coverage_rows
from dfar_toolkit.metrics.reasons.floor_and_ceiling import reason_overlap_rows
from dfar_toolkit.metrics.reasons.named_labels import Rule, readable_labels
from dfar_toolkit.metrics.reasons.own_label import own_label_table
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons
from dfar_toolkit.metrics.reasons.present_means import estimate_present
from dfar_toolkit.metrics.reasons.reason_scores import OVERS, frame_reasons, plain_rows
from dfar_toolkit.metrics.reasons.text_overlap import Overlap, OverlapMetric


def reasons_table(
    frame: pl.DataFrame,
    *,
    options: Sequence[str] | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
    overlap: Sequence[OverlapMetric | Overlap] | None = None,
    constraints: Sequence[Constraint] = (),
    draws: int = 5,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """All metrics of one run's reasons that apply to the columns at hand.

    Args:
        frame: One row per output: ``item_id`` and ``reason`` (null where there is none); as far as they are known
            ``group`` (else the item is the resampling unit), ``label_pred``, ``statement``, ``human_reasons`` (list of
            text). Several rows of an item are samples.
        options: Names of the labels; None, or names that cannot be read in running text, leaves out whether reasons
            name their own label.
        words: Words that stand for a label, by its name.
        rule: As in ``named_labels``.
        overlap: Overlap metrics by name or as functions; None takes rouge_l and token_f1, and chrf and bleu where
            sacrebleu is installed.
        constraints: Checks to be kept.
        draws: Other items drawn per item for the floors (one for sacrebleu's scores, which are slow).
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of all draws.

    Returns:
        Rows ``metric`` and Estimate's fields: reason_share (rows with a reason), length, repetition and copying,
        duplicated_reason_share, knowledge_precision/recall/f1 (grounding in the statement), own_label_*, per overlap
        metric METRIC_mean with _floor, _run_minus_floor, _ceiling, _position, the same for METRIC_max where some item
        has two human reasons, then also rouge_l_coverage_*, and constraint_*.

    Undefined:
        As the single metrics say; a row is there all the same.

    Raises:
        TableError: There is no column ``item_id`` or ``reason``, or its values are no text.
        ValueError: A wrong option, as the single metrics say.

    Example:
        >>> frame = pl.DataFrame({"item_id": ["a", "b"], "reason": ["It harms Ann.", None]})
        >>> reasons_table(frame).select("metric", "value", "n").rows()[:2]
        [('reason_share', 0.5, 2), ('reason_words', 3.0, 1)]
    """
    if "item_id" not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise TableError(f'reasons_table: the frame needs the column "item_id"; found {found}.')
    frame = frame if "group" in frame.columns else frame.with_columns(group="item_id")
    pairs = frame_reasons("reasons_table", frame)
    rows = plain_rows(pairs) + _overlap_rows(pairs, overlap, draws, seed)
    means = estimate_present(rows, groups=pairs.groups, confidence=confidence, n_boot=n_boot, seed=seed)
    twice = duplicated_reason_share(frame, item="item_id", confidence=confidence, n_boot=n_boot, seed=seed)
    parts = [
        _reason_share(frame, confidence),
        _named(rows, means),
        estimates_frame([twice], beside=[{"metric": "duplicated_reason_share"}]),
    ]
    labelled = pairs.labels is not None
    if labelled and options is not None and readable_labels(options, words):
        own = own_label_table(
            frame, options=options, words=words, rule=rule, confidence=confidence, n_boot=n_boot, seed=seed
        )
        parts.append(own.drop("rule"))
    parts.append(_coverage(pairs, draws, confidence, n_boot, seed))
    if constraints:
        kept = constraint_table(
            frame, constraints=constraints, label="label_pred" if labelled else None, options=options,
            confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        parts.append(kept.drop("constraint", "kind"))
    return pl.concat([p for p in parts if len(p)])


def default_overlap() -> tuple[OverlapMetric, ...]:
    """The overlap metrics that can be computed here: sacrebleu's too where it is installed."""
    own: tuple[OverlapMetric, ...] = ("rouge_l", "token_f1")
    return (*own, "chrf", "bleu") if find_spec("sacrebleu") is not None else own


def _reason_share(frame: pl.DataFrame, confidence: float) -> pl.DataFrame:
    given = frame.select((pl.col("reason").cast(pl.String).str.strip_chars().str.len_chars() > 0).fill_null(False))
    found = proportion(
        "share with a reason",
        given.to_series().cast(pl.Float64).to_numpy(),
        groups=frame["group"],
        confidence=confidence,
    )
    return estimates_frame([found], beside=[{"metric": "reason_share"}])


def _overlap_rows(
    pairs: PairedReasons, overlap: Sequence[OverlapMetric | Overlap] | None, draws: int, seed: int
) -> list[Additive]:
    if not _human_reasons(pairs):
        return []
    overs = OVERS if _human_reasons(pairs) > 1 else OVERS[:1]
    metrics = default_overlap() if overlap is None else overlap
    return [
        row
        for metric in metrics
        for over in overs
        for row in reason_overlap_rows(
            pairs, metric=metric, over=over, draws=1 if metric in ("chrf", "bleu") else draws, seed=seed
        )
    ]


def _human_reasons(pairs: PairedReasons) -> int:
    """Most human reasons that an item has."""
    longest = pairs.human.list.len().max()
    return longest if isinstance(longest, int) else 0


def _coverage(pairs: PairedReasons, draws: int, confidence: float, n_boot: int, seed: int) -> pl.DataFrame:
    if pairs.labels is None or _human_reasons(pairs) < 2:
        return estimates_frame([])
    items = item_reasons(pairs)
    rows = [row for _, _, row in reason_coverage_rows(items, metric="rouge_l", draws=draws, seed=seed)]
    found = estimate_present(rows, groups=items.units, confidence=confidence, n_boot=n_boot, seed=seed)
    return _named(rows, found)


def _named(rows: Sequence[Additive], found: Sequence[Estimate]) -> pl.DataFrame:
    return estimates_frame(found, beside=[{"metric": row.metric} for row in rows]) if rows else estimates_frame([])
