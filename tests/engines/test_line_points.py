"""Points by layers written out: as the model's own gradients, and the model itself where they do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attribution import naive_scores, near, option_value
from written_models import IG, RULES, TEXTS, alike, asked, both_ways, family, places_of, tokens_of

from dfar_toolkit.engines.attribution import written_points
from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.llama.line_pass import LinePass
from dfar_toolkit.engines.requests import Attributed, Failed
from tiny_models import tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def forths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many points were in each block that went through layers written out."""
    seen: list[int] = []
    forth = LinePass.forth

    def spied(self: LinePass, line: Any, alphas: Any) -> Any:
        seen.append(len(alphas))
        return forth(self, line, alphas)

    monkeypatch.setattr(LinePass, "forth", spied)
    return seen


@pytest.mark.parametrize(
    "more",
    [
        {}, {"num_hidden_layers": 4}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1, "num_hidden_layers": 3},
        {"head_dim": 6}, {"tie_word_embeddings": True}, {"rms_norm_eps": 0.1},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
    ],
)  # fmt: skip
def test_as_the_models_own_gradients(more: dict[str, Any], monkeypatch: Any, forths: list[int]) -> None:
    loaded = family(**more)
    ours, wanted = both_ways([asked(text) for text in TEXTS], loaded, monkeypatch)
    alike(ours, wanted)
    assert len(forths) > 1


@pytest.mark.parametrize("kind", ["logit", "log_prob", "option_log_prob", "prob"])
@pytest.mark.parametrize("contrast", [None, 1])
def test_all_numbers_with_and_without_contrast(
    kind: str, contrast: int | None, monkeypatch: Any, forths: list[int]
) -> None:
    requests = [asked(text, kind=kind, contrast=contrast) for text in TEXTS]
    alike(*both_ways(requests, family("Mistral", sliding_window=None), monkeypatch))
    assert len(forths) > 1


@pytest.mark.parametrize("kind", ["logit", "log_prob", "option_log_prob", "prob"])
def test_inputs_with_and_without_contrast_in_one_call(kind: str, monkeypatch: Any, forths: list[int]) -> None:
    requests = [asked(text, kind=kind, contrast=at % 2 or None) for at, text in enumerate(TEXTS)]
    alike(*both_ways(requests, family(), monkeypatch))
    assert len(forths) > 1


@pytest.mark.parametrize("steps", [3, "auto"])
def test_after_a_shared_beginning_and_one_of_its_own(steps: Any, monkeypatch: Any, forths: list[int]) -> None:
    loaded = family(num_hidden_layers=3)
    requests = [asked(text, RULES * at, steps=steps) for at in (1, 2) for text in TEXTS]
    alike(*both_ways(requests, loaded, monkeypatch), auto=steps == "auto")
    assert len(forths) > 1


def test_as_the_plain_way_one_point_at_a_time(forths: list[int]) -> None:
    """Against an own loop over points with embeddings given to the model, which shares no code with either way."""
    loaded = family()
    request = asked(TEXTS[0], kind="log_prob")
    (found,) = attribute(loaded, [request], budget=4096)
    assert isinstance(found, Attributed)
    assert len(forths) > 1
    prompt, tails = tokens_of(request, loaded)
    value = option_value(loaded.model, prompt, tails, 0, None, "log_prob")
    table = loaded.model.get_input_embeddings().weight.detach()
    real = table[torch.tensor(prompt)]
    places = places_of(found, prompt)
    empty = table[tiny_tokenizer().convert_tokens_to_ids(found.baseline)]
    near(found.scores[IG[0]], naive_scores(value, real, empty, places, 5)[IG[0]])


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(len(TEXTS))), budget=st.sampled_from([1, 40, 300, 5000]))
def test_neither_order_nor_budget_matters(order: list[int], budget: int) -> None:
    loaded = family()
    requests = [asked(text) for text in TEXTS]
    alone = attribute(loaded, requests, budget=4096)
    mixed = attribute(loaded, [requests[at] for at in order], budget=budget)
    alike(mixed, [alone[at] for at in order])


def test_scores_sum_to_the_change_of_the_value(forths: list[int]) -> None:
    found = attribute(family(initializer_range=0.05), [asked(text, steps=40) for text in TEXTS], budget=4096)
    assert len(forths) > 1
    assert [one.gaps[IG[0]] < 1e-3 for one in found if isinstance(one, Attributed)] == [True] * len(TEXTS)


def test_options_of_several_tokens_and_long_inputs_go_the_usual_way(monkeypatch: Any, forths: list[int]) -> None:
    loaded = family()
    long = "I paid my neighbour for the work. " * 80
    requests = [asked("I paid.", options=((" is fair to all",), (" hurts",))), asked(long), asked("I paid.")]
    alike(*both_ways(requests, loaded, monkeypatch))
    assert sum(forths) == 2 + 5  # the first look, and the points of the third alone


def test_what_differs_is_not_taken(monkeypatch: Any, forths: list[int]) -> None:
    loaded = family()
    real = written_points.llama_weights

    def wrong(model: Any) -> Any:
        weights = real(model)
        weights.layers[1].reads.mul_(1.02)
        return weights

    monkeypatch.setattr(written_points, "llama_weights", wrong)
    alike(*both_ways([asked(text) for text in TEXTS], loaded, monkeypatch))
    assert forths == [2]


def test_without_memory_for_it_the_usual_way_is_taken(monkeypatch: Any) -> None:
    loaded = family()
    calls = []

    def full(self: LinePass, line: Any, alphas: Any) -> Any:
        calls.append(len(alphas))
        if len(alphas) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return forth(self, line, alphas)

    forth = LinePass.forth
    monkeypatch.setattr(LinePass, "forth", full)
    alike(*both_ways([asked(text) for text in TEXTS], loaded, monkeypatch))
    assert max(calls) > 2


def test_another_fault_is_not_hidden(monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(LinePass, "forth", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        attribute(family(), [asked("I paid.")], budget=4096)


def test_numbers_that_are_not_finite_are_said() -> None:
    loaded = family()
    with torch.no_grad():
        loaded.model.lm_head.weight.fill_(float("inf"))
    (found,) = attribute(loaded, [asked("I paid.")], budget=4096)
    assert isinstance(found, Failed)
    assert found.kind == "malformed"


def test_the_model_is_as_it_was() -> None:
    loaded = family()
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    loaded.model.lm_head.weight.requires_grad_(False)
    attribute(loaded, [asked(text) for text in TEXTS], budget=4096)
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())
    assert not loaded.model.lm_head.weight.requires_grad
    assert loaded.model.model.norm.weight.requires_grad
    assert all(weight.grad is None for weight in loaded.model.parameters())
    assert not any(module._forward_hooks for module in loaded.model.modules())
    assert tiny_causal() is not loaded.model


@pytest.mark.parametrize("scale", [1e-3, 0.0])
@pytest.mark.parametrize("steps", [5, "auto"])
def test_tokens_that_are_small_beside_the_baseline(
    scale: float, steps: Any, monkeypatch: Any, forths: list[int]
) -> None:
    """Sums of squares that cancel, and an input that is the baseline plus a difference, would lose them."""
    loaded = family(rms_norm_eps=1e-6, initializer_range=1.0)
    small = tiny_tokenizer()(" friend", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[small] *= scale
    requests = [asked("I paid.", steps=steps), asked(TEXTS[0], steps=steps)]
    alike(*both_ways(requests, loaded, monkeypatch), auto=steps == "auto")
    assert len(forths) > 1


def test_the_value_does_not_hang_on_what_is_asked_beside() -> None:
    loaded = family(initializer_range=1.0)
    alone, beside = (
        attribute(loaded, [asked(TEXTS[0], methods=methods)], budget=4096)[0]
        for methods in (IG, (*IG, "input_x_gradient"))
    )
    assert isinstance(alone, Attributed)
    assert isinstance(beside, Attributed)
    assert alone.value == pytest.approx(beside.value, abs=1e-4)


def test_one_input_that_is_not_finite_goes_the_usual_way(monkeypatch: Any, forths: list[int]) -> None:
    loaded = family()
    texts = ("I paid my neighbour for it.", "I lied.")
    usual, huge = (set(tiny_tokenizer()(f"{text}\nAnswer:")["input_ids"]) for text in texts)
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[list(huge - usual)] = 1e25
    ours, wanted = both_ways([asked(text, baseline="zero") for text in texts], loaded, monkeypatch)
    assert [type(one) for one in ours] == [type(one) for one in wanted]
    alike(ours[:1], wanted[:1], apart=1e-3)
    assert len(forths) > 1


def test_under_another_default_precision_and_under_autocast(monkeypatch: Any, forths: list[int]) -> None:
    loaded = family()
    requests = [asked(text) for text in TEXTS]
    torch.set_default_dtype(torch.float64)
    try:
        alike(*both_ways(requests, loaded, monkeypatch))
    finally:
        torch.set_default_dtype(torch.float32)
    seen = len(forths)
    assert seen > 1
    with torch.autocast("cpu", torch.bfloat16):
        ours, wanted = both_ways(requests, loaded, monkeypatch)
    alike(ours, wanted)
    assert len(forths) == seen


def test_points_are_as_exact_under_a_small_default_precision(monkeypatch: Any) -> None:
    loaded = family()
    requests = [asked(text) for text in TEXTS]
    wanted = both_ways(requests, loaded, monkeypatch)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = both_ways(requests, loaded, monkeypatch)
    finally:
        torch.set_default_dtype(torch.float32)
    for own, other in zip(found, wanted, strict=True):
        alike(own, other)


def test_without_memory_for_copies_of_weights_the_usual_way_is_taken(monkeypatch: Any, forths: list[int]) -> None:
    def full(_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(written_points, "llama_weights", full)
    alike(*both_ways([asked("I paid.")], family(), monkeypatch))
    assert not forths
