"""How long a build takes from a table to a checked folder, near-duplicates included, and how it grows.

Statements of about 15 words are invented (one in twenty repeats another with one word changed) with a label and a
reason by one of fifty annotators each, written as CSV, then read, audited, and written as an items folder. Every size
runs in a process of its own, so that peak memory is its own. In the same process the peer finds the near-duplicates of
the same statements: datasketch, one MinHash object per text and an LSH index, 126 values in 21 bands as here, exact
Jaccard similarity of Python sets for each candidate.

    python benchmarks/build_corpus.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from near_duplicates import machine, statements

RESULTS = Path(__file__).parent / "results" / "build_corpus.json"
SIZES = (10_000, 100_000, 1_000_000)
PEER_UP_TO = 100_000
WORDS = "it seems to me that nobody was asked and somebody had to pay for what others wanted"


def invent(n: int, path: Path) -> None:
    """A table of statements with labels and reasons."""
    frame, _ = statements(n)
    rng = np.random.default_rng(1)
    words = np.array(WORDS.split())
    reasons = [" ".join(row) for row in rng.choice(words, (n, 12))]
    frame.with_columns(
        split=pl.Series(np.where(rng.random(n) < 0.9, "train", "test")),
        who=pl.Series([f"p{k}" for k in rng.integers(0, 50, n)]),
        label=pl.Series(rng.choice(["ethical", "unethical"], n)),
        reason=pl.Series(reasons),
    ).write_csv(path)


def built(path: Path, out: Path) -> dict[str, float]:
    """Seconds of reading and of each step of the build."""
    from dfar_toolkit.corpus.assemble import build_items
    from dfar_toolkit.sources import Mapping, read_source

    mapping = Mapping(
        name="made", id="item_id", split="split", statement="statement", annotator="who", label="label",
        reason="reason", question="ethical", options=("ethical", "unethical"), licence="mit",
    )  # fmt: skip
    taken: dict[str, float] = {}
    start, step = time.perf_counter(), "reading"
    source = read_source("table", path, mapping=mapping)

    def tell(name: str) -> None:
        nonlocal start, step
        now = time.perf_counter()
        taken[step], start, step = round(now - start, 2), now, name

    build_items(source, out, progress=tell)
    tell("")
    return taken


def peer(texts: list[str]) -> tuple[float, int]:
    """Seconds of datasketch on the same statements, and the pairs it verified."""
    from datasketch import MinHash, MinHashLSH

    start = time.perf_counter()
    grams = [{t[k : k + 5] for k in range(max(len(t) - 4, 1))} for t in texts]
    index, sketches = MinHashLSH(num_perm=126, params=(21, 6)), []
    for k, sketch in enumerate(MinHash.generator(([g.encode() for g in gram] for gram in grams), num_perm=126)):
        index.insert(k, sketch, check_duplication=False)
        sketches.append(sketch)
    found = 0
    for a, sketch in enumerate(sketches):
        near = (b for b in index.query(sketch) if a < b)
        found += sum(len(grams[a] & grams[b]) >= 0.8 * len(grams[a] | grams[b]) for b in near)
    return time.perf_counter() - start, found


def measure(n: int) -> dict[str, object]:
    """One size, in this process."""
    from dfar_toolkit.corpus.duplicates import near_duplicate_pairs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, "--invent", str(n), str(folder / "made.csv")], check=True)
        start = time.perf_counter()
        steps = built(folder / "made.csv", folder / "out")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        written = sum(p.stat().st_size for p in (folder / "out").rglob("*.parquet")) // 2**20
        frame = pl.read_csv(folder / "made.csv", columns=["item_id", "statement"])
    row: dict[str, object] = {
        "statements": n, "seconds": round(seconds, 2), "steps": steps, "peak_mib": peak, "parquet_mib": written,
    }  # fmt: skip
    if n <= PEER_UP_TO:
        start = time.perf_counter()
        pairs = near_duplicate_pairs(frame, threshold=0.8).height
        ours = time.perf_counter() - start
        theirs, found = peer(frame["statement"].to_list())
        row |= {"near_s": round(ours, 2), "near_pairs": pairs, "datasketch_s": round(theirs, 2)}
        row |= {"datasketch_pairs": found, "datasketch_over_ours": round(theirs / ours, 1)}
    return row


def main() -> None:
    """All sizes, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int)
    parser.add_argument("--invent", nargs=2, metavar=("N", "FILE"))
    given = parser.parse_args()
    if given.invent:
        invent(int(given.invent[0]), Path(given.invent[1]))
        return
    if given.one:
        print(json.dumps(measure(given.one)))
        return
    runs = []
    for n in SIZES:
        done = subprocess.run([sys.executable, __file__, "--one", str(n)], capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
        print(runs[-1], flush=True)
    seconds = [float(run["seconds"]) for run in runs]
    growth = {
        f"{a} to {b}": round(y / x, 1)
        for a, b, x, y in zip(SIZES[:-1], SIZES[1:], seconds[:-1], seconds[1:], strict=True)
    }
    RESULTS.write_text(json.dumps({"machine": machine(), "runs": runs, "growth_of_seconds": growth}, indent=1) + "\n")


if __name__ == "__main__":
    main()
