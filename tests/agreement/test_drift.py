"""Agreement over time: windows by hand and by naive loops, times in every shape, and permuted trends."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, permutation_test

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.raters.drift import drift
from dfar_toolkit.agreement.raters.drift_trend import drift_trend
from dfar_toolkit.agreement.raters.rater_fit import rater_agreement
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA

SCHEMA = ["item_id", "annotator_id", "value", "at"]


def worsening(seed: int, n: int = 120, raters: int = 4) -> pl.DataFrame:
    """Everybody knows the truth with 85 %; rater r0 guesses more and more. Item i is rated at i, r later by r."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        truth = int(rng.integers(3))
        for r in range(raters):
            right = rng.random() < (1 - i / n if r == 0 else 0.85)
            rows.append((i, f"r{r}", truth if right else int(rng.integers(3)), i + r))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def shares(frame: pl.DataFrame) -> list[tuple[Any, Any, float]]:
    """Rater, time and share of the rest, rating by rating, from the definition."""
    found = []
    for part in frame.partition_by("item_id"):
        for who, value, at in part.select("annotator_id", "value", "at").rows():
            rest = part.filter(pl.col("annotator_id") != who)["value"].to_list()
            if rest:
                found.append((who, at, sum(v == value for v in rest) / len(rest)))
    return found


def test_a_rating_counts_at_its_own_time() -> None:
    # Item x is rated in window 0 by ann and in window 1 by bob and cat: ann agrees with one of two (1/2), bob with ann
    # and not cat (1/2), cat with nobody (0).
    rows = [("x", "ann", "y", 1), ("x", "bob", "y", 8), ("x", "cat", "n", 9)]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    found = drift(
        pl.concat([frame, pl.DataFrame([("q", "ann", "y", 3)], schema=SCHEMA, orient="row")]), windows=2, ci=None
    )
    assert found.columns == ["window", "start", "end", *ESTIMATE_SCHEMA]
    # q has one rating and agrees with nobody, so the windows are of x: cut at 1 | 8, 9.
    assert found.select("window", "start", "end", "value", "n").rows() == [(0, 1, 1, 0.5, 1), (1, 8, 9, 0.25, 2)]
    each = drift(frame, windows=2, each_rater=True, ci=None)
    assert each.select("window", "rater", "value").rows() == [(0, "ann", 0.5), (1, "bob", 0.5), (1, "cat", 0.0)]
    assert each["note"][0] == "few ratings: 1, 10 wanted"


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 6), st.integers(0, 3)), st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2
    ),
    st.integers(1, 5),
)
def test_windows_against_a_naive_loop(found: dict[tuple[int, int], tuple[int, int]], windows: int) -> None:
    frame = pl.DataFrame([(i, f"r{r}", v, t) for (i, r), (v, t) in found.items()], schema=SCHEMA, orient="row")
    known = shares(frame)
    got = drift(frame, windows=windows, ci=None)
    each = drift(frame, windows=windows, ci=None, each_rater=True)
    assert got["n"].sum() == each["n"].sum() == len(known)
    assert got["window"].to_list() == list(range(got.height))
    assert got.height <= windows
    assert all(end < start for end, start in zip(got["end"], got["start"][1:], strict=False))
    for rows in (got, each):
        for row in rows.iter_rows(named=True):
            inside = [s for who, at, s in known if row["start"] <= at <= row["end"] and who == row.get("rater", who)]
            assert row["value"] == pytest.approx(np.mean(inside), abs=1e-12)
            assert row["n"] == len(inside)


def test_one_window_is_the_agreement_with_the_rest() -> None:
    frame = worsening(0)
    each = drift(frame, windows=1, each_rater=True, n_boot=300)
    whole = rater_agreement(frame, n_boot=300)
    assert each.drop("window", "start", "end").equals(whole)


def test_equal_counts_and_a_drifting_rater() -> None:
    frame = worsening(1)
    found = drift(frame, windows=4, n_boot=300)
    assert found["n"].sum() == 480
    assert found["n"].min() > 110
    assert (found["low"] < found["value"]).all()
    assert found["unit"].unique().to_list() == ["items"]
    assert (found["n_units"] < found["n"]).all()  # several ratings of an item in a window are one unit
    each = drift(frame, windows=4, each_rater=True, ci=None).filter(rater="r0")["value"]
    assert each[0] > each[-1] + 0.3
    grouped = drift(frame.with_columns(stem=pl.col("item_id") // 4), windows=4, n_boot=300, group="stem")
    assert grouped["value"].to_list() == pytest.approx(found["value"].to_list(), abs=1e-12)
    assert grouped["unit"].unique().to_list() == ["groups"]
    assert not grouped["low"].equals(found["low"])
    assert found.equals(drift(frame.reverse(), windows=4, n_boot=300))


def test_alpha_of_a_window_is_alpha_of_its_ratings() -> None:
    frame = worsening(2)
    found = drift(frame, windows=3, statistic="krippendorff_alpha", level="interval", n_boot=200)
    for row in found.iter_rows(named=True):
        part = frame.filter(pl.col("at").is_between(row["start"], row["end"]))
        alone = krippendorff_alpha(part, level="interval", n_boot=200)
        wanted = [alone.value, alone.low, alone.high, alone.n]  # type: ignore[union-attr]
        assert [row["value"], row["low"], row["high"], row["n"]] == pytest.approx(wanted, abs=1e-12)


def test_times_in_every_shape_are_the_same() -> None:
    start = datetime(2024, 2, 27, 10)
    times = [start + timedelta(hours=7 * k) for k in range(24)]
    frame = worsening(3, n=24, raters=2).with_columns(at=pl.Series(times * 2).sort())
    wanted = drift(frame, windows=3, ci=None)
    text = frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%d %H:%M"))
    zoned = frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    moved = frame.with_columns((pl.col("at") + pl.duration(hours=2)).dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"))
    aware = frame.with_columns(pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    milli = frame.with_columns(pl.col("at").cast(pl.Datetime("ms")))
    for other in (text, zoned, moved, aware, milli):
        assert drift(other, windows=3, ci=None).equals(wanted)
    days = frame.with_columns(pl.col("at").cast(pl.Date))
    assert drift(days, windows=3, ci=None)["start"].to_list()[0] == datetime(2024, 2, 27)
    assert drift(days.with_columns(pl.col("at").cast(pl.String)), windows=3, ci=None)["n"].sum() == 48


def test_windows_of_the_calendar() -> None:
    when = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1), date(2024, 4, 5)]
    rows = [(k, who, "y", day) for k, day in enumerate(when) for who in "ab"]
    found = drift(pl.DataFrame(rows, schema=SCHEMA, orient="row"), windows="1mo", ci=None)
    assert found["start"].to_list() == [datetime(2024, 1, 1), datetime(2024, 2, 1), datetime(2024, 4, 1)]
    assert found["end"].to_list() == [datetime(2024, 2, 1), datetime(2024, 3, 1), datetime(2024, 5, 1)]
    assert found["n"].to_list() == [4, 2, 2]
    assert found["window"].to_list() == [0, 1, 2]


def test_ratings_without_a_time_count_among_the_rest() -> None:
    rows = [("x", "ann", "y", 1), ("x", "bob", "y", 2), ("x", "cat", "n", None), ("z", "cat", "n", None)]
    found = drift(pl.DataFrame(rows, schema=SCHEMA, orient="row"), windows=1, ci=None)
    assert found["value"].to_list() == [0.5]
    assert found["note"][0] == "few ratings: 2, 10 wanted; 1 rating by 1 rater without a time"
    untimed = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(at=pl.lit(None))
    assert drift(untimed, ci=None).height == 0
    assert drift_trend(untimed).height == 0
    assert drift(untimed, ci=None, each_rater=True).columns == ["window", "start", "end", "rater", *ESTIMATE_SCHEMA]


def test_refusals() -> None:
    frame = worsening(4, n=6)
    texts = {
        "yesterday": r'the column "at" must hold ISO 8601 times .*; 24 are not, e\.g\. "yesterday"',
        "": "24 are not",
        "2024-13-01": "24 are not",
        "01/02/2024": "24 are not",
        "20240102": "24 are not",
    }
    for text, message in texts.items():
        with pytest.raises(TableError, match=message):
            drift(frame.with_columns(at=pl.lit(text)))
    mixed = frame.with_columns(at=pl.Series(["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"] * 12))
    with pytest.raises(TableError, match="12 times with a zone and 12 without"):
        drift(mixed)
    with pytest.raises(TableError, match="must hold when each rating was given; found Float64"):
        drift(frame.with_columns(pl.col("at").cast(pl.Float64)))
    with pytest.raises(TableError, match='agreement needs the column "when"'):
        drift(frame, at="when")
    for windows, message in {0: "at least 1", "1w": "needs dates or times", 2.5: "a number or a duration"}.items():
        with pytest.raises(ValueError, match=f"^drift: .*{message}"):
            drift(frame, windows=windows)  # type: ignore[arg-type]
    dated = frame.with_columns(at=pl.lit(date(2024, 1, 1)))
    with pytest.raises(ValueError, match=r'^drift: windows must be a number or a duration such as "1w", found .fort'):
        drift(dated, windows="fortnight")
    with pytest.raises(ValueError, match=r"^drift: krippendorff_alpha is of all raters"):
        drift(frame, statistic="krippendorff_alpha", each_rater=True)
    with pytest.raises(ValueError, match=r"^drift: statistic must be percent or krippendorff_alpha"):
        drift(frame, statistic="pi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^drift_trend: n_permutations must be at least 1"):
        drift_trend(frame, n_permutations=0)


def test_slopes_equal_scipy() -> None:
    frame = worsening(5)
    found = drift_trend(frame, n_permutations=99, n_boot=300)
    assert found.columns == ["rater", *ESTIMATE_SCHEMA, "p", "smallest_p"]
    known = shares(frame)
    for row in found.iter_rows(named=True):
        mine = [(at, s) for who, at, s in known if who == row["rater"]]
        assert row["value"] == pytest.approx(linregress(*zip(*mine, strict=True)).slope, abs=1e-12)
        assert row["low"] < row["value"] < row["high"]
    drifting = found.filter(rater="r0")
    assert drifting["high"][0] < 0
    assert drifting["p"][0] == drifting["smallest_p"][0] == 1 / 100
    assert drifting["note"][0] == "99 random orders"
    assert found.equals(drift_trend(frame.reverse(), n_permutations=99, n_boot=300))
    # Days, not microseconds; the order of time alone matters to p.
    dated = frame.with_columns(at=datetime(2024, 1, 1, tzinfo=UTC) + pl.col("at") * timedelta(days=2))
    days = drift_trend(dated, n_permutations=99, ci=None)
    assert days["value"].to_list() == pytest.approx((found["value"] / 2).to_list(), abs=1e-12)
    assert days["name"][0] == "slope of agreement with the rest per day"
    assert days["p"].equals(found["p"])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=6))
def test_few_ratings_are_permuted_in_full(points: list[tuple[int, int]]) -> None:
    # Each item has two raters, so that a rater's share is 0 or 1; "other" is there to agree with.
    rows = [(i, who, v if who == "me" else 0, t) for i, (t, v) in enumerate(points) for who in ("me", "other")]
    found = drift_trend(pl.DataFrame(rows, schema=SCHEMA, orient="row"), ci=None, n_permutations=720)
    mine = found.filter(rater="me")
    x = np.array([t for t, _ in points], dtype=float)
    y = np.array([float(v == 0) for _, v in points])
    if len(set(x)) < 2:
        assert math.isnan(mine["value"][0])
        assert math.isnan(mine["p"][0])
        assert "fewer than two different times" in mine["note"][0]
        return
    sums = np.abs([(x - x.mean()) @ np.array(order) for order in permutations(y)])
    real = abs(float((x - x.mean()) @ y))
    assert mine["p"][0] == pytest.approx(np.mean(sums >= real - 1e-12), abs=1e-12)
    assert mine["smallest_p"][0] == pytest.approx(np.mean(sums >= sums.max() - 1e-12), abs=1e-12)


def test_random_orders_and_the_normal_limit() -> None:
    rng = np.random.default_rng(6)
    x = np.arange(40)
    y = (rng.random(40) < 0.75 - x / 120).astype(int)
    rows = [(i, who, int(y[i]) if who == "me" else 1, int(x[i])) for i in range(40) for who in ("me", "other")]
    mine = drift_trend(pl.DataFrame(rows, schema=SCHEMA, orient="row"), ci=None, n_permutations=4999).filter(rater="me")

    def steepness(order: Any, axis: int) -> Any:
        return np.abs(((x - x.mean()) * order).sum(axis=axis))

    theirs = permutation_test(
        (y.astype(float),), steepness, permutation_type="pairings", n_resamples=4999, alternative="greater", rng=1
    )
    assert mine["p"][0] == pytest.approx(theirs.pvalue, abs=0.025)
    # Above 1,000 ratings: the same p as many random orders, to their own error.
    n = 2400
    y = (rng.random(n) < 0.6 - np.arange(n) / (20 * n)).astype(int)
    rows = [(i, who, int(y[i]) if who == "me" else 1, i) for i in range(n) for who in ("me", "other")]
    large = drift_trend(pl.DataFrame(rows, schema=SCHEMA, orient="row"), ci=None).filter(rater="me")
    t = np.arange(n) - (n - 1) / 2
    orders = rng.permuted(np.tile(y, (2000, 1)), axis=1) @ t
    assert large["p"][0] == pytest.approx(np.mean(np.abs(orders) >= abs(y @ t)), abs=0.04)
    assert "normal limit" in large["note"][0]


def test_groups_of_items_are_one_point() -> None:
    frame = worsening(7, n=24).with_columns(stem=pl.col("item_id") // 4)
    found = drift_trend(frame, group="stem", ci=None)
    assert found["n"].to_list() == [24] * 4
    assert found["n_units"].to_list() == [6] * 4
    assert found["unit"].unique().to_list() == ["groups"]
    known = [(at, s) for who, at, s in shares(frame.sort("item_id")) if who == "r0"]
    x, y = (np.array(column).reshape(6, 4).mean(axis=1) for column in zip(*sorted(known), strict=True))
    assert found["value"][0] == pytest.approx(linregress(x, y).slope, abs=1e-12)
    assert found["smallest_p"][0] >= 2 / 720
