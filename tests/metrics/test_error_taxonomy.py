"""Shares of error types by hand, several types a verdict, and that the intervals hold together."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import proportion
from dfar_toolkit.metrics.judging.error_taxonomy import NO_TYPE, error_taxonomy
from dfar_toolkit.tables import conform
from small_tables import make_items, make_judgements


def judged(rows: list[tuple[str, str, str, str | None]]) -> pl.DataFrame:
    """Run, item, value, types; one judge per row of an item."""
    frame = pl.DataFrame(rows, schema=["run_id", "item_id", "value", "error_type"], orient="row")
    return conform(
        frame.with_columns(
            judge_id=pl.int_range(pl.len()).over("run_id", "item_id").cast(pl.String), question=pl.lit("q"),
            output_id=pl.concat_str("run_id", "item_id", separator="/"),
        ),
        "judgements",
    )  # fmt: skip


def test_by_hand() -> None:
    rows = [
        ("m", "1", "bad", "circular; off topic"), ("m", "1", "Bad ", "circular"), ("m", "2", "bad", " ; "),
        ("m", "3", "good", "circular"), ("n", "1", "bad", "off topic;off topic"), ("o", "1", "good", None),
    ]  # fmt: skip
    found = error_taxonomy(judged(rows))
    assert found.select("run_id", "error_type", "verdicts", "value", "n").rows() == [
        ("m", "circular", 2, pytest.approx(2 / 3), 3),
        ("m", NO_TYPE, 1, pytest.approx(1 / 3), 3),
        ("m", "off topic", 1, pytest.approx(1 / 3), 3),
        ("n", "off topic", 1, 1.0, 1),
        ("n", NO_TYPE, 0, 0.0, 1),
        ("n", "circular", 0, 0.0, 1),
    ]
    assert found["method"][0] == "Wilson (effective n), Bonferroni over 3 types"
    assert set(found["confidence"]) == {0.95}


def test_intervals_are_wilson_at_the_shared_level() -> None:
    rows = [("m", str(k), "bad", "x" if k < 12 else "y") for k in range(40)]
    found = error_taxonomy(judged(rows))
    wide = proportion("", [1] * 12 + [0] * 28, confidence=0.975)
    row = found.filter(pl.col("error_type") == "x").row(0, named=True)
    assert (row["low"], row["high"]) == pytest.approx((wide.low, wide.high), abs=1e-12)
    items = make_items(["e"] * 40, ids=[str(k) for k in range(40)], groups=[str(k // 4) for k in range(40)])
    grouped = error_taxonomy(judged(rows), items=items).filter(pl.col("error_type") == "x").row(0, named=True)
    assert grouped["high"] - grouped["low"] > 1.5 * (row["high"] - row["low"])
    assert (grouped["unit"], grouped["n_units"]) == ("groups", 10)


def test_all_types_of_a_run_are_covered_together() -> None:
    rng, truth = np.random.default_rng(3), np.array([0.5, 0.3, 0.15, 0.05])
    held = 0
    for _ in range(40):
        drawn = rng.choice(list("abcd"), size=60, p=truth)
        found = error_taxonomy(judged([("m", str(k), "bad", str(t)) for k, t in enumerate(drawn)]))
        wanted = {t: p for t, p in zip("abcd", truth, strict=True) if t in drawn}
        held += all(r["low"] <= wanted[r["error_type"]] <= r["high"] for r in found.iter_rows(named=True))
    assert held >= 36


def test_order_refusals_and_nothing_bad() -> None:
    rows = [("m", str(k % 5), "bad", "x;y" if k % 2 else "y") for k in range(15)]
    frame = judged(rows)
    assert error_taxonomy(frame.sample(fraction=1, shuffle=True, seed=1)).equals(error_taxonomy(frame))
    assert error_taxonomy(frame, by="judge_id").columns[0] == "judge_id"
    fine = error_taxonomy(make_judgements({"i0": "g"}))
    assert (len(fine), fine.columns) == (0, error_taxonomy(frame).columns)
    with pytest.raises(ValueError, match='no column "team"'):
        error_taxonomy(frame, by="team")
    with pytest.raises(ValueError, match="separator must not be empty"):
        error_taxonomy(frame, separator="")
    with pytest.raises(TableError, match="found 'meh'"):
        error_taxonomy(frame.with_columns(value=pl.lit("meh")))
