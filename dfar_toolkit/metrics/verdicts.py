"""Judges' verdicts on reasons: from single judgements to one share of "bad" per judged reason and per item."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.errors import TableError

_EVEN = 1e-12  # a share this close to one half is an even split


def reason_verdicts(judgements: pl.DataFrame, *, good: str = "good", bad: str = "bad") -> pl.DataFrame:
    """One row per judged reason: the share of its judges who say bad.

    A judge with several draws on a reason counts once, with the share of the draws that say bad. A judgement
    without a value is no verdict.

    Args:
        judgements: The table judgements: single reasons, one question.
        good: The value that accepts a reason.
        bad: The value that rejects it.

    Returns:
        ``run_id, item_id, output_id, judges`` (how many), ``share_bad``, ``majority_bad`` and ``even_split``
        (0 or 1), sorted by these keys.

    Raises:
        TableError: A value is neither, reasons are judged in pairs, or there are several questions.
    """
    _check_values(judgements, good=good, bad=bad)
    given = judgements.filter(pl.col("value").is_not_null())
    per_judge = given.group_by("run_id", "item_id", "output_id", "judge_id").agg(
        (pl.col("value") == bad).mean().alias("said_bad")
    )
    keys = ["run_id", "item_id", "output_id"]
    per_reason = per_judge.sort(*keys, "said_bad").group_by(keys, maintain_order=True)
    verdicts = per_reason.agg(pl.len().cast(pl.Int64).alias("judges"), pl.col("said_bad").mean().alias("share_bad"))
    even = (pl.col("share_bad") - 0.5).abs() < _EVEN
    return verdicts.with_columns(
        ((pl.col("share_bad") > 0.5) & ~even).cast(pl.Float64).alias("majority_bad"),
        even.cast(pl.Float64).alias("even_split"),
    )


def item_verdicts(verdicts: pl.DataFrame) -> pl.DataFrame:
    """One row per run and item: the means over its judged reasons (several samples, or several people's reasons).

    Args:
        verdicts: From :func:`reason_verdicts`.

    Returns:
        ``run_id, item_id, reasons`` (how many), ``share_bad``, ``majority_bad``, ``even_split``, sorted.
    """
    keys = ["run_id", "item_id"]
    ordered = verdicts.sort(*keys, "share_bad", "output_id").group_by(keys, maintain_order=True)
    return ordered.agg(
        pl.len().cast(pl.Int64).alias("reasons"), pl.col("share_bad", "majority_bad", "even_split").mean()
    )


def check_runs(judgements: pl.DataFrame, outputs: pl.DataFrame, items: pl.DataFrame, *, human: str) -> None:
    """Refuse judgements about a run, an output or an item that is not there.

    Raises:
        TableError: Says which, how many, and what was expected.
    """
    runs = outputs["run_id"].unique().sort().to_list()
    strange = [r for r in judgements["run_id"].unique().sort().to_list() if r not in runs and r != human]
    if strange:
        raise TableError(
            f"score: judgements must be about the run {' or '.join(map(repr, runs))} or {human!r}; found judgements of "
            f"{', '.join(map(repr, strange))}. Is this the judgements file of another run?"
        )
    lost = judgements.filter(~pl.col("item_id").is_in(items["item_id"].implode()))["item_id"].unique().sort()
    if len(lost):
        raise TableError(
            f"score: {len(lost)} judged items are not among the items, e.g. {lost[0]!r}; are these the right items?"
        )
    of_runs = judgements.filter(pl.col("run_id") != human)
    orphans = of_runs.join(outputs, on=["output_id", "run_id"], how="anti")["output_id"].unique().sort()
    if len(orphans):
        raise TableError(
            f"score: {len(orphans)} judged output ids are not in the outputs, e.g. {orphans[0]!r}; "
            f"the outputs have ids such as {outputs['output_id'][0]!r}."
        )


def _check_values(judgements: pl.DataFrame, *, good: str, bad: str) -> None:
    questions = judgements["question"].unique().sort().to_list()
    if len(questions) > 1:
        raise TableError(f"misalignment: one question at a time; judgements hold {', '.join(questions)}; choose one.")
    if (judgements["other_output_id"] != "").any():
        raise TableError("misalignment: judgements of pairs (other_output_id) say which is better, not good or bad.")
    values = judgements["value"].drop_nulls()
    strange = values.filter(~values.is_in([good, bad]))
    if len(strange):
        counts = strange.value_counts(sort=True).sort("count", "value", descending=[True, False])
        shown = ", ".join(f"{value!r} ({count} times)" for value, count in counts.head(5).iter_rows())
        raise TableError(f"misalignment: a judgement must be {good!r} or {bad!r}; found {shown}.")
