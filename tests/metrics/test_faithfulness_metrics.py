"""Comprehensiveness, sufficiency, flips, areas: by hand, by law, and where there is nothing to say."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics import faithfulness as fa
from dfar_toolkit.metrics.faithfulness import Step
from dfar_toolkit.metrics.faithfulness.flips import flip_gaps, top_gap
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed

OPTIONS = ["fair", "not fair", "😀"]


def row(item: str, condition: str, probs: list[float] | None, **beside: Any) -> dict[str, Any]:
    """A row of outputs; its label is the most probable option, unless said otherwise."""
    label = None if probs is None else OPTIONS[int(np.argmax(probs))]
    changed = condition not in ("full", "rationale")
    found = {"run_id": "r", "item_id": item, "question": "q", "condition": condition, "method": "", "label": label,
             "operator": "remove" if changed else "", "k": -1, "draw": 0, "label_probs": probs, "options": OPTIONS,
             "error": None, "share": None, "n_words": 4, "n_removed": None, "target": None}  # fmt: skip
    return found | beside


def read(rows: list[dict[str, Any]], items: pl.DataFrame | None = None, **how: Any) -> Perturbed:
    return fa.perturbed_outputs(pl.DataFrame(rows, infer_schema_length=None), items, **how)


def two_items() -> list[dict[str, Any]]:
    """x: .8 fair, .5 and .2 without 1 and 2 words; y: .6 not fair, and .6, .5 without 1 and 2."""
    rows = [row("x", "full", [0.8, 0.1, 0.1]), row("y", "full", [0.2, 0.6, 0.2]),
            row("x", "empty", [0.4, 0.3, 0.3]), row("y", "empty", [0.5, 0.4, 0.1])]  # fmt: skip
    for k, x, y in ((1, [0.5, 0.25, 0.25], [0.3, 0.6, 0.1]), (2, [0.2, 0.5, 0.3], [0.25, 0.5, 0.25])):
        rows += [row("x", "without_top", x, method="m", k=k), row("y", "without_top", y, method="m", k=k)]
        rows += [row("x", "only_top", y, method="m", k=k), row("y", "only_top", x, method="m", k=k)]
    return rows


def value(score: Any) -> float:
    with np.errstate(all="ignore"):
        return float(score.formula(score.rows.sum(axis=0)[None, :])[0])


def test_by_hand() -> None:
    p = read(two_items()).of("m", "remove")
    one, two = p.at(Step(k=1)), p.at(Step(k=2))
    assert value(fa.comprehensiveness_rows(one)) == pytest.approx(float(Fraction(3, 10) / 2), abs=1e-12)
    assert value(fa.comprehensiveness_rows(two)) == pytest.approx(float((Fraction(6, 10) + Fraction(1, 10)) / 2))
    # x alone: .8 - .3, .6 - .25; at k = 2: .8 - .25, .6 - .5
    assert value(fa.sufficiency_rows(one)) == pytest.approx(float((Fraction(1, 2) + Fraction(35, 100)) / 2), abs=1e-12)
    assert value(fa.sufficiency_rows(two)) == pytest.approx(float((Fraction(55, 100) + Fraction(1, 10)) / 2), abs=1e-12)
    assert [value(fa.flip_rows(s)) for s in (one, two)] == [0.0, 0.5]
    assert value(fa.flip_rows(one, side="only")) == 1.0
    # what can be lost: .8 - .4 and .6 - .4
    lost = float((Fraction(6, 10) + Fraction(1, 10)) / (Fraction(4, 10) + Fraction(2, 10)))
    assert value(fa.normalised_rows(two, metric="normalised_comprehensiveness")) == pytest.approx(lost, abs=1e-12)
    kept = float(1 - (Fraction(55, 100) + Fraction(1, 10)) / Fraction(6, 10))
    assert value(fa.normalised_rows(two, metric="normalised_sufficiency")) == pytest.approx(kept, abs=1e-12)
    assert value(fa.flippable_rows(p, "remove")) == 0.5


def test_shares_of_short_items_are_found_by_their_number_of_words() -> None:
    p = read(two_items()).of("m", "remove")
    for share, k in ((0.01, 1), (0.25, 1), (0.26, 2), (0.5, 2)):
        assert value(fa.comprehensiveness_rows(p.at(Step(share=share)))) == pytest.approx(
            value(fa.comprehensiveness_rows(p.at(Step(k=k))))
        )
    assert len(p.at(Step(share=0.9)).item) == 0
    assert fa.words_of_share([100, 0, 3], 0.07).tolist() == [7, 1, 1]  # .07 x 100 is 7.000000000000001


def test_a_number_of_words_above_the_item_is_all_of_it() -> None:
    rows = [
        row("x", "full", [1.0, 0.0, 0.0], n_words=2),
        row("x", "without_top", [0.2, 0.8, 0.0], method="m", k=2, n_words=2),
    ]
    p = read(rows).of("m", "remove")
    assert value(fa.comprehensiveness_rows(p.at(Step(k=9)))) == pytest.approx(0.8)


def test_dffot_and_dfmit() -> None:
    p = read(two_items()).of("m", "remove")
    score = fa.dffot_rows(p)  # x changes at 2 of 4 words, after 1 of 4 did not; y never, 2 of 4 tried
    assert value(score) == 0.75
    assert "as low as 0.375" in score.note
    assert "never changed on 50.0 %" in score.note
    assert value(fa.dfmit_rows(p)) == 0.0
    assert value(fa.dffot_rows(p, steps=[Step(k=1)])) == 1.0


def test_unparsed_failed_and_missing_are_told_apart() -> None:
    rows = [row(i, "full", [0.8, 0.1, 0.1]) for i in "abcd"] + [
        row("e", "full", None),
        row("f", "full", [0.8, 0.1, 0.1]),
    ]
    rows += [row("a", "without_top", [0.1, 0.8, 0.1], method="m", k=1),
             row("b", "without_top", None, method="m", k=1),
             row("c", "without_top", [0.1, 0.8, 0.1], method="m", k=1, error="timeout"),
             row("e", "without_top", [0.1, 0.8, 0.1], method="m", k=1),
             row("f", "without_top", [0.7, 0.2, 0.1], method="m", k=1)]  # fmt: skip
    p = read(rows)
    flips, unparsed = fa.flip_rows(p.at(Step(k=1))), fa.unparsed_rows(p.at(Step(k=1)))
    assert flips.rows[:, 1].tolist() == [1, 1, 0, 0, 0, 1]  # c failed, d was not asked, e has no label to begin with
    assert (value(flips), value(unparsed)) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert flips.note == "3 of 6 without a label before and an answer after left out"
    drop = fa.comprehensiveness_rows(p.at(Step(k=1)))
    assert value(drop) == pytest.approx((0.7 + 0.1) / 2)
    assert int(drop.rows[:, 1].sum()) == 2
    rails = fa.guard_rails(p, ci=None).rows
    own = rails.filter(pl.col("rationale_method") == "m").select("metric", "value").rows()
    assert dict(own) == {"coverage": 0.5, "unparsed_share": pytest.approx(1 / 6), "failed_share": pytest.approx(1 / 6),
                         "missing_share": pytest.approx(1 / 6)}  # fmt: skip


def test_flips_within_the_noise() -> None:
    rows = [row(i, "full", [0.8, 0.1, 0.1]) for i in "ab"]
    near, far = [0.495, 0.5, 0.005], [0.1, 0.8, 0.1]
    rows += [row("a", "without_top", near, method="m", k=1), row("b", "without_top", far, method="m", k=1)]
    p = read(rows).at(Step(k=1))
    assert flip_gaps(p).tolist() == pytest.approx([math.log(0.5 / 0.495), math.log(8)])
    assert value(fa.flip_rows(p)) == 1.0
    counted = fa.flip_rows(p, margin=fa.noise_margin("bfloat16"))
    assert value(counted) == 0.5
    assert counted.note == "1 of 2 flips within 0.03 of a tie not counted"
    assert value(fa.flips_within_margin_rows(p, 0.03)) == 0.5
    assert math.isnan(value(fa.flips_within_margin_rows(p.take(p.item > 9), 0.03)))
    arrays = fa.flip_rate(before=["a", "a"], after=["b", "b"], gap=[0.01, 2.0], margin=0.03)
    assert arrays.value == 0.5
    with pytest.raises(ValueError, match=r"flip_rate: margin needs the gap"):
        fa.flip_rate(before=["a"], after=["b"], margin=0.1)
    assert np.isnan(top_gap(np.ones((2, 1)))).all()


def test_flips_by_label() -> None:
    found = fa.flips_by_label(read(two_items()).of("m", "remove").at(Step(k=2)))
    assert found["label"].to_list() == OPTIONS
    assert found["value"].to_list()[:2] == [1.0, 0.0]
    assert found["note"][2] == "'😀' is never predicted"


def test_the_label_that_is_explained_may_be_another() -> None:
    rows = [*two_items(), row("x", "rationale", None, method="m", operator="", target="not fair")]
    plain, target = (read(rows, of=of).of("m", "remove").at(Step(k=2)) for of in ("predicted", "target"))
    assert value(fa.comprehensiveness_rows(plain)) == pytest.approx(0.35)
    assert fa.comprehensiveness_rows(target).rows[:, 0].tolist() == pytest.approx([0.1 - 0.5, 0.1])


def test_the_order_of_options_in_a_row_does_not_matter() -> None:
    rows = two_items()
    for r in rows[::2]:
        r["label_probs"], r["options"] = r["label_probs"][::-1], OPTIONS[::-1]
    p, q = (read(x).of("m", "remove") for x in (rows, two_items()))
    again = read(rows, options=OPTIONS).of("m", "remove")
    for metric in ("comprehensiveness", "sufficiency"):
        np.testing.assert_allclose(fa.row_values(again, metric), fa.row_values(q, metric), atol=1e-12)
        np.testing.assert_allclose(fa.row_values(p, metric), fa.row_values(q, metric), atol=1e-12)


def test_draws_of_an_item_count_as_one() -> None:
    rows = [row("x", "full", [1.0, 0.0, 0.0]), row("y", "full", [1.0, 0.0, 0.0])]
    rows += [
        row("x", "without_top", [p, 1 - p, 0.0], method="random", k=1, draw=d) for d, p in enumerate((0.2, 0.4, 0.9))
    ]
    rows.append(row("y", "without_top", [0.5, 0.4, 0.1], method="random", k=1))
    p = read(rows).at(Step(k=1))
    assert value(fa.comprehensiveness_rows(p)) == pytest.approx((0.5 + 0.5) / 2)
    assert value(fa.flip_rows(p)) == pytest.approx((2 / 3 + 0) / 2)
    frame = pl.DataFrame({"item_id": ["x"] * 3 + ["y"], "p_before": 1.0, "p_without": [0.2, 0.4, 0.9, 0.5]})
    assert fa.comprehensiveness(frame, ci=None).value == pytest.approx(0.5)
    assert fa.comprehensiveness(frame, ci=None).n == 2


def test_kl_without_a_finite_value_says_why() -> None:
    found = fa.comprehensiveness(before=[[1.0, 0.0]], without=[[0.5, 0.5]], variant="kl", ci=None)
    assert math.isnan(found.value)
    assert found.note == "infinite for 1 of 1 items"


@pytest.mark.parametrize("seed", range(3))
def test_area_curves_are_the_naive_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratios = np.sort(np.append(rng.random(4), [0, 1]))
    method, random = rng.random((7, 6)), rng.random((7, 6)) + 1
    area, could = 0.0, 0.0
    mean_m, mean_b = method.mean(axis=0), random.mean(axis=0)
    for j in range(5):
        width = ratios[j + 1] - ratios[j]
        area += ((mean_b - mean_m)[j] + (mean_b - mean_m)[j + 1]) / 2 * width
        could += ((mean_b[j] - mean_b[-1]) + (mean_b[j + 1] - mean_b[-1])) / 2 * width
    assert fa.acu(ratios, method, random, ci=None).value == pytest.approx(area, abs=1e-12)
    if could > 0:
        assert fa.racu(ratios, method, random, ci=None).value == pytest.approx(area / could, abs=1e-12)
    assert fa.acu(ratios, random, method, ci=None).value == pytest.approx(-area, abs=1e-12)
    missing = method.copy()
    missing[0, 2] = np.nan
    assert fa.acu(ratios, missing, random, ci=None).n == 6
    with pytest.raises(ValueError, match=r"acu: ratios \(m,\) must rise"):
        fa.acu([0, 0], [[1, 1]], [[1, 1]])


def test_racu_where_nothing_can_be_lost() -> None:
    found = fa.racu([0, 1], [[0.5, 0.5]], [[0.5, 0.5]], ci=None)
    assert math.isnan(found.value)
    assert "costs nothing" in found.note


def test_area_over_the_share_of_words() -> None:
    p = read(two_items()).of("m", "remove")
    drops = fa.row_values(p, "comprehensiveness")
    ends = (np.zeros(2), np.array([0.4, 0.2]))
    score = fa.area_rows(p, drops, ends, kind="comprehensiveness", shares=(0.25, 0.5, 1.0))
    x = 0.25 * (0 + 0.3) / 2 + 0.25 * (0.3 + 0.6) / 2 + 0.5 * (0.6 + 0.4) / 2
    y = 0.25 * (0 + 0) / 2 + 0.25 * (0 + 0.1) / 2 + 0.5 * (0.1 + 0.2) / 2
    assert value(score) == pytest.approx((x + y) / 2, abs=1e-12)


def _kendall(a: list[float], b: list[float]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)


def test_tau_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a = [rng.integers(0, 4, size=n).astype(float).tolist() for n in (2, 3, 3, 8, 1, 25, 25, 0)]
    b = [rng.integers(0, 4, size=len(x)).astype(float).tolist() for x in a]
    found = fa.kendall_taus(pl.Series(a), pl.Series(b))
    for x, y, tau in zip(a, b, found, strict=True):
        expected = _kendall(x, y) if len(x) > 1 else math.nan
        assert tau == pytest.approx(expected, abs=1e-12, nan_ok=True)
    with pytest.raises(ValueError, match=r"kendall_taus: both need one number per word; row 0 has 1 and 2"):
        fa.kendall_taus(pl.Series([[1.0]]), pl.Series([[1.0, 2.0]]))


def test_rank_agreement_table() -> None:
    scores = {"leave_one_out": [3.0, 2.0, 1.0], "m": [9.0, 8.0, 7.0], "flat": [1.0, 1.0, 1.0]}
    rows = [row(i, "rationale", None, method=m, word_scores=s) for i, (m, s) in itertools.product("xy", scores.items())]
    rows[-2]["word_scores"] = None
    found = fa.rank_agreement_table(pl.DataFrame(rows, infer_schema_length=None), ci=None)
    assert found.select("metric", "method_a", "method_b", "n").rows() == [
        ("tau_loo", "flat", "leave_one_out", 0),
        ("method_rank_correlation", "flat", "m", 0),
        ("tau_loo", "leave_one_out", "m", 1),
    ]
    assert found["value"].to_list() == pytest.approx([math.nan, math.nan, 1.0], nan_ok=True)


ANSWERS = st.lists(
    st.tuples(*[st.lists(st.integers(1, 9), min_size=3, max_size=3) for _ in range(4)], st.integers(0, 2)),
    min_size=1, max_size=6,
)  # fmt: skip


def _drawn(answers: list[Any], names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name, (full, empty, without, only, group) in zip(names, answers, strict=True):
        del group
        one, two, three, four = ([x / sum(q) for x in q] for q in (full, empty, without, only))
        rows += [row(name, "full", one), row(name, "empty", two), row(name, "without_top", three, method="m", k=1),
                 row(name, "only_top", four, method="m", k=1)]  # fmt: skip
    return rows


def _all(p: Perturbed) -> list[float]:
    at = p.of("m", "remove").at(Step(k=1))
    names = ("normalised_comprehensiveness", "normalised_sufficiency", "carton_comprehensiveness", "carton_sufficiency")
    scores = [fa.comprehensiveness_rows(at), fa.sufficiency_rows(at), fa.flip_rows(at), fa.flip_rows(at, side="only"),
              fa.comprehensiveness_rows(at, variant="kl"), fa.sufficiency_rows(at, variant="entropy"),
              fa.flippable_rows(p, "remove"), fa.dffot_rows(p.of("m", "remove")),
              *(fa.normalised_rows(at, metric=name) for name in names)]  # fmt: skip
    return [value(score) for score in scores]


@settings(max_examples=12)
@given(answers=ANSWERS, seed=st.integers(0, 99))
def test_neither_order_nor_copies_nor_names_matter(answers: list[Any], seed: int) -> None:
    names = [f"item {i}" for i in range(len(answers))]
    rows = _drawn(answers, names)
    found = _all(read(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    assert _all(read([rows[i] for i in order])) == pytest.approx(found, abs=0, nan_ok=True)
    copies = _drawn([*answers, *answers], [*names, *(f"{n} again" for n in names)])
    assert _all(read(copies)) == pytest.approx(found, abs=1e-12, nan_ok=True)
    turned = [
        r | {"options": ["A", "B", "C"], "label": dict(zip(OPTIONS, "ABC", strict=True))[r["label"]]} for r in rows
    ]
    assert _all(read(turned)) == pytest.approx(found, abs=1e-12, nan_ok=True)


def test_groups_change_the_interval_and_not_the_value() -> None:
    rng = np.random.default_rng(1)
    before, group = rng.random(40), np.repeat(np.arange(8), 5)
    without = before - 0.2 * np.repeat(rng.random(8), 5)
    alone = fa.comprehensiveness(before=before, without=without, n_boot=200)
    together = fa.comprehensiveness(before=before, without=without, group=group, n_boot=200)
    assert alone.value == pytest.approx(together.value, abs=1e-12)
    assert together.high - together.low > 1.3 * (alone.high - alone.low)
    assert (together.n, together.n_units) == (40, 8)
    assert together == fa.comprehensiveness(before=before, without=without, group=group, n_boot=200)


def test_one_item_and_none() -> None:
    one = fa.sufficiency(before=[0.7], only=[0.9])
    assert one.value == pytest.approx(-0.2)
    assert "one unit" in one.note
    none = fa.sufficiency(before=[], only=[])
    assert math.isnan(none.value)
    assert none.note == "no items"
    lost = fa.comprehensiveness(before=[0.7, None], without=[None, 0.3], ci=None)
    assert lost.note == "all 2 items are without an answer to both inputs"
    assert math.isnan(fa.flip_rate(before=pl.Series([None], dtype=pl.String), after=["a"]).value)


def test_every_metric_has_a_direction() -> None:
    assert fa.higher_is_better("sufficiency") is False
    assert fa.higher_is_better("normalised_sufficiency") is True
    assert fa.higher_is_better("flip_rate_only_over_random") is False
    assert fa.higher_is_better("comprehensiveness_entropy") is None
    with pytest.raises(ValueError, match="unknown metric 'speed'"):
        fa.higher_is_better("speed")


def test_the_directions_are_of_the_metrics_that_there_are() -> None:
    rows = two_items()
    rows += [r | {"method": "random"} for r in rows if r["method"] == "m"]
    rows += [row("x", f"{side}_evidence", [0.5, 0.4, 0.1], method="human", n_removed=1) for side in ("without", "only")]
    items = pl.DataFrame({"item_id": ["x", "y"], "label": OPTIONS[:2]})
    found = set(fa.faithfulness_table(pl.DataFrame(rows, infer_schema_length=None), items, ci=None)["metric"])
    p = read(rows).of("m", "remove")
    at = p.at(Step(k=1))
    scores = [fa.unparsed_rows(at, side="only"), fa.normalised_rows(at, metric="carton_sufficiency"),
              fa.normalised_rows(at, metric="carton_comprehensiveness")]  # fmt: skip
    for variant in ("entropy", "kl"):
        scores += [fa.comprehensiveness_rows(at, variant=variant), fa.sufficiency_rows(at, variant=variant)]
    for kind in ("comprehensiveness", "sufficiency"):
        ends = (np.zeros(2), np.zeros(2))
        scores.append(fa.area_rows(p, fa.row_values(p, kind), ends, kind=kind, shares=(0.5,)))
    found |= {score.metric for score in scores}
    found |= set(fa.simulatability_table(with_both=[1], with_input=[1], with_reason=[1], ci=None)["metric"])
    found |= set(fa.giveaway_table(label=["a"], guess=["a"], named=[1], ci=None)["metric"]) | {"named_label_share"}
    found |= {"tau_loo", "method_rank_correlation"}
    assert {name.removesuffix("_over_random") for name in found} == set(fa.HIGHER_IS_BETTER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "other"}, "outputs of one run_id are wanted"),
        ({"question": "other"}, "outputs of one question are wanted"),
        ({"label": "unheard of"}, "unheard of"),
    ],
)
def test_outputs_that_do_not_fit(change: dict[str, str], message: str) -> None:
    rows = two_items()
    with pytest.raises(TableError, match=message):
        read([rows[0] | change, *rows[1:]])


def test_more_outputs_that_do_not_fit() -> None:
    with pytest.raises(TableError, match="explain the items first"):
        read([row("x", "full", [1.0, 0.0, 0.0])])
    with pytest.raises(TableError, match="must be about one of the items"):
        read(two_items(), pl.DataFrame({"item_id": ["z"], "group": ["g"]}))
    with pytest.raises(ValueError, match='of must be "predicted" or "target"'):
        read(two_items(), of="gold")
    with pytest.raises(ValueError, match="no method 'x'; found m"):
        read(two_items()).of("x", "remove")
    with pytest.raises(ValueError, match="variant must be one of"):
        fa.comprehensiveness(before=[1], without=[1], variant="tvd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found before 2, only 1"):
        fa.sufficiency(before=[1, 2], only=[1])
    with pytest.raises(TableError, match="item 'x' has rows of several groups"):
        fa.sufficiency(before=[1, 2], only=[1, 2], item=["x", "x"], group=["g", "h"])


def test_the_lowest_sample_is_taken() -> None:
    rows = [r | {"sample": 0} for r in two_items()] + [r | {"sample": 1, "label": "😀"} for r in two_items()]
    p = read(rows)
    assert "12 outputs beside the lowest sample" in p.note
    assert value(fa.flip_rows(p.of("m", "remove").at(Step(k=2)))) == 0.5
