"""Which values are given together, against a naive loop over pairs of people."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import polars as pl
import pytest

from dfar_toolkit.agreement import value_agreement
from dfar_toolkit.agreement.value_confusion import value_confusion
from dfar_toolkit.errors import TableError

Rows = list[tuple[str, str, str]]


def naive(rows: Rows) -> dict[tuple[str, str], tuple[Fraction | None, int]]:
    """Every ordered pair of different people of an item, counted one by one."""
    items: dict[str, list[str]] = {}
    for item, _, value in rows:
        items.setdefault(item, []).append(value)
    values = sorted({v for _, _, v in rows})
    found = {}
    for c in values:
        pairs = [
            (x, y) for vs in items.values() for i, x in enumerate(vs) for j, y in enumerate(vs) if i != j and x == c
        ]
        for k in values:
            both = sum(
                any(x == c and y == k for i, x in enumerate(vs) for j, y in enumerate(vs) if i != j)
                for vs in items.values()
            )
            share = Fraction(sum(y == k for _, y in pairs), len(pairs)) if pairs else None
            found[c, k] = share, both
    return found


def made(n_items: int, values: list[str], seed: int) -> Rows:
    rng = random.Random(seed)
    return [(f"i{i}", f"p{p}", rng.choice(values)) for i in range(n_items) for p in range(5) if rng.random() < 0.6]


@pytest.mark.parametrize("values", [["yes", "no"], ["a b", "🙈", "", "c"], ["one"]])
def test_equals_a_naive_loop(values: list[str]) -> None:
    rows = [*made(23, values, 4), ("alone", "p1", values[0])]
    found = value_confusion(rows, ci=None)
    expected = naive(rows)
    assert {(r["given"], r["other"]) for r in found.to_dicts()} == set(expected)
    for row in found.to_dicts():
        share, both = expected[row["given"], row["other"]]
        assert row["n_items"] == both
        assert share is not None
        assert row["value"] == pytest.approx(float(share), abs=1e-12)
    sums = found.group_by("given").agg(pl.col("value").sum())["value"]
    assert sums.to_list() == pytest.approx([1.0] * len(sums), abs=1e-12)


def test_the_diagonal_is_specific_agreement_with_its_interval() -> None:
    rows = made(40, ["x", "y", "z"], 1)
    found = value_confusion(rows, n_boot=200).filter(pl.col("given") == pl.col("other"))
    specific = value_agreement(rows, statistic="specific_agreement", n_boot=200)
    for name in ("value", "low", "high", "n"):
        assert found[name].to_list() == pytest.approx(specific[name].to_list(), abs=1e-12)


def test_order_of_rows_does_not_matter_and_groups_widen() -> None:
    rows = made(40, ["x", "y"], 2)
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    frame = frame.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64).floordiv(8).alias("group"))
    one = value_confusion(frame, n_boot=200, group="group")
    assert one.equals(value_confusion(frame.sample(fraction=1, shuffle=True, seed=3), n_boot=200, group="group"))
    assert one["unit"].unique().to_list() == ["groups"]
    assert not one["low"].equals(value_confusion(frame, n_boot=200)["low"])


def test_undefined_where_nobody_can_be_beside() -> None:
    found = value_confusion([("x", "ann", "no"), ("y", "ann", "yes"), ("y", "bob", "yes")])
    row = found.filter(pl.col("given") == "no", pl.col("other") == "yes").to_dicts()[0]
    assert math.isnan(row["value"])
    assert 'nobody gives "no"' in row["note"]
    assert value_confusion(pl.DataFrame(schema={"item_id": pl.String, "annotator_id": pl.String, "value": pl.String}),
                           ci=None).is_empty()  # fmt: skip


def test_too_many_values_are_refused() -> None:
    with pytest.raises(TableError, match="at most 60"):
        value_confusion([("x", f"p{k}", f"v{k}") for k in range(61)])
