"""A run's overlap between floor and ceiling, by hand and by loops over the definition."""

from __future__ import annotations

from collections import Counter
from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.estimate import estimate_together
from dfar_toolkit.metrics.reasons.donors import donor_places
from dfar_toolkit.metrics.reasons.floor_and_ceiling import overlap_between, reason_overlap, reason_overlap_rows
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons
from dfar_toolkit.metrics.reasons.text_overlap import token_scores

FRAME = pl.DataFrame(
    {
        "item_id": ["i", "j", "k", "l", "m"],
        "reason": ["a b", "c d", "e f", "g h", None],
        "human_reasons": [["a b", "a x", "y z"], ["c d", "c d"], ["e q"], ["g h", "r s"], ["t"]],
        "label_pred": ["e", "e", "u", None, "e"],
    }
)


def quantities(frame: pl.DataFrame) -> dict[str, float]:
    return dict(frame.select("quantity", "value").rows())


def f1(a: str, b: str) -> float:
    return float(token_scores([a], [b]).f1[0])


@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(0, 5)), max_size=14), st.integers(0, 3))
@settings(max_examples=25)
def test_donors_have_the_label_and_another_unit(rows: list[tuple[str, int]], seed: int) -> None:
    labels, units = pl.Series([a for a, _ in rows], dtype=pl.String), pl.Series([u for _, u in rows], dtype=pl.Int64)
    places = donor_places(labels, units, draws=3, seed=seed)
    assert places.shape == (3, len(rows))
    for draw in places:
        lent = [(i, p) for i, p in enumerate(draw) if p >= 0]
        assert all(labels[i] == labels[int(p)] and units[i] != units[int(p)] for i, p in lent)
        assert max(Counter(p for _, p in lent).values(), default=1) == 1
    for label in set(labels):
        own = [u for a, u in rows if a == label]
        if max(Counter(own).values()) * 2 <= len(own):
            assert (places[:, (labels == label).to_numpy()] >= 0).all()


def test_by_hand() -> None:
    # i: token F1 of "a b" is 1, 1/2, 0. Held out in turn, the maximum of the rest is 1/2, 1, 1: 5/6. Among people:
    # "a b" and "a x" share one word (1/2), "y z" nothing, so each held out reaches 1/2, 1/2, 0: 1/3.
    # j: 1 and 1, ceiling 1. i and j lend each other reasons that share nothing: floor 0. k is the only u: no floor.
    # l: run max 1 and 0 held out: 1/2; ceiling 0; no label, no floor.
    found = reason_overlap(FRAME, metric="token_f1", over="max", ci=None)
    values = quantities(found)
    assert values["run"] == pytest.approx((5 / 6 + 1 + 1 / 2 + 1 / 2) / 4, abs=1e-12)
    assert values["floor"] == 0
    assert values["run_minus_floor"] == pytest.approx((5 / 6 + 1) / 2, abs=1e-12)
    assert values["ceiling"] == pytest.approx((1 / 3 + 1 + 0) / 3, abs=1e-12)
    assert values["position"] == pytest.approx((5 / 6 + 1) / (1 / 3 + 1), abs=1e-12)
    assert found["n"].to_list() == [4, 2, 2, 3, 2]
    mean = quantities(reason_overlap(FRAME, metric="token_f1", over="mean", ci=None))
    assert mean["run"] == pytest.approx((1 / 2 + 1 + 1 / 2 + 1 / 2) / 4, abs=1e-12)
    # People of i: "a b" against the others 1/4, "a x" 1/4, "y z" 0: 1/6.
    assert mean["ceiling"] == pytest.approx((1 / 6 + 1 + 0) / 3, abs=1e-12)


texts = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(" ".join)


@given(
    st.lists(st.tuples(texts, st.lists(texts, max_size=4)), min_size=2, max_size=5), st.sampled_from(["mean", "max"])
)
@settings(max_examples=15)
def test_against_loops(rows: list[tuple[str, list[str]]], over: str) -> None:
    items = [f"i{k}" for k in range(len(rows))]
    pairs = pair_reasons("test", None, reason=[r for r, _ in rows], human=[h for _, h in rows], item=items,
                         label=["e"] * len(rows))  # fmt: skip
    found = overlap_between(pairs, metric="token_f1", over=over, draws=2, seed=1)  # type: ignore[arg-type]
    best = max if over == "max" else lambda x: sum(x) / len(x)
    lenders = donor_places(pl.Series(["e"] * len(rows)), pl.Series(items), draws=2, seed=1)

    def held(reason: str, humans: list[str]) -> float:
        if len(humans) == 1:
            return f1(reason, humans[0])
        return float(np.mean([best([f1(reason, h) for j, h in enumerate(humans) if j != out])
                              for out in range(len(humans))]))  # fmt: skip

    for i, (reason, humans) in enumerate(rows):
        if not humans:
            assert np.isnan([found.run[i], found.floor[i], found.ceiling[i]]).all()
            continue
        assert found.run[i] == pytest.approx(held(reason, humans), abs=1e-12)
        assert found.floor[i] == pytest.approx(np.mean([held(rows[p][0], humans) for p in lenders[:, i]]), abs=1e-12)
        among = [best([f1(h, o) for b, o in enumerate(humans) if b != a]) for a, h in enumerate(humans)
                 if len(humans) > 1]  # fmt: skip
        assert found.ceiling[i] == pytest.approx(np.mean(among) if among else np.nan, abs=1e-12, nan_ok=True)


def test_row_order_changes_nothing_and_the_seed_fixes_all() -> None:
    frame = pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(12)],
            "reason": [f"w{k % 5} w{k % 3} x" for k in range(12)],
            "human_reasons": [[f"w{k % 4} x", f"w{k % 3} y"] for k in range(12)],
            "label_pred": ["e", "u"] * 6,
            "group": [f"g{k // 2}" for k in range(12)],
        }
    )
    how = {"metric": "rouge_l", "n_boot": 100, "seed": 3}
    one = reason_overlap(frame, **how)  # type: ignore[arg-type]
    assert one.equals(reason_overlap(frame.sample(fraction=1, shuffle=True, seed=1), **how))  # type: ignore[arg-type]
    assert one["unit"].to_list() == ["groups"] * 5
    assert not one.equals(reason_overlap(frame, **(how | {"seed": 4})))  # type: ignore[arg-type]


def test_a_humans_reason_may_be_the_floor() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["i", "j", "k"],
            "reason": ["model words", "model words", "model words"],
            "human_reasons": [["a b"], ["a c"], []],
            "label_pred": ["e", "e", "e"],
        }
    )
    run = quantities(reason_overlap(frame, metric="token_f1", ci=None))
    human = quantities(reason_overlap(frame, metric="token_f1", floor_from="human", ci=None))
    assert (run["run"], run["floor"], human["floor"]) == (0.0, 0.0, 0.5)


def test_undefined_says_why() -> None:
    lone = reason_overlap(reason=["a b"], human=[["a"]], label=["e"], item=["i"], metric="token_f1")
    notes = dict(lone.select("quantity", "note").rows())
    values = quantities(lone)
    assert values["run"] == pytest.approx(2 / 3, abs=1e-12)
    assert all(isnan(values[q]) for q in ("floor", "run_minus_floor", "ceiling", "position"))
    assert notes["ceiling"] == "all 1 items are without a second human reason"
    assert notes["position"] == "no item has run, floor and ceiling"
    # All texts are alike: the ceiling is not above the floor.
    same = reason_overlap(reason=["a", "a"], human=[["a", "a"]] * 2, label=["e", "e"], item=["i", "j"])
    assert isnan(quantities(same)["position"])
    assert same.filter(quantity="position")["note"].item() == "the ceiling is not above the floor"
    assert reason_overlap(reason=[], human=[], label=[], item=[])["n"].to_list() == [0] * 5


def test_wrong_options_are_refused() -> None:
    for how, words in (
        ({"over": "min"}, "over must be"),
        ({"floor_from": "me"}, "floor_from"),
        ({"draws": 0}, "draws"),
    ):
        with pytest.raises(ValueError, match=words):
            reason_overlap(FRAME, **how)


def test_rows_are_additive() -> None:
    pairs = pair_reasons("test", FRAME, human="human_reasons", label="label_pred", item="item_id")
    rows = reason_overlap_rows(pairs, metric="token_f1", over="max")
    assert [r.metric for r in rows][::4] == ["token_f1_max", "token_f1_max_position"]
    values = [e.value for e in estimate_together(rows, ci=None)]
    assert values == pytest.approx(reason_overlap(FRAME, metric="token_f1", over="max", ci=None)["value"].to_list())
