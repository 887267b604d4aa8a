"""Gradient attributions: as the plain way one by one, whatever is asked beside; the model stays as it was."""

from __future__ import annotations

import copy
import functools
import gc
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from naive_attribution import naive_scores, near, option_value
from tiny_families import tiny_family, tiny_loaded

from dfar_toolkit.engines.attribution import option_scalar
from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.local import LocalEngine
from dfar_toolkit.engines.requests import Attribute, Attributed, Failed, OptionScores, ScoreOptions
from dfar_toolkit.engines.shared_prefix import Ways
from dfar_toolkit.engines.token_ids import option_ids
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import plain
from dfar_toolkit.prompts.placing import Place
from tiny_models import tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

METHODS = (
    "gradient_l1", "gradient_l2", "input_x_gradient", "input_x_gradient_l1", "input_x_gradient_l2",
    "integrated_gradients",
)  # fmt: skip
OPTIONS = ((" is fair to all",), (" is not fair",), (" hurts",))
RULES = "Is it ethical or unethical? Answer with one of these labels, and nothing else:"
TEXTS = ("I lied to my friend.", "I paid.", "It is fair because I wanted to pay my neighbour for the work.")
END = 2  # stands for nothing: there is no mask, no unknown token, and the padding token has zeros
ALONE = Ways(holes=False, cache=False, window=None, difference=math.nan)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def asked(text: str, head: str = RULES, *, placed: bool = True, **how: Any) -> Attribute:
    """One text after rules; the words of the text are explained, or everything."""
    places = None
    if placed:
        starts = [at for at in range(len(text)) if at == 0 or text[at - 1] == " "]
        ends = [at for at in range(1, len(text) + 1) if at == len(text) or text[at] == " "]
        spans = zip(starts, ends, strict=True)
        places = tuple(Place(unit, 0, len(head) + 1 + a, len(head) + 1 + b) for unit, (a, b) in enumerate(spans))
    settings = {"target": 0, "methods": METHODS, "steps": 4} | how
    return Attribute(ScoreOptions(plain(f"{head} {text} Answer:"), OPTIONS), places=places, **settings)


def answered(loaded: LoadedModel, requests: Sequence[Attribute], **call: Any) -> list[Attributed]:
    found = attribute(loaded, requests, **{"budget": 8192} | call)
    assert all(isinstance(reply, Attributed) for reply in found), found
    return found  # type: ignore[return-value]


def same(one: Attributed, other: Attributed, share: float = 2e-4) -> None:
    assert (one.tokens, one.shares, one.baseline) == (other.tokens, other.shares, other.baseline)
    assert one.value == pytest.approx(other.value, rel=1e-4)
    assert list(one.scores) == list(other.scores)
    for name, scores in one.scores.items():
        assert near(scores, other.scores[name], share), name


def naive(
    loaded: LoadedModel, request: Attribute, places: Sequence[int], empty_token: int = END
) -> dict[str, np.ndarray]:
    assert isinstance(request.asked, ScoreOptions)
    tokens = option_ids(request.asked.conversation, request.asked.spellings, loaded)
    tails = [tail[0] for tail in tokens.tails]
    value = option_value(loaded.model, tokens.common, tails, request.target, request.contrast, request.kind)
    table = loaded.model.get_input_embeddings()
    empty = table(torch.tensor([empty_token]))[0]
    return naive_scores(value, table(torch.tensor(tokens.common)), empty, places, request.steps)


@pytest.mark.parametrize("contrast", [None, 1])
@pytest.mark.parametrize("kind", ["logit", "log_prob", "prob", "option_log_prob"])
def test_labels_of_several_tokens_as_the_plain_way(kind: Any, contrast: int | None) -> None:
    loaded = tiny_loaded()
    request = asked(TEXTS[0], kind=kind, contrast=contrast, placed=False)
    (reply,) = answered(loaded, [request])
    wanted = naive(loaded, request, range(len(reply.tokens)))
    for name in METHODS:
        assert near(reply.scores[name], wanted[name]), name
    assert reply.value == pytest.approx(float(wanted["value"]), rel=1e-4)
    assert list(reply.tokens) == tiny_tokenizer()(f"{RULES} {TEXTS[0]} Answer:")["input_ids"]
    change = float(wanted["value"] - wanted["empty"])
    lost = abs(sum(wanted["integrated_gradients"]) - change) / abs(change)
    assert reply.gaps["integrated_gradients"] == pytest.approx(lost, rel=0.02, abs=1e-4)


def test_only_the_words_are_explained_and_replaced() -> None:
    loaded = tiny_loaded()
    request = asked(TEXTS[2])
    (reply,) = answered(loaded, [request])
    ids = tiny_tokenizer()(f"{RULES} {TEXTS[2]} Answer:")["input_ids"]
    first = next(at for at in range(len(ids)) if tuple(ids[at : at + len(reply.tokens)]) == reply.tokens)
    wanted = naive(loaded, request, range(first, first + len(reply.tokens)))
    for name in METHODS:
        assert near(reply.scores[name], wanted[name]), name
    assert {unit for _, unit, _ in reply.shares} == set(range(len(TEXTS[2].split())))
    assert {token for token, _, _ in reply.shares} == set(range(len(reply.tokens)))


@pytest.mark.parametrize("forked", [1, 1000])
@pytest.mark.parametrize("budget", [1, 300, 10_000])
def test_batched_as_alone(forked: int, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_loaded()
    requests = [asked(text, contrast=at % 2 or None, kind=kind) for at, text in enumerate(TEXTS)
                for kind in ("log_prob", "prob")]  # fmt: skip
    requests.append(asked(TEXTS[1], "Good?", placed=False))
    requests.append(asked(TEXTS[0], methods=("gradient_l1",)))
    monkeypatch.setattr(option_scalar, "_FORKED", forked)
    together = answered(loaded, requests, budget=budget)
    for request, reply in zip(requests, together, strict=True):
        same(reply, answered(loaded, [request], ways=lambda: ALONE)[0])


def test_what_all_begin_with_is_run_once_and_changes_nothing() -> None:
    loaded = tiny_loaded()
    requests = [asked(text, 3 * RULES, methods=("input_x_gradient", "integrated_gradients")) for text in TEXTS]
    inner, rows = loaded.model.forward, []

    @functools.wraps(inner)
    def counted(**call: Any) -> Any:
        rows.append(call["input_ids"].numel())
        return inner(**call)

    loaded.model.forward = counted
    shared = answered(loaded, requests, ways=lambda: Ways(holes=True, cache=True, window=None, difference=0.0))
    sizes, rows[:] = sum(rows), []
    for one, other in zip(shared, answered(loaded, requests, ways=lambda: ALONE), strict=True):
        same(one, other)
    assert 2 * sizes < sum(rows)


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "bloom", "mistral, window 12", "gemma2", "gemma3", "mamba"])
def test_families(name: str) -> None:
    loaded = tiny_loaded(tiny_family(name).double(), max_length=256)
    requests = [asked(text, "Is it fair to all of them, or not?", steps=2) for text in TEXTS[:2]]
    for request, reply in zip(requests, answered(loaded, requests), strict=True):
        assert isinstance(request.asked, ScoreOptions)
        ids = loaded.tokenizer(request.asked.conversation[0].text)["input_ids"]
        first = next(at for at in range(len(ids)) if tuple(ids[at : at + len(reply.tokens)]) == reply.tokens)
        empty = loaded.tokenizer.convert_tokens_to_ids(reply.baseline)
        wanted = naive(loaded, request, range(first, first + len(reply.tokens)), empty)
        for method in METHODS:
            assert near(reply.scores[method], wanted[method]), method


def test_an_adapter_and_the_model_is_as_it_was() -> None:
    peft = pytest.importorskip("peft")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers under a name that is going
        model = peft.get_peft_model(tiny_causal(), peft.LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False))
    loaded = tiny_loaded(model)
    model.train()
    model.base_model.model.model.layers[0].eval()
    before = state(loaded)
    assert len({before["wants"][name] for name in before["wants"]}) == 2  # weights of both kinds
    requests = [asked(text, placed=False) for text in TEXTS[:2]]
    replies = answered(loaded, requests)
    assert state(loaded) == before
    model.eval()
    for request, reply in zip(requests, replies, strict=True):
        wanted = naive(loaded, request, range(len(reply.tokens)))
        for method in METHODS:
            assert near(reply.scores[method], wanted[method]), method
    # The adapter takes part.
    assert not near(
        replies[0].scores["gradient_l2"], answered(tiny_loaded(), requests[:1])[0].scores["gradient_l2"], 0.05
    )


def test_the_model_is_as_it_was_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_loaded()
    loaded.model.train()
    before = state(loaded)

    def broken(*_args: Any, **_more: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(torch.autograd, "grad", broken)
    with pytest.raises(ValueError, match="broken"):
        attribute(loaded, [asked(TEXTS[0])], budget=100)
    assert state(loaded) == before


def state(loaded: LoadedModel) -> dict[str, Any]:
    """All of a model that could be changed."""
    model = loaded.model
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "weights": {name: each.detach().numpy().tobytes() for name, each in model.state_dict().items()},
        "wants": {name: each.requires_grad for name, each in model.named_parameters()},
        "slopes": [each.grad for each in model.parameters()],
        "training": [module.training for module in model.modules()],
        "hooks": sum(len(vars(module)[name]) for module in model.modules() for name in hooks),
        "config": copy.deepcopy(model.config.to_dict()), "tokens": len(loaded.tokenizer),
        "special": dict(loaded.tokenizer.special_tokens_map),
    }  # fmt: skip


def test_a_token_baseline_is_complete_within_a_percent_at_fifty_steps() -> None:
    replies = answered(tiny_loaded(), [asked(text, steps=50, methods=("integrated_gradients",)) for text in TEXTS])
    assert [reply.gaps["integrated_gradients"] < 0.01 for reply in replies] == [True] * 3
    assert {reply.baseline for reply in replies} == {"</s>"}
    assert all(math.isfinite(score) for reply in replies for score in reply.scores["integrated_gradients"])


def test_baselines() -> None:
    loaded = tiny_loaded()
    how = {"methods": ("integrated_gradients",), "steps": 2, "placed": False}
    found = {name: answered(loaded, [asked(TEXTS[0], baseline=name, **how)])[0] for name in ("pad", "zero", "mean")}
    table = loaded.model.get_input_embeddings().weight
    request = asked(TEXTS[0], **how)
    assert isinstance(request.asked, ScoreOptions)
    tokens = option_ids(request.asked.conversation, OPTIONS, loaded)
    value = option_value(loaded.model, tokens.common, [tail[0] for tail in tokens.tails], 0, None, "log_prob")
    real = table[torch.tensor(tokens.common)]
    for name, empty in (("pad", table[0]), ("zero", torch.zeros(32)), ("mean", table.mean(0))):
        wanted = naive_scores(value, real, empty.detach(), range(len(real)), 2)["integrated_gradients"]
        assert near(found[name].scores["integrated_gradients"], wanted), name
        assert found[name].baseline == ("<pad>" if name == "pad" else f"{name} embedding")


def test_probabilities_too_small_for_the_type() -> None:
    loaded = tiny_loaded()
    long = " ".join(["unethical"] * 90)
    options = ScoreOptions(plain("I lied. Answer:"), ((f" {long}",), (" fair",)))
    small, log = answered(
        loaded,
        [Attribute(options, 0, None, ("gradient_l2", "input_x_gradient"), kind=kind) for kind in ("prob", "log_prob")],
    )
    assert 0 < small.value < 1e-150
    assert small.value == pytest.approx(math.exp(log.value), rel=1e-3)
    for name, scores in small.scores.items():
        assert near([score / small.value for score in scores], log.scores[name]), name


def test_half_precision_is_said_and_numbers_are_wide() -> None:
    model = tiny_causal().to(torch.bfloat16)
    replies = answered(tiny_loaded(model), [asked(text) for text in TEXTS])
    exact = answered(tiny_loaded(), [asked(text) for text in TEXTS])
    assert {reply.dtype for reply in replies} == {"bfloat16"}
    for one, other in zip(replies, exact, strict=True):
        assert one.value == pytest.approx(other.value, rel=0.05)
        assert np.corrcoef(one.scores["gradient_l2"], other.scores["gradient_l2"])[0, 1] > 0.9


def test_batches_too_large_for_the_memory_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_loaded()
    monkeypatch.setattr(gc, "collect", lambda: 0)  # slow, and nothing is there to be freed
    requests = [asked(text) for text in TEXTS]
    wanted = answered(loaded, requests)
    inner, sizes = loaded.model.forward, []

    @functools.wraps(inner)
    def small(**call: Any) -> Any:
        sizes.append(len(call["input_ids"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("too much")
        return inner(**call)

    loaded.model.forward = small
    for one, other in zip(answered(loaded, requests, budget=200), wanted, strict=True):
        same(one, other)
    assert max(sizes) > 4

    def none(**_call: Any) -> Any:
        raise torch.OutOfMemoryError("too much")

    loaded.model.forward = none
    found = attribute(loaded, requests, budget=100, ways=lambda: ALONE)
    assert [reply.kind for reply in found if isinstance(reply, Failed)] == ["memory"] * 3


def test_what_cannot_be_explained_fails_by_itself() -> None:
    loaded = tiny_loaded(max_length=60)
    kept, long, nowhere = asked(TEXTS[0]), asked(TEXTS[0], RULES * 4), asked(TEXTS[1])
    nowhere = Attribute(nowhere.asked, 0, (), METHODS)
    replies = attribute(loaded, [long, kept, nowhere], budget=1000)
    assert isinstance(replies[0], Failed)
    assert replies[0].kind == "too_long"
    assert "the model takes 60" in replies[0].message
    assert isinstance(replies[1], Attributed)
    assert isinstance(replies[2], Failed)
    assert replies[2].kind == "unplaced"
    assert attribute(loaded, [], budget=10) == []


def test_numbers_that_are_not_finite() -> None:
    model = tiny_causal()
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    (reply,) = attribute(tiny_loaded(model), [asked(TEXTS[0])], budget=1000)
    assert isinstance(reply, Failed)
    assert reply.kind == "malformed"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"target": 3}, "target of an attribution among 0 to 2, found 3"),
        ({"contrast": -1}, "contrast of an attribution among 0 to 2, found -1"),
        ({"contrast": 0}, "two options to contrast, found 0 twice"),
        ({"steps": 0}, "1 step or more"),
        ({"methods": ()}, "at least one attribution method"),
    ],
)
def test_requests_that_make_no_sense(how: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        attribute(tiny_loaded(), [asked(TEXTS[0], **how)], budget=100)


def test_hidden_places_are_not_explained() -> None:
    options = ScoreOptions(plain("I lied."), OPTIONS, hidden=(Place(0, 0, 0, 1),))
    with pytest.raises(EngineError, match="found hidden places"):
        attribute(tiny_loaded(), [Attribute(options, 0, None, METHODS)], budget=100)


def test_mixed_with_other_requests_in_one_call() -> None:
    loaded = tiny_loaded()
    request = asked(TEXTS[0])
    assert isinstance(request.asked, ScoreOptions)
    engine = LocalEngine(loaded)
    before, reply, after = engine.ask([request.asked, request, request.asked])
    assert isinstance(before, OptionScores)
    assert before == after
    assert isinstance(reply, Attributed)
    assert reply.value == pytest.approx(before.logprobs[0], rel=1e-5)
    same(reply, answered(loaded, [request])[0])
    assert engine.ask([request])[0].scores == engine.ask([request])[0].scores  # type: ignore[union-attr]
