"""ERASER's and Carton et al.'s own scores in the tables of rationales: by hand, by naive loops, by laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.cli.printing_rationales import print_rationales
from dfar_toolkit.metrics.faithfulness import faithfulness_table, perturbed_outputs, perturbed_table
from dfar_toolkit.metrics.rationale import MarkedWords, marked_words, plausibility_table
from dfar_toolkit.scoring.rationale_differences import DIFFERENCE_COLUMNS
from dfar_toolkit.scoring.rationale_scores import rationale_scores
from made_rationales import annotations, items, outputs

HARD = [f"eraser_{what}_{part}_{average}" for what in ("token", "iou", "span") for average in ("micro", "macro")
        for part in ("precision", "recall", "f1")]  # fmt: skip
SOFT = ["eraser_average_precision", "eraser_auprc", "eraser_roc_auc"]
Masks = Sequence[tuple[Sequence[int], Sequence[int]]]  # people's marks and the words chosen, item by item


def number(table: pl.DataFrame, metric: str, method: str = "attention", **where: Any) -> Mapping[str, Any]:
    rows = table.filter(pl.col("metric") == metric, pl.col("rationale_method") == method,
                        *(pl.col(name) == value for name, value in where.items()))  # fmt: skip
    assert len(rows) == 1, (metric, method)
    return rows.row(0, named=True)


def eraser_values(marked: MarkedWords, **how: Any) -> dict[str, float]:
    table = plausibility_table(marked, **{"ci": None, **how}).filter(pl.col("metric").str.starts_with("eraser"))
    assert table["rationale_method"].n_unique() == 1
    return dict(zip(table["metric"], table["value"], strict=True))


def runs(mask: Sequence[int]) -> set[tuple[int, int]]:
    found, at = set(), 0
    for mark, group in groupby(mask):
        size = len(list(group))
        if mark:
            found.add((at, at + size))
        at += size
    return found


def near(one: tuple[int, int], other: tuple[int, int]) -> bool:
    common = set(range(*one)) & set(range(*other))
    return 2 * len(common) >= len(set(range(*one)) | set(range(*other)))


def ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0


def naive(masks: Masks) -> dict[str, float]:
    """ERASER's scores as their page defines them, document by document."""
    nan = float("nan")
    sides = [({k for k, m in enumerate(h) if m}, {k for k, m in enumerate(p) if m}, runs(h), runs(p)) for h, p in masks]
    there = [(h, p, hs, ps) for h, p, hs, ps in sides if h or p]
    found = {}
    for what, counts in (
        ("token", [(len(h & p), len(p), len(h)) for h, p, _, _ in there]),
        ("span", [(len(hs & ps), len(ps), len(hs)) for _, _, hs, ps in there]),
        ("iou", [(sum(any(near(p, h) for h in hs) for p in ps), len(ps), len(hs)) for _, _, hs, ps in there]),
    ):
        t, k, g = (sum(c[at] for c in counts) for at in range(3))
        p, r = ratio(t, k), ratio(t, g)
        micro = [p, r, ratio(2 * p * r, p + r)]
        if what == "iou":
            p, r = (ratio(sum(c[0] / c[at] for c in counts if c[at]), sum(c[at] > 0 for c in counts)) for at in (1, 2))
            macro = [p, r, ratio(2 * p * r, p + r)]
        else:
            micro = [micro[0] if k else nan, micro[1] if g else nan, micro[2] if k and g else nan]
            each = [(ratio(t, k), ratio(t, g), ratio(2 * t, k + g)) for t, k, g in counts]
            macro = [ratio(sum(e[at] for e in each), len(each)) for at in range(3)]
        for average, three in (("micro", micro), ("macro", macro)):
            for part, one in zip(("precision", "recall", "f1"), three, strict=True):
                found[f"eraser_{what}_{part}_{average}"] = one if there else nan
    return found


documents = st.integers(1, 7).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 1), min_size=n, max_size=n)] * 2))


@settings(max_examples=20)
@given(st.lists(documents, min_size=1, max_size=6))
def test_hard_scores_are_the_naive_loop_in_any_order_and_twice(masks: Masks) -> None:
    marked = marked_words([[h] for h, _ in masks], [p for _, p in masks])
    found, wanted = eraser_values(marked), naive(masks)
    assert found == pytest.approx({name: wanted[name] for name in HARD}, abs=1e-12, nan_ok=True)
    both = [*masks, *masks]
    twice = eraser_values(marked_words([[h] for h, _ in both], [p for _, p in both]))
    assert twice == pytest.approx(found, abs=1e-12, nan_ok=True)
    back = masks[::-1]
    turned = marked_words([[h] for h, _ in back], [p for _, p in back])
    tables = [plausibility_table(one, n_boot=20) for one in (marked, turned)]
    assert tables[0].equals(tables[1], null_equal=True)


def test_from_outputs_by_hand() -> None:
    # Marked and chosen: i1 {0}, {0}; i2 {1, 2}, {0, 1} (IOU 1/3); i3 nothing at all; of i4 nothing was said.
    table = rationale_scores(outputs(), items(), annotations(), n_boot=100)
    wanted = {"token_f1_micro": 2 / 3, "token_precision_macro": 3 / 4, "token_f1_macro": 3 / 4, "iou_f1_micro": 1 / 2,
              "iou_recall_macro": 1 / 2, "span_f1_macro": 1 / 2, "average_precision": 19 / 24}  # fmt: skip
    for name, value in wanted.items():
        assert number(table, f"eraser_{name}")["value"] == pytest.approx(value, abs=1e-15), name
    one = number(table, "eraser_token_f1_macro")
    assert (one["n"], one["part"], one["gold"], one["higher_is_better"]) == (2, "plausibility", "majority", True)
    assert "1 with nothing chosen and nothing marked are no document" in one["note"]
    assert "1 of 4 without a rationale left out" in one["note"]
    assert "of scored words the highest, as many as people marked" in one["note"]
    assert number(table, "token_f1")["value"] == pytest.approx(5 / 6)  # ours: agreeing that nothing matters is 1
    soft, ours = number(table, "eraser_auprc"), number(table, "auprc")
    assert [soft[c] for c in ("value", "low", "high", "n")] == [ours[c] for c in ("value", "low", "high", "n")]
    names = table.filter(part="plausibility", rationale_method="attention")["metric"].to_list()
    assert names[-21:] == HARD + SOFT
    assert not table.filter(rationale_method="held_out_annotator")["metric"].str.starts_with("eraser").any()


def test_an_empty_rationale_and_words_that_nobody_marked() -> None:
    silent = marked_words([[[1, 0]], [[0, 1]]], [[0, 0], [0, 0]])
    found = eraser_values(silent)
    assert found["eraser_token_f1_macro"] == found["eraser_iou_f1_micro"] == found["eraser_iou_f1_macro"] == 0.0
    assert found["eraser_token_precision_micro"] != found["eraser_token_precision_micro"]
    note = plausibility_table(silent, ci=None).filter(metric="eraser_token_precision_micro")["note"].item()
    assert note.startswith("nothing predicted or nothing marked anywhere, where ERASER stops")
    table = plausibility_table(marked_words([[[0, 0]]], [[0, 0]]), n_boot=20)
    theirs = table.filter(pl.col("metric").str.starts_with("eraser"))
    assert theirs["value"].is_nan().all()
    assert theirs["n"].unique().to_list() == [0]
    assert (theirs["note"].str.len_chars() > 0).all()
    assert not theirs["metric"].is_in(SOFT).any()  # nothing has scores


def test_by_whom_a_word_is_marked_and_several_draws() -> None:
    people = [[[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0]]]
    marked = marked_words(people, [[1, 1, 0, 0]])
    f1 = {rule: eraser_values(marked, gold=rule)["eraser_token_f1_micro"] for rule in ("any", "majority", "all")}
    assert f1 == pytest.approx({"any": 4 / 5, "majority": 2 / 3, "all": 2 / 3})
    # Two draws of an item are averaged first: P = (1 + 0) / 2 and 1/2 of the second item; macro (1/2 + 1/2) / 2.
    drawn = {("random", 0): [[1, 0], [1, 1]], ("random", 1): [[0, 1], [1, 1]]}
    found = eraser_values(marked_words([[[1, 0]], [[1, 0]]], drawn))
    assert found["eraser_token_precision_macro"] == pytest.approx(1 / 2)
    assert found["eraser_token_precision_micro"] == pytest.approx((1 / 2 + 1) / (1 + 2))


def test_fidelity_of_a_rationales_own_words_by_hand() -> None:
    alone = items().with_columns(group=pl.col("item_id"))
    table = rationale_scores(outputs(), alone, annotations(), n_boot=100)
    for kind, better in (("comprehensiveness", True), ("sufficiency", False)):
        theirs, ours = number(table, f"eraser_{kind}", k=-1), number(table, kind, k=-1)
        same = ("value", "low", "high", "n", "note")
        assert [theirs[c] for c in same] == [ours[c] for c in same]
        assert theirs["low"] < theirs["value"] < theirs["high"]
        assert theirs["higher_is_better"] is better
        assert number(table, f"eraser_{kind}_entropy", k=-1)["higher_is_better"] is None
    # To lose: i1 1/2, i2 5/8. Attention takes all of both; with its words alone i1 keeps all, i2 loses 1/8 of 5/8.
    assert number(table, "carton_comprehensiveness", k=-1)["value"] == 1.0
    assert number(table, "carton_sufficiency", k=-1)["value"] == pytest.approx((1 + 4 / 5) / 2)
    # Random words, two draws: (3/8 + 1/8) / 2 and (1/5 + 2/5) / 2.
    assert number(table, "carton_comprehensiveness", "random", k=-1)["value"] == pytest.approx((1 / 4 + 3 / 10) / 2)


@pytest.mark.parametrize("shares", [None, (0.1, 0.5)])
def test_aopc_is_over_erasers_sizes_or_not_at_all(shares: Sequence[float] | None) -> None:
    table = faithfulness_table(outputs(), items(), shares=shares, n_boot=50)
    for kind in ("comprehensiveness", "sufficiency"):
        row = number(table, f"eraser_aopc_{kind}")
        assert row["value"] != row["value"]
        assert row["note"].startswith("the run was not asked at ERASER's sizes: 1, 5, 10, 20 and 50 % of the words")
    every = [0.01, 0.05, 0.1, 0.2, 0.5, 1.0]
    more = pl.when(pl.col("shares").list.len() == 2).then(pl.lit(every[:4])).otherwise(pl.lit([0.5, 1.0]))
    asked = outputs().with_columns(
        shares=pl.when(pl.col("k") > 0).then(more),
        share=pl.when(pl.col("k") > 0).then(pl.when(pl.col("k") == 1).then(0.01).otherwise(0.5)),
    )
    table = faithfulness_table(asked, items(), shares=shares, n_boot=50)
    falls = ((0.5, 0.625), (0.125, 0.625), (0.125, 0.375))  # without one word, without two; four shares of five are one
    wanted = sum(4 * one + two for one, two in falls) / 15
    assert number(table, "eraser_aopc_comprehensiveness")["value"] == pytest.approx(wanted, abs=1e-15)
    assert number(table, "eraser_aopc_sufficiency")["higher_is_better"] is False


def test_infinite_divergence_is_undefined_and_spoils_nothing_else() -> None:
    said = outputs()
    certain = pl.when(condition="full", item_id="i1").then(pl.lit([1.0, 0.0])).otherwise("label_probs")
    table = faithfulness_table(said.with_columns(label_probs=certain), items().drop("group"), n_boot=50)
    row = number(table, "eraser_comprehensiveness_kl", k=-1)
    assert row["value"] != row["value"]
    assert row["note"].startswith("infinite for 1 of 3 items")
    other = number(table, "comprehensiveness", k=-1)
    assert other["low"] <= other["value"] <= other["high"]


def test_only_of_the_label_predicted_and_where_there_are_probabilities() -> None:
    theirs = pl.col("metric").str.contains("^(eraser|carton)_")
    assert faithfulness_table(outputs(), items(), ci=None).filter(theirs).height > 10
    assert not faithfulness_table(outputs(), items(), of="target", ci=None).filter(theirs).height
    assert not perturbed_table(perturbed_outputs(outputs()), as_published=False, ci=None).filter(theirs).height
    bare = outputs().with_columns(label_probs=pl.lit(None, dtype=pl.List(pl.Float64)))
    assert not faithfulness_table(bare, items(), ci=None).filter(theirs).height
    one = outputs().filter(pl.col("method").is_in(["", "attention"]))
    assert number(faithfulness_table(one, items(), ci=None), "carton_comprehensiveness", k=-1)["value"] == 1.0


def test_order_of_rows_and_items_twice() -> None:
    table = faithfulness_table(outputs(), items(), n_boot=20)
    assert table.equals(faithfulness_table(outputs().reverse(), items().reverse(), n_boot=20), null_equal=True)
    again = [frame.with_columns(pl.col("item_id") + "x") for frame in (outputs(), items())]
    twice = faithfulness_table(pl.concat([outputs(), again[0]]), pl.concat([items(), again[1]]), ci=None)
    own = pl.col("metric").str.contains("^(eraser|carton)_")
    values = [frame.filter(own)["value"].to_list() for frame in (table, twice)]
    assert values[1] == pytest.approx(values[0], abs=1e-12, nan_ok=True)


def test_shown_under_all_alone(capsys: pytest.CaptureFixture[str]) -> None:
    table = rationale_scores(outputs(), items(), annotations(), n_boot=50)
    nothing = pl.DataFrame(schema=DIFFERENCE_COLUMNS)
    print_rationales(table, nothing, "95 %", everything=False)
    assert "eraser" not in capsys.readouterr().out
    assert print_rationales(table, nothing, "95 %", everything=True) == 0
    printed = capsys.readouterr().out
    assert "eraser_iou_f1_macro" in printed
    assert "carton_sufficiency" in printed
