"""Words in common with people: fractions by hand, chance by enumeration, spans matched one to one, laws."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.rationale import (
    against_people,
    human_ceiling,
    iou_f1,
    marked_words,
    token_f1,
    token_f1_above_chance,
    token_iou,
    top_k_mask,
)
from dfar_toolkit.metrics.rationale.iou_f1 import span_counts, word_runs

Masks = list[list[int]]


@st.composite
def rationales(draw: st.DrawFn) -> tuple[list[Masks], Masks, list[list[float]]]:
    """People's masks, a chosen mask and scores of a few items."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    bits = st.integers(0, 1)
    people = [draw(st.lists(st.lists(bits, min_size=n, max_size=n), min_size=1, max_size=4)) for n in sizes]
    chosen = [draw(st.lists(bits, min_size=n, max_size=n)) for n in sizes]
    scores = [draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=n, max_size=n)) for n in sizes]
    return people, chosen, scores


def naive_gold(people: Masks, rule: str) -> list[int]:
    counts = [sum(column) for column in zip(*people, strict=True)]
    a = len(people)
    return [int(c >= 1 if rule == "any" else c > a / 2 if rule == "majority" else c == a) for c in counts]


def naive_f1(chosen: list[int], gold: list[int]) -> Fraction:
    common = sum(c and g for c, g in zip(chosen, gold, strict=True))
    both = sum(chosen) + sum(gold)
    return Fraction(2 * common, both) if both else Fraction(1)


# Item 1: five words, three people 11000, 11100, 01100; majority 11100; chosen 01110.
# Item 2: four words, two people 1000, 0000; majority (more than 1 of 2) 0000; chosen 0100.
# Item 3: two words, one person 00; chosen 00.
PEOPLE: list[Masks] = [[[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0]]]
CHOSEN: Masks = [[0, 1, 1, 1, 0], [0, 1, 0, 0], [0, 0]]


def test_by_hand() -> None:
    marked = marked_words(PEOPLE, CHOSEN)
    # majority: t = 2, k = 3, g = 3 | 0, 1, 0 | 0, 0, 0
    assert token_f1(marked, ci=None).value == pytest.approx(float((Fraction(2, 3) + 0 + 1) / 3), abs=1e-15)
    assert token_f1(marked, part="precision", ci=None).value == pytest.approx(5 / 9, abs=1e-15)
    micro = [token_f1(marked, average="micro", part=part, ci=None).value for part in ("precision", "recall", "f1")]
    assert micro == pytest.approx([2 / 4, 2 / 3, 4 / 7], abs=1e-15)
    # any: item 1 the same (11100), item 2 gold 1000: 0; all: 01000 gives 2 / 4, 0000: 0
    assert token_f1(marked, gold="any", ci=None).value == pytest.approx(5 / 9, abs=1e-15)
    assert token_f1(marked, gold="all", ci=None).value == pytest.approx(1 / 2, abs=1e-15)
    assert token_iou(marked, ci=None).value == pytest.approx((2 / 4 + 0 + 1) / 3, abs=1e-15)
    # random words: 2 x 3 x 3 / (5 x 6) = 3/5 in item 1; an empty side leaves nothing to chance
    found = token_f1_above_chance(marked, ci=None)
    assert found.value == pytest.approx(float((Fraction(2, 3) - Fraction(3, 5)) / 3), abs=1e-15)
    assert "1 with nothing chosen and nothing marked count as 0" in found.note
    # spans: 0-3 against 1-4 share 2 of 4 words: reached; item 2: 0; item 3: 1
    assert iou_f1(marked, ci=None).value == pytest.approx(2 / 3, abs=1e-15)
    assert iou_f1(marked, threshold=0.51, ci=None).value == pytest.approx(1 / 3, abs=1e-15)


def test_human_ceiling_by_hand() -> None:
    # Item 1, any of the others: 11000 - 11100: 4/5; 11100 - 11100: 1; 01100 - 11100: 4/5: 13/15.
    # Item 2: 1000 - 0000: 0, and back: 0. Item 3 has one person.
    marked = marked_words(PEOPLE, CHOSEN)
    found = human_ceiling(marked, gold="any", ci=None)
    assert found.value == pytest.approx(13 / 30, abs=1e-15)
    assert found.n == 2
    assert "1 of 3 without a second person left out" in found.note
    # majority of two others is both: 11000 - 01100: 1/2; 11100 - 01000: 1/2; 01100 - 11000: 1/2
    assert human_ceiling(marked, ci=None).value == pytest.approx(1 / 4, abs=1e-15)
    assert "0 and 1" in human_ceiling(marked, metric="average_precision", ci=None).note
    alone = human_ceiling(marked_words([[[1, 0]]], [[1, 0]]), ci=None)
    assert np.isnan(alone.value)
    assert "two people" in alone.note


@pytest.mark.parametrize("n", range(1, 7))
def test_chance_is_the_mean_over_all_subsets(n: int) -> None:
    for g in range(n + 1):
        gold = [1] * g + [0] * (n - g)
        for k in range(n + 1):
            subsets = [[int(at in one) for at in range(n)] for one in combinations(range(n), k)]
            mean = sum((naive_f1(one, gold) for one in subsets), Fraction(0)) / len(subsets)
            marked = marked_words([[gold]], [subsets[0]])
            above = token_f1_above_chance(marked, ci=None).value
            assert above == pytest.approx(float(naive_f1(subsets[0], gold) - mean), abs=1e-12)


@given(rationales(), st.sampled_from(["any", "majority", "all"]))
@settings(max_examples=20, deadline=None)
def test_against_the_definition(data: tuple[list[Masks], Masks, list[list[float]]], rule: Any) -> None:
    people, chosen, _ = data
    gold = [naive_gold(own, rule) for own in people]
    wanted = sum((naive_f1(c, g) for c, g in zip(chosen, gold, strict=True)), Fraction(0)) / len(gold)
    assert token_f1(marked_words(people, chosen), gold=rule, ci=None).value == pytest.approx(float(wanted), abs=1e-12)


@given(rationales(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_order_of_items_and_people_changes_nothing(
    data: tuple[list[Masks], Masks, list[list[float]]], random: Any
) -> None:
    people, chosen, scores = data
    order = list(range(len(people)))
    random.shuffle(order)
    mixed = [random.sample(people[i], len(people[i])) for i in order]
    one = marked_words(people, chosen, scores=scores)
    two = marked_words(mixed, [chosen[i] for i in order], scores=[scores[i] for i in order])
    for metric in (token_f1, iou_f1, token_f1_above_chance, human_ceiling):
        a, b = metric(one, n_boot=50), metric(two, n_boot=50)
        assert (a.n, a.note) == (b.n, b.note)
        assert [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high], abs=1e-12, nan_ok=True)


@given(rationales())
@settings(max_examples=20, deadline=None)
def test_items_twice_change_no_value(data: tuple[list[Masks], Masks, list[list[float]]]) -> None:
    people, chosen, _ = data
    one, two = marked_words(people, chosen), marked_words(people * 2, chosen * 2)
    for average in ("macro", "micro"):
        a, b = token_f1(one, average=average, ci=None), token_f1(two, average=average, ci=None)
        assert a.value == pytest.approx(b.value, abs=1e-12, nan_ok=True)


@given(rationales(), st.integers(0, 7), st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_highest_words(data: tuple[list[Masks], Masks, list[list[float]]], k: int, positive: bool) -> None:
    for scores in data[2]:
        order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:k]
        wanted = [at in order and (scores[at] > 0 or not positive) for at in range(len(scores))]
        assert top_k_mask(scores, k, positive_only=positive).tolist() == wanted


@given(
    st.lists(st.booleans(), min_size=0, max_size=9),
    st.lists(st.booleans(), min_size=9, max_size=9),
    st.sampled_from([0.1, 0.25, 0.34, 0.5, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_spans_matched_as_well_as_can_be(a: list[bool], b: list[bool], threshold: float) -> None:
    a = a + [False] * (9 - len(a))
    begins = np.array([True, *[False] * 8])
    runs = [list(zip(*word_runs(np.array(mask), begins), strict=True)) for mask in (a, b)]
    near = [
        [len(set(range(*x)) & set(range(*y))) / len(set(range(*x)) | set(range(*y))) >= threshold for y in runs[1]]
        for x in runs[0]
    ]
    short, long = sorted((len(runs[0]), len(runs[1])))
    turned = near if len(runs[0]) == short else [list(row) for row in zip(*near, strict=True)]
    best = max((sum(turned[i][j] for i, j in enumerate(p)) for p in permutations(range(long), short)), default=0)
    words = against_people(marked_words([[b]], [a]))
    assert [float(x[0]) for x in span_counts(words, threshold)] == [best, len(runs[0]), len(runs[1])]


def test_draws_are_averaged_within_the_item() -> None:
    people = [[[1, 0, 0]], [[0, 1, 0]]]
    draws = {
        ("random", 0): [[1, 0, 0], [1, 0, 0]],
        ("random", 1): [[0, 1, 0], [0, 1, 0]],
        ("random", 2): [[0, 0, 1], None],
    }
    found = token_f1(marked_words(people, draws), ci=None)
    assert found.value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found.n == 2
    micro = token_f1(marked_words(people, draws), average="micro", ci=None)
    assert micro.value == pytest.approx(2 * (1 / 3 + 1 / 2) / 4)


def test_as_many_words_as_people_marked_or_as_asked() -> None:
    marked = marked_words([[[1, 1, 0, 0, 0]]], scores=[[0.1, 0.1, 0.5, 0.1, -0.2]])
    assert against_people(marked).chosen.tolist() == [True, False, True, False, False]
    assert against_people(marked, top=1).chosen.sum() == 1
    assert against_people(marked, top=0.41).chosen.sum() == 3  # 2.05 words, rounded up
    assert against_people(marked, top=1.0, positive_only=True).chosen.sum() == 4
    assert "as many as people marked" in token_f1(marked, ci=None).note
    for wrong in (0, 0.0, 1.5, True, "all"):
        with pytest.raises(ValueError, match="top must be"):
            against_people(marked, top=wrong)  # type: ignore[arg-type]


def test_groups_are_resampled_whole() -> None:
    people = [[[1, 0, 0]]] * 12
    chosen = [[1, 0, 0]] * 6 + [[0, 1, 0]] * 6
    group = ["a", "b", "c", "a", "b", "c", "d", "e", "f", "d", "e", "f"]
    alone, together = token_f1(marked_words(people, chosen)), token_f1(marked_words(people, chosen, group=group))
    assert (alone.n_units, together.n_units, together.unit) == (12, 6, "groups")
    assert together.high - together.low > alone.high - alone.low
    assert token_f1(marked_words(people, chosen, group=group)) == together


def test_what_is_left_out_is_counted() -> None:
    marked = marked_words([[[1, 0]], None, [[0, 1], None], [[1]]], [[1, 0], [1], None, [1]])
    found = token_f1(marked, ci=None)
    assert (found.value, found.n) == (1.0, 2)
    assert "1 of 4 items that nobody was asked about left out" in found.note
    assert "1 of 3 without a rationale left out" in found.note
    none = token_f1(marked_words([[[1, 0]]], [None]), ci=None)
    assert np.isnan(none.value)
    assert "without a rationale" in none.note
    nothing = token_f1(marked_words([[[0, 0]]], [[0, 0]]), average="micro", ci=None)
    assert np.isnan(nothing.value)
    assert nothing.note == "nothing is chosen or marked anywhere"
    empty = token_f1(marked_words([], []), ci=None)
    assert np.isnan(empty.value)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"item 0 has 2 words by its first human mask, 3 in predicted"):
        marked_words([[[1, 0]]], [[1, 0, 0]])
    with pytest.raises(ValueError, match="found neither"):
        marked_words([[[1, 0]]])
    with pytest.raises(ValueError, match="has 1 items, scores has 2"):
        marked_words([[[1, 0]]], scores=[[1, 0], [0, 1]])
    with pytest.raises(TableError, match="must be 0 or 1"):
        marked_words([[[1, 0]]], [[0.3, 0.1]])
    with pytest.raises(TableError, match="finite"):
        marked_words([[[1, 0]]], scores=[[float("nan"), 0.1]])
    marked = marked_words([[[1, 0]]], {"a": [[1, 0]], "b": [[1, 0]]})
    with pytest.raises(ValueError, match="found None of a, b"):
        token_f1(marked)
    with pytest.raises(ValueError, match="gold must be one of"):
        token_f1(marked, method="a", gold="most")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="part must be one of"):
        token_f1(marked, method="a", part="f2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metric must be one of"):
        human_ceiling(marked, metric="f2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 0"):
        top_k_mask([1.0], -1)
