import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit.metrics.reasons.named_labels import named_labels, readable_labels

ETHICAL, UNETHICAL, BOTH, NONE = (True, False), (False, True), (True, True), (False, False)
SENTENCES = [
    ("It is ethical.", ETHICAL),
    ("It is unethical.", UNETHICAL),
    ("UNETHICAL!", UNETHICAL),
    ("This is not ethical.", UNETHICAL),
    ("It is not unethical.", ETHICAL),
    ("It is not non-ethical to rest.", ETHICAL),
    ("This is non-ethical.", UNETHICAL),
    ("This is non ethical behaviour.", UNETHICAL),
    ("Plainly nonethical.", UNETHICAL),
    ("That is un-ethical.", UNETHICAL),
    ("It isn't unethical to laugh.", ETHICAL),
    ("It isn’t unethical to laugh.", ETHICAL),
    ("That can't be unethical.", ETHICAL),
    ("That cannot be ethical.", UNETHICAL),
    ("It wasn't ethical at all.", UNETHICAL),
    ("She was never ethical.", UNETHICAL),
    ("There is nothing unethical about it.", ETHICAL),
    ("I don't think that it is unethical.", ETHICAL),
    ("It would not be considered unethical.", ETHICAL),
    ("It is not a very ethical thing to do.", UNETHICAL),
    ("Not typically ethical.", UNETHICAL),
    ("That was neither good nor ethical.", UNETHICAL),
    ("It is not fair or ethical.", UNETHICAL),
    ("It is not only unethical but illegal.", UNETHICAL),
    ("It is not merely unethical, it is cruel.", UNETHICAL),
    ("It is not ethical but unethical.", UNETHICAL),
    ("It can be ethical or unethical.", BOTH),
    ("Neither ethical nor unethical.", BOTH),
    ("It is not ethical or unethical.", BOTH),
    ("It depends whether it is ethical or not.", NONE),
    ("This raises ethical concerns.", NONE),
    ("It breaks ethical norms.", NONE),
    ("It would be more ethical to talk.", NONE),
    ("He acts unethically.", NONE),
    ("Bioethical research.", NONE),
    ("It is not wrong; it is ethical.", ETHICAL),
    ("", NONE),
]


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES)
def test_negation_and_word_boundaries(sentence: str, expected: tuple[bool, bool]) -> None:
    assert named_labels(pl.Series([sentence]), ["ethical", "unethical"]).row(0) == expected
    assert named_labels(pl.Series([sentence]), ["unethical", "ethical"]).row(0) == expected[::-1]


@pytest.mark.parametrize(
    ("options", "sentence", "expected"),
    [
        (["entailment", "neutral", "contradiction"], "This is no contradiction, it is neutral.", (False, True, False)),
        (["entailment", "neutral", "contradiction"], "It is not an entailment.", (False, False, False)),
        (["good", "bad"], "That is not bad.", (True, False)),
        (["hate_speech", "not_hate_speech"], "Not hate speech in my eyes.", (False, True)),
        (["hate_speech", "not_hate_speech"], "This is hate speech.", (True, False)),
        (["moral", "immoral", "unclear"], "That is not immoral.", (True, False, False)),
        (["right", "wrong"], "Rightly so, but copyright is wronged.", (False, False)),
        (["c++ (x", "other"], "the other c++ (x", (False, True)),  # no word boundary after a bracket: nothing breaks
    ],
)
def test_other_options(options: list[str], sentence: str, expected: tuple[bool, ...]) -> None:
    assert named_labels(pl.Series([sentence]), options).row(0)[1:] == expected[1:]


def test_null_states_nothing() -> None:
    assert named_labels(pl.Series([None, "ethical"], dtype=pl.String), ["ethical", "unethical"]).row(0) == NONE


@pytest.mark.parametrize("options", [["yes", "no"], ["1", "2"], ["only"], [], ["a", "A"]])
def test_unreadable_labels(options: list[str]) -> None:
    assert not readable_labels(options)
    with pytest.raises(ValueError, match="named_labels"):
        named_labels(pl.Series(["x"]), options)


@given(st.lists(st.sampled_from(["ethical", "unethical", "not", "is", "it", "\x02+0;", "or", "$1", "."]), max_size=9))
def test_swapping_the_options_swaps_the_columns(words: list[str]) -> None:
    text = pl.Series([" ".join(words)])
    one = named_labels(text, ["ethical", "unethical"]).row(0)
    assert named_labels(text, ["unethical", "ethical"]).row(0) == one[::-1]
