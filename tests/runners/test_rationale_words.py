"""From tokens to words, from marks of people to words, and words by chance."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import asked_of
from dfar_toolkit.prompts.item_words import Word, item_words
from dfar_toolkit.runners.rationales.human_words import human_words_of
from dfar_toolkit.runners.rationales.random_words import random_rationales
from dfar_toolkit.runners.rationales.rationale import top_words
from dfar_toolkit.runners.rationales.word_scores import reduction_of, word_scores
from dfar_toolkit.sources import medical_bios
from dfar_toolkit.spans import unit_shares
from dfar_toolkit.tables import conform

# Two words; token 0 lies in word 0, token 1 with 3 of its 4 characters in word 0 and one in word 1, token 2 in word 1.
SHARES = [(0, 0, 1.0), (1, 0, 0.75), (1, 1, 0.25), (2, 1, 1.0)]
TOKENS = [1.0, -4.0, 2.0]


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sum", (1 - 3, -1 + 2)),  # 1 - 4 * 3/4, -4 * 1/4 + 2
        ("mean", ((1 - 3) / 1.75, (-1 + 2) / 1.25)),
        ("max", (1, 2)),
        ("max_abs", (-4, -4)),
    ],
)
def test_reductions_by_hand(reduction: Any, expected: tuple[float, ...]) -> None:
    found = word_scores(TOKENS, SHARES, 3, reduction)
    assert found.scores == pytest.approx((*expected, 0.0), abs=1e-12)
    assert found.n_untouched == 1
    assert word_scores([], [], 2, reduction) == ((0.0, 0.0), 2)


def test_of_equal_sizes_the_first_token_counts() -> None:
    assert word_scores([-2.0, 2.0], [(0, 0, 1.0), (1, 0, 1.0)], 1, "max_abs").scores == (-2.0,)
    assert [reduction_of(name, None) for name in ("input_x_gradient", "gradient_l2")] == ["sum", "max"]
    assert reduction_of("attention", "mean") == "mean"


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.lists(st.integers(1, 5), min_size=1, max_size=8),
       st.lists(st.floats(-9, 9), min_size=40, max_size=40))  # fmt: skip
def test_laws_of_words_from_tokens(words: list[int], tokens: list[int], scores: list[float]) -> None:
    """Words with one blank between, tokens that cut the text anywhere; a naive loop as oracle."""
    ends = np.cumsum(np.array(words) + 1) - 1
    units = [(int(end - size), int(end)) for size, end in zip(words, ends, strict=True)]
    cuts = np.cumsum([0, *tokens])
    spans = [(int(a), int(b)) for a, b in pairwise(cuts)]
    shares = unit_shares(units, spans)
    own = scores[: len(tokens)]
    touching = [[(t, share) for t, unit, share in shares if unit == word] for word in range(len(words))]
    oracle = {
        "sum": [sum(own[t] * s for t, s in pairs) for pairs in touching],
        "mean": [sum(own[t] * s for t, s in p) / sum(s for _, s in p) if p else 0.0 for p in touching],
        "max": [max((own[t] for t, _ in pairs), default=0.0) for pairs in touching],
        "max_abs": [max((own[t] for t, _ in pairs), key=abs, default=0.0) for pairs in touching],
    }
    for reduction, expected in oracle.items():
        found = word_scores(own, shares, len(words), reduction)  # type: ignore[arg-type]
        assert found.scores == pytest.approx(expected, abs=1e-12), reduction
        assert found.n_untouched == sum(not pairs for pairs in touching)
    placed = {t for t, _, _ in shares}  # nothing is lost or counted twice
    assert sum(word_scores(own, shares, len(words), "sum").scores) == pytest.approx(
        sum(own[t] for t in placed), abs=1e-9
    )


def test_random_words_are_nested_seeded_and_of_their_item_alone() -> None:
    found = random_rationales("i1", 12, draws=3, seed=0)
    assert found == random_rationales("i1", 12, draws=3, seed=0)
    assert len({one.scores for one in found}) == 3
    assert found[0].scores != random_rationales("i2", 12, draws=1, seed=0)[0].scores
    assert found[0].scores != random_rationales("i1", 12, draws=1, seed=1)[0].scores
    for one in found:
        assert one.scores is not None
        assert sorted(one.scores) == [float(rank) for rank in range(1, 13)]
        sets = [top_words(one.scores, k) for k in range(13)]
        assert all(a < b and len(b) == k + 1 for k, (a, b) in enumerate(pairwise(sets)))


def test_random_first_words_are_uniform() -> None:
    first = [random_rationales(f"i{n}", 5, draws=1, seed=3)[0].scores.index(5.0) for n in range(1000)]  # type: ignore[union-attr]
    # 1000 draws over 5 places: standard error sqrt(1000 * 0.2 * 0.8) = 12.6; five of them are 63.
    assert np.abs(np.bincount(first, minlength=5) - 200).max() < 63


WORDS = {
    "i1": [Word("premise", 0, 3), Word("premise", 4, 9), Word("statement", 0, 3), Word("statement", 4, 8)],
    "i2": [Word("statement", 0, 2)],
    "i3": [Word("statement", 0, 2)],
    "i4": [],
}
ITEMS = pl.DataFrame({"item_id": list(WORDS)})


def span(start: int, end: int, field: str = "statement", group: int = 0) -> dict[str, Any]:
    return {"field": field, "start": start, "end": end, "set": group}


def marked(*rows: tuple[Any, ...], question: str = "why") -> pl.DataFrame:
    """Annotations from (item, annotator, rating, evidence, optionally question and foil)."""
    names = ("item_id", "annotator_id", "rating_id", "evidence", "question", "foil")
    full = [(*row, *(question, None)[len(row) - 4 :]) for row in rows]
    frame = pl.DataFrame([dict(zip(names, row, strict=True)) for row in full], infer_schema_length=None)
    return conform(frame.with_columns(value=pl.lit("bad")), "annotations")


def test_words_of_several_people() -> None:
    rows = marked(
        ("i1", "a", "1", [span(0, 2, "premise"), span(2, 5)]),  # touches one word, and two
        ("i1", "b", "2", [span(5, 6)]),
        ("i1", "c", "3", []),
        ("i1", "d", "4", None),  # not asked
        ("i2", "a", "5", None),
        ("i4", "a", "6", []),
    )
    found = human_words_of(ITEMS, rows, WORDS)
    assert list(found) == ["i1", "i4"]
    own = found["i1"]
    assert own.people == ("a", "b", "c")
    assert own.masks.astype(int).tolist() == [[1, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert (sorted(own.any), sorted(own.majority), sorted(own.all)) == ([0, 2, 3], [3], [])
    assert own.n_outside == 0
    assert found["i4"].masks.shape == (1, 0)
    assert found["i4"].majority == frozenset()
    again = human_words_of(ITEMS, rows.sample(fraction=1, shuffle=True, seed=1), WORDS)["i1"]
    assert (again.people, again.masks.tolist(), again.sets) == (own.people, own.masks.tolist(), own.sets)


def test_a_tie_is_no_majority() -> None:
    two = marked(("i2", "a", "1", [span(0, 2)]), ("i2", "b", "2", []))
    own = human_words_of(ITEMS, two, WORDS)["i2"]
    assert (own.any, own.majority, own.all) == ({0}, frozenset(), frozenset())


def test_sets_of_evidence_are_kept_apart() -> None:
    rows = marked(
        ("i1", "eraser:unknown", "1",
         [span(0, 3, "premise", 0), span(4, 8, group=1), span(0, 3, group=1), span(0, 3, "premise", 2)])
    )  # fmt: skip
    own = human_words_of(ITEMS, rows, WORDS)["i1"]
    assert own.sets == ((frozenset({0}), frozenset({2, 3}), frozenset({0})),)
    assert own.alternatives == (frozenset({0}), frozenset({2, 3}))
    assert own.majority == own.any == {0, 2, 3}


def test_nobody_known_is_one_person_per_rating_and_a_known_person_is_one() -> None:
    rows = marked(
        ("i2", "bios:unknown", "1", [span(0, 2)]), ("i2", "bios:unknown", "2", [span(0, 2)]),
        ("i2", "bios:unknown", "3", []), ("i3", "a", "4", [span(0, 2)]), ("i3", "a", "5", []),
    )  # fmt: skip
    found = human_words_of(ITEMS, rows, WORDS)
    assert (found["i2"].people, found["i2"].majority) == (("1", "2", "3"), {0})
    assert (found["i3"].people, found["i3"].all) == (("a",), {0})


def test_spans_elsewhere_are_counted() -> None:
    words = {"i1": WORDS["i1"][2:]}
    rows = marked(("i1", "a", "1", [span(0, 3, "premise"), span(3, 4), span(0, 1), span(2, 2)]))
    own = human_words_of(ITEMS, rows, words)["i1"]
    assert (own.any, own.n_outside) == ({0}, 3)  # another field, a blank, nothing at all


def test_the_question_of_the_marks() -> None:
    rows = marked(
        ("i2", "a", "1", [span(0, 2)], "why", None), ("i2", "a", "2", [], "rather", "good"),
        ("i3", "a", "3", [], "label", None),
    )  # fmt: skip
    found = human_words_of(ITEMS, rows, WORDS)  # marks for one label rather than another are not meant
    assert (found["i2"].any, found["i3"].any) == ({0}, frozenset())
    assert human_words_of(ITEMS, rows, WORDS, question="rather")["i2"].any == frozenset()
    with pytest.raises(TableError, match='no marked words to \'no\'; there are "label", "rather", "why"'):
        human_words_of(ITEMS, rows, WORDS, question="no")
    both = marked(("i2", "a", "1", [], "why", None), ("i2", "a", "2", [], "label", None))
    with pytest.raises(TableError, match="name one of them"):
        human_words_of(ITEMS, both, WORDS)
    assert human_words_of(ITEMS, rows.clear(), WORDS) == {}
    assert human_words_of(ITEMS.clear(), rows, WORDS) == {}


def test_marks_as_published_become_words(tmp_path: Path) -> None:
    bio = {"text": "", "label": 3, "foil": 1, "words": ["He", "fills", "teeth", "."], "rationales": [0, 1, 1, 0],
           "contrastive_rationales": [0, 0, 1, 0], "annotations": [[0, 1, 1, 0], [0, 0, 1, 0]],
           "contrastive_annotations": [[0, 0, 0, 1]]}  # fmt: skip
    (tmp_path / "rationales_test.jsonl").write_text(json.dumps(bio), encoding="utf-8")
    tables = medical_bios.read(tmp_path)
    [asked] = asked_of(tables.items, list(medical_bios.LABELS))
    [item] = tables.items["item_id"]
    found = human_words_of(tables.items, tables.annotations, {item: item_words(asked)})[item]
    assert found.masks.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]
    assert (sorted(found.any), sorted(found.majority), len(set(found.people))) == ([1, 2], [2], 2)


@settings(max_examples=30)
@given(st.data())
def test_spans_find_their_words_as_a_loop_does(data: st.DataObject) -> None:
    fields = ("premise", "statement")
    texts = {f"i{n}": {f: data.draw(st.lists(st.integers(1, 3), max_size=4)) for f in fields} for n in range(3)}
    words = {
        item: [Word(f, 2 * sum(sizes[:at]) + at, 2 * sum(sizes[:at]) + at + size)
               for f, sizes in own.items() for at, size in enumerate(sizes)]
        for item, own in texts.items()
    }  # fmt: skip
    draws = st.tuples(st.sampled_from(list(texts)), st.sampled_from("ab"), st.sampled_from(fields), st.integers(0, 9),
                      st.integers(1, 6))  # fmt: skip
    spans = data.draw(st.lists(draws, max_size=6))
    pairs = sorted({(item, person) for item, person, *_ in spans})
    rows = [
        (i, p, p, [span(s, s + n, f) for item, person, f, s, n in spans if (item, person) == (i, p)]) for i, p in pairs
    ]
    found = human_words_of(pl.DataFrame({"item_id": list(texts)}), marked(*rows), words) if rows else {}
    assert set(found) == {item for item, _ in pairs}
    for item, own in found.items():
        for person, mask in zip(own.people, own.masks, strict=True):
            marks = [(f, s, s + n) for i, p, f, s, n in spans if (i, p) == (item, person)]
            assert mask.tolist() == [
                any(f == w.field and s < w.end and w.start < e for f, s, e in marks) for w in words[item]
            ]
