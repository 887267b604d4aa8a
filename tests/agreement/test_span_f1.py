"""Spans of text: pairwise F1 against fractions worked by hand and against sets of positions, and what is refused."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement.spans.span_f1 import pairwise_span_f1, span_f1
from dfar_toolkit.errors import TableError

Span = tuple[int, int]
FEW = settings(max_examples=20)
TEXT = "I 😀 lied,  twice 🇩🇪 — to\u00a0my mum "  # 26 code points; 12 UTF-16 and UTF-8 offsets would go astray
span = st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
marks = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 3)), st.lists(span, max_size=4, unique=True), min_size=1, max_size=12
)


def triples(marked: dict[tuple[int, int], list[Span]]) -> list[tuple[str, str, list[Span]]]:
    return [(f"i{i}", f"r{r}", spans) for (i, r), spans in marked.items()]


def words(text: str) -> list[Span]:
    """Longest runs without Unicode White_Space; Python's own \\S differs from it in U+001C to U+001F alone."""
    return [match.span() for match in re.finditer(r"\S+", text)]


def touched(spans: list[Span], text: str) -> set[int]:
    return {k for k, (a, b) in enumerate(words(text)) for s, e in spans if s < b and a < e}


def characters(spans: list[Span]) -> set[int]:
    return {p for s, e in spans for p in range(s, e)}


def best_matching(a: list[Span], b: list[Span], overlap: float) -> int:
    def near(x: Span, y: Span) -> bool:
        common = min(x[1], y[1]) - max(x[0], y[0])
        return common > 0 and common / (max(x[1], y[1]) - min(x[0], y[0])) >= overlap

    few, many = sorted((a, b), key=len)
    return max(sum(near(x, y) for x, y in zip(few, order, strict=False)) for order in permutations(many, len(few)))


def naive(
    marked: dict[tuple[int, int], list[Span]], match: str, average: str, both_empty: str, overlap: float
) -> float:
    """A pair of raters at a time, from the definition, in exact fractions."""
    means, top, bottom = [], Fraction(0), Fraction(0)
    for item in sorted({i for i, _ in marked}):
        scores = []
        for a, b in combinations([spans for (i, _), spans in marked.items() if i == item], 2):
            if match == "partial":
                common, size = best_matching(a, b, overlap), len(a) + len(b)
            else:
                of: Any = {"exact": set, "character": characters, "token": lambda spans: touched(spans, TEXT)}[match]
                common, size = len(of(a) & of(b)), len(of(a)) + len(of(b))
            top, bottom = top + 2 * common, bottom + size
            if size or both_empty == "agree":
                scores.append(Fraction(2 * common, size) if size else Fraction(1))
        if scores:
            means.append(sum(scores) / len(scores))
    if average == "micro":
        return float(top / bottom) if bottom else math.nan
    return float(sum(means) / len(means)) if means else math.nan


@FEW
@given(marks, st.sampled_from([0.2, 0.5, 1.0]))
def test_every_match_is_its_definition(marked: dict[tuple[int, int], list[Span]], overlap: float) -> None:
    texts = pl.DataFrame({"item_id": [f"i{i}" for i in range(5)], "text": [TEXT] * 5})
    for match in ("exact", "partial", "token", "character"):
        for average, both_empty in (("macro", "leave_out"), ("macro", "agree"), ("micro", "leave_out")):
            how: dict[str, Any] = {"match": match, "average": average, "both_empty": both_empty, "overlap": overlap}
            found = span_f1(triples(marked), texts=texts, ci=None, **how)
            expected = naive(marked, **how)
            assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True), (match, average)


def test_by_hand() -> None:
    """x: ann 0-5, 8-12; bob 0-5, 8-13, 20-25. y: ann 3-9; bob nothing. z: nobody anything."""
    rows = [
        ("x", "ann", [(0, 5), (8, 12)]), ("x", "bob", [(0, 5), (8, 13), (20, 25)]),
        ("y", "ann", [(3, 9)]), ("y", "bob", []), ("z", "ann", []), ("z", "bob", []),
    ]  # fmt: skip
    worked = {
        "exact": (Fraction(2, 5), Fraction(2, 6)),  # 1 of 2 and 3 is common; y adds 1 span
        "partial": (Fraction(4, 5), Fraction(4, 6)),  # 8-12 in 8-13 is 4/5
        "character": (Fraction(18, 24), Fraction(18, 30)),  # 9 of 9 and 15; y adds 6
    }
    for match, (on_x, micro) in worked.items():
        macro = span_f1(rows, match=match, ci=None)  # type: ignore[arg-type]
        assert macro.value == pytest.approx(float(on_x / 2), abs=1e-12)
        assert (macro.n, macro.note) == (2, "1 pair with nothing marked by either left out")
        agreed = span_f1(rows, match=match, both_empty="agree", ci=None)  # type: ignore[arg-type]
        assert agreed.value == pytest.approx(float((on_x + 1) / 3), abs=1e-12)
        assert (agreed.n, agreed.note) == (3, "1 pair with nothing marked by either taken as agreement")
        pooled = span_f1(rows, match=match, average="micro", ci=None)  # type: ignore[arg-type]
        assert pooled.value == pytest.approx(float(micro), abs=1e-12)
    assert span_f1(rows, match="partial", overlap=0.81, ci=None).value == pytest.approx(0.2, abs=1e-12)


def test_words_and_astral_characters() -> None:
    """Words of the text: I, 😀, lied,, twice, 🇩🇪 (two code points), —, to<nbsp>my is two words, mum."""
    assert [TEXT[s:e] for s, e in words(TEXT)] == ["I", "😀", "lied,", "twice", "🇩🇪", "—", "to", "my", "mum"]
    texts = pl.DataFrame({"item_id": ["x"], "text": [TEXT]})
    # ann touches 😀 lied, twice (part); bob lied, only by its comma, and the flag
    rows = [("x", "ann", [(2, 13)]), ("x", "bob", [(8, 9), (18, 19)])]
    assert (TEXT[2:13], TEXT[8:9], TEXT[18:19]) == ("😀 lied,  tw", ",", "🇪")
    found = span_f1(rows, match="token", texts=texts, ci=None)
    assert found.value == pytest.approx(2 * 1 / (3 + 2), abs=1e-12)
    given_words = texts.with_columns(tokens=pl.Series([[{"start": 2, "end": 10}, {"start": 16, "end": 20}]]))
    assert span_f1(rows, match="token", texts=given_words, ci=None).value == pytest.approx(2 / 3, abs=1e-12)
    pairs = pl.DataFrame({"item_id": ["x"], "tokens": [[(2, 10), (16, 20)]]})
    assert span_f1(rows, match="token", texts=pairs, ci=None).value == pytest.approx(2 / 3, abs=1e-12)
    assert span_f1([("x", "ann", [(0, len(TEXT))]), ("x", "bob", [(0, 1)])], texts=texts, ci=None).value == 0.0
    blank = [("x", "ann", [(0, 1), (9, 11)]), ("x", "bob", [(0, 1)])]
    found = span_f1(blank, match="token", texts=texts, ci=None)
    assert (found.value, found.note) == (1.0, "1 span without a word left out")


@FEW
@given(marks, st.randoms(use_true_random=False))
def test_order_and_layout_change_nothing(marked: dict[tuple[int, int], list[Span]], random: Any) -> None:
    rows = triples(marked)
    lists = pl.DataFrame(
        {
            "item_id": [i for i, _, _ in rows],
            "annotator_id": [r for _, r, _ in rows],
            "evidence": [[{"field": "t", "start": s, "end": e, "set": 0} for s, e in spans] for _, _, spans in rows],
        },
        schema_overrides={"evidence": pl.List(pl.Struct(dict.fromkeys(["start", "end", "set"], pl.Int64)
                                                        | {"field": pl.String}))},
    )  # fmt: skip
    long: list[Any] = [(i, r, s, e) for i, r, spans in rows for s, e in spans]
    long += [(i, r, None, None) for i, r, spans in rows if not spans]
    random.shuffle(long)
    flat = pl.DataFrame(
        long, schema={"item_id": pl.String, "annotator_id": pl.String, "start": pl.Int64, "end": pl.Int64}, orient="row"
    )
    for match in ("exact", "partial", "character"):
        expected = repr(span_f1(rows, match=match, n_boot=20))  # type: ignore[arg-type]
        shuffled = list(rows)
        random.shuffle(shuffled)
        for other in (shuffled, lists, lists.lazy(), lists.to_arrow(), flat, flat.to_arrow()):
            assert repr(span_f1(other, match=match, n_boot=20)) == expected  # type: ignore[arg-type]


def test_pandas() -> None:
    frame = pl.DataFrame(
        {"item_id": ["x", "x"], "annotator_id": ["a", "b"], "evidence": [[{"start": 0, "end": 4}], []]}
    )
    assert repr(span_f1(frame.to_pandas())) == repr(span_f1(frame))


@FEW
@given(marks)
def test_pairs_are_what_two_raters_alone_give(marked: dict[tuple[int, int], list[Span]]) -> None:
    rows = triples(marked)
    raters = sorted({r for _, r, _ in rows})
    for how in ({"match": "exact"}, {"match": "character", "both_empty": "agree"}, {"match": "partial"}):
        frame = pairwise_span_f1(rows, n_boot=20, **how)  # type: ignore[arg-type]
        assert frame.select("rater_a", "rater_b").rows() == list(combinations(raters, 2))
        for row in frame.iter_rows(named=True):
            own = [one for one in rows if one[1] in (row["rater_a"], row["rater_b"])]
            alone = span_f1(own, n_boot=20, **how)  # type: ignore[arg-type]
            keys = ("value", "low", "high", "n")
            assert [row[k] for k in keys] == pytest.approx([getattr(alone, k) for k in keys], abs=1e-12, nan_ok=True)


def test_pairs_without_a_common_item() -> None:
    frame = pairwise_span_f1(
        [("x", "a", [(0, 1)]), ("y", "b", [(0, 1)]), ("x", "c", []), ("z", "c", []), ("z", "b", [])]
    )
    assert frame.select("rater_a", "rater_b", "n").rows() == [("a", "b", 0), ("a", "c", 1), ("b", "c", 0)]
    assert frame["note"].to_list() == [
        "no item was shown to both",
        "no interval: one unit (items) only",
        "neither marked anything where both looked; 1 pair with nothing marked by either left out",
    ]
    assert pairwise_span_f1([]).columns[:4] == ["rater_a", "rater_b", "name", "value"]
    assert len(pairwise_span_f1([("x", "a", [(0, 1)])])) == 0


def test_one_to_one_matching_is_the_largest() -> None:
    """0-4 matches 0-2 and 2-4, both 1/2; greedy from the left would spend 0-4 on 0-2 and leave 0-3 with nothing."""
    rows = [("x", "a", [(0, 4), (0, 3)]), ("x", "b", [(0, 2), (2, 4)])]
    assert span_f1(rows, match="partial", ci=None).value == 1.0
    assert span_f1(rows, match="partial", overlap=0.6, ci=None).value == 0.5  # only 0-3 with 0-2, 2/3


def test_labels_and_fields_tell_spans_apart() -> None:
    rows = [
        ("x", "a", 0, 4, "s", "LIE"), ("x", "a", 4, 6, "s", "WHO"), ("x", "b", 0, 4, "s", "WHO"),
        ("x", "b", 4, 6, "t", "WHO"),
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "start", "end", "field", "label"], orient="row")
    of = {"ci": None}
    assert span_f1(frame, **of).value == 0.5  # type: ignore[arg-type]
    assert span_f1(frame, label="label", **of).value == 0.0  # type: ignore[arg-type]
    assert span_f1(frame, field=None, **of).value == 1.0  # type: ignore[arg-type]
    assert span_f1(frame, field=None, label="label", match="character", **of).value == pytest.approx(4 / 12)  # type: ignore[arg-type]
    structs = frame.group_by("item_id", "annotator_id").agg(evidence=pl.struct("start", "end", "field", "label"))
    assert span_f1(structs, label="label", field=None, **of).value == 0.5  # type: ignore[arg-type]
    by_row = frame.group_by("item_id", "annotator_id", "label").agg(evidence=pl.struct("start", "end"))
    assert span_f1(by_row, label="label", **of).value == 0.5  # type: ignore[arg-type]


def test_overlapping_spans_of_one_rater_are_one_piece_of_text() -> None:
    rows = [("x", "a", [(0, 4), (2, 6), (2, 3)]), ("x", "b", [(0, 6)])]
    assert span_f1(rows, match="character", ci=None).value == 1.0
    assert span_f1(rows, match="exact", ci=None).value == 0.0
    twice = [("x", "a", [(0, 6), (0, 6)]), ("x", "b", [(0, 6)])]
    assert span_f1(twice, ci=None).value == 1.0


def test_rows_that_share_a_rating_id_are_one_rating() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["x"] * 3,
            "annotator_id": ["a", "a", "b"],
            "value": ["lie", "theft", "lie"],
            "rating_id": ["1", "1", "2"],
            "evidence": [[{"start": 0, "end": 2}], [{"start": 4, "end": 6}], [{"start": 4, "end": 6}]],
        }
    )
    assert span_f1(frame, ci=None).value == pytest.approx(2 / 3, abs=1e-12)
    with pytest.raises(TableError, match="rated an item twice"):
        span_f1(frame.drop("rating_id"))
    with pytest.raises(TableError, match="rated an item twice"):
        span_f1(frame.with_columns(rating_id=pl.Series(["1", "2", "3"])))
    assert span_f1(frame.drop("rating_id"), label="value", ci=None).value == 0.0


def test_undefined_and_why() -> None:
    cases = {
        "no item has two or more raters; 2 items with one rater left out": [("x", "a", [(0, 1)]), ("y", "b", [])],
        "nobody marked anything where two raters looked; 1 pair with nothing marked by either left out": [
            ("x", "a", []), ("x", "b", []),
        ],
        "no item has two or more raters": [],
    }  # fmt: skip
    for note, rows in cases.items():
        found = span_f1(rows)
        assert math.isnan(found.value)
        assert (found.n, found.note) == (0, note)
    nobody = pl.DataFrame({"item_id": ["x"], "annotator_id": ["a"], "evidence": [None]})
    assert math.isnan(span_f1(nobody).value)
    assert span_f1([("x", "a", []), ("x", "b", [])], both_empty="agree", ci=None).value == 1.0


BAD = "a span must start at 0 or later and end after its start; 1 do not"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", "a", [(5, 5)])], BAD + r" \(e.g. 5 to 5"),
        ([("x", "a", [(5, 3)])], BAD),
        ([("x", "a", [(-1, 3)])], BAD),
        ([("x", "a", [None, (1, 3)])], BAD),
        ([("x", "a", [(1, 2, 3)])], "pairs; found other lengths"),
        ([("x", "a", [(0.5, 1.0)])], "whole numbers"),
        ([("x", "a", ["0-5"])], "whole numbers"),
        ([("x", "a", [(0, 1)]), ("x", "a", [(2, 3), (0, 1)])], "item twice, 1 time .*: 0 to 1, 0 to 1 and 2 to 3"),
        ([("x", "a", []), ("x", "a", [(2, 3)])], "rated an item twice, 1 time .*: 2 to 3, nothing"),
        ([("x", "unknown", [(0, 1)])], "needs to know who"),
        (pl.DataFrame({"item_id": ["x"], "annotator_id": ["a"]}), 'needs a column of lists "evidence"'),
        (pl.DataFrame({"annotator_id": ["a"], "start": [0], "end": [1]}), 'needs the column "item_id"'),
        (pl.DataFrame({"item_id": ["x"], "annotator_id": ["a"], "start": [0.0], "end": [1.0]}), "whole numbers"),
        (pl.DataFrame({"item_id": ["x"], "annotator_id": ["a"], "start": [0], "end": [None]}), BAD),
    ],
)
def test_refused_data(rows: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        span_f1(rows)


def test_refused_texts() -> None:
    rows = [("x", "a", [(0, 5)]), ("x", "b", [(0, 2)])]

    def read(**columns: Any) -> Any:
        return span_f1(rows, match="token", texts=pl.DataFrame(columns), ci=None)

    assert read(item_id=["x", "x"], text=["ab cd", "ab cd"]).value == pytest.approx(2 / 3, abs=1e-12)
    with pytest.raises(TableError, match=r"inside their text; 1 do not \(e.g. 0 to 5 in a text of 4 characters"):
        read(item_id=["x"], text=["ab c"])
    with pytest.raises(TableError, match=r'items without a text: 1 \(e.g. "x"\)'):
        read(item_id=["y", "x"], text=["ab cd", None])
    with pytest.raises(TableError, match='texts of item "x" differ'):
        read(item_id=["x", "x"], text=["ab cd", "abcde"])
    with pytest.raises(TableError, match="texts needs the column"):
        read(item_id=["x"], words=["ab cd"])
    with pytest.raises(TableError, match='words need the column "text" or "tokens"'):
        read(item_id=["x"], length=[5])
    with pytest.raises(TableError, match="tokens must follow one another"):
        read(item_id=["x"], tokens=[[(3, 5), (0, 2)]])
    with pytest.raises(TableError, match="must both name the field"):
        read(item_id=["x", "x"], field=["s", "t"], text=["ab cd", "abcde"])
    with pytest.raises(TableError, match='match="token" needs texts='):
        span_f1(rows, match="token")
    with pytest.raises(TableError, match="inside their text"):
        span_f1(rows, texts=pl.DataFrame({"item_id": ["x"], "text": ["ab c"]}))
    emoji = pl.DataFrame({"item_id": ["x"], "text": ["😀😀😀"]})
    with pytest.raises(TableError, match="must count Unicode code points"):
        span_f1(rows, texts=emoji)  # 5 would lie inside in UTF-16 and in UTF-8
    assert span_f1([("x", "a", [(0, 3)]), ("x", "b", [(0, 3)])], texts=emoji, ci=None).value == 1.0


def test_texts_of_several_fields() -> None:
    frame = pl.DataFrame(
        [("x", "a", "s", 0, 2), ("x", "b", "s", 1, 2), ("x", "a", "t", 0, 5), ("x", "b", "t", 3, 5)],
        schema=["item_id", "annotator_id", "field", "start", "end"],
        orient="row",
    )
    texts = pl.DataFrame({"item_id": ["x", "x"], "field": ["s", "t"], "text": ["ab", "ab cd"]})
    # words: a s0 t0 t1, b s0 t1
    assert span_f1(frame, match="token", texts=texts, ci=None).value == pytest.approx(4 / 5, abs=1e-12)
    with pytest.raises(TableError, match='in the field "t" which has no text'):
        span_f1(frame, texts=texts.head(1))


def test_refused_arguments() -> None:
    rows = [("x", "a", [(0, 5)])]
    for how in ({"match": "fuzzy"}, {"average": "mean"}, {"both_empty": "skip"}, {"overlap": 0.0}, {"overlap": 1.5},
                {"average": "micro", "both_empty": "agree"}):  # fmt: skip
        with pytest.raises(ValueError, match=r"^span_f1: "):
            span_f1(rows, **how)  # type: ignore[arg-type]
    with pytest.raises(TableError, match='have no label "kind"'):
        span_f1(rows, label="kind")
    with pytest.raises(ValueError, match="which names a column of the result"):
        span_f1(pl.DataFrame({"item_id": ["x"], "annotator_id": ["a"], "start": [0], "end": [1], "n": [1]}), by="n")


def many() -> pl.DataFrame:
    rng = np.random.default_rng(11)
    rows = []
    for i in range(40):
        at = int(rng.integers(0, 50))
        for r in "pqr":
            shift = int(rng.integers(0, 3))
            rows.append((f"i{i:02}", r, f"g{i // 4}", i % 2, at + shift, at + 6))
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "group", "half", "start", "end"], orient="row")


def test_intervals_and_slices() -> None:
    frame = many()
    found = span_f1(frame, n_boot=300)
    assert found.low < found.value < found.high
    assert found == span_f1(frame.sample(fraction=1, shuffle=True, seed=1), n_boot=300)
    assert found.low != span_f1(frame, n_boot=300, seed=1).low
    grouped = span_f1(frame, group="group", n_boot=300)
    assert (grouped.value, grouped.unit, grouped.n_units) == (pytest.approx(found.value, abs=1e-12), "groups", 10)
    assert grouped.low != found.low
    jackknife = span_f1(frame, ci="jackknife")
    assert jackknife.high - jackknife.low == pytest.approx(found.high - found.low, rel=0.3)
    sliced = span_f1(frame, match="character", by="half", n_boot=50)
    assert sliced["half"].to_list() == [0, 1]
    for row in sliced.iter_rows(named=True):
        alone = span_f1(frame.filter(half=row["half"]), match="character", n_boot=50)
        assert [row[k] for k in ("value", "low", "high", "n")] == [alone.value, alone.low, alone.high, alone.n]
    one = span_f1([("x", "a", [(0, 5)]), ("x", "b", [(0, 2)])])
    assert one.note == "no interval: one unit (items) only"
    assert len(span_f1(frame.clear(), by="half")) == 0
