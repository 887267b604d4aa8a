"""Models drawn at random, and inputs of unequal lengths, that attributions are timed on."""

from __future__ import annotations

import random
from typing import Any

OWN = (48, 80)  # tokens of an input, what all share not counted
WORDS = """
    I my friend neighbour paid lied because wanted to work the statement people is it fair with one of these labels
    answer reason question from borrowed garden child late promised letter told them nobody money old house gave
""".split()  # noqa: SIM905


def tiny_llama(tokenizer: Any, spread: float = 0.25) -> Any:
    """A Llama of 0.14 M parameters with random weights of that standard deviation."""
    return _llama(tokenizer, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, vocab_size=480, initializer_range=spread)  # fmt: skip


def small_llama(tokenizer: Any) -> Any:
    """A Llama of 33.5 M parameters with random weights."""
    return _llama(tokenizer, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
                  num_key_value_heads=8, vocab_size=8000, initializer_range=0.06)  # fmt: skip


def _llama(tokenizer: Any, **settings: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        max_position_embeddings=1024, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, **settings,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()  # type: ignore[no-untyped-call]


def invented(tokenizer: Any, count: int, prefix: int) -> tuple[str, list[str]]:
    """An instruction of the wanted number of tokens, and texts of unequal lengths."""
    rng = random.Random(0)

    def grown(text: str, end: str, wanted: int) -> str:
        while len(tokenizer(f"{text}{end}")["input_ids"]) < wanted:
            text += f" {rng.choice(WORDS)}"
        return text

    head = grown("Guidelines:", "\n\n", prefix) + "\n\n" if prefix else ""
    return head, [grown(f"{chr(97 + at % 26)}{at}", "\n\nAnswer:", rng.randint(*OWN)) for at in range(count)]
