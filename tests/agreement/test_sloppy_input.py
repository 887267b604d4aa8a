"""Careless arguments and frames that fail: each refused in one line, none taken for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from dfar_toolkit.agreement import from_wide, krippendorff_alpha, percent_agreement
from dfar_toolkit.agreement.cells import read_cells
from dfar_toolkit.agreement.duplicates import without_repeats
from dfar_toolkit.agreement.rating_frames import shown
from dfar_toolkit.agreement.rows import rows_of
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, collapse, estimate

ROWS = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes")]
NAMES = ("item_id", "annotator_id", "value")
FRAME = pl.DataFrame(ROWS, schema=list(NAMES), orient="row")
NAN = float("nan")


def refused(rows: Any, **how: Any) -> str:
    with pytest.raises(TableError) as caught:
        percent_agreement(rows, ci=None, **how)
    return one_line(caught.value)


def one_line(error: Exception) -> str:
    message = str(error)
    assert message.isprintable(), message
    return message


class TestIdsThatAreNaN:
    @pytest.mark.parametrize("name", ["item_id", "annotator_id", "group"])
    @pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
    def test_nan_is_no_id(self, name: str, dtype: pl.DataType) -> None:
        ids = pl.Series([1.0, 1.0, NAN, NAN], dtype=dtype)
        frame = FRAME.with_columns(group=pl.lit("g")).with_columns(ids.alias(name))
        assert f'the column "{name}" must name one on every row with a value; found 2 nulls' in refused(
            frame, group="group"
        )

    def test_without_a_value_it_is_no_rating(self) -> None:
        rows = [(1.0, "a", "no"), (1.0, "b", "no"), (NAN, "a", None)]
        assert read_cells(rows).items.to_list() == ["1.0"]

    def test_other_floats_are_ids_as_before(self) -> None:
        cells = read_cells([(1.0, "a", "no"), (2.5, "b", "no")])
        assert cells.items.to_list() == ["1.0", "2.5"]

    @pytest.mark.parametrize("rows", [[(NAN, "a", 1), (NAN, "a", 2)], [("x", 0.5, 1), ("x", NAN, 2), ("x", NAN, 3)]])
    def test_they_are_no_repeats(self, rows: list[tuple[Any, Any, int]]) -> None:
        frame = pl.DataFrame(rows, schema=list(NAMES), orient="row", strict=False)
        frame = frame.with_columns(pl.col("annotator_id").cast(pl.Float64, strict=False).fill_null(7.0))
        found = without_repeats(frame)
        assert (found.n_repeats, len(found.frame)) == (0, len(rows))


class TestNamesOfColumns:
    @pytest.mark.parametrize("role", ["item", "rater", "value"])
    @pytest.mark.parametrize("data", [FRAME, FRAME.lazy(), FRAME.to_pandas(), ROWS])
    @pytest.mark.parametrize("statistic", [percent_agreement, without_repeats])
    def test_none_is_no_column(self, statistic: Any, data: Any, role: str) -> None:
        with pytest.raises(ValueError, match=f"^agreement needs the name of the {role} column; found None$"):
            statistic(data, **{role: None})

    def test_a_number_is_no_column(self) -> None:
        with pytest.raises(ValueError, match="the name of the group column; found 3"):
            percent_agreement(FRAME, group=3)  # type: ignore[arg-type]

    def test_none_beside_the_ratings(self) -> None:
        with pytest.raises(ValueError, match="agreement needs the name of the by column; found None"):
            read_cells(FRAME, beside=(None,))  # type: ignore[arg-type]

    @pytest.mark.parametrize("statistic", [percent_agreement, krippendorff_alpha, without_repeats])
    def test_one_column_twice(self, statistic: Any) -> None:
        with pytest.raises(ValueError, match='by names the column "x" twice; name each column once'):
            statistic(FRAME.with_columns(x=1), by=["x", "x"])


BROKEN = {
    "column": (FRAME.lazy().with_columns(pl.col("nope")), 'unable to find column "nope"'),
    "item": (FRAME.lazy().with_columns(pl.col("item_id").cast(pl.Int64)), "conversion from `str` to `i64` failed"),
    "rater": (FRAME.lazy().with_columns(pl.col("annotator_id").cast(pl.Int64)), "conversion from `str`"),
    "value": (FRAME.lazy().with_columns(pl.col("value").cast(pl.Float64)), "conversion from `str` to `f64` failed"),
}


class TestFramesThatFail:
    @pytest.mark.parametrize("which", list(BROKEN))
    def test_a_lazy_frame(self, which: str) -> None:
        frame, why = BROKEN[which]
        message = refused(frame)
        assert message.startswith("the ratings cannot be read: ")
        assert why in message
        with pytest.raises(TableError, match=r"^the ratings cannot be read: "):
            without_repeats(frame)
        with pytest.raises(TableError, match=r"^the ratings cannot be read: "):
            rows_of(frame, names=NAMES, keep=NAMES)

    @pytest.mark.parametrize("scan", [pl.scan_csv, pl.scan_parquet, pl.scan_ndjson])
    def test_a_file_that_is_not_there(self, scan: Any, tmp_path: Path) -> None:
        assert "the ratings cannot be read: No such file" in refused(scan(tmp_path / "none.file"))

    def test_pandas_with_one_name_twice(self) -> None:
        frame = pd.DataFrame([["x", "y", "ann", "no"]], columns=["item_id", "item_id", "annotator_id", "value"])
        assert "the frame cannot be read: " in (message := refused(frame))
        assert "'item_id' 2 times" in message
        with pytest.raises(TableError, match="give each column one type and a name of its own"):
            rows_of(frame, names=NAMES, keep=NAMES)

    @pytest.mark.parametrize("name", ["item_id", "annotator_id", "value"])
    @pytest.mark.parametrize("odd", [pd.PeriodIndex(["2020-01"] * 4, freq="M"), pd.IntervalIndex.from_breaks(range(5))])
    def test_pandas_types_that_are_neither_text_nor_number(self, odd: Any, name: str) -> None:
        message = refused(FRAME.to_pandas().assign(**{name: odd}))
        assert f'the column "{name}" must hold one' in message

    def test_a_frame_that_is_long_already(self) -> None:
        with pytest.raises(
            TableError, match='the frame has "annotator_id", "value" already, so it looks long'
        ) as caught:
            from_wide(FRAME)
        assert one_line(caught.value)
        wide = pl.DataFrame({"item_id": ["x"], "ann": ["a"], "value": ["b"]})
        with pytest.raises(TableError, match='the frame has "value" already'):
            from_wide(wide)
        assert from_wide(wide, value="code").rows() == [("x", "ann", "a"), ("x", "value", "b")]
        assert from_wide(wide, raters=["ann"]).rows() == [("x", "ann", "a")]


class TestAColumnNamedQuestion:
    @pytest.mark.parametrize(("role", "name"), [("item", "item_id"), ("rater", "annotator_id"), ("value", "value")])
    def test_it_may_play_a_role(self, role: str, name: str) -> None:
        named: dict[str, Any] = {role: "question"}
        frame = FRAME.rename({name: "question"})
        for data in (frame, frame.lazy(), frame.to_pandas()):
            found = percent_agreement(data, ci=None, **named)
            assert isinstance(found, Estimate)
            assert found.value == 0.5

    def test_as_value_it_tells_no_repeats_apart(self) -> None:
        rows = [("x", "ann", "no"), ("x", "ann", "yes")]
        frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "question"], orient="row")
        assert without_repeats(frame, value="question").frame.rows() == rows[:1]

    def test_lists_are_no_questions(self) -> None:
        message = refused(FRAME.with_columns(question=pl.concat_list("value")))
        assert message.startswith('the column "question" must hold one text per row; found List(String)')


class TestSeedsAndDraws:
    @pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
    def test_a_seed_is_a_whole_number(self, seed: Any) -> None:
        with pytest.raises(ValueError, match=r"^estimate: seed must be a whole number of at least 0, found ") as caught:
            percent_agreement(FRAME, seed=seed)
        assert one_line(caught.value).endswith(repr(seed))

    @pytest.mark.parametrize("n_boot", [10.5, "10", None])
    def test_draws_are_a_whole_number(self, n_boot: Any) -> None:
        with pytest.raises(ValueError, match=r"^estimate: n_boot must be a whole number of at least 1, found "):
            estimate("mean", collapse([[1], [0]]), lambda sums: sums[:, 0] / 2, n_boot=n_boot)


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        ("plain é 漢 ✅", "plain é 漢 ✅"),
        ("a\r\n b\u00a0\tc", "a b c"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gpj.\u202eexe\x9b\x00", r"gpj.\u202eexe\x9b\x00"),
        ("half \ud800", r"half \ud800"),
        ("x" * 70, "x" * 60),
        (2.5, "2.5"),
    ],
)
def test_data_cannot_steer_a_terminal(thing: object, line: str) -> None:
    assert shown(thing) == line


def test_nor_through_an_error_message() -> None:
    rows = [("x\x1b[31m", "ann\u202e", "no\x07"), ("x\x1b[31m", "ann\u202e", "yes")]
    assert r'item "x\x1b[31m", rater "ann\u202e": no\x07, yes' in refused(rows)
    assert r"found ('x\x1b[31m',)" in refused([("x\x1b[31m",)])
