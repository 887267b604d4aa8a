from __future__ import annotations

import math

import polars as pl
import pytest
from browsed_folder import Browsed

from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.item_record import ItemRecord, RunRecord, item_record
from dfar_toolkit.browsing.perturbation_steps import perturbation_steps
from dfar_toolkit.browsing.rationale_rows import Overlap, RankedWord, RationaleRow, overlap, rationale_rows, top_words
from dfar_toolkit.browsing.word_rationales import RatedWord, WordRationale

TEXT = "I lied to her"
PLACES = [(0, 1), (2, 6), (7, 9), (10, 13)]
ITEM = {"statement": TEXT, "context": [{"field": "why", "role": "", "text": "It rained."}]}


def row(scores: list[float | None], chosen: tuple[int, ...] = (), *, method: str = "m") -> RationaleRow:
    words = tuple(
        RatedWord("statement", a, b, TEXT[a:b], s, at in chosen)
        for at, ((a, b), s) in enumerate(zip(PLACES, scores, strict=True))
    )
    run = _run((WordRationale(method, 0, None, words, "key"),))
    return rationale_rows(ItemRecord(0, ITEM, pl.DataFrame(), (run,), pl.DataFrame(), ()))[0]


def _run(rationales: tuple[WordRationale, ...], steps: pl.DataFrame | None = None) -> RunRecord:
    none = pl.DataFrame()
    answer = {"label": "x", "options": ["x", "y"], "evidence": None, "output_id": "r/0"}
    return RunRecord("r", "right", answer, none, none, rationales, none if steps is None else steps, none)


def test_the_highest_score_is_first_of_equal_ones_the_one_that_stands_first() -> None:
    found = row([0.5, -2.0, 0.5, math.nan], (1,))
    assert [(w.rank, w.weight) for w in found.words] == [(1, 0.25), (3, -1.0), (2, 0.25), (None, None)]
    assert [word.text for word in top_words(found, 2)] == ["I", "to"]
    assert [word.text for word in top_words(row([None] * 4, (3, 1)), 5)] == ["lied", "her"]
    assert row([0.0] * 4).words[0].weight == 0.0


def test_what_two_rows_share() -> None:
    first, second = row([None] * 4, (0, 1)), row([None] * 4, (1, 2))
    found = overlap(first, second, ITEM)
    assert (found.n_both, found.n_first, found.n_second) == (1, 1, 1)
    assert found.jaccard == pytest.approx(1 / 3, abs=1e-12)
    assert [(p.text, p.share) for p in found.fields["statement"]] == [
        ("I", "first"), (" ", ""), ("lied", "both"), (" ", ""), ("to", "second"), (" her", "")
    ]  # fmt: skip
    assert [p.text for p in found.fields["why"]] == ["It rained."]
    assert found.note == ""


def test_scores_without_a_choice_count_as_many_words_as_the_other_chose() -> None:
    scored = row([0.1, 0.4, 0.3, 0.2])
    found = overlap(scored, row([None] * 4, (1, 3)), ITEM)
    assert (found.n_both, found.n_first, found.n_second) == (1, 1, 1)
    assert found.note == "m: the 2 highest-scored words"
    # Neither chose any: a fifth of the six words, rounded up.
    assert overlap(scored, scored, ITEM).n_both == 2


def test_two_rows_without_words_have_no_share() -> None:
    empty = row([None] * 4)
    found: Overlap = overlap(empty, empty, ITEM)
    assert math.isnan(found.jaccard)


def test_people_come_first_and_random_words_stand_aside(browsed: Browsed, index: ItemIndex) -> None:
    record = item_record(index, 2)
    marks = [[{"field": "statement", "start": 2, "end": 7, "set": 0}]]
    people = record.annotations.head(1).with_columns(pl.Series("evidence", marks))
    run = next(r for r in record.runs if r.run == "run a")
    noise = run.rationales[0]._replace(method="random", draw=3)
    lost = run.rationales[0]._replace(words=(RatedWord("nowhere", 0, 1, None, 1.0, True),))
    changed = record._replace(annotations=people, runs=(run._replace(rationales=(noise, *run.rationales, lost)),))
    rows = rationale_rows(changed)
    assert [(r.run, r.who, r.aside, r.n_lost) for r in rows] == [
        ("", people["annotator_id"][0], False, 0), ("run a", "attention", False, 0), ("run a", "attention", False, 1),
        ("run a", "random", True, 0),
    ]  # fmt: skip
    assert rows[0].words == (RankedWord("statement", 2, 7, "Stole", None, None, None, True),)
    assert rows[0].key == f"human/{people['rating_id'][0]}"


def test_steps_pair_hidden_words_with_the_words_alone_and_average_draws() -> None:
    key = {"operator": "remove", "k": 2, "share": 0.5, "options": ["x", "y"]}
    steps = pl.DataFrame(
        [
            {**key, "method": "m", "condition": "without_top", "draw": 0, "label": "y", "label_probs": [0.25, 0.75]},
            {**key, "method": "m", "condition": "only_top", "draw": 0, "label": "x", "label_probs": [0.5, 0.5]},
            {**key, "method": "random", "condition": "without_top", "draw": 0, "label": "x", "label_probs": [1.0, 0.0]},
            {**key, "method": "random", "condition": "without_top", "draw": 1, "label": "y", "label_probs": [0.5, 0.5]},
            {**key, "method": "", "condition": "empty", "k": -1, "draw": 0, "label": None, "label_probs": None},
        ]
    )
    empty, m, random = perturbation_steps(_run((), steps), [row([0.1, 0.4, 0.3, 0.2])])
    assert (empty.what, empty.k, empty.alone) == ("everything", -1, None)
    assert empty.gone is not None
    assert empty.gone[:4] == (1, 0, 1, None)
    assert math.isnan(empty.gone.probability)
    assert m.words == ("lied", "to")
    assert m.gone is not None
    assert m.gone[:5] == (1, 1, 0, "y", 0.25)
    assert m.alone is not None
    assert m.alone[:5] == (1, 0, 0, "x", 0.5)
    assert random.gone is not None
    assert random.gone[:5] == (2, 1, 0, None, 0.75)
    assert random.gone.probs == {"x": 0.75, "y": 0.25}
