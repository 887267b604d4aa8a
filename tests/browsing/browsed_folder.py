"""A small items folder with two runs and judgements, whose rows are also there as plain Python for naive loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.files.items import FORMAT, FORMAT_VERSION, write_tables
from dfar_toolkit.files.outputs import outputs_of
from dfar_toolkit.tables import conform

OPTIONS = ["bad", "good"]
HOSTILE = (
    "<script>alert(1)</script>", "![x](http://evil.example/x.png)", "=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)",
    "\tTAB", "\rCR", "\nLF", "＝1+1", "＋1", "－1", "＠x", "\u202egnp.exe", "a,b\"c\"\n'd",
    "שלום عربي", "🙈\u200d", "^.*$",
    "run:0\\:", "", " =1", "\ufeff=1", "%00&a=b#c", "x" * 3000,
)  # fmt: skip


class Browsed(NamedTuple):
    """Where it is, and what it holds: items by row, ratings (row, annotator, value, reason), answers by run and row."""

    items: Path
    runs: tuple[Path, ...]
    judgements: Path
    rows: list[dict[str, Any]]
    ratings: list[tuple[int, str, str, str | None]]
    answers: dict[str, dict[int, dict[str, Any]]]
    bad: dict[str, dict[int, float]]


def write_folder(
    folder: Path, rows: list[dict[str, Any]], ratings: list[tuple[int, str, str, str | None]], *, audit: object = ()
) -> Path:
    """An items folder as the build writes one."""
    folder.mkdir(parents=True)
    n = len(rows)
    texts = ("item_id", "group", "statement", "label", "source", "split", "leak_kind")
    items = pl.DataFrame({name: [row[name] for row in rows] for name in texts}, schema=dict.fromkeys(texts, pl.String))
    items = items.with_columns(
        pl.Series("text_key", [f"{k:016x}" for k in range(n)], dtype=pl.String),
        pl.Series("context", [row.get("context", []) for row in rows], dtype=pl.List(
            pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))),
        pl.lit([], dtype=pl.List(pl.Struct({"annotator_id": pl.String, "value": pl.String, "text": pl.String})))
        .alias("reasons"),
    )  # fmt: skip
    questions = conform(pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS]}), "questions")
    annotations = pl.DataFrame(
        {
            "item_id": [rows[r]["item_id"] for r, *_ in ratings], "annotator_id": [a for _, a, _, _ in ratings],
            "question": ["q"] * len(ratings), "rating_id": [f"r{k}" for k in range(len(ratings))],
            "value": [v for *_, v, _ in ratings], "reason": [t for *_, t in ratings],
        },
        schema=dict.fromkeys(("item_id", "annotator_id", "question", "rating_id", "value", "reason"), pl.String),
    )  # fmt: skip
    people = sorted({a for _, a, _, _ in ratings})
    long_tables = {
        "annotations": conform(annotations, "annotations"), "questions": questions,
        "raters": conform(pl.DataFrame({"annotator_id": people}, schema={"annotator_id": pl.String}), "raters"),
        "targets": conform(pl.DataFrame(schema={"item_id": pl.String, "question": pl.String, "n_ratings": pl.Int64,
                                                "method": pl.String}), "targets"),
    }  # fmt: skip
    write_tables(folder, items=conform(items, "items"), long_tables=long_tables)
    (folder / "audit.json").write_text(json.dumps(audit))
    (folder / "agreement.json").write_text("[]")
    splits = list(dict.fromkeys(row["split"] for row in rows))
    manifest = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "files": {}, "configs": {"default": {"splits": splits}},
        "rows": {}, "audit": {}, "sources": [], "questions": [],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_run(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A run folder as a run leaves it."""
    folder.mkdir(parents=True)
    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
    frame = pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"label": pl.String, "error": pl.String})
    outputs_of(frame, folder, folder.name, questions=questions).write_parquet(folder / "outputs.parquet")
    (folder / "run.json").write_text(json.dumps({"format": "dfar-run", "format_version": 1}))
    return folder


def small_set(folder: Path) -> Browsed:
    """48 items, four people of whom some say nothing, two runs with other rows beside their answers."""
    rows = [
        {
            "item_id": f"made:{'train' if k < 30 else 'test'}:{k:03d}", "group": f"g{k // 2}",
            "statement": HOSTILE[k // 2] if k % 2 else f"I Stole bread {k} times, they SAID.",
            "label": [None, "bad", "good"][k % 3], "source": ["made.a", "made.b", "=made"][k % 3 if k > 5 else 0],
            "split": "train" if k < 30 else "test", "leak_kind": [None, None, "near", "exact"][k % 4],
            "context": [{"field": "why", "role": "", "text": "It rained. " + HOSTILE[k % 24][:50]}],
        }
        for k in range(48)
    ]  # fmt: skip
    ratings = [
        (k, f"made:p{p}", OPTIONS[(k * (p + 1) + p * p) % 7 % 2], [None, "", "  ", HOSTILE[k % 24]][(k + p) % 4])
        for k in range(48)
        for p in range(4)
        if (k * 5 + p * 3) % 7 > 1 and k % 11
    ]
    answers: dict[str, dict[int, dict[str, Any]]] = {"run a": {}, "b:\\$": {}}
    for run, seed in (("run a", 3), ("b:\\$", 5)):
        for k in range(48):
            if (k * seed) % 13 == 0:
                continue
            p = (k * seed * 7 % 19) / 19
            label = None if (k * seed) % 17 == 1 else OPTIONS[int(p >= 0.5)]
            error = "time ran out" if (k * seed) % 19 == 1 else None
            answers[run][k] = {"label": label, "label_probs": [1 - p, p], "error": error}
    runs = tuple(
        write_run(folder / f"run{n}", _run_rows(rows, run, found)) for n, (run, found) in enumerate(answers.items())
    )
    verdicts = [
        (run, k, j, ["good", "bad"][(k * 3 + j * 5) % 4 < 2])
        for run in answers
        for k in range(0, 48, 3)
        for j in range(3)
    ]
    judged = folder / "judgements.jsonl"
    judged.write_text("".join(
        json.dumps({"judge_id": f"j{j}", "run_id": run, "item_id": rows[k]["item_id"], "value": v}) + "\n"
        for run, k, j, v in verdicts
    ))  # fmt: skip
    bad = {
        run: {k: sum(v == "bad" for r, kk, _, v in verdicts if (r, kk) == (run, k)) / 3 for k in range(0, 48, 3)}
        for run in answers
    }
    audit = [
        {"finding": "text.control", "examples": [f"{rows[4]['item_id']}: I stole", f"{rows[9]['item_id']}: x: y"]},
        {"finding": "leak.near", "examples": ["nothing of the kind", f"{rows[4]['item_id']}: I stole"]},
    ]
    return Browsed(
        write_folder(folder / "items", rows, ratings, audit=audit), runs, judged, rows, ratings, answers, bad
    )


def _run_rows(rows: list[dict[str, Any]], run: str, found: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers, and rows that are none: a later sample, one annotator, a test, a rationale, a perturbed input."""
    made = []
    for k, answer in found.items():
        first = {
            "run_id": run, "item_id": rows[k]["item_id"], "reason": f"because {k}", "sample": 1, "annotator_id": "",
            "method": "", "condition": "full", "operator": "", "k": -1, "draw": 0, "word_scores": None, "words": None,
            "evidence": None, **answer,
        }  # fmt: skip
        other = OPTIONS[answer["label"] != "good"]
        made += [
            {**first, "sample": 2, "label": other},
            {**first, "sample": 0, "annotator_id": "made:p1", "label": other},
            {**first, "sample": 0, "method": "cct", "label": other},
            {**first, "sample": 0, "method": "cct", "condition": "inserted", "label": other},
            {**first, "sample": 0, "condition": "empty", "operator": "remove", "label": other},
            {**first, "sample": 0, "method": "attention", "condition": "rationale", "label": None, "label_probs": None,
             "word_scores": [0.25, -1.0], "evidence": [{"field": "statement", "start": 0, "end": 1, "set": 0}],
             "words": [{"field": "statement", "start": 0, "end": 1}, {"field": "statement", "start": 2, "end": 7}]},
            {**first, "sample": 0, "method": "attention", "condition": "without_top", "operator": "remove", "k": 1,
             "label": other},
            first,
        ]  # fmt: skip
    return made
