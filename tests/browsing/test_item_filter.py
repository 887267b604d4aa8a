from __future__ import annotations

from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.browsing.item_filter import NO_LEAK, STATES, ItemFilter
from dfar_toolkit.browsing.query_codes import pair_text, read_pair
from dfar_toolkit.tables import LEAK_KINDS

NAME = st.text(max_size=8) | st.sampled_from([":", "\\", "\\:", "a:b\\", "..", "^a$", "\r\n", "\0"])
NAMES = st.lists(NAME, max_size=3).map(tuple)
SHARE = st.none() | st.floats(0, 1)
LENGTH = st.none() | st.integers(0, 10**12)
PAIRS = st.lists(st.tuples(NAME, NAME).filter(lambda p: p[0] != p[1]), max_size=2).map(tuple)


def ordered(ends: tuple[float | None, float | None]) -> bool:
    low, high = ends
    return (low is not None or high is not None) and (low is None or high is None or low <= high)


FILTERS = st.builds(
    ItemFilter,
    text=st.text(max_size=9), regex=st.text(max_size=9), reason=st.text(max_size=9),
    reason_regex=st.text(max_size=9), gold=NAMES, given=NAMES, between=PAIRS, annotator=NAMES,
    group=NAMES, source=NAMES, split=NAMES, leak=st.lists(st.sampled_from([*LEAK_KINDS, NO_LEAK])).map(tuple),
    finding=NAMES, prediction=st.lists(st.tuples(NAME, NAME), max_size=2).map(tuple),
    state=st.lists(st.tuples(NAME, st.sampled_from(STATES)), max_size=2).map(tuple), differs=NAMES, beats=PAIRS,
    judged_bad=NAMES, length=st.none() | st.tuples(LENGTH, LENGTH).filter(ordered),
    disagreement=st.none() | st.tuples(SHARE, SHARE).filter(ordered),
    probability=st.lists(st.tuples(NAME, SHARE, SHARE).filter(lambda p: ordered(p[1:])), max_size=2).map(tuple),
    has_reason=st.none() | st.booleans(), flagged=st.none() | st.booleans(),
)  # fmt: skip


@settings(max_examples=150)
@given(FILTERS)
def test_every_filter_comes_back_from_its_query_and_from_a_real_address(wanted: ItemFilter) -> None:
    query = wanted.to_query()
    assert ItemFilter.from_query(query) == (wanted, [])
    address = urlencode(query, doseq=True)
    assert ItemFilter.from_query(parse_qs(address, keep_blank_values=True)) == (wanted, [])


@settings(max_examples=50)
@given(FILTERS)
def test_chips_say_one_line_each_and_taken_away_one_by_one_leave_nothing(wanted: ItemFilter) -> None:
    assert [chip.words for chip in wanted.chips()] == wanted.words()
    assert all(len(words.splitlines()) == 1 and words.isprintable() for words in wanted.words())
    left, steps = wanted, 0
    while left.chips():
        left, steps = left.chips()[0].rest, steps + 1
    assert left == ItemFilter()
    assert steps == len(wanted.words())


@settings(max_examples=100)
@given(st.dictionaries(
    st.sampled_from(list(ItemFilter.__dataclass_fields__)),
    st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=3),
))  # fmt: skip
def test_any_query_gives_a_filter_and_lines_never_an_exception(query: dict[str, str | list[str]]) -> None:
    wanted, problems = ItemFilter.from_query(query)
    assert all(len(p.splitlines()) == 1 for p in problems)
    assert ItemFilter.from_query(wanted.to_query()) == (wanted, [])


@given(NAME, NAME)
def test_a_pair_comes_back(first: str, rest: str) -> None:
    assert read_pair(pair_text(first, rest)) == (first, rest)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"length": "9..3"}, "wrong way round"),
        ({"length": "9"}, 'wanted two numbers with ".." between'),
        ({"length": "-1.."}, "from 0 to"),
        ({"disagreement": "0..1.5"}, "from 0 to 1"),
        ({"disagreement": "nan..1"}, "from 0 to 1"),
        ({"probability": "run"}, 'wanted two values with ":" between'),
        ({"probability": "run:.."}, "at least one end"),
        ({"state": ["run:odd"]}, "wanted a state of right"),
        ({"leak": ["much"]}, "wanted one of identical_row"),
        ({"beats": "a:a"}, "two different values"),
        ({"flagged": "perhaps"}, "wanted yes or no"),
        ({"text": "x" * 20_000}, "longer than 10,000"),
        ({"reason": "x" * 20_000}, "longer than 10,000"),
        ({"reason_regex": ["a", "b"]}, "given 2 times; the last one counts"),
        ({"length": ["1..", "2.."]}, "given 2 times; the last one counts"),
    ],
)
def test_impossible_values_are_said_and_left_out(query: dict[str, str | list[str]], said: str) -> None:
    wanted, problems = ItemFilter.from_query({**query, "split": ["test"], "page": "3"})
    assert len(problems) == 1
    assert said in problems[0]
    assert wanted.split == ("test",)


def test_impossible_values_are_refused_where_python_gives_them() -> None:
    with pytest.raises(ValueError, match=r"ItemFilter: state .*wanted a state"):
        ItemFilter(state=(("run", "odd"),))
    with pytest.raises(ValueError, match="wrong way round"):
        ItemFilter(length=(5, 1))


def test_words_are_readable() -> None:
    wanted = ItemFilter(
        gold=("bad", ""), between=(("bad", "good"),), beats=(("a", "b"),), length=(10, 20), disagreement=(0.5, None),
        probability=(("a", None, 0.4),), leak=(NO_LEAK,), state=(("a", "unparsed"),), annotator=("x\u202ey",),
    )  # fmt: skip
    assert wanted.words() == [
        "label bad", "no label (people tied)", "people are split between bad and good",
        'rated by "x\\u202ey"', "no leak",
        "a is unparsed", "a is right and b is not", "10 to 20 characters", "disagreement at least 0.5",
        "a gives its answer a probability of at most 0.4",
    ]  # fmt: skip
    assert ItemFilter(disagreement=(0.0001, None)).words() == ["people differ"]
    assert ItemFilter(reason="he lied", reason_regex="a+").words() == [
        'a reason says "he lied"',
        'a reason matches "a+"',
    ]
    assert ItemFilter(disagreement=(2 / 3, 1.0)).words() == ["disagreement 0.667 to 1"]
