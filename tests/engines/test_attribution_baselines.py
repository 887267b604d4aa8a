"""What stands for nothing in integrated gradients, and how well their sums come out from there."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tiny_families import tiny_loaded

from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.attribution.baselines import baseline_tokens
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Attribute, Attributed, ScoreOptions
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import plain
from tiny_models import tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

OPTIONS = ((" is fair to all",), (" is not fair",), (" hurts",))
TEXTS = ("I lied to my friend.", "I paid.", "It is fair because I wanted to pay my neighbour for the work.")
END = 2


def asked(text: str, **how: Any) -> Attribute:
    prompt = plain(f"Is it ethical or unethical? Answer with one of these labels, and nothing else: {text} Answer:")
    return Attribute(ScoreOptions(prompt, OPTIONS), 0, None, ("integrated_gradients",), **how)


def answered(loaded: LoadedModel, requests: Sequence[Attribute]) -> list[Attributed]:
    found = attribute(loaded, requests, budget=8192)
    assert all(isinstance(reply, Attributed) for reply in found)
    return [reply for reply in found if isinstance(reply, Attributed)]


def test_tokens_that_stand_for_nothing() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    assert baseline_tokens(tokenizer, "pad", 400) == [(0, "<pad>"), (2, "</s>")]
    assert baseline_tokens(tokenizer, "mask", 400) == [(0, "<pad>"), (2, "</s>")]
    tokenizer.pad_token = None
    assert baseline_tokens(tokenizer, "unk", 400) == [(2, "</s>")]
    tokenizer.eos_token = None
    with pytest.raises(EngineError, match="take the baseline 'mean' or 'zero'"):
        baseline_tokens(tokenizer, "mask", 400)
    tokenizer.mask_token = "<s>"
    assert baseline_tokens(tokenizer, "mask", 400) == [(1, "<s>")]
    with pytest.raises(EngineError, match="mask, unk, pad, eos"):
        baseline_tokens(tokenizer, "mask", 1)  # outside the model's embeddings


@pytest.mark.parametrize(("silent", "said"), [((0,), "</s>"), ((0, END), "mean embedding")])
def test_tokens_of_next_to_no_embedding_stand_for_nothing_only_by_name(silent: tuple[int, ...], said: str) -> None:
    loaded = tiny_loaded(tiny_causal(3))
    table = loaded.model.get_input_embeddings().weight
    with torch.no_grad():
        usual = float(table.norm(dim=-1).mean())
        for token in silent:
            table[token] = 0.009 * usual * torch.ones(32) / math.sqrt(32)
    chosen, named = (answered(loaded, [asked(TEXTS[0], baseline=name)])[0] for name in ("mask", "pad"))
    assert (chosen.baseline, named.baseline) == (said, "<pad>")
    with torch.no_grad():
        table[0] *= 1.2  # just above one percent
    assert answered(loaded, [asked(TEXTS[0])])[0].baseline == "<pad>"


def test_at_fifty_steps_the_gap_of_most_models_is_below_a_percent_and_more_steps_close_the_rest() -> None:
    # Where a path swings by more than it gains (by 5 for .5 with some of these weights) fifty points are too few.
    gaps: dict[int, list[float]] = {50: [], 300: []}
    for seed in range(6):
        loaded = tiny_loaded(tiny_causal(seed))
        for steps, own in gaps.items():
            asks = [asked(text, steps=steps) for text in TEXTS]
            own += [reply.gaps["integrated_gradients"] for reply in answered(loaded, asks)]
    assert np.median(gaps[50]) < 0.01
    assert np.mean(np.array(gaps[50]) < 0.01) > 0.7
    assert max(gaps[300]) < 0.01
