"""The parts of the table of scores: which there are, what stands beside the run, judge models apart from people."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.outputs import read_any_outputs
from dfar_toolkit.metrics import best, pair_distributions, share_of_ceiling, soft_cross_entropy
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy_rows
from dfar_toolkit.metrics.soft_labels.references import corpus_mean_predictor
from dfar_toolkit.scoring import COLUMNS, PARTS, score
from small_tables import make_items, make_outputs


@pytest.fixture(scope="module")
def folder(demo: Path) -> ItemsFolder:
    return read_items(demo / "items")


@pytest.fixture(scope="module")
def outputs(demo: Path, folder: ItemsFolder) -> pl.DataFrame:
    return read_any_outputs(demo / "runs" / "with-reasons.jsonl", folder).outputs


@pytest.fixture(scope="module")
def table(demo: Path, folder: ItemsFolder, outputs: pl.DataFrame) -> pl.DataFrame:
    judged = read_judgements(demo / "judgements.csv", questions=folder.questions)
    own = judged.filter(pl.col("run_id").is_in(["with-reasons", "human"]))
    return score(
        outputs, folder.items, options=folder.options, annotations=folder.annotations, judgements=own,
        judge_models=["judge_3"], n_boot=100,
    )  # fmt: skip


def one(table: pl.DataFrame, metric: str, predictor: str | None = None, run: str = "with-reasons") -> dict[str, object]:
    rows = table.filter(metric=metric, run_id=run).filter(pl.col("predictor").eq_missing(pl.lit(predictor)))
    return rows.row(0, named=True)


def test_all_parts_that_apply_are_there(table: pl.DataFrame) -> None:
    assert tuple(table.columns) == COLUMNS
    assert set(table["part"]) == set(PARTS) - {"ordinal"}
    assert table.filter(pl.col("n").is_null()).is_empty()


def test_the_run_and_what_stands_beside_it(table: pl.DataFrame, folder: ItemsFolder, outputs: pl.DataFrame) -> None:
    items = folder.items.filter(split="test").join(outputs.select("item_id", "label_probs"), on="item_id")
    both = items.drop_nulls("label_probs_right").filter(pl.col("label_counts").is_not_null())
    alone = soft_cross_entropy(gold=None, counts=both["label_counts"], pred=both["label_probs_right"], ci=None)
    row = one(table, "soft_cross_entropy")
    assert row["value"] == pytest.approx(alone.value, abs=1e-12)
    assert row["n"] == alone.n
    votes = folder.items.filter(split="test")["label_counts"].to_list()
    assert one(table, "ceiling_soft_cross_entropy", "best")["value"] == pytest.approx(best(votes, ci=None).value)
    pairs = pair_distributions("x", None, gold=None, counts=both["label_counts"], pred=both["label_probs_right"])
    share = share_of_ceiling(
        soft_cross_entropy_rows(pairs), soft_cross_entropy_rows(corpus_mean_predictor(pairs)),
        both["label_counts"].to_list(), metric="cross_entropy", ci=None,
    )  # fmt: skip
    assert one(table, "share_of_ceiling_soft_cross_entropy")["value"] == pytest.approx(share.value, abs=1e-9)
    assert isnan(one(table, "soft_cross_entropy", "hard_majority")["value"])  # type: ignore[arg-type]


def test_a_judge_model_is_no_person(table: pl.DataFrame, demo: Path) -> None:
    verdicts = pl.read_csv(demo / "judgements.csv").filter(run_id="with-reasons")
    judged = verdicts.filter(judge_id="judge_3")
    alone = one(table, "mar_judge_model", "judge_3")
    assert alone["value"] == pytest.approx((judged["value"] == "bad").mean())
    people = one(table, "mar_mean")
    two = pl.read_csv(demo / "judgements.csv").filter(
        pl.col("run_id") == "with-reasons", pl.col("judge_id") != "judge_3"
    )
    assert people["value"] == pytest.approx((two["value"] == "bad").mean())
    refused = one(table, "mar_prediction_powered", "judge_3")
    assert isnan(refused["value"])  # type: ignore[arg-type]
    assert "inclusion_prob" in str(refused["note"])
    types = table.filter(metric="error_type_share", run_id="with-reasons")
    assert types["label"].null_count() == 0
    assert types["value"].is_between(0, 1).all()


def test_parts_can_be_chosen_and_a_wrong_one_is_named() -> None:
    items, outputs = make_items(["e", "u"]), make_outputs({"i0": "e", "i1": "u"})
    assert set(score(outputs, items, parts=["bias"], n_boot=100)["part"]) == {"bias"}
    with pytest.raises(ValueError, match="parts must be among labels, bias"):
        score(outputs, items, parts=["label"])


def test_many_items_give_the_same_numbers_side_by_side(
    folder: ItemsFolder, outputs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table_of() -> pl.DataFrame:
        return score(outputs, folder.items, options=folder.options, parts=["labels", "bias", "soft"], n_boot=50)

    one_by_one = table_of()
    monkeypatch.setattr(sys.modules[score.__module__], "_SIDE_BY_SIDE", 1)
    assert table_of().equals(one_by_one)


def test_an_ordered_question_has_distances() -> None:
    items = make_items(["low", "mid", "high", "mid"])
    outputs = make_outputs({"i0": "low", "i1": "high", "i2": "low", "i3": None})
    found = score(outputs, items, options=["low", "mid", "high"], ordered=True, n_boot=50)
    rows = found.filter(part="ordinal")
    assert rows.filter(metric="mean_absolute_error")["value"].item() == 1.0  # 0, 1 and 2 steps
    assert rows.filter(metric="mean_absolute_error")["n"].item() == 3


def test_votes_for_more_options_than_the_labels_in_use() -> None:
    votes = [[3, 0, 0], [0, 3, 0], [2, 1, 0], [1, 1, 1]]
    shares = [[v / 3 for v in row] for row in votes]
    items = make_items(["a", "b", "a", None]).with_columns(label_counts=pl.Series(votes), label_probs=pl.Series(shares))
    outputs = make_outputs({"i0": "a", "i1": "b", "i2": "b"})
    unnamed = score(outputs, items, n_boot=50).filter(part="ceiling")
    assert "share_of_ceiling_accuracy" not in unnamed["metric"]
    named = score(outputs, items, options=["a", "b", "c"], n_boot=50)
    note = named.filter(metric="share_of_ceiling_accuracy")["note"].item()
    assert "score 0.5, baseline 0.5833" in note  # right on 2 of 4; "a": 1 + 0 + 1 + 1/3 of 4
