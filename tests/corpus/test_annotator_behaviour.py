from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby, product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.annotator_behaviour import annotator_behaviour
from dfar_toolkit.corpus.annotator_findings import annotator_findings
from dfar_toolkit.corpus.findings import AuditThresholds
from dfar_toolkit.corpus.longest_run import EXACT_RATINGS, longest_run_p

QUESTIONS = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["a", "b"]]})


def rows(who: str, values: str, **columns: Sequence[object]) -> pl.DataFrame:
    n = len(values)
    frame = pl.DataFrame(
        {"item_id": [f"i{k:03d}" for k in range(n)], "annotator_id": [who] * n, "question": ["q"] * n,
         "rating_id": [f"{who}#{k}" for k in range(n)], "value": list(values)}
    )  # fmt: skip
    return frame.with_columns(pl.Series(name, column) for name, column in columns.items())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.integers(0, 3), min_size=1, max_size=3).filter(any))
def test_longest_run_against_all_sequences(n: int, m: int, parts: list[int]) -> None:
    m = min(n, m)
    shares = [Fraction(p, sum(parts)) for p in parts]
    want = Fraction(0)
    for sequence in product(range(len(shares)), repeat=n):
        if max(len(list(run)) for _, run in groupby(sequence)) >= m:
            chance = Fraction(1)
            for k in sequence:
                chance *= shares[k]
            want += chance
    got = longest_run_p([[float(s) for s in shares]], [n], [m])[0]
    assert got == pytest.approx(float(want), abs=1e-12)


def test_long_sequences_meet_the_limit() -> None:
    n = EXACT_RATINGS
    exact, limit = (longest_run_p([[0.6, 0.4]], [k], [18])[0] for k in (n, n + 1))
    assert limit == pytest.approx(exact, rel=0.01)
    both = longest_run_p([[0.6, 0.4], [0.5, 0.5]], [n, 30], [18, 10])
    assert both[0] == exact
    assert both[1] == longest_run_p([[0.5, 0.5]], [30], [10])[0]
    assert np.isnan(longest_run_p([[0.5, 0.5]], [0], [0])[0])


def test_runs_by_row_and_by_time() -> None:
    values = "ab" * 12
    stirred = [f"2024-01-01T00:{(k * 2) % 48 + (k * 2) // 48:02d}:00Z" for k in range(24)]  # all a, then all b
    by_row = annotator_behaviour(rows("s:1", values)).row(0, named=True)
    by_time = annotator_behaviour(rows("s:1", values, at=stirred)).row(0, named=True)
    assert (by_row["order"], by_row["longest_run"]) == ("row", 1)
    assert by_time["order"] == "at"
    order = sorted(range(24), key=lambda k: stirred[k])
    assert by_time["longest_run"] == max(len(list(g)) for _, g in groupby(values[k] for k in order))


def test_constant_annotators_are_held_against_all() -> None:
    frame = pl.concat(
        [rows("s:1", "a" * 20), rows("s:2", "ab" * 10), rows("s:3", "b" * 5), rows("s:unknown", "a" * 99)]
    )
    found = annotator_behaviour(frame)
    assert found["annotator_id"].to_list() == ["s:1", "s:2", "s:3"]
    share = 30 / 45
    assert found["p_value"].to_list() == [pytest.approx(share**20), pytest.approx(1.0), None]
    assert found["p_holm"][0] == pytest.approx(2 * share**20)


def test_a_set_of_values_is_one_rating() -> None:
    frame = rows("s:1", "abab").with_columns(rating_id=pl.Series(["r1", "r1", "r2", "r2"]), item_id=pl.lit("i"))
    found = annotator_behaviour(frame).row(0, named=True)
    assert (found["n_ratings"], found["longest_run"], found["run_value"]) == (2, 2, "a|b")


def test_speed_from_seconds_and_from_moments() -> None:
    slow = rows("s:1", "ab" * 5, seconds=[10.0] * 9 + [1000.0])
    quick = rows("s:2", "ab" * 5, seconds=[1.0] * 10)
    found = annotator_behaviour(pl.concat([slow, quick]))
    assert found.select("n_timed", "median_seconds").rows() == [(10, 10.0), (10, 1.0)]
    assert found["speed"].to_list() == [pytest.approx(10 / 5.5), pytest.approx(1 / 5.5)]
    moments = [f"2024-01-01 10:00:{5 * k:02d}" for k in range(10)]
    timed = annotator_behaviour(rows("s:1", "ab" * 5, at=moments)).row(0, named=True)
    assert (timed["n_timed"], timed["median_seconds"]) == (9, 5.0)
    milliseconds = [1.7e12 + 5000 * k for k in range(10)]
    assert annotator_behaviour(rows("s:1", "ab" * 5, at=milliseconds))["median_seconds"].item() == 5.0


def test_days_alone_and_odd_times_are_unknown() -> None:
    for at in (["2024-01-01T00:00:00"] * 4, ["yesterday"] * 4, [None] * 4):
        frame = rows("s:1", "abab").with_columns(pl.Series("at", at, dtype=pl.String))
        assert annotator_behaviour(frame).select("n_timed", "median_seconds", "order").rows() == [(0, None, "row")]


def test_findings_with_people() -> None:
    rated = pl.concat(
        [
            rows("s:1", "ab" * 15, seconds=[9.0] * 30),
            rows("s:2", "abba" * 7 + "ab", seconds=[9.0] * 30),
            rows("s:3", "a" * 15 + "b" * 15, seconds=[1.0] * 30),
            rows("s:m", "a" * 30, seconds=[0.1] * 30),
        ]
    )
    raters = pl.DataFrame(
        {
            "annotator_id": ["s:1", "s:2", "s:3", "s:m"],
            "kind": ["human", "human", "human", "model"],
            "age": ["18-29", "18-29", "18-29", None],
            "town": ["x", "y", "y", None],
        }
    )
    balance, fast, line = annotator_findings(rated, QUESTIONS, raters, AuditThresholds())
    assert (balance.count, balance.total) == (1, 2)
    assert balance.examples == ("age: 18-29 100 % of the ratings by 3 people",)
    assert "town: y 67 % of the ratings by 2 people" in balance.note
    assert (fast.count, fast.total) == (1, 3)
    assert fast.examples == ("s:3: median 1 s, 0.11 of that of all, 30 ratings",)
    assert (line.count, line.total) == (1, 3)
    assert line.examples[0].startswith("s:3: a 15 times in a row of 30 ratings, p = 0.00")


def test_findings_without_people() -> None:
    nobody = rows("s:unknown", "ab" * 30)
    for finding in annotator_findings(nobody, QUESTIONS, None, AuditThresholds()):
        assert (finding.count, finding.total) == (0, 0)
        assert finding.note.startswith("not looked for")
