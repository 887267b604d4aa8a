"""Options of several tokens are pieces of one document: packed into a row, each is read as if it stood alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny_training import WORDING, difference, step_gradients, tiny_items, tiny_loaded  # noqa: E402
from transformers import modeling_flash_attention_utils as flash  # noqa: E402

from dfar_toolkit.finetune.documents import Document, documents_of  # noqa: E402
from dfar_toolkit.finetune.examples import examples_of  # noqa: E402
from dfar_toolkit.finetune.packing import Layout, laid  # noqa: E402
from dfar_toolkit.finetune.packing_check import check_packing  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

# No one of the three goes on with another, so that each is a piece of its own.
NAMES = ("lied to my friend", "paid my neighbour", "wanted to, people")
SOFT = TrainSettings(objective="soft", batch=8, row_tokens=200)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _documents(loaded: Any, settings: TrainSettings = SOFT) -> list[Document]:
    import polars as pl

    items = tiny_items().with_columns(
        label=pl.lit(NAMES[0]), reasons=pl.lit(None),
        label_counts=pl.lit([2, 2, 1], dtype=pl.List(pl.Int64)), label_probs=pl.lit([0.5, 0.3, 0.2]),
    )  # fmt: skip
    made = examples_of(items, NAMES, settings, wording=WORDING).examples
    return documents_of(made, loaded, settings).documents


class _Kernels:
    """What the flash kernels compute, written out sequence by sequence; keeps where sequences began and ended."""

    def __init__(self) -> None:
        self.bounds: list[list[int]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def given(*_: Any, **__: Any) -> Any:
            return (self.dense, self.varlen, None, None, None), (process, dict)

        process = flash._lazy_define_process_function(self.varlen)  # type: ignore[no-untyped-call, unused-ignore]
        monkeypatch.setattr(flash, "lazy_import_flash_attention", given)

    def dense(self, q: Any, k: Any, v: Any, *, causal: bool = False, softmax_scale: float | None = None) -> Any:
        heads = q.shape[2] // k.shape[2]
        q, k, v = (each.transpose(1, 2) for each in (q, k.repeat_interleave(heads, 2), v.repeat_interleave(heads, 2)))
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=softmax_scale)
        return found.transpose(1, 2)

    def varlen(
        self, q: Any, k: Any, v: Any, *, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: Any, max_seqlen_k: Any,
        causal: bool = False, softmax_scale: float | None = None,
    ) -> Any:  # fmt: skip
        self.bounds.append(cu_seqlens_q.tolist())
        assert cu_seqlens_q.tolist() == cu_seqlens_k.tolist()
        parts = [
            self.dense(*(each[a:b][None] for each in (q, k, v)), causal=causal, softmax_scale=softmax_scale)[0]
            for a, b in pairwise(self.bounds[-1])
        ]
        return torch.cat(parts)


def _lengths(documents: Sequence[Document]) -> list[list[int]]:
    return [[len(piece) for piece in document.pieces] for document in documents]


@pytest.mark.parametrize("attention", ["sdpa", "eager", "flash_attention_2"])
@pytest.mark.parametrize("batch", [8, 1])
def test_packed_pieces_are_unpacked_ones(monkeypatch: pytest.MonkeyPatch, attention: str, batch: int) -> None:
    kernels = _Kernels()
    kernels.install(monkeypatch)
    model = tiny_causal()
    model.config._attn_implementation = attention
    settings = SOFT.replace(batch=batch)
    documents = _documents(tiny_loaded(model))
    assert all(len(own) == len(NAMES) for own in _lengths(documents))
    loss, grads, runner = step_gradients(model, documents, settings)
    assert runner.facts["packed"], runner.facts
    assert runner.facts["packing_check"]["neighbour"] == 0.0
    if attention.startswith("flash"):
        # The sequences that the kernels see are the pieces, all of them, one after another.
        (own,) = runner.passes_at(0)[1]
        pieces = sorted(length for place in own.documents for length in _lengths(runner.documents_at(0))[place])
        last = kernels.bounds[-1]
        assert sorted(b - a for a, b in pairwise(last)) == pieces
    alone, wanted, _ = step_gradients(model, documents, settings.replace(packing=False))
    assert loss == pytest.approx(alone, abs=1e-5)
    assert difference(grads, wanted) < 1e-4 * max(float(grad.abs().max()) for grad in wanted.values())


def test_a_padded_end_is_no_part_of_a_piece() -> None:
    model = tiny_causal().double()
    documents = _documents(tiny_loaded(model))[:3]
    rows = laid(documents, [[0, 1], [2]], Layout(True, 4096, 1024), 0)
    assert rows.position_ids is not None
    width = rows.input_ids.shape[1]
    starts = [(row, at) for row in (0, 1) for at in range(width) if rows.position_ids[row, at] == 0]
    pieces = [length for own in _lengths(documents) for length in own]
    assert len(starts) == len(pieces) + 1  # the padding
    assert check_packing(model, documents, [[0, 1], [2]], Layout(True, 4096, 1024), device="cpu", pad=0).apart


def test_one_document_whose_pieces_the_model_joins_is_not_packed() -> None:
    """A state that goes on through the row: positions are taken, and mean nothing to it."""
    config = transformers.FalconH1Config(
        vocab_size=len(tiny_tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, mamba_d_ssm=32, mamba_n_heads=4,
        mamba_d_head=8, mamba_d_state=8, mamba_chunk_size=16, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.FalconH1ForCausalLM(config).eval()
    documents = _documents(tiny_loaded(model))
    loss, _, runner = step_gradients(model, documents, SOFT.replace(batch=1))
    assert runner.facts["packed"] is False
    assert runner.facts["packing_check"]["why"]
    assert loss == pytest.approx(step_gradients(model, documents, SOFT.replace(batch=1, packing=False))[0], abs=1e-6)


def test_the_check_waits_for_a_step_that_packs_something() -> None:
    model, settings = tiny_causal(), TrainSettings(objective="L", batch=7)
    documents = _documents(tiny_loaded(model), settings)
    # Eight documents of one piece each: the second step has one alone.
    runner = step_gradients(model, documents, settings, step=1)[2]
    assert len(runner.documents_at(1)) == 1
    assert "packing_check" not in runner.facts
    runner(model, 0, lambda loss: loss.backward())
    assert runner.facts["packing_check"]["neighbour"] == 0.0
