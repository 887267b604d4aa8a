"""Gradients by inputs by layers written out, several inputs at once: as the model's own gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attribution import naive_scores, near, option_value
from written_models import IG, RULES, TEXTS, alike, asked, both_ways, family, places_of, tokens_of

from dfar_toolkit.engines.attribution import option_scalar, row_points
from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.attribution.gradient_methods import OF_ONE_PASS
from dfar_toolkit.engines.llama.layers import Layers
from dfar_toolkit.engines.requests import Attributed
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def backs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows went back through layers written out, each time; few inputs are enough for it here."""
    seen: list[int] = []
    back = Layers.back

    def spied(self: Layers, gradient: Any, past: Any) -> Any:
        seen.append(len(gradient))
        return back(self, gradient, past)

    monkeypatch.setattr(Layers, "back", spied)
    monkeypatch.setattr(row_points, "_INPUTS", 1)
    monkeypatch.setattr(row_points, "_TOKENS", 1)
    return seen


@pytest.mark.parametrize(
    "more",
    [{}, {"num_hidden_layers": 4}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}, {"head_dim": 6}],
)
def test_as_the_models_own_gradients(more: dict[str, Any], monkeypatch: Any, backs: list[int]) -> None:
    requests = [asked(text, methods=OF_ONE_PASS) for text in TEXTS]
    alike(*both_ways(requests, family(**more), monkeypatch))
    assert backs[0] == 2  # the look at the longest and the shortest
    assert sum(backs) == 2 + len(TEXTS)
    assert len(backs) <= 3


@pytest.mark.parametrize("kind", ["logit", "log_prob", "option_log_prob", "prob"])
def test_all_numbers_with_and_without_contrast(kind: str, monkeypatch: Any, backs: list[int]) -> None:
    requests = [
        asked(text, methods=("input_x_gradient", "gradient_l2"), kind=kind, contrast=at % 2 or None)
        for at, text in enumerate(TEXTS)
    ]
    alike(*both_ways(requests, family("Mistral", sliding_window=None), monkeypatch))
    assert sum(backs) == 2 + len(TEXTS)


def test_after_a_shared_beginning_and_one_of_its_own(monkeypatch: Any, backs: list[int]) -> None:
    requests = [asked(text, RULES * at, methods=OF_ONE_PASS) for at in (1, 2) for text in TEXTS]
    alike(*both_ways(requests, family(num_hidden_layers=3), monkeypatch))
    alike(*both_ways(requests[: len(TEXTS)], family(num_hidden_layers=3), monkeypatch))
    assert sum(backs) == 4 + 3 * len(TEXTS)


def test_a_beginning_is_run_once(monkeypatch: Any, backs: list[int]) -> None:
    """Not again for the look at two inputs, nor for the points of a line."""
    seen = []

    def spied(run: Any, prefix: tuple[int, ...], **how: Any) -> Any:
        seen.append(len(prefix))
        return kept(run, prefix, **how)

    kept = option_scalar.kept
    monkeypatch.setattr(option_scalar, "kept", spied)
    requests = [asked(text, RULES, methods=(*IG, "input_x_gradient")) for text in TEXTS]
    assert all(isinstance(one, Attributed) for one in attribute(family(), requests, budget=4096))
    assert len(seen) == 1
    assert sum(backs) > len(TEXTS)


def test_with_integrated_gradients_in_one_call(monkeypatch: Any, backs: list[int]) -> None:
    requests = [asked(text, methods=(*IG, "input_x_gradient")) for text in TEXTS]
    alike(*both_ways(requests, family(), monkeypatch))
    assert sum(backs) == (2 + len(TEXTS)) + (2 + 5 * len(TEXTS))


def test_as_the_plain_way_one_input_at_a_time(backs: list[int]) -> None:
    """Against an own loop with embeddings given to the model, which shares no code with either way."""
    loaded = family()
    requests = [asked(text, kind="log_prob", methods=OF_ONE_PASS) for text in TEXTS]
    table = loaded.model.get_input_embeddings().weight.detach()
    for request, found in zip(requests, attribute(loaded, requests, budget=4096), strict=True):
        assert isinstance(found, Attributed)
        prompt, tails = tokens_of(request, loaded)
        value = option_value(loaded.model, prompt, tails, 0, None, "log_prob")
        real = table[torch.tensor(prompt)]
        wanted = naive_scores(value, real, torch.zeros_like(real[0]), places_of(found, prompt), 1)
        for method in OF_ONE_PASS:
            near(found.scores[method], wanted[method])
    assert sum(backs) == 2 + len(TEXTS)


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(len(TEXTS))), budget=st.sampled_from([1, 40, 300, 5000]))
def test_neither_order_nor_budget_matters(order: list[int], budget: int) -> None:
    loaded = family()
    requests = [asked(text, methods=OF_ONE_PASS) for text in TEXTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_points, "_INPUTS", 1)
        patch.setattr(row_points, "_TOKENS", 1)
        alone = attribute(loaded, requests, budget=4096)
        mixed = attribute(loaded, [requests[at] for at in order], budget=budget)
    alike(mixed, [alone[at] for at in order])


def test_few_or_short_inputs_go_the_usual_way(monkeypatch: Any) -> None:
    """What the look at one of them costs would not come back."""

    def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(Layers, "forth", never)
    few = [asked("I paid. " * 100, methods=("input_x_gradient",))] * 7
    short = [asked("I paid.", methods=("input_x_gradient",))] * 9
    for requests in (few, short):
        assert all(isinstance(one, Attributed) for one in attribute(family(), requests, budget=4096))


def test_many_inputs_go_through_layers_written_out(monkeypatch: Any) -> None:
    rows: list[int] = []
    forth = Layers.forth

    def spied(self: Layers, states: Any, rows_: Any, *parted: Any) -> Any:
        rows.append(rows_.number)
        return forth(self, states, rows_, *parted)

    monkeypatch.setattr(Layers, "forth", spied)
    requests = [asked(f"I paid {at} times. " * 20, methods=("input_x_gradient",)) for at in range(12)]
    alike(*both_ways(requests, family(), monkeypatch))
    assert sum(rows) == 2 + 12  # the look at two, and all
    assert max(rows) > 2


def test_what_differs_is_not_taken(monkeypatch: Any, backs: list[int]) -> None:
    back = Layers.back

    def wrong(self: Layers, gradient: Any, past: Any) -> Any:
        found, parted = back(self, gradient, past)
        return found * 1.01, parted

    monkeypatch.setattr(Layers, "back", wrong)
    alike(*both_ways([asked(text, methods=OF_ONE_PASS) for text in TEXTS], family(), monkeypatch))
    assert sum(backs) == 2


def test_one_input_that_is_not_finite_goes_the_usual_way(monkeypatch: Any, backs: list[int]) -> None:
    loaded = family()
    texts = ("I paid my neighbour for it.", "I lied.")
    usual, huge = (set(tiny_tokenizer()(f"{text}\nAnswer:")["input_ids"]) for text in texts)
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[list(huge - usual)] = 1e25
    ours, wanted = both_ways([asked(text, methods=OF_ONE_PASS) for text in texts], loaded, monkeypatch)
    assert [type(one) for one in ours] == [type(one) for one in wanted]
    alike(ours[:1], wanted[:1])
    assert sum(backs) == 2 + 2


def test_options_of_several_tokens_beside_others(monkeypatch: Any, backs: list[int]) -> None:
    requests = [asked(text, methods=("gradient_l1",)) for text in TEXTS]
    requests += [asked("I paid.", options=((" is fair to all",), (" hurts",)), methods=("gradient_l1",))]
    alike(*both_ways(requests, family(), monkeypatch))
    assert sum(backs) == 2 + len(TEXTS)


def test_without_attention_no_earlier_token_matters(backs: list[int]) -> None:
    """What the last token reads alone decides, and that is not among the explained ones."""
    loaded = family()
    with torch.no_grad():
        for layer in loaded.model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    requests = [asked(text, methods=("gradient_l2",)) for text in TEXTS]
    for one in attribute(loaded, requests, budget=4096):
        assert isinstance(one, Attributed)
        assert not np.any(one.scores["gradient_l2"])
    assert sum(backs) == 2 + len(TEXTS)
