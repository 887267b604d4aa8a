"""The tests of free-text reasons through a server that only writes."""

from __future__ import annotations

from typing import Any

import polars as pl

from dfar_toolkit.engines.server import ServerEngine
from dfar_toolkit.metrics.self_consistency.mentions import mentions, with_mentions
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.driving import run_served
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explained_table import explained_table
from dfar_toolkit.runners.self_consistency.reason_testing import ReasonTesting
from dfar_toolkit.runners.self_consistency.units import self_consistency_units
from dfar_toolkit.runners.units import Row
from openai_loopback import OpenAiLoopback

OPTIONS = ("ethical", "unethical")


class Rows(dict[str, list[Row]]):
    """Rows by unit."""

    done: tuple[str, ...] = ()

    def add(self, unit: str, rows: list[Row]) -> None:
        self[unit] = rows


def answered(messages: Any, body: Any) -> str:
    """What moves it is the word red, which it always names; other words it never does."""
    text = messages[-1]["content"]
    return "unethical. The red thing." if mentions(text, "red") else "ethical. It is usual."


def test_words_inserted_through_a_server_in_fresh_conversations() -> None:
    items = [(f"i{at}", Asked(f"I lied {at} times.", options=OPTIONS)) for at in range(3)]
    manner = Manner(load_style("label_and_reason"), elicit="samples", chat=True)
    how = ReasonTesting(manner, places=2, words_per_place=2)
    rows = Rows()
    with OpenAiLoopback(answered) as server:
        engine = ServerEngine(server.url, "tiny")
        run_served(self_consistency_units(items, how, words=["red", "big"]), engine, rows, concurrency=2)
        assert len(server.requests) == 3 * (1 + 4)
        assert all(len(request.body["messages"]) == 1 for request in server.requests)
    said = pl.DataFrame([row for own in rows.values() for row in own], infer_schema_length=None)
    outputs = with_mentions(explained_table(said, Reading("r", "q", OPTIONS, answer="label_and_reason")))
    values = dict(self_consistency_table(outputs, n_boot=20).select("metric", "value").rows())
    assert (values["counterfactual_test"], values["phi_cct"], values["insertion_flip_rate"]) == (1.0, 1.0, 0.5)
    assert values["mentioned_unflipped"] == 0.0
