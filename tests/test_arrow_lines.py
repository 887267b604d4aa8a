"""Large JSON-lines files: the quick reader gives what the line-by-line reader gives, or steps aside."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dfar_toolkit import tabular
from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular.arrow_lines import arrow_lines
from dfar_toolkit.tabular.json_rows import json_lines, rows_frame

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=5), st.sampled_from(["2024-01-01", "=1+1", "__proto__"]),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS, st.lists(st.floats(0, 1), max_size=3), st.fixed_dictionaries({"yes": st.floats(0, 1), "no": st.none()})
)


@settings(max_examples=150)
@given(
    st.lists(st.dictionaries(st.sampled_from(["item_id", "label", "p"]), VALUES, min_size=1), min_size=1, max_size=4)
)
def test_it_gives_the_same_rows_or_steps_aside(rows: list[dict[str, object]]) -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    quick = arrow_lines(text.encode())
    if quick is not None:
        assert_frame_equal(quick, rows_frame(list(json_lines(text))))


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', '{"a":1}\n{"a":"x"}', '{"a":"2024-01-01"}', '{"a":1} {"a":2}', '{"a":{}}', '{"a":"\\ud800"}',
     '{"a":9007199254740995}\n{"a":1.5}', "[1]", '{"a":1}\n{"a":', '{"a":1e400}', '{"a":true}\n{"a":1}',
     'null\n{"a":1}', '{"a":1}\n null', '{"a":[null,1.5]}\n{"a":[2.5]}'],
)  # fmt: skip
def test_what_only_the_other_reader_can_say_is_left_to_it(text: str) -> None:
    assert arrow_lines(text.encode()) is None


def test_plain_outputs_are_read_quickly_with_blank_lines_and_nulls() -> None:
    text = '{"item_id": "a", "p": {"yes": 1, "no": 0.5}}\n\n \n{"item_id": "b", "p": null, "q": []}\n'
    quick = arrow_lines(text.encode())
    assert quick is not None
    assert_frame_equal(quick, rows_frame(list(json_lines(text))))


def test_a_large_file_comes_through_it_and_a_damaged_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "o.jsonl"
    pl.DataFrame({"item_id": [f"i{k}" for k in range(30_000)], "label_probs": [[0.25, 0.75]] * 30_000}).write_ndjson(
        path
    )
    monkeypatch.setattr(tabular, "rows_frame", None)
    assert tabular.read_table(path).shape == (30_000, 2)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TableError, match=r"line 30000, column \d+: not valid JSON"):
        tabular.read_table(path)
