"""A judge model against people on the reasons that both judged: agreement, errors, and what the errors follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame, mean_of
from dfar_toolkit.metrics.intervals import mean_share
from dfar_toolkit.metrics.judging.judge_rows import judge_rows
from dfar_toolkit.metrics.verdicts import folded_values
from dfar_toolkit.tables import conform

_ALL: Final = ""  # in the columns run_id and error_type: all of them
_HALF: Final = 1e-12


def judge_quality(
    judgements: pl.DataFrame,
    *,
    judge_model: str,
    human_judges: Sequence[str] | None = None,
    items: pl.DataFrame | None = None,
    reasons: pl.DataFrame | None = None,
    by_run: bool = False,
    separator: str = ";",
    good: str = "good",
    bad: str = "bad",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Verdicts of a judge model against the majority of people, over the reasons that both judged.

    With $f, y \in \{0, 1\}$ (1 bad) the verdicts of the model and of most people, an even split of either left out:

    * ``judge_accuracy``: share with f = y; ``judge_kappa``: Cohen's kappa of f and y
    * ``judge_sensitivity``: share with f = 1 among y = 1; ``judge_specificity``: share with f = 0 among y = 0
    * ``judge_excess_bad``: mean of f - y, above 0 for a judge that rejects more than people do
    * ``judge_false_bad_length``: mean length of reasons with f = 1 less that of those with f = 0, among y = 0;
      ``judge_missed_bad_length``: mean length of those with f = 0 less that of those with f = 1, among y = 1. Both 0
      where length has nothing to do with the judge's errors; length in words
    * ``judge_excess_bad_late``: mean of f - y over reasons shown late (``position`` above the median of the model's
      judgements) less that over the others
    * ``judge_sensitivity`` again for each error type that people named, among the bad reasons for which any did

    Args:
        judgements: The table judgements: single reasons, one question.
        judge_model: Judge id of the model.
        human_judges: Judge ids of people; None: all judges but this one.
        items: The table items, for the groups; None means every item is its own.
        reasons: ``output_id`` and ``reason``, such as the table outputs: for the lengths.
        by_run: Whether each run gets rows of its own beside those of all.
        separator: What stands between several error types of one judgement.
        good: The value that accepts a reason.
        bad: The value that rejects it.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws over groups.
        seed: Seed of the draws.

    Returns:
        Rows ``metric, run_id`` (empty: all runs), ``error_type`` (empty: all) and Estimate's fields; n = reasons.
        Shares have Wilson's interval, the rest a bootstrap with these judges fixed.

    Undefined:
        No shared reason; kappa where both always say the same; a length or position difference where one of its two
        sides has no reason, or lengths or positions are not known.

    Raises:
        TableError: The model judged nothing, values that are neither good nor bad, several questions, pairs.
        ValueError: The model is among the people.

    Example:
        >>> votes = {"ann": ["bad", "bad", "good", "good"], "gpt": ["bad", "good", "good", "good"]}
        >>> frame = pl.DataFrame([(j, str(i), v) for j, said in votes.items() for i, v in enumerate(said)],
        ...                      schema=["judge_id", "item_id", "value"], orient="row")
        >>> frame = frame.with_columns(question=pl.lit("q"), run_id=pl.lit("m"), output_id=pl.col("item_id"))
        >>> found = judge_quality(frame, judge_model="gpt", n_boot=50)
        >>> found.select("metric", "value").rows()[:3]
        [('judge_accuracy', 0.75), ('judge_kappa', 0.5), ('judge_sensitivity', 0.5)]

    Reference:
        Cohen (1960), Educ. Psychol. Meas. 20:37-46, eq. 1 (kappa).
    """
    judgements = conform(judgements, "judgements", where="judge_quality")
    folded = folded_values(judgements, good=good, bad=bad)
    rows = judge_rows(
        "judge_quality", folded, judge_model=judge_model, human_judges=human_judges, items=items, good=good, bad=bad
    )
    shared = _both(rows, folded.filter(pl.col("judge_id") == judge_model), reasons)
    theirs = folded.filter((pl.col("value") == bad) & (pl.col("judge_id") != judge_model))
    if human_judges is not None:
        theirs = theirs.filter(pl.col("judge_id").is_in(list(human_judges)))
    types = _types(theirs, separator)
    share = partial(mean_share, confidence=confidence, n_boot=n_boot, seed=seed)
    draws = partial(estimate_together, confidence=confidence, n_boot=n_boot, seed=seed)
    runs = [_ALL, *(shared["run_id"].unique().sort() if by_run else [])]
    split = rows.drop_nulls(["judge", "human"]).height - len(shared)
    note = f"{split} reasons on which the draws of the model, or people, are evenly split left out" if split else ""
    tables = []
    for run in runs:
        own = shared if run == _ALL else shared.filter(pl.col("run_id") == run)
        found = _shares(own, share) + _bootstrapped(own, draws, lengths=reasons is not None)
        tables.append(_frame([(m, _ALL, e) for m, e in found] + _by_type(own, types, share), run, note))
    return pl.concat(tables)


def _both(rows: pl.DataFrame, own: pl.DataFrame, reasons: pl.DataFrame | None) -> pl.DataFrame:
    """Reasons that both judged: ``f, y`` (0 or 1), ``words``, ``late`` (0 or 1; null where not known), ``group``."""
    decided = (pl.col("judge") - 0.5).abs() > _HALF
    kept = rows.filter(decided & pl.col("human_majority").is_not_null())
    position = own.group_by("output_id").agg(pl.col("position").mean()).with_columns(
        late=pl.when(pl.col("position").n_unique() > 1).then(
            (pl.col("position") > pl.col("position").median()).cast(pl.Float64)
        )
    )  # fmt: skip
    kept = kept.join(position.select("output_id", "late"), on="output_id", how="left", maintain_order="left")
    text = pl.DataFrame(schema={"output_id": pl.String, "words": pl.Float64})
    if reasons is not None:
        words = pl.col("reason").str.extract_all(r"\S+").list.len().cast(pl.Float64)
        text = reasons.select("output_id", words=words).unique("output_id", keep="any")
    kept = kept.join(text, on="output_id", how="left", maintain_order="left")
    verdict = (pl.col("judge") > 0.5).cast(pl.Float64)
    return kept.select("run_id", "output_id", "group", "words", "late", f=verdict, y="human_majority")


def _shares(own: pl.DataFrame, share: partial[Estimate]) -> list[tuple[str, Estimate]]:
    bad, fine = own.filter(pl.col("y") == 1), own.filter(pl.col("y") == 0)
    parts = {
        "judge_accuracy": ("the judge's accuracy", own, own["f"] == own["y"], "no reason that both judged"),
        "judge_sensitivity": ("the judge's sensitivity to bad", bad, bad["f"] == 1, "people call no shared reason bad"),
        "judge_specificity": ("the judge's specificity", fine, fine["f"] == 0, "people call no shared reason good"),
    }
    found = []
    for metric, (name, of, hits, why) in parts.items():
        rate = share(name, hits.to_numpy(), groups=of["group"])
        found.append((metric, rate if len(of) else replace(rate, note=why)))
    return found


def _bootstrapped(own: pl.DataFrame, draws: partial[list[Estimate]], *, lengths: bool) -> list[tuple[str, Estimate]]:
    """Kappa, excess of bad verdicts, and what the errors follow, from one set of draws."""
    f, y = own["f"].to_numpy(), own["y"].to_numpy()
    why = "" if lengths else "lengths are not known: give reasons"
    words, late = (own[c].fill_null(float("nan")).to_numpy() for c in ("words", "late"))
    scores = [
        Additive(
            "judge_kappa", "Cohen's kappa of judge and people", np.column_stack([f * y, f, y, np.ones_like(f)]), _kappa,
            "both always say the same",
        ),
        mean_of("judge_excess_bad", "the judge's excess of bad", f - y),
        _gap("judge_false_bad_length", "words of false bad less good", words, f, y == 0, why),
        _gap("judge_missed_bad_length", "words of missed bad less found", words, 1 - f, y == 1, why),
        _gap("judge_excess_bad_late", "excess of bad, late less early", f - y, late, np.ones(len(f), dtype=bool), ""),
    ]  # fmt: skip
    found = draws(scores, groups=own["group"] if len(own) else None)
    return [(s.metric, e) for s, e in zip(scores, found, strict=True)]


def _gap(metric: str, name: str, values: Floats, side: Floats, among: np.ndarray, why: str) -> Additive:
    """Mean of the values where ``side`` is 1 less that where it is 0, among some reasons."""
    known = among & ~np.isnan(values) & ~np.isnan(side)
    one, zero = (np.where(known, side, 0.0), np.where(known, 1 - side, 0.0))
    kept = np.where(known, values, 0.0)
    rows = np.column_stack([kept * one, one, kept * zero, zero])
    return Additive(metric, name, rows, _difference, why or "one of the two sides has no reason")


def _difference(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3])


def _kappa(sums: Floats) -> Floats:
    both, f, y, n = sums.T
    observed = (n - f - y + 2 * both) / n
    chance = (f * y + (n - f) * (n - y)) / n**2
    return np.asarray((observed - chance) / (1 - chance))


def _types(theirs: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Which error types people named of which reason."""
    listed = pl.col("error_type").fill_null("").str.split(separator)
    named = theirs.select("output_id", error_type=listed).explode("error_type")
    return named.with_columns(pl.col("error_type").str.strip_chars()).filter(pl.col("error_type") != "").unique()


def _by_type(own: pl.DataFrame, types: pl.DataFrame, share: partial[Estimate]) -> list[tuple[str, str, Estimate]]:
    bad = own.filter(pl.col("y") == 1)
    named = bad.join(types, on="output_id", how="inner")
    found = []
    for name in named["error_type"].unique().sort():
        of = named.filter(pl.col("error_type") == name)
        rate = share(f'the judge\'s sensitivity to "{name}"', (of["f"] == 1).to_numpy(), groups=of["group"])
        found.append(("judge_sensitivity", name, rate))
    return found


def _frame(found: list[tuple[str, str, Estimate]], run: str, note: str) -> pl.DataFrame:
    order = ["judge_accuracy", "judge_kappa", "judge_sensitivity", "judge_specificity"]
    ranked = sorted(found, key=lambda row: (row[1] != _ALL, order.index(row[0]) if row[0] in order else len(order)))
    beside = [{"metric": m, "run_id": run, "error_type": t} for m, t, _ in ranked]
    noted = [replace(e, note="; ".join(n for n in (e.note, note) if n)) for _, _, e in ranked]
    return estimates_frame(noted, beside=beside)
