"""Two runs on the same items: paired differences with intervals and tests, and the 2x2 of right and wrong.

Every difference is second run minus first. The headline is over all evaluated items, with an item unanswered by a
run wrong for it; beside it the same over the items that both answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, collapse, estimate, estimates_frame
from dfar_toolkit.metrics.answers import Answers, join_outputs
from dfar_toolkit.metrics.judged import judgements_of_runs
from dfar_toolkit.metrics.paired import mcnemar_test, sign_flip_test
from dfar_toolkit.metrics.subsets import leak_subsets
from dfar_toolkit.metrics.verdicts import item_verdicts, reason_verdicts
from dfar_toolkit.tables import HUMAN_RUN

CHECKPOINTS = "these two checkpoints, not ways of training"


class Comparison(NamedTuple):
    """Two runs on the same items.

    ``differences``: rows ``metric, subset, run_a, run_b``, Estimate's fields (second run minus first), ``p_value``
    and ``test``. ``right_wrong``: rows ``subset, a_right, b_right, count``.
    """

    run_a: str
    run_b: str
    differences: pl.DataFrame
    right_wrong: pl.DataFrame


class _Row(NamedTuple):
    metric: str
    difference: Estimate
    test: Estimate | None


def compare(
    outputs_a: pl.DataFrame,
    outputs_b: pl.DataFrame,
    items: pl.DataFrame,
    *,
    judgements: pl.DataFrame | None = None,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
    annotations: pl.DataFrame | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> Comparison:
    r"""Paired comparison of two runs, for all, leaked and clean items.

    With $d_i = b_i - a_i$ (right 1, else 0): $\frac{1}{N} \sum_i d_i$, bootstrap over groups. p is the exact McNemar
    test where every group has one item, else a sign-flip test by group; ``test`` says which. With judgements also
    the difference of MAR mean over items judged for both, and its bounds over all N items.

    Args:
        outputs_a: The table outputs, one run.
        outputs_b: The table outputs, one run.
        items: The table items.
        judgements: The table judgements, of both runs; those of further runs are set aside and counted.
        split: Splits to evaluate; None means those that occur in the outputs, which must be the same for both.
        question: The question answered, where the outputs hold several.
        options: Names of the labels in order.
        label_map: Renames the labels of both runs.
        targets: The table targets, for another question than the primary one.
        annotations: The table annotations: human reasons judged must be ratings of it.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the sign-flip test.
        seed: Seed of the draws.

    Returns:
        The comparison. Metrics: accuracy (``n`` all items), accuracy_answered (answered by both), and where both runs
        have a judged reason among the items of the subset: mar_mean (judged for both), mar_lower_bound and
        mar_upper_bound (of the difference, every verdict that is not there at its worst).

    Undefined:
        No items of the kind. No interval where no group tells the runs apart.

    Raises:
        TableError: As :func:`join_outputs`; more than one run on a side; runs that answer different splits.
    """
    join = partial(
        join_outputs,
        items=items,
        split=split,
        question=question,
        options=options,
        label_map=label_map,
        targets=targets,
    )
    a, b = join(_single(outputs_a, "first")), join(_single(outputs_b, "second"))
    if not a.items.equals(b.items):
        shown = [", ".join(side.items["split"].unique().sort()) for side in (a, b)]
        raise TableError(
            f"compare: both runs must answer the same splits; the first answers {shown[0]}, the second {shown[1]}; "
            "choose one (split=)."
        )
    run_a, run_b = a.frame["run_id"][0], b.frame["run_id"][0]
    paired = _paired(a, b)
    verdicts, aside = None, ""
    if judgements is not None:
        both = pl.concat([side.select("run_id", "output_id") for side in (outputs_a, outputs_b)])
        judged = judgements_of_runs(judgements, both, items, human=HUMAN_RUN, annotations=annotations)
        verdicts, aside = _verdicts(judged.judgements, a, b), judged.note
    differ = partial(_difference, confidence=confidence, n_boot=n_boot, seed=seed)
    tables, cells = [], []
    for subset in leak_subsets(a.items):
        part = paired.filter(subset.keep)
        rows = _accuracy_rows(part, (run_a, run_b), differ, n_perm=n_perm, seed=seed)
        if verdicts is not None:
            ids = a.items.filter(subset.keep).select("item_id", "group")
            rows += _mar_rows(ids, verdicts, differ, aside=aside, n_perm=n_perm, seed=seed)
        note = "; ".join(dict.fromkeys(n for n in (subset.note, a.note, b.note) if n))
        tables.append(_frame(rows, subset.name, run_a, run_b, note))
        cells.append(_cells(part).select(pl.lit(subset.name).alias("subset"), pl.all()))
    return Comparison(run_a, run_b, pl.concat(tables), pl.concat(cells))


def _single(outputs: pl.DataFrame, which: str) -> pl.DataFrame:
    runs = outputs["run_id"].unique().sort().to_list()
    if len(runs) > 1:
        raise TableError(f"compare: the {which} outputs must hold one run, found {', '.join(runs)}; choose one.")
    return outputs


def _paired(a: Answers, b: Answers) -> pl.DataFrame:
    """Items with gold: ``a``, ``b`` whether right, ``both`` whether answered by both."""
    right = (pl.col("label_pred") == pl.col("label")).fill_null(False)
    answered = pl.col("label_pred").is_not_null()
    left = a.frame.select("item_id", "group", "leak_kind", "label", a=right, a_answered=answered)
    second = b.frame.select("item_id", b=right, b_answered=answered)
    joined = left.join(second, on="item_id", maintain_order="left")
    return joined.drop_nulls("label").with_columns((pl.col("a_answered") & pl.col("b_answered")).alias("both"))


def _verdicts(judgements: pl.DataFrame, a: Answers, b: Answers) -> pl.DataFrame:
    """MAR share per item, ``a`` and ``b``, null where not judged."""
    run_a, run_b = a.frame["run_id"][0], b.frame["run_id"][0]
    if run_a == run_b:
        raise TableError(
            f"compare: both runs are called {run_a!r}, so judgements cannot be told apart; rename one run."
        )
    both = pl.concat([s.outputs.select("run_id", "output_id") for s in (a, b)])
    shares = item_verdicts(reason_verdicts(judgements.join(both, on=["run_id", "output_id"], how="semi")))
    sides = [shares.filter(pl.col("run_id") == r).select("item_id", pl.col("share_bad")) for r in (run_a, run_b)]
    one, two = sides[0].rename({"share_bad": "a"}), sides[1].rename({"share_bad": "b"})
    return one.join(two, on="item_id", how="full", coalesce=True)


def _difference(name: str, d: Floats, groups: pl.Series, *, confidence: float, n_boot: int, seed: int) -> Estimate:
    patterns = collapse(np.column_stack([d, np.ones_like(d)]), groups=groups)
    found = estimate(name, patterns, lambda s: s[:, 0] / s[:, 1], confidence=confidence, n_boot=n_boot, seed=seed)
    return found


def _accuracy_rows(
    part: pl.DataFrame, runs: tuple[str, str], differ: partial[Estimate], *, n_perm: int, seed: int
) -> list[_Row]:
    rows = []
    for metric, keep in (("accuracy", pl.lit(True)), ("accuracy_answered", pl.col("both"))):
        kept = part.filter(keep)
        a, b = kept["a"].cast(pl.Float64).to_numpy(), kept["b"].cast(pl.Float64).to_numpy()
        found = differ(f"{metric} of {runs[1]} minus {runs[0]}", b - a, kept["group"])
        if len(kept):
            found = _noted(found, f"{runs[0]} {a.mean():.3f}, {runs[1]} {b.mean():.3f}")
        single = kept["group"].n_unique() == len(kept)
        test = mcnemar_test(a, b) if single else sign_flip_test(b - a, groups=kept["group"], n_perm=n_perm, seed=seed)
        rows.append(_Row(metric, found, test))
    return rows


def _mar_rows(
    ids: pl.DataFrame, verdicts: pl.DataFrame, differ: partial[Estimate], *, aside: str, n_perm: int, seed: int
) -> list[_Row]:
    """Differences of MAR; none where a run has no judged reason at all: bounds of nothing say nothing."""
    table = ids.join(verdicts, on="item_id", how="left", maintain_order="left")
    if table["a"].count() == 0 or table["b"].count() == 0:
        return []
    both = table.drop_nulls(["a", "b"])
    d = (both["b"] - both["a"]).to_numpy()
    test = sign_flip_test(d, groups=both["group"], n_perm=n_perm, seed=seed)
    rows = [_Row("mar_mean", _noted(differ("MAR mean, second minus first", d, both["group"]), aside), test)]
    missing = f"{len(table) - len(both)} of {len(table)} items not judged for both"
    for metric, fill_a, fill_b in (("mar_lower_bound", 1.0, 0.0), ("mar_upper_bound", 0.0, 1.0)):
        worst = (table["b"].fill_null(fill_b) - table["a"].fill_null(fill_a)).to_numpy()
        bound = differ(f"{metric[4:].replace('_', ' ')} of the MAR difference", worst, table["group"])
        rows.append(_Row(metric, _noted(bound, missing), None))
    return rows


def _cells(part: pl.DataFrame) -> pl.DataFrame:
    """The four counts of right and wrong."""
    counts = [
        {"a_right": a, "b_right": b, "count": part.filter(pl.col("a") == a, pl.col("b") == b).height}
        for a in (True, False)
        for b in (True, False)
    ]
    return pl.DataFrame(counts, schema={"a_right": pl.Boolean, "b_right": pl.Boolean, "count": pl.Int64})


def _frame(rows: list[_Row], subset: str, run_a: str, run_b: str, note: str) -> pl.DataFrame:
    beside = [{"metric": r.metric, "subset": subset, "run_a": run_a, "run_b": run_b} for r in rows]
    tail = "; ".join(n for n in (note, CHECKPOINTS) if n)
    found = [_noted(_noted(r.difference, r.test.note if r.test else ""), tail) for r in rows]
    tests = pl.DataFrame(
        {
            "p_value": [r.test.value if r.test else None for r in rows],
            "test": [r.test.method if r.test else None for r in rows],
        },
        schema={"p_value": pl.Float64, "test": pl.String},
    )
    return pl.concat([estimates_frame(found, beside=beside), tests], how="horizontal")


def _noted(found: Estimate, note: str) -> Estimate:
    parts = [n for n in (found.note, note) if n]
    return replace(found, note="; ".join(dict.fromkeys(parts)))
