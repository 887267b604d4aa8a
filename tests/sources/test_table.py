from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import dfar_toolkit
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import mapping_from_yaml, read_source, table
from dfar_toolkit.sources.mapping import Mapping

LONG = Mapping(
    name="set",
    id="no",
    statement="text",
    split="part",
    stem="stem",
    annotator="who",
    label="label",
    reason="why",
    question="ethical",
    options=("ethical", "unethical"),
    labels={"0": "ethical", "1": "unethical"},
)
ROWS = """\ufeffno,part,stem,text,who,label,why,note\r
s1,train,p1,"I read her ""diary"", once.",b,0,Open book.,x\r
s1,train,p1,"I read her ""diary"", once.",a,unethical,"Not mine,\nnot yours.",\r
s2,test,,I left.,a, 1 ,,\r
s2,test,,I left.,,0,  ,\r
s2,test,,I left.,b,,I cannot say.,\r
s3,test,,I ran.,b,,,\r
s4,test,, ,b,0,Empty.,\r
"""


def _raw(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def _refused(raw: Path, mapping: Mapping) -> str:
    with pytest.raises(SourceError) as caught:
        table.read(raw, mapping=mapping)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_long_table_ids_ratings_and_an_account_of_every_row(tmp_path: Path) -> None:
    tables = read_source("table", _raw(tmp_path, ROWS), mapping=LONG)
    assert tables.items.select("item_id", "source", "split", "statement", "stem").rows() == [
        ("set:train:s1", "set", "train", 'I read her "diary", once.', "p1"),
        ("set:test:s2", "set", "test", "I left.", None),
        ("set:test:s3", "set", "test", "I ran.", None),
    ]
    assert tables.annotations.select("item_id", "annotator_id", "rating_id", "value", "reason").rows() == [
        ("set:train:s1", "set:b", "set:train:s1#1", "ethical", "Open book."),
        ("set:train:s1", "set:a", "set:train:s1#2", "unethical", "Not mine,\nnot yours."),
        ("set:test:s2", "set:a", "set:test:s2#1", "unethical", None),
        ("set:test:s2", "set:unknown", "set:test:s2#2", "ethical", None),
    ]
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("the statement is empty", 1, ("set:test:s4",)),
        ("the label is empty, a reason is given", 1, ("set:test:s2",)),
        ("label and reason are empty", 1, ("set:test:s3",)),
    ]
    assert tables.files[0].rows == tables.annotations.height + sum(d.count for d in tables.dropped)
    assert tables.repairs == (
        "1 ratings name no annotator: they are set:unknown",
        'a.csv: columns that are not mapped are left out: "note"',
    )
    assert tables.raters["annotator_id"].to_list() == ["set:a", "set:b", "set:unknown"]
    assert tables.questions.row(0) == ("ethical", "nominal", ["ethical", "unethical"], "")
    assert tables.info.notes == ("Published values of ethical: 0 = ethical, 1 = unethical.",)


def test_a_file_per_split_without_ids_and_without_annotators(tmp_path: Path) -> None:
    _raw(tmp_path, "statement;y\nI ran.;no\nI hid.;yes\n", "a.csv")
    _raw(tmp_path, "statement;y\nI sat.;no\n", "b.csv")
    mapping = Mapping(
        name="s", files={"train": "a.csv", "test": "b.csv"}, separator=";", label="y", options=("no", "yes")
    )
    tables = table.read(tmp_path, mapping=mapping)
    assert tables.items["item_id"].to_list() == ["s:train:00000", "s:train:00001", "s:test:00000"]
    assert tables.raters["annotator_id"].to_list() == ["s:unknown"]
    assert tables.repairs == ()


def test_one_table_as_csv_tsv_jsonl_and_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    frame = pl.DataFrame({"statement": ["I ran.", "I ran."], "id": [7, 7], "y": [1, 0], "who": ["a", "b"]})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_ndjson(tmp_path / "a.jsonl")
    frame.write_parquet(tmp_path / "a.parquet")
    mapping = Mapping(name="s", id="id", label="y", annotator="who", labels={"0": "no", "1": "yes"}, fixed_split="dev")
    read = [table.read(tmp_path / f"a.{end}", mapping=mapping) for end in ("csv", "tsv", "jsonl", "parquet")]
    assert all(t.annotations.equals(read[0].annotations) and t.items.equals(read[0].items) for t in read)
    assert read[0].annotations.select("item_id", "value").rows() == [("s:dev:7", "yes"), ("s:dev:7", "no")]
    assert read[0].questions["options"].to_list() == [["no", "yes"]]


def test_contexts_leave_empty_cells_out_and_give_the_context_key(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "statement,before,after,y\nYes.,Really?,,no\nNo.,,,no\n")
    mapping = Mapping(name="s", context=("before", "after"), label="y", options=("no",))
    items = table.read(raw, mapping=mapping).items
    assert items["context"].to_list() == [[{"field": "before", "role": "", "text": "Really?"}], []]
    assert items["context_key"].to_list() == ["Really?", None]
    keyed = table.read(raw, mapping=replace(mapping, context_key="before")).items
    assert keyed["context_key"].to_list() == ["Really?", None]


def test_wide_by_pattern_and_one_by_one(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "id,statement,l_ann,r_ann,l_bo\n1,I ran.,yes,Fast.,no\n2,I hid.,,Why?,yes\n")
    pattern = Mapping(
        name="w", layout="wide", id="id", wide_label="l_{annotator}", wide_reason="r_{annotator}", options=("no", "yes")
    )
    single = replace(
        pattern, wide_label=None, wide_reason=None, wide_raters={"ann": ("l_ann", "r_ann"), "bo": ("l_bo", "")}
    )
    for mapping in (pattern, single):
        tables = table.read(raw, mapping=mapping)
        assert tables.items["item_id"].to_list() == ["w:train:1", "w:train:2"]
        assert tables.annotations.select("annotator_id", "rating_id", "value", "reason").rows() == [
            ("w:ann", "w:train:1#1", "yes", "Fast."),
            ("w:bo", "w:train:1#2", "no", None),
            ("w:bo", "w:train:2#1", "yes", None),
        ]
        assert [(d.reason, d.count) for d in tables.dropped] == [("the label is empty, a reason is given", 1)]
        assert tables.files[0].rows == 2


def test_ordinal_interval_and_sets(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "statement,y\na,2\nb,10\n")
    numbers = Mapping(name="s", label="y", kind="ordinal", options=("2", "5", "10"))
    assert table.read(raw, mapping=numbers).annotations["value_num"].to_list() == [2.0, 10.0]
    places = replace(numbers, options=("low", "high"), labels={"2": "low", "10": "high"})
    assert table.read(raw, mapping=places).annotations["value_num"].to_list() == [1.0, 2.0]
    interval = Mapping(name="s", label="y", kind="interval")
    tables = table.read(raw, mapping=interval)
    assert tables.annotations.select("value", "value_num").rows() == [("2", 2.0), ("10", 10.0)]
    assert tables.questions["options"].to_list() == [[]]
    assert 'wanted numbers; found "inf" (1 x), "x" (1 x)' in _refused(
        _raw(tmp_path, "statement,y\na,x\nb,inf\n"), interval
    )


def test_set_values_share_a_rating(tmp_path: Path) -> None:
    mapping = Mapping(name="s", label="y", kind="set", options=("a", "b"))
    lines = [{"statement": "x", "y": ["a", "b", "a"]}, {"statement": "z", "y": ["b"]}]
    listed = table.read(_raw(tmp_path, "\n".join(map(json.dumps, lines)), "a.jsonl"), mapping=mapping)
    texts = table.read(_raw(tmp_path, 'statement,y\nx,"a, b,a"\nz,b\n'), mapping=mapping)
    for tables in (listed, texts):
        assert tables.annotations.select("rating_id", "value").rows() == [
            ("s:train:00000#1", "a"),
            ("s:train:00000#1", "b"),
            ("s:train:00001#1", "b"),
        ]
        assert tables.repairs == ("1 values stood twice in one rating: counted once",)


def test_raters_file(tmp_path: Path) -> None:
    _raw(tmp_path, ROWS)
    _raw(tmp_path, "who,age_band\na,18-29\nz,60+\n", "people.csv")
    mapping = replace(LONG, files={"": "a.csv"}, raters_file="people.csv", raters_annotator="who")
    tables = table.read(tmp_path, mapping=mapping)
    assert tables.raters.rows() == [
        ("set:a", "human", "18-29"),
        ("set:b", "human", None),
        ("set:unknown", "human", None),
    ]
    assert [(d.file, d.count, d.examples) for d in tables.dropped[-1:]] == [("people.csv", 1, ("set:z",))]
    assert tables.repairs[-1] == 'people.csv: says nothing about 2 annotators ("set:b", "set:unknown")'
    assert [(file.name, file.rows) for file in tables.files] == [("a.csv", 7), ("people.csv", 2)]
    _raw(tmp_path, "who,age_band\na,18-29\na,60+\n", "people.csv")
    assert 'wanted one row per annotator; "set:a" stands twice' in _refused(tmp_path, mapping)


def test_unknown_values_are_listed_with_their_counts(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "statement,y\n" + "a,maybe\n" * 3 + "b,Yes\nc,yes\n")
    message = _refused(raw, Mapping(name="s", label="y", options=("no", "yes")))
    assert message == (
        's: the label: wanted one of "no", "yes"; found "maybe" (3 x), "Yes" (1 x). If these are spellings of the '
        "same, say so: --column labels=Yes:yes (labels in a mapping)."
    )
    assert "wanted options (give them in order: --column options=no,yes, or in the mapping); found" in _refused(
        raw, Mapping(name="s", label="y")
    )


def test_item_columns_that_differ_between_rows_of_an_id(tmp_path: Path) -> None:
    raw = _raw(tmp_path, ROWS.replace('"I read her ""diary"", once.",a', "I read it.,a"))
    message = _refused(raw, LONG)
    assert 'wanted one "text" per id; 1 ids have several, e.g. set:train:s1: ' in message
    assert '"I read it."' in message


def test_an_id_twice_in_a_wide_table(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "id,statement,l_a\n1,x,no\n1,x,no\n")
    message = _refused(raw, Mapping(name="w", layout="wide", id="id", wide_label="l_{annotator}", options=("no",)))
    assert 'wanted one row per id in a wide table; 1 stand twice ("w:train:1")' in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROWS.replace("who,", "whom,"), 'wanted the column "who"; found "no", "part", "stem", "text", "whom"'),
        (ROWS.replace(",", ";"), "give --separator ';'"),
        (ROWS.replace("s2,test", "s2,"), 'the column "part" is empty in "a.csv row 3", "a.csv row 4", "a.csv row 5" ('),
        (ROWS.replace("s3,test", " ,test"), 'the column "no" is empty in "a.csv row 6"'),
        ("", "the file is empty"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, said: str) -> None:
    assert said in _refused(_raw(tmp_path, text), LONG)


def test_bad_places(tmp_path: Path) -> None:
    assert "there is no such file" in _refused(tmp_path / "no.csv", LONG)
    assert "this is a folder; wanted the file" in _refused(tmp_path, LONG)
    raw = _raw(tmp_path, ROWS)
    assert 'wanted the folder that holds "b.csv"' in _refused(raw, replace(LONG, files={"": "b.csv"}))
    wide = Mapping(name="w", layout="wide", statement="text", wide_label="l_{annotator}", options=("no",))
    assert 'no column is like "l_{annotator}"' in _refused(raw, wide)
    nested = _raw(tmp_path, '{"statement": ["a"], "y": "no"}', "n.jsonl")
    assert 'the column "statement" holds List(String)' in _refused(
        nested, Mapping(name="s", label="y", options=("no",))
    )


def test_the_set_of_the_demo() -> None:
    folder = Path(dfar_toolkit.__file__).parent / "journeys" / "everyday"
    tables = read_source("table", folder, mapping=mapping_from_yaml(folder / "mapping.yaml"))
    assert "everyday:test:s021" in tables.items["item_id"].to_list()
    assert tables.dropped == ()
    assert tables.repairs == ()
    assert tables.files[0].rows == tables.annotations.height
    assert tables.raters.columns == ["annotator_id", "kind", "age_band", "gender"]
    assert tables.raters.null_count().sum_horizontal().item() == 0


def test_a_set_of_commas_alone_is_dropped_and_counted(tmp_path: Path) -> None:
    raw = _raw(tmp_path, 'statement,y\na,"x,y"\nb,","\nc,", ,"\nd,x\n')
    tables = read_source("table", raw, mapping=Mapping(name="s", label="y", kind="set", options=("x", "y")))
    assert tables.annotations.height == 3
    assert [(lost.reason, lost.count) for lost in tables.dropped] == [("the label has commas and no value", 2)]


def test_a_pattern_does_not_take_columns_that_mean_something_else(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "no,text,anna,ben,anna_why\n1,I lied.,bad,ok,a lie\n")
    columns = {"id": "no", "statement": "text", "layout": "wide"}
    columns |= {"wide_label": "{annotator}", "wide_reason": "{annotator}_why"}
    tables = read_source("table", raw, mapping=Mapping(name="s", options=("ok", "bad"), **columns))
    assert tables.annotations["annotator_id"].to_list() == ["s:anna", "s:ben"]
    assert tables.annotations["reason"].to_list() == ["a lie", None]


def test_spaces_around_ids_and_splits_make_no_further_items(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "id,split,statement,who,y\n7,train,I ran.,a,no\n7 ,train ,I ran.,b,no\n")
    mapping = Mapping(name="s", id="id", split="split", annotator="who", label="y", options=("no", "yes"))
    tables = table.read(raw, mapping=mapping)
    assert tables.items["item_id"].to_list() == ["s:train:7"]
    assert tables.annotations.height == 2
    nameless = table.read(raw, mapping=replace(mapping, id=None, annotator=None))
    assert nameless.items["item_id"].to_list() == ["s:train:00000", "s:train:00001"]


def test_rows_that_look_like_ratings_of_one_item_are_said(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "statement,who,y\nI ran.,a,no\nI ran.,b,no\nI sat.,a,no\n")
    mapping = Mapping(name="s", annotator="who", label="y", options=("no", "yes"))
    notes = table.read(raw, mapping=mapping).repairs
    assert [note[:70] for note in notes] == ["no column id: each row is an item of its own, though 1 statements stan"]
    same_person = _raw(tmp_path, "statement,who,y\nI ran.,a,no\nI ran.,a,no\n", "b.csv")
    assert table.read(same_person, mapping=mapping).repairs == ()


def test_empty_cells_of_a_wide_table_are_ratings_and_not_rows(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "id,statement,y_a,y_b\n1,I ran.,no,\n2,I sat.,no,no\n")
    mapping = Mapping(name="s", layout="wide", id="id", wide_label="y_{annotator}", options=("no", "yes"))
    assert [(d.count, d.unit) for d in table.read(raw, mapping=mapping).dropped] == [(1, "ratings")]


def test_nobody_said_which_language(tmp_path: Path) -> None:
    raw = _raw(tmp_path, "statement,y\nIch log.,no\n")
    assert table.read(raw, mapping=Mapping(name="s", label="y", options=("no", "yes"))).info.languages == ()
