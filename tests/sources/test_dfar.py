from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import dfar, read_source

TRAIN = 'Statement,Label,Reason\nI paid.,0,"It was my turn,\nso it is fair."\nI lied.,1,\n'
TEST = (
    "\ufeffStatement,Label,Reason\r\n"
    '"I deserve a  rest Because I ran ""far"".",0,You ran.\r\n'
    ",1,Nobody said anything.\r\n"
    "I left.,,You left.\r\n"
    "I stayed., 1 ,  \r\n"
)


def _folder(at: Path, train: str = TRAIN, test: str = TEST) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    (at / "DFAR_trainset.csv").write_bytes(train.encode())
    (at / "DFAR_testset.csv").write_bytes(test.encode())
    return at


def test_rows_ids_labels_and_what_is_dropped(tmp_path: Path) -> None:
    tables = dfar.read(_folder(tmp_path))
    assert tables.items.select("item_id", "split", "statement", "stem").rows() == [
        ("dfar:train:00000", "train", "I paid.", None),
        ("dfar:train:00001", "train", "I lied.", None),
        ("dfar:test:00000", "test", 'I deserve a  rest Because I ran "far".', "i deserve a rest"),
        ("dfar:test:00003", "test", "I stayed.", None),
    ]
    assert tables.annotations.select("item_id", "annotator_id", "question", "rating_id", "value", "reason").rows() == [
        (
            "dfar:train:00000",
            "dfar:unknown",
            "ethical",
            "dfar:train:00000#1",
            "ethical",
            "It was my turn,\nso it is fair.",
        ),
        ("dfar:train:00001", "dfar:unknown", "ethical", "dfar:train:00001#1", "unethical", None),
        ("dfar:test:00000", "dfar:unknown", "ethical", "dfar:test:00000#1", "ethical", "You ran."),
        ("dfar:test:00003", "dfar:unknown", "ethical", "dfar:test:00003#1", "unethical", None),
    ]
    assert [(d.file, d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("DFAR_testset.csv", "the statement is empty", 1, ("dfar:test:00001",)),
        ("DFAR_testset.csv", "the label is empty", 1, ("dfar:test:00002",)),
    ]
    assert sum(file.rows for file in tables.files) == tables.items.height + sum(d.count for d in tables.dropped)
    assert tables.questions.row(0)[:3] == ("ethical", "nominal", ["ethical", "unethical"])
    assert tables.raters["annotator_id"].to_list() == ["dfar:unknown"]
    assert tables.info.licence == "mit"
    assert [file.name for file in tables.files] == ["DFAR_trainset.csv", "DFAR_testset.csv"]


def test_the_only_sub_folder_is_found_and_two_are_refused(tmp_path: Path) -> None:
    _folder(tmp_path / "DFAR dataset")
    (tmp_path / ".git").mkdir()
    (tmp_path / "notebooks").mkdir()
    assert read_source("dfar", tmp_path).items.height == 4
    _folder(tmp_path / "copy")
    with pytest.raises(SourceError, match=r'several folders hold the files of DFAR \(".*copy", "DFAR dataset"|"copy"'):
        read_source("dfar", tmp_path)


def test_columns_beside_ours_are_kept_as_extra(tmp_path: Path) -> None:
    train = "Statement,Label,Reason,Origin\nI paid.,0,Fair.,justice\n"
    test = "Statement,Label,Reason,Origin\nI left.,0,Fair.,\n"
    assert dfar.read(_folder(tmp_path, train, test)).items["extra"].to_list() == [
        '{"Origin":"justice"}',
        '{"Origin":null}',
    ]


def test_unknown_labels_list_values_and_rows(tmp_path: Path) -> None:
    folder = _folder(tmp_path, TRAIN + "I ran.,2,No.\nI hid.,unethical,No.\n")
    with pytest.raises(
        SourceError, match=r'found "2", "unethical" in 2 rows \(zero-based "00002", "00003"\)'
    ) as caught:
        dfar.read(folder)
    assert str(folder / "DFAR_trainset.csv") in str(caught.value)


def test_missing_folder_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder"):
        dfar.read(tmp_path / "no")
    with pytest.raises(
        SourceError, match=r"wanted DFAR_trainset.csv and DFAR_testset.csv here or in a sub-folder; found none"
    ):
        dfar.read(tmp_path)
    folder = _folder(tmp_path)
    (folder / "DFAR_testset.csv").unlink()
    with pytest.raises(SourceError, match=r"DFAR_testset.csv: there is no such file"):
        dfar.read(folder)
    _folder(tmp_path, TRAIN, "Statement,Lable,Reason\n")
    with pytest.raises(SourceError, match=r'wanted the column "Label".*Is it "Lable"'):
        dfar.read(tmp_path)


@pytest.mark.real
def test_the_published_files(shared_data: Path) -> None:
    tables = dfar.read(shared_data / "dfar")
    assert [file.rows for file in tables.files] == [4500, 500]
    assert tables.dropped == ()
    assert tables.repairs == ()
    assert tables.items["item_id"].n_unique() == 5000
    counts = tables.items.join(tables.annotations, on="item_id").group_by("split", "value").len().sort("split", "value")
    assert counts.rows() == [
        ("test", "ethical", 298),
        ("test", "unethical", 202),
        ("train", "ethical", 2588),
        ("train", "unethical", 1912),
    ]
    stems = tables.items.filter(pl.col("stem").is_not_null()).group_by("split").len().sort("split")
    assert stems.rows() == [("test", 256), ("train", 1500)]
    assert tables.items["statement"].n_unique() == 4811
    assert tables.annotations["reason"].null_count() == 0
