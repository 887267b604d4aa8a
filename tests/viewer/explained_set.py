"""A built set whose words people marked, and runs about it that hold rationales, changed items, tests, or neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.outputs import outputs_of
from marked_items import build_marked_items

HOSTILE = "<img src=x onerror=alert(1)>![m](http://outside.example)&"
METHODS = ("attention", HOSTILE)
SHARES = (0.1, 0.5)  # of six words: 1, 3


class Explained(NamedTuple):
    """The items, run folders by name, and the items as they are read."""

    items: Path
    runs: dict[str, Path]
    folder: ItemsFolder


def explained_set(root: Path) -> Explained:
    """Runs ``why`` (everything), ``words`` (rationales alone), ``early`` (a test of reasons), ``plain`` (answers)."""
    at = build_marked_items(root)
    folder = read_items(at)
    test = folder.items.filter(split="test").sort("item_id")
    rows = {
        "why": _explained(test, folder.options),
        "words": [r for r in _explained(test, folder.options) if r["condition"] in ("full", "rationale")],
        "early": _early(test, folder.options),
        "plain": [r for r in _explained(test, folder.options) if r["condition"] == "full"],
    }
    return Explained(at, {name: _written(root / name, own, folder) for name, own in rows.items()}, folder)


def _written(at: Path, rows: list[dict[str, Any]], folder: ItemsFolder) -> Path:
    at.mkdir()
    frame = pl.DataFrame(rows, infer_schema_length=None)
    outputs_of(frame, at, at.name, questions=folder.questions).write_parquet(at / "outputs.parquet")
    (at / "run.json").write_text('{"format": "dfar-run", "format_version": 1}')
    return at


def _explained(test: pl.DataFrame, options: list[str]) -> list[dict[str, Any]]:
    rows = []
    for n, (item_id, text) in enumerate(test.select("item_id", "statement").iter_rows()):
        words, end = [], 0
        for word in text.split(" "):
            words.append({"field": "statement", "start": end, "end": end + len(word)})
            end += len(word) + 1
        own = {"item_id": item_id, "n_words": len(words)}
        rows += [_row(**own, condition="full", **_said(n, 0, options)),
                 _row(**own, condition="empty", operator="mask", **_said(n, 7, options))]  # fmt: skip
        for m, method in enumerate((*METHODS, "random", "random")):
            draw = int(m == 3)
            scores = [float((3 * at + n + m) % 5) for at in range(len(words))]
            rows.append(_row(**own, condition="rationale", method=method, draw=draw, word_scores=scores, words=words,
                             dtype="float32"))  # fmt: skip
            for k, shares in ((1, [0.1]), (3, [0.5])):
                for condition in ("without_top", "only_top"):
                    rows.append(_row(
                        **own, condition=condition, method=method, draw=draw, operator="mask", k=k, share=shares[0],
                        shares=shares, n_removed=k, **_said(n, k + 5 * m + 3 * (condition == "only_top"), options),
                    ))  # fmt: skip
    return rows


def _row(**said: Any) -> dict[str, Any]:
    empty = {"method": "", "operator": "", "k": -1, "draw": 0, "label": None, "label_probs": None, "reason": None,
             "word_scores": None, "words": None, "evidence": None, "share": None, "shares": None, "n_removed": None,
             "dtype": None}  # fmt: skip
    return {**empty, **said}


def _said(n: int, turn: int, options: list[str]) -> dict[str, Any]:
    """Sixteenths for the first of the options, the rest for the second; one answer in some has no label."""
    p = ((5 * n + 3 * turn) % 16 + 0.5) / 16
    probs = [p, 1 - p, *[0.0] * (len(options) - 2)]
    label = None if turn and (n + turn) % 11 == 0 else options[int(p < 0.5)]
    return {"label": label, "label_probs": probs}


def _early(test: pl.DataFrame, options: list[str]) -> list[dict[str, Any]]:
    rows = []
    for n, item_id in enumerate(test["item_id"]):
        rows.append(_row(item_id=item_id, condition="full", reason="One. Two.", label=options[0]))
        rows.append(_row(item_id=item_id, condition="cot_full", method="cot_early", label=options[0]))
        rows += [
            _row(item_id=item_id, condition="cot_early", method="cot_early", operator="sentences", share=share,
                 draw=at, label=options[int(n % 3 > 2 * share)])
            for at, share in enumerate((0.0, 0.5, 1.0))
        ]  # fmt: skip
    return rows
