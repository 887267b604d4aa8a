"""Guard rails, methods against random words of equal number, runs against runs, and the whole table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.estimate import ESTIMATE_SCHEMA
from dfar_toolkit.metrics import faithfulness as fa
from dfar_toolkit.metrics.faithfulness import Step
from dfar_toolkit.metrics.paired import sign_flip_test

METHODS = ("attention", "gradient")
WORDS = 10


def outputs(
    n: int = 24, *, run: str = "r", strength: float = 1.0, constant: bool = False, seed: int = 0, random: bool = True
) -> pl.DataFrame:
    """Answers about n items of ten words, two of which matter: gradient takes both first, attention one of them."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        full = 1.0 if constant else rng.uniform(0.7, 0.95)

        def add(
            condition: str, method: str, k: int, p: float, draw: int = 0, *, size: int | None = None, at: int = i
        ) -> None:
            p = 1.0 if constant else min(1.0, max(0.0, p + rng.uniform(-0.02, 0.02)))
            probs = [p, 1 - p] if constant or at % 2 else [1 - p, p]
            rows.append({
                "run_id": run, "item_id": f"i{at:03d}", "question": "q", "condition": condition, "method": method,
                "operator": "" if condition == "full" else "mask", "k": k, "draw": draw, "label": "ab"[probs[1] > 0.5],
                "label_probs": probs, "options": ["a", "b"], "n_words": WORDS, "share": k / WORDS if k > 0 else None,
                "n_removed": size if size is not None else k if k > 0 else None, "error": None, "dtype": "bfloat16",
            })  # fmt: skip

        add("full", "", -1, full)
        add("empty", "", -1, 0.45)
        for k in (1, 2, 5):
            loss = {"gradient": min(1.0, k / 2), "attention": (k >= 1) * 0.5 + (k >= 5) * 0.5, "random": k / WORDS}
            for method in (*METHODS, *(["random"] if random else [])):
                for draw in range(3 if method == "random" else 1):
                    fall = strength * loss[method] * 0.4
                    add("without_top", method, k, full - fall, draw)
                    add("only_top", method, k, 0.45 + fall, draw)
        add("without_evidence", "human", -1, full - strength * 0.3, size=2)
        add("only_evidence", "human", -1, 0.7, size=2)
    return pl.DataFrame(rows, infer_schema_length=None)


def items(n: int = 24) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{i:03d}" for i in range(n)], "group": [f"g{i // 3}" for i in range(n)],
                         "label": ["ba"[i % 2] for i in range(n)]})  # fmt: skip


def test_the_table() -> None:
    found = fa.faithfulness_table(outputs(), items(), n_boot=100)
    naming = ["run_id", "rationale_method", "operator", "metric", "label", "k", "share", "words_of", "higher_is_better"]
    assert found.columns == [*naming, *ESTIMATE_SCHEMA]
    assert set(found.filter(pl.col("metric") != "noise_margin")["unit"]) == {"groups"}
    rails = found.filter(rationale_method="", metric="noise_margin")
    assert rails["value"].item() == 0.03
    assert found.filter(rationale_method="", metric="accuracy")["value"].item() == 1.0
    assert set(found["metric"].str.replace("_over_random", "")) <= set(fa.HIGHER_IS_BETTER)
    one = found.filter(rationale_method="gradient", share=0.2)
    by_metric = dict(zip(one["metric"], one["value"], strict=True))
    assert by_metric["comprehensiveness_over_random"] == pytest.approx(0.4 - 0.08, abs=0.02)
    assert by_metric["sufficiency_over_random"] < -0.2
    human = found.filter(rationale_method="human")
    assert human.filter(metric="comprehensiveness")["k"].to_list() == [-1]
    assert human.filter(metric="comprehensiveness_over_random")["value"].item() == pytest.approx(0.3 - 0.08, abs=0.02)
    assert not found.filter(rationale_method="random")["metric"].str.ends_with("_over_random").any()
    as_long = found.filter(rationale_method="gradient", metric="comprehensiveness", words_of="human")
    assert as_long["value"].item() == by_metric["comprehensiveness"]  # people marked two of ten words
    racu = found.filter(metric="racu").select("rationale_method", "value").sort("value", descending=True)
    assert racu["rationale_method"].to_list() == ["gradient", "attention"]


def test_the_table_does_not_depend_on_the_order_of_rows() -> None:
    rows = outputs(n=8)
    one = fa.faithfulness_table(rows, n_boot=50)
    assert one.equals(fa.faithfulness_table(rows.sample(fraction=1, shuffle=True, seed=3), n_boot=50))


def test_two_runs_stand_below_each_other() -> None:
    both = pl.concat([outputs(n=6), outputs(n=6, run="s", seed=1)])
    found = fa.faithfulness_table(both, ci=None)
    assert found["run_id"].unique().sort().to_list() == ["r", "s"]
    alone = fa.faithfulness_table(outputs(n=6), ci=None)
    assert found.filter(run_id="r").equals(alone)


def test_a_model_with_one_label_is_perfectly_sufficient_and_said_to_say_little() -> None:
    found = fa.faithfulness_table(outputs(constant=True), items(), ci=None)
    at = found.filter(rationale_method="gradient", share=0.5)
    by_metric = dict(zip(at["metric"], at["value"], strict=True))
    assert (by_metric["flip_rate"], by_metric["comprehensiveness"], by_metric["sufficiency"]) == (0.0, 0.0, 0.0)
    assert math.isnan(by_metric["normalised_sufficiency"])
    notes = at.filter(metric="sufficiency")["note"].item()
    assert 'the model says "a" for 100.0 % of items: flips, comprehensiveness and sufficiency say little' in notes
    assert 'collapse: always "a"; the gold is "a" on 50.0 %' in notes
    assert "no item flips even without any word" in notes
    assert "the label is no less probable on the empty input" in notes
    assert found.filter(metric="top_label_share")["value"].item() == 1.0


def test_what_is_not_there_is_said() -> None:
    rows = outputs(n=6, random=False).filter(pl.col("condition") != "empty")
    found = fa.faithfulness_table(rows, ci=None)
    note = found.filter(rationale_method="gradient", metric="comprehensiveness", share=0.5)["note"].item()
    assert "no random rationales to compare with" in note
    assert "the empty input was not asked" in note
    over = found.filter(rationale_method="gradient", metric="aopc_comprehensiveness_over_random")
    assert over["note"].item().startswith("all 6 items are without an answer, or without random words of equal number")
    lost = rows.filter(~((pl.col("item_id") == "i000") & (pl.col("method") == "gradient")))
    found = fa.faithfulness_table(lost, ci=None)
    assert "coverage 83.3 %" in found.filter(rationale_method="gradient", metric="flip_rate", share=0.5)["note"].item()


def test_labels_alone_are_enough_for_flips() -> None:
    rows = outputs(n=6).with_columns(label_probs=pl.lit(None, dtype=pl.List(pl.Float64)))
    found = fa.faithfulness_table(rows, ci=None)
    assert found.filter(rationale_method="gradient", metric="flip_rate", share=0.5)["value"].item() == 1.0
    assert "comprehensiveness" not in found["metric"].to_list()
    assert found.filter(metric="p_full")["note"].item() == "all 6 items are without a probability"


def test_no_outputs_no_rows() -> None:
    assert fa.faithfulness_table(outputs(n=1).clear()).columns[:2] == ["run_id", "rationale_method"]


def test_over_random_is_the_naive_loop() -> None:
    p = fa.perturbed_outputs(outputs(n=5), items(5))
    values = fa.row_values(p, "comprehensiveness")
    found = fa.over_random(p, values)
    names = np.array(p.methods)[p.method]
    for at in range(len(values)):
        same = (names == "random") & (p.item == p.item[at]) & (p.removed == p.removed[at]) & (p.k > 0)
        assert found[at] == pytest.approx(values[at] - values[same].mean(), abs=1e-12)
    assert np.nanmax(np.abs(np.bincount(p.item, weights=np.where(names == "random", found, 0)))) < 1e-12


def test_no_words_are_like_any_other_no_words() -> None:
    rows = outputs(n=3).with_columns(n_removed=pl.when(pl.col("method") == "human").then(0).otherwise("n_removed"))
    p = fa.perturbed_outputs(rows)
    human = p.block("human", "mask")
    assert fa.over_random(p, fa.row_values(p, "sufficiency"))[human].tolist() == [0.0, 0.0, 0.0]


def test_methods_are_compared_in_pairs_with_holm() -> None:
    p = fa.perturbed_outputs(outputs(), items())
    found = fa.method_differences(p, metric="comprehensiveness", operator="mask", step=Step(k=2), n_boot=100)
    assert found.select("method_a", "method_b").rows() == [("attention", "gradient")]  # human has no rows at k = 2
    first = found.row(0, named=True)
    assert first["value"] == pytest.approx(0.2, abs=0.02)
    one, two = (fa.comprehensiveness_rows(p.of(m, "mask").at(Step(k=2))).rows[:, 0] for m in METHODS)
    assert first["value"] == pytest.approx((two - one).mean(), abs=1e-12)  # equal numbers: the random part cancels
    assert first["p_value"] == sign_flip_test(two - one, groups=p.groups).value
    assert first["p_holm"] == first["p_value"]
    long = fa.method_differences(
        p, metric="comprehensiveness", operator="mask", step=Step(words_of="human"), n_boot=100
    )
    assert long.select("method_a", "method_b").rows() == [("attention", "gradient"), ("attention", "human"),
                                                          ("gradient", "human")]  # fmt: skip
    assert long["value"].to_list() == pytest.approx([0.2, 0.1, -0.1], abs=0.03)
    assert long["p_holm"].max() <= 3 * long["p_value"].max()
    assert (long["p_holm"] >= long["p_value"]).all()
    whole = fa.method_differences(p, metric="aopc_sufficiency", operator="mask", methods=METHODS,
                                  steps=[Step(k=1), Step(k=2)], n_boot=100)  # fmt: skip
    assert whole["value"].item() < 0
    assert whole["higher_is_better"].item() is False
    with pytest.raises(ValueError, match="at least two methods are wanted"):
        fa.method_differences(p, metric="flip_rate", operator="mask", methods=["human"])
    with pytest.raises(ValueError, match="metric must be one of"):
        fa.method_differences(p, metric="tau_loo", operator="mask")  # type: ignore[arg-type]


def test_runs_are_compared_by_differences_of_differences_only() -> None:
    runs = {name: fa.perturbed_outputs(outputs(run=name, strength=s, seed=seed), items())
            for name, s, seed in (("base", 0.5, 1), ("tuned", 1.0, 2))}  # fmt: skip
    found = fa.run_differences(runs, metric="comprehensiveness", method="gradient", operator="mask", step=Step(k=2),
                               n_boot=100)  # fmt: skip
    assert found["value"].item() == pytest.approx(0.5 * (0.4 - 0.08), abs=0.02)
    assert found["unit"].item() == "groups"
    assert found["p_holm"].item() == found["p_value"].item()
    each = [fa.over_random_rows(p, metric="comprehensiveness", method="gradient", operator="mask", step=Step(k=2))
            for p in runs.values()]  # fmt: skip
    assert found["value"].item() == pytest.approx((each[1].rows[:, 0] - each[0].rows[:, 0]).mean(), abs=1e-12)
    with pytest.raises(ValueError, match=r"run_differences: raw comprehensiveness is not compared between models"):
        fa.run_differences(runs, metric="comprehensiveness", method="gradient", operator="mask", matched=False)
    with pytest.raises(ValueError, match="at least two runs"):
        fa.run_differences({"a": runs["base"]}, metric="comprehensiveness", method="gradient", operator="mask")


def test_runs_are_compared_on_the_items_that_both_have() -> None:
    runs = {"a": fa.perturbed_outputs(outputs(n=10)), "b": fa.perturbed_outputs(outputs(n=6, seed=5))}
    found = fa.run_differences(
        runs, metric="flip_rate", method="gradient", operator="mask", step=Step(share=0.5), ci=None
    )
    assert found["n"].item() == 6


def test_area_curves_of_outputs() -> None:
    p = fa.perturbed_outputs(outputs(), items())
    gold = np.array([1 - i % 2 for i in range(24)])
    area, relative = fa.area_curve_rows(p, method="gradient", operator="mask", shares=(0.1, 0.2, 0.5), gold=gold,
                                        performance="accuracy")  # fmt: skip
    drawn = {}
    for method in ("gradient", "random"):
        own = p.of(method, "mask")
        right = [1.0]
        for k in (1, 2, 5):
            at = own.at(Step(k=k))
            right.append(float(np.mean(at.without.label == gold[at.item])))
        drawn[method] = np.array([*right, np.mean(p.empty[0].label == gold)])
    ratios = [0, 0.1, 0.2, 0.5, 1]
    wanted = np.trapezoid(drawn["random"] - drawn["gradient"], ratios)
    assert float(area.rows[:, 0].mean()) == pytest.approx(wanted, abs=1e-12)
    could = np.trapezoid(drawn["random"] - drawn["random"][-1], ratios)
    assert relative.formula(relative.rows.sum(axis=0)[None, :])[0] == pytest.approx(wanted / could, abs=1e-12)
    with pytest.raises(ValueError, match="needs the gold labels"):
        fa.area_curve_rows(p, method="gradient", operator="mask", shares=(0.5,), performance="accuracy")


def test_groups_change_the_intervals_of_the_table() -> None:
    rows = outputs(n=24)
    alone, together = (fa.faithfulness_table(rows, i, n_boot=100) for i in (None, items()))
    key = {"rationale_method": "gradient", "metric": "comprehensiveness", "share": 0.5}
    one, two = (f.filter(**key).row(0, named=True) for f in (alone, together))
    assert one["value"] == pytest.approx(two["value"], abs=1e-12)
    assert (one["n_units"], two["n_units"]) == (24, 8)
    assert one["low"] != two["low"]


def test_random_words_are_measured_on_the_label_that_the_method_explains() -> None:
    def said(condition: str, method: str, p: float, k: int = -1) -> dict[str, Any]:
        return {"item_id": "i", "condition": condition, "method": method, "operator": "" if k < 0 else "mask", "k": k,
                "draw": 0, "label": "ab"[p < 0.5], "label_probs": [p, 1 - p], "options": ["a", "b"], "n_words": 4,
                "target": None}  # fmt: skip

    asked = [said("full", "", 0.75), said("without_top", "gradient", 0.5, 1), said("without_top", "random", 0.625, 1)]
    why = {"item_id": "i", "condition": "rationale", "draw": 0, "k": -1}
    named = [{**why, "method": "gradient", "target": "b"}, {**why, "method": "random", "target": None}]

    def over(rows: list[dict[str, Any]]) -> float:
        p = fa.perturbed_outputs(pl.DataFrame(rows, infer_schema_length=None), of="target")
        score = fa.over_random_rows(p, metric="comprehensiveness", method="gradient", operator="mask", step=Step(k=1))
        return float(score.rows[0, 0]) if score.rows[0, 1] else math.nan

    # Of b 1/4 becomes 1/2 without the word, and 3/8 without a random one: -1/4 less -1/8.
    assert over([*asked, *named]) == -0.125
    # Where methods explain different labels it is not known which one random words are to be measured on.
    assert math.isnan(over([*asked, *named, {**why, "method": "attention", "target": "a"}]))
