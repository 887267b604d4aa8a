"""Krippendorff's alpha with a bootstrap interval from a Parquet file, against other libraries and against the floor.

The floor is Polars scanning the same file and grouping by item and value: reading the ratings and counting them, which
no way round the count avoids. Each method runs in a process of its own on the same file, in turns; the best of
``--repeat`` runs counts (nltk at many ratings: one run). ``seconds`` begins before the file is opened and after the
imports, ``with_imports`` at the start of the process; the peak is the whole process's, imports included.

    python benchmarks/agreement_alpha.py --ratings 1e6 1e7
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
from importlib.metadata import version
from pathlib import Path

START = time.perf_counter()
RESULTS = Path(__file__).resolve().parent / "results" / "agreement_alpha.json"
TEXTS = {
    "floor": "Polars: scan, group by item and value",
    "ours": "dfar_toolkit: alpha, 1,000-draw interval over items",
    "krippendorff": "krippendorff: alpha of the matrix, point only",
    "counts": "krippendorff: alpha of counts made by Polars, point",
    "nltk": "nltk: alpha of triples, point only",
}
SLOW = 5_000_000  # ratings from which nltk is slow


def make(path: str, n: int) -> None:
    """Synthetic ratings: text ids, 5 categories, 5 rows an item, 100 raters, 20 % of the values missing, shuffled."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    items = n // 5
    step = rng.integers(1, 20, items)  # five different raters: start, start + step, ...
    raters = (rng.integers(0, 100, items)[:, None] + np.arange(5) * step[:, None]) % 100
    truth = rng.integers(0, 5, items)
    values = np.where(rng.random((items, 5)) < 0.6, truth[:, None], rng.integers(0, 5, (items, 5)))
    missing = pl.Series(rng.random(items * 5) < 0.2)
    names = pl.Series(["very bad", "bad", "neutral", "good", "very good"])
    frame = pl.DataFrame(
        {
            "item_id": np.repeat(np.arange(items), 5),
            "annotator_id": raters.ravel(),
            "value": names.gather(values.ravel()),
        }
    )
    frame.select(
        pl.format("item-{}", "item_id").alias("item_id"),
        pl.format("rater-{}", "annotator_id").alias("annotator_id"),
        pl.when(~missing).then("value").alias("value"),
    ).sample(fraction=1, shuffle=True, seed=0).write_parquet(path)


def floor(path: str) -> tuple[float, dict[str, float]]:
    import polars as pl

    begin = time.perf_counter()
    counts = pl.scan_parquet(path).drop_nulls("value").group_by("item_id", "value").len().collect(engine="streaming")
    return begin, {"rows": float(len(counts))}


def ours(path: str) -> tuple[float, dict[str, float]]:
    import polars as pl

    from dfar_toolkit.agreement import krippendorff_alpha

    begin = time.perf_counter()
    found = krippendorff_alpha(pl.scan_parquet(path), n_boot=1000)
    return begin, {"alpha": found.value, "low": found.low, "high": found.high, "items": found.n}  # type: ignore[union-attr]


def krippendorff(path: str) -> tuple[float, dict[str, float]]:
    import krippendorff as package
    import numpy as np
    import polars as pl

    begin = time.perf_counter()
    frame = pl.read_parquet(path)
    codes = [
        frame[name].cast(pl.Enum(frame[name].drop_nulls().unique())).to_physical()
        for name in ("annotator_id", "item_id", "value")
    ]
    raters, items, values = codes
    matrix = np.full((int(raters.max()) + 1, int(items.max()) + 1), np.nan)  # type: ignore[arg-type]
    matrix[raters.to_numpy(), items.to_numpy()] = values.cast(pl.Float64).to_numpy()
    del frame, codes, raters, items, values
    return begin, {"alpha": float(package.alpha(reliability_data=matrix, level_of_measurement="nominal"))}


def counts(path: str) -> tuple[float, dict[str, float]]:
    """The krippendorff package at its best: from counts that Polars makes for it."""
    import krippendorff as package
    import numpy as np
    import polars as pl

    begin = time.perf_counter()
    rated = pl.scan_parquet(path).drop_nulls("value").group_by("item_id", "value").len().collect(engine="streaming")
    items = rated["item_id"].cast(pl.Enum(rated["item_id"].unique())).to_physical()
    values = rated["value"].cast(pl.Enum(rated["value"].unique())).to_physical()
    table = np.zeros((int(items.max()) + 1, int(values.max()) + 1), dtype=np.int64)  # type: ignore[arg-type]
    table[items.to_numpy(), values.to_numpy()] = rated["len"].to_numpy()
    return begin, {"alpha": float(package.alpha(value_counts=table, level_of_measurement="nominal"))}


def nltk(path: str) -> tuple[float, dict[str, float]]:
    import polars as pl
    from nltk.metrics.agreement import AnnotationTask

    begin = time.perf_counter()
    frame = pl.read_parquet(path).drop_nulls("value")
    task = AnnotationTask(data=frame.select("annotator_id", "item_id", "value").iter_rows())
    return begin, {"alpha": float(task.alpha())}


METHODS = {"floor": floor, "ours": ours, "krippendorff": krippendorff, "counts": counts, "nltk": nltk}


def measure(method: str, path: str) -> None:
    """In the child: run and print what it took."""
    begin, found = METHODS[method](path)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": end - begin, "with_imports": end - START, "peak_mib": peak, **found}))


def child(*arguments: str) -> dict[str, float]:
    # This process imports nothing heavy: a child's peak begins with what its parent held.
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} failed: {done.stderr.strip().splitlines()[-1:]}")
    read: dict[str, float] = json.loads(done.stdout) if done.stdout.strip() else {}
    return read


def compare(n: int, folder: str, repeat: int, skip_slow: bool) -> list[dict[str, object]]:
    """All methods on one file, in turns."""
    path = str(Path(folder) / f"ratings_{n}.parquet")
    child("--make", path, str(n))
    slow = ["nltk"] if n >= SLOW else []
    methods = [m for m in METHODS if not (skip_slow and m in slow)]
    runs: dict[str, list[dict[str, float]]] = {m: [] for m in methods}
    for turn in range(repeat):
        for method in methods:
            if turn == 0 or method not in slow:
                runs[method].append(child("--measure", method, path))
    best = {m: min(found, key=lambda r: r["seconds"]) for m, found in runs.items()}
    return [{"ratings": n, "method": m, **ratios(best[m], best["floor"]), "runs": len(runs[m])} for m in methods]


def ratios(run: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """A run, rounded, with its ratio to the floor with and without imports."""
    shown = {k: round(v, 1 if k == "peak_mib" else 3 if "alpha" not in k else 12) for k, v in run.items()}
    shown["times_floor"] = round(run["seconds"] / base["seconds"], 2)
    shown["times_floor_with_imports"] = round(run["with_imports"] / base["with_imports"], 2)
    return shown


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("polars", "numpy", "krippendorff", "nltk")
    return {
        "machine": f"{os.cpu_count()} virtual cores, {memory:.0f} GiB of memory",
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def show(rows: list[dict[str, object]]) -> None:
    print(f"{'ratings':>10}  {'method':<52} {'seconds':>8} {'x floor':>8} {'with imports':>13} {'peak MiB':>9}  alpha")
    for row in rows:
        print(
            f"{row['ratings']:>10,}  {TEXTS[str(row['method'])]:<52} {row['seconds']:>8.2f} {row['times_floor']:>8.2f} "
            f"{row['with_imports']:>13.2f} {row['peak_mib']:>9.0f}  {row.get('alpha', '')}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", nargs="+", type=float, default=[1e6, 1e7], help="numbers of ratings")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each method but slow ones; the best counts")
    parser.add_argument("--skip-slow", action="store_true", help="leave nltk out where it takes half a minute")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return make(given.make[0], int(given.make[1]))
    if given.measure:
        return measure(*given.measure)
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for n in given.ratings for row in compare(int(n), folder, given.repeat, given.skip_slow)]
    show(rows)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
