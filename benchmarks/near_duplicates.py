"""How long the search for near-duplicate statements takes, what it finds, and how it grows.

Statements of about 15 words are invented from a Zipf vocabulary; one in twenty is then repeated with one word changed.
Each measurement runs in a process of its own, so that peak memory is its own. Beside the search of the package runs
the usual way with the same library: one MinHash object per text, an LSH index, a query per text, the Jaccard
similarity of Python sets for every candidate.

    python benchmarks/near_duplicates.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

RESULTS = Path(__file__).parent / "results" / "near_duplicates.json"
RUNS = [
    (1_000, "exact"),
    (1_000, "loop"),
    (10_000, "exact"),
    (10_000, "lsh"),
    (10_000, "loop"),
    (100_000, "lsh"),
    (100_000, "loop"),
    (300_000, "lsh"),
]


def statements(n: int, *, seed: int = 0) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """Invented statements, and the pairs of ids of which one is the other with one word changed."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    share = 1 / np.arange(1, 27)
    lengths = rng.integers(2, 10, 20_000)
    drawn = "".join(rng.choice(letters, lengths.sum(), p=share / share.sum()))
    ends = np.cumsum(lengths)
    words = np.array([drawn[e - k : e] for e, k in zip(ends, lengths, strict=True)])
    zipf = 1 / np.arange(1, len(words) + 1)
    n_planted = n // 20
    chosen = rng.choice(len(words), (n - n_planted, 15), p=zipf / zipf.sum())
    originals = rng.choice(len(chosen), n_planted, replace=False)
    copies = chosen[originals].copy()
    copies[np.arange(n_planted), rng.integers(0, 15, n_planted)] = rng.integers(0, len(words), n_planted)
    texts = [" ".join(words[row]) for row in np.concatenate([chosen, copies])]
    ids = [f"item:{k:07d}" for k in range(n)]
    planted = [(ids[a], ids[n - n_planted + k]) for k, a in enumerate(originals)]
    return pl.DataFrame({"item_id": ids, "statement": texts}), planted


def loop(frame: pl.DataFrame, *, threshold: float) -> set[tuple[str, str]]:
    """The peer: one MinHash per text, an index, a query per text, sets of 5-grams compared one by one."""
    from rensa import RMinHash, RMinHashLSH

    ids, texts = frame["item_id"].to_list(), frame["statement"].to_list()
    grams = [{t[k : k + 5] for k in range(max(len(t) - 4, 1))} for t in texts]
    index = RMinHashLSH(threshold=threshold, num_perm=126, num_bands=21)
    sketches = []
    for k, gram in enumerate(grams):
        sketch = RMinHash(num_perm=126, seed=0)
        sketch.update(list(gram))
        index.insert(k, sketch)
        sketches.append(sketch)
    found = set()
    for a, sketch in enumerate(sketches):
        for b in index.query(sketch):
            if a < b and len(grams[a] & grams[b]) >= threshold * len(grams[a] | grams[b]):
                found.add((ids[a], ids[b]))
    return found


def measure(n: int, method: str) -> dict[str, object]:
    """One run in this process: seconds, pairs, planted pairs found, peak memory."""
    from dfar_toolkit.corpus.duplicates import near_duplicate_pairs
    from dfar_toolkit.corpus.shingles import jaccard

    frame, planted = statements(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin = time.perf_counter()
    if method == "loop":
        pairs = loop(frame, threshold=0.8)
    else:
        table = near_duplicate_pairs(frame, threshold=0.8, search="exact" if method == "exact" else "lsh")
        pairs = set(table.select("a", "b").iter_rows())
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = dict(frame.iter_rows())
    sides = [pl.Series([text[i] for i in side]) for side in zip(*planted, strict=True)]
    near = [pair for pair, s in zip(planted, jaccard(*sides), strict=True) if 0.8 <= s < 1]
    return {
        "statements": n,
        "method": method,
        "seconds": round(seconds, 2),
        "pairs_found": len(pairs),
        "planted_at_threshold": len(near),
        "planted_found": sum(pair in pairs for pair in near),
        "peak_mib": round(peak),
        "mib_before_search": round(before),
    }


def machine() -> str:
    """The machine in plain words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = named[0] if named else model
    return f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("N", "METHOD"), help="one measurement, printed as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(int(arguments.one[0]), arguments.one[1])))
        return
    rows = []
    for n, method in RUNS:
        command = [sys.executable, __file__, "--one", str(n), method]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    lsh = {row["statements"]: row["seconds"] for row in rows if row["method"] == "lsh"}
    growth = {f"{a} to {b}": round(lsh[b] / lsh[a], 2) for a, b in ((10_000, 100_000), (100_000, 300_000))}
    print(f"growth of seconds: {growth}")
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"machine": machine(), "threshold": 0.8, "runs": rows, "growth_of_seconds": growth}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
