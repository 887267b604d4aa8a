"""Dawid-Skene and one-coin by sparse EM against crowd-kit, and how often the annotators' intervals hold the truth.

Each method runs in a process of its own on the same file, in turns; the best of ``--repeat`` runs counts (crowd-kit at
many ratings, MACE and GLAD: one run). ``seconds`` is from ratings in memory to posteriors, with the sorting of the
ratings; ``with_reading`` begins before the file is opened; the peak is the whole process's. Every method stops by its
own default, so ``seconds_per_iteration`` stands beside; so does the processor's time, which other work on the machine
stretches less. crowd-kit (the extra ``crowd``) must be installed.

    python benchmarks/label_models.py
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
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "label_models.json"
TEXTS = {
    "ours_dawid_skene": "dfar_toolkit: Dawid-Skene",
    "ours_one_coin": "dfar_toolkit: one-coin",
    "ours_reliability": "dfar_toolkit: one-coin, accuracies with intervals",
    "crowdkit_dawid_skene": "crowd-kit: Dawid-Skene",
    "crowdkit_one_coin": "crowd-kit: one-coin Dawid-Skene",
    "crowdkit_mace": "crowd-kit: MACE, one restart",
    "crowdkit_glad": "crowd-kit: GLAD",
}
UP_TO = {"crowdkit_dawid_skene": 1e6, "crowdkit_one_coin": 1e6, "crowdkit_mace": 1e4, "crowdkit_glad": 1e4}
SLOW = {
    "crowdkit_dawid_skene": 1e6,
    "crowdkit_one_coin": 1e6,
    "crowdkit_mace": 0,
    "crowdkit_glad": 0,
}  # one run from here
DESIGNS = (  # items, raters, ratings an item, values
    (200, 10, 5, 2), (200, 10, 5, 4), (50, 5, 5, 3), (1000, 50, 5, 5), (500, 6, 2, 3), (100, 3, 3, 3), (300, 3, 3, 2),
    (200, 20, 3, 2),
)  # fmt: skip


def simulated(seed: int, items: int, raters: int, each: int, values: int) -> tuple[Any, Any]:
    """Raters right with chance .55 to .95, wrong values equally likely: (accuracies, ratings)."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    accuracy, truth = rng.uniform(0.55, 0.95, raters), rng.integers(0, values, items)
    if raters <= 100 and items <= 10_000:
        who = np.argsort(rng.random((items, raters)), axis=1)[:, :each]
    else:  # different raters: start, start + step, ...
        steps = rng.integers(1, raters // each, items)
        who = (rng.integers(0, raters, items)[:, None] + np.arange(each) * steps[:, None]) % raters
    wrong = (truth[:, None] + rng.integers(1, values, (items, each))) % values
    value = np.where(rng.random((items, each)) < accuracy[who], truth[:, None], wrong)
    columns = {"item_id": np.repeat(np.arange(items), each), "annotator_id": who.ravel(), "value": value.ravel()}
    return accuracy, pl.DataFrame(columns)


def make(path: str, n: int) -> None:
    """Ratings with text ids, 5 values, 5 of 100 raters an item, shuffled."""
    import polars as pl

    _, frame = simulated(0, n // 5, 100, 5, 5)
    frame.select(
        pl.format("item-{}", "item_id").alias("item_id"),
        pl.format("rater-{}", "annotator_id").alias("annotator_id"),
        pl.format("value {}", "value").alias("value"),
    ).sample(fraction=1, shuffle=True, seed=0).write_parquet(path)


def measure(method: str, path: str) -> dict[str, Any]:
    """In the child: run and say what it took."""
    import polars as pl

    warnings.simplefilter("ignore")
    run = ours if method.startswith("ours") else crowdkit
    prepared = run(method)
    begin = time.perf_counter()
    frame = pl.read_parquet(path)
    named = {"item_id": "task", "annotator_id": "worker", "value": "label"}
    data = frame if method.startswith("ours") else frame.rename(named).to_pandas()
    read, worked = time.perf_counter(), time.process_time()
    found = prepared(data)
    end, cpu = time.perf_counter(), time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    iterations = found.get("iterations")
    per = {"seconds_per_iteration": (end - read) / iterations} if iterations else {}
    return {"seconds": end - read, "cpu_seconds": cpu, "with_reading": end - begin, "peak_mib": peak, **found, **per}


def ours(method: str) -> Any:
    from dfar_toolkit.agreement.labels.annotators import annotator_reliability
    from dfar_toolkit.agreement.labels.dawid_skene import fit_dawid_skene
    from dfar_toolkit.agreement.labels.one_coin import fit_one_coin
    from dfar_toolkit.agreement.labels.responses import read_responses

    def run(frame: Any) -> dict[str, Any]:
        if method == "ours_reliability":
            found = annotator_reliability(frame).filter(statistic="one_coin_accuracy")
            return {"mean_width": float((found["high"] - found["low"]).mean())}  # type: ignore[arg-type]
        begin = time.perf_counter()
        responses = read_responses(frame)
        sorted_ = time.perf_counter()
        fit = (fit_dawid_skene if method == "ours_dawid_skene" else fit_one_coin)(responses)
        em = time.perf_counter() - sorted_
        return {
            "em_alone": em,
            "sorting": sorted_ - begin,
            "iterations": len(fit.log_likelihood),
            "labels": digest(responses.items, fit.posterior.argmax(axis=1)),
        }

    return run


def crowdkit(method: str) -> Any:
    from crowdkit import aggregation

    def run(frame: Any) -> dict[str, Any]:
        import polars as pl

        models = {
            "crowdkit_dawid_skene": aggregation.DawidSkene,
            "crowdkit_one_coin": aggregation.OneCoinDawidSkene,
            "crowdkit_mace": lambda: aggregation.MACE(n_restarts=1),
            "crowdkit_glad": aggregation.GLAD,
        }
        model = models[method]()
        found = model.fit_predict_proba(frame).sort_index()
        columns = sorted(found.columns)
        steps = {"crowdkit_mace": 50}.get(method) or len(model.loss_history_)
        labels = found[columns].to_numpy().argmax(axis=1)
        return {"iterations": steps, "labels": digest(pl.Series(list(found.index)), labels)}

    return run


def digest(items: Any, labels: Any) -> list[int]:
    """The label of every item, in the order of the items' names: at most 10,000 of them, evenly spaced."""
    import numpy as np

    del items
    return [int(x) for x in labels[np.linspace(0, len(labels) - 1, min(10_000, len(labels))).astype(int)]]


def child(*arguments: str) -> Any:
    # This process imports nothing heavy: a child's peak begins with what its parent held.
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


def compare(n: int, folder: str, repeat: int) -> list[dict[str, Any]]:
    """All methods on one file, in turns."""
    path = str(Path(folder) / f"ratings_{n}.parquet")
    child("--make", path, str(n))
    methods = [m for m in TEXTS if n <= UP_TO.get(m, 1e9)]
    runs: dict[str, list[dict[str, Any]]] = {m: [] for m in methods}
    for turn in range(repeat):
        for method in methods:
            if turn == 0 or n < SLOW.get(method, 1e9):
                runs[method].append(child("--measure", method, path))
    best = {m: min(found, key=lambda r: float(r["seconds"])) for m, found in runs.items()}
    rows = []
    for m in methods:
        labels = best[m].pop("labels", None)
        row = {"ratings": n, "method": m, **rounded(best[m]), "runs": len(runs[m])}
        peer = best.get(m.replace("ours", "crowdkit")) if m.startswith("ours") else None
        if peer is not None:
            theirs = peer["labels"]
            row["times_faster_than_crowdkit"] = round(peer["seconds"] / best[m]["seconds"], 1)
            row["times_less_cpu_than_crowdkit"] = round(peer["cpu_seconds"] / best[m]["cpu_seconds"], 1)
            row["same_labels"] = round(sum(a == b for a, b in zip(labels, theirs, strict=True)) / len(theirs), 5)
        rows.append(row)
    return rows


def rounded(run: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 1 if k == "peak_mib" else 4) if isinstance(v, float) else v for k, v in run.items()}


def coverage(replications: int) -> list[dict[str, Any]]:
    """Share of 95 % intervals of the annotators' accuracies that hold the accuracy the ratings were drawn with."""
    import numpy as np

    from dfar_toolkit.agreement.labels.annotators import annotator_reliability

    rows = []
    for design in DESIGNS:
        held, width, refused, total = [], [], 0, 0
        for seed in range(replications):
            truth, frame = simulated(seed, *design)
            found = annotator_reliability(frame).filter(statistic="one_coin_accuracy")
            low, high = found["low"].to_numpy(), found["high"].to_numpy()
            given = ~np.isnan(low)
            total, refused = total + len(low), refused + int((~given).sum())
            held += ((low <= truth) & (truth <= high))[given].tolist()
            width += (high - low)[given].tolist()
        items, raters, each, values = design
        rows.append(
            {
                "items": items, "raters": raters, "ratings_per_item": each, "values": values,
                "coverage": round(float(np.mean(held)), 4), "width": round(float(np.mean(width)), 4),
                "refused": round(refused / total, 4), "intervals": total,
            }
        )  # fmt: skip
    return rows


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{os.cpu_count()} virtual cores, {memory:.0f} GiB of memory",
        "load_average_at_start": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("polars", "numpy", "scipy", "crowd-kit", "pandas", "scikit-learn")},
    }


def show(rows: list[dict[str, Any]], covered: list[dict[str, Any]]) -> None:
    for row in rows:
        em, steps = row.get("em_alone", ""), row.get("iterations", "")
        print(
            f"{row['ratings']:>10,}  {TEXTS[row['method']]:<50} {row['seconds']:>8.2f} s "
            f"{row['cpu_seconds']:>7.2f} s CPU {row['peak_mib']:>6.0f} MiB, EM alone {em}, iterations {steps}, "
            f"times faster {row.get('times_faster_than_crowdkit', '')}"
        )
    for row in covered:
        print(", ".join(f"{k} {v}" for k, v in row.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", nargs="+", type=float, default=[1e4, 1e5, 1e6, 1e7], help="numbers of ratings")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each method but slow ones; the best counts")
    parser.add_argument("--replications", type=int, default=100, help="data sets per design of the coverage; 0: none")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--coverage", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        return make(given.make[0], int(given.make[1]))
    if given.measure:
        return print(json.dumps(measure(*given.measure)))
    if given.coverage:
        return print(json.dumps(coverage(given.coverage)))
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for n in given.ratings for row in compare(int(n), folder, given.repeat)]
    covered = child("--coverage", str(given.replications)) if given.replications else []
    show(rows, covered)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({**about, "rows": rows, "coverage": covered}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
