"""Laws of explained items: faithful methods flip, and what must be of no consequence is of none."""

from __future__ import annotations

import pytest
from explained_items import ASKED, OPTIONS, PLANTED, TEXT, explain, how, label, of, people, run, same
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.driving import run_locally
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.unit import explained
from dfar_toolkit.runners.units import Row
from planted_model import KeptRows, PlantedModel


def test_faithful_methods_flip_every_item_and_random_words_few() -> None:
    flips = dict.fromkeys(("leave_one_out", "gradient_l2", "random"), 0)
    settled = how(*flips, shares=(), draws=1)
    for number in range(40):
        words = [f"w{at}" for at in range(10)]
        words[number % 10] = "stole"
        asked = Asked(" ".join(words), options=OPTIONS)
        rows = run(explained(f"i{number}", asked, None, None, settled), PlantedModel(PLANTED))
        for method in flips:
            flips[method] += label(of(rows, "without_top", method, k=1)[0]) != label(rows[0])
    assert (flips["leave_one_out"], flips["gradient_l2"]) == (40, 40)
    assert flips["random"] <= 11  # binomial, 40 draws of 1 in 10: more than 11 four times in 10,000


@settings(max_examples=8)
@given(st.permutations(["leave_one_out", "gradient_l1", "human", "random"]), st.integers(0, 3))
def test_the_order_of_methods_is_of_no_consequence(order: list[str], seed: int) -> None:
    human = people({1, 2}, {1})
    first = explain(
        PlantedModel(PLANTED), ASKED, how("leave_one_out", "gradient_l1", "human", "random", seed=seed), human
    )
    again = explain(PlantedModel(PLANTED), ASKED, how(*order, seed=seed), human)
    assert same(first) == same(again)


@settings(max_examples=15)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=2, unique=True))
def test_names_of_options_are_of_no_consequence(names: list[str]) -> None:
    """Letters stand for the options, so that their names alone differ in the prompt."""
    settled = how("leave_one_out", "input_x_gradient", "random", manner=Manner(load_style("label-letters")))
    first = explain(PlantedModel(PLANTED), ASKED, settled)
    again = explain(PlantedModel(PLANTED), Asked(TEXT, options=tuple(names)), settled)
    renamed = dict(zip(OPTIONS, names, strict=True))

    def bare(rows: list[Row], by: dict[str, str]) -> list[Row]:
        other: Row = {"seed": None}  # that of a request hangs on its text
        return [
            row | other | {"shown": [by.get(name, name) for name in row.get("shown", [])],
                           "target": by.get(row.get("target") or "", row.get("target"))}
            for row in rows
        ]  # fmt: skip

    assert bare(first, renamed) == bare(again, {})


@settings(max_examples=15)
@given(st.integers(1, 4), st.lists(st.sampled_from(["ab", "cd", "stole", "hungry"]), min_size=1, max_size=7))
def test_occlusion_of_one_word_is_leave_one_out_and_windows_average(width: int, words: list[str]) -> None:
    asked = Asked(" ".join(f"{word}{at}" for at, word in enumerate(words)), options=OPTIONS)
    model = PlantedModel({"stole": 3.0, "hungry": -1.0})
    rows = explain(model, asked, how("leave_one_out", "occlusion", width=width, kind="option_log_prob"))
    one, wide = (of(rows, "rationale", name)[0]["word_scores"] for name in ("leave_one_out", "occlusion"))
    if width == 1:
        assert one == wide
    if width >= len(words):
        assert max(wide) == pytest.approx(min(wide))


def test_units_are_the_same_whichever_run_beside_them() -> None:
    settled = how("leave_one_out", "random", "attention", operators=("remove", "replace"))
    texts = [TEXT, "stole", "", "It was a gift", TEXT]
    units = [explained(f"i{n}", Asked(t, options=OPTIONS), None, None, settled, replacements=("snow", "fell"))
             for n, t in enumerate(texts)]  # fmt: skip
    together = KeptRows()
    run_locally(units, PlantedModel(PLANTED), together, chunk=3)
    for unit in units:
        alone = KeptRows()
        run_locally([unit], PlantedModel(PLANTED), alone)
        assert alone[unit.name] == together[unit.name]
