"""Every family of agreement statistics with its interval, at 1e4 to 1e7 ratings, against the floor and peers at hand.

The floor is Polars scanning the same file and grouping by item and value. Each method runs in a process of its own on
the same file; seconds begin before the file is opened and after the imports. Two designs: ``crowd`` (100 raters, 5 rows
an item, 20 % missing) and ``panel`` (the same 4 raters on every item). A peer's interval is its point estimate on
resampled counts, timed for 5 draws and scaled to 1,000 (``scaled``), as no peer has one of its own.

    python benchmarks/agreement_families.py --ratings 1e4 1e5 1e6 1e7
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars as pl

START = time.perf_counter()
RESULTS = Path(__file__).resolve().parent / "results" / "agreement_families.json"
DRAWS = 1000
PEER_DRAWS = 5


class Method(NamedTuple):
    """One row of the table: the design it needs, up to how many ratings it is run, and what it does."""

    design: str
    most: float
    run: Callable[[str], float]


def make(path: str, design: str, n: int) -> None:
    """Synthetic ratings of a design: text ids, whole numbers 1 to 5, shuffled."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    each = 5 if design == "crowd" else 4
    items = n // each
    if design == "crowd":
        step = rng.integers(1, 20, items)
        raters = (rng.integers(0, 100, items)[:, None] + np.arange(each) * step[:, None]) % 100
    else:
        raters = np.broadcast_to(np.arange(each), (items, each))
    truth = rng.integers(1, 6, items)
    values = np.where(rng.random((items, each)) < 0.6, truth[:, None], rng.integers(1, 6, (items, each)))
    missing = pl.Series(rng.random(items * each) < (0.2 if design == "crowd" else 0.0))
    frame = pl.DataFrame(
        {"item_id": np.repeat(np.arange(items), each), "annotator_id": raters.ravel(), "value": values.ravel()}
    )
    frame.select(
        pl.format("item-{}", "item_id").alias("item_id"),
        pl.format("rater-{}", "annotator_id").alias("annotator_id"),
        pl.when(~missing).then("value").alias("value"),
    ).sample(fraction=1, shuffle=True, seed=0).write_parquet(path)


def scan(path: str) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_parquet(path)


def floor(path: str) -> float:
    return float(len(scan(path).drop_nulls("value").group_by("item_id", "value").len().collect(engine="streaming")))


def ours(name: str, **how: Any) -> Callable[[str], float]:
    """A statistic of this package by name, with 1,000 draws where nothing else is said."""

    def run(path: str) -> float:
        import dfar_toolkit.agreement as agreement

        given = {"n_boot": DRAWS, **how}
        if name in ("rater_matrix",):
            given = how
        found = getattr(agreement, name)(scan(path), **given)
        return float(found.value if hasattr(found, "value") else found["value"][0])

    return run


def counts_of(path: str) -> Any:
    import numpy as np
    import polars as pl

    rated = scan(path).drop_nulls("value").group_by("item_id", "value").len().collect(engine="streaming")
    items = rated["item_id"].cast(pl.Enum(rated["item_id"].unique())).to_physical()
    table = np.zeros((int(items.max()) + 1, 5), dtype=np.int64)  # type: ignore[arg-type]
    table[items.to_numpy(), rated["value"].to_numpy() - 1] = rated["len"].to_numpy()
    return table


def krippendorff(level: str, draws: int = 0) -> Callable[[str], float]:
    def run(path: str) -> float:
        import krippendorff as package
        import numpy as np

        table = counts_of(path)
        domain = [1, 2, 3, 4, 5]
        rng = np.random.default_rng(0)
        for _ in range(draws):
            drawn = table[rng.integers(0, len(table), len(table))]
            package.alpha(value_counts=drawn, value_domain=domain, level_of_measurement=level)
        return float(package.alpha(value_counts=table, value_domain=domain, level_of_measurement=level))

    return run


def statsmodels_fleiss(path: str) -> float:
    from statsmodels.stats.inter_rater import fleiss_kappa

    return float(fleiss_kappa(counts_of(path)))


def matrix_of(path: str) -> Any:
    wide = scan(path).collect().pivot("annotator_id", index="item_id", values="value")
    return wide.drop("item_id").to_numpy()


def sklearn_pairs(path: str) -> float:
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    table = matrix_of(path).astype(float)
    found = []
    for a in range(table.shape[1]):
        for b in range(a):
            both = ~np.isnan(table[:, a]) & ~np.isnan(table[:, b])
            found.append(cohen_kappa_score(table[both, a], table[both, b]) if both.any() else np.nan)
    return float(np.nanmean(found))


def scipy_pairs(path: str) -> float:
    import numpy as np
    from scipy.stats import spearmanr

    return float(np.mean(spearmanr(matrix_of(path).astype(float)).statistic[np.triu_indices(4, 1)]))


METHODS: dict[str, Method] = {
    "floor": Method("crowd", 1e7, floor),
    "percent agreement, bootstrap": Method("crowd", 1e7, ours("percent_agreement")),
    "alpha nominal, point": Method("crowd", 1e7, ours("krippendorff_alpha", ci=None)),
    "alpha nominal, bootstrap": Method("crowd", 1e7, ours("krippendorff_alpha")),
    "alpha nominal, analytic": Method("crowd", 1e7, ours("krippendorff_alpha", ci="analytic")),
    "alpha nominal, jackknife": Method("crowd", 1e7, ours("krippendorff_alpha", ci="jackknife")),
    "alpha nominal, items and raters": Method("crowd", 1e5, ours("krippendorff_alpha", scope="items+raters")),
    "krippendorff nominal, point": Method("crowd", 1e7, krippendorff("nominal")),
    "krippendorff nominal, bootstrap (scaled)": Method("crowd", 1e6, krippendorff("nominal", PEER_DRAWS)),
    "alpha ordinal, bootstrap": Method("crowd", 1e7, ours("krippendorff_alpha", level="ordinal")),
    "krippendorff ordinal, point": Method("crowd", 1e7, krippendorff("ordinal")),
    "alpha interval, bootstrap": Method("crowd", 1e7, ours("krippendorff_alpha", level="interval")),
    "krippendorff interval, point": Method("crowd", 1e7, krippendorff("interval")),
    "Fleiss, bootstrap": Method("crowd", 1e7, ours("fleiss_kappa")),
    "AC1, bootstrap": Method("crowd", 1e7, ours("gwet_ac1")),
    "AC2 quadratic, bootstrap": Method("crowd", 1e7, ours("gwet_ac2")),
    "Brennan-Prediger, bootstrap": Method("crowd", 1e7, ours("brennan_prediger")),
    "Conger, bootstrap": Method("crowd", 1e5, ours("conger_kappa")),
    "Conger, analytic": Method("crowd", 1e6, ours("conger_kappa", ci="analytic")),
    "Cohen of 4,950 pairs, points": Method("crowd", 1e7, ours("rater_matrix")),
    "scikit-learn Cohen of 4,950 pairs": Method("crowd", 1e6, sklearn_pairs),
    "each rater against the rest, points": Method("crowd", 1e7, ours("rater_agreement", ci=None)),
    "each rater left out": Method("crowd", 1e6, ours("leave_one_rater_out")),
    "panel: floor": Method("panel", 1e7, floor),
    "panel: Fleiss, bootstrap": Method("panel", 1e7, ours("fleiss_kappa")),
    "panel: statsmodels Fleiss, point": Method("panel", 1e7, statsmodels_fleiss),
    "panel: alpha, items and raters": Method("panel", 1e7, ours("krippendorff_alpha", scope="items+raters")),
    "panel: Conger, analytic": Method("panel", 1e6, ours("conger_kappa", ci="analytic")),
    "panel: Light, point": Method("panel", 1e6, ours("light_kappa", ci=None)),
    "panel: ICC(A,1), F": Method("panel", 1e6, ours("icc", n_boot=1)),
    "panel: Kendall's W, point": Method("panel", 1e6, ours("kendall_w", ci=None)),
    "panel: mean Spearman, point": Method("panel", 1e6, ours("mean_correlation", method="spearman", ci=None)),
    "panel: scipy Spearman matrix": Method("panel", 1e6, scipy_pairs),
}


def measure(method: str, path: str) -> None:
    """In the child: run and print what it took."""
    if method.startswith(("floor", "panel: floor")):
        import polars
    elif "krippendorff" in method and not method.startswith("alpha"):
        import krippendorff  # noqa: F401
        import polars  # noqa: F401
    else:
        import scipy.sparse
        import scipy.stats  # noqa: F401

        import dfar_toolkit.agreement  # noqa: F401
    run = METHODS[method].run
    begin = time.perf_counter()
    value = run(path)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "value": value}))


def child(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} failed: {done.stderr.strip().splitlines()[-1:]}")
    read: dict[str, float] = json.loads(done.stdout) if done.stdout.strip() else {}
    return read


def compare(n: int, folder: str, repeat: int) -> list[dict[str, object]]:
    """All methods at one size, each the best of ``repeat`` runs; the floor of its design as the measure."""
    paths = {design: str(Path(folder) / f"{design}_{n}.parquet") for design in ("crowd", "panel")}
    for design, path in paths.items():
        child("--make", path, design, str(n))
    rows, floors = [], {}
    for name, method in METHODS.items():
        if n > method.most:
            continue
        runs = [child("--measure", name, paths[method.design]) for _ in range(repeat if n < 1e7 else 1)]
        best = min(runs, key=lambda run: run["seconds"])
        seconds = best["seconds"]
        if "scaled" in name:
            point = next(float(str(r["seconds"])) for r in rows if r["method"] == "krippendorff nominal, point")
            seconds = point + max(0.0, seconds - point) / PEER_DRAWS * DRAWS
        if name.endswith("floor"):
            floors[method.design] = seconds
        rows.append(
            {
                "ratings": n, "method": name, "seconds": round(seconds, 3), "peak_mib": round(best["peak_mib"], 1),
                "times_floor": round(seconds / floors[method.design], 2), "value": round(best["value"], 12),
            }
        )  # fmt: skip
        print(
            f"{n:>12,}  {name:<45} {seconds:>9.3f} s {rows[-1]['times_floor']:>8} x {best['peak_mib']:>7.0f} MiB",
            flush=True,
        )
        os.sync()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", nargs="+", type=float, default=[1e4, 1e5, 1e6, 1e7], help="numbers of ratings")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each method below 1e7; the best counts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return make(given.make[0], given.make[1], int(given.make[2]))
    if given.measure:
        return measure(*given.measure)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    about = {
        "machine": f"{os.cpu_count()} virtual cores, {memory:.0f} GiB of memory",
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("polars", "numpy", "scipy", "krippendorff", "statsmodels", "scikit-learn")},
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for n in given.ratings for row in compare(int(n), folder, given.repeat)]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
