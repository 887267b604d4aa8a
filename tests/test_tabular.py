from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError, TableError
from dfar_toolkit.tabular import nearest, quoted, read_json, read_table


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _message(path: Path, **options: object) -> str:
    with pytest.raises(TableError) as caught:
        read_table(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# Reading what is sound


def test_cells_are_text_and_only_an_empty_cell_without_quotes_is_null(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", 'id,label,reason\n007,1.0,\n8,TRUE,""\n')
    frame = read_table(path)
    assert set(frame.dtypes) == {pl.String}
    assert frame.rows() == [("007", "1.0", None), ("8", "TRUE", "")]


def test_byte_order_mark_windows_lines_quoted_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n2,"say ""no"""')
    assert read_table(path).rows() == [("1", "x\r\ny"), ("2", 'say "no"')]
    assert read_table(path).columns == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "separator", "mark"), [("a.tsv", None, "\t"), ("a.txt", ";", ";"), ("a.csv", "\\t", "\t")]
)
def test_separators(tmp_path: Path, name: str, separator: str | None, mark: str) -> None:
    path = _file(tmp_path, name, f"a{mark}b\n1,5{mark}2\n")
    assert read_table(path, separator=separator).rows() == [("1,5", "2")]


def test_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    frame = read_table(_file(tmp_path, "a.csv", "a,b"), columns=["b"])
    assert frame.shape == (0, 2)
    assert frame.dtypes == [pl.String, pl.String]


def test_a_stray_quote_inside_a_cell_is_text(tmp_path: Path) -> None:
    assert read_table(_file(tmp_path, "a.csv", 'a,b\n5" nail,x\n')).rows() == [('5" nail', "x")]


def test_a_single_column_whose_name_holds_a_delimiter_in_quotes(tmp_path: Path) -> None:
    assert read_table(_file(tmp_path, "a.csv", '"a;b"\n1\n')).columns == ["a;b"]


def test_json_lines_keep_nested_values_and_fill_absent_keys(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "probs": {"no": 0.5}, "tags": []}',
        "",
        '{"id": "b", "probs": {"yes": 1}, "n": 3, "tags": [{"k": [1]}]}',
    ]
    frame = read_table(_file(tmp_path, "a.jsonl", "\ufeff" + "\n".join(lines)))
    assert frame.to_dicts() == [
        {"id": "a", "probs": {"no": 0.5, "yes": None}, "tags": [], "n": None},
        {"id": "b", "probs": {"no": None, "yes": 1.0}, "tags": [{"k": [1]}], "n": 3},
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "a", None, 2.5], ["1", "a", None, "2.5"]),
        ([True, 1], ["true", "1"]),
        ([[1, "a"], {"b": 1}], ['[1, "a"]', '{"b": 1}']),
        ([2**70, 1], [str(2**70), "1"]),
        ([2**60 + 1, 0.5], [str(2**60 + 1), "0.5"]),
        ([{}, {}], ["{}", "{}"]),
        ([[1], ["é"]], ["[1]", '["é"]']),
    ],
)
def test_values_that_no_type_holds_become_text_and_none_is_lost(
    tmp_path: Path, values: list[object], texts: list[str | None]
) -> None:
    lines = "\n".join(json.dumps({"v": value}) for value in values)
    assert read_table(_file(tmp_path, "a.ndjson", lines))["v"].to_list() == texts


def test_json_list_and_parquet(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": [0.5]}, {"a": 2, "b": None}]
    frame = read_table(_file(tmp_path, "a.json", json.dumps(rows)), columns=["a"])
    assert frame.to_dicts() == rows
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", columns=["b"]).equals(frame)


_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


@given(st.lists(st.tuples(_CELL, _CELL, _CELL), max_size=8), st.sampled_from(["\r\n", "\n"]), st.sampled_from(",;\t|"))
def test_what_the_csv_module_writes_is_read_back_equal(rows: list[tuple[str, ...]], line: str, mark: str) -> None:
    made = io.StringIO(newline="")
    csv.writer(made, delimiter=mark, lineterminator=line, quoting=csv.QUOTE_ALL).writerows([("x", "y", "z"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = _file(Path(folder), "a.csv", made.getvalue())
        assert read_table(path, separator=mark).rows() == rows


@given(st.lists(st.tuples(_CELL, _CELL), max_size=8))
def test_minimal_quoting_is_read_back_equal_up_to_empty_cells(rows: list[tuple[str, ...]]) -> None:
    made = io.StringIO(newline="")
    csv.writer(made).writerows([("x", "y"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        found = read_table(_file(Path(folder), "a.csv", made.getvalue())).rows()
    assert found == [tuple(cell or None for cell in row) for row in rows]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | _CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_CELL, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _JSON, max_size=3), min_size=1, max_size=5))
def test_no_json_value_is_silently_nulled(rows: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frame = read_table(_file(Path(folder), "a.jsonl", "\n".join(json.dumps(row) for row in rows)))
    for name in {key for row in rows for key in row}:
        nulls = [row.get(name) is None for row in rows]
        assert frame[name].is_null().to_list() == nulls


# Refusing what is not, each in one line


def test_missing_folder_ending(tmp_path: Path) -> None:
    assert _message(tmp_path / "no.csv") == "there is no such file."
    assert "this is a folder; wanted a file ending in .csv" in _message(tmp_path)
    assert 'the ending ".xlsx" names no format' in _message(_file(tmp_path, "a.xlsx", "a"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\n"])
def test_empty_file(tmp_path: Path, name: str, content: bytes) -> None:
    assert _message(_file(tmp_path, name, content)) == "the file is empty."


def test_missing_column_names_the_found_and_the_nearest(tmp_path: Path) -> None:
    message = _message(_file(tmp_path, "a.csv", "Statement,Lable\nx,1\n"), columns=["Statement", "Label", "Reason"])
    assert message == 'wanted the columns "Label", "Reason"; found "Statement", "Lable". Is it "Lable"?'
    assert 'Is it "LABEL"?' in _message(_file(tmp_path, "b.csv", "id,LABEL\n"), columns=["label"])


@pytest.mark.parametrize(
    ("mark", "shown", "option"), [(";", '";"', "';'"), ("\t", "a tab", "'\\t'"), ("|", '"|"', "'|'")]
)
def test_wrong_delimiter_says_which_to_give(tmp_path: Path, mark: str, shown: str, option: str) -> None:
    path = _file(tmp_path, "a.csv", f"id{mark}label\n1{mark}2\n")
    for columns in ([], ["label"]):
        message = _message(path, columns=columns)
        mend = f"give --separator {option} (when building: --column separator={option}), or save it with "
        assert f"it contains {shown}: {mend}" in message
    assert read_table(path, separator=option.strip("'")).rows() == [("1", "2")]


def test_ragged_lines_name_the_line(tmp_path: Path) -> None:
    short = _message(_file(tmp_path, "a.csv", 'a,b\n"1\n1",2\n\n3\n4,5\n'))
    assert short == 'line 5 has 1 cells, the header has 2 ("3").'
    assert "line 2 has 3 cells" in _message(_file(tmp_path, "b.csv", "a,b\n1,2,3\n"))


@pytest.mark.parametrize("rest", ['"x\n4,5\n', '"x\n4,5', '"', '"\n', '"x""', '"x\n5"",6\n7,8'])
def test_a_quote_that_is_never_closed(tmp_path: Path, rest: str) -> None:
    message = _message(_file(tmp_path, "a.csv", f"a,b\n1,2\n3,{rest}"))
    assert message == "a quote in the row that begins on line 3 is never closed."


def test_an_open_quote_after_a_stray_one_or_in_the_header(tmp_path: Path) -> None:
    assert "begins on line 3 is never closed" in _message(_file(tmp_path, "a.csv", 'a,b\n5" nail,6\n7,"8'))
    assert "begins on line 1 is never closed" in _message(_file(tmp_path, "a.csv", 'a,"b\n1,2\n'))


def test_a_last_cell_that_ends_with_a_line_break(tmp_path: Path) -> None:
    assert read_table(_file(tmp_path, "a.csv", 'a,b\n3,"x\n"\n')).rows() == [("3", "x\n")]


def test_header_with_a_name_twice(tmp_path: Path) -> None:
    assert 'the header has the column "a" more than once' in _message(_file(tmp_path, "a.csv", "a,b,a\n1,2,3\n"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_invalid_utf8_names_byte_and_line(tmp_path: Path, name: str) -> None:
    message = _message(_file(tmp_path, name, b"a,b\n1,caf\xe9\n"))
    assert "invalid UTF-8: byte 0xe9 at offset 9 (line 2)" in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message


def test_a_zero_byte_in_the_header(tmp_path: Path) -> None:
    assert "holds a zero byte" in _message(_file(tmp_path, "a.csv", b"a\0b,c\n1,2\n"))


def test_invalid_utf8_far_into_the_file_and_utf16(tmp_path: Path) -> None:
    far = b"a\n" + b"x\n" * (1 << 19) + b"\xc3\n"
    assert f"byte 0xc3 at offset {2 + (1 << 20)} (line {2 + (1 << 19)})" in _message(_file(tmp_path, "a.csv", far))
    straddling = b"a\n" + b"x" * ((1 << 20) - 3) + "é\n".encode()
    assert read_table(_file(tmp_path, "b.csv", straddling)).height == 1
    assert "this is UTF-16" in _message(_file(tmp_path, "c.csv", "a,b\n".encode("utf-16")))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a": 1', "line 3, column 8: not valid JSON"),
        ("[1]", "line 3: wanted one JSON object per line, found a list."),
        ('"x"', "found a text"),
        ("3", "found a number"),
        ("true", "found true or false"),
        ('{"a": 1, "a": 2}', 'line 3: the key "a" stands twice in one object.'),
        ("[" * 100_000, "line 3: nested too deeply"),
        ('{"a": "\\ud800"}', 'entry 2: the key "a" holds a text with half a surrogate pair'),
    ],
)
def test_broken_json_lines_name_the_line(tmp_path: Path, line: str, said: str) -> None:
    assert said in _message(_file(tmp_path, "a.jsonl", f'{{"a": "0"}}\n\n{line}\n'))


def test_broken_json_and_parquet(tmp_path: Path) -> None:
    assert "wanted a list of objects, found an object" in _message(_file(tmp_path, "a.json", "{}"))
    assert "entry 2 of the list: wanted an object, found null" in _message(_file(tmp_path, "b.json", "[{}, null]"))
    assert "this is not a Parquet file" in _message(_file(tmp_path, "a.parquet", "a,b\n"))


def test_the_error_class_and_a_bad_separator(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_table(tmp_path / "no.csv", error=SourceError)
    with pytest.raises(ValueError, match="read_table: separator must be one character"):
        read_table(tmp_path / "no.csv", separator=", ")


# Whole JSON documents


def test_trailing_commas_are_the_only_repair(tmp_path: Path) -> None:
    text = '{"a": "x,}", "b": [1, 2,\n ], "c": {"d": ",]",\t},}'
    path = _file(tmp_path, "m.json", text)
    assert read_json(path, repair=True) == (
        {"a": "x,}", "b": [1, 2], "c": {"d": ",]"}},
        ("m.json: removed 3 trailing commas",),
    )
    with pytest.raises(TableError, match=r"line \d+, column \d+: not valid JSON .* damage is 3 trailing commas"):
        read_json(path)


@pytest.mark.parametrize("text", ["[,]", "[1,,]", "{,}", '{"a":,}', "[1,]]", "{'a': 1,}", '{"a": "x}', "[1 2,]"])
def test_other_damage_is_never_repaired(tmp_path: Path, text: str) -> None:
    with pytest.raises(TableError, match=r"m.json: line 1, column \d+: not valid JSON \("):
        read_json(_file(tmp_path, "m.json", text), repair=True)


def test_a_key_twice_in_a_document(tmp_path: Path) -> None:
    with pytest.raises(TableError, match='the key "a" stands twice'):
        read_json(_file(tmp_path, "m.json", '{"a": 1, "a": 1}'))
    with pytest.raises(TableError, match="not valid JSON"):
        read_json(_file(tmp_path, "m.json", '{"a": 1, "a": 1,}'), repair=True)


def test_a_sound_document_has_no_repairs(tmp_path: Path) -> None:
    assert read_json(_file(tmp_path, "m.json", "\ufeff[1]"), repair=True) == ([1], ())


def test_words_for_messages() -> None:
    assert quoted(range(14), most=2) == '"0", "1" and 12 more'
    assert quoted([]) == "none"
    assert nearest("zzz", ["label"]) == ""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "id,,y\n1,2,3\n", "names no column 2 of 3"),
        ("a.jsonl", '{"id": ' + "9" * 5000 + "}\n", "too many digits"),
    ],
)
def test_what_cannot_be_named_or_read(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_table(_file(tmp_path, name, text))
