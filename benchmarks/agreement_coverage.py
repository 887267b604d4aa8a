"""How often the intervals of agreement statistics hold the true value where 95 % is asked for.

Every design is a population of items (and, where other raters count too, of raters) from which samples are drawn with
fixed seeds. The truth is the statistic of a sample of 200,000 items rated by the same raters; where the interval is
over raters as well, of 200,000 items rated by two raters each who rated nothing else. Coverage is the share of
intervals that hold it, among those that were given.

    OPENBLAS_NUM_THREADS=1 POLARS_MAX_THREADS=1 python benchmarks/agreement_coverage.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from agreement_populations import ERROR, OF_ITEMS, OF_RATERS, Array, Design, as_frame, draw, raters_of

from dfar_toolkit.agreement.alpha import estimate_alpha
from dfar_toolkit.agreement.cells import Cells
from dfar_toolkit.agreement.coefficients import Coefficient
from dfar_toolkit.agreement.continuous.correlation import mean_correlation
from dfar_toolkit.agreement.continuous.icc import icc
from dfar_toolkit.agreement.continuous.kendall_w import kendall_w
from dfar_toolkit.agreement.continuous.limits import limits_of_agreement
from dfar_toolkit.agreement.continuous.lin import lin_ccc, overall_ccc
from dfar_toolkit.agreement.difference import agreement_difference
from dfar_toolkit.agreement.per_value import specific_statistic
from dfar_toolkit.agreement.statistic import Resampling, Statistic, estimate_statistic
from dfar_toolkit.agreement.two_way import estimate_two_way
from dfar_toolkit.estimate import Estimate

RESULTS = Path(__file__).resolve().parent / "results" / "agreement_coverage.json"
LARGE = 200_000  # items of the sample that stands for the population
DRAWS = 500
ALL = ("bootstrap", "jackknife", "analytic")
DRAWN = ("bootstrap", "jackknife")
SLOWER = ("3 raters, numbers", "2 raters, numbers", "3 raters, two questions", "3 raters, two subsets")  # fewer samples

Sample = Sequence[Cells]  # one per question


class Probe(NamedTuple):
    """A statistic: its intervals on a sample, by name, and its value; or the true value where that is known."""

    name: str
    estimates: Callable[[Sample, int], dict[str, Estimate]]
    point: Callable[[Sample], float]
    truth: float | None = None


class Family(NamedTuple):
    """A design, the numbers of items of its samples, and the statistics looked at."""

    design: Design
    sizes: tuple[int, ...]
    probes: list[Probe]


def how(ci: Any, seed: int, *, draws: int = DRAWS, scope: Any = "items") -> Resampling:
    return Resampling(ci, 0.95, draws, seed, scope)


def of_statistic(name: str, of: Callable[[Cells], Statistic], intervals: Iterable[str] = ALL) -> Probe:
    """A statistic of single ratings over items or groups; where items come in groups, also as if they did not."""

    def estimates(sample: Sample, seed: int) -> dict[str, Estimate]:
        cells, statistic = sample[0], of(sample[0])
        found = {ci: estimate_alpha(statistic, how(ci, seed)) for ci in intervals}
        if cells.group is not None:
            alone = Cells(*(getattr(cells, f) for f in ("item", "rater", "value", "items", "raters", "values")),
                          None, cells.beside)  # fmt: skip
            found["bootstrap, groups ignored"] = estimate_statistic(of(alone), how("bootstrap", seed))
        return found

    return Probe(name, estimates, lambda sample: of(sample[0]).point())


def of_name(name: Any, intervals: Iterable[str] = ALL, **options: Any) -> Probe:
    """A coefficient by name."""
    chosen = Coefficient(name, **options)
    said = " ".join([str(name), *(str(option) for option in options.values())])
    return of_statistic(said, chosen.of_cells, intervals)


def of_raters(name: Any, **options: Any) -> Probe:
    """A coefficient over items and raters, and over items alone, which does not know of other raters."""
    chosen = Coefficient(name, **options)

    def estimates(sample: Sample, seed: int) -> dict[str, Estimate]:
        both = how("bootstrap", seed, draws=300, scope="items+raters")
        return {
            "two-way bootstrap": estimate_two_way(sample[0], chosen.of_counts, both),
            "bootstrap of items, raters ignored": estimate_statistic(
                chosen.of_cells(sample[0]), how("bootstrap", seed)
            ),
        }

    return Probe(str(name), estimates, lambda sample: chosen.of_counts(sample[0].counts()).point())


def of_numbers(name: str, of: Callable[..., Any], intervals: Iterable[str], truth: float | None = None) -> Probe:
    """A statistic of numbers by its public function."""

    def estimates(sample: Sample, seed: int) -> dict[str, Estimate]:
        frame = as_frame(sample[0])
        return {ci: of(frame, ci=ci, n_boot=DRAWS, seed=seed) for ci in intervals}

    return Probe(name, estimates, lambda sample: float(of(as_frame(sample[0]), ci=None).value), truth)


def of_difference(name: Any, **options: Any) -> Probe:
    """The difference of two questions, or of two subsets."""

    def found(sample: Sample, ci: Any, seed: int) -> Estimate:
        a, b = (as_frame(cells) for cells in sample)
        return agreement_difference(a, b, statistic=name, ci=ci, n_boot=DRAWS, seed=seed, **options)

    return Probe(
        f"difference in {name}",
        lambda sample, seed: {ci: found(sample, ci, seed) for ci in DRAWN},
        lambda sample: found(sample, None, 0).value,
    )


def limit(row: int) -> Callable[..., Estimate]:
    """One row of the limits of agreement."""
    return lambda frame, **options: Estimate(
        **limits_of_agreement(frame, **options).drop("rater_a", "rater_b").row(row, named=True)
    )


def form(name: Any) -> Callable[..., Any]:
    return lambda frame, **options: icc(frame, form=name, **options)


NOMINAL = [of_name(n) for n in ("percent_agreement", "fleiss_kappa", "gwet_ac1", "brennan_prediger")]
ALPHA = of_name("krippendorff_alpha", (*ALL, "hayes-krippendorff"))
SPECIFIC = of_statistic("specific_agreement", lambda cells: specific_statistic(cells.counts(), 1))
ORDINAL = [
    *(of_name("krippendorff_alpha", (*ALL, "hayes-krippendorff"), level=level) for level in ("ordinal", "interval")),
    *(of_name(n, weights="quadratic") for n in ("gwet_ac2", "fleiss_kappa", "brennan_prediger", "conger_kappa")),
    of_name("percent_agreement", weights="linear"),
]
PAIRS = [of_name("cohen_kappa"), of_name("scott_pi"), ALPHA]
TRUE_ICC = OF_ITEMS / (OF_ITEMS + OF_RATERS + ERROR)


def families() -> Iterator[Family]:
    """Every design with its numbers of items and the statistics looked at in it."""
    usual = (50, 200, 1000)
    yield Family(Design("5 raters, all items", "nominal", 5, 5), usual, [
        *NOMINAL, ALPHA, of_name("conger_kappa"), of_name("light_kappa", DRAWN)])  # fmt: skip
    yield Family(Design("3 of 100 raters", "nominal", 100, 3), usual, [*NOMINAL, ALPHA, of_name("conger_kappa")])
    yield Family(Design("5 of 100 raters", "nominal", 100, 5), (200,), [*NOMINAL, ALPHA])
    yield Family(Design("3 raters, value of 5 %", "rare", 3, 3), usual, [*NOMINAL, ALPHA, SPECIFIC])
    yield Family(Design("2 raters", "nominal", 2, 2), usual, PAIRS)
    yield Family(Design("2 raters, value of 5 %", "rare", 2, 2), usual, [*PAIRS, SPECIFIC])
    yield Family(Design("3 raters, 5 ordered values", "ordinal", 3, 3), usual, ORDINAL)
    weighted = [of_name("cohen_kappa", weights=w) for w in ("linear", "quadratic")]
    yield Family(Design("2 raters, 5 ordered values", "ordinal", 2, 2), (50, 200), weighted)
    fours = Design("3 raters, items in fours", "nominal", 3, 3, group_size=4)
    yield Family(fours, (40, 80, 200, 800), [*NOMINAL, ALPHA])
    both = [of_difference("krippendorff_alpha")]
    yield Family(Design("3 raters, two questions", "nominal", 3, 3, questions=2), (50, 200), both)
    yield Family(Design("3 raters, two subsets", "nominal", 3, 3, questions=2, apart=True), (50, 200), both)
    yield from families_of_numbers()
    for k in (4, 6, 12, 30):
        every = ("krippendorff_alpha", "percent_agreement", "gwet_ac1") if k == 6 else ("krippendorff_alpha",)
        yield Family(
            Design(f"{k} other raters, all items", "nominal", k, k, "new"), (200,), [of_raters(n) for n in every]
        )
    sparse = Design("other raters, 3 of 30", "nominal", 30, 3, "new")
    yield Family(sparse, (200,), [of_raters("krippendorff_alpha")])


def families_of_numbers() -> Iterator[Family]:
    """Numbers, not categories."""
    sizes = (50, 200)
    yield Family(Design("3 raters, numbers", "numbers", 3, 3), sizes, [
        of_numbers("icc C,1", form("C,1"), ALL),  # C,k (Cronbach's alpha) and A,k are steady functions of these
        of_numbers("icc A,1", form("A,1"), DRAWN),
        of_numbers("kendall_w", kendall_w, DRAWN),
        of_numbers("mean_correlation", mean_correlation, DRAWN),
        of_numbers("overall_ccc", overall_ccc, DRAWN)])  # fmt: skip
    yield Family(Design("2 raters, numbers", "numbers", 2, 2), sizes, [
        of_numbers("lin_ccc", lin_ccc, ALL),
        of_numbers("limits_of_agreement, lower", limit(1), ALL)])  # fmt: skip
    single = OF_ITEMS / (OF_ITEMS + OF_RATERS + ERROR)
    for k in (3, 10):
        over = [of_numbers("icc A,1", form("A,1"), ("analytic",), single)]
        yield Family(Design(f"{k} other raters, numbers", "numbers", k, k, "new"), sizes, over)
    lonely = Design("3 raters, other ones for every item, numbers", "numbers", 3, 3, "new for every item")
    yield Family(lonely, sizes, [of_numbers("icc 1", form("1"), ALL, single)])


def measure(family: Family, seed: int, replications: int) -> Iterator[dict[str, object]]:
    """Coverage of every interval of the probes of one family."""
    design, sizes, probes = family
    rng = np.random.default_rng([seed, 1])
    fixed = raters_of(design, design.n_raters, rng) if design.raters == "fixed" else None
    large = replace(design, per_item=2) if fixed is None else design
    population = draw(large, LARGE, fixed, rng) if any(p.truth is None for p in probes) else []
    truth = [probe.point(population) if probe.truth is None else probe.truth for probe in probes]
    for n_items in sizes:
        ends: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for k in range(replications):
            raters = raters_of(design, design.n_raters, rng) if design.raters == "new" else fixed
            sample = draw(design, n_items, raters, rng)
            for at, probe in enumerate(probes):
                for ci, found in probe.estimates(sample, k).items():
                    ends.setdefault((at, ci), []).append((found.low, found.high))
        for (at, ci), pairs in ends.items():
            names = {**asdict(design), "n_items": n_items, "statistic": probes[at].name, "interval": ci}
            yield {**names, **covered(np.array(pairs), truth[at])}


def covered(ends: Array, truth: float) -> dict[str, object]:
    given = ends[~np.isnan(ends).any(axis=1)]
    low, high = given.T
    rounded = {
        "truth": truth,
        "coverage": float(((low <= truth) & (truth <= high)).mean()) if len(given) else float("nan"),
        "too_low": float((high < truth).mean()) if len(given) else float("nan"),
        "too_high": float((low > truth).mean()) if len(given) else float("nan"),
        "mean_width": float((high - low).mean()) if len(given) else float("nan"),
        "not_given": 1 - len(given) / len(ends),
    }
    return {**{name: round(number, 4) for name, number in rounded.items()}, "replications": len(ends)}


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{os.cpu_count()} virtual cores, {memory:.0f} GiB of memory",
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("polars", "numpy", "scipy")},
    }


def show(row: dict[str, Any]) -> None:
    mark = "  <" if row["coverage"] < 0.93 else ""
    print(
        f"{row['name']:<46} {row['n_items']:>5} {row['statistic']:<32} {row['interval']:<34} "
        f"{row['coverage']:.3f} {row['mean_width']:.3f} {row['not_given']:.2f}{mark}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=550, help="samples of each design")
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    given = parser.parse_args()
    about, begin, rows = machine(), time.process_time(), []
    for seed, family in enumerate(families()):
        if given.only not in family.design.name:
            continue
        start = time.process_time()
        some = given.replications // 2 if family.design.name in SLOWER else given.replications
        for row in measure(family, seed, some):
            show(row)
            rows.append(row)
        print(f"  {time.process_time() - start:.0f} s", flush=True)
    told = {"bootstrap_draws": DRAWS, "cpu_seconds": round(time.process_time() - begin)}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, **told, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
