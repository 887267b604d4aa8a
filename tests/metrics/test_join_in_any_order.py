"""The join finds the same whether outputs stand in the order of the items, which needs no look-up, or in another."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.metrics.predicted import predicted_distributions
from dfar_toolkit.tables import conform

OPTIONS = ["a", "b", "c"]


def items(n: int) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(n)],
            "label": [OPTIONS[k % 3] for k in range(n)],
            "group": [f"i{k}" for k in range(n)],
            "text_key": [f"{k:016x}" for k in range(n)],
            "split": ["test"] * n,
        }
    )
    empty = {"statement": pl.lit("s"), "source": pl.lit("x"), "context": pl.lit([]), "reasons": pl.lit([])}
    return conform(rows.with_columns(**empty), "items")


def outputs(n: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "run_id": ["m"] * n,
            "item_id": [f"i{k}" for k in range(n)],
            "question": ["q"] * n,
            "output_id": [f"m/{k}" for k in range(n)],
            "label": [OPTIONS[k % 2] for k in range(n)],
            "label_probs": (rng.integers(1, 9, (n, 3)) / 32).tolist(),
        }
    )
    return conform(rows, "outputs")


@pytest.mark.parametrize("runs", [1, 2])
def test_the_order_of_the_outputs_plays_no_part(runs: int) -> None:
    own = outputs(30)
    both = [own.with_columns(run_id=pl.lit(f"m{r}"), output_id=f"{r}" + pl.col("output_id")) for r in range(runs)]
    straight = pl.concat(both)
    wanted = join_outputs(straight, items(30), options=OPTIONS).frame
    for seed in range(3):
        mixed = straight.sample(fraction=1, shuffle=True, seed=seed)
        assert_frame_equal(join_outputs(mixed, items(30), options=OPTIONS).frame, wanted)


def test_lists_as_given_are_those_put_into_order() -> None:
    rows = outputs(9).with_columns(pl.col("label").alias("label_pred"))
    wanted = predicted_distributions(rows, OPTIONS)
    assert_frame_equal(predicted_distributions(rows, OPTIONS, alone=True), wanted)
    turned = rows.with_columns(options=pl.lit(["b", "c", "a"]))
    found = predicted_distributions(turned, OPTIONS, alone=True)
    assert_frame_equal(found, predicted_distributions(turned, OPTIONS))
    assert found["label_probs_pred"][0].to_list() == [rows["label_probs"][0][k] for k in (2, 0, 1)]


def test_two_answers_of_one_item_are_refused_in_any_order() -> None:
    twice = pl.concat([outputs(3), outputs(1).with_columns(draw=pl.lit(1, dtype=pl.Int64), output_id=pl.lit("again"))])
    for rows in (twice, twice.reverse()):
        with pytest.raises(TableError, match="item 'i0' of run 'm' occurs twice"):
            join_outputs(rows, items(3), options=OPTIONS)
