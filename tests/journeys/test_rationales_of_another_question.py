"""Rationales of a question that is not the primary one are scored against its own labels and options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.comparing import compare_files
from dfar_toolkit.journeys.report import report_data
from dfar_toolkit.journeys.scores import score_file
from marked_items import build_marked_items


@pytest.mark.parametrize("options", [["no", "yes"], None])
def test_the_labels_of_the_question_that_was_asked_are_gold(tmp_path: Path, options: list[str] | None) -> None:
    folder = read_items(build_marked_items(tmp_path))
    names = options or folder.options
    asked = folder.questions.head(1).with_columns(question=pl.lit("other"), options=pl.lit(names))
    ids = folder.items.filter(split="test")["item_id"].to_list()
    gold = folder.targets.filter(pl.col("question") == folder.question, pl.col("item_id").is_in(ids))
    gold = gold.with_columns(question=pl.lit("other"), label=pl.lit(names[1]))
    folder = replace(folder, questions=pl.concat([folder.questions, asked]), targets=pl.concat([folder.targets, gold]))
    probs = [0.25, 0.75, *[0.0] * (len(names) - 2)]
    rows = [
        {"run_id": "r", "item_id": item, "question": "other", "condition": condition, "method": method,
         "operator": operator, "k": k, "label": names[1], "label_probs": probs, "options": names, "n_words": 6}
        for item in ids
        for condition, method, operator, k in (("full", "", "", -1), ("without_top", "attention", "mask", 1))
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(tmp_path / "r.parquet")
    found = score_file(tmp_path / "r.parquet", items=folder, parts=["faithfulness"], n_boot=50).rationales
    assert found.filter(metric="accuracy")["value"].item() == 1.0


def test_labels_too_are_scored_by_the_question_that_was_asked(tmp_path: Path) -> None:
    folder = read_items(build_marked_items(tmp_path))
    primary, names = folder.question, folder.options
    ids = folder.items.filter(split="test")["item_id"].to_list()
    gold = folder.targets.filter(pl.col("question") == primary, pl.col("item_id").is_in(ids))
    people = dict(gold.select("item_id", "label").iter_rows())
    after = {name: names[(at + 1) % len(names)] for at, name in enumerate(names)}  # gold of the other question
    votes = [[int(name == after[label]) for name in names] for label in gold["label"]]
    gold = gold.with_columns(
        question=pl.lit("other"), label=pl.col("label").replace_strict(after), label_counts=pl.Series(votes),
        label_probs=pl.Series(votes, dtype=pl.List(pl.Float64)),
    )  # fmt: skip
    asked = folder.questions.head(1).with_columns(question=pl.lit("other"))
    folder = replace(folder, questions=pl.concat([folder.questions, asked]), targets=pl.concat([folder.targets, gold]))
    for question, said in (("other", {item: after[label] for item, label in people.items()}), (primary, people)):
        rows = [{"run_id": question, "item_id": i, "question": question, "label": said[i],
                 "label_probs": [float(name == said[i]) for name in names]} for i in ids]  # fmt: skip
        pl.DataFrame(rows).write_parquet(tmp_path / f"{question}.parquet")
        table = score_file(tmp_path / f"{question}.parquet", items=folder, n_boot=50).table
        shown = report_data(folder, [tmp_path / f"{question}.parquet"], n_boot=50).scores
        for found in (table, shown):
            assert found.filter(metric="accuracy", subset="all")["value"].item() == 1.0
    of_votes = folder.of_question("other").items.filter(pl.col("item_id").is_in(ids)).sort("item_id")
    assert of_votes["label_probs"].to_list() == gold.sort("item_id")["label_probs"].to_list()
    assert folder.of_question(primary) is folder
    runs = [tmp_path / f"{name}.parquet" for name in ("other", primary)]
    with pytest.raises(TableError, match=r"answer 2 questions \(other: other; label: label\)"):
        report_data(folder, runs, n_boot=50)
    with pytest.raises(TableError, match="answer 2 questions"):
        compare_files(runs, items=folder, n_boot=50)
