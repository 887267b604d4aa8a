"""Somebody who rated an item twice: what stands is what the caller says, and the merging is counted."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.agreement import krippendorff_alpha, percent_agreement
from dfar_toolkit.agreement.duplicates import without_repeats
from dfar_toolkit.errors import TableError

ROWS = pl.DataFrame(
    {
        "item_id": ["x", "x", "x", "y", "x", "y", "y"],
        "annotator_id": ["ann", "bob", "ann", "ann", "ann", "bob", "bob"],
        "value": [1, 2, 5, 3, 3, 4, 4],
        "at": [3, 1, 1, 1, 2, 1, 2],
        "note": list("abcdefg"),
    }
)


def kept(**how: Any) -> list[tuple[Any, ...]]:
    return without_repeats(ROWS, **how).frame.select("item_id", "annotator_id", "value", "note").rows()


def test_first_and_last_by_the_order_of_rows() -> None:
    assert kept() == [("x", "ann", 1, "a"), ("x", "bob", 2, "b"), ("y", "ann", 3, "d"), ("y", "bob", 4, "f")]
    assert kept(keep="last") == [("x", "bob", 2, "b"), ("y", "ann", 3, "d"), ("x", "ann", 3, "e"), ("y", "bob", 4, "g")]


def test_first_and_last_by_time() -> None:
    assert kept(at="at")[1] == ("x", "ann", 5, "c")
    assert ("x", "ann", 1, "a") in kept(at="at", keep="last")
    some = ROWS.with_columns(at=pl.Series([None, None, None, None, date(2020, 1, 1), None, None]))
    for keep in ("first", "last"):  # a rating without a time only where none has one; ties by the order of the rows
        found = without_repeats(some, keep=keep, at="at").frame
        assert set(found["note"]) == {"b", "d", "e", "f" if keep == "first" else "g"}


def test_mean_and_set() -> None:
    assert kept(keep="mean")[0] == ("x", "ann", 3.0, "a")
    assert kept(keep="keep") == [
        ("x", "ann", [1, 3, 5], "a"),
        ("x", "bob", [2], "b"),
        ("y", "ann", [3], "d"),
        ("y", "bob", [4], "f"),
    ]
    texts = ROWS.with_columns(pl.col("value").cast(pl.String))
    assert without_repeats(texts, keep="mean").frame["value"].to_list() == [3.0, 2.0, 3.0, 4.0]
    with pytest.raises(TableError, match=r'needs numbers; the column "value" holds "yes"; use a column of numbers'):
        without_repeats([("x", "ann", "1"), ("x", "ann", "yes")], keep="mean")


def test_what_was_merged_is_counted() -> None:
    found = without_repeats(ROWS)
    assert (found.n_repeats, found.n_unlike, found.n_dropped) == (2, 1, 3)
    assert str(found) == (
        '2 repeated (item, rater) pairs, 1 with different values, 3 rows merged; e.g. item "x", rater "ann": 1, 3, 5'
    )
    none = without_repeats(found.frame)
    assert none[1:] == (0, 0, 0, "")
    assert str(none) == "no rater stands twice on an item"
    assert none.frame.equals(found.frame)


def test_the_refusal_says_how() -> None:
    with pytest.raises(TableError, match=r'without_repeats\(ratings, keep="first"\), at the command line --repeats fi'):
        percent_agreement(ROWS)
    assert percent_agreement(without_repeats(ROWS).frame, ci=None).n == 2


def test_missing_values_and_unknown_people_stay() -> None:
    nan = float("nan")
    rows = [("x", "ann", None), ("x", "ann", nan), ("x", "ann", 1.0), (None, "ann", 1.0), (None, "ann", 2.0)]
    rows += [("x", "dfar:unknown", 1.0), ("x", "dfar:unknown", 2.0), ("y", None, 3.0), ("y", None, 4.0)]
    for keep in ("first", "last", "mean", "keep"):
        found = without_repeats(rows, keep=keep)
        assert (len(found.frame), found.n_repeats) == (9, 0)
    with pytest.raises(TableError, match="unknown annotator has more than one rating"):
        percent_agreement(without_repeats(rows[2:3] + rows[5:7]).frame)
    lists = without_repeats(rows[:3], keep="keep").frame["value"].to_list()
    assert lists == [None, None, [1.0]]


def test_questions_and_slices_are_kept_apart() -> None:
    asked = ROWS.with_columns(question=pl.Series(["q1", "q1", "q2", "q1", "q3", "q1", "q1"]))
    assert without_repeats(asked).n_repeats == 1  # y by bob
    assert without_repeats(ROWS, by="at").n_repeats == 0
    assert without_repeats(ROWS, by=["at"]).frame.equals(ROWS)


def test_every_container_and_wrong_arguments() -> None:
    for data in (ROWS, ROWS.lazy(), ROWS.to_pandas(), ROWS.to_arrow(), []):
        assert without_repeats(data).n_repeats in (0, 2)
    with pytest.raises(ValueError, match=r"^without_repeats: keep must be one of first, last, mean, keep, found 'max'"):
        without_repeats(ROWS, keep="max")  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r'needs the column "when" \(at\)'):
        without_repeats(ROWS, at="when")
    with pytest.raises(TableError, match="one text or number per row; found List"):
        without_repeats(ROWS.with_columns(pl.concat_list("value")))


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=25))
def test_laws(rows: list[tuple[str, str, int]]) -> None:
    found = {keep: without_repeats(rows, keep=keep) for keep in ("first", "last", "mean", "keep")}
    pairs = {(i, r): [v for a, b, v in rows if (a, b) == (i, r)] for i, r, _ in rows}
    assert {(i, r): v for i, r, v in found["first"].frame.rows()} == {k: v[0] for k, v in pairs.items()}
    assert {(i, r): v for i, r, v in found["last"].frame.rows()} == {k: v[-1] for k, v in pairs.items()}
    means = {(i, r): v for i, r, v in found["mean"].frame.rows()}
    assert means == pytest.approx({k: sum(v) / len(v) for k, v in pairs.items()})
    assert {(i, r): v for i, r, v in found["keep"].frame.rows()} == {k: sorted(set(v)) for k, v in pairs.items()}
    for one in found.values():
        assert one.n_dropped == len(rows) - len(pairs)
        assert one.n_repeats == sum(len(v) > 1 for v in pairs.values())
        assert one.n_unlike == sum(len(set(v)) > 1 for v in pairs.values())
    assert krippendorff_alpha(found["first"].frame, ci=None).name == "Krippendorff's alpha (nominal)"
