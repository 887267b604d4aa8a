"""A set of two configs with a question each, whose splits and labels have the same names, and runs on other splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from browsed_folder import write_folder

from dfar_toolkit.files.items import read_items, write_tables

CONFIGS = ("default", "other")
OPTIONS = {"default": ["bad", "good"], "other": ["good", "bad", "unsure"]}


def two_questions(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The items folder, and its items with ``config`` as plain Python; three people rate every item."""
    rows = [
        {
            "item_id": f"made:{k}", "group": f"g{k // 2}", "statement": f"Statement {k} of the set.",
            "label": [None, "bad", "good"][k % 3], "source": "made", "leak_kind": None,
            "split": "train" if k % 5 < 2 else "test", "config": CONFIGS[k % 7 > 2],
        }
        for k in range(240)
    ]  # fmt: skip
    ratings = [(k, f"made:p{p}", ["bad", "good"][(k * (p + 1)) % 5 % 2], None) for k in range(240) for p in range(3)]
    for row in rows:
        row["text_key"] = ""
    write_folder(folder, rows, ratings)
    read = read_items(folder, verify=False)
    asked = {row["item_id"]: row["config"] for row in rows}
    config = pl.col("item_id").replace_strict(asked, return_dtype=pl.String)
    question = pl.when(config == "other").then(pl.lit("r")).otherwise(pl.lit("q")).alias("question")
    questions = pl.DataFrame({
        "question": ["q", "r"], "kind": ["nominal"] * 2, "options": [OPTIONS[c] for c in CONFIGS], "wording": ["", ""],
        "primary_of": list(CONFIGS),
    })  # fmt: skip
    items = read.items.with_columns(config.alias("config"))
    for split in ("train", "test"):
        (folder / "data" / "default" / f"{split}.parquet").unlink()
    write_tables(folder, items=items, long_tables={
        "annotations": read.annotations.with_columns(question), "raters": read.raters, "targets": read.targets,
        "questions": questions,
    })  # fmt: skip
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["configs"] = {name: {"splits": ["train", "test"]} for name in CONFIGS}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder, rows


def write_answers(file: Path, rows: list[dict[str, Any]], *, splits: tuple[str, ...]) -> Path:
    """A run named by its file that answers most items of these splits, often right."""
    file.write_text("".join(
        json.dumps({
            "run_id": file.stem, "item_id": row["item_id"], "question": "r" if row["config"] == "other" else "q",
            "label": None if k % 11 == 3 else (row["label"] or "good") if (k + len(file.stem)) % 4 else "bad",
        }) + "\n"
        for k, row in enumerate(rows) if row["split"] in splits and k % 13
    ))  # fmt: skip
    return file
