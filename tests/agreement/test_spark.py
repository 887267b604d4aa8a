"""A PySpark frame is counted by Spark: only patterns come back, and every number is the one polars gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import (
    engine_counts,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pairwise_kappa,
    percent_agreement,
)
from dfar_toolkit.agreement.counting import count_ratings
from dfar_toolkit.agreement.ratings import read_ratings
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what Spark and its bridge to Java warn about is theirs
]

N_ITEMS, PER_ITEM = 3000, 4


def ratings() -> pl.DataFrame:
    """3,000 items in 700 contexts and two languages, 4 of 30 raters each, 1 to 5 stars, some missing."""
    rng = np.random.default_rng(7)
    item = np.repeat(np.arange(N_ITEMS), PER_ITEM)
    rater = (np.repeat(rng.integers(0, 30, N_ITEMS), PER_ITEM) + np.tile([0, 3, 7, 12], N_ITEMS)) % 30
    stars = np.clip(np.repeat(rng.integers(1, 6, N_ITEMS), PER_ITEM) + rng.integers(-1, 2, len(item)), 1, 5)
    frame = pl.DataFrame({"item": item, "rater": rater, "stars": stars}).select(
        pl.format("item {} ☂", "item").alias("item_id"),
        pl.format("r{}", "rater").alias("annotator_id"),
        pl.format("{} stars", "stars").alias("value"),
        pl.when(pl.Series(rng.random(len(item)) < 0.1)).then(None).otherwise("stars").alias("stars"),
        (pl.col("stars") / 3).alias("share"),
        pl.format("w{}", (pl.col("item") * 7 + pl.col("stars")) % 90).alias("word"),
        (pl.col("item") % 97 + pl.col("stars") * pl.Series(rng.random(len(item)))).alias("slider"),
        pl.format("c{}", pl.col("item") % 700).alias("context"),
        pl.when(pl.col("item") % 11 > 0).then(pl.lit("en")).otherwise(pl.lit("cy")).alias("lang"),
    )
    return frame.sample(fraction=1, shuffle=True, seed=0)


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.memory", "1g")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def both(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, Any]:
    path = str(tmp_path_factory.mktemp("spark") / "ratings.parquet")
    frame = ratings()
    frame.write_parquet(path)
    return frame, spark.read.parquet(path)


def table(found: Estimate | pl.DataFrame) -> pl.DataFrame:
    return estimates_frame([found]) if isinstance(found, Estimate) else found


def same(ours: Estimate | pl.DataFrame, theirs: Estimate | pl.DataFrame) -> None:
    a, b = table(ours), table(theirs)
    numbers = ("value", "low", "high")
    assert a.drop(numbers).equals(b.drop(numbers))
    for name in numbers:
        assert a[name].is_finite().all()
        assert np.allclose(a[name], b[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", [{}, {"group": "context"}, {"by": "lang"}, {"group": "context", "by": ["lang"]}])
@pytest.mark.parametrize(
    ("statistic", "options"),
    [
        (krippendorff_alpha, {"level": "nominal"}),
        (krippendorff_alpha, {"level": "ordinal", "value": "stars"}),
        (krippendorff_alpha, {"level": "interval", "value": "share", "ci": "analytic"}),
        (percent_agreement, {}),
        (fleiss_kappa, {}),
        (gwet_ac1, {"value": "stars"}),
    ],
)
def test_every_number_is_that_of_polars(
    both: tuple[pl.DataFrame, Any], statistic: Any, options: dict[str, Any], how: dict[str, Any]
) -> None:
    frame, there = both
    same(statistic(frame, n_boot=200, **options, **how), statistic(there, n_boot=200, **options, **how))


def test_only_patterns_travel(both: tuple[pl.DataFrame, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    travelled: list[int] = []
    collected = engine_counts._collected

    def counted(frame: Any) -> pl.DataFrame:
        found = collected(frame)
        travelled.append(len(found))
        return found

    monkeypatch.setattr(engine_counts, "_collected", counted)
    percent_agreement(both[1], ci=None)
    patterns = len(count_ratings(read_ratings(both[0]))[0].counts.times)
    assert patterns < 50
    assert travelled == [1, 5, 1, patterns]  # facts, values, repeats: of 12,000 ratings


def test_refusals_are_those_of_polars(both: tuple[pl.DataFrame, Any], spark: Any) -> None:
    there = both[1]
    again = there.unionByName(there.filter("item_id = 'item 5 ☂'").limit(1))
    with pytest.raises(TableError, match=r'rated an item twice, 1 time .*e\.g\. item "item 5 ☂", rater "r'):
        percent_agreement(again)
    torn = there.selectExpr("item_id", "annotator_id", "value", "annotator_id AS context")
    with pytest.raises(TableError, match="same group on all its rows; 3000 do not"):
        percent_agreement(torn, group="context")
    with pytest.raises(TableError, match='needs the column "unit"'):
        percent_agreement(there, item="unit")
    nobody = there.selectExpr("item_id", "'dfar:unknown' AS annotator_id", "value")
    with pytest.raises(TableError, match="every rating is by an unknown annotator"):
        percent_agreement(nobody)


@pytest.mark.parametrize(
    ("statistic", "options"),
    [
        (krippendorff_alpha, {"value": "word"}),
        (percent_agreement, {"value": "word", "group": "context", "by": "lang"}),
        (krippendorff_alpha, {"value": "slider", "level": "interval", "ci": "analytic"}),
        (krippendorff_alpha, {"value": "slider", "level": "ordinal", "ci": "analytic"}),
        (krippendorff_alpha, {"scope": "items+raters", "n_boot": 20}),
    ],
)
def test_many_values_and_single_ratings_come_over(
    both: tuple[pl.DataFrame, Any], statistic: Any, options: dict[str, Any]
) -> None:
    frame, there = both
    same(statistic(frame, **{"n_boot": 100, **options}), statistic(there, **{"n_boot": 100, **options}))


def test_pairs_come_over(both: tuple[pl.DataFrame, Any]) -> None:
    frame, there = both
    ours, theirs = pairwise_kappa(frame, ci=None), pairwise_kappa(there, ci=None)
    assert ours.drop("value").equals(theirs.drop("value"), null_equal=True)
    assert np.allclose(ours["value"], theirs["value"], rtol=0, atol=1e-12, equal_nan=True)
