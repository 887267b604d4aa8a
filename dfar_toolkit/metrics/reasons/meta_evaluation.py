"""How far an automatic metric of reasons can stand in for people's Good and Bad: one table for all metrics.

Per metric: AUROC against the verdicts (over all reasons, and within runs, where differences between runs do not help),
rank agreement of the run means, share of run pairs told apart at n. Beside them the verdicts' own: split-half
reliability of the judges and the share of run pairs that people's verdicts tell apart. A metric with a high AUROC over
all reasons and 1/2 within runs knows runs, not reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.reasons.good_bad_auroc import AurocInterval, good_bad_auroc
from dfar_toolkit.metrics.reasons.judge_reliability import split_half_reliability
from dfar_toolkit.metrics.reasons.run_ranking import run_rank_agreement
from dfar_toolkit.metrics.reasons.told_apart import runs_told_apart
from dfar_toolkit.metrics.verdicts import reason_verdicts

VERDICT = "human_verdict"  # the row of the verdicts themselves


def meta_evaluation(
    frame: pl.DataFrame,
    *,
    metrics: Sequence[str],
    judgements: pl.DataFrame | None = None,
    lower_is_better: Sequence[str] = (),
    share_bad: str = "share_bad",
    at: Sequence[int] = (50, 100, 200),
    auroc_ci: AurocInterval = "bootstrap",
    good: str = "good",
    bad: str = "bad",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every automatic metric of reasons against human verdicts.

    Args:
        frame: One row per reason: ``run_id, item_id``, a column per metric (``reason_scores`` makes them), ``group``
            where items hang together, and the share of judges who reject the reason, or ``output_id`` by which the
            judgements give it.
        metrics: Columns to judge.
        judgements: The table judgements of these reasons, one question: gives the shares where the frame has none, and
            the reliability of the judges.
        lower_is_better: Those of ``metrics`` of which a low value is good: their sign is turned.
        share_bad: Column of the share.
        at: Numbers of items for the share of run pairs told apart.
        auroc_ci: Interval of the AUROC: ``bootstrap`` or ``delong``.
        good: The value that accepts a reason.
        bad: The value that rejects it.
        confidence: Two-sided coverage; 1 - confidence is the level of the tests that tell runs apart.
        n_boot: Number of bootstrap draws over groups (items where there are none: an item's reasons of several runs
            stay together).
        seed: Seed of all draws.

    Returns:
        Rows ``metric, statistic, at`` and Estimate's fields. Statistics: auroc, and with several runs
        auroc_within_run, kendall_tau_runs, runs_told_apart (``at`` items; null: all). The metric ``human_verdict``
        has split_half_reliability (with judgements) and runs_told_apart.

    Undefined:
        As the single statistics say.

    Raises:
        TableError: A column is missing; neither shares nor judgements; judged outputs occur twice.
        ValueError: ``lower_is_better`` names a column that is not in ``metrics``.

    Example:
        >>> frame = pl.DataFrame({"run_id": ["m"] * 4, "item_id": list("abcd"), "overlap": [0.9, 0.4, 0.5, 0.1],
        ...                       "share_bad": [0.0, 0.0, 1.0, 1.0]})
        >>> meta_evaluation(frame, metrics=["overlap"], n_boot=100).select("metric", "statistic", "value").row(0)
        ('overlap', 'auroc', 0.75)
    """
    _check(frame, metrics, lower_is_better)
    frame = _with_shares(frame, judgements, share_bad, good, bad)
    turned = [pl.col(m).cast(pl.Float64) * (-1.0 if m in lower_is_better else 1.0) for m in metrics]
    several = frame["run_id"].n_unique() > 1
    judged = frame.filter(pl.col(share_bad).is_not_null()).with_columns(turned)
    named: list[tuple[str, str, int | None, Estimate]] = []
    for metric in metrics:
        named += _against_verdicts(judged, metric, share_bad, several, auroc_ci, confidence, n_boot, seed)
        if several:
            named += _told_apart(judged, metric, metric, at, confidence, seed)
    if judgements is not None:
        items = frame.select("item_id", "group").unique("item_id")
        keys = ["output_id"] if "output_id" in frame.columns else ["run_id", "item_id"]
        found = split_half_reliability(
            judgements.join(frame, on=keys, how="semi"), items=items, good=good, bad=bad,
            confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        named.append((VERDICT, "split_half_reliability", None, found))
    if several:
        named += _told_apart(judged, VERDICT, share_bad, at, confidence, seed)
    beside = pl.DataFrame(
        [(m, s, a) for m, s, a, _ in named],
        schema={"metric": pl.String, "statistic": pl.String, "at": pl.Int64},
        orient="row",
    )
    return pl.concat([beside, estimates_frame([e for *_, e in named])], how="horizontal")


def _against_verdicts(
    judged: pl.DataFrame, metric: str, share_bad: str, several: bool, ci: AurocInterval, confidence: float,
    n_boot: int, seed: int,
) -> list[tuple[str, str, int | None, Estimate]]:  # fmt: skip
    whole = good_bad_auroc(
        judged, score=metric, share_bad=share_bad, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    found: list[tuple[str, str, int | None, Estimate]] = [(metric, "auroc", None, whole)]
    if several:
        within = good_bad_auroc(
            judged, score=metric, share_bad=share_bad, within="run_id", ci=ci, confidence=confidence, n_boot=n_boot,
            seed=seed,
        )  # fmt: skip
        ranks = run_rank_agreement(
            judged, score=metric, share_bad=share_bad, confidence=confidence, n_boot=n_boot, seed=seed
        )
        found += [(metric, "auroc_within_run", None, within), (metric, "kendall_tau_runs", None, ranks)]
    return found


def _told_apart(
    judged: pl.DataFrame, metric: str, column: str, at: Sequence[int], confidence: float, seed: int
) -> list[tuple[str, str, int | None, Estimate]]:
    table = runs_told_apart(judged, score=column, at=at, confidence=confidence, seed=seed)
    rows = table.drop("at").rows(named=True)
    return [(metric, "runs_told_apart", n, Estimate(**row)) for n, row in zip(table["at"], rows, strict=True)]


def _with_shares(
    frame: pl.DataFrame, judgements: pl.DataFrame | None, share_bad: str, good: str, bad: str
) -> pl.DataFrame:
    """The frame with groups and shares of "bad"."""
    if "group" not in frame.columns:
        frame = frame.with_columns(group="item_id")
    if share_bad in frame.columns:
        return frame
    if judgements is None or "output_id" not in frame.columns:
        raise TableError(f'meta_evaluation: the frame needs the column "{share_bad}", or output_id and judgements.')
    if frame["output_id"].is_duplicated().any():
        raise TableError("meta_evaluation: one row per output is wanted; an output_id occurs twice.")
    verdicts = reason_verdicts(judgements, good=good, bad=bad).select("output_id", pl.col("share_bad").alias(share_bad))
    return frame.join(verdicts, on="output_id", how="left", maintain_order="left")


def _check(frame: pl.DataFrame, metrics: Sequence[str], lower_is_better: Sequence[str]) -> None:
    absent = [c for c in ("run_id", "item_id", *metrics) if c not in frame.columns]
    if absent:
        found = ", ".join(f'"{c}"' for c in frame.columns)
        raise TableError(f'meta_evaluation: the frame needs the column "{absent[0]}"; found {found}.')
    strange = [m for m in lower_is_better if m not in metrics]
    if strange:
        raise ValueError(f"meta_evaluation: lower_is_better must be among the metrics; {strange[0]!r} is not")
