"""Krippendorff's alpha of sliders and continuous ratings from a Parquet file: interval and ordinal, value and interval.

Two kinds of files: ``continuous`` (hardly two values alike) and ``slider`` (0 to 100). The floor is Polars scanning the
same file and grouping by item. Each method runs in a process of its own on the same file, in turns; the best of
``--repeat`` runs counts. ``seconds`` begins before the file is opened and after the imports, ``with_imports`` at the
start of the process; ``cpu_seconds`` are of the whole process, all cores together; the peak is the whole process's,
imports included. The krippendorff package compares all pairs of values and gets a memory limit, as its arrays would
otherwise take the whole machine: where it exceeds that, ``error`` says so.

    python benchmarks/agreement_continuous.py --ratings 1e3 2e3 1e4 1e6 1e7
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
RESULTS = Path(__file__).resolve().parent / "results" / "agreement_continuous.json"
LIMIT = 8  # GiB for the krippendorff package
LARGEST_PEER = 10_000  # ratings up to which the krippendorff package is asked
LARGEST_DRAWN = 1_000_000  # ratings up to which the interval is also drawn
TEXTS = {
    "floor": "Polars: scan, group by item",
    "interval": "dfar_toolkit: interval alpha, point",
    "interval_analytic": "dfar_toolkit: interval alpha, linearised interval",
    "interval_bootstrap": "dfar_toolkit: interval alpha, 2,000 draws",
    "ordinal": "dfar_toolkit: ordinal alpha, point",
    "ordinal_analytic": "dfar_toolkit: ordinal alpha, linearised interval",
    "krippendorff_interval": "krippendorff: interval alpha of the matrix, point",
    "krippendorff_ordinal": "krippendorff: ordinal alpha of the matrix, point",
}


def make(path: str, n: int, kind: str) -> None:
    """Synthetic ratings: text ids, 4 different raters of 100 an item, shuffled."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    items = n // 4
    step = rng.integers(1, 25, items)  # start, start + step, ...: four different raters
    raters = (rng.integers(0, 100, items)[:, None] + np.arange(4) * step[:, None]) % 100
    values = rng.normal(50, 16, items)[:, None] + rng.normal(0, 12, (items, 4))
    if kind == "slider":
        values = np.rint(np.clip(values, 0, 100))
    frame = pl.DataFrame(
        {"item_id": np.repeat(np.arange(items), 4), "annotator_id": raters.ravel(), "value": values.ravel()}
    )
    frame.select(
        pl.format("item-{}", "item_id").alias("item_id"), pl.format("rater-{}", "annotator_id").alias("annotator_id"),
        "value",
    ).sample(fraction=1, shuffle=True, seed=0).write_parquet(path)  # fmt: skip


def floor(path: str) -> dict[str, object]:
    import polars as pl

    begin = time.perf_counter()
    items = pl.scan_parquet(path).drop_nulls("value").group_by("item_id").len().collect(engine="streaming")
    return {"begin": begin, "items": len(items)}


def ours(path: str, level: str, ci: str | None) -> dict[str, object]:
    import polars as pl
    import scipy.stats  # noqa: F401  (imports are not counted in seconds)

    from dfar_toolkit.agreement import krippendorff_alpha

    begin = time.perf_counter()
    found = krippendorff_alpha(pl.scan_parquet(path), level=level, ci=ci)  # type: ignore[arg-type]
    return {"begin": begin, "alpha": found.value, "low": found.low, "high": found.high, "note": found.note}  # type: ignore[union-attr]


def krippendorff(path: str, level: str) -> dict[str, object]:
    import krippendorff as package
    import numpy as np
    import polars as pl

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT * 2**30, LIMIT * 2**30))
    begin = time.perf_counter()
    frame = pl.read_parquet(path)
    raters, items = (
        frame[name].cast(pl.Enum(frame[name].unique())).to_physical() for name in ("annotator_id", "item_id")
    )
    matrix = np.full((int(raters.max()) + 1, int(items.max()) + 1), np.nan)  # type: ignore[arg-type]
    matrix[raters.to_numpy(), items.to_numpy()] = frame["value"].to_numpy()
    try:
        alpha = float(package.alpha(reliability_data=matrix, level_of_measurement=level))
    except MemoryError as error:
        return {"begin": begin, "error": f"MemoryError: {error}"}
    return {"begin": begin, "alpha": alpha}


def measure(method: str, path: str) -> None:
    """In the child: run and print what it took."""
    if method == "floor":
        found = floor(path)
    elif method.startswith("krippendorff_"):
        found = krippendorff(path, method.removeprefix("krippendorff_"))
    else:
        level, _, ci = method.partition("_")
        found = ours(path, level, ci or None)
    end = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    took = {
        "seconds": end - float(str(found.pop("begin"))),
        "with_imports": end - START,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }
    print(json.dumps({**{name: round(number, 3) for name, number in took.items()}, **found}))


def child(*arguments: str) -> dict[str, object]:
    # This process imports nothing heavy: a child's peak begins with what its parent held.
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} failed: {done.stderr.strip().splitlines()[-1:]}")
    read: dict[str, object] = json.loads(done.stdout) if done.stdout.strip() else {}
    return {name: None if number != number else number for name, number in read.items()}  # nan is no JSON


def compare(n: int, kind: str, folder: str, repeat: int) -> list[dict[str, object]]:
    """All methods on one file, in turns."""
    path = str(Path(folder) / f"{kind}_{n}.parquet")
    child("--make", path, str(n), kind)
    methods = [m for m in TEXTS if "krippendorff" not in m or n <= LARGEST_PEER]
    methods = [m for m in methods if "bootstrap" not in m or n <= LARGEST_DRAWN]
    runs: dict[str, list[dict[str, object]]] = {m: [] for m in methods}
    for _ in range(repeat):
        for method in methods:
            runs[method].append(child("--measure", method, path))
    best = {m: min(found, key=lambda r: float(str(r["seconds"]))) for m, found in runs.items()}
    Path(path).unlink()
    return [{"ratings": n, "values": kind, "method": m, **best[m], "runs": len(runs[m])} for m in methods]


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("polars", "numpy", "krippendorff")
    return {
        "machine": f"{os.cpu_count()} virtual cores, {memory:.0f} GiB of memory",
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "memory_limit_of_krippendorff_gib": LIMIT,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def show(rows: list[dict[str, object]]) -> None:
    print(f"{'ratings':>10} {'values':<11} {'method':<51} {'seconds':>8} {'CPU s':>7} {'peak MiB':>9}  alpha")
    for row in rows:
        print(
            f"{row['ratings']:>10,} {row['values']:<11} {TEXTS[str(row['method'])]:<51} {row['seconds']:>8.2f} "
            f"{row['cpu_seconds']:>7.2f} {row['peak_mib']:>9.0f}  {row.get('alpha', row.get('error', ''))}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ratings", nargs="+", type=float, default=[1e3, 2e3, 1e4, 1e6, 1e7], help="numbers of ratings"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each method; the best counts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return make(given.make[0], int(given.make[1]), given.make[2])
    if given.measure:
        return measure(*given.measure)
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        sizes = [(int(n), kind) for n in given.ratings for kind in ("continuous", "slider")]
        rows = [row for n, kind in sizes for row in compare(n, kind, folder, given.repeat)]
    show(rows)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
