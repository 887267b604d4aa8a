"""Points by layers written out: as the model's own gradients, and the model itself where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attribution import naive_scores, near, option_value
from tiny_families import tiny_loaded

from dfar_toolkit.engines.attribution import gradient_methods, line_points
from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.llama.line_pass import LinePass
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Attribute, Attributed, Failed, ScoreOptions
from dfar_toolkit.engines.token_ids import option_ids
from dfar_toolkit.prompts.conversation import plain
from dfar_toolkit.prompts.placing import Place
from tiny_models import tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

IG = ("integrated_gradients",)
LABELS = ((" ethical",), (" unethical",))  # one token each
TEXTS = (
    "I lied to my friend.", "No.", "It is fair because I wanted to pay my neighbour for the work, and told nobody.",
    "ঠিক না 🙂 是的", "I paid. " * 12,
)  # fmt: skip
RULES = "Is it ethical or unethical? Answer with one of these labels, and with nothing else at all: "


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


def family(name: str = "Llama", **more: Any) -> LoadedModel:
    """A tiny seeded model."""
    sizes = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 1024, "initializer_range": 0.3,
    } | more  # fmt: skip
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tiny_tokenizer()), pad_token_id=0, **sizes)
    torch.manual_seed(1)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    for norm in [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]:
        torch.nn.init.normal_(norm.weight, mean=1.0, std=0.3)
    return tiny_loaded(model, max_length=1024)


def asked(text: str, head: str = "", *, options: Any = LABELS, **how: Any) -> Attribute:
    """The text explained, of a prompt with a head and a tail."""
    whole = f"{head}{text}\nAnswer:"
    settings_ = {"target": 0, "methods": IG, "steps": 5, "kind": "logit"} | how
    return Attribute(
        ScoreOptions(plain(whole), options), places=(Place(0, 0, len(head), len(head) + len(text)),), **settings_
    )


def both_ways(
    requests: Sequence[Attribute], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, budget: int = 4096
) -> tuple[list[Any], list[Any]]:
    """By layers written out, and by the model's own gradients alone."""
    ours = attribute(loaded, requests, budget=budget)
    with monkeypatch.context() as patch:
        patch.setattr(gradient_methods, "points_of", lambda batches, *_: batches)
        return ours, attribute(loaded, requests, budget=budget)


def alike(ours: Sequence[Any], wanted: Sequence[Any], *, apart: float = 1e-4, auto: bool = False) -> None:
    """Numbers equal but for rounding, by which one way of ``auto`` may halve a panel that the other does not."""
    for own, other in zip(ours, wanted, strict=True):
        assert isinstance(own, Attributed), own
        assert isinstance(other, Attributed), other
        mine, its = (np.array(one.scores[IG[0]]) for one in (own, other))
        np.testing.assert_allclose(mine, its, rtol=0, atol=(5e-3 if auto else apart) * np.abs(its).max())
        assert own.value == pytest.approx(other.value, abs=2e-5)
        assert (own.tokens, own.baseline) == (other.tokens, other.baseline)
        assert auto or own.points == other.points


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
    prompt, tails = _tokens(request, loaded)
    value = option_value(loaded.model, prompt, tails, 0, None, "log_prob")
    table = loaded.model.get_input_embeddings().weight.detach()
    real = table[torch.tensor(prompt)]
    places = _explained(found, prompt)
    empty = table[tiny_tokenizer().convert_tokens_to_ids(found.baseline)]
    near(found.scores[IG[0]], naive_scores(value, real, empty, places, 5)[IG[0]])


def _tokens(request: Attribute, loaded: LoadedModel) -> tuple[list[int], list[list[int]]]:
    assert isinstance(request.asked, ScoreOptions)
    ids = option_ids(request.asked.conversation, request.asked.spellings, loaded)
    return list(ids.common), [list(own[0]) for own in ids.tails]


def _explained(found: Attributed, prompt: list[int]) -> list[int]:
    starts = [at for at in range(len(prompt)) if tuple(prompt[at : at + len(found.tokens)]) == found.tokens]
    assert len(starts) == 1
    return list(range(starts[0], starts[0] + len(found.tokens)))


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
    assert sum(forths) == 2 + 2 + 5  # the first look, both ends and the points of the third alone


def test_what_differs_is_not_taken(monkeypatch: Any, forths: list[int]) -> None:
    loaded = family()
    real = line_points.llama_weights

    def wrong(model: Any) -> Any:
        weights = real(model)
        weights.layers[1].reads.mul_(1.02)
        return weights

    monkeypatch.setattr(line_points, "llama_weights", wrong)
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


def test_without_memory_for_copies_of_weights_the_usual_way_is_taken(monkeypatch: Any, forths: list[int]) -> None:
    def full(_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(line_points, "llama_weights", full)
    alike(*both_ways([asked("I paid.")], family(), monkeypatch))
    assert not forths
