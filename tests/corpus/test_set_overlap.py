from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.duplicates import CrowdedError, near_duplicate_pairs
from dfar_toolkit.corpus.foreign_texts import read_foreign_texts
from dfar_toolkit.corpus.overlap import overlap_findings, overlap_shares, overlap_with
from dfar_toolkit.errors import TableError

DOG = "I fed the dog of my neighbour while she was on holiday."
DOGS = "I fed the dogs of my neighbour while she was on holiday."


def records(rows: list[tuple[str, str, str]], context: list[str] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item_id", "split", "statement"], orient="row")
    fields = [[] if not c else [{"field": "premise", "role": "", "text": c}] for c in context or []]
    kind = pl.List(pl.Struct({"field": pl.String, "role": pl.String, "text": pl.String}))
    return frame.with_columns(pl.Series("context", fields, dtype=kind)) if context else frame


def grams(text: str) -> set[str]:
    plain = "".join(c if c.isalnum() else " " for c in text.lower())
    plain = " ".join(plain.split())
    return {plain[i : i + 5] for i in range(len(plain) - 4)} or {plain}


def test_exact_and_near_by_hand() -> None:
    own = records([("a", "train", DOG), ("b", "test", "I broke a vase."), ("c", "test", DOGS), ("d", "test", "")])
    other = records(
        [("x", "", "i fed the dog, of my neighbour while she was on holiday"), ("y", "", DOG), ("z", "", "")]
    )
    similarity = len(grams(DOG) & grams(DOGS)) / len(grams(DOG) | grams(DOGS))
    pairs = overlap_with(own, {"bench": other})
    assert pairs.rows() == [
        ("a", "train", "bench", "x", 2, "exact", 1.0),
        ("c", "test", "bench", "x", 2, "near", similarity),
    ]
    shares = overlap_shares(own, pairs, against=["bench", "nothing"])
    assert shares.filter(pl.col("count") > 0).select("split", "kind", "count", "n").rows() == [
        ("train", "exact", 1, 1),
        ("test", "near", 1, 3),
    ]
    exact, near = overlap_findings(own, pairs, shares)
    assert (exact.finding, exact.count, exact.total, exact.examples) == ("overlap.exact", 1, 4, (f"a: {DOG}",))
    assert near.severity == "warn"
    assert near.note.startswith("bench, test: 1 of 3 (0.333 [0.0")
    assert overlap_findings(own, pairs.clear(), shares.clear())[0].note == "none stands in the other sets"


def test_contexts_count_where_both_have_one() -> None:
    rain, rains = "It was raining all day long in the old town.", "It was raining all day long in the old towns."
    own = records([(i, "s", DOG) for i in "abcd"], [rain, "The sun shone on us.", "", rains])
    other = records([("x", "s", DOG)], [rain])
    found = dict(overlap_with(own, other).select("item_id", "kind").iter_rows())
    assert found == {"a": "exact", "c": "exact", "d": "near"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abc de", min_size=1, max_size=14), max_size=8),
       st.lists(st.text("abc de", min_size=1, max_size=14), max_size=8), st.sampled_from(["exact", "lsh"]))  # fmt: skip
def test_pairs_across_are_those_of_the_whole_search(left: list[str], right: list[str], search: str) -> None:
    rows = [(f"l{i}", t, False) for i, t in enumerate(left)] + [(f"r{i}", t, True) for i, t in enumerate(right)]
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "statement": pl.String, "side": pl.Boolean}, orient="row")
    found = near_duplicate_pairs(frame, threshold=0.5, search="exact", across="side")
    plain = [(k, " ".join(t.split()) or t, s) for k, t, s in rows]

    def sets(text: str) -> set[str]:
        return {text[i : i + 5] for i in range(len(text) - 4)} or {text}

    want = {
        (a, b)
        for _, a, s in plain
        for _, b, other in plain
        if not s and other and len(sets(a) & sets(b)) / len(sets(a) | sets(b)) >= 0.5
    }
    text = {k: t for k, t, _ in plain}
    assert {(text[a], text[b]) for a, b in found.select("a", "b").iter_rows()} == want
    by_bands = near_duplicate_pairs(frame, threshold=0.5, search="lsh", across="side")
    assert set(by_bands.rows()) <= set(found.rows())
    assert search in ("exact", "lsh")


def test_crowded_sets_need_a_window() -> None:
    own = records([(f"a{i}", "s", f"{DOG} Number {i}") for i in range(40)])
    other = records([(f"b{i}", "s", f"{DOG} Number {i + 100}") for i in range(40)])
    assert overlap_with(own, other).height > 800
    sides = pl.concat([own.with_columns(side=False), other.with_columns(side=True)])
    with pytest.raises(CrowdedError):
        near_duplicate_pairs(sides, across="side", max_pairs=100)
    assert 0 < overlap_with(own, other, window=2).height < 800


def test_missing_column() -> None:
    with pytest.raises(TableError, match='bench: overlap needs the column "statement"'):
        overlap_with(records([("a", "s", "x")]), {"bench": pl.DataFrame({"text": ["x"]})})
    with pytest.raises(TableError, match='"side"'):
        near_duplicate_pairs(records([("a", "s", "x")]), across="side")


def test_foreign_files(tmp_path: Path) -> None:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    assert read_foreign_texts(write("a.txt", "\ufeffone, two\r\nthree\r\n"))["statement"].to_list() == [
        "one, two",
        "three",
    ]
    found = read_foreign_texts(write("a.jsonl", '{"Question": "Why?", "context": "It rained."}\n'))
    assert found.columns == ["item_id", "statement", "context"]
    assert found["context"].to_list() == [[{"field": "context", "role": "", "text": "It rained."}]]
    two = write("two.csv", "text,prompt\nx,y\n")
    with pytest.raises(TableError, match=r'several columns may hold the texts, "text", "prompt".*--against-column'):
        read_foreign_texts(two)
    assert read_foreign_texts(two, column="prompt")["statement"].to_list() == ["y"]
    with pytest.raises(TableError, match="no column has an obvious name"):
        read_foreign_texts(write("none.csv", "premise\nx\n"))
    with pytest.raises(TableError, match=r"wanted the column 'promt'.*prompt"):
        read_foreign_texts(two, column="promt")
    with pytest.raises(TableError, match=r"windows\.txt: wanted UTF-8, found another encoding in line 2"):
        read_foreign_texts(write("windows.txt", b"fine\nna\xefve\n"))
    numbers = tmp_path / "n.parquet"
    pl.DataFrame({"text": [1, 2]}).write_parquet(numbers)
    with pytest.raises(TableError, match="wanted texts in the column 'text', found Int64"):
        read_foreign_texts(numbers)
    with pytest.raises(TableError, match="there is no such file"):
        read_foreign_texts(tmp_path / "absent.txt")


@pytest.mark.real
def test_published_dfar_test_statements_stand_in_its_training_file(shared_data: Path) -> None:
    train, test = (read_foreign_texts(shared_data / "dfar" / f"DFAR_{s}set.csv") for s in ("train", "test"))
    pairs = overlap_with(test.with_columns(split=pl.lit("test")), {"train": train})
    counts = pairs.group_by("item_id").agg(pl.col("kind").min())["kind"].value_counts()
    assert dict(counts.iter_rows()) == {"exact": 189, "near": 1}  # as the audit's leaks count them
