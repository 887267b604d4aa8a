"""ERASER's and Carton's published numbers from an outputs file and an items folder, where conventions coincide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import pytest

from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.journeys.scores import score_file
from dfar_toolkit.sources import read_source

pytestmark = pytest.mark.real
LABELS: Final = ("neg", "neu", "pos")
FIELD: Final = "document"
WORDS: Final = 12
SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.5)
AVERAGES: Final = {"micro": "instance_micro", "macro": "instance_macro"}
PARTS: Final = {"precision": "p", "recall": "r", "f1": "f1"}
CARTON: Final = {"full": "p_full", "empty": "p_empty_input", "only_evidence": "p_rationale_only",
                 "without_evidence": "p_rationale_removed"}  # fmt: skip
Spans = Sequence[Sequence[int]]


class Document(NamedTuple):
    """One document of a case: its name, people's spans in words, and how many words it has."""

    name: str
    human: Spans
    n_words: int = WORDS


def of_group(cases: Path, *groups: str) -> list[dict[str, Any]]:
    found = json.loads((cases / "faith_cases.json").read_text(encoding="utf-8"))["cases"]
    return [case for case in found if case["group"] in groups]


def items_folder(at: Path, documents: Sequence[Document]) -> Path:
    """A set in ERASER's layout, every document a statement of words w0, w1, ..., built as a user builds it."""
    raw = at / "movies"
    (raw / "docs").mkdir(parents=True)
    lines = []
    for n, one in enumerate(documents):
        (raw / "docs" / one.name).write_text(" ".join(f"w{k}" for k in range(one.n_words)) + "\n", encoding="utf-8")
        groups = [
            [{"docid": one.name, "start_token": a, "end_token": b, "text": " ".join(f"w{k}" for k in range(a, b)),
              "start_sentence": -1, "end_sentence": -1}]
            for a, b in one.human
        ]  # fmt: skip
        lines.append({"annotation_id": one.name, "query": "Is it so ?", "query_type": None, "docids": [one.name],
                      "classification": LABELS[n % 3], "evidences": groups})  # fmt: skip
    (raw / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    build_items(read_source("eraser", raw), at / "items", options=BuildOptions())
    return at / "items"


def word_places(n: int, field: str) -> list[dict[str, Any]]:
    ends = [len(" ".join(f"w{k}" for k in range(at + 1))) for at in range(n)]
    return [{"field": field, "start": end - len(f"w{at}"), "end": end} for at, end in enumerate(ends)]


def row(run: str, item: str, condition: str, method: str = "", **said: Any) -> dict[str, Any]:
    blank = {"operator": "", "k": -1, "label": None, "label_probs": None, "options": list(LABELS), "n_words": WORDS,
             "word_scores": None, "words": None, "evidence": None, "share": None, "n_removed": None}  # fmt: skip
    return {"run_id": run, "item_id": item, "question": "classification", "condition": condition, "method": method,
            **blank, **said}  # fmt: skip


def scored(at: Path, items: Path, rows: list[dict[str, Any]], part: str) -> pl.DataFrame:
    kinds = {"evidence": pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64, "set": pl.Int64})),
             "words": pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64})),
             "word_scores": pl.List(pl.Float64), "label_probs": pl.List(pl.Float64), "label": pl.String,
             "share": pl.Float64, "n_removed": pl.Int64}  # fmt: skip
    pl.DataFrame(rows, infer_schema_length=None, schema_overrides=kinds).write_parquet(at / "said.parquet")
    return score_file(at / "said.parquet", items=items, parts=[part], n_boot=20).rationales


def value(table: pl.DataFrame, run: str, metric: str) -> float:
    return float(table.filter(run_id=run, metric=metric, rationale_method="mine")["value"].item())


def item_ids(items: Path) -> dict[str, str]:
    from dfar_toolkit.files.items import read_items

    return {str(one).rsplit(":", 1)[1]: str(one) for one in read_items(items).items["item_id"]}


def hard_documents(case: dict[str, Any]) -> Iterator[tuple[Document, Spans]]:
    human, predicted = case["input"]["human_spans"], case["input"]["predicted_spans"]
    for name in sorted({*human, *predicted}):
        yield Document(f"{case['id']}-{name}", human.get(name, [])), predicted.get(name, [])


def test_words_that_people_marked_too(shared_cases: Path, tmp_path: Path) -> None:
    """Spans in a file are runs of words: cases with spans that overlap or are empty are those of tokens alone."""
    hard, soft = of_group(shared_cases, "eraser_hard"), of_group(shared_cases, "eraser_soft")
    plain = [case for case in hard if "zero_length" not in case["id"]]
    documents = [one for case in plain for one, _ in hard_documents(case)]
    for case in soft:
        for n, one in enumerate(case["input"]["documents"]):
            marks = [[k, k + 1] for k, mark in enumerate(one["human_mask"]) if mark]
            documents.append(Document(f"{case['id']}-{n}", marks, len(one["human_mask"])))
    items = items_folder(tmp_path, documents)
    ids, sizes = item_ids(items), {one.name: one.n_words for one in documents}
    rows = []
    for case in plain:
        for one, spans in hard_documents(case):
            words = word_places(sizes[one.name], one.name)
            chosen = [{**words[a], "end": words[b - 1]["end"], "set": 0} for a, b in spans]
            rows.append(row(case["id"], ids[one.name], "rationale", "mine", evidence=chosen, words=words))
    for case in soft:
        for n, one in enumerate(case["input"]["documents"]):
            name = f"{case['id']}-{n}"
            words = word_places(sizes[name], name)
            rows.append(row(case["id"], ids[name], "rationale", "mine", word_scores=one["scores"], words=words))
    table = scored(tmp_path, items, rows, "plausibility")
    seen = sum(check_hard(case, table) for case in plain) + sum(check_soft(case, table) for case in soft)
    # 8 hard cases of 18 numbers; 6 of tokens alone and 6 of IOU alone (else ERASER divides by zero); 8 soft ones of 3.
    assert seen == 8 * 18 + 6 + 6 + 8 * 3


def check_hard(case: dict[str, Any], table: pl.DataFrame) -> int:
    if not table.filter(run_id=case["id"]).height:
        assert not case["input"]["human_spans"]  # neither side has a document, so that the file has no row
        return 0
    seen = 0
    whole = "overlapping" not in case["id"]
    for name, key in (("token", "token_prf"), *([("span", "span_prf")] if whole else [])):
        wanted = case["expected"][key]
        for average, theirs in AVERAGES.items():
            for part, letter in PARTS.items():
                found = value(table, case["id"], f"eraser_{name}_{part}_{average}")
                if "raises" in wanted:
                    assert found != found or found == 0.0  # ERASER divides by zero: undefined, or 0 of what there is
                else:
                    assert found == pytest.approx(wanted[theirs][letter], abs=1e-9), (case["id"], name, average, part)
                    seen += 1
    (level,) = [one for one in case["expected"]["iou_scores"] if one["threshold"] == 0.5]
    for average in AVERAGES if whole else ():
        for part, letter in PARTS.items():
            found = value(table, case["id"], f"eraser_iou_{part}_{average}")
            assert found == pytest.approx(level[average][letter], abs=1e-9), (case["id"], average, part)
            seen += 1
    return seen


def check_soft(case: dict[str, Any], table: pl.DataFrame) -> int:
    names = {"auprc": "auprc", "average_precision": "average_precision", "roc_auc": "roc_auc_score"}
    for ours, theirs in names.items():
        found = value(table, case["id"], f"eraser_{ours}")
        assert found == pytest.approx(float(case["expected"][theirs]), abs=1e-9, nan_ok=True), (case["id"], ours)
        assert found == pytest.approx(value(table, case["id"], ours), abs=1e-12, nan_ok=True)
    return len(names)


def said(scores: dict[str, float]) -> dict[str, Any]:
    top = max(scores, key=lambda name: scores[name])
    return {"label": top, "label_probs": [scores[name] for name in LABELS]}


def test_probabilities_without_the_rationale(shared_cases: Path, tmp_path: Path) -> None:
    faith = [case for case in of_group(shared_cases, "eraser_faithfulness") if "raises" not in case["expected"]]
    names = [f"{case['id']}-{one['annotation_id']}" for case in faith for one in case["input"]["instances"]]
    items = items_folder(tmp_path, [Document(name, [[0, 1]]) for name in names])
    ids, rows = item_ids(items), list[dict[str, Any]]()
    for case in faith:
        for one in case["input"]["instances"]:
            item = ids[f"{case['id']}-{one['annotation_id']}"]
            rows.append(row(case["id"], item, "full", **said(one["classification_scores"])))
            for side, name in (("without", "comprehensiveness"), ("only", "sufficiency")):
                key, how = f"{name}_classification_scores", {"method": "mine", "operator": "remove"}
                rows.append(row(case["id"], item, f"{side}_evidence", n_removed=1, **how, **said(one[key])))
                for k, step in enumerate(one["thresholded_scores"], start=1):
                    rows.append(row(case["id"], item, f"{side}_top", k=k, share=step["threshold"], n_removed=k, **how,
                                    **said(step[key])))  # fmt: skip
    table = scored(tmp_path, items, rows, "faithfulness")
    for case in faith:
        for kind in ("comprehensiveness", "sufficiency"):
            for ours, theirs in ((kind, kind), (f"{kind}_entropy", f"{kind}_entropy"), (f"{kind}_kl", f"{kind}_kl"),
                                 (f"aopc_{kind}", f"{kind}_aopc")):  # fmt: skip
                found = value(table, case["id"], f"eraser_{ours}")
                assert found == pytest.approx(case["expected"][theirs], abs=1e-9), (case["id"], ours)
    assert len(faith) >= 3


def test_carton_from_a_file(shared_cases: Path, tmp_path: Path) -> None:
    cases = of_group(shared_cases, "normalised_fidelity_carton2020")
    names = [f"{case['id']}-{n}" for case in cases for n in range(len(case["input"]["p_full"]))]
    items = items_folder(tmp_path, [Document(name, [[0, 1]]) for name in names])
    ids, rows = item_ids(items), list[dict[str, Any]]()
    for case in cases:
        for n in range(len(case["input"]["p_full"])):
            for condition, key in CARTON.items():
                p, changed = case["input"][key][n], condition != "full"
                how = {"method": "mine" if condition.endswith("evidence") else "", "operator": "remove" * changed}
                rows.append(row(case["id"], ids[f"{case['id']}-{n}"], condition, **how, n_removed=1, label="pos",
                                label_probs=[1 - p, 0.0, p]))  # fmt: skip
    table = scored(tmp_path, items, rows, "faithfulness")
    for case in cases:
        for kind in ("comprehensiveness", "sufficiency"):
            wanted = case["expected"][f"{kind}_normalised"]
            assert value(table, case["id"], f"carton_{kind}") == pytest.approx(sum(wanted) / len(wanted), abs=1e-9)
    assert len(cases) == 3
