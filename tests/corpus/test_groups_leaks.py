import polars as pl
import pytest

from dfar_toolkit.corpus.groups import item_groups
from dfar_toolkit.corpus.leaks import mark_leaks
from dfar_toolkit.corpus.records import near_or_sampled, near_record_pairs
from dfar_toolkit.errors import TableError


def context(text: str) -> list[dict[str, str]]:
    return [{"field": "context", "role": "", "text": text}]


ITEMS = pl.DataFrame(
    {
        "item_id": list("abcdef"),
        "split": ["train", "train", "train", "test", "test", "test"],
        "statement": [
            "I deserve a raise because I work.",
            "I told my sister that her new dress looks nice.",
            "I fed the dog.",
            "I deserve a raise because I slept.",
            "I told my sister that her new dress looks nicer.",
            "i fed the DOG",
        ],
        "label": ["good", "good", "good", "bad", "good", "good"],
        "stem": ["I deserve a raise", None, None, "I deserve a raise", None, None],
    }
)


def test_groups_join_stem_text_and_near() -> None:
    groups = item_groups(ITEMS, near_record_pairs(ITEMS))
    assert dict(groups.frame.rows()) == {"a": "a", "d": "a", "b": "b", "e": "b", "c": "c", "f": "c"}
    assert (groups.n_groups, groups.largest, groups.near_used) == (3, 2, True)
    assert groups.report["largest"] == 2


def test_group_names_do_not_depend_on_order() -> None:
    near = near_record_pairs(ITEMS)
    shuffled = ITEMS.sample(fraction=1, shuffle=True, seed=3)
    assert item_groups(shuffled, near).frame.sort("item_id").equals(item_groups(ITEMS, near).frame)


def test_near_links_go_first_when_they_chain() -> None:
    # a chain of 30 items, each near the next: one group of 30 is more than max(1 % of 60, 20)
    ids = [f"i{k:02d}" for k in range(60)]
    items = pl.DataFrame({"item_id": ids, "statement": ids})
    chain = pl.DataFrame({"a": ids[:29], "b": ids[1:30]})
    groups = item_groups(items, chain)
    assert (groups.near_used, groups.largest, groups.largest_with_near, groups.cap) == (False, 1, 30, 20)
    assert "left out" in groups.note
    assert item_groups(items, chain.head(19)).near_used  # 20 items: still within the cap


def test_near_links_stay_when_another_group_is_the_large_one() -> None:
    ids = [f"i{k:02d}" for k in range(40)]
    items = pl.DataFrame({"item_id": ids, "statement": ids, "stem": ["shared"] * 30 + [None] * 10})
    groups = item_groups(items, pl.DataFrame({"a": ["i30"], "b": ["i31"]}))
    assert (groups.near_used, groups.largest, groups.n_groups) == (True, 30, 10)


def test_context_and_contrast_make_groups() -> None:
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "statement": ["yes", "no", "yes", "perhaps"],
            "context": [context("It rains."), context("it rains"), context("It snows."), []],
            "contrast_key": [None, None, "p", "p"],
        }
    )
    assert item_groups(items).frame["group"].to_list() == ["a", "a", "c", "c"]


def test_groups_refuse_double_ids_and_unknown_pairs() -> None:
    with pytest.raises(TableError, match="more than once"):
        item_groups(pl.concat([ITEMS, ITEMS.head(1)]))
    with pytest.raises(TableError, match='"z"'):
        item_groups(ITEMS, pl.DataFrame({"a": ["a"], "b": ["z"]}))


def test_leaks_by_hand() -> None:
    marks = mark_leaks(ITEMS, near_record_pairs(ITEMS))
    assert marks.columns == ["item_id", "leak_kind", "leak_of", "leak_against"]
    assert marks.rows()[:3] == [(i, None, None, None) for i in "abc"]
    assert marks.rows()[3:] == [
        ("d", "stem", ["a"], "train"),
        ("e", "near", ["b"], "train"),
        ("f", "exact", ["c"], "train"),
    ]


def test_the_strongest_kind_in_the_earliest_split_counts() -> None:
    items = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "split": ["dev", "train", "train", "test", "extra"],
            "statement": ["I lied.", "I  lied", "I LIED", "I lied.", "I lied."],
            "label": ["x", "x", "x", "x", "y"],
        }
    )
    marks = {row[0]: row[1:] for row in mark_leaks(items).iter_rows()}
    assert marks["a"] == ("exact", ["b", "c"], "train")
    assert marks["d"] == ("identical_row", ["a"], "dev")
    assert marks["e"] == ("exact", ["b", "c"], "train")  # another label, and a split that comes after the named ones


def test_reasons_make_the_identical_row() -> None:
    reason = [[{"annotator_id": a, "value": "x", "text": t}] for a, t in (("p", "so"), ("q", "so"), ("p", "other"))]
    items = pl.DataFrame(
        {
            "item_id": list("abc"),
            "split": ["train", "test", "test"],
            "statement": ["I lied."] * 3,
            "label": ["x"] * 3,
            "reasons": reason,
        }
    )
    assert mark_leaks(items)["leak_kind"].to_list() == [None, "identical_row", "exact"]


def test_near_reaches_every_record_of_both_texts() -> None:
    near_to = "I told my sister that her new dress looks nicer."
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "split": ["train", "train", "test", "test"],
            "statement": [ITEMS["statement"][1]] * 2 + [near_to] * 2,
            "label": ["x"] * 4,
        }
    )
    near = near_record_pairs(items)
    assert near.select("a", "b").rows() == [("a", "c")]
    assert mark_leaks(items, near)["leak_of"].to_list() == [None, None, ["a", "b"], ["a", "b"]]


def test_a_shared_context_is_a_stem_not_a_duplicate() -> None:
    long = "Steve is hanging out with his friends and invites you too, as he often does on Fridays. "
    items = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "split": ["dev", "test", "test", "test"],
            "statement": ["No, that is fun!", "I hate you all.", "no that is fun", "No, that is fun!"],
            "label": ["1", "2", "1", "1"],
            "context": [context(long), context(long), context(long + "Or so."), context("Something else.")],
        }
    )
    near = near_record_pairs(items)
    assert near.select("a", "b").rows() == [("a", "c")]
    assert mark_leaks(items, near)["leak_kind"].to_list() == [None, "stem", "near", None]


def test_crowded_sets_are_sampled_and_say_so() -> None:
    texts = [f"I rate the thing number {k}" for k in range(12_000)]
    items = pl.DataFrame({"item_id": [f"i{k:05d}" for k in range(len(texts))], "statement": texts})
    pairs, note = near_or_sampled(items)
    assert pairs.height > 0
    assert "counts are low" in note
