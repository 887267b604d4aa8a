"""HateXplain: three people per post, targets as sets, and rationales only where it is certain whose they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfar_toolkit.agreement import krippendorff_alpha
from dfar_toolkit.corpus.targets import aggregate
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import hatexplain
from dfar_toolkit.sources.hatexplain import whose_rationales
from dfar_toolkit.spans import joined_tokens, units_of_spans

TOKENS = ["they", "all", "lie", "<user>", "😀"]


def _post(key: str, labels: list[str | None], rationales: list[Any], **changes: object) -> dict[str, Any]:
    people = [
        {"label": label, "annotator_id": 10 + k, "target": ["None"] if label == "normal" else ["Women", "Other"]}
        for k, label in enumerate(labels)
    ]
    return {"post_id": key, "annotators": people, "rationales": rationales, "post_tokens": TOKENS, **changes}


def _write(at: Path, posts: object, divisions: object) -> Path:
    at.mkdir(exist_ok=True)
    (at / "dataset.json").write_text(posts if isinstance(posts, str) else json.dumps(posts), encoding="utf-8")
    (at / "post_id_divisions.json").write_text(json.dumps(divisions), encoding="utf-8")
    return at


HATE, NORMAL = "hatespeech", "normal"
MASK = [[0, 1, 1, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_labels_targets_and_rationales_of_known_authors(tmp_path: Path) -> None:
    posts = {"2_gab": _post("2_gab", [HATE, "offensive", NORMAL], MASK[:2]), "1_tw": _post("1_tw", [NORMAL] * 3, [])}
    divisions = {"val": ["2_gab"], "train": ["1_tw"], "test": []}
    tables = hatexplain.read(_write(tmp_path / "Data", posts, divisions).parent)
    assert tables.items.select("item_id", "split", "statement").rows() == [
        ("hatexplain:train:1_tw", "train", "they all lie <user> 😀"),
        ("hatexplain:val:2_gab", "validation", "they all lie <user> 😀"),
    ]
    key = "hatexplain:val:2_gab"
    rows = tables.annotations.filter(item_id=key).select("annotator_id", "question", "rating_id", "value").rows()
    assert rows[:3] == [
        ("hatexplain:10", "label", f"{key}#1", "hatespeech"),
        ("hatexplain:10", "target", f"{key}#t1", "Women"),
        ("hatexplain:10", "target", f"{key}#t1", "Other"),
    ]
    labels = tables.annotations.filter(item_id=key, question="label")
    _, units = joined_tokens(TOKENS)
    found = [s and units_of_spans(units, [(e["start"], e["end"]) for e in s]) for s in labels["evidence"].to_list()]
    assert found == [[1, 2, 4], [2], None]
    assert tables.questions.select("question", "kind").rows() == [
        ("label", "nominal"),
        ("target", "set"),
        ("rationale", "span"),
    ]
    assert tables.questions["options"].to_list()[:2] == [
        ["hatespeech", "offensive", "normal"],
        ["None", "Other", "Women"],
    ]
    target = aggregate(tables.annotations, tables.questions).filter(item_id=key, question="target")
    assert target["label_counts"].to_list() == [[1, 2, 2]]
    alpha = krippendorff_alpha(tables.annotations.filter(question="label"), ci=None)
    assert alpha.value == pytest.approx(1 / 6)  # 1 - (3 / 6) / (18 / 30)
    assert (tables.repairs, tables.dropped) == ((), ())


@pytest.mark.parametrize(
    ("labels", "n", "whose"),
    [
        ([HATE, HATE, HATE], 3, [0, 1, 2]),
        ([HATE, "offensive", NORMAL], 2, [0, 1]),
        ([NORMAL, HATE, HATE], 2, []),  # the two who did not say normal, or the first two: not certain
        ([HATE, HATE, HATE], 2, []),
        ([HATE, HATE, NORMAL], 3, []),
        ([HATE, HATE, ""], 3, []),
        ([NORMAL, NORMAL, NORMAL], 0, []),
    ],
)
def test_whose_rationales_are_known(labels: list[str], n: int, whose: list[int]) -> None:
    assert whose_rationales(labels, n) == whose


def test_other_rationales_are_nobodys_and_odd_ones_are_counted(tmp_path: Path) -> None:
    posts = {
        "a": _post("a", [NORMAL, HATE, HATE], MASK[1:]),
        "b": _post("b", [HATE, HATE, HATE], [[0, 1], MASK[1], [0, 0, 2, 0, 0]]),
        "c": _post("other", [None, HATE, HATE], []),
        "out": _post("out", [HATE] * 3, []),
        "blank": _post("blank", [HATE] * 3, [], post_tokens=[]),
    }
    posts["c"]["annotators"][1] |= {"annotator_id": None, "target": ["Women", "Women"]}
    tables = hatexplain.read(_write(tmp_path, posts, {"train": ["a", "b", "gone", "blank"], "test": ["c"], "val": []}))
    free = tables.annotations.filter(question="rationale")
    assert free.select("annotator_id", "rating_id", "value").rows() == [
        ("hatexplain:unknown", f"hatexplain:train:a#r{k}", "") for k in (1, 2)
    ]
    assert free["evidence"].list.len().to_list() == [1, 0]
    labels = tables.annotations.filter(question="label")
    assert labels.filter(item_id="hatexplain:train:a")["evidence"].null_count() == 3
    assert labels.filter(item_id="hatexplain:train:b")["evidence"].is_null().to_list() == [True, False, True]
    assert labels.filter(item_id="hatexplain:test:c")["annotator_id"].to_list() == [
        "hatexplain:unknown",
        "hatexplain:12",
    ]
    assert json.loads(tables.items.filter(item_id="hatexplain:test:c")["extra"].item()) == {"post_id": "other"}
    assert [(d.file, d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("dataset.json", "the post is in no division", 1, ("out",)),
        ("dataset.json", "the post has no tokens", 1, ("hatexplain:train:blank",)),
        ("post_id_divisions.json", "there is no post of this id in dataset.json", 1, ("gone",)),
    ]
    b, c = '("hatexplain:train:b")', '("hatexplain:test:c")'
    assert tables.repairs == (
        f"dataset.json: a rationale is of another length than its tokens and is left out: 1 time {b}",
        f"dataset.json: a rationale is of other values than 0 and 1 and is left out: 1 time {b}",
        f"dataset.json: an annotator gave no label: 1 time {c}",
        f"dataset.json: an annotator named a target twice; it counts once: 1 time {c}",
    )


@pytest.mark.parametrize(
    ("posts", "divisions", "said"),
    [
        ({"a": _post("a", ["hate"] * 3, [])}, {"train": ["a"]}, r'post "a": wanted the labels .*; found "hate"'),
        ({"a": {"annotators": [], "post_tokens": []}}, {"train": ["a"]}, r'post "a": wanted lists under'),
        ({"a": _post("a", [HATE], [], post_tokens=[1])}, {"train": ["a"]}, "post_tokens as a list of texts"),
        ({"a": _post("a", [HATE], [], annotators=["x"])}, {"train": ["a"]}, "annotators as objects"),
        ({"a": 1}, {"train": ["a"]}, "wanted an object; found a int"),
        ([], {}, "wanted an object post id -> post; found a list"),
        ({}, {"training": []}, r'under "train", "val", "test"; found "training"'),
        ({}, {"train": ["a"], "val": ["a"]}, 'post "a" is in the divisions train and val'),
        ('{"a": "\\ud800"}', {}, "half a surrogate pair"),
        ('{"a": {"post_id"', {}, "line 1, column"),
        ('{"a": 1, "a": 2}', {}, "stands twice"),
    ],
)
def test_files_that_are_not_in_the_layout(tmp_path: Path, posts: object, divisions: object, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        hatexplain.read(_write(tmp_path, posts, divisions))


def test_absent_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"wanted dataset.json and post_id_divisions.json here or in a sub-folder"):
        hatexplain.read(tmp_path)
    _write(tmp_path, {}, {"train": []})
    assert hatexplain.read(tmp_path).items.height == 0
    (tmp_path / "post_id_divisions.json").unlink()
    with pytest.raises(SourceError, match=r"post_id_divisions.json: there is no such file"):
        hatexplain.read(tmp_path)
