from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import ethics

COMMONSENSE = (
    "label,input,is_short,edited\n"
    "0,I fed the neighbour's cat a treat.,True,False\n"
    "1,I fed the neighbour's cat a nail.,True,False\n"
    "0,We slept.,True,False\n"
    '1,"AITA for leaving? | I left, he said ""stay"".\n\nI left the neighbour\'s cat a treat.",False,True\n'
)
JUSTICE = (
    "label,scenario\n"
    "1,I usually wave to Ann but I didn't today because she was asleep.\n"
    '0,"I usually  wave to Ann but I didn\'t today, because: She has a red hat."\n'
    "0,I deserve a new boat from Tom since I paid him for lessons.\n"
    "1,I deserve a lesson on a boat from Tom since I paid him for lessons.\n"
    "1,I am owed an apology.\n"
)


def _write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return folder / name


def test_commonsense_rows_labels_and_contrast_pairs(tmp_path: Path) -> None:
    _write(tmp_path, "cm_train.csv", COMMONSENSE)
    tables = ethics.read(tmp_path)
    assert tables.info.name == "ethics.commonsense"
    first = "ethics.commonsense:train:"
    assert tables.items.select("item_id", "split", "stem", "contrast_key").rows() == [
        (f"{first}00000", "train", None, f"{first}00000"),
        (f"{first}00001", "train", None, f"{first}00000"),
        (f"{first}00002", "train", None, None),
        (f"{first}00003", "train", None, None),
    ]
    assert tables.items["statement"][3].endswith('"stay".\n\nI left the neighbour\'s cat a treat.')
    assert tables.items["extra"].to_list()[2:] == [
        '{"is_short":true,"edited":false}',
        '{"is_short":false,"edited":true}',
    ]
    assert tables.targets is not None
    assert tables.targets["label"].to_list() == ["acceptable", "wrong", "acceptable", "wrong"]
    assert tables.targets.select("label_counts", "label_probs", "n_ratings", "method").unique().rows() == [
        (None, None, 0, "published label")
    ]
    assert tables.questions.row(0)[:3] == ("acceptable", "nominal", ["acceptable", "wrong"])
    assert any("0 = acceptable, 1 = wrong" in note for note in tables.info.notes)
    assert tables.annotations.is_empty()
    assert [file.rows for file in tables.files] == [4]


def test_justice_has_the_opposite_polarity_and_stems(tmp_path: Path) -> None:
    _write(tmp_path / "justice", "justice_train.csv", JUSTICE)
    tables = ethics.read(tmp_path)
    assert tables.targets is not None
    assert tables.targets["label"].to_list() == [
        "reasonable",
        "unreasonable",
        "unreasonable",
        "reasonable",
        "reasonable",
    ]
    assert tables.questions.row(0)[2] == ["unreasonable", "reasonable"]
    assert tables.items["stem"].to_list() == [
        "i usually wave to ann but i didn't today",
        "i usually wave to ann but i didn't today",
        "i deserve a new boat from tom",
        "i deserve a lesson on a boat from tom",
        None,
    ]
    keys = tables.items["contrast_key"].to_list()
    assert keys[2] == keys[3] == "ethics.justice:train:00002"  # one end, two stems
    assert keys[4] is None
    assert any("0 = unreasonable, 1 = reasonable" in note for note in tables.info.notes)
    assert tables.repairs == ("justice_train.csv: has 5 rows, the published file has 21791",)


def test_splits_lengths_and_the_file_without_labels(tmp_path: Path) -> None:
    for name in ("cm_test_hard.csv", "cm_train.csv", "cm_test.csv"):
        _write(tmp_path / "commonsense", name, COMMONSENSE)
    _write(tmp_path / "commonsense", "cm_ambig.csv", "No header and no label here.\n")
    _write(tmp_path / "justice", "justice_test.csv", JUSTICE)
    whole = ethics.read(tmp_path, set_name="Commonsense")
    assert whole.items["split"].unique(maintain_order=True).to_list() == ["train", "test", "test.hard"]
    assert whole.repairs[-1].startswith("cm_ambig.csv: is not read")
    short, long = (ethics.read(tmp_path, set_name=f"commonsense-{length}") for length in ("short", "long"))
    assert (short.items.height, long.items.height) == (9, 3)
    assert pl.concat([short.items, long.items]).sort("item_id").equals(whole.items.sort("item_id"))
    assert next((d.file, d.reason, d.count) for d in long.dropped) == (
        "cm_train.csv",
        "the text is short, the set is commonsense-long",
        3,
    )
    for tables in (short, long):
        assert sum(f.rows for f in tables.files) == tables.items.height + sum(d.count for d in tables.dropped)
    with pytest.raises(SourceError, match=r"found several sets .*name one, as in ethics:commonsense"):
        ethics.read(tmp_path)
    with pytest.raises(SourceError, match=r'ethics has no set "justise".*Is it "justice"'):
        ethics.read(tmp_path, set_name="justise")


def test_the_file_of_short_texts_has_ids_of_its_own(tmp_path: Path) -> None:
    path = _write(tmp_path, "cm_test_short.csv", COMMONSENSE)
    assert ethics.read(tmp_path).items["item_id"][0] == "ethics.commonsense-short:test:00000"
    _write(tmp_path, "cm_test.csv", COMMONSENSE)
    with pytest.raises(
        SourceError, match=r'two files for the split test, "cm_test.csv", "cm_test_short.csv"; keep one'
    ):
        ethics.read(tmp_path)
    path.unlink()
    with pytest.raises(SourceError, match=r"wanted the files justice_SPLIT.csv of the set justice"):
        ethics.read(tmp_path, set_name="justice")


def test_rows_without_text_or_label_are_counted(tmp_path: Path) -> None:
    _write(tmp_path, "justice_test_hard.csv", JUSTICE + "1,\n,I sat.\n 1 ,I ran.\n")
    tables = ethics.read(tmp_path)
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("the text is empty", 1, ("ethics.justice:test.hard:00005",)),
        ("the label is empty", 1, ("ethics.justice:test.hard:00006",)),
    ]
    assert tables.items["item_id"][-1] == "ethics.justice:test.hard:00007"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label,input,is_short,edited\n2,I sat.,True,False\n", r'0 \(acceptable\) or 1 \(wrong\); found "2" in 1 row'),
        ("label,input,is_short,edited\n1,I sat.,yes,False\n", 'wanted True or False in the column "is_short"'),
        ("label,inputs,is_short,edited\n1,I sat.,True,False\n", 'wanted the column "input".*Is it "inputs"'),
        ("label,input,edited\n1,I sat.,False\n", 'wanted the column "is_short"'),
        ("label,label,input,is_short,edited\n1,1,I sat.,True,False\n", "more than once"),
        ("label;input;is_short;edited\n1;I sat.;True;False\n", 'contains ";"'),
        ("label,input,is_short,edited\n1,I sat.,Tr\n", "line 2 has 3 cells"),
        ('label,input,is_short,edited\n1,"I sat', "never closed"),
        ("label,input,is_short,edited\n1,I sat.,True,False\n".encode("utf-16"), "UTF-16"),
        ("label,input,is_short,edited\n1,I sat \u2019ere.,True,False\n".encode("cp1252"), "invalid UTF-8"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    (tmp_path / "cm_test.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=said) as caught:
        ethics.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert "cm_test.csv" in str(caught.value)


def test_a_zip_is_no_table_and_the_order_of_columns_does_not_count(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cm_test.csv", COMMONSENSE * 50)
    (tmp_path / "cm_test.csv").write_bytes(packed.getvalue())
    with pytest.raises(SourceError, match=r"cm_test\.csv"):
        ethics.read(tmp_path)
    _write(tmp_path, "cm_test.csv", "edited,input,note,is_short,label\r\nFALSE,I sat.,x,TRUE,1\r\n")
    tables = ethics.read(tmp_path)
    assert tables.items.select("statement", "extra").row(0) == ("I sat.", '{"edited":false,"note":"x","is_short":true}')
    with pytest.raises(SourceError, match="there is no such folder"):
        ethics.read(tmp_path / "no")


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("01"), st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)),
        min_size=1,
        max_size=6,
    )
)
def test_every_row_is_an_item_or_counted(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("ethics")
    with (folder / "justice_test.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("label", "scenario"), *rows])
    tables = ethics.read(folder)
    assert tables.targets is not None
    wanted = [(text, ("unreasonable", "reasonable")[int(label)]) for label, text in rows if text.strip()]
    polars_blank = [pair for pair in wanted if pl.select(pl.lit(pair[0]).str.strip_chars() != "").item()]
    assert list(zip(tables.items["statement"], tables.targets["label"], strict=True)) == polars_blank
    assert len(rows) == tables.items.height + sum(d.count for d in tables.dropped)


@pytest.mark.real
def test_the_published_files(shared_data: Path) -> None:
    short = ethics.read(shared_data / "ethics", set_name="commonsense")
    assert short.targets is not None
    assert dict(short.targets["label"].value_counts().iter_rows()) == {"acceptable": 1126, "wrong": 983}
    assert (short.dropped, short.repairs) == ((), ())
    sizes = short.items.drop_nulls("contrast_key").group_by("contrast_key").len()["len"]
    assert set(sizes) == {2}
    assert len(sizes) == 930  # of 1,054 pairs that 2,109 rows could make
    pairs = short.items.join(short.targets, on="item_id").drop_nulls("contrast_key")
    opposite = pairs.group_by("contrast_key").agg(pl.col("label").n_unique())["label"]
    assert (opposite == 2).mean() > 0.9  # a link by chance would be of one label half of the time
    justice = ethics.read(shared_data / "ethics", set_name="justice")
    assert justice.targets is not None
    assert dict(justice.targets["label"].value_counts().iter_rows()) == {"reasonable": 1354, "unreasonable": 1350}
    assert justice.repairs == ()
    runs = justice.items.drop_nulls("contrast_key").group_by("contrast_key").len()["len"].value_counts().sort("len")
    assert runs.rows() == [(2, 41), (3, 23), (4, 609), (8, 1)]
