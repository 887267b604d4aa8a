"""A judge model against people: by hand, against scikit-learn, biases planted and found; the table for scoring."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score, recall_score

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.judging.judge_quality import judge_quality
from dfar_toolkit.metrics.judging.judging_table import judging_table
from dfar_toolkit.metrics.judging.misalignment_powered import misalignment_prediction_powered
from small_tables import make_items, make_judgements


def judged(people: dict[str, str], model: dict[str, str], *, run: str = "m") -> pl.DataFrame:
    own = make_judgements(model, run=run).with_columns(judge_id=pl.lit("gpt"))
    return pl.concat([make_judgements(people, run=run), own])


def values(table: pl.DataFrame, run: str = "") -> dict[str, float]:
    kept = table.filter((pl.col("run_id") == run) & (pl.col("error_type") == ""))
    return dict(kept.select("metric", "value").rows())


def random_frame(seed: int, n: int = 80) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    f = np.where(rng.random(n) < 0.8, y, ~y)
    letters = np.array(["g", "b"])
    people = {f"i{k}": str(v) for k, v in enumerate(letters[y.astype(int)])}
    return judged(people, {f"i{k}": str(v) for k, v in enumerate(letters[f.astype(int)])}), y, f


def test_by_hand() -> None:
    people = {"i0": "bbg", "i1": "bb", "i2": "ggb", "i3": "g", "i4": "bg", "i5": "g", "i6": "g"}
    model = {"i0": "b", "i1": "g", "i2": "b", "i3": "g", "i4": "b", "i5": "g", "i7": "b"}
    found = judge_quality(judged(people, model), judge_model="gpt", n_boot=50)
    # shared and decided: i0 (1, 1), i1 (1, 0), i2 (0, 1), i3 (0, 0), i5 (0, 0)
    expected = {
        "judge_accuracy": 3 / 5,
        "judge_kappa": (3 / 5 - (4 + 9) / 25) / (1 - (4 + 9) / 25),
        "judge_sensitivity": 1 / 2,
        "judge_specificity": 2 / 3,
        "judge_excess_bad": 0.0,
    }
    numbers = values(found)
    assert {m: numbers[m] for m in expected} == pytest.approx(expected, abs=1e-12)
    assert found["n"][0] == 5
    assert "1 reasons on which the draws of the model, or people, are evenly split left out" in found["note"][0]
    assert all(isnan(numbers[m]) for m in ("judge_false_bad_length", "judge_excess_bad_late"))
    notes = dict(found.select("metric", "note").rows())
    assert notes["judge_false_bad_length"].startswith("lengths are not known: give reasons")


@pytest.mark.parametrize("seed", range(3))
def test_like_scikit_learn(seed: int) -> None:
    frame, y, f = random_frame(seed)
    numbers = values(judge_quality(frame, judge_model="gpt", n_boot=20))
    assert numbers["judge_kappa"] == pytest.approx(cohen_kappa_score(y, f), abs=1e-12)
    assert numbers["judge_sensitivity"] == pytest.approx(recall_score(y, f), abs=1e-12)
    assert numbers["judge_specificity"] == pytest.approx(recall_score(~y, ~f), abs=1e-12)
    assert numbers["judge_excess_bad"] == pytest.approx(f.mean() - y.mean(), abs=1e-12)


def test_liking_for_length_and_place_is_found() -> None:
    # people call all eight good; the judge rejects those of 2 words (i0, i1) and of 4 words (i4), others have 10
    words = {"i0": 2, "i1": 2, "i4": 4}
    ids = [f"i{k}" for k in range(8)]
    frame = judged(dict.fromkeys(ids, "g"), {i: "b" if i in words else "g" for i in ids})
    late = pl.col("item_id").is_in(["i0", "i1", "i2", "i3"])
    frame = frame.with_columns(position=pl.when(pl.col("judge_id") != "gpt").then(0).when(late).then(9).otherwise(1))
    reasons = pl.DataFrame(
        {"output_id": [f"m/{i}/q/0" for i in ids], "reason": [" \n".join(["wörd"] * words.get(i, 10)) for i in ids]}
    )
    found = judge_quality(frame, judge_model="gpt", reasons=reasons, n_boot=50)
    numbers = values(found)
    assert numbers["judge_false_bad_length"] == pytest.approx(8 / 3 - 10, abs=1e-12)
    assert isnan(numbers["judge_missed_bad_length"])  # nothing is bad
    assert numbers["judge_excess_bad_late"] == pytest.approx(2 / 4 - 1 / 4, abs=1e-12)
    assert isnan(numbers["judge_sensitivity"])
    assert "people call no shared reason bad" in dict(found.select("metric", "note").rows())["judge_sensitivity"]


def test_error_types_and_runs() -> None:
    people = {f"i{k}": "b" for k in range(6)}
    frame = judged(people, {f"i{k}": "b" if k < 3 else "g" for k in range(6)})
    kinds = pl.when(pl.col("item_id") < "i2").then(pl.lit("circular")).otherwise(pl.lit("vague; circular"))
    frame = frame.with_columns(error_type=pl.when(pl.col("judge_id") != "gpt").then(kinds))
    other = judged({"i0": "g"}, {"i0": "b"}, run="human")
    found = judge_quality(pl.concat([frame, other]), judge_model="gpt", by_run=True, n_boot=20)
    typed = found.filter((pl.col("error_type") != "") & (pl.col("run_id") == "m"))
    assert typed.select("error_type", "value", "n").rows() == [("circular", 0.5, 6), ("vague", 0.25, 4)]
    assert found["run_id"].unique().sort().to_list() == ["", "human", "m"]
    assert values(found, "human")["judge_excess_bad"] == 1
    assert values(found, "")["judge_accuracy"] == pytest.approx(3 / 7)


def test_order_draws_and_groups() -> None:
    frame, _, _ = random_frame(1)
    items = make_items(["e"] * 80, groups=[f"g{k // 4}" for k in range(80)])
    found = judge_quality(frame, judge_model="gpt", items=items, n_boot=50)
    assert set(found["unit"]) == {"groups"}
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    assert judge_quality(mixed, judge_model="gpt", items=items, n_boot=50).equals(found, null_equal=True)
    draws = pl.concat([frame, frame.filter(pl.col("judge_id") == "gpt").with_columns(draw=pl.lit(1, pl.Int64))])
    assert values(judge_quality(draws, judge_model="gpt", n_boot=10)) == pytest.approx(
        values(judge_quality(frame, judge_model="gpt", n_boot=10)), nan_ok=True
    )
    with pytest.raises(TableError, match="no judgement of the judge model 'judge-x'"):
        judge_quality(frame, judge_model="judge-x")


def test_nothing_shared() -> None:
    found = judge_quality(judged({"i0": "b"}, {"i1": "g"}), judge_model="gpt")
    assert all(isnan(v) for v in found["value"])
    assert len(found) == 8


def test_the_table_for_scoring() -> None:
    frame, y, f = random_frame(2, n=120)
    seen = [f"i{k}" for k in range(0, 120, 2)]
    model = pl.col("judge_id") == "gpt"
    frame = frame.filter(model | pl.col("item_id").is_in(seen))
    frame = frame.with_columns(inclusion_prob=pl.when(~model).then(0.5))
    second = frame.filter(model).with_columns(judge_id=pl.lit("llama"))
    both = pl.concat([frame, second])
    raters = pl.DataFrame(
        {"annotator_id": ["gpt", "llama", "absent", "j0"], "kind": ["model", "model", "model", "human"]}
    )
    found = judging_table(both, raters=raters, n_boot=50, tuned_on={"llama": ["i0"]})
    assert found.columns[:5] == ["metric", "run_id", "judge_id", "error_type", "name"]
    assert found["judge_id"].unique().sort().to_list() == ["gpt", "llama"]
    by = {(r["metric"], r["run_id"], r["judge_id"]): r for r in found.iter_rows(named=True)}
    powered = misalignment_prediction_powered(frame, judge_model="gpt")
    assert by["mar_prediction_powered", "m", "gpt"]["value"] == powered["value"][0]
    assert by["mar_prediction_powered", "m", "gpt"]["method"].startswith("PPI++")
    assert by["mar_judge_model", "m", "gpt"]["value"] == pytest.approx(f.mean(), abs=1e-12)
    assert "not corrected" in by["mar_judge_model", "m", "gpt"]["note"]
    assert by["judge_accuracy", "", "gpt"]["value"] == pytest.approx((y == f)[::2].mean(), abs=1e-12)
    assert ("judge_excess_bad", "m", "llama") in by
    assert ("judge_kappa", "m", "gpt") not in by
    assert "refused: the judge was tuned on 1 of the 60" in by["mar_prediction_powered", "m", "llama"]["note"]
    no_chance = judging_table(
        frame.with_columns(inclusion_prob=pl.lit(None, pl.Float64)), judge_models=["gpt"], n_boot=20
    )
    refused = no_chance.filter(pl.col("metric") == "mar_prediction_powered").row(0, named=True)
    assert isnan(refused["value"])
    assert "have no inclusion_prob" in refused["note"]
    assert len(judging_table(frame)) == 0
    assert judging_table(frame).columns == found.columns
    alone = judging_table(frame.filter(model), judge_models=["gpt"], n_boot=20)
    assert alone.filter(pl.col("metric") == "mar_judge_model")["value"][0] == pytest.approx(f.mean(), abs=1e-12)
    assert isnan(alone.filter(pl.col("metric") == "judge_kappa")["value"][0])
