"""The misalignment rate of a run from human verdicts on some reasons and a judge model's on all."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame
from dfar_toolkit.metrics.judging.judge_rows import judge_rows
from dfar_toolkit.metrics.judging.prediction_powered import prediction_powered_rate
from dfar_toolkit.tables import conform


def misalignment_prediction_powered(
    judgements: pl.DataFrame,
    *,
    judge_model: str,
    human_judges: Sequence[str] | None = None,
    items: pl.DataFrame | None = None,
    judge_tuned_on: Sequence[str] | pl.Series | None = None,
    lam: float | None = None,
    guard: bool = True,
    good: str = "good",
    bad: str = "bad",
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""MAR mean of each run, with a judge model's verdicts wherever people did not judge.

    The estimand is that of ``misalignment_rate(rule="mean")`` with people as the judges: the mean over items of the
    mean over the item's reasons of the share of people who say bad. Row r is a reason, its weight 1 over the judged
    reasons of its item, its groups are those of the items; the estimate of
    :func:`~dfar_toolkit.metrics.judging.prediction_powered.prediction_powered_rate` takes these.

    Args:
        judgements: The table judgements, one question: the model's verdicts on all reasons, people's on a random
            sample, their rows with ``inclusion_prob``, the probability that people judge that reason at all.
        judge_model: Judge id of the model.
        human_judges: Judge ids of people; None: all judges but this one. Give it where there are several models.
        items: The table items, for the groups; None means every item is its own.
        judge_tuned_on: Item ids that the judge was tuned, prompted or chosen on.
        lam: None: tuned for each run; a number in [0, 1].
        guard: As in ``prediction_powered_rate``.
        good: The value that accepts a reason.
        bad: The value that rejects it.
        confidence: Two-sided coverage.

    Returns:
        One row per run that the model judged, sorted: ``run_id`` and Estimate's fields; human reasons are run
        ``human``.

    Undefined:
        A run without human verdicts, or whose human verdicts lack an inclusion probability, or on whose human-judged
        items the judge was tuned: ``nan``, and the note says which.

    Raises:
        TableError: No verdict of the model, values that are neither good nor bad, several questions, pairs.
        ValueError: The model is among the people, ``lam`` outside [0, 1].

    Example:
        >>> rows = [("gpt", i, "bad" if i < 4 else "good", None) for i in range(8)]
        >>> rows += [("ann", i, "bad" if i < 2 else "good", 0.5) for i in (0, 1, 4, 5)]
        >>> frame = pl.DataFrame(rows, schema=["judge_id", "item_id", "value", "inclusion_prob"], orient="row",
        ...                      infer_schema_length=None)
        >>> frame = frame.with_columns(pl.col("item_id").cast(pl.String)).with_columns(
        ...     question=pl.lit("reason_ok"), run_id=pl.lit("m"), output_id=pl.col("item_id"))
        >>> found = misalignment_prediction_powered(frame, judge_model="gpt", lam=1, guard=False)
        >>> found["value"].to_list()  # 1/2 of the human ones, and the judge says 1/2 on both parts
        [0.5]

    Reference:
        Angelopoulos, Duchi and Zrnic (2023), arXiv:2311.01453.
    """
    judgements = conform(judgements, "judgements", where="misalignment_prediction_powered")
    rows = judge_rows(
        "misalignment_prediction_powered", judgements, judge_model=judge_model, human_judges=human_judges, items=items,
        good=good, bad=bad,
    )  # fmt: skip
    runs = rows.drop_nulls("judge")["run_id"].unique().sort().to_list()
    found = [_of_run(rows.filter(pl.col("run_id") == run), judge_tuned_on, lam, guard, confidence) for run in runs]
    return estimates_frame(found, beside=[{"run_id": run} for run in runs])


def _of_run(
    rows: pl.DataFrame, tuned_on: Sequence[str] | pl.Series | None, lam: float | None, guard: bool, confidence: float
) -> Estimate:
    name = "misalignment rate (mean, prediction-powered)"
    try:
        return prediction_powered_rate(
            rows, weight="weight", judge_tuned_on=tuned_on, lam=lam, guard=guard, confidence=confidence, name=name
        )
    except TableError as refused:
        nan, why = float("nan"), str(refused).removeprefix("prediction_powered_rate: ")
        return Estimate(name, nan, nan, nan, len(rows), 0, "items", "items", "none", confidence, f"refused: {why}")
