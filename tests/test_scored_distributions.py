"""Distributions in the table of scores: whose options, how much mass, which votes, which question of the people."""

from __future__ import annotations

import math

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.scoring import score
from dfar_toolkit.tables import conform
from small_tables import make_items, make_outputs

LISTS = {"label_probs": pl.List(pl.Float64), "label_counts": pl.List(pl.Int64)}


def items_with(labels: list[str | None], **lists: list[list[float] | None]) -> pl.DataFrame:
    columns = [pl.Series(name, values, dtype=LISTS[name]) for name, values in lists.items()]
    return make_items(labels).with_columns(columns)


def value(table: pl.DataFrame, metric: str) -> float:
    return float(table.filter(pl.col("predictor").is_null(), metric=metric)["value"].item())


PEOPLE = items_with(["R", "W"], label_probs=[[0.75, 0.25], [0.25, 0.75]], label_counts=[[3, 1], [1, 3]])


def test_the_mass_is_what_the_outputs_say_where_their_probabilities_are_renormalised() -> None:
    """A reader of another tool's file gives probabilities that sum to 1 and the mass beside them."""
    outputs = make_outputs(
        {"i0": "R", "i1": "W"}, label_probs=[[0.5, 0.5], [0.2, 0.8]], label_mass=[0.1, 0.7], options=[["R", "W"]] * 2
    )
    table = score(outputs, PEOPLE, options=["R", "W"], parts=["soft"], n_boot=20)
    assert value(table, "option_mass") == pytest.approx(0.4, abs=1e-12)
    assert value(table, "option_mass_below_half") == 0.5
    assert value(table, "total_variation") == pytest.approx((0.25 + 0.05) / 2, abs=1e-12)


def test_the_most_probable_option_is_found_after_options_of_one_name_are_added_up() -> None:
    """.4 against .3 + .3, and .1 against .5 + .4: wrong both times; a swap of two names is no sum."""
    outputs = make_outputs(
        {"i0": None, "i1": None},
        label_probs=[[0.4, 0.3, 0.3], [0.1, 0.5, 0.4]],
        options=[["OTHER", "AUTHOR", "ALL"]] * 2,
    )
    renamed = {"OTHER": "R", "AUTHOR": "W", "ALL": "W"}
    answers = join_outputs(outputs, PEOPLE, options=["R", "W"], label_map=renamed)
    assert answers.frame["label_pred"].to_list() == ["W", "W"]
    assert answers.frame["label_probs_pred"].to_list() == [[0.4, 0.6], [0.1, 0.9]]
    said = outputs.with_columns(label=pl.lit("AUTHOR"))  # .3 of .6 behind "W", above .4
    assert join_outputs(said, PEOPLE, options=["R", "W"], label_map=renamed).frame["below_top"].to_list() == [False] * 2
    swapped = make_outputs({"i0": None, "i1": "R"}, label_probs=[[0.9, 0.1], None], options=[["W", "R"]] * 2)
    found = join_outputs(swapped.head(1), PEOPLE, options=["R", "W"], label_map={"R": "W", "W": "R"})
    assert found.frame["label_pred"].to_list() == ["R", None]
    assert found.frame["label_probs_pred"].to_list() == [[0.9, 0.1], None]


def test_a_tie_but_for_rounding_gives_no_label() -> None:
    outputs = make_outputs({"i0": None}, label_probs=[[0.3, 0.1 + 0.2]])
    assert join_outputs(outputs, PEOPLE, options=["R", "W"]).frame["label_pred"].to_list() == [None, None]


def test_an_order_of_options_that_the_shares_contradict_is_refused_not_guessed() -> None:
    """The question's options are (yes, no); sorted labels are no, yes."""
    items = items_with(["yes", "no"], label_probs=[[0.75, 0.25], [0.25, 0.75]])
    outputs = make_outputs({"i0": "yes", "i1": "no"}, label_probs=[[0.9, 0.1], [0.1, 0.9]], options=[["yes", "no"]] * 2)
    with pytest.raises(TableError, match=r"taken to be no, yes .* on 2 of 2 items; give .*\(options=\)"):
        score(outputs, items)
    table = score(outputs, items, options=["yes", "no"], parts=["soft"], n_boot=20)
    assert value(table, "total_variation") == pytest.approx(0.15, abs=1e-12)
    assert score(outputs.with_columns(label_probs=pl.lit(None, dtype=pl.List(pl.Float64))), items)["value"][0] == 1.0


def test_items_without_votes_have_shares_and_no_votes() -> None:
    items = items_with(
        ["R", "W", None], label_probs=[[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], label_counts=[[3, 1], [1, 3], [0, 0]]
    )
    outputs = make_outputs({"i0": "R", "i1": "W", "i2": "R"}, label_probs=[[0.5, 0.5]] * 3)
    table = score(outputs, items, options=["R", "W"], parts=["soft", "ceiling", "calibration"], n_boot=20)
    assert value(table, "total_variation") == pytest.approx(0.5 / 3, abs=1e-12)
    assert math.isnan(value(table, "brier_score_unbiased"))
    assert (
        table.filter(predictor="perfect_model", metric="brier_score")["note"].item().startswith("the number of votes")
    )


def test_a_single_option_has_no_ceiling() -> None:
    items = items_with(["R"], label_probs=[[1.0]], label_counts=[[3]])
    table = score(make_outputs({"i0": "R"}, label_probs=[[0.5]]), items, options=["R"], n_boot=20)
    assert "ceiling" not in table["part"]
    assert value(table, "soft_cross_entropy") == 0


def ratings(question: str, by_rater: dict[str, str]) -> pl.DataFrame:
    rows = [
        {"item_id": f"i{k}", "annotator_id": who, "question": question, "rating_id": f"{question}{who}{k}", "value": v}
        for who, said in by_rater.items()
        for k, v in enumerate(said)
    ]
    return conform(pl.DataFrame(rows).with_columns(weight=pl.lit(1.0), occasion=pl.lit(0)), "annotations")


def test_people_are_those_who_answered_the_same_question() -> None:
    items = make_items(list("RWRWRWRWRWRW"))
    outputs = make_outputs({f"i{k}": v for k, v in enumerate("RWRWRWRWRWRR")})
    own = ratings("q", {"x": "RWRWRWRWRWRW", "y": "RWRWRWRWRWRW"})
    other = ratings("another", {"x": "WRWRWRWRWRWR", "y": "RRWRWRWRWRWR"})
    alone = score(outputs, items, annotations=own, parts=["people"], n_boot=20)
    assert value(alone, "kappa_run") == pytest.approx(5 / 6, abs=1e-12)
    for mixed in (pl.concat([other, own]), pl.concat([own, other])):
        assert score(outputs, items, annotations=mixed, parts=["people"], n_boot=20).equals(alone)
    assert score(outputs, items, annotations=other, parts=["people"], n_boot=20).is_empty()


def test_a_set_of_values_is_no_single_value_even_where_one_of_them_is_no_option() -> None:
    items = make_items(list("RWRWRWRWRWRW"))
    outputs = make_outputs({f"i{k}": v for k, v in enumerate("RWRWRWRWRWRR")})
    own = ratings("q", {"x": "RWRWRWRWRWRW", "y": "RWRWRWRWRWRW"})
    more = own.filter(pl.col("annotator_id") == "x", pl.col("item_id") == "i11").with_columns(value=pl.lit("unsure"))
    table = score(outputs, items, annotations=pl.concat([own, more]), parts=["people"], n_boot=20)
    assert table.filter(metric="kappa_people")["n"].item() == 11
