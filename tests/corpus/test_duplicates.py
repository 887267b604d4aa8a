import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.corpus.duplicates import CrowdedError, near_duplicate_pairs, search_used
from dfar_toolkit.corpus.minhash import N_PERM, lsh_bands, lsh_recall
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import normalised_text


def frame(texts: list[str]) -> pl.DataFrame:
    ids = [f"i{k:05d}" for k in range(len(texts))]
    return pl.DataFrame({"item_id": ids, "statement": texts}, schema={"item_id": pl.String, "statement": pl.String})


def grams(text: str) -> set[str]:
    return {text[k : k + 5] for k in range(len(text) - 4)} or {text}


def brute_force(texts: list[str], threshold: float) -> list[tuple[str, str]]:
    """By Python sets: the smallest key of each distinct text, every pair of them."""
    normal = frame(texts).select(normalised_text(pl.col("statement"))).to_series().to_list()
    normal = [n or t for n, t in zip(normal, texts, strict=True)]
    first = {n: k for k, n in reversed(list(enumerate(normal)))}
    kept = sorted((k, grams(n)) for n, k in first.items())
    return [
        (f"i{a:05d}", f"i{b:05d}")
        for p, (a, x) in enumerate(kept)
        for b, y in kept[p + 1 :]
        if len(x & y) / len(x | y) >= threshold
    ]


WORDS = st.sampled_from(["ab", "abc", "aba", "b", "ba", "bab", "ক", "কা", "ABC", "!", "😀"])
TEXTS = st.lists(st.lists(WORDS, max_size=7).map(" ".join), max_size=14)


@given(TEXTS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_exact_search_equals_brute_force(texts: list[str], threshold: float) -> None:
    found = near_duplicate_pairs(frame(texts), threshold=threshold, search="exact")
    assert found.select("a", "b").rows() == brute_force(texts, threshold)


@given(TEXTS, st.sampled_from([0.5, 0.8]))
def test_lsh_reports_only_true_pairs(texts: list[str], threshold: float) -> None:
    found = near_duplicate_pairs(frame(texts), threshold=threshold, search="lsh")
    assert set(found.select("a", "b").rows()) <= set(brute_force(texts, threshold))


def test_similarity_by_hand() -> None:
    # abcdefgh has abcde bcdef cdefg defgh; abcdefgi has the first three and defgi: 3 of 5
    found = near_duplicate_pairs(frame(["abcdefgh", "abcdefgi"]), threshold=0.6)
    assert found["similarity"].to_list() == [3 / 5]
    assert near_duplicate_pairs(frame(["abcdefgh", "abcdefgi"]), threshold=0.61).is_empty()


def test_short_texts_compare_as_wholes() -> None:
    assert near_duplicate_pairs(frame(["yes", "yess", "no", "", "no!"]), threshold=0.1).is_empty()


def test_identical_texts_cost_one() -> None:
    texts = ["The same text again."] * 50_000 + ["The same text again and."]
    found = near_duplicate_pairs(frame(texts), threshold=0.7)
    assert found.select("a", "b").rows() == [("i00000", "i50000")]


def test_bengali_keeps_its_vowel_signs() -> None:
    assert near_duplicate_pairs(frame(["কি", "কা"]), threshold=0.1).is_empty()
    long = "আমি আমার বন্ধুকে বাজারে নিয়ে গিয়েছিলাম কারণ সে একা ছিল"
    assert near_duplicate_pairs(frame([long, long + " না"])).height == 1


def test_many_scripts_need_more_than_63_bits() -> None:
    # 9,000 different letters: base-A numbers of five do not fit, ids go through ranks of bigrams
    letters = "".join(chr(c) for c in range(0x4E00, 0x4E00 + 9_000))
    texts = [letters, letters[:-1] + "x", letters[::-1]]
    found = near_duplicate_pairs(frame(texts), threshold=0.9, search="exact")
    assert found.rows() == [("i00000", "i00001", pytest.approx(8995 / 8997, abs=1e-12))]


def test_emoji_are_not_all_the_same_text() -> None:
    assert near_duplicate_pairs(frame(["😀", "😡"]), threshold=0.01).is_empty()


def test_order_of_rows_and_seed() -> None:
    texts = [f"Statement about {w} and {v} in the garden" for w in ("dogs", "cats", "cows") for v in ("men", "hens")]
    table = frame(texts * 3)
    for search in ("exact", "lsh"):
        one = near_duplicate_pairs(table, threshold=0.6, search=search)
        assert one.equals(
            near_duplicate_pairs(table.sample(fraction=1, shuffle=True, seed=1), threshold=0.6, search=search)
        )
        assert one.equals(near_duplicate_pairs(table, threshold=0.6, search=search))
        assert one.height > 3


def test_banding_keeps_its_promise() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0):
        bands, rows = lsh_bands(threshold)
        assert bands * rows <= N_PERM
        assert lsh_recall(threshold, bands=bands, rows=rows) >= 0.995
    assert lsh_bands(0.8) == (21, 6)
    assert lsh_recall(0.9, bands=21, rows=6) > 0.999999


def test_lsh_finds_what_the_formula_says() -> None:
    # 600 pairs of similarity a little above .8: at .9983 recall, fewer than 590 found has a chance below 1e-6
    texts = []
    for k in range(600):
        base = " ".join(f"{(k * 7919 + j * 104729) % 99991:05d}" for j in range(15))
        texts += [base, base[:-4]]
    found = near_duplicate_pairs(frame(texts), search="lsh")
    assert near_duplicate_pairs(frame(texts), search="exact").height == 600
    assert found.height >= 590


def test_too_many_alike_is_an_error_and_a_window_helps() -> None:
    texts = [f"I rate the item with the long name number {k}" for k in range(300)]
    with pytest.raises(CrowdedError, match="raise the near threshold"):
        near_duplicate_pairs(frame(texts), max_pairs=1000)
    sampled = near_duplicate_pairs(frame(texts), max_pairs=10_000, window=5)
    assert 0 < sampled.height < near_duplicate_pairs(frame(texts)).height


def test_which_search() -> None:
    assert search_used(pl.Series([str(k) for k in range(10_000)])) == "lsh"
    assert search_used(pl.Series(["x" * 1_000_000])) == "lsh"
    assert search_used(pl.Series(["x"]), search="lsh") == "lsh"


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="near_duplicate_pairs: threshold"):
        near_duplicate_pairs(frame(["a"]), threshold=0)
    with pytest.raises(TableError, match='"statement"'):
        near_duplicate_pairs(pl.DataFrame({"item_id": ["a"]}))


@pytest.mark.parametrize("search", ["exact", "lsh"])
def test_nothing_to_compare(search: str) -> None:
    assert near_duplicate_pairs(frame([]), search=search).columns == ["a", "b", "similarity"]
    assert near_duplicate_pairs(frame(["one text"]), search=search).is_empty()


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    near_duplicate_pairs(frame(["one text", "another text"]), search="lsh", progress=lambda a, b: seen.append((a, b)))
    assert seen[-1] == (2, 2)
