"""The default family as one table."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import agreement_table, fleiss_kappa, krippendorff_alpha, pairwise_kappa
from dfar_toolkit.errors import TableError

COLUMNS = [
    *("statistic", "level", "value", "low", "high", "n", "note"),
    *("name", "n_units", "unit", "scope", "method", "confidence", "rater_a", "rater_b"),
]


def ratings(n_raters: int, n_items: int = 30) -> pl.DataFrame:
    rng = np.random.default_rng(n_raters)
    cells = [(f"i{i}", f"r{r}", str(rng.integers(1, 4))) for i in range(n_items) for r in range(n_raters)]
    frame = pl.DataFrame(cells, schema=["item_id", "annotator_id", "value"], orient="row")
    return frame.with_columns(part=pl.col("item_id").str.slice(1).cast(pl.Int64) % 2)


def test_family_of_each_kind() -> None:
    for kind, levels in (
        ("nominal", ["nominal"]),
        ("pair", ["nominal"]),
        ("ordinal", ["nominal", "ordinal"]),
        ("interval", ["nominal", "interval"]),
        ("ratio", ["nominal", "ratio"]),
    ):
        found = agreement_table(ratings(9), kind=kind, n_boot=20)
        assert found.columns == COLUMNS
        alphas = found.filter(statistic="krippendorff_alpha")
        assert alphas["level"].to_list() == levels
        names = ["percent_agreement", *["krippendorff_alpha"] * len(levels), "fleiss_kappa", "gwet_ac1"]
        assert found["statistic"].to_list() == names


def test_rows_are_the_statistics_themselves() -> None:
    frame = ratings(3)
    found = agreement_table(frame, kind="ordinal", n_boot=100, seed=3)
    alpha = krippendorff_alpha(frame, level="ordinal", n_boot=100, seed=3)
    row = found.filter(level="ordinal").row(0, named=True)
    assert {name: row[name] for name in alpha.as_row()} == alpha.as_row()
    assert found.filter(statistic="fleiss_kappa")["value"].item() == fleiss_kappa(frame, ci=None).value
    pairs = found.filter(statistic="cohen_kappa")
    assert pairs.select("rater_a", "rater_b").rows() == [("r0", "r1"), ("r0", "r2"), ("r1", "r2")]
    assert pairs["low"].equals(pairwise_kappa(frame, n_boot=100, seed=3)["low"])


def test_pairs_of_many_raters_only_on_request() -> None:
    assert "cohen_kappa" not in agreement_table(ratings(9), ci=None)["statistic"]
    assert (agreement_table(ratings(9), ci=None, everything=True)["statistic"] == "cohen_kappa").sum() == 36
    assert (agreement_table(ratings(8), ci=None)["statistic"] == "cohen_kappa").sum() == 28


def test_by_puts_its_columns_first_and_keeps_slices_together() -> None:
    found = agreement_table(ratings(3), by="part", ci=None)
    assert found.columns == ["part", *COLUMNS]
    assert found["part"].to_list() == [0] * 7 + [1] * 7
    one = agreement_table(ratings(3).filter(part=1), ci=None)
    assert found.filter(part=1)["value"].to_list() == pytest.approx(one["value"].to_list())


def test_order_for_ordinal_words() -> None:
    names = {"1": "low", "2": "middle", "3": "high"}
    words = ratings(3).with_columns(pl.col("value").replace_strict(names))
    found = agreement_table(words, kind="ordinal", order=["low", "middle", "high"], ci=None)
    assert found["value"].to_list() == pytest.approx(
        agreement_table(ratings(3), kind="ordinal", ci=None)["value"].to_list()
    )


def test_other_kinds_are_refused_with_advice() -> None:
    with pytest.raises(TableError, match=r"found kind 'set'; .* one yes/no question per value"):
        agreement_table(ratings(3), kind="set")


def test_one_rater_has_rows_without_values() -> None:
    found = agreement_table([("x", "a", 1), ("y", "a", 2)])
    assert found.columns == COLUMNS
    assert found["value"].is_nan().all()
    assert found["note"].str.contains("no item has two or more ratings").all()
