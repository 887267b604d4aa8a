r"""Weights of a Llama, laid out for its layers written out.

Of each norm the scale is multiplied into the matrices that read it, and the softmax's \(1/\sqrt{h}\) into the queries'
matrix. Rows of queries and keys are put so that the two numbers that a rotation turns stand side by side, as one
complex number; products of queries and keys stay as they are, since both are reordered alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

MODELS: Final = ("LlamaForCausalLM", "MistralForCausalLM")
_MOST: Final = 1 << 28  # bytes of weights, which are copied; larger models gain nothing, their products take the time
_ROTATIONS: Final = ("default", "linear", "llama3")  # the same at every length
_PARTS: Final = {
    "ForCausalLM", "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding",
    "ModuleList", "Embedding", "Linear", "SiLU", "SiLUActivation",
}  # fmt: skip
_LAYER: Final = {
    "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
}  # fmt: skip


class Layer(NamedTuple):
    """One layer; matrices are (out, in), as a linear module holds them.

    Attributes:
        reads: Queries, keys and values, in this order, ((heads + 2 kept) head size, hidden).
        writes: What attention gives back, (hidden, heads head size).
        gate: (inner, hidden).
        up: (inner, hidden).
        down: (hidden, inner).
    """

    reads: Any
    writes: Any
    gate: Any
    up: Any
    down: Any


@dataclass(frozen=True)
class LlamaWeights:
    """All that its layers need.

    Attributes:
        model: The model, of which embeddings, rotation, last norm and head are taken as they are.
        layers: The layers.
        heads: Heads of queries.
        kept: Heads of keys and values; each serves ``heads // kept`` of queries.
        head: Numbers of a head.
        tiny: What a norm adds to the mean square.
        paired: For each number of a head, as it is laid out here, where it stands in the model's.
    """

    model: Any
    layers: Sequence[Layer]
    heads: int
    kept: int
    head: int
    tiny: float
    paired: Any

    @property
    def shared(self) -> int:
        """Heads of queries that one of keys serves."""
        return self.heads // self.kept

    @property
    def keys_from(self) -> int:
        """Where in ``reads`` keys begin, and so how wide all queries are."""
        return self.heads * self.head


def llama_weights(model: Any) -> LlamaWeights | None:
    """The weights of a model that is what its name says and nothing else, else None.

    None for other architectures, one layer, biases, windows, attention of one's own, rotations that change with the
    length, adapters, quantized or spread weights, other number formats than float32, other devices than the processor,
    hooks, and for models whose weights are too many to be copied.

    Args:
        model: A transformers model; it is not changed.
    """
    import torch

    stem = type(model).__name__.removesuffix("ForCausalLM")
    if type(model).__name__ not in MODELS or not all(_known(module, stem) for module in model.modules()):
        return None
    config = model.config
    weights = list(model.parameters())
    if (
        config.hidden_act != "silu"
        or config._attn_implementation not in ("eager", "sdpa")
        or config.num_hidden_layers < 2
        or len(model.model.layers) != config.num_hidden_layers
        or getattr(config, "sliding_window", None) is not None
        or (getattr(config, "rope_parameters", None) or {}).get("rope_type") not in _ROTATIONS
        or model.get_input_embeddings().max_norm is not None
        or model.lm_head.bias is not None
        or torch.is_autocast_enabled("cpu")
        or any(not _at_hand(weight) for weight in weights)
        or sum(weight.nbytes for weight in weights) > _MOST
        or not all(_plain(layer) for layer in model.model.layers)
    ):
        return None
    first = model.model.layers[0].self_attn
    head, heads = int(first.head_dim), int(config.num_attention_heads)
    paired = torch.arange(head).reshape(2, head // 2).T.reshape(-1)
    return LlamaWeights(
        model, [_layer(layer, paired) for layer in model.model.layers], heads, int(config.num_key_value_heads), head,
        float(config.rms_norm_eps), paired,
    )  # fmt: skip


def _known(module: Any, stem: str) -> bool:
    """Whether a module is one of transformers' or torch's own for such a model, and nothing was put on it."""
    kind = type(module)
    own = kind.__module__.startswith(("transformers.models.", "transformers.activations", "torch.nn.modules."))
    put = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return own and kind.__name__.removeprefix(stem) in _PARTS and not put


def _at_hand(weight: Any) -> bool:
    """Whether a weight is whole and in this memory, in single precision."""
    import torch

    return type(weight) is torch.nn.Parameter and weight.dtype == torch.float32 and weight.device.type == "cpu"


def _plain(layer: Any) -> bool:
    """Whether a layer has just these weights: no biases, no others."""
    return {name.removesuffix(".weight") for name, _ in layer.named_parameters()} == _LAYER


def _layer(layer: Any, paired: Any) -> Layer:
    import torch

    def reordered(weight: Any) -> Any:
        return weight.reshape(-1, len(paired), weight.shape[1])[:, paired].flatten(0, 1)

    with torch.no_grad():
        attention, inner = layer.self_attn, layer.mlp
        first, second = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        queries = reordered(attention.q_proj.weight) * attention.scaling
        keys = reordered(attention.k_proj.weight)
        return Layer(
            torch.cat([queries, keys, attention.v_proj.weight]) * first,
            attention.o_proj.weight.detach(),
            inner.gate_proj.weight * second,
            inner.up_proj.weight * second,
            inner.down_proj.weight.detach(),
        )
