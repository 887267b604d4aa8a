"""Rationales of a question that is not the primary one are scored against its own labels and options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.files.items import read_items
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
