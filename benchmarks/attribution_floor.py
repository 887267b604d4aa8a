"""How fast integrated gradients could be at most where inputs share nothing: the model's products and attention alone.

Whoever takes the gradient at every point runs each point's tokens through the model's matrix products and its attention
forth, and through their transposes back. This times just these, with numbers drawn at random in the sizes of the model
and everything else left out: no norms, no activations, no rotation, no embeddings, no tokenizer, no memory of the way
forth, and of the last layer only the keys and values, which are all that the last token needs of the others. What
captum takes, divided by that, is a bound on what any code with the same kernels can gain over it; beside it what ours
gains. Same inputs, models and rules of timing as ``attribution_throughput.py``.

    python -m pip install captum==0.9.0 inseq==0.7.1
    python benchmarks/attribution_floor.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attribution_throughput import COUNTS, STEPS, Ways  # isort: split

from attribution_inputs import small_llama, tiny_llama
from attribution_throughput import check_installed, setting

RESULTS = Path(__file__).resolve().parent / "results" / "attribution_floor.json"
METHOD = "integrated_gradients"
ROWS = {"tiny": (8, 16, 25, 50), "small": (8, 16, 50)}  # points at once; the fastest counts, input by input


def products(config: Any, *, last: bool) -> list[tuple[int, int]]:
    """Sizes, in and out, of the matrix products that every token goes through in a layer."""
    hidden, inner = config.hidden_size, config.intermediate_size
    head = hidden // config.num_attention_heads
    kept = config.num_key_value_heads * head
    if last:
        return [(hidden, kept)] * 2
    return [(hidden, hidden), *[(hidden, kept)] * 2, (hidden, hidden), *[(hidden, inner)] * 2, (inner, hidden)]


def alone(config: Any, tokens: int, rows: int) -> Callable[[], None]:
    """One batch of points forth and back; the gradients of products are asked for, those of their weights are not."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads, head = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    work = []
    for layer in range(config.num_hidden_layers):
        last = layer == config.num_hidden_layers - 1
        for wide, out in products(config, last=last):
            weight = torch.randn(out, wide)
            work.append((weight, torch.randn(rows * tokens, wide), torch.randn(rows * tokens, out)))
    own = [torch.randn(rows, heads, tokens, head, requires_grad=True) for _ in range(3)]
    upper = torch.randn(rows, heads, tokens, head)

    def run() -> None:
        for weight, forth, back in work:
            forth @ weight.T
            back @ weight
        for _ in range(config.num_hidden_layers - 1):
            found = scaled_dot_product_attention(*own, is_causal=True)
            torch.autograd.grad(found, own, upper)

    return run


def least_seconds(config: Any, lengths: list[int], rows: tuple[int, ...], repeat: int) -> float:
    """Processor seconds of all points of inputs of those lengths, each with the number of rows that suits it best."""
    total = 0.0
    for tokens in lengths:
        best = float("inf")
        for at_once in rows:
            run = alone(config, tokens, at_once)
            run()
            for _ in range(repeat):
                start = time.process_time()
                run()
                best = min(best, (time.process_time() - start) * STEPS / at_once)
        total += best
    return total


def compared(name: str, ways: Ways, repeat: int) -> dict[str, Any]:
    """Seconds of the three."""
    count = COUNTS[name, METHOD]
    lengths = [len(ids) for ids, _, _ in ways.explained(count)]
    taken: dict[str, float] = {}
    runs = {"ours": lambda: ways.ours(METHOD, count), "captum": lambda: ways.captum(METHOD, count)}
    for turn in range(repeat + 1):
        for way, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                taken[way] = min(taken.get(way, float("inf")), time.process_time() - start)
        taken["alone"] = min(
            taken.get("alone", float("inf")), least_seconds(ways.model.config, lengths, ROWS[name], repeat)
        )
    return {
        "model": name, "parameters": sum(weight.numel() for weight in ways.model.parameters()), "inputs": count,
        "points": STEPS, **{f"cpu_s_{way}": round(seconds, 3) for way, seconds in taken.items()},
        "captum_over_ours": round(taken["captum"] / taken["ours"], 2),
        "captum_over_alone": round(taken["captum"] / taken["alone"], 2),
    }  # fmt: skip


def main() -> None:
    """Both models; writes results/attribution_floor.json."""
    check_installed()
    tokenizer, machine = setting()
    runs = []
    for name, make in (("tiny", tiny_llama), ("small", small_llama)):
        runs.append(compared(name, Ways(make(tokenizer), tokenizer, 0), 3 if name == "tiny" else 1))
        print(runs[-1], flush=True)
    RESULTS.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
