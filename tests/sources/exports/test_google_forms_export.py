from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports import ExportSettings, google_forms
from dfar_toolkit.sources.layout import SourceTables

OPTIONS = ("ethical", "unethical")
HEADER = ["Timestamp", "Email Address", "Age", "I kept the change.", "Why?", "I lied, to a friend.", "Why? Say more."]
ROWS = [
    ["5/1/2024 9:00:00", "a@x.org", "31", "unethical", "Not mine,\nI think.", "ethical", ""],
    ["5/1/2024 9:05:00", "b@x.org", "40", "ethical", "", "", "Cannot say."],
    ["5/2/2024 8:00:00", "a@x.org", "32", "ethical", "Changed my mind.", "", ""],
]


def _read(folder: Path, header: list[str], rows: list[list[str]], **asked: Any) -> SourceTables:
    path = folder / "form.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return google_forms.read(path, settings=ExportSettings(name="own", **{"options": OPTIONS, **asked}))


def test_statements_with_their_reasons_and_headers_that_repeat(tmp_path: Path) -> None:
    header = [*HEADER[:6], "Why?"]
    tables = _read(tmp_path, header, ROWS, raters=("Age",))
    assert tables.items.select("item_id", "statement").rows() == [
        ("own:train:00000", "I kept the change."),
        ("own:train:00001", "I lied, to a friend."),
    ]
    rows = tables.annotations.select("item_id", "annotator_id", "value", "reason", "occasion", "at").rows()
    assert rows == [
        ("own:train:00000", "own:a@x.org", "unethical", "Not mine,\nI think.", 0, "5/1/2024 9:00:00"),
        ("own:train:00000", "own:a@x.org", "ethical", "Changed my mind.", 1, "5/2/2024 8:00:00"),
        ("own:train:00000", "own:b@x.org", "ethical", None, 0, "5/1/2024 9:05:00"),
        ("own:train:00001", "own:a@x.org", "ethical", None, 0, "5/1/2024 9:00:00"),
    ]
    assert [(drop.reason, drop.count) for drop in tables.dropped] == [("no answer is given, a reason is", 1)]
    assert tables.raters.select("annotator_id", "age").rows() == [("own:a@x.org", ""), ("own:b@x.org", "40")]
    assert 'gave several answers to "Age"' in tables.repairs[0]
    assert tables.files[0].rows == 3


def test_the_order_of_statements_is_the_order_of_columns_whatever_else_moves(tmp_path: Path) -> None:
    order = [3, 4, 5, 6, 2, 1, 0]
    tables = _read(tmp_path, [HEADER[k] for k in order], [[row[k] for k in order] for row in ROWS], raters=("Age",))
    again = _read(tmp_path, HEADER, ROWS, raters=("Age",))
    assert tables.annotations.equals(again.annotations)


def test_statements_inside_brackets_and_before_them(tmp_path: Path) -> None:
    rows = [["t", "ethical", "unethical", "ethical"]]
    header = ["Timestamp", "How is it? [I lied.]", "How is it? [I stole.]", "I ran [label]"]
    tables = _read(tmp_path, header, rows)
    assert tables.items["statement"].to_list() == ["I lied.", "I stole.", "I ran"]
    tables = _read(tmp_path, ["Timestamp", "I lied [to him].", "I ran [fast]", "I stole"], rows)
    assert tables.items["statement"].to_list() == ["I lied [to him].", "I ran [fast]", "I stole"]
    assert tables.annotations["annotator_id"].unique().to_list() == ["own:unknown"]


def test_checkboxes_are_a_set_and_values_may_have_other_names(tmp_path: Path) -> None:
    labels = {"Yes": "unethical", "No": "ethical"}
    tables = _read(tmp_path, ["Timestamp", "I lied."], [["t", "Yes, No"], ["t", "No;Yes"]], kind="set", labels=labels)
    assert tables.annotations["value"].to_list() == ["unethical", "ethical", "ethical", "unethical"]
    assert tables.annotations["rating_id"].n_unique() == 2


def test_a_column_that_nobody_filled_in_is_counted(tmp_path: Path) -> None:
    tables = _read(tmp_path, ["Timestamp", "I lied.", "Anything else"], [["t", "ethical", ""]])
    assert tables.items.height == 1
    assert [(drop.reason, drop.examples) for drop in tables.dropped] == [
        ("nobody filled in the column", ("Anything else",))
    ]


@pytest.mark.parametrize(
    ("header", "row", "asked", "said"),
    [
        (["Timestamp", "I lied."], ["t", "ethical"], {"options": ()}, "wanted the options of the answers"),
        (HEADER, ROWS[0], {}, 'the column "Age" holds none of the options'),
        (["I lied.", "Sure?"], ["ethical", "very"], {}, 'the column "Sure?" holds none of the options'),
        (HEADER, ROWS[0], {"raters": ("Agee",)}, 'wanted the columns "Agee" about the person'),
        (["Timestamp", "Age"], ["t", "3"], {"raters": ("Age",)}, "wanted a column per statement"),
        (["Timestamp;I lied."], ["t;ethical"], {}, "wanted several columns separated by commas"),
        (["I lied.", "I ran."], ["ethical"], {}, "line 2 has 1 cells, the header has 2"),
        (["I lied.", "I ran."], ["ethical", "x"], {"annotator": "Who"}, 'wanted the person in "Who"; found none'),
    ],
)
def test_columns_that_may_be_anything(
    tmp_path: Path, header: list[str], row: list[str], asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(SourceError) as caught:
        _read(tmp_path, header, [row], **asked)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mixture_of_options_and_other_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r'holds options \(.*\) and other cells \("maybe"\): complete the options'):
        _read(tmp_path, ["Timestamp", "I lied."], [["t", "ethical"], ["t", "maybe"]])


def test_windows_letters_and_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "form.csv"
    path.write_bytes("Timestamp,Ich log.\nt,schön\n".encode("cp1252"))
    with pytest.raises(SourceError, match="iconv -f WINDOWS-1252"):
        google_forms.read(path, settings=ExportSettings(options=OPTIONS))
    with pytest.raises(SourceError, match="there is no such folder"):
        google_forms.read(tmp_path / "nothing")
