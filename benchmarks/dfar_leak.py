"""What the leak in the published DFAR split is worth: one baseline trained twice, scored on the same 500 items.

TF-IDF and logistic regression (scikit-learn's defaults) are trained as published, and once more without every
training row whose statement stands word for word in the test file. Both predictions become outputs files and go
through the toolkit like anybody's: build, score for all / leaked / clean, compare.

    python benchmarks/dfar_leak.py --raw FOLDER_WITH_THE_TWO_CSV_FILES
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dfar_toolkit.corpus.assemble import build_items
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.scores import compare_runs, score_run
from dfar_toolkit.sources import read_source

RESULTS = Path(__file__).parent / "results" / "dfar_leak.json"
SHOWN = ("accuracy", "majority_baseline")


class Leak(NamedTuple):
    """Scores of both runs, and their comparison (without the leaked rows, minus as published)."""

    scores: pl.DataFrame
    differences: pl.DataFrame
    right_wrong: pl.DataFrame
    dropped: int


def measure(raw: Path, work: Path) -> Leak:
    """Build the published split, train twice, score and compare."""
    build_items(read_source("dfar", raw), work / "dfar")
    items = read_items(work / "dfar").items
    train, test = items.filter(pl.col("split") == "train"), items.filter(pl.col("split") == "test")
    leaked = pl.col("leak_kind").is_in(["identical_row", "exact"])
    sources = test.filter(leaked).select(pl.col("leak_of").explode())["leak_of"]
    clean_train = train.filter(~pl.col("item_id").is_in(sources.implode()))
    published = predict(train, test, work / "as-published.csv")
    without = predict(clean_train, test, work / "without-leaked-rows.csv")
    scores = pl.concat([score_run(run, items=work / "dfar") for run in (published, without)])
    compared = compare_runs(published, without, items=work / "dfar")
    return Leak(scores, compared.differences, compared.right_wrong, train.height - clean_train.height)


def predict(train: pl.DataFrame, test: pl.DataFrame, out: Path) -> Path:
    """Train the baseline and write its labels as an outputs file."""
    # max_iter: the default 100 converges here as well, 2000 says so for any split
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=2000))
    model.fit(train["statement"].to_list(), train["label"].to_list())
    labels = model.predict(test["statement"].to_list())
    pl.DataFrame({"item_id": test["item_id"], "label": labels.tolist()}).write_csv(out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder with the two published CSV files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measure(arguments.raw, Path(work))
    fields = ["run_id", "subset", "metric", "value", "low", "high", "n", "method", "note"]
    scores = found.scores.filter(pl.col("metric").is_in(SHOWN) & pl.col("label").is_null()).select(fields)
    wanted = ["subset", "metric", "value", "low", "high", "n", "p_value", "test", "note"]
    differences = found.differences.filter(pl.col("metric") == "accuracy").select(wanted)
    with pl.Config(tbl_rows=50, fmt_str_lengths=60, tbl_hide_dataframe_shape=True, tbl_width_chars=160):
        print(scores, differences, found.right_wrong, sep="\n")
    content = {
        "what": "TF-IDF + logistic regression on DFAR as published and without the leaked training rows",
        "training_rows_left_out": found.dropped,
        "scores": scores.to_dicts(),
        "differences": differences.to_dicts(),
        "right_wrong": found.right_wrong.to_dicts(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
