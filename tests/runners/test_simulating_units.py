"""What a simulator is asked, a conversation for each question, and what comes of it with models that are functions."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from reason_test_runs import OPTIONS, asked, run, scored, table, text_of

from dfar_toolkit.engines.requests import Failed, Generate, Generated, Reply, Request, ScoreOptions
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.metrics.self_consistency.simulation import BOTH, INPUT, REASON, SIMULATED
from dfar_toolkit.prompts.simulation_style import simulation_style
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.self_consistency.simulating import Explained, simulation_units

ANSWERS = [
    Explained("i1", asked("I lied to my friend."), "unethical", "It is unethical {{ 7*7 }}."),
    Explained("i2", asked("Ich helfe gern."), "ethical", "So ethical 😀!"),
    Explained("i3", asked("আমি মিথ্যা বলেছি।"), "unethical", "unethical: মিথ্যা"),
]


def guessed(text: str) -> str:
    """The label that the reason names, else ``ethical``."""
    return "unethical" if "unethical" in text.partition("Their reason:")[2] else "ethical"


def reader(request: Request) -> Reply:
    if isinstance(request, ScoreOptions):
        return scored(guessed(text_of(request)))
    assert isinstance(request, Generate)
    return Generated((f" {guessed(text_of(request))}",) * request.samples, ("stop",) * request.samples, 9, 2)


def units(**manner: Any) -> Any:
    return simulation_units(ANSWERS, Manner(simulation_style("simulate"), **manner), run="gpt")


def numbers(rows: list[Any]) -> dict[str, float]:
    found = self_consistency_table(table(rows, "label"), options=OPTIONS, n_boot=20)
    return dict(found.select("metric", "value").rows())


@pytest.mark.parametrize(
    ("manner", "kind"), [({}, ScoreOptions), ({"chat": True}, ScoreOptions), ({"elicit": "samples"}, Generate)]
)
def test_three_questions_each_a_conversation_of_its_own(manner: dict[str, Any], kind: type) -> None:
    requests, rows = run(units(**manner), reader)
    assert len(requests) == 9
    assert {(type(one), len(one.conversation)) for one in requests} == {(kind, 1)}
    for at, answer in enumerate(ANSWERS):
        texts = [text_of(one) for one in requests[3 * at : 3 * at + 3]]
        assert [answer.asked.statement in text for text in texts] == [True, True, False]
        assert [f"Their reason: {answer.reason}" in text for text in texts] == [False, True, True]
        assert len({one.seed for one in requests[3 * at : 3 * at + 3]}) == 1
    found = table(rows, "label")
    assert found["condition"].to_list() == list(SIMULATED) * 3
    assert found["target_label"].to_list() == [answer.label for answer in ANSWERS for _ in SIMULATED]
    assert found.filter(condition=INPUT)["shown_reason"].null_count() == 3
    assert found.filter(condition=REASON)["shown_reason"].to_list() == [answer.reason for answer in ANSWERS]
    assert found["target_run"].unique().to_list() == ["gpt"]
    assert found["method"].unique().to_list() == ["simulate"]
    assert found.filter(condition=BOTH)["label"].to_list() == [answer.label for answer in ANSWERS]


def test_who_always_gets_the_label_from_the_reason_finds_every_reason_leaked() -> None:
    _, rows = run(units(), reader)
    found = self_consistency_table(table(rows, "label"), options=OPTIONS, n_boot=20)
    by_name = {row["metric"]: row for row in found.iter_rows(named=True)}
    assert by_name["leaked_share"]["value"] == 1
    las = by_name["leakage_adjusted_simulatability"]
    assert las["value"] != las["value"]
    assert las["note"].startswith("every reason gives the answer away")
    assert by_name["simulatability_leaked"]["value"] == pytest.approx(2 / 3)  # two labels are not "ethical"
    assert by_name["named_label_share"]["value"] == 1


def test_samples_unread_guesses_and_failures_are_kept_apart() -> None:
    def odd(request: Request) -> Reply:
        text = text_of(request)
        if "Ich helfe" in text:
            return Failed("server", "gone")
        if "Their reason" not in text:
            return Generated((" I cannot say.",) * 3, ("stop",) * 3, 9, 4)
        return Generated((" ethical", " unethical", " unethical"), ("stop",) * 3, 9, 2)

    _, rows = run(units(elicit="samples", samples=3, temperature=1.0), odd)
    found = table(rows, "label")
    assert len(found.drop_nulls("error")) == 2  # the reason alone has no statement
    assert len(found) == 3 * 7 + 2
    values = numbers(rows)
    assert values["simulator_right_input"] == 0
    assert values["simulator_right_both"] == pytest.approx(2 / 3)
    assert values["leaked_share"] == pytest.approx(2 / 3)
    assert found.filter(pl.col("label").is_null() & pl.col("error").is_null())["condition"].unique().to_list() == [
        INPUT
    ]
