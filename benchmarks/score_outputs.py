"""How long it takes to score a file of outputs with every metric that applies and 1,000-draw intervals.

Outputs with probabilities over five options are invented for items with five votes each. The floor, in the same
process, is merely reading the file and the items with polars and joining them; beside it stands the same with every row
checked. Each size and format runs in a process of its own, so that peak memory is its own. The best of three is taken
of each; everything from the file to the table of scores is in it: reading and checking, the join, labels, bias,
distributions beside their references, ceilings, calibration.

    python benchmarks/score_outputs.py
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
from pathlib import Path

import numpy as np
import polars as pl

RESULTS = Path(__file__).parent / "results" / "score_outputs.json"
SIZES = (10_000, 100_000, 1_000_000)
FORMATS = ("parquet", "jsonl")
OPTIONS = [f"option_{k}" for k in range(5)]
DRAWS = 1000
REPEATS = 3


def invent(n: int, folder: Path) -> None:
    """Items with votes, and a run that is right about most of them, as files."""
    rng = np.random.default_rng(0)
    theta = rng.dirichlet(np.full(5, 0.7), n)
    counts = rng.multinomial(5, theta)
    probs = 0.7 * theta + 0.3 * rng.dirichlet(np.ones(5), n)
    ids = [f"made:test:{k:07d}" for k in range(n)]
    names = np.array(OPTIONS)
    outputs = pl.DataFrame({"item_id": ids, "label": names[probs.argmax(1)], "label_probs": probs.tolist()})
    outputs.write_parquet(folder / "outputs.parquet")
    outputs.write_ndjson(folder / "outputs.jsonl")
    top = counts.max(1, keepdims=True)
    tied = (counts == top).sum(1) > 1
    label = pl.Series(names[counts.argmax(1)]).set(pl.Series(tied), None)
    context = pl.List(pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))
    reasons = pl.List(pl.Struct({"annotator_id": pl.String, "value": pl.String, "text": pl.String}))
    pl.DataFrame(
        {
            "item_id": ids,
            "group": ids,
            "label": label,
            "label_counts": counts.tolist(),
            "label_probs": (counts / 5).tolist(),
            "text_key": [f"{k:016x}" for k in range(n)],
        }
    ).with_columns(
        statement=pl.lit("An ordinary statement of some ten words, the same on every item."),
        source=pl.lit("made"),
        config=pl.lit("default"),
        split=pl.lit("test"),
        extra=pl.lit("{}"),
        context=pl.lit([], dtype=context),
        reasons=pl.lit([], dtype=reasons),
    ).write_parquet(folder / "items.parquet")


def read_and_join(folder: Path, kind: str) -> int:
    """The floor: the file and the items in, side by side."""
    file = folder / f"outputs.{kind}"
    outputs = pl.read_parquet(file) if kind == "parquet" else pl.read_ndjson(file)
    return len(outputs.join(pl.read_parquet(folder / "items.parquet"), on="item_id"))


def checked_and_joined(folder: Path, kind: str) -> int:
    """The same with what no score can do without: every row checked, answers and people's votes side by side."""
    from dfar_toolkit.metrics.answers import join_outputs

    items, outputs = read(folder, kind)
    return len(join_outputs(outputs, items, options=OPTIONS).frame)


def read(folder: Path, kind: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items and outputs as checked tables."""
    from dfar_toolkit.files.outputs import read_outputs
    from dfar_toolkit.tables import conform

    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
    items = conform(pl.read_parquet(folder / "items.parquet"), "items")
    return items, read_outputs(folder / f"outputs.{kind}", questions=questions)


def scored(folder: Path, kind: str) -> int:
    """Everything from the file to the scores."""
    from dfar_toolkit.scoring import score

    items, outputs = read(folder, kind)
    table = score(outputs, items, options=OPTIONS, n_boot=DRAWS)
    assert table["value"].is_finite().sum() > 100
    return len(table)


def best_of(work: Callable[[Path, str], int], folder: Path, kind: str) -> tuple[float, int]:
    """Seconds of the fastest of some runs, and what it returned."""
    taken, rows = [], 0
    for _ in range(REPEATS):
        start = time.perf_counter()
        rows = work(folder, kind)
        taken.append(time.perf_counter() - start)
    return min(taken), rows


def measure(n: int, kind: str) -> dict[str, object]:
    """One size and format, in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, "--invent", str(n), name], check=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        floor, _ = best_of(read_and_join, folder, kind)
        joined = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        checked, _ = best_of(checked_and_joined, folder, kind)
        seconds, rows = best_of(scored, folder, kind)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "outputs": n, "format": kind, "read_and_join_s": round(floor, 3), "all_scores_s": round(seconds, 3),
        "read_check_and_join_s": round(checked, 3), "ratio": round(seconds / floor, 2),
        "ratio_to_checked": round(seconds / checked, 2), "scores": rows, "mib_before": before // 1024,
        "mib_after_join": joined // 1024, "peak_mib": peak // 1024,
    }  # fmt: skip


def main() -> None:
    """All sizes, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("N", "FORMAT"))
    parser.add_argument("--invent", nargs=2, metavar=("N", "FOLDER"))
    given = parser.parse_args()
    if given.invent:
        invent(int(given.invent[0]), Path(given.invent[1]))
        return
    if given.one:
        print(json.dumps(measure(int(given.one[0]), given.one[1])))
        return
    runs = []
    for n in SIZES:
        for kind in FORMATS:
            run = subprocess.run(
                [sys.executable, __file__, "--one", str(n), kind], capture_output=True, text=True, check=True
            )
            runs.append(json.loads(run.stdout))
            print(runs[-1], flush=True)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    found = {"machine": machine, "draws": DRAWS, "options": len(OPTIONS), "best_of": REPEATS, "runs": runs}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
