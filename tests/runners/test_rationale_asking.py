"""What an item is asked as, and how replies become labels, probabilities and rows."""

from __future__ import annotations

import math

import polars as pl
import pytest

from dfar_toolkit.engines.requests import (
    Classify,
    ClassProbs,
    Failed,
    Generate,
    Generated,
    OptionScores,
    ScoreOptions,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked, Context, Shot
from dfar_toolkit.prompts.item_words import item_words, without_words
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.answers import Reading, answers_table
from dfar_toolkit.runners.prompting import Manner, unit_of
from dfar_toolkit.runners.rationales.asking import Asker

OPTIONS = ("good", "bad")
ASKED = Asked("I lied.", options=OPTIONS, wording="Is it good?")
PAIR = Asked("It hurt.", (Context("premise", "premise", "She fell."), Context("note", "", "Hard.")), OPTIONS)


def manner(style: str = "label", **how: object) -> Manner:
    return Manner(load_style(style), **how)  # type: ignore[arg-type]


def test_the_prompt_is_that_of_a_prediction() -> None:
    shot = Shot(Asked("I helped.", options=OPTIONS), "good")
    asked = Asked("I lied.", options=OPTIONS, shots=(shot,))
    for how in (manner(), manner(chat=True), manner("label-letters"), manner("dfar-llama2-label", chat=True),
                manner(spellings="all")):  # fmt: skip
        request = Asker(how, asked).request(asked)
        assert isinstance(request, ScoreOptions)
        predicted = next(unit_of("i1", asked, how).start())
        assert isinstance(predicted, ScoreOptions)
        assert (request.conversation, request.spellings) == (predicted.conversation, predicted.spellings)


def test_written_answers_are_asked_for_as_in_a_prediction() -> None:
    how = manner(elicit="samples", temperature=0.5, top_p=0.9, max_new_tokens=7)
    asker = Asker(how, ASKED)
    request = asker.request(ASKED)
    predicted = next(unit_of("i1", ASKED, how).start())
    assert isinstance(request, Generate)
    assert isinstance(predicted, Generate)
    assert request.conversation == predicted.conversation
    assert (request.temperature, request.top_p, request.max_new_tokens, request.stops) == (0.5, 0.9, 7, ("\n\n",))
    assert request == asker.request(ASKED)  # the same seed for the same text
    with pytest.raises(TableError, match="hidden from a model only where"):
        asker.request(ASKED, asker.places(ASKED, item_words(ASKED)))
    assert isinstance(asker.scored(ASKED), ScoreOptions)


def test_a_classifier_reads_pairs_and_a_pair_stays_one() -> None:
    asker = Asker(None, PAIR)
    assert asker.request(PAIR) == Classify("She fell.\nHard.", "It hurt.")
    one = Asked("It hurt.", (Context("premise", "premise", "She fell."),), OPTIONS)
    empty = without_words(one, item_words(one), range(4))
    assert Asker(None, one).request(empty) == Classify("", "")
    assert Asker(None, ASKED).request(ASKED) == Classify("I lied.", None)
    blank = Asked("It hurt.", (Context("premise", "premise", ""),), OPTIONS)
    assert Asker(None, blank).request(blank) == Classify("It hurt.", None)


def test_places_before_a_classifier() -> None:
    words = item_words(PAIR)
    request = Asker(None, PAIR).request(PAIR)
    assert isinstance(request, Classify)
    turns = (request.text, request.second or "")
    places = Asker(None, PAIR).places(PAIR, words)
    assert [turns[p.turn][p.start : p.end] for p in places] == ["She", "fell.", "Hard.", "It", "hurt."]
    assert [p.turn for p in places] == [0, 0, 0, 1, 1]
    hidden = Asker(None, PAIR).request(PAIR, places[:1], "token")
    assert (hidden.hidden, hidden.hiding) == (places[:1], "token")  # type: ignore[union-attr]


def test_replies_become_labels_and_probabilities() -> None:
    asker = Asker(manner(), ASKED)
    scores = OptionScores((math.log(0.3), math.log(0.1)), (1, 2), "forced", 0.0, 9)
    assert asker.label_of(scores) == "good"
    assert asker.probs_of(scores) == pytest.approx((0.75, 0.25))
    even = OptionScores((-1.0, -1.0), (1, 1), "forced", 0.0, 9)
    assert asker.label_of(even) is None
    lost = OptionScores((-math.inf, -math.inf), (1, 1), "first_token", 0.5, 9)
    assert (asker.label_of(lost), asker.probs_of(lost)) == (None, None)
    failed = Failed("timeout", "too slow")
    assert (asker.label_of(failed), asker.probs_of(failed), asker.row(failed)) == (
        None,
        None,
        {"error": "timeout: too slow"},
    )
    assert asker.label_of(Generated(("Bad. It hurts.",), ("stop",), 9, 3)) == "bad"
    assert asker.label_of(Generated(("who knows",), ("stop",), 9, 3)) is None
    letters = Asker(manner("label-letters", elicit="samples"), ASKED)
    assert letters.label_of(Generated(("B",), ("stop",), 9, 1)) == "bad"


def test_classes_are_read_by_their_names() -> None:
    asker = Asker(None, ASKED)
    reply = ClassProbs(("bad", "good"), (0.75, 0.25), 4)
    assert asker.probs_of(reply) == pytest.approx((0.25, 0.75))
    assert (asker.label_of(reply), asker.number_of("bad", reply), asker.number_of("good", reply)) == ("bad", 0, 1)
    with pytest.raises(TableError, match="LABEL_0"):
        asker.label_of(ClassProbs(("LABEL_0", "LABEL_1"), (0.5, 0.5), 4))
    three = Asker(None, Asked("x", options=("good", "bad", "odd")))
    assert three.probs_of(reply) == pytest.approx((0.25, 0.75, 0.0))  # the model has no such class
    with pytest.raises(TableError, match="no class 'odd'"):
        three.number_of("odd", reply)


def test_rows_are_read_as_those_of_predictions() -> None:
    asker = Asker(manner(), ASKED)
    request = asker.request(ASKED)
    rows = [
        asker.row(OptionScores((math.log(0.3), math.log(0.1)), (1, 2), "forced", 0.0, 9), request),
        asker.row(ClassProbs(("bad", "good"), (0.0, 1.0), 4)),
        asker.row(Generated(("bad",), ("stop",), 9, 1)),
        asker.row(Failed("too_long", "the text is too long")),
    ]
    key = {"annotator_id": "", "condition": "full", "operator": "", "sample": 0}
    said = pl.DataFrame([{"item_id": f"i{n}", **key, **row} for n, row in enumerate(rows)], infer_schema_length=None)
    found = answers_table(said, Reading("r", "q", OPTIONS))
    assert found["label"].to_list() == ["good", "good", "bad", None]
    assert found["probs_kind"].to_list() == ["forced", "classifier", None, None]
    assert found["seed"][0] == request.seed  # type: ignore[union-attr]
    assert found["error"][3] == "too_long: the text is too long"


@pytest.mark.parametrize("style", ["label_and_reason", "reason_first", "shares", "rephrase", "cot"])
def test_styles_that_say_more_than_a_label_are_refused(style: str) -> None:
    with pytest.raises(TableError, match=r"rationales are of a label.*use 'label' or 'label-letters'"):
        Asker(manner(style), ASKED)


def test_steps_before_the_label_and_texts_of_options_are_refused() -> None:
    with pytest.raises(TableError, match="in several steps"):
        Asker(manner(rephrase=load_style("rephrase-ask")), ASKED)
    with pytest.raises(TableError, match="cannot read the texts of options"):
        Asker(None, Asked("x", options=OPTIONS, option_texts=("a", "b")))
