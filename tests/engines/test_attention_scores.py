"""Attention of the last token: what inseq and the models themselves say, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny_families import FAMILIES, tiny_family, tiny_loaded  # noqa: E402
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # noqa: E402

from dfar_toolkit.engines.attribution.attention import attention_scores  # noqa: E402
from dfar_toolkit.engines.loaded import LoadedModel  # noqa: E402
from dfar_toolkit.errors import EngineError  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

ROWS = [list(range(5, 5 + count)) for count in (7, 30, 1, 18)]
MORE = {
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "gpt-oss": ("GptOss", {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 8}),
    "opt": ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 64}),
    "falcon": ("Falcon", {"alibi": True}),
    "gpt-neo": ("GPTNeo", {"attention_types": [[["global", "local"], 1]], "window_size": 8}),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def more(name: str) -> Any:
    stem, settings = MORE[name]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
    if name in ("qwen3", "gpt-oss"):
        sizes |= {"num_key_value_heads": 2, "intermediate_size": 64}
    if name == "gpt-neo":
        sizes |= {"num_layers": sizes.pop("num_hidden_layers"), "num_heads": sizes.pop("num_attention_heads")}
    torch.manual_seed(0)
    config = getattr(transformers, f"{stem}Config")(
        vocab_size=400, bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes, **settings
    )
    return getattr(transformers, f"{stem}ForCausalLM")(config).eval()


def shown(model: Any, row: list[int], **more: Any) -> list[Any]:
    """All weights of each layer, mean over heads, as the model shows them when it computes plainly."""
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    try:
        with torch.no_grad():
            layers = model(torch.tensor([row]), output_attentions=True, **more).attentions
    finally:
        model.config._attn_implementation = before
    return [layer[0].float().mean(0) for layer in layers if layer is not None]


def rolled(layers: list[Any]) -> Any:
    product = torch.eye(len(layers[0]))
    for layer in layers:
        mixed = (layer + torch.eye(len(layer))) / 2
        product = (mixed / mixed.sum(-1, keepdim=True)) @ product
    return product


def state(model: Any) -> Any:
    """All that a pass could leave behind."""
    hooks = [
        (len(each._forward_hooks), len(each._forward_pre_hooks), each.training) for each in model.modules()
    ]  # fmt: skip
    table = {name: ALL_ATTENTION_FUNCTIONS.get(name) for name in ("sdpa", "eager", "flash_attention_2")}
    return (
        hooks,
        table,
        dict(ALL_ATTENTION_FUNCTIONS._local_mapping),
        model.config.to_dict(),
        (model.config._attn_implementation),
    )


@pytest.mark.real
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_as_inseq(shared_cases: Path, implementation: str) -> None:
    cases = json.loads((shared_cases / "attribution_cases.json").read_text())["cases"]
    model = transformers.AutoModelForCausalLM.from_pretrained(
        shared_cases / "tiny_llama", attn_implementation=implementation
    )
    loaded = tiny_loaded(model)
    found = attention_scores(loaded, [case["input_ids"] for case in cases], rollout=False)
    for case, own in zip(cases, found, strict=True):
        assert own == pytest.approx(case["attention"]["inseq_last_layer_head_mean"], abs=1e-5)


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_every_family_as_it_shows_itself(name: str) -> None:
    model = tiny_family(name) if name in FAMILIES else more(name)
    loaded, before = tiny_loaded(model), state(model)
    if name == "mamba":
        with pytest.raises(EngineError, match="has none"):
            attention_scores(loaded, ROWS, rollout=False)
        assert state(model) == before
        return
    last, rollout = (attention_scores(loaded, ROWS, rollout=way) for way in (False, True))
    assert state(model) == before
    for row, own, flow in zip(ROWS, last, rollout, strict=True):
        layers = shown(model, row)
        assert own == pytest.approx(layers[-1][-1].tolist(), abs=1e-6)
        assert flow == pytest.approx(rolled(layers)[-1].tolist(), abs=1e-6)
        assert sum(flow) == pytest.approx(1, abs=1e-5)


def test_rollout_by_hand() -> None:
    """Weights of two layers [[1, 0], [a, 1-a]]: with the identity [[1, 0], [a/2, 1-a/2]], the product's last row."""
    model = tiny_causal()
    a, b = (float(layer[1, 0]) for layer in shown(model, [5, 9]))
    first = b / 2 + (1 - b / 2) * a / 2
    (found,) = attention_scores(tiny_loaded(model), [[5, 9]], rollout=True)
    assert found == pytest.approx([first, 1 - first], abs=1e-6)
    assert attention_scores(tiny_loaded(model), [[5]], rollout=True) == [[1.0]]
    assert attention_scores(tiny_loaded(model), [], rollout=True) == []


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's
def test_another_query_and_a_model_in_training_with_an_adapter() -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, lora_dropout=0.5)
    model = peft.get_peft_model(tiny_causal(), config)
    model.train()
    before = state(model)
    found = attention_scores(tiny_loaded(model), ROWS[:2], rollout=False, query=2)
    assert state(model) == before
    assert model.training
    model.eval()
    for row, own in zip(ROWS, found, strict=False):
        assert own == pytest.approx(shown(model, row)[-1][2].tolist(), abs=1e-6)
        assert own[3:] == [0.0] * (len(row) - 3)


def test_the_table_is_as_before_when_a_pass_fails() -> None:
    model = tiny_causal()
    before = state(model)
    with pytest.raises(IndexError):
        attention_scores(tiny_loaded(model), [[10_000]], rollout=False)
    assert state(model) == before


def test_an_entry_of_someone_else_stays() -> None:
    model = tiny_causal()
    plainly = attention_scores(tiny_loaded(model), ROWS, rollout=False)
    own = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = lambda *args, **more: own(*args, **more)
    try:
        before = state(model)
        assert attention_scores(tiny_loaded(model), ROWS, rollout=False) == plainly
        assert state(model) == before
    finally:
        ALL_ATTENTION_FUNCTIONS.pop("sdpa")


def classifier(kind: str) -> LoadedModel:
    sizes: dict[str, Any] = {"vocab_size": 400, "num_labels": 3, "initializer_range": 0.5}
    usual = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    if kind == "bert":
        config = transformers.BertConfig(**sizes, **usual, max_position_embeddings=64)
        model = transformers.BertForSequenceClassification(config)
    elif kind == "deberta":
        config = transformers.DebertaV2Config(**sizes, **usual, relative_attention=True, pos_att_type=["c2p", "p2c"])
        model = transformers.DebertaV2ForSequenceClassification(config)
    elif kind == "distilbert":
        config = transformers.DistilBertConfig(**sizes, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
        model = transformers.DistilBertForSequenceClassification(config)
    else:
        pad = None if kind == "llama without padding" else 0
        config = transformers.LlamaConfig(**sizes, **usual, pad_token_id=pad)
        model = transformers.LlamaForSequenceClassification(config)
    return LoadedModel(model.eval(), tiny_tokenizer(), "classifier", chat=False, max_length=64)


@pytest.mark.parametrize("kind", ["bert", "deberta", "distilbert", "llama", "llama without padding"])
def test_classifiers_are_read_where_they_read(kind: str) -> None:
    loaded = classifier(kind)
    before = state(loaded.model)
    last, rollout = (attention_scores(loaded, ROWS, rollout=way) for way in (False, True))
    assert state(loaded.model) == before
    place = -1 if kind.startswith("llama") else 0
    for row, own, flow in zip(ROWS, last, rollout, strict=True):
        layers = shown(loaded.model, row)
        assert own == pytest.approx(layers[-1][place].tolist(), abs=1e-6)
        assert flow == pytest.approx(rolled(layers)[place].tolist(), abs=1e-6)


def test_a_pair_has_types() -> None:
    loaded, row, types = classifier("bert"), ROWS[0], [0, 0, 0, 1, 1, 1, 1]
    with_types, without = (
        attention_scores(loaded, [row], rollout=False, token_types=given)[0] for given in ([types], None)
    )
    layers = shown(loaded.model, row, token_type_ids=torch.tensor([types]))
    assert with_types == pytest.approx(layers[-1][0].tolist(), abs=1e-6)
    assert max(abs(a - b) for a, b in zip(with_types, without, strict=True)) > 1e-4


def test_rollout_in_parts_is_rollout_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_loaded()
    whole = attention_scores(loaded, ROWS, rollout=True)
    monkeypatch.setattr("dfar_toolkit.engines.attribution.attention._AT_ONCE", 1)
    for one, other in zip(whole, attention_scores(loaded, ROWS, rollout=True), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
