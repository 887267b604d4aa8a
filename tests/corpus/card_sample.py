"""A small items folder written by hand: what the card, its head and the croissant file are tried on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

REASON = pl.Struct({"annotator_id": pl.String, "value": pl.String, "text": pl.String})
CONTEXT = pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String})
EVIDENCE = pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64, "set": pl.Int64})
OPTIONS = ["ethical", "unethical"]
ITEMS = pl.Schema(
    {
        "item_id": pl.String(),
        "source": pl.String(),
        "config": pl.String(),
        "split": pl.String(),
        "group": pl.String(),
        "statement": pl.String(),
        "context": pl.List(CONTEXT),
        "option_texts": pl.List(pl.String),
        "label": pl.Int64(),
        "label_counts": pl.List(pl.Int64),
        "label_probs": pl.List(pl.Float64),
        "reasons": pl.List(REASON),
        "leak_kind": pl.String(),
        "leak_of": pl.List(pl.String),
        "leak_against": pl.String(),
        "text_key": pl.String(),
        "extra": pl.String(),
    }
)
ANNOTATIONS = pl.Schema(
    {
        "item_id": pl.String(),
        "annotator_id": pl.String(),
        "question": pl.String(),
        "rating_id": pl.String(),
        "value": pl.String(),
        "value_num": pl.Float64(),
        "reason": pl.String(),
        "evidence": pl.List(EVIDENCE),
        "foil": pl.String(),
        "weight": pl.Float64(),
        "occasion": pl.Int64(),
        "at": pl.String(),
    }
)
RATERS = pl.Schema({"annotator_id": pl.String(), "kind": pl.Enum(["human", "model"]), "age_band": pl.String()})
TARGETS = pl.Schema(
    {
        "item_id": pl.String(),
        "question": pl.String(),
        "label": pl.String(),
        "label_counts": pl.List(pl.Int64),
        "label_probs": pl.List(pl.Float64),
        "value": pl.Float64(),
        "n_ratings": pl.Int64(),
        "method": pl.String(),
    }
)
QUESTIONS = pl.Schema(
    {
        "question": pl.String(),
        "kind": pl.Enum(["nominal", "ordinal"]),
        "options": pl.List(pl.String),
        "wording": pl.String(),
    }
)
SCHEMAS = {
    "default": ITEMS,
    "annotations": ANNOTATIONS,
    "raters": RATERS,
    "targets": TARGETS,
    "questions": QUESTIONS,
}


def items(split: str, labels: list[int | None]) -> pl.DataFrame:
    """One item per label; the last has no context and no reasons."""
    n = len(labels)
    return pl.DataFrame(
        {
            "item_id": [f"demo:{split}:{i:05d}" for i in range(n)],
            "source": ["demo"] * n,
            "config": ["default"] * n,
            "split": [split] * n,
            "group": [f"{split}{i}" for i in range(n)],
            "statement": [f"I did thing {i}." for i in range(n)],
            "context": [[{"field": "where", "role": "", "text": "at home"}]] * (n - 1) + [[]],
            "option_texts": [None] * n,
            "label": labels,
            "label_counts": [[2, 1]] * n,
            "label_probs": [[2 / 3, 1 / 3]] * n,
            "reasons": [[{"annotator_id": "demo:a", "value": "ethical", "text": "Why not?"}]] * (n - 1) + [[]],
            "leak_kind": [None] * n,
            "leak_of": [None] * n,
            "leak_against": [None] * n,
            "text_key": ["0" * 16] * n,
            "extra": ["{}"] * n,
        },
        schema=ITEMS,
    )


def tables() -> dict[str, pl.DataFrame]:
    """The tables beside the items."""
    judged = [f"demo:train:{i:05d}" for i in range(3) for _ in range(2)]
    people = ["demo:a", "demo:b"] * 3
    annotations = pl.DataFrame(
        {
            "item_id": judged,
            "annotator_id": people,
            "question": ["conduct"] * 6,
            "rating_id": [f"r{i}" for i in range(6)],
            "value": ["ethical", "unethical"] * 3,
            "value_num": [None] * 6,
            "reason": ["Why not?", None] * 3,
            "evidence": [[{"field": "statement", "start": 0, "end": 1, "set": 0}], [], None] * 2,
            "foil": [None] * 6,
            "weight": [1.0] * 6,
            "occasion": [0] * 6,
            "at": [None] * 6,
        },
        schema=ANNOTATIONS,
    )
    raters = {"annotator_id": ["demo:a", "demo:b"], "kind": ["human"] * 2, "age_band": ["18-29", None]}
    targets = {"item_id": ["demo:train:00000"], "question": ["conduct"], "label": ["ethical"]}
    targets |= {"label_counts": [[2, 1]], "label_probs": [[2 / 3, 1 / 3]], "value": [None]}
    targets |= {"n_ratings": [3], "method": ["majority"]}
    questions = {"question": ["conduct"], "kind": ["nominal"], "options": [OPTIONS], "wording": ["Is it right?"]}
    return {
        "annotations": annotations,
        "raters": pl.DataFrame(raters, schema=RATERS),
        "targets": pl.DataFrame(targets, schema=TARGETS),
        "questions": pl.DataFrame(questions, schema=QUESTIONS),
    }


def manifest() -> dict[str, Any]:
    """A manifest that fits the frames above, apart from sizes and digests; numbers told apart on purpose."""
    return {
        "format": "dfar-items",
        "format_version": 1,
        "name": "demo",
        "title": "Demo of conduct",
        "sources": [
            {
                "name": "demo",
                "title": "Demo of conduct",
                "licence": "mit",
                "homepage": "https://example.org/demo?a=1",
                "citation": "@misc{demo,\n  title = {Demo},\n  year = {2024}\n}",
                "languages": ["en"],
                "notes": ["Invented for a test."],
                "files": [{"name": "demo.csv", "sha256": "ab" * 32, "n_bytes": 4321, "rows": 41}],
                "dropped": [{"file": "demo.csv", "reason": "no statement", "count": 34, "examples": ["line 9"]}],
                "repairs": ["a byte-order mark at the start"],
            }
        ],
        "rows": {"items": 7, "annotations": 6, "raters": 2, "targets": 1, "questions": 1},
        "configs": {
            "default": {
                "splits": {
                    "train": {
                        "rows": 4,
                        "n_bytes": 1234,
                        "groups": 4,
                        "labels": {"ethical": 2, "unethical": 1},
                        "unlabelled": 1,
                    },
                    "test": {
                        "rows": 3,
                        "n_bytes": 567,
                        "groups": 3,
                        "labels": {"ethical": 2, "unethical": 1},
                        "unlabelled": 0,
                    },
                }
            }
        },
        "tables": {
            "annotations": {"rows": 6, "n_bytes": 88},
            "raters": {"rows": 2, "n_bytes": 77},
            "targets": {"rows": 1, "n_bytes": 66},
            "questions": {"rows": 1, "n_bytes": 55},
        },
        "questions": [{"question": "conduct", "kind": "nominal", "options": OPTIONS, "wording": "Is it right?"}],
        "split": {"method": "published", "seed": 0, "note": ""},
        "groups": {"count": 7, "largest": 1, "note": ""},
        "annotators": {
            "count": 2,
            "known": True,
            "models": [],
            "pseudonyms": True,
            "bands": {"age_band": {"18-29": 1, "unknown": 1}},
            "ratings_per_item": {"min": 2, "median": 2.5, "max": 3},
            "ratings_per_annotator": {"min": 3, "median": 3.0, "max": 3},
            "ratings": 6,
            "with_reason": 3,
        },
        "disagreement": {"items": 1, "of": 3},
        "divided": [
            {"question": "conduct", "of": 3, "minority": [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], "tied": 0, "entropy": 0.306}
        ],
        "shown": [{"config": "default", "field": "where", "role": "", "items": 5}],
        "changes": None,
        "audit": {"failed": ["label.conflict"], "accepted": ["leak.exact"]},
        "files": {},
        "content_digest": {"default": "cd" * 32, "annotations": "ef" * 32},
        "seed": 0,
        "tools": {"dfar_toolkit": "0.1.0", "polars": "2.1.0"},
    }


def audit() -> list[dict[str, Any]]:
    """Three findings: one accepted leak, one failure, one clean."""
    leak = {"finding": "leak.exact", "severity": "fail", "count": 189, "total": 500, "note": ""}
    conflict = {"finding": "label.conflict", "severity": "fail", "count": 13, "total": 500, "note": ""}
    clean = {"finding": "reason.empty", "severity": "warn", "count": 0, "total": 500, "examples": [], "note": ""}
    return [
        {**leak, "examples": ["demo:test:00001", "demo:test:00002"]},
        {**conflict, "examples": [{"text_key": "f" * 16, "labels": ["ethical", "unethical"]}]},
        clean,
    ]


def agreement() -> list[dict[str, Any]]:
    """One number with an interval and one that is undefined."""
    common = {"question": "conduct", "n": 3, "method": "bootstrap", "unit": "groups", "n_units": 3}
    common |= {"confidence": 0.95, "scope": "items"}
    alpha = {"statistic": "krippendorff_alpha", "name": "Krippendorff's alpha", "level": "nominal", "note": ""}
    kappa = {"statistic": "fleiss_kappa", "name": "Fleiss' kappa", "level": "nominal", "note": "unequal counts"}
    return [
        {**alpha, "value": 0.3471, "low": 0.3112, "high": 0.3833, **common},
        {**kappa, "value": None, "low": None, "high": None, **common},
    ]


def write_data(folder: Path) -> dict[str, Any]:
    """Write the parquet files of the folder and return the manifest with their sizes and digests."""
    facts = manifest()
    frames = {f"data/default/{s}.parquet": items(s, labels) for s, labels in _LABELS.items()}
    frames |= {f"{name}.parquet": frame for name, frame in tables().items()}
    for name, frame in frames.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)
        data = path.read_bytes()
        facts["files"][name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "n_bytes": len(data),
            "rows": len(frame),
        }
    for split, row in facts["configs"]["default"]["splits"].items():
        row["n_bytes"] = facts["files"][f"data/default/{split}.parquet"]["n_bytes"]
    for table, row in facts["tables"].items():
        row["n_bytes"] = facts["files"][f"{table}.parquet"]["n_bytes"]
    (folder / "audit.json").write_text(json.dumps(audit()))
    (folder / "agreement.json").write_text(json.dumps(agreement()))
    (folder / "manifest.json").write_text(json.dumps(facts))
    return facts


_LABELS: dict[str, list[int | None]] = {"train": [0, 1, None, 0], "test": [1, 0, 0]}
