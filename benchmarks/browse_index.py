"""How long a browser of items takes at a million items, three runs and five people each.

The set is invented and written as an items folder and run folders, as the package's own commands write them. Measured
in one process of its own: what the first page needs, the rest of the index, every filter by itself, counts of all
facets, a page turn, one item whole, error slices; the best of three of each (the first reading is taken once), and peak
memory.

    python benchmarks/browse_index.py
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

from dfar_toolkit.browsing.item_filter import ItemFilter

RESULTS = Path(__file__).parent / "results" / "browse_index.json"
N = 1_000_000
OPTIONS = ["acceptable", "unacceptable"]
PEOPLE, RUNS, REPEATS = 5, 3, 3
WORDS = [
    "because",
    "the",
    "they",
    "was",
    "not",
    "could",
    "friend",
    "promised",
    "helped",
    "harm",
    "fair",
    "school",
    "work",
    "said",
    "stole",
    "told",
    "money",
    "late",
]


def texts(rng: np.random.Generator, n: int, words: int) -> pl.Series:
    """Texts of so many words, hardly two alike."""
    pool = pl.Series([" ".join(rng.choice(WORDS, words // 2)) for _ in range(4000)])
    first, second = (pool.gather(rng.integers(0, len(pool), n)) for _ in range(2))
    number = pl.Series(rng.integers(0, n * 10, n)).cast(pl.String)
    joined: pl.Series = first + " " + number + " " + second
    return joined


def invent(n: int, folder: Path) -> None:
    """An items folder and run folders."""
    from dfar_toolkit.files.items import FORMAT, FORMAT_VERSION, write_tables

    rng = np.random.default_rng(0)
    ids = pl.Series([f"made:test:{k:07d}" for k in range(n)])
    unfair = rng.random(n)
    votes = rng.random((n, PEOPLE)) < unfair[:, None]
    names = np.array(OPTIONS)
    people = np.array([f"made:p{k:02d}" for k in range(20)])
    who = (rng.integers(0, 20, n)[:, None] + 3 * np.arange(PEOPLE)) % 20
    annotations = pl.DataFrame(
        {
            "item_id": ids.gather(np.repeat(np.arange(n), PEOPLE)),
            "annotator_id": people[who.ravel()],
            "question": pl.repeat("q", n * PEOPLE, eager=True),
            "value": names[votes.ravel().astype(int)],
            "reason": texts(rng, n * PEOPLE, 16),
        }
    ).with_columns(
        pl.concat_str("item_id", pl.lit("#"), pl.int_range(pl.len()).cast(pl.String)).alias("rating_id"),
        pl.lit(None, pl.Float64).alias("value_num"), pl.lit(1.0).alias("weight"), pl.lit(0).alias("occasion"),
        pl.lit(None, pl.String).alias("foil"), pl.lit(None, pl.String).alias("at"),
        pl.lit(None, pl.List(pl.Struct({k: pl.Int64 if k != "field" else pl.String
                                        for k in ("field", "start", "end", "set")}))).alias("evidence"),
    )  # fmt: skip
    bad = votes.sum(1)
    reasons = annotations.select(
        pl.struct("annotator_id", "value", pl.col("reason").alias("text")).reshape((n, PEOPLE)).arr.to_list()
    ).to_series()
    context = pl.List(pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))
    items = pl.DataFrame(
        {
            "item_id": ids, "group": pl.Series(rng.integers(0, n // 2, n)).cast(pl.String),
            "statement": texts(rng, n, 20),
            "label": names[(bad > PEOPLE // 2).astype(int)], "reasons": reasons,
            "label_counts": np.stack([PEOPLE - bad, bad], 1),
            "label_probs": np.stack([1 - bad / PEOPLE, bad / PEOPLE], 1),
            "source": np.array(["made.a", "made.b", "made.c"])[rng.integers(0, 3, n)],
            "split": np.where(np.arange(n) < n * 0.8, "train", "test"),
            "leak_kind": pl.Series([None, None, "near", "exact"]).gather(rng.integers(0, 4, n)),
            "text_key": pl.Series([f"{k:016x}" for k in range(n)]),
        }
    ).with_columns(
        pl.col("label_counts", "label_probs").arr.to_list(),
        pl.lit("default").alias("config"), pl.lit("{}").alias("extra"),
        pl.lit([], dtype=context).alias("context"), pl.lit(None, pl.List(pl.String)).alias("option_texts"),
        pl.lit(None, pl.List(pl.String)).alias("leak_of"), pl.lit(None, pl.String).alias("leak_against"),
    )  # fmt: skip
    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
    targets = items.select(
        "item_id", pl.lit("q").alias("question"), "label", "label_counts", "label_probs",
        pl.lit(None, pl.Float64).alias("value"), pl.lit(PEOPLE).alias("n_ratings"), pl.lit("majority").alias("method"),
    )  # fmt: skip
    raters = pl.DataFrame({"annotator_id": people, "kind": ["human"] * len(people)})
    root = folder / "items"
    root.mkdir()
    long_tables = {"annotations": annotations, "raters": raters, "targets": targets, "questions": questions}
    write_tables(root, items=items, long_tables=long_tables)
    (root / "audit.json").write_text("[]\n")
    (root / "agreement.json").write_text("[]\n")
    manifest = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "name": "made", "files": {}, "audit": {}, "sources": [],
        "configs": {"default": {"splits": ["train", "test"]}}, "rows": {}, "questions": [],
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(manifest))
    for run in range(RUNS):
        invent_run(rng, ids, unfair, folder / f"run_{run}")


def invent_run(rng: np.random.Generator, ids: pl.Series, unfair: np.typing.NDArray[np.float64], folder: Path) -> None:
    """One run folder: a label, probabilities and a reason for every item."""
    from dfar_toolkit.files.outputs import outputs_of

    n = len(ids)
    p = np.clip(unfair + rng.normal(0, 0.25, n), 0.001, 0.999)
    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
    frame = pl.DataFrame(
        {
            "item_id": ids, "label": np.array(OPTIONS)[(p > 0.5).astype(int)], "label_probs": np.stack([1 - p, p], 1),
            "reason": texts(rng, n, 20), "options": pl.repeat(OPTIONS, n, dtype=pl.List(pl.String), eager=True),
        }
    ).with_columns(pl.col("label_probs").arr.to_list())  # fmt: skip
    folder.mkdir()
    outputs_of(frame, folder, folder.name, questions=questions).write_parquet(folder / "outputs.parquet")
    (folder / "run.json").write_text(json.dumps({"format": "dfar-run", "format_version": 1}))


def best_of(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some runs."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return round(1000 * min(taken), 1)


def once(work: Callable[[], object]) -> float:
    """Milliseconds of one run: what is read is kept."""
    start = time.perf_counter()
    work()
    return round(1000 * (time.perf_counter() - start), 1)


def peak_mib() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def one_of_each() -> dict[str, ItemFilter]:
    """A filter by every condition on items."""
    return {
        "text": ItemFilter(text="Promised harm"), "regex": ItemFilter(regex=r"harm\w* \d+7 "),
        "gold": ItemFilter(gold=("unacceptable",)), "given": ItemFilter(given=("unacceptable",)),
        "between": ItemFilter(between=(("acceptable", "unacceptable"),)),
        "annotator": ItemFilter(annotator=("made:p03",)),
        "group": ItemFilter(group=("77",)), "source": ItemFilter(source=("made.b",)),
        "split": ItemFilter(split=("test",)),
        "leak": ItemFilter(leak=("near", "none")), "prediction": ItemFilter(prediction=(("run_0", "acceptable"),)),
        "state": ItemFilter(state=(("run_0", "right"),)), "differs": ItemFilter(differs=("run_0",)),
        "beats": ItemFilter(beats=(("run_0", "run_1"),)), "judged_bad": ItemFilter(judged_bad=("run_2",)),
        "length": ItemFilter(length=(100, 120)), "disagreement": ItemFilter(disagreement=(0.5, None)),
        "probability": ItemFilter(probability=(("run_1", 0.4, 0.6),)), "has_reason": ItemFilter(has_reason=True),
        "flagged": ItemFilter(flagged=False),
    }  # fmt: skip


def in_reasons() -> dict[str, ItemFilter]:
    """Searches in reasons."""
    return {
        "word": ItemFilter(reason="helped"), "rare_word": ItemFilter(reason="Zurich"),
        "phrase": ItemFilter(reason="Promised harm"), "regex": ItemFilter(reason_regex=r"harm\w* \d+7 "),
        "any_case_regex": ItemFilter(reason_regex=r"(?i)\bstole\b.*\bmoney\b"),
    }  # fmt: skip


def measure(folder: Path) -> dict[str, object]:
    """Everything, in this process."""
    from dfar_toolkit.browsing.facets import facets
    from dfar_toolkit.browsing.item_index import ItemIndex
    from dfar_toolkit.browsing.item_record import item_record
    from dfar_toolkit.browsing.paging import found_rows, neighbours, page
    from dfar_toolkit.browsing.reason_search import read_reasons
    from dfar_toolkit.browsing.slices import error_slices

    paths = [folder / f"run_{run}" for run in range(RUNS)]
    before = peak_mib()
    start = time.perf_counter()
    index = ItemIndex(folder / "items", runs=paths)
    first = ["item_id", "statement", "label", "split"]
    page(index, found_rows(index, ItemFilter()), 0, first)
    first_page = round(1000 * (time.perf_counter() - start), 1)
    rest = {name: once(lambda name=name: index.column(name)) for name in index.columns}
    made = round(1000 * (time.perf_counter() - start), 1)
    after_index = peak_mib()
    filters, of_reasons = one_of_each(), in_reasons()

    def anew(work: Callable[[], object]) -> float:
        """Milliseconds with nothing of filters remembered."""
        taken = []
        for _ in range(REPEATS):
            index.flag([])
            taken.append(once(work))
        return min(taken)

    index.column("flagged")
    by_filter = {name: anew(lambda one=one: found_rows(index, one)) for name, one in filters.items()}
    some = ItemFilter(text="harm", split=("test",), differs=("run_0",), disagreement=(0.3, None))
    found = found_rows(index, some)
    everything = found_rows(index, ItemFilter())
    row = int(found.rows[len(found) // 2])
    shown = [*first, "disagreement", *(f"answer run_{run}" for run in range(RUNS))]
    return {
        "first_page_ms": first_page,
        "columns_ms": {name: taken for name, taken in rest.items() if taken > 0.5},
        "whole_index_ms": made, "mib_before": before, "mib_after_index": after_index,
        "filters_ms": by_filter,
        "four_conditions_ms": anew(lambda: found_rows(index, some)), "four_conditions_n": len(found),
        "sorted_by_disagreement_ms": anew(lambda: found_rows(index, ItemFilter(), order="-disagreement")),
        "facets_first_ms": once(lambda: facets(index, some)), "facets_ms": anew(lambda: facets(index, some)),
        "facets_without_filter_ms": best_of(lambda: facets(index, ItemFilter())),
        "page_ms": best_of(lambda: page(index, everything, 9_000, shown)),
        "neighbours_ms": best_of(lambda: neighbours(found, row)),
        "row_of_ms": best_of(lambda: index.row_of(index.column("item_id")[row])),
        "item_ms": best_of(lambda: item_record(index, row)),
        "peak_mib": peak_mib(),
        "reasons_read_ms": once(lambda: read_reasons(index)),
        "reasons_ms": {name: anew(lambda one=one: found_rows(index, one)) for name, one in of_reasons.items()},
        "peak_mib_with_reasons": peak_mib(),
        "error_slices_ms": once(lambda: error_slices(index, "run_0")), "peak_mib_with_slices": peak_mib(),
    }  # fmt: skip


def main() -> None:
    """All of it, or one step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invent", metavar="FOLDER")
    parser.add_argument("--measure", metavar="FOLDER")
    given = parser.parse_args()
    if given.invent:
        invent(N, Path(given.invent))
        return
    if given.measure:
        print(json.dumps(measure(Path(given.measure))))
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--invent", folder], check=True)
        run = subprocess.run(
            [sys.executable, __file__, "--measure", folder], capture_output=True, text=True, check=True
        )
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    found = {
        "machine": machine,
        "items": N,
        "runs": RUNS,
        "people": PEOPLE,
        "best_of": REPEATS,
        **json.loads(run.stdout),
    }
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
