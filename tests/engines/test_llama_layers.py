"""A Llama's layers written out: every part against automatic differentiation in double precision."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.engines.llama import weights as weights_module
from dfar_toolkit.engines.llama.causal_attention import BLOCKS, STEP, CausalAttention
from dfar_toolkit.engines.llama.feed_forward import fed, fed_back
from dfar_toolkit.engines.llama.head import Head
from dfar_toolkit.engines.llama.heads import Heads
from dfar_toolkit.engines.llama.last_token import LastTokenAttention
from dfar_toolkit.engines.llama.rms_norm import add_back, normed
from dfar_toolkit.engines.llama.rotation import Rotations, turned
from dfar_toolkit.engines.llama.weights import Layer, llama_weights
from tiny_models import tiny_causal

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = 1e-5


def drawn(*sizes: int, seed: int = 0) -> Any:
    """Numbers of a normal distribution in double precision."""
    generator = torch.Generator().manual_seed(seed + sum(size * 31**at for at, size in enumerate(sizes)))
    return torch.randn(*sizes, generator=generator, dtype=torch.float64)


def slopes(function: Callable[..., Any], upper: Any, *given: Any) -> list[Any]:
    """Gradients of the product with ``upper`` by each of what is given."""
    leaves = [one.clone().requires_grad_() for one in given]
    return list(torch.autograd.grad((function(*leaves) * upper).sum(), leaves))


def same(ours: Any, wanted: Any) -> None:
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


def plain_norm(states: Any) -> Any:
    return states * (states.square().mean(-1, keepdim=True) + TINY) ** -0.5


def test_norm_by_hand() -> None:
    """(3, 4) has the mean square 25/2; back, g = (1, 0): r (g - n mean(g n)) = r ((1, 0) - (9, 12) / 25)."""
    past = normed(torch.tensor([[3.0, 4.0]], dtype=torch.float64), 0.0)
    r = 2**0.5 / 5
    same(past.states, torch.tensor([[3 * r, 4 * r]], dtype=torch.float64))
    back = add_back(torch.tensor([[1.0, 0.0]], dtype=torch.float64), past, torch.zeros(1, 2, dtype=torch.float64))
    same(back, torch.tensor([[r * 16 / 25, -r * 12 / 25]], dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_norm_forth_and_back(scale: float) -> None:
    states, upper = drawn(5, 8) * scale, drawn(5, 8, seed=1)
    past = normed(states.clone(), TINY)
    same(past.states, plain_norm(states))
    same(add_back(upper.clone(), past, torch.ones_like(upper)), 1 + slopes(plain_norm, upper, states)[0])


def test_feed_forward_forth_and_back() -> None:
    layer = Layer(None, None, gate=drawn(12, 8), up=drawn(12, 8, seed=1), down=drawn(8, 12))

    def plain(states: Any) -> Any:
        inner = plain_norm(states)
        gate = inner @ layer.gate.T
        return states + (gate / (1 + (-gate).exp()) * (inner @ layer.up.T)) @ layer.down.T

    states, upper = drawn(7, 8), drawn(7, 8, seed=2)
    found, past = fed(states.clone(), layer, TINY)
    same(found, plain(states))
    same(fed_back(upper.clone(), layer, past), slopes(plain, upper, states)[0])


@pytest.mark.parametrize("shared", [False, True])
def test_logits_of_the_head_forth_and_back(shared: bool) -> None:
    """Weighed sums of a model's logits, of each state its own or of all the same."""
    model = copy.deepcopy(tiny_causal()).double()
    torch.nn.init.normal_(model.model.norm.weight)
    head = Head(_in_double(model))
    states, upper = drawn(3, model.config.hidden_size), torch.ones(3, dtype=torch.float64)
    tokens, signs = [[5, 9], [7, 5], [11, 12]], torch.tensor([1.0, -1.0], dtype=torch.float64)
    each = [tokens[0]] * 3 if shared else tokens

    def plain(given: Any) -> Any:
        logits = model.lm_head(plain_norm(given) * model.model.norm.weight)
        return torch.stack([row[a] - row[b] for row, (a, b) in zip(logits, each, strict=True)])

    along = torch.stack([head.along(torch.tensor(own), signs) for own in each])
    found, past = head.logits(states, along[0] if shared else along)
    same(found, plain(states))
    same(head.logits_back(past), slopes(plain, upper, states)[0])


def test_logarithms_of_probabilities_forth_and_back() -> None:
    """One token asked twice counts twice."""
    model = copy.deepcopy(tiny_causal()).double()
    torch.nn.init.normal_(model.model.norm.weight)
    head = Head(_in_double(model))
    states, upper = drawn(3, model.config.hidden_size), drawn(3, 2)
    tokens = torch.tensor([[5, 9], [7, 7], [11, 12]])

    def plain(given: Any) -> Any:
        return model.lm_head(plain_norm(given) * model.model.norm.weight).log_softmax(-1).gather(1, tokens)

    found, past = head.log_probs(states, tokens)
    same(found, plain(states))
    same(head.log_probs_back(upper, past), slopes(plain, upper, states)[0])


def _in_double(model: Any) -> Any:
    """What a head needs of a model's weights, in double precision, which models are not written out in."""
    return SimpleNamespace(model=model, tiny=TINY)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.sampled_from([1, 2, STEP - 1, STEP, STEP + 7, STEP + 8, 3 * STEP + 1, STEP * BLOCKS, STEP * BLOCKS + 5]),
    before=st.sampled_from([0, 1, 9, 15, 17, 32]), shared=st.integers(1, 3), batch=st.integers(1, 3),
)  # fmt: skip
def test_causal_attention_forth_and_back(tokens: int, before: int, shared: int, batch: int) -> None:
    queries, upper = drawn(batch, tokens * shared, 4), drawn(batch, tokens * shared, 4, seed=1)
    keys, values = drawn(batch, before + tokens, 4, seed=2), drawn(batch, before + tokens, 4, seed=3)
    own = torch.arange(tokens).repeat_interleave(shared)
    later = torch.arange(before + tokens)[None] > (own + before)[:, None]

    def plain(asked: Any, seen: Any, said: Any) -> Any:
        return (asked @ seen.transpose(1, 2)).masked_fill(later, -torch.inf).softmax(-1) @ said

    attention = CausalAttention(before, tokens + 2, shared, queries)
    found, shares = attention.forth(queries, keys, values)
    same(found, plain(queries, keys, values))
    by_queries, by_keys, by_values = attention.back(upper, queries, keys, values, shares)
    wanted = slopes(plain, upper, queries, keys, values)
    same(by_queries, wanted[0])
    same(by_keys, wanted[1][:, before:])
    same(by_values, wanted[2][:, before:])


@pytest.mark.parametrize(("kept", "shared", "before"), [*itertools.product((1, 2, 3), (1, 2), (0, 5))])
def test_attention_of_the_last_token_forth_and_back(kept: int, shared: int, before: int) -> None:
    rows, tokens, size, hidden = 3, 6, 4, 7
    heads = Heads(kept, shared, size)
    matrix, earlier = drawn(kept * size, hidden), drawn(kept, before, size)
    queries, keys = drawn(rows, kept * shared * size), drawn(rows, before + tokens, kept * size)
    states, upper = drawn(rows, tokens, hidden), drawn(rows, kept * shared * size, seed=1)

    def plain(asked: Any, seen: Any, normal: Any) -> Any:
        own = (normal @ matrix.T).view(rows, tokens, kept, size)
        values = torch.cat([earlier.transpose(0, 1).expand(rows, -1, -1, -1), own], 1)
        logits = torch.einsum("rksd,rtkd->rkst", asked.view(rows, kept, shared, size), seen.unflatten(-1, (kept, size)))
        return torch.einsum("rkst,rtkd->rksd", logits.softmax(-1), values).flatten(1)

    attention = LastTokenAttention(heads, matrix, earlier if before else None)
    found, past = attention.forth(queries, keys, states)
    same(found, plain(queries, keys, states))
    by_queries, by_keys, by_states = attention.back(upper, past)
    wanted = slopes(plain, upper, queries, keys, states)
    same(by_queries, wanted[0])
    same(by_keys, wanted[1][:, before:])
    same(by_states, wanted[2])


@pytest.mark.parametrize(("kept", "shared"), [(1, 1), (2, 1), (2, 3), (1, 4)])
def test_heads_apart_and_together(kept: int, shared: int) -> None:
    heads = Heads(kept, shared, 4)
    numbers = drawn(3, 5, (kept * shared + 2 * kept) * 4)
    assert torch.equal(heads.together(*heads.parted(numbers)), numbers)
    found = drawn(3 * kept, 5 * shared, 4)
    assert torch.equal(heads.apart(heads.attended(found), 3), found)


def test_the_way_back_of_a_rotation_is_its_adjoint() -> None:
    """<R a, b> = <a, R* b> for all numbers of a row, and values are not turned."""
    weights = llama_weights(tiny_causal())
    assert weights is not None
    rotation = Rotations(weights, 7, 9).of(4)
    width = (weights.heads + 2 * weights.kept) * weights.head
    a, b = drawn(2, 4, width).float(), drawn(2, 4, width, seed=1).float()
    there, back = turned(a.clone(), rotation.forth.all), turned(b.clone(), rotation.back.all)
    torch.testing.assert_close((there * b).sum(), (a * back).sum())
    assert torch.equal(there[..., -weights.kept * weights.head :], a[..., -weights.kept * weights.head :])
    assert not torch.equal(there, a)


def _biased(model: Any) -> None:
    model.model.layers[1].self_attn.q_proj.bias = torch.nn.Parameter(torch.zeros(1))


def _hooked(model: Any) -> None:
    model.model.layers[0].mlp.register_forward_hook(lambda *_: None)


def _replaced(model: Any) -> None:
    class Doubled(torch.nn.Linear):  # type: ignore[misc,name-defined]
        def forward(self, given: Any) -> Any:
            return 2 * super().forward(given)

    old = model.model.layers[0].mlp.down_proj
    model.model.layers[0].mlp.down_proj = Doubled(old.in_features, old.out_features, bias=False)


def _own_forward(model: Any) -> None:
    attention = model.model.layers[1].self_attn
    attention.forward = attention.forward


def _of_another_kind(model: Any) -> None:
    class Packed(torch.nn.Parameter):  # type: ignore[misc,name-defined]
        pass

    inner = model.model.layers[0].mlp
    inner.up_proj.weight = Packed(inner.up_proj.weight.detach())


def _renormed(model: Any) -> None:
    model.get_input_embeddings().max_norm = 1.0


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model.config, name, value)


@pytest.mark.parametrize(
    "change",
    [
        _biased, _hooked, _replaced, _own_forward, _of_another_kind, _renormed,
        _set("hidden_act", "gelu"), _set("sliding_window", 8), _set("num_hidden_layers", 1),
        _set("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
        _set("_attn_implementation_internal", "flex_attention"),
        lambda model: model.to(torch.bfloat16), lambda model: model.to(torch.float64),
    ],
)  # fmt: skip
def test_only_what_is_known_is_written_out(change: Callable[[Any], None]) -> None:
    model = copy.deepcopy(tiny_causal())
    assert llama_weights(model) is not None
    change(model)
    assert llama_weights(model) is None


def test_large_models_and_other_families_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_causal()
    own = type("LlamaForCausalLM", (type(model),), {"__module__": "elsewhere"})
    other = copy.deepcopy(model)
    other.__class__ = own
    assert llama_weights(other) is None
    monkeypatch.setattr(weights_module, "_MOST", 1000)
    assert llama_weights(model) is None
