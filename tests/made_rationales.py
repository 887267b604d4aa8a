"""Outputs of an explained run made by hand: three items of four words, attention, random words, people's marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from dfar_toolkit.tables import conform

TEXT = "w1 w2 w3 w4"
WORDS = [{"field": "statement", "start": at, "end": at + 2} for at in (0, 3, 6, 9)]
SHARES = (0.1, 0.25, 0.5)  # of four words: 1, 1, 2
FULL = {"i1": ("a", 0.75), "i2": ("a", 0.875), "i3": ("b", 0.75)}
EMPTY = {"i1": 0.25, "i2": 0.25, "i3": 0.625}
SCORES = {"i1": [1.0, 0.0, 0.0, 0.5], "i2": [0.9, 0.8, 0.1, 0.0], "i3": [0.4, 0.3, 0.2, 0.1]}
# Probability of the predicted label without the top word, and without the top two.
ATTENTION = {"i1": (0.25, 0.125), "i2": (0.75, 0.25), "i3": (0.625, 0.375)}
RANDOM = {
    "i1": ((0.5625, 0.5625), (0.6875, 0.5625)), "i2": ((0.875, 0.75), (0.75, 0.625)),
    "i3": ((0.75, 0.75), (0.25, 0.5625)),
}  # fmt: skip
MARKED: dict[str, list[int]] = {"i1": [0], "i2": [1, 2], "i3": [], "i4": [3]}
HUMAN = {"i1": 0.5625, "i2": 0.25}  # without the words that people marked


def spans(at: Sequence[int]) -> list[dict[str, Any]]:
    return [{**WORDS[number], "set": 0} for number in at]


def outputs(run: str = "r", *, random: bool = True, constant: bool = False) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []

    def add(item: str, condition: str, method: str = "", k: int = -1, draw: int = 0, **more: Any) -> None:
        operator = "" if condition in ("full", "rationale") else "mask"
        key = {"run_id": run, "item_id": item, "question": "q", "condition": condition, "method": method, "k": k,
               "draw": draw, "operator": operator}  # fmt: skip
        rows.append({**key, "output_id": "/".join(map(str, key.values())), "n_words": 4, **more})

    def said(item: str, p: float) -> dict[str, Any]:
        label = FULL[item][0]
        probs = [p, 1 - p] if label == "a" else [1 - p, p]
        probs = [1.0, 0.0] if constant else probs
        return {"label": "ab"[probs[1] > probs[0]], "label_probs": probs, "options": ["a", "b"], "probs_kind": "forced"}

    def without(item: str, method: str, falls: Sequence[float], draw: int = 0) -> None:
        for k, shares in ((1, [0.1, 0.25]), (2, [0.5])):
            for side in ("without_top", "only_top"):
                p = falls[k - 1] if side == "without_top" else 1 - falls[k - 1]
                add(item, side, method, k, draw, share=shares[0], shares=shares, n_removed=k, **said(item, p))
        if size := len(MARKED[item]):
            for side in ("without_evidence", "only_evidence"):
                p = falls[size - 1] if side == "without_evidence" else 1 - falls[size - 1]
                add(item, side, method, -1, draw, n_removed=size, **said(item, p))

    for item, (_, p) in FULL.items():
        add(item, "full", **said(item, p))
        add(item, "empty", n_removed=4, **said(item, EMPTY[item]))
        add(item, "rationale", "attention", word_scores=SCORES[item], words=WORDS, dtype="float32")
        add(item, "rationale", "human", evidence=spans(MARKED[item]), words=WORDS)
        without(item, "attention", ATTENTION[item])
        for draw, falls in enumerate(RANDOM[item] if random else ()):
            without(item, "random", falls, draw)
        if item in HUMAN:
            add(item, "without_evidence", "human", n_removed=len(MARKED[item]), **said(item, HUMAN[item]))
            add(item, "only_evidence", "human", n_removed=len(MARKED[item]), **said(item, 0.5625))
    return conform(pl.DataFrame(rows, infer_schema_length=None), "outputs")


def items() -> pl.DataFrame:
    """Four of the test split, the last of which no run speaks of, and one of another split."""
    frame = pl.DataFrame({
        "item_id": ["i1", "i2", "i3", "i4", "j1"], "label": ["a", "a", "b", "b", "b"],
        "group": ["g", "g", "h", "h", "k"],
        "split": ["test"] * 4 + ["train"], "text_key": [f"{n:016x}" for n in range(5)],
    })  # fmt: skip
    return conform(
        frame.with_columns(source=pl.lit("x"), statement=pl.lit(TEXT), context=pl.lit([]), reasons=pl.lit([])), "items"
    )


def annotations() -> pl.DataFrame:
    rows = [{"item_id": item, "annotator_id": "x:1", "question": "q", "rating_id": item, "value": "a",
             "evidence": spans(at)} for item, at in {**MARKED, "j1": [0]}.items()]  # fmt: skip
    return conform(pl.DataFrame(rows, infer_schema_length=None), "annotations")
