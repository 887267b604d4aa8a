"""e-SNLI: starred words become spans and back, reasons belong to the gold label, and no row is lost uncounted."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.targets import aggregate
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import esnli
from dfar_toolkit.sources.esnli_marks import starred_words
from dfar_toolkit.spans import units_of_spans, word_spans

HEAD = ["pairID", "gold_label", "Sentence1", "Sentence2", "Explanation_1", "WorkerId"]
MARKS = ["Sentence1_marked_{}", "Sentence2_marked_{}", "Sentence1_Highlighted_{}", "Sentence2_Highlighted_{}"]
TRAIN = [*HEAD, *(name.format(1) for name in MARKS)]
DEV = [
    *HEAD[:5],
    *(name.format(1) for name in MARKS),
    *(name.format(k) for k in (2, 3) for name in ("Explanation_{}", *MARKS)),
]
ROW = {
    "pairID": "9.jpg#1r1n",
    "gold_label": "neutral",
    "Sentence1": "A man  sits, (*) alone.",
    "Sentence2": "A man rests outside.",
    "Explanation_1": "Sitting may be inside.",
    "WorkerId": "W7",
    "Sentence1_marked_1": "A man *sits,* *(*)* alone.",
    "Sentence2_marked_1": "*A* man *rests* *outside.*",
    "Sentence1_Highlighted_1": "0,1",
    "Sentence2_Highlighted_1": "{}",
}
SECOND = {
    "Explanation_2": "Not known.",
    "Sentence1_marked_2": "A man  sits, (*) alone.",
    "Sentence2_marked_2": "A man rests *outside.*",
}


def _write(path: Path, columns: list[str], rows: list[dict[str, str]]) -> Path:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: v for k, v in row.items() if k in columns} for row in rows)
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


def _marked(spans: list[dict[str, object]], texts: dict[str, str]) -> list[str]:
    return [texts[str(s["field"])][s["start"] : s["end"]] for s in spans]  # type: ignore[misc]


def test_a_train_row_with_its_reason_marks_and_author(tmp_path: Path) -> None:
    _write(tmp_path / "esnli_train_1.csv", TRAIN, [ROW])
    _write(
        tmp_path / "esnli_train_2.csv",
        TRAIN[::-1],
        [{**ROW, "pairID": "b", "gold_label": "entailment", "WorkerId": ""}],
    )
    tables = esnli.read(tmp_path)
    assert tables.items.select("item_id", "split", "statement", "context_key").rows() == [
        ("esnli:train:9.jpg#1r1n", "train", "A man rests outside.", "A man  sits, (*) alone."),
        ("esnli:train:b", "train", "A man rests outside.", "A man  sits, (*) alone."),
    ]
    assert tables.items["context"][0].to_list() == [
        {"field": "premise", "role": "premise", "text": "A man  sits, (*) alone."}
    ]
    assert json.loads(tables.items["extra"][1]) == {"row": 0}
    assert tables.annotations.select("annotator_id", "rating_id", "value", "reason").rows() == [
        ("esnli:W7", "esnli:train:9.jpg#1r1n#1", "neutral", "Sitting may be inside."),
        ("esnli:unknown", "esnli:train:b#1", "entailment", "Sitting may be inside."),
    ]
    texts = {"premise": ROW["Sentence1"], "statement": ROW["Sentence2"]}
    assert _marked(tables.annotations["evidence"][0].to_list(), texts) == ["sits, (*)", "A", "rests outside."]
    assert tables.questions.row(0)[:3] == ("nli", "nominal", ["entailment", "neutral", "contradiction"])
    assert tables.repairs == ()
    assert tables.dropped == ()


def test_three_explanations_are_three_ratings_by_nobody(tmp_path: Path) -> None:
    third = {"Explanation_3": "", "Sentence1_marked_3": "", "Sentence2_marked_3": ""}
    _write(tmp_path / "esnli_dev.csv", DEV, [{**ROW, **SECOND, **third}])
    tables = esnli.read(tmp_path)
    assert tables.annotations.select("annotator_id", "rating_id").rows() == [
        ("esnli:unknown", "esnli:dev:9.jpg#1r1n#1"),
        ("esnli:unknown", "esnli:dev:9.jpg#1r1n#2"),
    ]
    assert tables.annotations["evidence"][1].to_list() == [{"field": "statement", "start": 12, "end": 20, "set": 0}]
    assert aggregate(tables.annotations, tables.questions).select("label", "n_ratings").row(0) == ("neutral", 2)
    assert tables.repairs == ()


def test_marks_that_are_not_the_sentence_are_counted_and_no_marks_are_empty(tmp_path: Path) -> None:
    rows = [
        {**ROW, "pairID": "other", "Sentence2_marked_1": "A man *sleeps* outside."},
        {**ROW, "pairID": "across", "Sentence2_marked_1": "A *man rests* outside."},
        {**ROW, "pairID": "half", "Sentence2_marked_1": ""},
        {**ROW, "pairID": "none", "Sentence1_marked_1": "", "Sentence2_marked_1": ""},
        {**ROW, "pairID": "plain", "Sentence1_marked_1": ROW["Sentence1"], "Sentence2_marked_1": ROW["Sentence2"]},
        {"pairID": "bare", "gold_label": "neutral", "Sentence1": "a", "Sentence2": "b"},
    ]
    _write(tmp_path / "esnli_train_2.csv", TRAIN, rows)
    tables = esnli.read(tmp_path)
    assert tables.annotations["evidence"].to_list() == [None, None, None, None, [], None]
    assert tables.annotations["reason"].null_count() == 1
    assert tables.repairs == (
        "esnli_train_1.csv: not here, so train is the other half alone",
        "esnli_train_2.csv: a marked text is missing or is not its sentence with stars, so the evidence is unknown: "
        '3 times ("esnli:train:other#1", "esnli:train:across#1", "esnli:train:half#1")',
        'esnli_train_2.csv: a row has no explanation: 1 time ("esnli:train:bare")',
    )


def test_rows_without_label_or_sentence_are_counted_and_other_labels_refused(tmp_path: Path) -> None:
    rows = [{**ROW, "pairID": str(k), "gold_label": label} for k, label in enumerate(["-", "", " neutral "])]
    path = _write(tmp_path / "esnli_test.csv", TRAIN, [*rows, {**ROW, "pairID": "3", "Sentence2": " "}])
    tables = esnli.read(tmp_path)
    assert tables.items["item_id"].to_list() == ["esnli:test:2"]
    assert [(d.reason, d.count) for d in tables.dropped] == [
        ("the gold label is - or empty", 2),
        ("the hypothesis (Sentence2) is empty", 1),
    ]
    _write(path, TRAIN, [ROW, {**ROW, "pairID": "x", "gold_label": "0"}])
    with pytest.raises(SourceError, match=r'found "0" in 1 row \(zero-based "1"\)'):
        esnli.read(tmp_path)


def test_files_that_are_not_in_the_layout_are_one_line(tmp_path: Path) -> None:
    path = _write(tmp_path / "esnli_test.csv", TRAIN, [ROW, ROW])
    with pytest.raises(SourceError, match="1 stand there more than once"):
        esnli.read(tmp_path)
    _write(path, TRAIN, [{**ROW, "pairID": " "}])
    with pytest.raises(SourceError, match=r'it is empty in 1 \(zero-based "0"\)'):
        esnli.read(tmp_path)
    path.write_text(path.read_text().replace("Sentence1_marked_1", "Sentence1_mark_1"))
    with pytest.raises(SourceError, match=r'wanted the column "Sentence1_marked_1"; found'):
        esnli.read(tmp_path)
    _write(path, [c for c in DEV if c != "Sentence1_marked_3"], [ROW])
    with pytest.raises(SourceError, match=r'together; "Sentence1_marked_3" is not there'):
        esnli.read(tmp_path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("esnli_test.csv", ",".join(TRAIN) * 9)
    with pytest.raises(SourceError, match=r"esnli_test\.csv: "):
        esnli.read(tmp_path)
    path.write_text(";".join(TRAIN) + "\n")
    with pytest.raises(SourceError, match=r"wanted the columns|separated by"):
        esnli.read(tmp_path)
    _write(path, TRAIN, [ROW]).write_bytes(path.read_bytes().replace(b"alone", b"al\xf6ne"))
    with pytest.raises(SourceError, match="invalid UTF-8"):
        esnli.read(tmp_path)
    with pytest.raises(SourceError, match="esnli has no sets"):
        esnli.read(tmp_path, set_name="dev")


def test_a_twice_named_column_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "esnli_test.csv", TRAIN, [ROW])
    path = tmp_path / "esnli_test.csv"
    path.write_text(path.read_text().replace("WorkerId", "pairID"))
    with pytest.raises(SourceError, match="more than once"):
        esnli.read(tmp_path)


WORDS = st.lists(st.text(alphabet="a*é😀,", min_size=1, max_size=3), min_size=1, max_size=8)


@given(st.lists(st.tuples(WORDS, st.data()), min_size=1, max_size=4), st.sampled_from([" ", "  ", " \n"]))
@settings(max_examples=30)
def test_stars_survive_the_way_to_spans_and_back(drawn: list[tuple[list[str], st.DataObject]], space: str) -> None:
    sentences, marked, wanted = [], [], []
    for words, data in drawn:
        chosen = data.draw(st.sets(st.integers(0, len(words) - 1)))
        sentences.append(space.join(words))
        marked.append(" ".join(f"*{w}*" if k in chosen else w for k, w in enumerate(words)))
        wanted.append(sorted(chosen))
    found = starred_words(pl.Series(sentences), pl.Series(marked), field="premise").to_list()
    for sentence, spans, chosen in zip(sentences, found, wanted, strict=True):
        places = [(s["start"], s["end"]) for s in spans]
        assert units_of_spans(word_spans(sentence), places) == chosen
        assert len(places) == sum(k - 1 not in chosen for k in chosen)
