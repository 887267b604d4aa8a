"""The krippendorff package's alpha from long ratings: our use of it, against its own matrix form."""

from __future__ import annotations

import math

import krippendorff
import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.agreement.second_opinion import package_alpha

LEVELS = ("nominal", "ordinal", "interval", "ratio")


def random_ratings(seed: int) -> tuple[np.ndarray, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(1, 6, size=(4, 30)).astype(float)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    rater, item = np.nonzero(~np.isnan(matrix))
    values = matrix[rater, item].astype(int).astype(str)
    return matrix, pl.DataFrame({"item_id": item, "annotator_id": rater, "value": values})


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_package_on_its_matrix_and_equals_ours(level: str, seed: int) -> None:
    matrix, ratings = random_ratings(seed)
    wanted = krippendorff.alpha(matrix, level_of_measurement=level)
    assert package_alpha(ratings, level=level) == pytest.approx(wanted, abs=1e-12)  # type: ignore[arg-type]
    assert krippendorff_alpha(ratings, level=level, ci=None).value == pytest.approx(wanted, abs=1e-12)  # type: ignore[arg-type]


def test_ordinal_words_have_an_order() -> None:
    rows = [("a", "low"), ("a", "middle"), ("b", "high"), ("b", "high"), ("c", "low"), ("c", "low")]
    ratings = pl.DataFrame(rows, schema=["item_id", "value"], orient="row")
    order = ["low", "middle", "high"]
    numbers = ratings.with_columns(pl.col("value").replace_strict(order, ["1", "2", "3"]))
    assert package_alpha(ratings, level="ordinal", order=order) == package_alpha(numbers, level="ordinal")


@pytest.mark.parametrize("rows", [[("a", "x"), ("a", "x")], [("a", "x"), ("b", "y")]])
def test_undefined_is_nan(rows: list[tuple[str, str]]) -> None:
    ratings = pl.DataFrame(rows, schema=["item_id", "value"], orient="row")
    assert math.isnan(package_alpha(ratings, level="nominal"))
