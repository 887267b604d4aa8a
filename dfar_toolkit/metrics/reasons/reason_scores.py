"""Every automatic score of every reason, row by row: what the meta-evaluation and a look at single reasons need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive
from dfar_toolkit.metrics.reasons.copying import reason_copying_rows
from dfar_toolkit.metrics.reasons.grounding import GroundingPart, knowledge_overlap_rows
from dfar_toolkit.metrics.reasons.named_labels import Rule
from dfar_toolkit.metrics.reasons.overlap import Over, human_overlap_rows
from dfar_toolkit.metrics.reasons.own_label import own_label_agreement_rows
from dfar_toolkit.metrics.reasons.paired_reasons import PairedReasons, pair_reasons
from dfar_toolkit.metrics.reasons.text_overlap import Overlap, OverlapMetric

PARTS: Final[tuple[GroundingPart, ...]] = ("precision", "recall", "f1")
OVERS: Final[tuple[Over, ...]] = ("mean", "max")


def reason_scores(
    frame: pl.DataFrame,
    *,
    options: Sequence[str] | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
    rule: Rule = "negation",
    overlap: Sequence[OverlapMetric | Overlap] = ("rouge_l", "token_f1"),
) -> pl.DataFrame:
    """The frame with a column per automatic score of its reasons.

    Args:
        frame: One row per reason: ``reason``, and ``statement``, ``human_reasons``, ``label_pred`` as far as they
            are known.
        options: Names of the labels; None leaves ``own_label_agreement`` out.
        words: Words that stand for a label, by its name.
        rule: As in ``named_labels``.
        overlap: Overlap metrics by name or as functions.

    Returns:
        The same rows in the same order, with METRIC_mean and METRIC_max (over the human reasons) of each overlap
        metric, knowledge_precision, knowledge_recall, knowledge_f1, own_label_agreement (1 own label alone, 0 another
        alone), and the measures of length, copying and repetition; null where one does not exist.

    Raises:
        TableError: There is no column ``reason``, or a score's name is a column already.
        ValueError: An unknown metric, labels that cannot be read in running text.
        ImportError: chrf or bleu without sacrebleu.

    Example:
        >>> frame = pl.DataFrame({"reason": ["It harms Ann.", None], "statement": ["I hit Ann.", "I read."]})
        >>> reason_scores(frame)["knowledge_precision"].round(3).to_list()
        [0.333, None]
    """
    pairs = frame_reasons("reason_scores", frame)
    rows = plain_rows(pairs)
    if "human_reasons" in frame.columns:
        rows += [human_overlap_rows(pairs, metric=metric, over=over) for metric in overlap for over in OVERS]
    if options is not None and pairs.labels is not None:
        rows.append(own_label_agreement_rows(pairs, options=options, words=words, rule=rule))
    taken = [r.metric for r in rows if r.metric in frame.columns]
    if taken:
        raise TableError(f'reason_scores: the frame has a column "{taken[0]}" already; rename or drop it.')
    scores = pl.DataFrame({"row": pairs.rows, **{r.metric: _values(r) for r in rows}}, strict=False)
    numbered = frame.with_row_index("row_of_reason").with_columns(pl.col("row_of_reason").cast(pl.Int64))
    joined = numbered.join(scores, left_on="row_of_reason", right_on="row", how="left", maintain_order="left")
    return joined.drop("row_of_reason")


def frame_reasons(name: str, frame: pl.DataFrame) -> PairedReasons:
    """Reasons of a frame with whichever of its usual columns are there.

    Args:
        name: Function named in errors.
        frame: One row per reason.

    Returns:
        The rows with a reason.

    Raises:
        TableError: There is no column ``reason``.
    """
    if "reason" not in frame.columns:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise TableError(f'{name}: the frame needs the column "reason"; found {found}.')
    there = {c: c if c in frame.columns else None for c in ("human_reasons", "label_pred", "statement", "item_id")}
    return pair_reasons(
        name, frame, human=there["human_reasons"], label=there["label_pred"], statement=there["statement"],
        item=there["item_id"],
    )  # fmt: skip


def plain_rows(pairs: PairedReasons) -> list[Additive]:
    """Length, repetition and, with statements, copying and grounding, as additive statistics.

    Args:
        pairs: Reasons.

    Returns:
        Additive statistics, rows (N, 2).
    """
    rows = reason_copying_rows(pairs)
    if pairs.statements is None:
        return [r for r in rows if not r.metric.startswith("copied")]
    return rows + [knowledge_overlap_rows(pairs, part=part) for part in PARTS]


def _values(row: Additive) -> pl.Series:
    values = pl.Series(row.rows[:, 0], dtype=pl.Float64)
    there = pl.Series(row.rows[:, 1] > 0, dtype=pl.Boolean)
    return pl.select(pl.when(there).then(values)).to_series()
