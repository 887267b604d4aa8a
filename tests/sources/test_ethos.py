from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import ethos

BINARY = 'comment;isHate\nThey should all leave, “all”;0.75\nNice hat;0\n"Well; perhaps";0.5\nNo;0.499999999\n'
EIGHT = "violence;directed_vs_generalized;gender;race;national_origin;disability;religion;sexual_orientation"
MULTI = f"comment;{EIGHT}\nLeave, the lot of you;0.5;1.0;0;0;0.166666667;0;0;1\nOut;0;0;0.6;0;0;0;0;0\n"


def _file(folder: Path, text: str, name: str = "Ethos_Dataset_Binary.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return folder


def test_binary_labels_shares_and_ties(tmp_path: Path) -> None:
    tables = ethos.read(_file(tmp_path, BINARY))
    assert tables.info.name == "ethos.binary"
    assert tables.items.select("item_id", "split", "statement").rows() == [
        ("ethos.binary:train:00000", "train", "They should all leave, “all”"),
        ("ethos.binary:train:00001", "train", "Nice hat"),
        ("ethos.binary:train:00002", "train", "Well; perhaps"),
        ("ethos.binary:train:00003", "train", "No"),
    ]
    assert tables.targets is not None
    assert tables.targets["label"].to_list() == ["hate_speech", "no_hate_speech", "hate_speech", "no_hate_speech"]
    assert tables.targets["label_probs"].to_list()[:3] == [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
    assert tables.targets.select("label_counts", "value", "n_ratings", "method").unique().rows() == [
        (None, None, 0, "published mean >= 0.5")
    ]
    assert tables.repairs == (
        'Ethos_Dataset_Binary.csv: hate_speech: 2 of 4 are "hate_speech" by the rule >= 0.5; '
        "1 of them are ties at exactly 0.5 (1 by > 0.5)",
    )
    assert tables.questions.row(0)[:3] == ("hate_speech", "nominal", ["no_hate_speech", "hate_speech"])
    assert tables.annotations.is_empty()


def test_multilabel_has_eight_questions_in_order(tmp_path: Path) -> None:
    tables = ethos.read(
        _file(tmp_path / "ethos_data", MULTI, "Ethos_Dataset_Multi_Label.csv").parent, set_name="MultiLabel"
    )
    assert tables.questions["question"].to_list() == EIGHT.split(";")
    assert tables.questions["options"].to_list()[:3] == [["no", "yes"], ["generalized", "directed"], ["no", "yes"]]
    assert tables.targets is not None
    first = tables.targets.filter(pl.col("item_id") == "ethos.multilabel:train:00000")
    assert first["question"].to_list() == EIGHT.split(";")
    assert first["label"].to_list() == ["yes", "directed", "no", "no", "no", "no", "no", "yes"]
    assert first["label_probs"].to_list()[4] == pytest.approx([0.833333333, 0.166666667], abs=1e-12)
    assert len(tables.repairs) == 8
    assert "1 of them are ties" in tables.repairs[0]


def test_empty_cells_are_counted_and_order_does_not_matter(tmp_path: Path) -> None:
    text = "isHate;note;comment\n1;a;\n;b;I sat.\n0.2;c;I ran.\n"
    tables = ethos.read(_file(tmp_path, text))
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("the comment is empty", 1, ("ethos.binary:train:00000",)),
        ("a vote is empty", 1, ("ethos.binary:train:00001",)),
    ]
    assert tables.items.select("item_id", "statement", "extra").rows() == [
        ("ethos.binary:train:00002", "I ran.", '{"note":"c"}')
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("comment;isHate\nI sat.;1.5\n", 'between 0 and 1 in the column "isHate"; found "1.5" in 1 row'),
        ("comment;isHate\nI sat.;0,5\nI ran.;nan\n", '"0,5", "nan" in 2 rows. Decimals need a point'),
        ("comment;ishate\nI sat.;1\n", 'wanted the column "isHate".*Is it "ishate"'),
        ("comment;isHate;isHate\nI sat.;1;1\n", "more than once"),
        ("comment,isHate\nI sat.,1\n", 'there is one column, "comment,isHate"'),
        ("comment;isHate\nI sat.;1\nI ran", "line 3 has 1 cells"),
        (b"comment;isHate\nI sat \x92ere.;1\n", "invalid UTF-8"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xb5\xff", r"Ethos_Dataset_Binary\.csv"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "Ethos_Dataset_Binary.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=said) as caught:
        ethos.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_sets_absent_and_doubled_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r'ethos has no set "multi-label".*Is it "multilabel"'):
        ethos.read(tmp_path, set_name="multi-label")
    with pytest.raises(SourceError, match=r"wanted Ethos_Dataset_Binary\.csv here or in a sub-folder; found none"):
        ethos.read(tmp_path)
    _file(tmp_path / "a", BINARY)
    _file(tmp_path / "b", BINARY)
    with pytest.raises(SourceError, match='in several folders \\("a", "b"\\); name one'):
        ethos.read(tmp_path)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1).map(lambda x: round(x, 9)), min_size=1, max_size=8))
def test_the_rule_and_the_shares(tmp_path_factory: pytest.TempPathFactory, means: list[float]) -> None:
    rows = "".join(f"c{k};{mean!r}\n" for k, mean in enumerate(means))
    tables = ethos.read(_file(tmp_path_factory.mktemp("ethos"), f"comment;isHate\n{rows}"))
    assert tables.targets is not None
    assert [label == "hate_speech" for label in tables.targets["label"]] == [mean >= 0.5 for mean in means]
    assert [pair[1] for pair in tables.targets["label_probs"].to_list()] == means
    assert tables.targets["label_probs"].list.sum().to_list() == pytest.approx([1.0] * len(means))


@pytest.mark.real
def test_the_published_files(shared_data: Path) -> None:
    binary = ethos.read(shared_data / "ethos")
    assert binary.targets is not None
    share = binary.targets["label_probs"].list.get(1)
    assert (binary.items.height, binary.dropped) == (998, ())
    assert dict(binary.targets["label"].value_counts().iter_rows()) == {"hate_speech": 433, "no_hate_speech": 565}
    assert ((share > 0.5).sum(), (share == 0.5).sum(), (share == 0).sum(), (share == 1).sum()) == (359, 74, 354, 163)
    assert "74 of them are ties at exactly 0.5 (359 by > 0.5)" in binary.repairs[0]
    raw = (shared_data / "ethos" / "Ethos_Dataset_Binary.csv").read_text(encoding="utf-8").replace('""', '"')
    assert all(comment in raw for comment in binary.items["statement"])

    multi = ethos.read(shared_data / "ethos", set_name="multilabel")
    assert multi.targets is not None
    assert multi.items.height == 433
    order = EIGHT.split(";")
    second = {row["question"]: row["options"][1] for row in multi.questions.iter_rows(named=True)}
    counted = [multi.targets.filter((pl.col("question") == q) & (pl.col("label") == second[q])).height for q in order]
    assert counted == [142, 135, 86, 76, 74, 53, 81, 73]
    above = [(multi.targets.filter(pl.col("question") == q)["label_probs"].list.get(1) > 0.5).sum() for q in order]
    assert above == [129, 114, 83, 71, 69, 52, 77, 68]
