"""The table of everything about a run's reasons, and the scores row by row."""

from __future__ import annotations

from math import isnan

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.reasons import reasons_table as room
from dfar_toolkit.metrics.reasons.constraints import parse_constraints
from dfar_toolkit.metrics.reasons.coverage import reason_coverage
from dfar_toolkit.metrics.reasons.floor_and_ceiling import reason_overlap
from dfar_toolkit.metrics.reasons.grounding import knowledge_overlap
from dfar_toolkit.metrics.reasons.own_label import own_label_agreement
from dfar_toolkit.metrics.reasons.reason_scores import reason_scores
from dfar_toolkit.metrics.reasons.reasons_table import default_overlap, reasons_table

FRAME = pl.DataFrame(
    {
        "item_id": ["i", "j", "k", "l"],
        "group": ["g", "g", "h", "k"],
        "statement": ["I hit Ann.", "I fed Bob.", "I lied.", "I left."],
        "reason": ["Unethical: it harms Ann.", "It is ethical to feed Bob.", "It is not ethical to lie.", " "],
        "human_reasons": [["It harms Ann.", "Hitting Ann harms her."], ["Bob is fed."], ["A lie harms.", "Lies."], []],
        "label_pred": ["unethical", "ethical", "unethical", None],
    }
)
HOW = {"options": ["ethical", "unethical"], "n_boot": 100, "seed": 2}


def test_rows_are_those_of_the_single_metrics() -> None:
    table = reasons_table(FRAME, **HOW)  # type: ignore[arg-type]
    found = dict(table.select("metric", "value").rows())
    assert len(found) == len(table)
    assert found["reason_share"] == 0.75
    assert found["reason_words"] == pytest.approx((4 + 6 + 6) / 3, abs=1e-12)
    assert found["knowledge_f1"] == knowledge_overlap(FRAME, ci=None).value
    assert found["own_label_agreement"] == own_label_agreement(FRAME, options=["ethical", "unethical"]).value == 1
    for over in ("mean", "max"):
        single = reason_overlap(FRAME, metric="rouge_l", over=over, n_boot=100, seed=2)
        rows = table.filter(pl.col("metric").str.contains(f"^rouge_l_{over}")).drop("metric")
        assert rows.equals(single.drop("metric", "over", "quantity"))
    cover = reason_coverage(FRAME, n_boot=100, seed=2)
    rows = table.filter(pl.col("metric").str.starts_with("rouge_l_coverage")).drop("metric")
    assert rows.equals(cover.drop("metric", "side", "quantity"))
    assert {f"{m}_mean_floor" for m in ("rouge_l", "token_f1", "chrf", "bleu")} < set(found)
    assert table.equals(reasons_table(FRAME.reverse(), **HOW))  # type: ignore[arg-type]


def test_without_sacrebleu_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    assert default_overlap() == ("rouge_l", "token_f1")
    metrics = reasons_table(FRAME, **HOW)["metric"]  # type: ignore[arg-type]
    assert not metrics.str.contains("chrf|bleu").any()
    assert metrics.str.starts_with("token_f1").any()


def test_only_what_the_columns_allow() -> None:
    bare = reasons_table(FRAME.select("item_id", "reason"), n_boot=50)
    assert bare["metric"].to_list() == [
        "reason_share", "reason_words", "reason_characters", "distinct_ngram_share", "repeated_ngram_share",
        "duplicated_reason_share",
    ]  # fmt: skip
    unreadable = reasons_table(FRAME, options=["0", "1"], overlap=["token_f1"], n_boot=50)
    assert not unreadable["metric"].str.starts_with("own_label").any()
    checks = parse_constraints({"short": {"max_words": 5}})
    kept = reasons_table(FRAME.select("item_id", "reason"), constraints=checks, n_boot=50)
    assert kept.filter(metric="constraint_short")["value"].item() == pytest.approx(1 / 3)


def test_no_reasons_at_all() -> None:
    table = reasons_table(FRAME.with_columns(reason=pl.lit(None, dtype=pl.String)), overlap=["rouge_l"], n_boot=50)
    found = dict(table.select("metric", "value").rows())
    assert found.pop("reason_share") == 0
    assert all(isnan(v) for v in found.values())
    with pytest.raises(TableError, match='needs the column "item_id"'):
        reasons_table(FRAME.drop("item_id"))
    with pytest.raises(TableError, match='needs the column "reason"'):
        reasons_table(FRAME.drop("reason"))


def test_scores_stand_in_their_own_rows() -> None:
    mixed = FRAME.reverse()
    scores = reason_scores(mixed, options=["ethical", "unethical"])
    assert scores.select(mixed.columns).equals(mixed)
    assert scores["own_label_agreement"].to_list() == [None, 1.0, 1.0, 1.0]
    assert scores["reason_words"].to_list() == [None, 6.0, 6.0, 4.0]
    # "unethical it harms ann" against "it harms ann": 3 common words of 4 and 3.
    assert scores["rouge_l_max"][3] == pytest.approx(6 / 7, abs=1e-12)
    assert scores["rouge_l_max"][0] is None
    with pytest.raises(TableError, match='a column "reason_words" already'):
        reason_scores(scores)
