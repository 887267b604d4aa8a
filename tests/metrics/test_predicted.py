"""Predicted distributions: any order of options, renamed ones, samples."""

from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.predicted import predicted_distributions
from small_tables import make_outputs

COLUMNS = {"label_pred": None}


def rows(labels: dict[str, str | None], **columns: object) -> pl.DataFrame:
    made = make_outputs(labels, **columns)  # type: ignore[arg-type]
    return made.with_columns(pl.col("label").alias("label_pred"))


def test_every_row_is_put_into_one_order() -> None:
    outputs = rows(
        {"a": None, "b": None, "c": None},
        label_probs=[[0.2, 0.8], [0.3, 0.7], None],
        options=[["no", "yes"], ["yes", "no"], ["yes", "no"]],
        label_mass=[0.9, 0.8, 0.1],
    )
    found = predicted_distributions(outputs, ["yes", "no"]).sort("item_id")
    assert found["label_probs_pred"].to_list() == [[0.8, 0.2], [0.3, 0.7]]
    assert found["label_mass"].to_list() == [0.9, 0.8]


def test_names_that_a_map_carries_to_one_option_are_added_up() -> None:
    outputs = rows({"a": None}, label_probs=[[0.5, 0.25, 0.25]], options=[["yes", "sure", "no"]])
    found = predicted_distributions(outputs, ["no", "yes"], label_map={"sure": "yes"})
    assert found["label_probs_pred"].to_list() == [[0.25, 0.75]]
    with pytest.raises(TableError, match="'sure', which is none of no, yes"):
        predicted_distributions(outputs, ["no", "yes"])


def test_samples_are_averaged_and_labels_of_samples_are_votes() -> None:
    twice = pl.concat([rows({"a": "yes"}, sample=[k], label_probs=[p]) for k, p in enumerate(([0.9, 0.1], [0.5, 0.5]))])
    found = predicted_distributions(twice, ["yes", "no"])
    assert found.row(0, named=True)["label_probs_pred"] == pytest.approx([0.7, 0.3], abs=1e-12)
    assert found["n_samples"].to_list() == [2]
    said = pl.concat([rows({"a": word}, sample=[k]) for k, word in enumerate(["yes", "yes", "no", None])])
    votes = predicted_distributions(said, ["yes", "no"])
    assert votes["label_probs_pred"].to_list() == [pytest.approx([2 / 3, 1 / 3], abs=1e-12)]
    assert len(predicted_distributions(said.head(1), ["yes", "no"])) == 0  # one label is no distribution


def test_a_failed_row_has_no_probabilities() -> None:
    outputs = rows({"a": None}, label_probs=[[1.0, 0.0]], error=["timeout"])
    assert len(predicted_distributions(outputs, ["yes", "no"])) == 0


def test_samples_count_alike_whatever_mass_they_left_on_the_options() -> None:
    """(.9, 0) of mass .9 and (.01, .03) of mass .04: (1, 0) and (1/4, 3/4), also where they were renormalised."""
    raw, shares, mass = [[0.9, 0.0], [0.01, 0.03]], [[1.0, 0.0], [0.25, 0.75]], [0.9, 0.04]
    given = [
        pl.concat([rows({"a": None}, sample=[k], label_probs=[p]) for k, p in enumerate(raw)]),
        pl.concat([rows({"a": None}, sample=[k], label_probs=[shares[k]], label_mass=[mass[k]]) for k in range(2)]),
    ]
    for outputs in given:
        found = predicted_distributions(outputs, ["yes", "no"]).row(0, named=True)
        assert found["label_probs_pred"] == pytest.approx([0.625, 0.375], abs=1e-12)
        assert found["label_mass"] == pytest.approx(0.47, abs=1e-12)


def test_a_list_that_is_not_as_long_as_the_options_is_refused() -> None:
    for probs in ([0.5], [0.2, 0.3, 0.5]):
        with pytest.raises(TableError, match="label_probs of item 'a' must hold one number for each of yes, no; found"):
            predicted_distributions(rows({"a": None}, label_probs=[probs]), ["yes", "no"])


def test_of_many_runs_those_without_probabilities_have_their_samples_as_votes() -> None:
    """Whichever runs these are: ten of each kind, three samples."""
    parts = []
    for k in range(20):
        probs = {"label_probs": [[1.0, 0.0]]} if k % 2 else {}
        parts += [rows({"a": "no"}, run=f"r{k:02d}", sample=[s], **probs) for s in range(3)]
    found = predicted_distributions(pl.concat(parts, how="diagonal_relaxed"), ["yes", "no"]).sort("run_id")
    assert found["label_probs_pred"].to_list() == [[0.0, 1.0], [1.0, 0.0]] * 10
    assert found["n_samples"].to_list() == [3] * 20
