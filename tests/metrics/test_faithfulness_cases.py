"""Faithfulness by the numbers that ERASER, ferret and Carton et al. compute, and where we differ on purpose."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.metrics.faithfulness import (
    Step,
    aopc,
    aopc_curve,
    aopc_rows,
    carton_fidelity,
    comprehensiveness,
    comprehensiveness_rows,
    normalised_comprehensiveness,
    normalised_sufficiency,
    perturbed_outputs,
    row_values,
    sufficiency,
    sufficiency_rows,
    tau_loo,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed

pytestmark = pytest.mark.real
TOLERANCE = 1e-9


def _cases(folder: Path, group: str) -> list[dict[str, Any]]:
    cases = json.loads((folder / "faith_cases.json").read_text(encoding="utf-8"))["cases"]
    found = [case for case in cases if case["group"] == group]
    assert found
    return found


def _rows(instance: dict[str, Any], labels: list[str]) -> list[dict[str, Any]]:
    """One instance of ERASER's file as rows of outputs."""

    def row(condition: str, k: int, scores: dict[str, float], share: float | None) -> dict[str, Any]:
        probs = [scores[name] for name in labels]
        plain = condition == "full"
        label = max(scores, key=lambda name: scores[name])
        return {"run_id": "r", "item_id": instance["annotation_id"], "question": "q", "condition": condition, "k": k,
                "method": "" if plain else "m", "operator": "" if plain else "remove", "share": share,
                "label": label, "label_probs": probs, "options": labels}  # fmt: skip

    found = [row("full", -1, instance["classification_scores"], None)]
    for side, name in (("without", "comprehensiveness"), ("only", "sufficiency")):
        key = f"{name}_classification_scores"
        found.append(row(f"{side}_evidence", -1, instance[key], None))
        for k, step in enumerate(instance["thresholded_scores"], start=1):
            found.append(row(f"{side}_top", k, step[key], step["threshold"]))
    return found


def _perturbed(case: dict[str, Any]) -> Perturbed:
    labels = ["neg", "neu", "pos"]
    rows = [row for instance in case["input"]["instances"] for row in _rows(instance, labels)]
    return perturbed_outputs(pl.DataFrame(rows, infer_schema_length=None))


def _value(score: Any) -> float:
    return float(score.formula(score.rows.sum(axis=0)[None, :])[0])


def test_eraser(shared_cases: Path) -> None:
    compared = 0
    for case in _cases(shared_cases, "eraser_faithfulness"):
        expected = case["expected"]
        p = _perturbed(case).of("m", "remove")
        if "raises" in expected:
            continue
        steps = [Step(share=s) for s in expected["aopc_thresholds"]]
        evidence = p.at(Step())
        for kind, rows in (("comprehensiveness", comprehensiveness_rows), ("sufficiency", sufficiency_rows)):
            for variant in ("probability", "entropy", "kl"):
                name = kind if variant == "probability" else f"{kind}_{variant}"
                assert _value(rows(evidence, variant=variant)) == pytest.approx(expected[name], abs=TOLERANCE)
            score = aopc_rows(p, row_values(p, kind), kind=kind, steps=steps)
            assert _value(score) == pytest.approx(expected[f"{kind}_aopc"], abs=TOLERANCE)
            points = [_value(rows(p.at(step))) for step in steps]
            assert points == pytest.approx(expected[f"{kind}_aopc_points"], abs=TOLERANCE)
            frame = pl.DataFrame({"item_id": p.items.gather(p.item), "share": p.share, "before": p.p_before(),
                                  "after": p.p_without() if kind == "comprehensiveness" else p.p_only()})  # fmt: skip
            again = aopc(frame, kind=kind, before="before", after="after", ci=None)
            assert again.value == pytest.approx(expected[f"{kind}_aopc"], abs=TOLERANCE)
            curve = aopc_curve(frame, kind=kind, before="before", after="after", ci=None)
            assert curve["value"].to_list() == pytest.approx(expected[f"{kind}_aopc_points"], abs=TOLERANCE)
            compared += 1
    assert compared == 6


def test_eraser_raises_where_we_have_a_value_or_a_note(shared_cases: Path) -> None:
    """A threshold that is not there: nan and a note; a predicted label that no gold has: the same number as any."""
    raised = {c["id"]: c for c in _cases(shared_cases, "eraser_faithfulness") if "raises" in c["expected"]}
    p = _perturbed(raised["faith_missing_threshold"]).of("m", "remove")
    score = aopc_rows(p, row_values(p, "comprehensiveness"), kind="comprehensiveness",
                      steps=[Step(share=0.01), Step(share=0.3)])  # fmt: skip
    assert math.isnan(_value(score))
    assert "without an answer at every size" in score.undefined
    p = _perturbed(raised["faith_predicted_label_absent_from_gold"]).of("m", "remove")
    assert _value(comprehensiveness_rows(p.at(Step()))) == pytest.approx(0.225, abs=TOLERANCE)


def test_ferret(shared_cases: Path) -> None:
    compared = 0
    for case in _cases(shared_cases, "ferret_faithfulness"):
        given, expected = case["input"], case["expected"]
        target, probs = given["target"], given["probabilities"]
        kept = [s for s in given["steps"] if s["rationale_positions"] is not None]
        full = probs["full"][target]
        drops = [full - step["probs"][target] for step in probs["leave_one_out"]]
        tau = tau_loo(scores=[given["scores"]], drops=[drops], ci=None).value
        assert (
            math.isnan(tau)
            if expected["tau_loo"] == "nan"
            else tau == pytest.approx(expected["tau_loo"], abs=TOLERANCE)
        )
        shares = [s["threshold"] for s in kept]
        if not kept:  # ferret: 0 and 1 by definition; here there is nothing to measure
            assert (expected["aopc_comprehensiveness"], expected["aopc_sufficiency"]) == (0.0, 1.0)
            continue
        numbers = [s / 10 if s > 1 else s for s in shares]
        for kind in ("comprehensiveness", "sufficiency"):
            frame = pl.DataFrame({"item_id": "x", "share": numbers, "before": full,
                                  "after": [step["probs"][target] for step in probs[f"{kind}_steps"]]})  # fmt: skip
            every = [*numbers, 0.99]  # a share that the item lacks, as one whose set repeats the one before
            found = aopc(frame, kind=kind, before="before", after="after", shares=every, skip_repeated=True, ci=None)
            assert found.value == pytest.approx(expected[f"aopc_{kind}"], abs=TOLERANCE)
            compared += 1
    assert compared == 14


def test_repeated_sets_are_skipped_in_outputs_as_ferret_does(shared_cases: Path) -> None:
    """Ten shares of one token are one row of outputs; ferret has one term too."""
    case = next(c for c in _cases(shared_cases, "ferret_faithfulness") if c["id"] == "ferret_single_token")
    probs, target = case["input"]["probabilities"], case["input"]["target"]
    rows = [
        {"run_id": "r", "item_id": "x", "question": "q", "condition": c, "method": m, "operator": o, "k": k,
         "label": "b", "label_probs": q, "options": ["a", "b"], "n_words": 1, "target": "ab"[target]}
        for c, m, o, k, q in (
            ("full", "", "", -1, probs["full"]), ("rationale", "m", "", -1, None),
            ("without_top", "m", "remove", 1, probs["comprehensiveness_steps"][0]["probs"]),
            ("only_top", "m", "remove", 1, probs["sufficiency_steps"][0]["probs"]),
        )
    ]  # fmt: skip
    p = perturbed_outputs(pl.DataFrame(rows, infer_schema_length=None), of="target").of("m", "remove")
    steps = [Step(share=s / 10) for s in range(1, 11)]
    for kind in ("comprehensiveness", "sufficiency"):
        for skip in (True, False):  # ten times the same term is the same mean
            score = aopc_rows(p, row_values(p, kind), kind=kind, steps=steps, skip_repeated=skip)
            assert _value(score) == pytest.approx(case["expected"][f"aopc_{kind}"], abs=TOLERANCE)


def test_carton(shared_cases: Path) -> None:
    for case in _cases(shared_cases, "normalised_fidelity_carton2020"):
        given, expected = case["input"], case["expected"]
        for kind, after in (("comprehensiveness", "p_rationale_removed"), ("sufficiency", "p_rationale_only")):
            for at, value in enumerate(expected[f"{kind}_normalised"]):
                one = carton_fidelity(kind=kind, before=[given["p_full"][at]], after=[given[after][at]],
                                      empty=[given["p_empty_input"][at]], ci=None)  # fmt: skip
                assert one.value == pytest.approx(value, abs=TOLERANCE)
            whole = carton_fidelity(kind=kind, before=given["p_full"], after=given[after], empty=given["p_empty_input"],
                                    ci=None)  # fmt: skip
            assert whole.value == pytest.approx(np.mean(expected[f"{kind}_normalised"]), abs=TOLERANCE)


def test_what_carton_counts_as_zero_is_undefined_here(shared_cases: Path) -> None:
    cases = {c["id"]: c["input"] for c in _cases(shared_cases, "normalised_fidelity_carton2020")}
    for name in ("carton_empty_more_confident", "carton_null_equals_full"):
        given = cases[name]
        before, empty = given["p_full"], given["p_empty_input"]
        for found in (
            normalised_comprehensiveness(before=before, without=given["p_rationale_removed"], empty=empty, ci=None),
            normalised_sufficiency(before=before, only=given["p_rationale_only"], empty=empty, ci=None),
        ):
            assert math.isnan(found.value)
            assert "nothing to lose" in found.note


def test_functions_of_arrays_give_eraser_numbers(shared_cases: Path) -> None:
    case = next(c for c in _cases(shared_cases, "eraser_faithfulness") if c["id"] == "faith_two")
    instances = case["input"]["instances"]
    labels = sorted(instances[0]["classification_scores"])
    full, without, only = (
        [[i[f"{side}classification_scores"][name] for name in labels] for i in instances]
        for side in ("", "comprehensiveness_", "sufficiency_")
    )
    assert comprehensiveness(before=full, without=without, variant="kl", ci=None).value == pytest.approx(
        case["expected"]["comprehensiveness_kl"], abs=TOLERANCE
    )
    assert sufficiency(before=np.array(full), only=np.array(only), variant="entropy", ci=None).value == pytest.approx(
        case["expected"]["sufficiency_entropy"], abs=TOLERANCE
    )
