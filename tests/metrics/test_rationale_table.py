"""From the tables to marks, the table of all scores, and paired differences between methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement.spans.span_f1 import span_f1
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.metrics.rationale import (
    against_people,
    human_ceiling,
    marked_words,
    marked_words_of_outputs,
    plausibility_differences,
    plausibility_table,
    token_f1,
)

SPAN = pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64, "set": pl.Int64}))
WORD = pl.List(pl.Struct({"field": pl.String, "start": pl.Int64, "end": pl.Int64}))
CONTEXT = pl.List(pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))


def span(field: str, start: int, end: int) -> dict[str, Any]:
    return {"field": field, "start": start, "end": end, "set": 0}


def item_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "split": ["test", "test", "test", "train"],
            "group": ["g", "g", "h", "i"],
            "statement": ["আমি সত্যি 😀 বলি", "It rained.", "No one marked this.", "Train."],
            "context": [[{"field": "premise", "role": "", "text": "It is  wet."}], [], [], []],
        },
        schema_overrides={"context": CONTEXT},
    )


def people_table() -> pl.DataFrame:
    rows = [
        # the emoji alone, and a word of the premise reached by one character
        ("a", "x:1", "label", "1", [span("statement", 10, 11), span("premise", 7, 8)], None),
        ("a", "x:2", "label", "2", [span("statement", 0, 11)], None),
        # one person's two ratings are one mask; nobody known: each rating a person
        ("b", "x:1", "label", "3", [span("statement", 0, 2)], None),
        ("b", "x:1", "label", "4", [span("statement", 3, 10)], None),
        ("b", "x:unknown", "label", "5", [], None),
        ("b", "x:unknown", "label", "6", [span("statement", 3, 4), span("elsewhere", 0, 3)], None),
        ("b", "x:3", "why_rather_than", "7", [span("statement", 0, 2)], "other"),
        ("c", "x:1", "label", "8", None, None),
        ("d", "x:1", "label", "9", [span("statement", 0, 6)], None),
    ]
    names = ["item_id", "annotator_id", "question", "rating_id", "evidence", "foil"]
    return pl.DataFrame(rows, schema=names, schema_overrides={"evidence": SPAN}, orient="row")


def said(rows: list[dict[str, Any]]) -> pl.DataFrame:
    blank = {"run_id": "r", "question": "label", "method": "", "condition": "full", "draw": 0, "sample": 0,
             "evidence": None, "word_scores": None, "words": None}  # fmt: skip
    schema = {"evidence": SPAN, "words": WORD, "word_scores": pl.List(pl.Float64)}
    return pl.DataFrame([blank | row for row in rows], schema_overrides=schema, infer_schema_length=None)


def test_marks_from_tables() -> None:
    words = [{"field": "statement", "start": s, "end": e} for s, e in ((0, 3), (4, 9), (10, 11), (12, 15))]
    premise = [{"field": "premise", "start": s, "end": e} for s, e in ((0, 2), (3, 5), (7, 11))]
    outputs = said(
        [
            {"item_id": "a", "condition": "rationale", "method": "attention", "words": premise + words,
             "word_scores": [0.1, 0.2, 0.9, 0.0, 0.0, 0.8, 0.3]},
            {"item_id": "a", "condition": "rationale", "method": "prompted", "words": words,
             "evidence": [span("statement", 4, 11)]},
            {"item_id": "a", "condition": "without_top", "method": "attention"},
            {"item_id": "b"},
            {"item_id": "c", "word_scores": [1.0, 2.0, 3.0, 4.0]},
        ]
    )  # fmt: skip
    marked = marked_words_of_outputs(outputs, items=item_table(), annotations=people_table())
    assert marked.items.to_list() == ["a", "b"]  # d is of another split, nobody was asked about c
    assert marked.methods == ("attention", "prompted", "reported")  # the last on no item that counts
    attention = against_people(marked, method="attention", gold="any")
    # premise "wet.", then the first three words of the statement by the second person
    assert attention.gold.astype(int).tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert attention.share.tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 0]
    assert attention.begins.astype(int).tolist() == [1, 0, 0, 1, 0, 0, 0]
    prompted = against_people(marked, method="prompted")
    assert prompted.gold.astype(int).tolist() == [0, 0, 1, 0]
    assert prompted.chosen.astype(int).tolist() == [0, 1, 1, 0]
    assert "1 rationales of items that nobody marked left out" in marked.note
    assert "1 of people's spans on none of the words" in marked.note  # the premise is no part of the prompted text
    assert token_f1(marked, method="prompted", ci=None).value == pytest.approx(2 / 3)


def test_files_of_other_tools() -> None:
    outputs = said(
        [
            {"item_id": "a", "word_scores": [0.1, 0.2, 0.9, 0.4]},  # the statement's four words
            {"item_id": "b", "evidence": [span("statement", 0, 2)], "word_scores": [1.0, float("nan")]},
        ]
    )
    marked = marked_words_of_outputs(outputs, items=item_table(), annotations=people_table())
    assert marked.methods == ("reported",)
    assert marked.text_sizes.tolist() == [4, 2]
    words = against_people(marked, gold="any")
    assert words.gold.astype(int).tolist() == [1, 1, 1, 0, 1, 1]
    assert words.has_scores.tolist() == [True, False]
    assert words.share.tolist()[4:] == pytest.approx([1 / 3, 2 / 3])  # x:1, nobody, nobody
    assert "scores of 1 rationales that are not one finite number per word" in marked.note
    whole = said([{"item_id": "a", "word_scores": [0.1] * 7}])
    assert marked_words_of_outputs(whole, items=item_table(), annotations=people_table()).text_sizes.tolist() == [7]
    unfit = said([{"item_id": "a", "word_scores": [0.1] * 5}])
    found = marked_words_of_outputs(unfit, items=item_table(), annotations=people_table())
    assert not len(found.text)
    table = plausibility_table(found, ci=None)
    assert table["value"].is_nan().all()
    assert table["note"].str.len_chars().min() > 0


def test_order_of_rows_changes_nothing() -> None:
    places = {"a": [(0, 3), (4, 9)], "b": [(0, 2)]}
    rows = [
        {"item_id": item, "method": method, "condition": "rationale", "draw": draw,
         "words": [{"field": "statement", "start": s, "end": e} for s, e in spans],
         "word_scores": [1.0, 2.0][: len(spans)]}
        for item, spans in places.items() for method in ("random", "attention") for draw in (0, 1)
    ]  # fmt: skip
    outputs = said(rows)
    tables = [
        plausibility_table(marked_words_of_outputs(o, items=i, annotations=p), n_boot=50)
        for o, i, p in (
            (outputs, item_table(), people_table()),
            (outputs.reverse(), item_table().reverse(), people_table().reverse()),
        )
    ]
    assert tables[0].equals(tables[1], null_equal=True)


def test_what_tables_must_have() -> None:
    outputs = said([{"item_id": "a", "word_scores": [0.1] * 4}])
    items, people = item_table(), people_table()
    two = pl.concat([outputs, outputs.with_columns(run_id=pl.lit("s"))])
    with pytest.raises(TableError, match="of one run, found r, s"):
        marked_words_of_outputs(two, items=items, annotations=people)
    with pytest.raises(TableError, match='needs the column "condition"'):
        marked_words_of_outputs(outputs.drop("condition"), items=items, annotations=people)
    with pytest.raises(TableError, match="no words to truth; there are marks to label, why_rather_than"):
        marked_words_of_outputs(outputs, items=items, annotations=people, question="truth")
    with pytest.raises(TableError, match="b has marks to several questions"):
        marked_words_of_outputs(outputs, items=items, annotations=people.drop("foil"))
    with pytest.raises(TableError, match='no column "evidence"'):
        marked_words_of_outputs(outputs, items=items, annotations=people.drop("evidence"))
    torn = [{"field": "statement", "start": 0, "end": 3}, {"field": "statement", "start": 2, "end": 5}]
    overlapping = said([{"item_id": "a", "words": torn, "word_scores": [1.0, 2.0]}])
    with pytest.raises(TableError, match="must lie apart"):
        marked_words_of_outputs(overlapping, items=items, annotations=people)


def planted(n: int = 60) -> Any:
    """A method that finds the marked word of eight in four items of five, and random orders of words."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 8, n)
    masks = np.eye(8)[place]
    people = [[mask.astype(int).tolist(), np.roll(mask, int(i % 5 == 0)).astype(int).tolist()]
              for i, mask in enumerate(masks)]  # fmt: skip
    good = [(mask + rng.random(8) / 2 if i % 5 else rng.random(8)).tolist() for i, mask in enumerate(masks)]
    scores: dict[Any, Any] = {"attention": good, "human": [m.tolist() for m in masks]}
    scores |= {("random", d): [rng.permutation(np.arange(8.0)).tolist() for _ in range(n)] for d in range(3)}
    chosen = {"prompted": [m.astype(int).tolist() if i else None for i, m in enumerate(masks)]}
    return marked_words(people, chosen, scores=scores, group=[str(i // 2) for i in range(n)])


def test_the_table() -> None:
    marked = planted()
    table = plausibility_table(marked, gold=["any", "majority"], n_boot=200)
    first = table.filter(gold="any", metric="token_f1_above_chance")
    assert first["rationale_method"].to_list() == ["prompted", "attention", "random", "held_out_annotator"]
    values = dict(first.select("rationale_method", "value").rows())
    assert values["attention"] > 0.5
    low, high = first.filter(rationale_method="random").select("low", "high").row(0)
    assert low < 0 < high
    assert table["n_marked"].unique().to_list() == [60]
    assert table.filter(rationale_method="prompted")["coverage"].unique().to_list() == [59 / 60]
    assert table.filter(metric="token_f1_of_random_words")["higher_is_better"].null_count() == 8
    assert table.drop_nulls("higher_is_better")["higher_is_better"].all()
    assert set(table["unit"]) == {"groups"}
    soft = table.filter(pl.col("metric").is_in(["average_precision", "roc_auc"]))
    assert "prompted" not in soft["rationale_method"].to_list()
    one = token_f1(marked, method="attention", gold="any", n_boot=200)
    row = table.filter(rationale_method="attention", metric="token_f1", gold="any").row(0, named=True)
    assert row["value"] == pytest.approx(one.value, abs=1e-12)
    assert plausibility_table(marked, methods=["human"], ci=None).filter(metric="auprc")["n"].to_list() == [60, 60]
    with pytest.raises(ValueError, match="found 'lime' of"):
        plausibility_table(marked, methods=["lime"])


def test_differences_between_methods() -> None:
    marked = planted()
    table = plausibility_differences(marked, gold="any", n_boot=200, n_perm=200)
    f1 = table.filter(metric="token_f1_above_chance")
    assert f1.select("method_a", "method_b").rows() == [
        ("random", "prompted"), ("random", "attention"), ("prompted", "attention"),
    ]  # fmt: skip
    assert f1["family"].unique().to_list() == ["primary"]
    assert f1["n"].unique().to_list() == [59]
    assert (f1["p_holm"][:2] < 0.05).all()
    assert f1["low"][0] > 0
    assert "59 of 60 items with a rationale by all" in f1["note"][0]
    a, b = (token_f1(marked, method=m, gold="any", ci=None) for m in ("random", "attention"))
    soft = table.filter(metric="average_precision")
    assert soft.select("method_a", "method_b", "n", "family", "p_holm").rows() == [
        ("random", "attention", 60, "exploratory", None)
    ]
    own = plausibility_differences(marked, gold="any", methods=["attention", "random"], n_boot=50, n_perm=50)
    value = own.filter(metric="token_f1")["value"].item()
    assert value == pytest.approx(b.value - a.value, abs=1e-12)
    assert "token_f1_of_random_words" not in table["metric"].to_list()
    with pytest.raises(ValueError, match="at least two methods"):
        plausibility_differences(marked, methods=["attention"])
    with pytest.raises(ValueError, match="no metric 'f2'"):
        plausibility_differences(marked, metrics=["f2"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no two methods have roc_auc"):
        plausibility_differences(marked, methods=["prompted", "random"], primary="roc_auc", n_boot=50, n_perm=50)
    by_auc = plausibility_differences(marked, gold="any", primary="roc_auc", n_boot=50, n_perm=50)
    assert by_auc.filter(family="primary")["metric"].unique().to_list() == ["roc_auc"]


def test_nothing_to_score() -> None:
    empty = marked_words([None], {"a": [None], "b": [None]})
    table = plausibility_table(empty, ci=None)
    assert table["value"].is_nan().all()
    assert table["coverage"].is_nan().all()
    apart = marked_words([[[1, 0]], [[0, 1]]], {"a": [[1, 0], None], "b": [None, [1, 0]]})
    found = plausibility_differences(apart, n_boot=50, n_perm=50)
    assert found["value"].is_nan().all()
    assert "0 of 2 items with a rationale by all" in found["note"][0]


def test_the_ceiling_of_two_people_is_their_span_f1() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((40, 2, 9)) < 0.3
    people = [[mask.astype(int).tolist() for mask in pair] for pair in masks]
    rows = [
        (str(i), str(a), [(2 * k, 2 * k + 1) for k in np.flatnonzero(mask)])
        for i, pair in enumerate(masks) for a, mask in enumerate(pair)
    ]  # fmt: skip
    texts = pl.DataFrame({"item_id": [str(i) for i in range(40)], "text": ["w " * 9] * 40})
    between = span_f1(rows, match="token", both_empty="agree", texts=texts, ci=None)
    ceiling = human_ceiling(marked_words(people, [pair[0] for pair in people]), ci=None)
    assert isinstance(between, Estimate)
    assert ceiling.value == pytest.approx(between.value, abs=1e-12)
