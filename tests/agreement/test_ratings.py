"""What goes in: every kind of frame, missing values, and each refusal in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest

from dfar_toolkit.agreement import agreement_table, from_wide, krippendorff_alpha, percent_agreement
from dfar_toolkit.errors import TableError

ROWS = [("x", "ann", "no"), ("x", "bob", "no"), ("y", "ann", "no"), ("y", "bob", "yes"), ("z", "ann", "yes")]
FRAME = pl.DataFrame(ROWS, schema=["item_id", "annotator_id", "value"], orient="row")


def refused(rows: Any, **how: Any) -> str:
    with pytest.raises(TableError) as caught:
        percent_agreement(rows, **how)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_one_number_from_every_container() -> None:
    def stream() -> Iterator[tuple[str, str, str]]:
        yield from ROWS

    categorical = FRAME.with_columns(pl.all().cast(pl.Categorical))
    enum = FRAME.with_columns(pl.col("value").cast(pl.Enum(["yes", "no", "unused"])))
    frames = (FRAME, FRAME.lazy(), FRAME.to_pandas(), FRAME.to_arrow(), nw.from_native(FRAME), categorical, enum)
    for data in (*frames, ROWS, [list(row) for row in ROWS], stream()):
        found = percent_agreement(data, ci=None)
        assert (found.value, found.n) == (0.5, 2)


def test_pandas_with_missing_text() -> None:
    frame = pd.DataFrame({"item_id": list("xxyy"), "annotator_id": list("abab"), "value": ["no", "no", None, "yes"]})
    assert percent_agreement(frame, ci=None).n == 1


def test_only_what_is_needed_is_converted() -> None:
    class Odd:
        """Something no other library can hold."""

    frame = FRAME.to_pandas().assign(odd=[Odd()] * len(ROWS))
    assert percent_agreement(frame, ci=None).value == 0.5
    assert percent_agreement(nw.from_native(FRAME.lazy()), ci=None).value == 0.5
    assert 'found "item_id", "annotator_id", "value"; name another' in refused(FRAME.to_pandas(), item="unit")


def test_columns_by_other_names() -> None:
    renamed = FRAME.rename({"item_id": "unit", "annotator_id": "coder", "value": "code"})
    assert percent_agreement(renamed, item="unit", rater="coder", value="code", ci=None).value == 0.5
    assert 'needs the column "item_id" (item); found "unit", "coder", "code"; name another' in refused(renamed)
    assert 'needs the column "context" (group)' in refused(FRAME, group="context")
    assert 'needs the column "lang" (by)' in refused(FRAME, by=["lang"])


def test_missing_values_are_missing_and_nan_is_counted() -> None:
    rows = [("x", "a", 1.0), ("x", "b", 1.0), ("y", "a", 2.0), ("y", "b", float("nan")), ("y", "c", None)]
    found = krippendorff_alpha(rows, ci=None)
    assert found.n == 1
    assert "1 NaN value taken as missing" in found.note


def test_booleans_dates_and_minus_zero() -> None:
    assert percent_agreement([("x", "a", True), ("x", "b", True), ("y", "a", False), ("y", "b", True)]).value == 0.5
    assert percent_agreement([("x", "a", 0.0), ("x", "b", -0.0)], ci=None).value == 1.0
    dated = FRAME.with_columns(pl.lit("2020-01-01").str.to_date().alias("value"))
    assert percent_agreement(dated, ci=None).value == 1.0


def test_several_questions_are_refused_unless_they_are_slices() -> None:
    asked = pl.concat([FRAME.with_columns(question=pl.lit(q)) for q in ("harm", "tone")])
    assert 'one question; the ratings hold 2 ("harm", "tone"); filter to one question' in refused(asked)
    sliced = percent_agreement(asked, by="question", ci=None)
    assert sliced.select("question", "value").rows() == [("harm", 0.5), ("tone", 0.5)]
    one = asked.filter(question="harm")
    assert percent_agreement(one, ci=None).value == 0.5


def test_null_ids_are_refused() -> None:
    assert '"item_id" must name one on every row with a value; found 1 nulls' in refused([*ROWS, (None, "ann", "no")])
    assert '"annotator_id" must name one' in refused([*ROWS, ("q", None, "no")])
    assert percent_agreement([*ROWS, (None, None, None)], ci=None).value == 0.5  # no value, no rating
    grouped = FRAME.with_columns(pl.when(item_id="z").then(None).otherwise(pl.lit("g")).alias("g"))
    assert '"g" must name one on every row with a value; found 1 nulls' in refused(grouped, group="g")


def test_nested_values_and_mixed_types_are_refused() -> None:
    assert "must hold one text or number per row; found List" in refused(
        FRAME.with_columns(pl.concat_list("value").alias("value"))
    )
    assert 'the column "value" must hold one type; found int, str' in refused([("x", "a", 1), ("x", "b", "one")])
    mixed = pd.DataFrame({"item_id": ["x", "x"], "annotator_id": ["a", "b"], "value": [1, "one"]})
    assert "give each column one type" in refused(mixed)
    assert "must be a triple (item, rater, value); found ('x', 'a')" in refused([("x", "a")])
    assert "must be a triple" in refused(["abc"])


@pytest.mark.parametrize("wrong", ["ratings.csv", 7, {"item_id": [1]}, None])
def test_what_is_no_data_is_a_wrong_argument(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^agreement: ratings must be a frame or \(item, rater, value\) triples"):
        percent_agreement(wrong)


def test_unknown_annotators() -> None:
    alone = [("x", "dfar:unknown", "no"), ("y", "dfar:unknown", "yes")]
    assert 'every rating is by an unknown annotator ("dfar:unknown")' in refused(alone)
    assert "every rating is by an unknown annotator" in refused([("x", "unknown", 1), ("y", "b:unknown", 1)])
    twice = [*ROWS, ("x", "dfar:unknown", "no"), ("x", "dfar:unknown", "yes")]
    assert 'unknown annotator has more than one rating on an item, 1 time (e.g. item "x"' in refused(twice)
    once = [*ROWS, ("x", "dfar:unknown", "no")]
    assert percent_agreement(once, ci=None).n == 2


def test_ids_of_other_types() -> None:
    rows = [(1, True, "no"), (1, False, "no"), (2, True, "no"), (2, False, "yes")]
    assert percent_agreement(rows, ci=None).value == 0.5
    floats = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row").cast({"item_id": pl.Float64})
    assert percent_agreement(floats, ci=None).value == 0.5
    assert "must hold one id per row; found List" in refused(
        floats.with_columns(pl.concat_list("item_id").alias("item_id"))
    )


def test_hostile_ids_stay_on_one_line() -> None:
    rows = [("a\nb", "x\r\ny", "v\n1"), ("a\nb", "x\r\ny", "v\n2")]
    assert 'item "a b", rater "x y": v 1, v 2' in refused(rows)


def test_a_csv_file_is_scanned(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "ratings.csv")
    assert percent_agreement(pl.scan_csv(tmp_path / "ratings.csv"), ci=None).value == 0.5


def test_by_columns_keep_their_types_and_order() -> None:
    frame = FRAME.with_columns(lang=pl.Series(["b", "b", "a", "a", None], dtype=pl.Categorical), year=pl.lit(2020))
    found = percent_agreement(frame, by=["lang", "year"], ci=None)
    assert found.columns[:3] == ["lang", "year", "name"]
    assert found.schema["lang"] == frame.schema["lang"]
    values = dict(zip(found["lang"].cast(pl.String).to_list(), found["value"].to_list(), strict=True))
    assert (values["a"], values["b"]) == (0.0, 1.0)
    assert np.isnan(values[None])


def test_by_must_not_clash_with_the_result() -> None:
    frame = FRAME.with_columns(note=pl.lit("x"), level=pl.lit("x"))
    with pytest.raises(ValueError, match='by cannot be "note"'):
        percent_agreement(frame, by="note")
    with pytest.raises(ValueError, match='by cannot be "level"'):
        agreement_table(frame, by="level")


def test_no_rows_with_by() -> None:
    found = percent_agreement(FRAME.with_columns(part=pl.lit(1)).head(0), by="part")
    assert found.columns[0] == "part"
    assert len(found) == 0


def test_wide_to_long() -> None:
    wide = pl.DataFrame({"item_id": ["x", "y"], "ann": ["no", "no"], "bob": ["no", None], "lang": ["en", "en"]})
    rows = from_wide(wide, raters=["ann", "bob"])
    assert rows.columns == ["item_id", "annotator_id", "value"]
    assert len(rows) == 4
    assert percent_agreement(rows, ci=None).n == 1
    assert from_wide(wide.drop("lang").to_pandas()).columns == rows.columns
    with pytest.raises(TableError, match='needs the column "id"'):
        from_wide(wide, item="id")
    with pytest.raises(TableError, match='needs the column "cyd"'):
        from_wide(wide, raters=["cyd"])
    with pytest.raises(TableError, match="all text or all numbers"):
        from_wide(wide.with_columns(bob=pl.lit(1)))


def test_arguments_of_the_interval_are_checked() -> None:
    with pytest.raises(ValueError, match="confidence"):
        percent_agreement(ROWS, confidence=95)
    with pytest.raises(ValueError, match="has no interval 'normal'; use bootstrap, jackknife or analytic"):
        percent_agreement(ROWS, ci="normal")  # type: ignore[arg-type]


def test_wide_as_plain_lists() -> None:
    columns = {"item_id": ["x", "y"], "ann": [1, None], "bob": [2, 3]}
    rows = [{"item_id": "x", "ann": 1, "bob": 2}, {"item_id": "y", "ann": None, "bob": 3}]
    expected = from_wide(pl.DataFrame(columns)).sort("item_id", "annotator_id").rows()
    for form in (columns, rows):
        assert from_wide(form).sort("item_id", "annotator_id").rows() == expected
