"""Items explained from end to end, by a model whose label hangs on planted words."""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest
from explained_items import ASKED, OPTIONS, PLANTED, TEXT, explain, how, keys, label, of, people

from dfar_toolkit.engines.requests import Attribute, Classify, Generate, Reply, Request
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked, Context
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explaining import Explaining
from dfar_toolkit.runners.rationales.rationale import Rationale, top_words
from dfar_toolkit.runners.rationales.unit import explained
from dfar_toolkit.runners.units import Row
from planted_model import HIDDEN, PlantedModel, texts_of


@pytest.mark.parametrize("operator", ["remove", "mask", "replace", "mask_token", "attention_mask"])
def test_the_planted_word_is_found_and_flips_the_label(operator: str) -> None:
    model = PlantedModel(PLANTED)
    settled = how("leave_one_out", "occlusion", "integrated_gradients", "random", operators=(operator,), width=2)
    rows = explain(model, ASKED, settled, replacements=("snow", "fell"))
    assert label(rows[0]) == "bad"
    assert len(set(keys(rows))) == len(rows)
    [alone] = of(rows, "rationale", "leave_one_out")
    scores = alone["word_scores"]
    assert (scores.index(max(scores)), scores.index(min(scores))) == (1, 6)
    assert [abs(score) < 1e-12 for score in scores].count(True) == 8
    assert (alone["target"], alone["target_kind"], alone["baseline"]) == ("bad", "log_prob", operator)
    for method in ("leave_one_out", "integrated_gradients"):
        [without] = of(rows, "without_top", method, k=1)
        [only] = of(rows, "only_top", method, k=1)
        assert (label(without), label(only)) == ("good", "bad")
    [windowed] = of(rows, "rationale", "occlusion")
    found = windowed["word_scores"]
    # Words 0 and 1 are in windows with the planted one: 0 in that window alone, 1 in two of them, 2 in one of its two.
    assert found[0] == pytest.approx(scores[1])
    assert found[1] == pytest.approx(scores[1])
    assert found[2] == pytest.approx(scores[1] / 2)
    assert label(of(rows, "empty")[0]) == "good"


def test_what_is_seen_under_each_operator() -> None:
    seen: dict[str, list[str]] = {}
    for operator in ("remove", "mask", "replace", "mask_token", "attention_mask"):
        model = PlantedModel(PLANTED)
        settled = how("leave_one_out", operators=(operator,), mask="[M]", shares=(), human_length=False)
        explain(model, Asked("I stole it", options=OPTIONS), settled, replacements=("it", "snow"))
        seen[operator] = ["".join(texts_of(request)).split("Statement: ")[-1].split("\n")[0] for request in model.asked]
    assert seen["remove"][:4] == ["I stole it", "stole it", "I it", "I stole"]
    assert seen["mask"][:4] == ["I stole it", "[M] stole it", "I [M] it", "I stole [M]"]
    assert seen["replace"][3] == "I stole snow"  # never by itself
    assert seen["attention_mask"][2] == seen["mask_token"][2] == f"I {HIDDEN * 5} it"


def test_each_form_is_asked_once() -> None:
    model = PlantedModel(PLANTED)
    settled = how("leave_one_out", "gradient_l2", "random", "human", shares=(0.1, 0.2, 1.0), ks=(1, 2, 99), draws=3)
    human = people({1}, {1, 6}, {1})
    rows = explain(model, ASKED, settled, human)
    forms = [request for request in model.asked if not isinstance(request, Attribute)]
    assert len(set(forms)) == len(forms)
    told = [row for row in rows if row["condition"] not in ("rationale", "full")]
    # remove, k in 1, 2, 10 and the human number as a set: two score methods and three draws with two rows each; two of
    # the human words, the empty.
    assert len(told) == (3 + 1) * 2 * (2 + 3) + 2 + 1
    sets = of(rows, "without_evidence", "leave_one_out") + of(rows, "without_top", "leave_one_out", k=1)
    assert len({tuple(row["option_logprobs"]) for row in sets}) == 1
    assert [len(step) for step in model.steps[:3]] == [1, 1, 10]  # prediction, attributions, leave-one-out
    assert len(model.steps) == 4
    assert sum(map(len, model.steps)) < 1 + 1 + 10 + len(told)
    text_of = {row["k"]: row for row in of(rows, "without_top", "leave_one_out")}
    alone = of(rows, "without_evidence", "human")[0]
    assert alone["option_logprobs"] == text_of[1]["option_logprobs"]
    everything = of(rows, "without_top", k=10) + of(rows, "empty")
    assert len({tuple(row["option_logprobs"]) for row in everything}) == 1
    whole = of(rows, "only_top", k=10)
    assert {tuple(row["option_logprobs"]) for row in whole} == {tuple(rows[0]["option_logprobs"])}


def test_shares_and_numbers_of_words() -> None:
    settled = how("leave_one_out", shares=(0.01, 0.05, 0.1, 0.2, 0.5), ks=(1, 4))
    rows = explain(PlantedModel(PLANTED), ASKED, settled, people({1, 2, 3}))
    found = {row["k"]: (row["share"], row["shares"], row["n_removed"]) for row in of(rows, "without_top")}
    assert found == {1: (0.01, [0.01, 0.05, 0.1], 1), 2: (0.2, [0.2], 2), 3: (None, [], 3), 4: (None, [], 4),
                     5: (0.5, [0.5], 5)}  # fmt: skip
    assert {row["n_words"] for row in rows} == {10}
    assert [row["k"] for row in of(rows, "only_top")] == [1, 2, 3, 4, 5]


def test_random_words_are_asked_at_every_number_of_words_of_others() -> None:
    human = people({1, 2, 3, 4})
    rows = explain(PlantedModel(PLANTED), ASKED, how("random", "human", human_length=False), human)
    assert {row["k"] for row in of(rows, "without_top", "random")} == {4}  # only the human words are there to compare
    rows = explain(PlantedModel(PLANTED), ASKED, how("random", "human", "leave_one_out", human_length=False), human)
    assert {row["k"] for row in of(rows, "without_top", "random")} == {1, 2, 4, 5}
    assert {row["draw"] for row in of(rows, "only_top", "random")} == {0, 1}
    rows = explain(PlantedModel(PLANTED), ASKED, how("random"))
    assert {row["k"] for row in of(rows, "without_top", "random")} == {1, 2, 5}
    for rationale in of(rows, "rationale", "random"):
        sets = [top_words(rationale["word_scores"], k) for k in (1, 2, 5)]
        assert all(a < b for a, b in pairwise(sets))


def test_human_words_are_a_set_and_none_of_them_is_one_too() -> None:
    human = people({1, 6}, {1}, {1, 8})
    rows = explain(PlantedModel(PLANTED), ASKED, how("human"), human)
    [told] = of(rows, "rationale")
    assert told["evidence"] == [{"field": "statement", "start": 2, "end": 7, "set": 0}]
    assert (told["word_scores"], told["n_people"], told["target"]) == (None, 3, None)
    [without], [only] = of(rows, "without_evidence"), of(rows, "only_evidence")
    assert (label(without), label(only), without["k"], without["n_removed"]) == ("good", "bad", -1, 1)
    none = PlantedModel(PLANTED)
    rows = explain(none, ASKED, how("human"), people(set()))
    assert of(rows, "rationale")[0]["evidence"] == []
    assert of(rows, "without_evidence") == []  # no word is no trial, and not one that does not flip
    assert of(rows, "only_evidence") == []
    assert len(none.asked) == 2  # the item, and nothing of it
    assert of(explain(PlantedModel(PLANTED), ASKED, how("human")), "rationale") == []  # nobody was asked


def test_targets_and_what_they_are_set_against() -> None:
    three = Asked(TEXT, options=("good", "bad", "odd"))

    def told(gold: str | None = None, **other: Any) -> Row:
        return of(explain(PlantedModel(PLANTED), three, how("leave_one_out", **other), gold=gold), "rationale")[0]

    def ends(**other: Any) -> tuple[Any, Any]:
        row = told(**other)
        return row["target"], row["contrast"]

    assert ends() == ("bad", None)
    assert ends(target="gold", gold="good", contrast="runner_up") == ("good", "bad")
    assert ends(contrast="runner_up") == ("bad", "good")
    assert ends(target="odd", contrast="good") == ("odd", "good")
    assert ends(contrast="bad") == ("bad", None)  # not against itself
    for gold in (None, "ugly"):
        assert told(target="gold", gold=gold)["error"] == "no_target: the item has no gold label among the options"
    against = told(target="bad", contrast="good", kind="option_log_prob")
    # Odds of bad to good are the exponential of the planted weights alone.
    assert against["word_scores"] == pytest.approx([3.0 * (w == 1) - 1.0 * (w == 6) for w in range(10)], abs=1e-9)
    assert told(kind="logit")["target_kind"] == "log_prob"


def test_values_by_hand() -> None:
    model = PlantedModel({"stole": 2.0}, bias=0.0)
    asked = Asked("I stole", options=OPTIONS)
    odds = math.exp(2)  # with it 1 to odds, without it 1 to 1; the options have half of all probability
    before, after = odds / (1 + odds), 1 / 2
    logs = math.log(before) - math.log(after)
    for kind, value in {"prob": (before - after) / 2, "option_log_prob": logs, "log_prob": logs}.items():
        [row] = of(explain(model, asked, how("leave_one_out", kind=kind)), "rationale")
        assert row["word_scores"] == pytest.approx([0.0, value], abs=1e-12), kind


def test_a_server_without_attributions_goes_on_with_the_others() -> None:
    model = PlantedModel(PLANTED, served=True)
    settled = how("attention", "leave_one_out", "random", operators=("remove", "attention_mask"))
    rows = explain(model, ASKED, settled)
    assert of(rows, "rationale", "attention")[0]["error"] == "needs_model: a server has no tokens"
    assert of(rows, "rationale", "attention")[0]["word_scores"] is None
    assert not of(rows, "without_top", "attention")
    assert label(of(rows, "without_top", "leave_one_out", k=1, operator="remove")[0]) == "good"
    assert of(rows, "without_top", "random", operator="attention_mask")[0]["error"].startswith("needs_model")


def test_written_answers_have_flips_but_no_values() -> None:
    model = PlantedModel(PLANTED, served=True)
    writes = Manner(load_style("label"), elicit="samples")
    rows = explain(model, ASKED, how("leave_one_out", "human", manner=writes), people({1}))
    assert all(isinstance(request, Generate) for request in model.asked)
    assert of(rows, "rationale", "leave_one_out")[0]["error"].startswith("no_logprobs: ")
    assert [of(rows, c)[0]["raw"] for c in ("full", "without_evidence", "only_evidence")] == ["bad", "good", "bad"]
    with pytest.raises(TableError, match="attention_mask needs the labels' probabilities"):
        explained("i1", ASKED, None, None, how("human", manner=writes, operators=("attention_mask",)))


def test_a_failed_or_unparsed_prediction_ends_the_unit() -> None:
    rows = explain(PlantedModel(PLANTED, longest=10), ASKED, how("leave_one_out", "random"))
    assert [(row["condition"], row["error"]) for row in rows] == [("full", "too_long: the text is too long")]
    model = PlantedModel(PLANTED, classes=("who", "knows"))
    writes = Manner(load_style("label"), elicit="samples")
    rows = explain(model, ASKED, how("random", manner=writes))
    assert [(row["condition"], row["raw"]) for row in rows] == [("full", "knows")]


def test_a_form_that_is_too_long_is_an_error_of_its_rows() -> None:
    whole = PlantedModel(PLANTED)
    explain(whole, ASKED, how("human"), people({1}))
    longest = sum(map(len, texts_of(whole.asked[0])))
    settled = how("leave_one_out", "human", operators=("mask", "remove"), mask="[REDACTED]")
    rows = explain(PlantedModel(PLANTED, longest=longest), ASKED, settled, people({1}))
    assert of(rows, "rationale", "leave_one_out")[0]["error"].startswith("too_long")
    assert of(rows, "without_evidence", operator="mask")[0]["error"].startswith("too_long")
    assert label(of(rows, "without_evidence", operator="remove")[0]) == "good"


@pytest.mark.parametrize("statement", ["", " \n\t"])
def test_an_item_without_words_has_empty_rationales(statement: str) -> None:
    model = PlantedModel(PLANTED)
    settled = how("leave_one_out", "attention", "random", "human", "prompted_top_k")
    rows = explain(model, Asked(statement, options=OPTIONS), settled, people(set(), n=0))
    assert len(model.asked) == 1
    assert [(row["method"], row["word_scores"], row["evidence"]) for row in of(rows, "rationale")] == [
        ("attention", [], None), ("leave_one_out", [], None), ("prompted_top_k", None, []), ("human", None, []),
        ("random", [], None), ("random", [], None),
    ]  # fmt: skip
    assert {row["condition"] for row in rows} == {"full", "rationale"}
    assert len(set(keys(rows))) == len(rows)


def test_an_item_of_one_word() -> None:
    rows = explain(PlantedModel(PLANTED), Asked("stole", options=OPTIONS), how("leave_one_out", "occlusion", "random"))
    assert (
        of(rows, "rationale", "leave_one_out")[0]["word_scores"] == of(rows, "rationale", "occlusion")[0]["word_scores"]
    )
    assert [(row["k"], label(row)) for row in of(rows, "without_top", "random", draw=0)] == [(1, "good")]
    assert [(row["k"], label(row)) for row in of(rows, "only_top", "random", draw=0)] == [(1, "bad")]


@pytest.mark.parametrize(
    ("text", "planted", "unit", "at"),
    [
        ("আমি তাকে ঘৃণা করি", "ঘৃণা", "whitespace", 2),
        ("أنا أكره الكذب", "أكره", "whitespace", 1),
        ("我恨說謊", "恨", "characters", 1),
        ("we 👩🏽‍⚕️ lied 😡 today", "😡", "whitespace", 3),
    ],
)
def test_any_script(text: str, planted: str, unit: Any, at: int) -> None:
    settled = how("leave_one_out", "input_x_gradient", unit=unit, shares=(), operators=("remove", "mask_token"))
    rows = explain(PlantedModel({planted: 3.0}), Asked(text, options=OPTIONS), settled)
    for method in ("leave_one_out", "input_x_gradient"):
        [told] = of(rows, "rationale", method)
        assert told["word_scores"].index(max(told["word_scores"])) == at
        word = told["words"][at]
        assert (text[word["start"] : word["end"]], told["word_unit"]) == (planted, unit)
        assert [label(row) for row in of(rows, "without_top", method)] == ["good", "good"]


def test_an_item_with_contexts_and_texts_of_options() -> None:
    asked = Asked("It was hers", (Context("premise", "premise", "I stole it"),), OPTIONS, ("fine", "not fine"))
    rows = explain(PlantedModel(PLANTED), asked, how("leave_one_out", "attention", width=2), gold="bad")
    [told] = of(rows, "rationale", "leave_one_out")
    assert [word["field"] for word in told["words"]] == ["premise"] * 3 + ["statement"] * 3 + ["option:good"] + [
        "option:bad"
    ] * 2
    assert told["word_scores"].index(max(told["word_scores"])) == 1
    fields = explain(PlantedModel(PLANTED), asked, how("leave_one_out", fields=("statement",)))
    [told] = of(fields, "rationale")
    assert (told["fields"], len(told["words"]), told["word_scores"]) == (["statement"], 3, [0.0] * 3)
    assert label(of(fields, "empty")[0]) == "bad"  # the premise stays


def test_a_classifier_with_classes_in_another_order() -> None:
    asked = Asked("It was hers", (Context("premise", "premise", "I stole it"),), ("bad", "good"))
    model = PlantedModel(PLANTED)  # its own order: good, bad
    settled = how(
        "leave_one_out", "integrated_gradients", manner=None, operators=("remove", "attention_mask"), contrast="good"
    )
    rows = explain(model, asked, settled)
    assert label(rows[0]) == "bad"
    for method in ("leave_one_out", "integrated_gradients"):
        [told] = of(rows, "rationale", method)
        assert (told["target"], told["contrast"]) == ("bad", "good")
        assert told["word_scores"].index(max(told["word_scores"])) == 1
    [attribute] = [request for request in model.asked if isinstance(request, Attribute)]
    assert (attribute.target, attribute.contrast) == (1, 0)
    assert all(isinstance(r, Classify) and r.second is not None for r in model.asked if r is not attribute)


def test_rationales_from_elsewhere_are_tried_out() -> None:
    given = (Rationale("mine", 0, tuple(float(w == 1) for w in range(10))), Rationale("yours", 2, None, frozenset({6})))
    rows = explain(PlantedModel(PLANTED), ASKED, how("random"), given=given)
    assert label(of(rows, "without_top", "mine", k=1)[0]) == "good"
    assert [label(row) for row in of(rows, "without_evidence", "yours", draw=2)] == ["bad"]
    assert {row["k"] for row in of(rows, "without_top", "random")} == {1, 2, 5}
    assert [row["method"] for row in of(rows, "rationale")] == ["random", "random", "mine", "yours"]
    with pytest.raises(TableError, match="of the method 'random', which is asked for too"):
        explained("i1", ASKED, None, None, how("random"), (Rationale("random", 0, (1.0,)),))


def test_prompted_rationales_are_asked_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def prompted(
        item_id: str,
        asked: Asked,
        words: Any,
        said: str,
        human_count: int | None,
        methods: Any,
        settled: Explaining,
        asker: Any,
        *,
        wanted: str | None = None,
    ) -> Generator[list[Request], list[Reply], list[Rationale]]:
        seen.append((item_id, len(words), said, human_count, methods, wanted))
        yield [Generate(load_style("label").conversation(asked, chat=False))]
        return [Rationale(methods[0], 0, None, frozenset({1}), {"raw": "stole", "n_listed": 1, "n_missed": 0})]

    monkeypatch.setattr("dfar_toolkit.runners.rationales.unit.prompted_rationales", prompted)
    rows = explain(PlantedModel(PLANTED), ASKED, how("prompted_unbounded", "random"), people({1, 2}))
    assert seen == [("i1", 10, "bad", 2, ("prompted_unbounded",), "good")]
    [told] = of(rows, "rationale", "prompted_unbounded")
    assert (told["raw"], told["n_missed"], told["target"], len(told["evidence"])) == ("stole", 0, "bad", 1)
    assert label(of(rows, "without_evidence", "prompted_unbounded")[0]) == "good"
    assert 1 in {row["k"] for row in of(rows, "without_top", "random")}


def test_settings_that_do_not_fit_are_refused_before_anything_is_asked() -> None:
    bad: list[tuple[Explaining, str]] = [
        (how("magic"), "unknown method 'magic'"),
        (how("random", target="ugly"), "target must be predicted, gold or one of good, bad"),
        (how("random", contrast="ugly"), "contrast must be none, runner_up"),
        (how("prompted_top_k", manner=None), "a classifier writes no rationale"),
        (how("random", operators=("replace",)), "replace needs words"),
        (how("random", shares=(0.0,)), "shares must lie above 0"),
        (how("random", ks=(0,)), "numbers of words"),
    ]
    for settled, message in bad:
        with pytest.raises(TableError, match=message):
            explained("i1", ASKED, None, None, settled)


def test_without_operators_nothing_is_taken_away() -> None:
    rows = explain(PlantedModel(PLANTED), ASKED, how("leave_one_out", "random", operators=()))
    assert {row["condition"] for row in rows} == {"full", "rationale"}
    assert of(rows, "rationale", "leave_one_out")[0]["baseline"] == "remove"
