"""Items behind a number: hand-made answers as exact fractions, and the numbers that their means must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.browsing.perturbed_items import option_probs, perturbed_items, step_name, step_of, steps_of
from dfar_toolkit.metrics.faithfulness import Perturbed, Step, faithfulness_table, perturbed_outputs

K1 = Step(k=1)


def outputs() -> pl.DataFrame:
    """Five items by one method, of two draws on the first; the last two answers have no label, or failed."""
    rows: list[dict[str, Any]] = []

    def add(item: str, condition: str, p: float | None, draw: int = 0, **more: Any) -> None:
        said: dict[str, Any] = {"label": None if p is None else "ab"[p < 0.5],
                                "label_probs": None if p is None else [p, 1 - p]}  # fmt: skip
        top = condition.endswith("top")
        rows.append({"run_id": "r", "question": "q", "item_id": item, "condition": condition, "draw": draw,
                     "method": "m" if top else "", "operator": "mask" if top else "", "k": 1 if top else -1,
                     "n_words": 4, "options": ["a", "b"], "error": None, **said, **more})  # fmt: skip

    for item, p in {"i1": 0.75, "i2": 0.875, "i3": 0.25, "i4": 0.75, "i5": 0.625}.items():
        add(item, "full", p)
    add("i1", "without_top", 0.25)
    add("i1", "without_top", 0.625, draw=1)
    add("i2", "without_top", 0.125)
    add("i3", "without_top", 0.375)
    add("i4", "without_top", None)
    add("i5", "without_top", None, error="time ran out")
    add("i2", "only_top", 0.75)
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"error": pl.String})


@pytest.fixture
def made() -> Perturbed:
    return perturbed_outputs(outputs())


def test_largest_drop_first_and_every_state(made: Perturbed) -> None:
    found = perturbed_items(made, method="m", operator="mask", step=K1)
    # i2: 7/8 - 1/8; i1: 3/4 - (1/4 + 5/8) / 2; i3 says b: 3/4 - 5/8; the others have no probability then.
    assert found["item_id"].to_list() == ["i2", "i1", "i3", "i4", "i5"]
    assert found["drop"].to_list() == [0.75, 0.3125, 0.125, None, None]
    assert found["p_after"].to_list() == [0.125, 0.4375, 0.625, None, None]
    assert found["state"].to_list() == ["flipped", "in part", "kept", "unparsed", "unanswered"]
    assert found["before"].to_list() == ["a", "a", "b", "a", "a"]
    assert found["after"].to_list() == ["b", None, "b", None, None]
    assert found["n_draws"].to_list() == [1, 2, 1, 1, 1]
    assert found["n_answered"].to_list() == [1, 2, 1, 1, 0]
    assert found["n_flipped"].to_list() == [1, 1, 0, 0, 0]


def test_their_means_are_the_numbers_of_the_table(made: Perturbed) -> None:
    table = faithfulness_table(outputs(), ci=None, ks=(1,)).filter(rationale_method="m", k=1)
    for side, rate, drop in (("without", "flip_rate", "comprehensiveness"), ("only", "flip_rate_only", "sufficiency")):
        found = perturbed_items(made, method="m", operator="mask", step=K1, side=side)  # type: ignore[arg-type]
        shares = found.filter(pl.col("n_answered") > 0).select(pl.col("n_flipped") / pl.col("n_answered")).to_series()
        assert table.filter(metric=rate)["value"][0] == shares.mean()
        assert table.filter(metric=rate)["n"][0] == len(shares)
        assert table.filter(metric=drop)["value"][0] == found["drop"].mean()


def test_flips_near_a_tie_are_counted(made: Perturbed) -> None:
    # The smaller gap of i2's flip is ln 7; of i1's, ln 3.
    for margin, within in ((1.0, [0, 0]), (1.5, [0, 1]), (2.0, [1, 1])):
        found = perturbed_items(made, method="m", operator="mask", step=K1, margin=margin)
        assert found["n_within"].to_list()[:2] == within


def test_probabilities_of_every_option_are_means_of_the_draws(made: Perturbed) -> None:
    found = option_probs(made, pl.Series([0, 4]), method="m", operator="mask", step=K1)
    assert found.before.tolist() == [[0.75, 0.25], [0.625, 0.375]]
    assert found.after[0].tolist() == [0.4375, 0.5625]
    assert np.isnan(found.after[1]).all()


def test_order_of_the_file_does_not_matter(made: Perturbed) -> None:
    other = perturbed_outputs(outputs().sample(fraction=1.0, shuffle=True, seed=3))
    one, two = (perturbed_items(p, method="m", operator="mask", step=K1) for p in (made, other))
    assert one.equals(two)


def test_a_step_that_nothing_has_gives_no_rows(made: Perturbed) -> None:
    assert perturbed_items(made, method="m", operator="mask", step=Step()).is_empty()
    assert steps_of(made, "m", "mask", [Step(k=3), K1, Step(share=0.25), Step()]) == [K1, Step(share=0.25)]
    with pytest.raises(ValueError, match="no method 'x'"):
        perturbed_items(made, method="x", operator="mask", step=K1)


@pytest.mark.parametrize("step", [Step(k=12), Step(share=0.05), Step(share=1 / 3), Step(words_of="hu:man"), Step()])
def test_steps_are_read_back(step: Step) -> None:
    found = step_of(step_name(step))
    assert found is not None
    assert found._replace(share=None) == step._replace(share=None)
    assert (found.share or 0) == pytest.approx(step.share or 0, abs=1e-6)


@pytest.mark.parametrize("name", ["", "k", "k:", "k:-1", "k:²", "share:2", "share:nan", "share:x", "words_of:", "x:1"])
def test_words_that_are_no_step(name: str) -> None:
    assert step_of(name) is None


def test_nothing_known_before_is_unanswered() -> None:
    rows = outputs().with_columns(label=pl.when(condition="full").then(None).otherwise("label"))
    found = perturbed_items(perturbed_outputs(rows, options=["a", "b"]), method="m", operator="mask", step=K1)
    assert set(found["state"]) == {"unanswered"}
    assert found["before"].null_count() == len(found)
    assert all(math.isnan(p) or p >= 0 for p in found["n_flipped"])
