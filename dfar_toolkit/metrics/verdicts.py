"""Judges' verdicts on reasons: from single judgements to one share of "bad" per judged reason and per item."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.errors import TableError

_EVEN = 1e-12  # a share this close to one half is an even split


def reason_verdicts(judgements: pl.DataFrame, *, good: str = "good", bad: str = "bad") -> pl.DataFrame:
    """One row per judged reason: the share of its judges who say bad.

    A judge with several draws on a reason counts once, with the share of the draws that say bad. A judgement
    without a value is no verdict; case and blanks around a value do not matter.

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
    judgements = folded_values(judgements, good=good, bad=bad)
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

    What judges vote on is a reason, so ``majority_bad`` of an item is the share of its judged reasons that most of
    their judges reject, and ``even_split`` the share on which the judges are evenly split.

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


def folded_values(judgements: pl.DataFrame, *, good: str, bad: str) -> pl.DataFrame:
    """The judgements with ``Good``, `` BAD`` and the like as ``good`` and ``bad``; every other value as it is."""
    word = pl.col("value").str.strip_chars().str.to_lowercase()
    folded = pl.col("value")
    for value in (good, bad):
        folded = pl.when(word == value.strip().lower()).then(pl.lit(value)).otherwise(folded)
    exact = pl.col("value").is_in([good, bad])
    return judgements.with_columns(pl.when(exact).then("value").otherwise(folded).alias("value"))


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
        raise TableError(
            f"misalignment: a judgement must be {good!r} or {bad!r}; found {shown}. "
            "Rename those values in the file, and leave value empty where there is no verdict."
        )
