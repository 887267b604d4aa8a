"""Attributions of classifiers: laws of each method, texts and pairs, families of encoders, a planted token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attribution import class_value, naive_scores, near

from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.local import LocalEngine
from dfar_toolkit.engines.model_loading import loaded_model
from dfar_toolkit.engines.requests import Attribute, Attributed, Classify, ClassProbs, Failed
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.placing import Place
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own

NORMS = ("gradient_l1", "gradient_l2", "input_x_gradient_l1", "input_x_gradient_l2")
METHODS = (*NORMS, "input_x_gradient", "integrated_gradients")
TEXTS = ("I lied to my friend because I wanted to.", "I paid.", "It is fair.")
_SMALL = {"vocab_size": 400, "num_labels": 3, "initializer_range": 0.5}
_BERT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": _BERT, "Roberta": _BERT, "Electra": _BERT | {"embedding_size": 16}, "ModernBert": _BERT,
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 64},
    "DebertaV2": _BERT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def family(name: str) -> LoadedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**_SMALL, **FAMILIES[name], pad_token_id=0)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    return loaded_model(model.double().eval(), tiny_tokenizer())


def llama(pad: int | None) -> LoadedModel:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **_SMALL, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, pad_token_id=pad
    )
    return loaded_model(transformers.LlamaForSequenceClassification(config).double(), tiny_tokenizer())


def alone(loaded: LoadedModel, request: Attribute, reply: Attributed) -> dict[str, np.ndarray]:
    """The plain way, with what the text is to the tokenizer."""
    assert isinstance(request.asked, Classify)
    pair = () if request.asked.second is None else (request.asked.second,)
    inputs = loaded.tokenizer(request.asked.text, *pair, return_tensors="pt", return_token_type_ids=True)
    if loaded.model.config.model_type not in ("bert", "electra", "deberta-v2"):
        del inputs["token_type_ids"]
    value = class_value(loaded.model, dict(inputs), request.target, request.contrast, request.kind)
    table = loaded.model.get_input_embeddings()
    empty = loaded.tokenizer.convert_tokens_to_ids(reply.baseline)
    real = table(inputs["input_ids"][0])
    return naive_scores(value, real, table(torch.tensor([empty]))[0], range(len(real)), request.steps)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_encoders(name: str) -> None:
    loaded = family(name)
    asked = [Classify(TEXTS[0]), Classify(TEXTS[1]), Classify(TEXTS[1], TEXTS[2])]
    kinds = (("logit", None), ("prob", 2), ("log_prob", None))
    requests = [Attribute(one, 1, None, METHODS, contrast, kind, steps=3)  # type: ignore[arg-type]
                for one, (kind, contrast) in zip(asked, kinds, strict=True)]  # fmt: skip
    for request, reply in zip(requests, attribute(loaded, requests, budget=1000), strict=True):
        assert isinstance(reply, Attributed), reply
        wanted = alone(loaded, request, reply)
        for method in METHODS:
            assert near(reply.scores[method], wanted[method]), method
        assert reply.value == pytest.approx(float(wanted["value"]), rel=1e-4)
        assert reply.dtype == "float64"


@pytest.mark.parametrize("pad", [0, None])
def test_decoders_classify_at_their_last_token_whatever_pads(pad: int | None) -> None:
    loaded = llama(pad)
    requests = [Attribute(Classify(text), 1, None, METHODS, steps=3) for text in TEXTS]
    for request, reply in zip(requests, attribute(loaded, requests, budget=1000), strict=True):
        assert isinstance(reply, Attributed)
        (single,) = attribute(loaded, [request], budget=1000)
        assert isinstance(single, Attributed)
        for method in METHODS:
            assert near(reply.scores[method], single.scores[method]), method
    # One row without padding, where the last token is the last place.
    loaded.model.config.pad_token_id = None
    wanted = alone(loaded, requests[0], reply)
    (first,) = attribute(loaded, requests[:1], budget=1000)
    assert isinstance(first, Attributed)
    for method in NORMS:
        assert near(first.scores[method], wanted[method]), method


def test_words_of_a_pair() -> None:
    loaded = family("Bert")
    asked = Classify(TEXTS[1], TEXTS[2])
    places = (Place(0, 0, 2, 6), Place(1, 1, 6, 10))  # paid, fair
    every, some = attribute(
        loaded,
        [Attribute(asked, 0, None, ("input_x_gradient",)), Attribute(asked, 0, places, ("input_x_gradient",))],
        budget=1000,
    )
    assert isinstance(every, Attributed)
    assert isinstance(some, Attributed)
    assert {unit for _, unit, _ in some.shares} == {0, 1}
    ids = loaded.tokenizer(TEXTS[1], TEXTS[2])["input_ids"]
    assert list(every.tokens) == ids
    every_score = dict(zip(every.tokens, every.scores["input_x_gradient"], strict=True))
    wanted = [every_score[token] for token in some.tokens]
    assert all(ids.count(token) == 1 for token in some.tokens)
    assert near(some.scores["input_x_gradient"], wanted)
    texts = [loaded.tokenizer.decode([token]).strip() for token in some.tokens]
    assert "".join(texts) == "paidfair"


class Planted(torch.nn.Module):  # type: ignore[misc]
    """Two classes; a token matters by the square of one unit, which of all tokens only the planted one has."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(400, 8)
        torch.manual_seed(1)
        with torch.no_grad():
            self.table.weight.normal_()
            self.table.weight[:, 0] = 0
            self.table.weight[token, 0] = 1.5
        self.config = fake_config()
        self.device, self.dtype = self.table.weight.device, self.table.weight.dtype

    def get_input_embeddings(self) -> Any:
        return self.table

    def forward(self, input_ids: Any, attention_mask: Any, **_more: Any) -> Any:
        size = (self.table(input_ids)[..., 0] ** 2 * attention_mask).sum(-1)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(size), size - 1], dim=-1))


class Linear(Planted):
    """Logits that are linear in the embeddings."""

    def __init__(self, seed: int) -> None:
        super().__init__(0)
        torch.manual_seed(seed)
        with torch.no_grad():
            self.table.weight.normal_()
        self.weight = torch.nn.Parameter(torch.randn(8, 2))

    def forward(self, input_ids: Any, attention_mask: Any, **_more: Any) -> Any:
        summed = (self.table(input_ids) * attention_mask[..., None]).sum(1)
        return SimpleNamespace(logits=summed @ self.weight)


def fake_config() -> Any:
    config = SimpleNamespace(
        num_labels=2, problem_type=None, id2label={0: "no", 1: "yes"}, pad_token_id=0, num_hidden_layers=1
    )
    config.get_text_config = lambda: config
    return config


@pytest.mark.parametrize("kind", ["logit", "log_prob", "prob"])
def test_a_planted_token_is_found_and_all_others_get_nothing(kind: Any) -> None:
    ids = tiny_tokenizer()(TEXTS[0])["input_ids"]
    at = 5
    assert ids.count(ids[at]) == 1
    loaded = LoadedModel(Planted(ids[at]), tiny_tokenizer(), "classifier", False, 64, {"model": "planted"})
    (reply,) = attribute(loaded, [Attribute(Classify(TEXTS[0]), 1, None, METHODS, None, kind)], budget=500)
    assert isinstance(reply, Attributed)
    for scores in reply.scores.values():
        assert scores[at] > 0
        assert [score for place, score in enumerate(scores) if place != at] == [0.0] * (len(ids) - 1)
    # f(x) - f(b) is all its: 1.5 squared before the softmax.
    if kind == "logit":
        assert reply.scores["integrated_gradients"][at] == pytest.approx(2.25, rel=1e-6)
        assert reply.scores["input_x_gradient"][at] == pytest.approx(4.5, rel=1e-6)
        assert reply.scores["gradient_l1"][at] == pytest.approx(3.0, rel=1e-6)
        assert reply.value == pytest.approx(1.25, rel=1e-6)
    assert reply.gaps["integrated_gradients"] < 1e-5


@settings(max_examples=15)
@given(
    st.integers(0, 99),
    st.lists(st.sampled_from(["I", "lied", "paid", "my", "friend", "ঘৃণা", "🐈"]), min_size=1, max_size=6),
    st.integers(1, 3),
    st.booleans(),
)
def test_of_a_linear_model_integrated_gradients_are_differences(
    seed: int, words: list[str], steps: int, contrasted: bool
) -> None:
    loaded = LoadedModel(Linear(seed), tiny_tokenizer(), "classifier", False, 64, {"model": "linear"})
    request = Attribute(
        Classify(" ".join(words)), 1, None, METHODS, 0 if contrasted else None, "logit", baseline="pad", steps=steps
    )
    (reply,) = attribute(loaded, [request], budget=500)
    assert isinstance(reply, Attributed)
    table, weight = loaded.model.table.weight.detach(), loaded.model.weight.detach()
    slope = (weight[:, 1] - (weight[:, 0] if contrasted else 0)).double().numpy()
    real = table[list(reply.tokens)].double().numpy()
    product = real @ slope
    assert np.allclose(reply.scores["input_x_gradient"], product, rtol=1e-5, atol=1e-5)
    assert np.allclose(
        reply.scores["integrated_gradients"], product - float(table[0].double().numpy() @ slope), rtol=1e-5, atol=1e-5
    )
    assert np.allclose(reply.scores["gradient_l1"], np.abs(slope).sum(), rtol=1e-5)
    assert np.allclose(reply.scores["gradient_l2"], np.sqrt((slope**2).sum()), rtol=1e-5)
    assert reply.value == pytest.approx(product.sum(), rel=1e-4, abs=1e-4)
    assert reply.gaps["integrated_gradients"] < 1e-3 or abs(sum(reply.scores["integrated_gradients"])) < 1e-2


def test_where_nothing_changes_the_gap_is_undefined() -> None:
    loaded = LoadedModel(Planted(399), tiny_tokenizer(), "classifier", False, 64, {"model": "planted"})
    (reply,) = attribute(loaded, [Attribute(Classify("I paid."), 1, None, METHODS, None, "logit")], budget=500)
    assert isinstance(reply, Attributed)
    assert math.isnan(reply.gaps["integrated_gradients"])
    assert set(reply.scores["integrated_gradients"]) == {0.0}


def test_an_adapter_on_a_classifier() -> None:
    peft = pytest.importorskip("peft")
    inner = family("Bert").model
    model = peft.get_peft_model(
        inner, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], init_lora_weights=False)
    )
    loaded = loaded_model(model.double(), tiny_tokenizer())
    wants = [weight.requires_grad for weight in model.parameters()]
    request = Attribute(Classify(TEXTS[0]), 2, None, METHODS, steps=3)
    (reply,) = attribute(loaded, [request], budget=500)
    assert isinstance(reply, Attributed)
    for method, wanted in alone(loaded, request, reply).items():
        assert method not in METHODS or near(reply.scores[method], wanted), method
    assert [weight.requires_grad for weight in model.parameters()] == wants
    assert all(weight.grad is None for weight in model.parameters())


def test_mixed_with_classes_and_what_fails() -> None:
    engine = LocalEngine(family("Bert"))
    good = Attribute(Classify(TEXTS[0]), 1, None, ("attention", "gradient_l2"))
    long = Attribute(Classify("x" * 200), 1, None, ("gradient_l2",))
    nowhere = Attribute(Classify(TEXTS[0]), 1, (Place(0, 0, 3, 3),), ("gradient_l2",))
    first, reply, second, third = engine.ask([Classify(TEXTS[0]), good, long, nowhere])
    assert isinstance(first, ClassProbs)
    assert isinstance(reply, Attributed)
    assert reply.value == pytest.approx(math.log(first.probs[1]), rel=1e-4)
    assert sum(reply.scores["attention"]) == pytest.approx(1, abs=1e-4)
    assert reply.baseline == ""  # none took part
    assert isinstance(second, Failed)
    assert second.kind == "too_long"
    assert isinstance(third, Failed)
    assert third.kind == "unplaced"
    with pytest.raises(EngineError, match="target of an attribution among 0 to 2, found 3"):
        engine.ask([Attribute(Classify(TEXTS[0]), 3, None, ("gradient_l2",))])


def test_a_model_that_looks_its_embeddings_up_otherwise() -> None:
    class Flat(Planted):
        def forward(self, input_ids: Any, attention_mask: Any, **_more: Any) -> Any:
            del attention_mask
            found = self.table(input_ids.reshape(-1)).reshape(*input_ids.shape, -1).sum(1)
            return SimpleNamespace(logits=found[:, :2])

    loaded = LoadedModel(Flat(5), tiny_tokenizer(), "classifier", False, 64, {"model": "flat"})
    with pytest.raises(EngineError, match="looks its embeddings up in another way"):
        attribute(loaded, [Attribute(Classify("I paid."), 1, None, ("gradient_l1",))], budget=500)
    assert not loaded.model.table._forward_hooks
