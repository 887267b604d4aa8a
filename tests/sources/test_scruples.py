from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import scruples
from dfar_toolkit.sources.layout import SourceTables

NAMES = ("AUTHOR", "OTHER", "EVERYBODY", "NOBODY", "INFO")
ANECDOTE: dict[str, Any] = {
    "id": "a1",
    "post_id": "x7",
    "post_type": "HISTORICAL",
    "action": {"description": "keeping it", "pronormative_score": 1, "contranormative_score": 4},
    "title": "AITA for keeping a purse?",
    "text": "I found a purse.\n\nI kept it.",
    "label_scores": {"AUTHOR": 4, "OTHER": 1, "EVERYBODY": 2, "NOBODY": 0, "INFO": 3},
    "label": "AUTHOR",
    "binarized_label_scores": {"RIGHT": 1, "WRONG": 6},
    "binarized_label": "WRONG",
}
DILEMMA: dict[str, Any] = {
    "id": "d1",
    "actions": [{"id": "p", "description": "keeping a purse"}, {"id": "q", "description": "asking about it"}],
    "gold_annotations": [4, 1],
    "gold_label": 0,
    "human_perf_annotations": [2, 3],
    "human_perf_label": 1,
    "controversial": True,
}


def _with(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(record), **changes}


def _scores(*counts: int) -> dict[str, int]:
    return dict(zip(NAMES, counts, strict=True))


def _write(folder: Path, name: str, *records: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return folder


def _accounted(tables: SourceTables) -> None:
    assert sum(f.rows for f in tables.files) == tables.items.height + sum(d.count for d in tables.dropped)
    assert tables.targets is not None
    assert tables.targets.join(tables.items, on="item_id", how="anti").is_empty()
    assert tables.annotations.is_empty()


def test_anecdotes_votes_title_and_the_rest(tmp_path: Path) -> None:
    folder = _write(tmp_path / "anecdotes", "train.scruples-anecdotes.jsonl", ANECDOTE).parent
    _write(
        folder / "anecdotes",
        "dev.scruples-corpus.jsonl",
        _with(ANECDOTE, id="a2", text=" ", action=None, label="OTHER", label_scores=_scores(1, 2, 0, 2, 0)),
        _with(ANECDOTE, id="a3", label="NOBODY"),
        _with(ANECDOTE, id="a4", label_scores=_scores(0, 0, 0, 0, 0)),
        _with(ANECDOTE, id="a5", title="", text=None),
    )
    tables = scruples.read(folder, set_name="anecdotes")
    _accounted(tables)
    assert tables.items.select("item_id", "split", "statement").rows() == [
        ("scruples.anecdotes:train:a1", "train", "I found a purse.\n\nI kept it."),
        ("scruples.anecdotes:dev:a2", "dev", "AITA for keeping a purse?"),
        ("scruples.anecdotes:dev:a3", "dev", "I found a purse.\n\nI kept it."),
    ]
    title = [{"field": "title", "role": "", "text": "AITA for keeping a purse?"}]
    assert tables.items["context"].to_list() == [title, [], title]
    extra = json.loads(tables.items["extra"][0])
    assert sorted(extra) == ["action", "post_id", "post_type"]
    assert extra["action"]["contranormative_score"] == 4
    assert "action" not in json.loads(tables.items["extra"][1])
    assert tables.targets is not None
    assert tables.targets.select("label", "label_counts", "n_ratings").rows() == [
        ("AUTHOR", [4, 1, 2, 0, 3], 10),
        ("OTHER", [1, 2, 0, 2, 0], 5),
        ("NOBODY", [4, 1, 2, 0, 3], 10),
    ]
    assert tables.targets["label_probs"].to_list()[0] == [0.4, 0.1, 0.2, 0.0, 0.3]
    assert tables.repairs == (
        "dev.scruples-corpus.jsonl: who_is_wrong: 1 of 2 items have several options with most votes; the published "
        'label is kept ("a2")',
        "dev.scruples-corpus.jsonl: who_is_wrong: 1 of 2 items have a published label that is not the one with most "
        'votes; it is kept ("a3")',
    )
    assert [(d.reason, d.count) for d in tables.dropped] == [("no votes", 1), ("title and text are empty", 1)]


def test_binarised_votes_are_sums_without_info(tmp_path: Path) -> None:
    bare = {name: value for name, value in ANECDOTE.items() if not name.startswith("binarized")}
    folder = _write(
        tmp_path,
        "test.scruples-anecdotes.jsonl",
        ANECDOTE,
        _with(bare, id="a2", label_scores=_scores(2, 1, 0, 1, 9)),
        _with(ANECDOTE, id="a3", label_scores=_scores(0, 0, 0, 0, 7)),
        _with(ANECDOTE, id="a4", binarized_label_scores={"RIGHT": 2, "WRONG": 6}),
    )
    tables = scruples.read(folder, set_name="anecdotes-binarised")
    _accounted(tables)
    assert tables.targets is not None
    assert tables.targets.select("item_id", "label", "label_counts", "n_ratings").rows() == [
        ("scruples.anecdotes-binarised:test:a1", "WRONG", [1, 6], 7),
        ("scruples.anecdotes-binarised:test:a2", "RIGHT", [2, 2], 4),  # a tie: the first in the published order
        ("scruples.anecdotes-binarised:test:a4", "WRONG", [1, 6], 7),
    ]
    assert tables.questions.row(0)[:3] == ("author_is", "nominal", ["RIGHT", "WRONG"])
    assert [(d.reason, d.count) for d in tables.dropped] == [("no votes but INFO", 1)]
    assert json.loads(tables.items["extra"][1])["label_scores"]["INFO"] == 9
    assert [said.split(": ", 1)[1] for said in tables.repairs] == [
        'author_is: 1 of 3 items have no published label; most votes decide, of several options the first ("a2")',
        'in 1 of 3 items binarized_label_scores is not the sum of label_scores; the sum is used ("a4")',
    ]
    with_both = scruples.read(folder, set_name="anecdotes")
    assert with_both.items["statement"].to_list()[:2] == tables.items["statement"].to_list()[:2]


def test_dilemmas_are_about_the_less_ethical_action(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "train-extra.scruples-dilemmas.jsonl",
        _with(DILEMMA, human_perf_annotations=[0, 0], human_perf_label=0),
    )
    _write(
        tmp_path,
        "dev.scruples-actions.jsonl",
        DILEMMA,
        _with(DILEMMA, id="d2", gold_annotations=[0, 5], gold_label=0),
        _with(DILEMMA, id="d3", gold_annotations=[0, 0]),
        _with(DILEMMA, id=4, actions=[{"id": "p", "description": " "}, {"id": "p", "description": "asking"}]),
    )
    tables = scruples.read(tmp_path)
    _accounted(tables)
    assert tables.info.name == "scruples.dilemmas"
    assert tables.items.select("item_id", "split", "statement", "option_texts").rows()[:2] == [
        (f"scruples.dilemmas:{split}:d1", split, "First action: keeping a purse\nSecond action: asking about it", texts)
        for split, texts in [(s, ["keeping a purse", "asking about it"]) for s in ("train.extra", "dev")]
    ]
    assert json.loads(tables.items["extra"][0]) == {"action_facts": [{"id": "p"}, {"id": "q"}], "controversial": True}
    assert tables.questions["question"].to_list() == ["less_ethical", "human_performance"]
    assert tables.questions["options"].to_list() == [["first", "second"]] * 2
    assert tables.targets is not None
    assert tables.targets.select("item_id", "question", "label", "label_counts", "n_ratings").rows() == [
        ("scruples.dilemmas:train.extra:d1", "less_ethical", "first", [4, 1], 5),
        ("scruples.dilemmas:dev:d1", "less_ethical", "first", [4, 1], 5),
        ("scruples.dilemmas:dev:d1", "human_performance", "second", [2, 3], 5),
        ("scruples.dilemmas:dev:d2", "less_ethical", "first", [0, 5], 5),
        ("scruples.dilemmas:dev:d2", "human_performance", "second", [2, 3], 5),
    ]
    assert [(d.reason, d.count, d.examples) for d in tables.dropped] == [
        ("no votes", 1, ("scruples.dilemmas:dev:d3",)),
        ("an action has no description", 1, ("scruples.dilemmas:dev:4",)),
    ]
    assert (
        'less_ethical: 1 of 2 items have a published label that is not the one with most votes; it is kept ("d2")'
        in (tables.repairs[0])
    )


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (_with(ANECDOTE, label="YTA"), 'record 1: wanted one of "AUTHOR", .* as label; found "YTA"'),
        (_with(ANECDOTE, label_scores={"AUTHOR": 1}), 'wanted votes for "AUTHOR".*; found "AUTHOR"'),
        (_with(ANECDOTE, label_scores=_scores(1, 1, 1, 1, -1)), 'whole numbers of votes.*found "-1"'),
        (_with(ANECDOTE, label_scores={**_scores(1, 1, 1, 1, 1), "OTHER": 0.5}), 'label_scores; found "0.5"'),
        (_with(ANECDOTE, label_scores=[1, 2]), "wanted an object of votes as label_scores"),
        (_with(ANECDOTE, id=""), "wanted an id; found"),
        (_with(ANECDOTE, text=["a"]), "wanted a text as text"),
        ({k: v for k, v in ANECDOTE.items() if k != "label_scores"}, 'wanted the column "label_scores"'),
    ],
)
def test_anecdotes_out_of_layout(tmp_path: Path, record: dict[str, Any], said: str) -> None:
    _write(tmp_path, "dev.scruples-anecdotes.jsonl", record)
    with pytest.raises(SourceError, match=said) as caught:
        scruples.read(tmp_path)
    assert "dev.scruples-anecdotes.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (_with(DILEMMA, gold_label=2), 'wanted 0 or 1 as gold_label; found "2"'),
        (_with(DILEMMA, gold_annotations=[1, 2, 3]), "wanted the votes for two actions as gold_annotations"),
        (_with(DILEMMA, actions=[{"description": "one"}]), "wanted two actions"),
        (_with(DILEMMA, actions=["a", "b"]), "wanted two actions"),
        (_with(DILEMMA, human_perf_annotations=[1, None]), "human_perf_annotations; found nothing"),
    ],
)
def test_dilemmas_out_of_layout(tmp_path: Path, record: dict[str, Any], said: str) -> None:
    _write(tmp_path, "dev.scruples-dilemmas.jsonl", record)
    with pytest.raises(SourceError, match=said):
        scruples.read(tmp_path)


def test_files_that_cannot_be_told_or_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="here or in a sub-folder; found none"):
        scruples.read(tmp_path)
    _write(tmp_path, "dev.scruples-anecdotes.jsonl", ANECDOTE, ANECDOTE)
    with pytest.raises(SourceError, match='wanted every id once; "a1" stands more than once'):
        scruples.read(tmp_path)
    with pytest.raises(SourceError, match=r"wanted the files SPLIT.scruples-dilemmas.jsonl of the set dilemmas"):
        scruples.read(tmp_path, set_name="dilemmas")
    _write(tmp_path, "dev.scruples-corpus.jsonl", ANECDOTE)
    with pytest.raises(SourceError, match="two files for the split dev"):
        scruples.read(tmp_path)
    (tmp_path / "dev.scruples-corpus.jsonl").unlink()
    _write(tmp_path, "dev.scruples-dilemmas.jsonl", DILEMMA)
    with pytest.raises(SourceError, match=r"found several sets .*as in scruples:anecdotes"):
        scruples.read(tmp_path)
    with pytest.raises(SourceError, match=r'no set "anecdotes-binarized".*Is it "anecdotes-binarised"'):
        scruples.read(tmp_path, set_name="anecdotes-binarized")
    path = tmp_path / "dev.scruples-dilemmas.jsonl"
    whole = path.read_bytes()
    for content, said in (
        (whole + whole[: len(whole) // 2], "line 2, column .*not valid JSON"),
        (b"PK\x03\x04\x14\x00\x00\x00\xb5\xff", "packed with zip"),
        (whole.replace(b"keeping", b"k\xe9eping"), "invalid UTF-8"),
        (b"[" + whole.strip() + b"]", "one JSON object per line"),
        (whole.replace(b'"gold_label": 0', b'"gold_label": 0, "gold_label": 1'), "stands twice in one object"),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=said):
            scruples.read(tmp_path, set_name="dilemmas")


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 5), min_size=1, max_size=6))
def test_votes_come_back(tmp_path_factory: pytest.TempPathFactory, counts: list[tuple[int, ...]]) -> None:
    records = [
        _with(ANECDOTE, id=str(k), label_scores=_scores(*c), label=max(NAMES, key=lambda n, c=c: c[NAMES.index(n)]))
        for k, c in enumerate(counts)
    ]
    folder = _write(tmp_path_factory.mktemp("scruples"), "train.scruples-anecdotes.jsonl", *records)
    five, two = (scruples.read(folder, set_name=name) for name in ("anecdotes", "anecdotes-binarised"))
    _accounted(five)
    _accounted(two)
    assert five.targets is not None
    assert two.targets is not None
    assert five.targets["label_counts"].to_list() == [list(c) for c in counts if sum(c)]
    assert not any("not the one with most votes" in said for said in five.repairs)
    assert five.targets["label"].to_list() == [NAMES[c.index(max(c))] for c in counts if sum(c)]
    sums = [[c[1] + c[3], c[0] + c[2]] for c in counts]
    assert two.targets["label_counts"].to_list() == [s for s in sums if sum(s)]


@pytest.mark.real
def test_the_published_small_files(shared_data: Path) -> None:
    anecdotes = scruples.read(shared_data / "scruples", set_name="anecdotes")
    _accounted(anecdotes)
    assert anecdotes.targets is not None
    assert sorted(anecdotes.targets["label"]) == sorted(NAMES)
    assert anecdotes.repairs == ()
    two = scruples.read(shared_data / "scruples", set_name="anecdotes-binarised")
    assert two.targets is not None
    assert two.targets["label"].to_list() == ["RIGHT", "WRONG", "WRONG", "RIGHT"]
    dilemmas = scruples.read(shared_data / "scruples", set_name="dilemmas")
    assert dilemmas.targets is not None
    assert dilemmas.targets["label"].to_list() == ["first", "second", "first", "second"]
    assert dilemmas.questions["question"].to_list() == ["less_ethical"]
