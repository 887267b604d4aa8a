"""Overlap of reasons: tokens, ROUGE-L, token F1, sacrebleu's scores, cosines of a user's embeddings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isnan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sklearn.metrics.pairwise import cosine_similarity

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.reasons.embeddings import cosine_matrix, cosine_pairs, embedding_overlap, stored_overlap
from dfar_toolkit.metrics.reasons.overlap import human_overlap, human_overlap_rows
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons
from dfar_toolkit.metrics.reasons.text_overlap import (
    bleu_scores,
    chrf_scores,
    overlap_scores,
    rouge_l_scores,
    token_scores,
)
from dfar_toolkit.metrics.reasons.word_tokens import word_tokens

# rouge-score 0.1.2, RougeScorer(["rougeL"], use_stemmer=False): candidate, reference, precision, recall, F.
ROUGE_SCORE = [
    ("the cat sat on the mat", "the cat was on the mat", 0.8333333333333334, 0.8333333333333334, 0.8333333333333334),
    (
        "It is wrong because it hurts other people, and they didn't agree.",
        "It's wrong: people are hurt who did not agree to it.",
        0.3076923076923077,
        0.3333333333333333,
        0.32,
    ),
    ("a b a b a b", "b a b a", 0.6666666666666666, 1.0, 0.8),
    ("wrong", "It is simply wrong to lie to your friends", 1.0, 0.1111111111111111, 0.2),
    ("She kept the $20 she found in 2019!", "In 2019 she found $20; she kept it.", 0.375, 0.375, 0.375),
    ("nothing shared here", "completely different words", 0.0, 0.0, 0.0),
]
AWKWARD = ["", "😀", "It is wrong.", "it is   WRONG", "wrong", "কর্তব্য পালন", "a a a b", "ﬁne ﬁght", "x" * 300]
words_of_few = st.lists(st.sampled_from("abcd"), max_size=9)


def naive_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_words_keep_marks_and_fold_case() -> None:
    assert word_tokens(["হিংসা করা ভুল।"]).to_list() == [["হিংসা", "করা", "ভুল"]]
    assert word_tokens(["Straße ＡＢＣ ﬁne", None, "…", "snake_case 3.5"]).to_list() == [
        ["strasse", "abc", "fine"],
        None,
        [],
        ["snake_case", "3", "5"],
    ]


@pytest.mark.parametrize(("candidate", "reference", "precision", "recall", "f1"), ROUGE_SCORE)
def test_rouge_l_against_rouge_score(
    candidate: str, reference: str, precision: float, recall: float, f1: float
) -> None:
    found = rouge_l_scores([candidate], [reference])
    assert [found.precision[0], found.recall[0], found.f1[0]] == pytest.approx([precision, recall, f1], abs=1e-12)


@given(words_of_few, words_of_few)
@settings(max_examples=30)
def test_rouge_l_against_the_definition(a: list[str], b: list[str]) -> None:
    found, common = rouge_l_scores([" ".join(a)], [" ".join(b)]), naive_subsequence(a, b)
    for value, bottom in ((found.precision[0], len(a)), (found.recall[0], len(b))):
        assert (isnan(value) and not bottom) or value == pytest.approx(common / bottom, abs=1e-12)
    both = len(a) + len(b)
    assert (isnan(found.f1[0]) and not both) or found.f1[0] == pytest.approx(2 * common / both, abs=1e-12)
    assert rouge_l_scores([" ".join(b)], [" ".join(a)]).f1[0] == pytest.approx(found.f1[0], abs=1e-12, nan_ok=True)


def test_a_text_of_many_words_is_scored_too() -> None:
    long = "a b " * 5000
    found = rouge_l_scores([long, "b x a", long], ["b x a", long, long])
    assert found.recall.tolist() == [2 / 3, 2 / 10_000, 1.0]
    assert found.precision.tolist() == [2 / 10_000, 2 / 3, 1.0]


def test_words_as_multisets_by_hand() -> None:
    # "a a b" and "b a c d": a and b are common, 2 of 3 and 2 of 4, F = 4/7.
    found = token_scores(["a a b", "", "x"], ["b a c d", "", ""])
    assert found.precision.tolist() == pytest.approx([2 / 3, np.nan, 0], nan_ok=True)
    assert found.recall.tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert found.f1.tolist() == pytest.approx([4 / 7, np.nan, 0], nan_ok=True)


def test_sacrebleu_scores_are_its_sentence_scores() -> None:
    left = [a for a in AWKWARD for _ in AWKWARD]
    right = AWKWARD * len(AWKWARD)
    chrf, bleu = CHRF(), BLEU(effective_order=True)
    by_hand = [chrf.sentence_score(a, [b]).score / 100 for a, b in zip(left, right, strict=True)]
    assert overlap_scores("chrf", left, right).tolist() == pytest.approx(by_hand, abs=1e-12)
    by_hand = [bleu.sentence_score(a, [b]).score / 100 for a, b in zip(left, right, strict=True)]
    assert overlap_scores("bleu", left, right).tolist() == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(("score", "module"), [(chrf_scores, "chrf"), (bleu_scores, "bleu")])
def test_without_sacrebleu_the_install_line_is_given(
    monkeypatch: pytest.MonkeyPatch, score: object, module: str
) -> None:
    monkeypatch.setitem(sys.modules, f"sacrebleu.metrics.{module}", None)
    with pytest.raises(ImportError, match=r"pip install 'dfar-toolkit\[overlap\]'"):
        score(["a"], ["b"])  # type: ignore[operator]


def test_mean_and_maximum_over_human_reasons() -> None:
    # Token F1 of "a b": 1 against "a b", 1/2 against "b c", 0 against "c d"; the second item 1/2 alone.
    frame = pl.DataFrame(
        {
            "reason": ["a b", "a b", None, " ", "a b"],
            "human_reasons": [["a b", "b c", "c d"], ["b c"], ["a b"], ["a b"], [None, " "]],
        }
    )
    mean = human_overlap(frame, metric="token_f1", ci=None)
    assert mean.value == pytest.approx((0.5 + 0.5) / 2, abs=1e-12)
    assert (mean.n, mean.note) == (
        2,
        "2 of 5 without a reason left out; 1 of 3 without a human reason or a score left out",
    )
    assert human_overlap(frame, metric="token_f1", over="max", ci=None).value == pytest.approx(0.75, abs=1e-12)


def test_records_of_an_items_table_are_read() -> None:
    records = [[{"annotator_id": "r1", "value": "e", "text": "b a"}], None]
    frame = pl.DataFrame({"reason": ["a b", "a"], "human_reasons": records})
    assert human_overlap(frame, metric="rouge_l", ci=None).value == 0.5


@given(st.lists(st.tuples(words_of_few, words_of_few), min_size=1, max_size=6), st.randoms())
@settings(max_examples=20)
def test_row_order_and_repetition_change_nothing(rows: list[tuple[list[str], list[str]]], random: object) -> None:
    made = [(" ".join(["z", *a]), [" ".join(["y", *b])]) for a, b in rows]
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = human_overlap(reason=[r for r, _ in made], human=[h for _, h in made], n_boot=50)
    two = human_overlap(reason=[r for r, _ in shuffled], human=[h for _, h in shuffled], n_boot=50)
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=1e-12, nan_ok=True)
    twice = human_overlap(reason=[r for r, _ in made * 2], human=[h for _, h in made * 2], ci=None)
    assert twice.value == pytest.approx(one.value, abs=1e-12)


def test_groups_widen_the_interval_and_the_seed_fixes_it() -> None:
    texts = ["a b"] * 20 + ["a x"] * 20
    how = {"reason": texts, "human": [["a b"]] * 40, "metric": "token_f1", "n_boot": 400}
    single = human_overlap(**how)  # type: ignore[arg-type]
    grouped = human_overlap(**how, group=[k // 10 for k in range(40)])  # type: ignore[arg-type]
    assert (single.unit, grouped.unit, grouped.n_units) == ("items", "groups", 4)
    assert grouped.high - grouped.low > 2 * (single.high - single.low)
    assert human_overlap(**how) == single  # type: ignore[arg-type]


def test_undefined_and_refused() -> None:
    empty = human_overlap(reason=[None], human=[["a"]])
    assert isnan(empty.value)
    assert empty.note == "no items; 1 of 1 without a reason left out"
    alone = human_overlap(reason=["a"], human=[[]])
    assert isnan(alone.value)
    assert alone.note.startswith("all 1 items are without a human reason")
    with pytest.raises(ValueError, match="over must be"):
        human_overlap(reason=["a"], human=[["a"]], over="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one of rouge_l"):
        human_overlap(reason=["a"], human=[["a"]], metric="meteor")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found text; wrap each"):
        human_overlap(reason=["a"], human=["a"])
    with pytest.raises(ValueError, match='no column "reason"'):
        human_overlap(pl.DataFrame({"text": ["a"]}))
    with pytest.raises(TableError, match="reason must be text"):
        human_overlap(reason=[1], human=[["a"]])
    with pytest.raises(ValueError, match="1 reasons, but human has 2"):
        human_overlap(reason=["a"], human=[["a"], ["b"]])
    with pytest.raises(ValueError, match="1 candidates, 2 references"):
        token_scores(["a"], ["b", "c"])
    with pytest.raises(ValueError, match=r"one number per pair \(1\)"):
        overlap_scores(lambda a, b: np.zeros((2, 2)), ["a"], ["b"])


def test_rows_are_what_scoring_needs() -> None:
    pairs = pair_reasons("test", None, reason=["a", "b"], human=[["a"], []])
    row = human_overlap_rows(pairs, metric="token_f1", over="max")
    assert (row.metric, row.rows.tolist()) == ("token_f1_max", [[1.0, 1.0], [0.0, 0.0]])


def test_cosine_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)) * 1e200
    assert cosine_matrix(left, right) == pytest.approx(cosine_similarity(left, right / 1e200), abs=1e-12)
    assert cosine_pairs(left, right[:4]) == pytest.approx(
        np.diag(cosine_similarity(left, right[:4] / 1e200)), abs=1e-12
    )
    assert isnan(cosine_matrix([[0.0, 0.0]], [[1.0, 0.0]])[0, 0])
    with pytest.raises(TableError, match="1 rows are not"):
        cosine_matrix([[np.nan, 0.0]], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="widths 2 and 1"):
        cosine_pairs([[1.0, 0.0]], [[1.0]])


def test_a_users_embeddings_are_made_once_in_batches() -> None:
    seen: list[list[str]] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        seen.append(list(texts))
        return [[t.count("a"), t.count("b"), 0.5] for t in texts]

    metric = embedding_overlap(embed, batch_size=2)
    reasons, humans = ["a", "ab", "a"], [["b"], ["ab", "ba"], ["b"]]
    found = human_overlap(reason=reasons, human=humans, metric=metric, over="max", ci=None)
    # cos("a", "b") = .25 / 1.25; "ab" and "ba" have equal vectors.
    assert found.value == pytest.approx((0.2 + 1 + 0.2) / 3, abs=1e-12)
    assert found.name == "embedding_cosine (max over human reasons)"
    assert sorted(t for batch in seen for t in batch) == ["a", "ab", "b", "ba"]
    assert max(map(len, seen)) == 2
    with pytest.raises(ValueError, match=r"one row per text \(1\)"):
        embedding_overlap(lambda texts: [1.0, 2.0])(["a"], ["a"])
    with pytest.raises(ValueError, match="there is none for 'c'"):
        stored_overlap(["a"], [[1.0]])(["a"], ["c"])


def test_scripts_without_spaces_are_counted_in_the_note() -> None:
    # One run of characters is one word: nothing in common but whole runs, and the note says so.
    reasons, human = ["因为他撒谎", "他撒谎", "he lied"], [["他撒谎"], ["他撒谎"], ["he lied to us"]]
    found = human_overlap(reason=reasons, human=human, metric="token_f1", ci=None)
    assert found.value == pytest.approx((0 + 1 + 2 * 2 / (2 + 4)) / 3, abs=1e-12)
    assert found.note == "2 of 3 in a script without spaces, where a whole run is one word"
