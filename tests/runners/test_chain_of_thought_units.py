"""Tests of the chain of thought: cut, spoilt, emptied, put otherwise."""

from __future__ import annotations

import math

import polars as pl
import pytest
from reason_test_runs import ITEMS, REASON, chain, numbers, reason_tests, run, scored, table, text_of

from dfar_toolkit.engines.requests import (
    Failed,
    Generate,
    Generated,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.runners.self_consistency.chain_of_thought import sentence_pool
from dfar_toolkit.runners.self_consistency.units import self_consistency_units

CHAIN = ("cot_early", "cot_mistake", "cot_filler", "cot_paraphrase")


def test_the_chain_is_cut_spoilt_emptied_and_put_otherwise() -> None:
    how = reason_tests(tests=CHAIN, mistakes=3)
    requests, rows = run(self_consistency_units(ITEMS[:1], how), chain)
    by = {(row["condition"], row["draw"]): row for row in rows if row["condition"] != "full"}
    early = [row for row in rows if row["condition"] == "cot_early"]
    assert {row["draw"]: (row["k"], row["shown_reason"]) for row in early} == {
        0: (0, " "), 1: (1, "It hurts her."), 2: (2, "It hurts her. She trusts me."), 3: (3, REASON), 4: (3, REASON),
    }  # fmt: skip
    assert [by["cot_mistake", draw]["shown_reason"] for draw in range(3)] == [
        "She is fine with it. She trusts me. So it is bad.", "It hurts her. She is fine with it. So it is bad.",
        "It hurts her. She trusts me. She is fine with it.",
    ]  # fmt: skip
    assert by["cot_filler", 0]["shown_reason"] == " ".join(["..."] * 10)
    assert by["cot_paraphrase", 0]["shown_reason"] == "It pains her and hurts. Bad."
    assert by["cot_full", 0]["shown_reason"] == REASON
    scoring = [request for request in requests if isinstance(request, ScoreOptions)]
    # One for the answer; then the whole reason once, though early answering keeps it twice.
    assert len(scoring) == 1 + 1 + 3 + 3 + 1 + 1
    assert text_of(scoring[-1]).endswith("Reason: It pains her and hurts. Bad.\nLabel:")
    assert any(text_of(request).endswith("Reason: \nLabel:") for request in scoring)
    values = numbers(rows)
    assert values["cot_mistake_change_rate"] == pytest.approx(1 / 3)
    assert (values["cot_filler_change_rate"], values["cot_paraphrase_change_rate"]) == (1.0, 0.0)
    assert values["early_answering_area"] == pytest.approx(1 / 8)  # another label only without any sentence
    assert values["cot_filler_tvd"] == pytest.approx(0.7)


def test_words_and_characters_instead() -> None:
    how = reason_tests(tests=("cot_early", "cot_filler"), cut="words", shares=(0.0, 0.5, 1.0), filler="characters")
    _, rows = run(self_consistency_units(ITEMS[:1], how), chain)
    shown = [row["shown_reason"] for row in rows if row["condition"] in ("cot_early", "cot_filler")]
    assert shown == [" ", "It hurts her. She trusts", REASON, ".. ..... .... ... ...... ... .. .. .. ...."]
    assert {row["operator"] for row in rows if row["condition"] == "cot_early"} == {"words"}


def test_samples_read_the_label_that_is_written_next() -> None:
    def model(request: Request) -> Reply:
        assert isinstance(request, Generate)
        if text_of(request).endswith("Label:"):
            return Generated((" unethical", " ethical"), ("stop",) * 2, 9, 1)
        return Generated((f" {REASON}\nLabel: unethical",) * 2, ("stop",) * 2, 9, 9)

    how = reason_tests(tests=("cot_filler",), manner={"elicit": "samples", "samples": 2, "temperature": 1.0})
    _, rows = run(self_consistency_units(ITEMS[:1], how), model)
    found = table(rows)
    own = found.filter(pl.col("condition") == "cot_filler")
    assert own["sample"].to_list() == [0, 1]
    assert own["label"].to_list() == ["unethical", "ethical"]


def test_sentences_of_other_items() -> None:
    pool = sentence_pool({"i1": [REASON], "i9": ["Fish swim."], "i1b": []})
    how = reason_tests(tests=("cot_mistake",), mistake="other_sentence", mistakes=2)
    requests, rows = run(self_consistency_units(ITEMS[:1], how, pool=pool), chain)
    assert sum(isinstance(request, Generate) for request in requests) == 1  # only the answer
    spoilt = [row["shown_reason"] for row in rows if row["condition"] == "cot_mistake"]
    assert len(spoilt) == 2
    assert all("Fish swim." in text for text in spoilt)
    with pytest.raises(TableError, match="reasons of two items"):
        self_consistency_units(ITEMS, how, pool=sentence_pool({"i1": [REASON]}))


@pytest.mark.parametrize("reason", ["", "...", "!!!", "\u200b"])
def test_an_empty_reason_has_nothing_to_change(reason: str) -> None:
    def model(request: Request) -> Reply:
        if isinstance(request, ScoreOptions):
            return scored("ethical")
        return Generated((f" {reason}\nLabel: ethical",), ("stop",), 9, 9)

    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=(*CHAIN, "cc_shap"))), model)
    assert [(row["condition"], row.get("method", "")) for row in rows] == [
        ("full", ""), ("cot_full", "cot"), ("rationale", "cc_answer"), ("rationale", "cc_explanation"),
    ]  # fmt: skip
    assert rows[1]["n_pieces"] == 0
    assert rows[2]["error"].startswith("no_reason")
    assert math.isnan(numbers(rows)["cc_shap"])


def test_edits_that_come_to_nothing_and_answers_that_fail() -> None:
    def model(request: Request) -> Reply:
        text = text_of(request)
        if isinstance(request, Generate) and "other words" in text:
            return Failed("timeout", "too slow")
        if isinstance(request, Generate) and "mistake" in text:
            return Generated((" ",), ("stop",), 9, 0)
        return chain(request)

    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=CHAIN)), model)
    by = {row["condition"]: row for row in rows}
    assert (by["cot_mistake"]["edited"], by["cot_mistake"]["shown_reason"]) == (False, None)
    assert by["cot_paraphrase"]["error"] == "timeout: too slow"
    found = self_consistency_table(table(rows), n_boot=20)
    rates = {row["metric"]: row for row in found.rows(named=True)}
    assert rates["cot_mistake_change_rate"]["coverage"] == 0
    assert "1 of 1 edits left the reason as it was" in rates["cot_mistake_change_rate"]["note"]
    assert math.isnan(rates["cot_paraphrase_change_rate"]["value"])
    _, rows = run(self_consistency_units(ITEMS[:1], reason_tests(tests=CHAIN)), lambda _: Failed("server", "down"))
    assert [row["error"] for row in rows] == ["server: down"]
