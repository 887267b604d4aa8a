"""Tiny Llamas whose layers are written out, requests to them, and the same by the model's own gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tiny_families import tiny_loaded

from dfar_toolkit.engines.attribution import gradient_methods
from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Attribute, Attributed, ScoreOptions
from dfar_toolkit.engines.token_ids import option_ids
from dfar_toolkit.prompts.conversation import plain
from dfar_toolkit.prompts.placing import Place
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IG = ("integrated_gradients",)
LABELS = ((" ethical",), (" unethical",))  # one token each
TEXTS = (
    "I lied to my friend.", "No.", "It is fair because I wanted to pay my neighbour for the work, and told nobody.",
    "ঠিক না 🙂 是的", "I paid. " * 12,
)  # fmt: skip
RULES = "Is it ethical or unethical? Answer with one of these labels, and with nothing else at all: "


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
        patch.setattr(gradient_methods, "written_out", lambda *_: None)
        return ours, attribute(loaded, requests, budget=budget)


def alike(ours: Sequence[Any], wanted: Sequence[Any], *, apart: float = 1e-4, auto: bool = False) -> None:
    """Numbers equal but for rounding, by which one way of ``auto`` may halve a panel that the other does not."""
    for own, other in zip(ours, wanted, strict=True):
        assert isinstance(own, Attributed), own
        assert isinstance(other, Attributed), other
        assert own.scores.keys() == other.scores.keys()
        for name, scores in own.scores.items():
            its = np.array(other.scores[name])
            np.testing.assert_allclose(scores, its, rtol=0, atol=(5e-3 if auto else apart) * np.abs(its).max())
        assert own.value == pytest.approx(other.value, abs=2e-5)
        assert (own.tokens, own.baseline) == (other.tokens, other.baseline)
        assert auto or own.points == other.points


def tokens_of(request: Attribute, loaded: LoadedModel) -> tuple[list[int], list[list[int]]]:
    """The prompt's tokens, and those of each option after it."""
    assert isinstance(request.asked, ScoreOptions)
    ids = option_ids(request.asked.conversation, request.asked.spellings, loaded)
    return list(ids.common), [list(own[0]) for own in ids.tails]


def places_of(found: Attributed, prompt: list[int]) -> list[int]:
    """Where the explained tokens stand in the prompt."""
    starts = [at for at in range(len(prompt)) if tuple(prompt[at : at + len(found.tokens)]) == found.tokens]
    assert len(starts) == 1
    return list(range(starts[0], starts[0] + len(found.tokens)))
