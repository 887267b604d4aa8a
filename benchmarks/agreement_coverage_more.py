"""How often the intervals that benchmarks/agreement_coverage.py leaves out hold the true value where 95 % is asked for.

Samples are drawn with fixed seeds from populations of items, rated by the same raters each time. The truth is the same
statistic of 40,000 items rated by these raters; that of the intraclass correlations whose intervals reckon with other
raters (every sample has its own) follows from the variances. Coverage is the share of intervals that hold the truth,
among those that were given.

    OPENBLAS_NUM_THREADS=1 POLARS_MAX_THREADS=1 python benchmarks/agreement_coverage_more.py
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from agreement_coverage import covered, machine
from agreement_populations import ERROR, OF_ITEMS, OF_RATERS, Design, as_frame, draw, raters_of

from dfar_toolkit.agreement import (
    cronbach_alpha,
    group_agreement,
    icc,
    krippendorff_alpha,
    labels_kept,
    leave_one_rater_out,
    rater_agreement,
    set_alpha,
    span_f1,
    unitizing_alpha,
)

RESULTS = Path(__file__).resolve().parent / "results" / "agreement_coverage_more.json"
LARGE = 40_000  # items of the sample that stands for the population
DRAWS = 300
LENGTH = 200  # characters of a text
BOTH, DRAWN, ANALYTIC = ("bootstrap", "analytic"), ("bootstrap",), ("analytic",)

Draw = Callable[[int, np.random.Generator], pl.DataFrame]
Found = dict[str, tuple[float, float, float]]  # name of a number -> value, low, high


class Probe(NamedTuple):
    """Numbers of one call, their intervals, and the true values where these are known."""

    of: Callable[..., Found]
    intervals: tuple[str, ...]
    truth: dict[str, float] | None = None


class Family(NamedTuple):
    """What raters and items there are: a maker of samples, given its own random numbers."""

    raters: str
    population: Callable[[np.random.Generator], Draw]
    probes: list[Probe]
    sizes: tuple[int, ...] = (50, 200)


def ratings(design: Design, change: pl.Expr | None = None) -> Callable[[np.random.Generator], Draw]:
    """Ratings of a design, the raters of it fixed, or new in every sample, or new for every item."""

    def population(rng: np.random.Generator) -> Draw:
        fixed = raters_of(design, design.n_raters, rng) if design.raters == "fixed" else None

        def sample(n_items: int, rng: np.random.Generator) -> pl.DataFrame:
            raters = raters_of(design, design.n_raters, rng) if design.raters == "new" else fixed
            frame = as_frame(draw(design, n_items, raters, rng)[0]).drop("group")
            return frame if change is None else frame.with_columns(value=change)

        return sample

    return population


def sets(n_raters: int, n_values: int) -> Callable[[np.random.Generator], Draw]:
    """Each rater names a value that is there, and one that is not, with chances of their own."""

    def population(rng: np.random.Generator) -> Draw:
        hit, miss = rng.uniform(0.65, 0.9, n_raters), rng.uniform(0.05, 0.2, n_raters)

        def sample(n_items: int, rng: np.random.Generator) -> pl.DataFrame:
            there = rng.random((n_items, 1, n_values)) < np.linspace(0.5, 0.15, n_values)
            named = rng.random((n_items, n_raters, n_values)) < np.where(there, hit[:, None], miss[:, None])
            item, rater = np.divmod(np.arange(n_items * n_raters), n_raters)
            lists = [[int(v) for v in np.flatnonzero(row)] for row in named.reshape(-1, n_values)]
            listed = pl.Series(lists, dtype=pl.List(pl.Int64))
            return pl.DataFrame({"item_id": item, "annotator_id": rater, "value": listed})

        return sample

    return population


def spans(n_raters: int) -> Callable[[np.random.Generator], Draw]:
    """Up to two spans in a text, each seen with a chance of the rater's own, its ends a few characters off."""

    def population(rng: np.random.Generator) -> Draw:
        sees, extra = rng.uniform(0.6, 0.9, n_raters), rng.uniform(0.02, 0.1, n_raters)

        def sample(n_items: int, rng: np.random.Generator) -> pl.DataFrame:
            shape = (n_items, n_raters, 2)
            there = rng.random((n_items, 1, 2)) < np.array([0.7, 0.3])
            start = rng.integers(10, 50, (n_items, 1, 2)) + np.array([0, LENGTH // 2])
            end = start + rng.integers(16, 40, (n_items, 1, 2))
            marked = rng.random(shape) < np.where(there, sees[:, None], extra[:, None])
            first, last = (np.rint(side + rng.normal(0, 1.5, shape)).astype(np.int64) for side in (start, end))
            item, rater, _ = np.indices(shape)
            columns = {"item_id": item, "annotator_id": rater, "start": first, "end": last, "marked": marked}
            rows = pl.DataFrame({name: column.ravel() for name, column in columns.items()})
            none = pl.col("marked").any().over("item_id", "annotator_id").not_()
            kept = rows.filter(pl.col("marked") | none)
            ends = [pl.when("marked").then(name).alias(name) for name in ("start", "end")]
            return kept.with_columns(ends).drop("marked").unique(maintain_order=True)

        return sample

    return population


def one(name: str, of: Callable[..., Any], **options: Any) -> Callable[..., Found]:
    """The one number of a public function."""

    def found(frame: pl.DataFrame, **how: Any) -> Found:
        estimate = of(frame, **options, **how)
        return {name: (estimate.value, estimate.low, estimate.high)}

    return found


def first_row(name: str, of: Callable[..., pl.DataFrame], **options: Any) -> Callable[..., Found]:
    """The first row of a frame of estimates: the first rater, or the first of several shares."""

    def found(frame: pl.DataFrame, **how: Any) -> Found:
        return {name: of(frame, **options, **how).select("value", "low", "high").row(0)}

    return found


def of_groups(frame: pl.DataFrame, *, ci: Any, n_boot: int, seed: int, statistic: Any) -> Found:
    """Agreement within a group and between two, of raters with odd and with even numbers; without the test."""
    sided = frame.with_columns(side=pl.when(pl.col("annotator_id") % 2 == 1).then(pl.lit("a")).otherwise(pl.lit("b")))
    rows = group_agreement(
        sided, by_rater="side", statistic=statistic, min_raters=99, ci=ci, n_boot=n_boot, seed=seed
    ).unique("comparison", keep="first", maintain_order=True)
    picked = rows.select("comparison", "value", "low", "high").iter_rows()
    return {f"group_agreement {statistic}, {name}": (value, low, high) for name, value, low, high in picked}


def groups(statistic: str) -> Callable[..., Found]:
    return lambda frame, **how: of_groups(frame, statistic=statistic, **how)


def unitizing(frame: pl.DataFrame, **how: Any) -> Any:
    texts = frame.select(pl.col("item_id").unique(), length=pl.lit(LENGTH))
    return unitizing_alpha(frame, texts=texts, **how)


def families() -> Iterator[Family]:
    """Every population with the numbers looked at."""
    numbers, three = Design("numbers", "numbers", 3, 3), "3 fixed"
    counts = (1.5 + 0.6 * pl.col("value")).exp().round().cast(pl.Int64)
    hours = (3 * pl.col("value")).round().cast(pl.Int64) % 24
    ordered = Design("ordinal", "ordinal", 3, 3)

    def alpha(level: str, **options: Any) -> list[Probe]:
        return [Probe(one(f"krippendorff_alpha {level}", krippendorff_alpha, level=level, **options), BOTH)]

    yield Family(three, ratings(numbers, counts), alpha("ratio"))
    yield Family(three, ratings(numbers, hours), alpha("circular", bounds=(0, 23)))
    yield Family(three, ratings(ordered), alpha("bipolar", bounds=(0, 4)))
    yield Family(three, sets(3, 4), [Probe(one("set_alpha jaccard", set_alpha), BOTH)])
    yield Family(three, ratings(numbers), [
        Probe(one("cronbach_alpha", cronbach_alpha), BOTH),
        Probe(one("icc C,k", icc, form="C,k"), ANALYTIC)])  # fmt: skip
    lent: tuple[tuple[int, Any], ...] = ((3, "new"), (10, "new"), (3, "new for every item"))
    for k, raters in lent:
        form = "A,k" if raters == "new" else "1,k"
        known = {f"icc {form}": OF_ITEMS / (OF_ITEMS + (OF_RATERS + ERROR) / k)}
        probe = Probe(one(f"icc {form}", icc, form=form), ANALYTIC, known)
        design = replace(numbers, n_raters=k, per_item=k, raters=raters)
        who = f"{k}, {raters} in every sample" if raters == "new" else f"{k}, {raters}"
        yield Family(who, ratings(design), [probe])
    panel = Design("panel", "nominal", 5, 5)
    own = [
        Probe(first_row(f"rater_agreement {name}, first rater", rater_agreement, statistic=name), DRAWN)
        for name in ("percent", "kappa")
    ]
    yield Family("5 fixed", ratings(panel), [
        *own,
        Probe(first_row("leave_one_rater_out change, first rater", leave_one_rater_out), DRAWN),
        Probe(first_row("labels_kept, label kept", labels_kept), DRAWN)])  # fmt: skip
    within = [Probe(groups(name), DRAWN) for name in ("krippendorff_alpha", "percent_agreement")]
    yield Family("8 fixed, 4 and 4", ratings(replace(panel, n_raters=8, per_item=8)), within)
    yield Family(three, spans(3), [
        Probe(one("span_f1 character, macro", span_f1, match="character"), DRAWN),
        Probe(one("unitizing_alpha", unitizing), DRAWN)])  # fmt: skip


def measure(family: Family, seed: int, replications: int) -> Iterator[dict[str, object]]:
    """Coverage of every interval of one population."""
    rng = np.random.default_rng([seed, 2])
    sample_of = family.population(rng)
    large = sample_of(LARGE, rng) if any(probe.truth is None for probe in family.probes) else None
    truth: dict[str, float] = {}
    for probe in family.probes:
        known = probe.truth
        if known is None:
            known = {name: ends[0] for name, ends in probe.of(large, ci=None, n_boot=DRAWS, seed=0).items()}
        truth.update(known)
    for n_items in family.sizes:
        ends: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for k in range(replications):
            sample = sample_of(n_items, rng)
            for probe in family.probes:
                for ci in probe.intervals:
                    for name, (_, low, high) in probe.of(sample, ci=ci, n_boot=DRAWS, seed=k).items():
                        ends.setdefault((name, ci), []).append((low, high))
        for (name, ci), pairs in ends.items():
            found = covered(np.array(pairs), truth[name])
            found["undefined"] = found.pop("not_given")
            yield {"statistic": name, "interval": ci, "items": n_items, "raters": family.raters, **found}


def show(row: dict[str, Any]) -> None:
    mark = "  <" if row["coverage"] < 0.93 else ""
    print(
        f"{row['statistic']:<58} {row['interval']:<10} {row['items']:>4} {row['raters']:<22} {row['replications']} "
        f"{row['truth']:.3f} {row['coverage']:.3f} {row['mean_width']:.3f} {row['undefined']:.2f}{mark}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=300, help="samples of each population and size")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    given = parser.parse_args()
    about, begin, rows = machine(), time.process_time(), []
    for seed, family in enumerate(families()):
        start = time.process_time()
        for row in measure(family, seed, given.replications):
            show(row)
            rows.append(row)
        print(f"  {time.process_time() - start:.0f} s", flush=True)
    told = {"bootstrap_draws": DRAWS, "items_of_truth": LARGE, "cpu_seconds": round(time.process_time() - begin)}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, **told, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
