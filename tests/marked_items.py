"""A small set in the layout of HateXplain, built: three people per text, and the words that they marked."""

from __future__ import annotations

import json
from pathlib import Path

TRAIN, TEST = 12, 6
_MARKS = [[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]]


def build_marked_items(folder: Path, *, marked: bool = True) -> Path:
    """The items folder: ``hatespeech`` where the third word is "vile", which most people marked; else ``normal``."""
    from dfar_toolkit.corpus.assemble import BuildOptions, build_items
    from dfar_toolkit.sources import read_source

    raw = folder / "raw"
    raw.mkdir(parents=True)
    posts: dict[str, object] = {}
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for at in range(TRAIN + TEST):
        bad = at % 2 == 0
        words = ["they", "are", "vile" if bad else "kind", f"folk{at}", "in", "😀"]
        label = "hatespeech" if bad else "normal"
        people = [{"label": label, "annotator_id": 10 + k, "target": ["None"]} for k in range(3)]
        posts[f"{at}_gab"] = {
            "post_id": f"{at}_gab", "annotators": people, "post_tokens": words,
            "rationales": _MARKS if bad and marked else [],
        }  # fmt: skip
        splits["train" if at < TRAIN else "test"].append(f"{at}_gab")
    (raw / "dataset.json").write_text(json.dumps(posts), encoding="utf-8")
    (raw / "post_id_divisions.json").write_text(json.dumps(splits), encoding="utf-8")
    build_items(read_source("hatexplain", raw), folder / "items", options=BuildOptions())
    return folder / "items"
