"""Differences of two runs by subgroup: hand-worked, against naive loops, and the laws they keep."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb, isclose, isnan
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.browsing.error_table import error_rate, error_table, errors_of
from dfar_toolkit.browsing.filter_joining import joined
from dfar_toolkit.browsing.group_codes import coded_groups
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.reasons_of_rows import reasons_of_rows
from dfar_toolkit.browsing.slow_results import SlowResults, filter_key
from dfar_toolkit.browsing.subgroup_differences import subgroup_differences, subgroup_differences_of
from dfar_toolkit.estimate import proportion
from dfar_toolkit.metrics.judging.multiple_testing import holm

RUNS = ("run a", "b:\\$")


def made(a: list[int], b: list[int], **columns: list[Any]) -> pl.DataFrame:
    n = len(a)
    known: dict[str, list[Any]] = {
        "group": [f"g{k}" for k in range(n)], "label": ["x"] * n, "source": ["s"] * n, "split": ["test"] * n,
        "leak_kind": [None] * n, "length": [10] * n, "disagreement": [None] * n,
    }  # fmt: skip
    types = {"leak_kind": pl.String, "disagreement": pl.Float64, "label": pl.String}
    return pl.DataFrame({"a_right": a, "b_right": b, **known, **columns}, schema_overrides=types).with_columns(
        pl.col("a_right", "b_right").cast(pl.Boolean)
    )


def test_hand_worked() -> None:
    # Label x: a right on 1 2 3 4, b on 1 of these; y: a on 1, b on 1 and two more. Items stand alone.
    a, b = [1, 1, 1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1, 1, 1]
    label = ["x"] * 5 + ["y"] * 3
    found = subgroup_differences_of(made(a, b, label=label), min_items=1, n_boot=200)
    whole, x, y = found.to_dicts()
    assert (whole["about"], x["subgroup"], y["subgroup"]) == ("all", "label x", "label y")
    assert isclose(whole["value"], Fraction(4 - 5, 8))
    assert isclose(x["value"], Fraction(1 - 4, 5))
    assert isclose(y["value"], Fraction(3 - 1, 3))
    assert [x[k] for k in ("both", "only_a", "only_b", "neither", "n")] == [1, 3, 0, 1, 5]
    # McNemar: 3 discordant, all one way: 2 / 2^3; 2 of them: 2 / 2^2; in all 3 against 2: 1.
    assert (x["p_value"], y["p_value"], whole["p_value"]) == (0.25, 0.5, 1.0)
    assert (x["p_holm"], y["p_holm"], whole["p_holm"]) == (0.5, 0.5, None)
    assert x["test"] == "exact McNemar"
    assert json.loads(x["filter"]) == {"gold": ["x"]}


def test_groups_are_flipped_and_drawn_whole() -> None:
    # Three groups with sums of b - a: 2, 2, -1, together 3. Of the 8 patterns of signs 2+2-1 = 3, 2+2+1 = 5 and their
    # opposites are at least as far from 0; 2-2-1 = -1, 2-2+1 = 1 and theirs are not: 4 of 8.
    a, b = [0, 0, 0, 0, 1], [1, 1, 1, 1, 0]
    frame = made(a, b, group=["g", "g", "h", "h", "i"])
    row = subgroup_differences_of(frame, min_items=1, n_boot=400).row(0, named=True)
    assert (row["p_value"], row["unit"], row["n_units"], row["n"]) == (0.5, "groups", 3, 5)
    alone = subgroup_differences_of(frame.with_columns(group=pl.Series(list("abcde"))), min_items=1, n_boot=400)
    assert alone["p_value"][0] == 2 * sum(comb(5, k) for k in range(2)) / 2**5
    assert (alone["low"][0], alone["high"][0]) != (row["low"], row["high"])


def test_one_group_has_no_interval_and_no_items_no_value() -> None:
    one = subgroup_differences_of(made([1, 0], [0, 0], group=["g", "g"]), n_boot=20).row(0, named=True)
    assert isclose(one["value"], -0.5)
    assert isnan(one["low"])
    assert one["p_value"] == 1.0
    none = subgroup_differences_of(made([], []), n_boot=20)
    assert len(none) == 1
    assert isnan(none["value"][0])
    assert none["note"][0] == "no items"
    with pytest.raises(ValueError, match="min_items must be at least 1"):
        subgroup_differences_of(made([], []), min_items=0)


ROWS = st.lists(
    st.tuples(
        st.booleans(), st.booleans(), st.sampled_from("ghijk"), st.sampled_from(["x", "y é", None]),
        st.sampled_from(["s", "t"]), st.sampled_from([None, "near"]), st.integers(0, 40),
        st.sampled_from([None, 0.0, 0.4, 0.5, 0.6, 1.0]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
NAMES = ("a_right", "b_right", "group", "label", "source", "leak_kind", "length", "disagreement")


def framed(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    types = {
        "label": pl.String, "leak_kind": pl.String, "disagreement": pl.Float64, "length": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=list(NAMES), orient="row", schema_overrides=types).with_columns(
        split=pl.lit("test")
    )


def naive(row: dict[str, Any], about: str, query: dict[str, Any], sizes: dict[str, int]) -> bool:
    """Whether an item is of a subgroup, from the words of the filter."""
    if about in ("gold", "source", "leak"):
        value = row[{"gold": "label", "source": "source", "leak": "leak_kind"}[about]]
        return (value or ("none" if about == "leak" else None)) == query[about][0]
    if about in ("length", "disagreement"):
        low, high = map(float, query[about].split(".."))
        return row[about] is not None and low <= row[about] <= high
    return sizes[row["group"]] == 0


@settings(max_examples=25)
@given(ROWS)
def test_every_subgroup_is_counted_as_a_loop_counts_it(rows: list[tuple[Any, ...]]) -> None:
    frame = framed(rows)
    found = subgroup_differences_of(frame, min_items=1, n_boot=20, n_perm=50)
    seen: dict[str, int] = {}
    for one in found[1:].filter(pl.col("about") != "group size").to_dicts():
        query = json.loads(one["filter"])
        inside = [row for row in frame.to_dicts() if naive(row, one["about"], query, {})]
        assert one["n"] == len(inside)
        assert one["only_a"] == sum(r["a_right"] and not r["b_right"] for r in inside)
        assert one["only_b"] == sum(r["b_right"] and not r["a_right"] for r in inside)
        value = Fraction(sum(int(r["b_right"]) - int(r["a_right"]) for r in inside), len(inside))
        assert abs(one["value"] - float(value)) < 1e-12
        assert one["n_units"] == len({r["group"] for r in inside})
        seen[one["about"]] = seen.get(one["about"], 0) + one["n"]
    sizes = found[1:].filter(pl.col("about") == "group size")
    assert sizes["n"].sum() in (0, len(rows))
    known = {"gold": frame["label"], "disagreement": frame["disagreement"]}
    for about, n in seen.items():  # no item in two subgroups of one kind, and none lost that has a value
        assert n == len(rows) - (known[about].null_count() if about in known else 0)
    tested = found[1:]["p_value"].to_numpy()
    assert np.allclose(found[1:]["p_holm"].to_numpy(), holm(tested), rtol=0, atol=0)


@settings(max_examples=15)
@given(ROWS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_names_of_groups_matter_and_swapping_runs_turns_signs(
    rows: list[tuple[Any, ...]], random: Any
) -> None:
    own = subgroup_differences_of(framed(rows), min_items=1, n_boot=50, n_perm=50)
    turned = list(rows)
    random.shuffle(turned)
    again = framed([(*row[:2], f"G {row[2]}", *row[3:]) for row in turned])
    assert own.equals(subgroup_differences_of(again, min_items=1, n_boot=50, n_perm=50))
    other = subgroup_differences_of(framed([(b, a, *rest) for a, b, *rest in rows]), min_items=1, n_boot=50, n_perm=50)
    assert np.allclose(own["value"].to_numpy(), -other["value"].to_numpy(), atol=1e-12)
    exact = ~own["test"].str.contains("draws")
    assert own.filter(exact)["p_value"].to_list() == other.filter(exact)["p_value"].to_list()


def test_small_subgroups_are_left_out_whatever_was_answered() -> None:
    label = ["x"] * 12 + ["y"] * 3
    for a in ([0] * 15, [1] * 15):
        found = subgroup_differences_of(made(a, [1] * 15, label=label), n_boot=20)
        assert found["subgroup"].to_list()[1:] == ["label x"]


def test_the_index_gives_the_items_that_both_answered_and_filters_that_open_them(
    index: ItemIndex, browsed: Any
) -> None:
    a, b = RUNS
    found = subgroup_differences(index, a, b, min_items=1, n_boot=20)

    def state(run: str, k: int) -> bool | None:
        answer, gold = browsed.answers[run].get(k), browsed.rows[k]["label"]
        if answer is None or gold is None:
            return None
        return answer["error"] is None and answer["label"] == gold

    pairs = [(state(a, k), state(b, k)) for k in range(len(browsed.rows))]
    both = [(x, y) for x, y in pairs if x is not None and y is not None]
    whole = found.row(0, named=True)
    assert whole["n"] == len(both)
    assert [whole[name] for name in ("both", "only_a", "only_b", "neither")] == [
        both.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))
    ]
    for row in found[1:].drop_nulls("filter").to_dicts():
        wanted, problems = ItemFilter.from_query(json.loads(row["filter"]))
        assert problems == []
        assert len(found_rows(index, replace(wanted, beats=((a, b),)))) == row["only_a"]
        assert len(found_rows(index, replace(wanted, beats=((b, a),)))) == row["only_b"]
    some = subgroup_differences(index, a, b, wanted=ItemFilter(split=("test",)), min_items=1, n_boot=20)
    assert some["n"][0] == sum(
        x is not None and y is not None and browsed.rows[k]["split"] == "test" for k, (x, y) in enumerate(pairs)
    )


@pytest.mark.parametrize("runs", [("run a", "ghost"), ("ghost", "run a"), ("run a", "run a")])
def test_runs_that_are_none_are_refused(index: ItemIndex, runs: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"subgroup_differences: (there is no run 'ghost'|wanted two different runs)"):
        subgroup_differences(index, *runs)


def test_error_tables_count_as_loops_do(index: ItemIndex, browsed: Any) -> None:
    for run, wanted in product(RUNS, (None, ItemFilter(split=("test",)), ItemFilter(gold=("bad",)))):
        table = error_table(index, run, wanted=wanted)
        rows = range(len(index)) if wanted is None else found_rows(index, wanted).rows.tolist()
        counted: dict[tuple[str, str | None, str], int] = {}
        wrong, groups = [], []
        for k in rows:
            answer, gold = browsed.answers[run].get(k), browsed.rows[k]["label"]
            failed = answer is not None and answer["error"] is not None
            state = "missing" if answer is None else "failed" if failed else "" if answer["label"] else "unparsed"
            said = answer["label"] if answer is not None and not failed else None
            cell = (gold or "", said, state)
            counted[cell] = counted.get(cell, 0) + 1
            if gold is not None and answer is not None:
                wrong.append(said != gold)
                groups.append(browsed.rows[k]["group"])
        assert {(g, a, s): n for g, a, s, n in table.cells.iter_rows()} == counted
        assert table.error_rate == proportion("error rate", wrong, groups=groups)
        assert table.error_rate == error_rate(index, run, wanted=wanted)
        opened = found_rows(index, errors_of(index, run, wanted or ItemFilter()))
        assert len(opened) == sum(wrong)
        for gold, recall in table.recall.items():
            scored = {cell: n for cell, n in counted.items() if cell[0] == gold and cell[2] != "missing"}
            assert recall.n == sum(scored.values())
            assert isclose(recall.value, scored.get((gold, gold, ""), 0) / recall.n)
    with pytest.raises(ValueError, match="there is no run 'ghost'"):
        error_rate(index, "ghost")
    assert isnan(error_rate(index, "run a", wanted=ItemFilter(gold=("",))).value)


def test_reasons_are_those_of_the_answers(index: ItemIndex, browsed: Any) -> None:
    rows = [7, 3, 0, 45, 46]
    for run in RUNS:
        wanted = ["because " + str(k) if k in browsed.answers[run] else "" for k in rows]
        assert reasons_of_rows(index, run, rows) == wanted
        assert reasons_of_rows(index, run, []) == []
    with pytest.raises(ValueError, match="there is no run"):
        reasons_of_rows(index, "ghost", [0])


FILTERS = [
    ItemFilter(), ItemFilter(gold=("bad", "")), ItemFilter(gold=("bad", "good")), ItemFilter(length=(5, 60)),
    ItemFilter(length=(None, 40)), ItemFilter(disagreement=(0.4, None)), ItemFilter(disagreement=(None, 0.5)),
    ItemFilter(split=("test",)), ItemFilter(split=("train",)), ItemFilter(text="stole"), ItemFilter(regex="S"),
    ItemFilter(prediction=(("run a", "bad"),)), ItemFilter(prediction=(("run a", "good"), (RUNS[1], "bad"))),
    ItemFilter(state=(("run a", "wrong"), ("run a", "failed"))), ItemFilter(differs=("run a",)),
    ItemFilter(differs=(RUNS[1],)), ItemFilter(beats=(RUNS,)), ItemFilter(between=(("bad", "good"),)),
    ItemFilter(annotator=("made:p1",)), ItemFilter(has_reason=True), ItemFilter(probability=(("run a", 0.5, None),)),
]  # fmt: skip


def test_joined_filters_let_through_what_both_do(index: ItemIndex) -> None:
    said = 0
    for one, two in product(FILTERS, FILTERS):
        both = set(found_rows(index, one).rows.tolist()) & set(found_rows(index, two).rows.tolist())
        found = joined(one, two)
        if found is not None:
            said += 1
            assert set(found_rows(index, found).rows.tolist()) == both
    assert said > 350
    assert joined(ItemFilter(regex="a"), ItemFilter(regex="b")) is None
    assert joined(ItemFilter(length=(5, 9)), ItemFilter(length=(10, None))) is None


def test_groups_without_a_name_are_their_own() -> None:
    assert coded_groups(pl.Series(["b", None, "b", None, "a"])).to_list() == [1, 2, 1, 3, 0]
    assert coded_groups(pl.Series([], dtype=pl.String)).to_list() == []


def test_slow_results_are_made_once_and_failures_are_not_kept(index: ItemIndex) -> None:
    results, made_so_far = SlowResults(), []

    def fails() -> int:
        made_so_far.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            results.get("k", fails)
    assert len(made_so_far) == 2
    assert not results.knows("k")
    assert results.get("k", lambda: 3) == results.get("k", fails) == 3
    assert results.knows("k")
    for k in range(150):
        results.get(k, lambda: 0)
    assert not results.knows("k")
    assert filter_key(index, ItemFilter()) != filter_key(index, ItemFilter(flagged=False))
