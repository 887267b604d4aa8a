"""A small items folder with outputs and judgements, hostile text included, written by the package's own writers."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from dfar_toolkit.files.items import FORMAT, FORMAT_VERSION, file_facts, write_json, write_tables
from dfar_toolkit.tables import conform

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
LINK = "![look](http://outside.example/x.png) **bold** $x$ :red[red]"
OPTIONS = ["ethical", f"unethical {LINK}"]


def write_example(root: Path, *, options: list[str] | None = None, n_items: int = 120) -> Path:
    """Write ``items/``, two runs, ``broken.jsonl`` and ``judgements.csv``; the items folder."""
    options = OPTIONS if options is None else options
    folder = root / "items"
    folder.mkdir(parents=True)
    items, annotations = _items(options, n_items), _annotations(options, n_items)
    question = {"question": "label", "kind": "nominal", "options": options}
    raters = {"annotator_id": ["x:a", "x:b", "x:c"], "age_band": ["18-29", SCRIPT, None]}
    long_tables = {
        "annotations": annotations,
        "raters": conform(pl.DataFrame(raters), "raters"),
        "targets": _targets(items),
        "questions": conform(pl.DataFrame([question]), "questions"),
    }
    write_tables(folder, items=items, long_tables=long_tables)
    write_json(folder, "audit.json", _audit())
    write_json(folder, "agreement.json", _agreement())
    write_json(folder, "manifest.json", _manifest(folder, items, annotations))
    _outputs(root, options, n_items)
    _judgements(root)
    return folder


def _manifest(folder: Path, items: pl.DataFrame, annotations: pl.DataFrame) -> dict[str, object]:
    splits = {}
    for (split,), part in items.group_by("split", maintain_order=True):
        labels = dict(part["label"].value_counts().sort("label").iter_rows())
        splits[str(split)] = {"rows": part.height, "labels": labels, "unlabelled": 0}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": f"example {SCRIPT}",
        "title": f"Example {SCRIPT}",
        "sources": [],
        "questions": [{"question": "label"}],
        "seed": 0,
        "tools": {},
        "rows": {"items": items.height, "annotations": annotations.height},
        "configs": {"default": {"splits": splits}},
        "annotators": {
            "count": 3, "known": True, "with_reason": annotations.height,
            "bands": {"age_band": {"18-29": 1, SCRIPT: 1}},
            "ratings_per_item": {"min": 3, "median": 3, "max": 3},
        },
        "disagreement": {"items": items.height // 2, "of": items.height},
        "groups": {"count": items["group"].n_unique()},
        "split": {"method": "published"},
        "audit": {"failed": ["leak.exact"], "accepted": []},
        "content_digest": {"default": "0" * 64},
        "files": file_facts(folder),
    }  # fmt: skip


def item_id(k: int) -> str:
    return f"x:{'train' if k % 3 else 'test'}:{k:05d}"


def _statement(k: int) -> str:
    hostile = {0: SCRIPT, 3: IMAGE, 6: LINK}
    return hostile.get(k, f"I told my neighbour number {k} that I had seen nothing,\nalthough I had.")


def _votes(k: int, options: list[str]) -> list[str]:
    first, second = options
    return [[first] * 3, [first, first, second], [second, second, first], [second] * 3][k % 4]


def _items(options: list[str], n_items: int) -> pl.DataFrame:
    rows = []
    for k in range(n_items):
        counts = [_votes(k, options).count(o) for o in options]
        leak = {0: "exact", 3: "near"}.get(k)
        rows.append(
            {
                "item_id": item_id(k), "source": "x", "split": item_id(k).split(":")[1], "group": f"g{k // 2}",
                "statement": _statement(k), "context": [], "label": options[counts.index(max(counts))],
                "label_counts": counts, "label_probs": [c / 3 for c in counts], "reasons": [], "text_key": f"{k:016d}",
                "leak_kind": leak, "leak_of": [item_id(1)] if leak else None, "leak_against": "train" if leak else None,
            }
        )  # fmt: skip
    frame = pl.DataFrame(rows, schema_overrides={"leak_kind": pl.String, "leak_of": pl.List(pl.String)})
    return conform(frame.sort("split", "item_id", descending=[True, False]), "items")


def _annotations(options: list[str], n_items: int) -> pl.DataFrame:
    rows = [
        {
            "item_id": item_id(k), "annotator_id": f"x:{'abc'[j]}", "question": "label",
            "rating_id": f"{item_id(k)}#{j + 1}", "value": vote,
            "reason": IMAGE if (k, j) == (0, 0) else f"Person {'abc'[j]} says it is {vote.split()[0]}, on the whole.",
        }
        for k in range(n_items)
        for j, vote in enumerate(_votes(k, options))
    ]  # fmt: skip
    return conform(pl.DataFrame(rows), "annotations")


def _targets(items: pl.DataFrame) -> pl.DataFrame:
    aggregate = items.select("item_id", pl.lit("label").alias("question"), "label", "label_counts", "label_probs")
    beside = [pl.lit(3).alias("n_ratings"), pl.lit("majority").alias("method"), pl.lit(None, pl.Float64).alias("value")]
    return conform(aggregate.with_columns(beside), "targets")


def _audit() -> list[dict[str, object]]:
    found = {"finding": "leak.exact", "severity": "fail", "count": 2, "total": 40, "examples": [SCRIPT], "note": LINK}
    clean = {"finding": "label.range", "severity": "fail", "count": 0, "total": 120, "examples": [], "note": ""}
    return [found, clean]


def _agreement() -> list[dict[str, object]]:
    alpha = {
        "statistic": "krippendorff_alpha", "level": "nominal", "question": "label", "value": 0.4, "low": 0.3,
        "high": 0.5, "n": 360, "note": "", "n_units": 60, "unit": "groups", "method": "bootstrap", "confidence": 0.95,
    }  # fmt: skip
    undefined = {**alpha, "statistic": "cohen_kappa", "value": None, "low": None, "high": None, "note": "three raters"}
    return [alpha, undefined]


def _outputs(root: Path, options: list[str], n_items: int) -> None:
    asked = range(0, n_items, 3)
    plain = [
        {"run_id": f"plain {LINK}", "item_id": item_id(k), "label": options[k % 2] if k % 9 else None,
         "raw": None if k % 9 else SCRIPT}
        for k in asked
    ]  # fmt: skip
    reasons = [
        {"run_id": "reasons", "item_id": item_id(k), "label": options[(k // 2) % 2],
         "label_probs": [0.75, 0.25] if (k // 2) % 2 == 0 else [0.25, 0.75],
         "reason": SCRIPT if k == 0 else "Keeping silent protects somebody here."}
        for k in asked
    ]  # fmt: skip
    for name, rows in (("plain", plain), ("reasons", reasons)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (root / "broken.jsonl").write_text('{"item_id": "x"\n', encoding="utf-8")


def _judgements(root: Path) -> None:
    head = "judge_id,run_id,item_id,rating,value,note"
    model = [f"j{j},reasons,{item_id(k)},,{'bad' if (k + j) % 4 == 0 else 'good'},{LINK if k == 0 else ''}"
             for k in range(0, 60, 3) for j in range(3)]  # fmt: skip
    people = [f"j{j},human,{item_id(k)},1,{'bad' if k + j == 3 else 'good'},"
              for k in range(0, 60, 3) for j in range(3)]  # fmt: skip
    (root / "judgements.csv").write_text("\n".join([head, *model, *people]) + "\n", encoding="utf-8")
