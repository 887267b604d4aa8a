"""Passes for keys and values alone: they leave what whole passes leave, and stop where they may."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_families import FAMILIES, tiny_family, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.forward_pass import ForwardPass  # noqa: E402
from dfar_toolkit.engines.keys_alone import empty_cache, ended_early, may_end_early  # noqa: E402
from dfar_toolkit.engines.shared_prefix import ways_of  # noqa: E402
from dfar_toolkit.engines.text_ids import text_ids  # noqa: E402
from tiny_models import tiny_tokenizer  # noqa: E402

ROWS = [[5, 6, 7, 8, 9], [10, 11, 12]]
AFTER = [[13, 14], [15]]
# Models with a cache whose layers keep all tokens end early; the others run as they always did.
EARLY = {name: shares for name, (_, _, shares) in FAMILIES.items()}


def calls_of(module: Any, work: Any) -> int:
    """How often a module is called by the work."""
    count = 0

    def seen(*_args: Any) -> None:
        nonlocal count
        count += 1

    hook = module.register_forward_pre_hook(seen)
    try:
        work()
    finally:
        hook.remove()
    return count


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_left_is_the_same(name: str) -> None:
    loaded = tiny_loaded(tiny_family(name))
    run = ForwardPass(loaded)
    with run.quiet():
        assert ways_of(run, loaded).early is EARLY[name]
        if not EARLY[name]:
            return
        said = []
        for early in (False, True):
            held = run.left(AFTER, held=run.left(ROWS, early=early), early=early)
            assert held.lengths == [7, 4]
            said.append(run([[16], [17]], [(0, 0), (1, 0)], held=held)[0])
        # Padding stands behind all tokens; without a mask for it attention may run in another order.
        held = run.left(AFTER, held=run.left(ROWS, early=True, unmasked=True), early=True)
        said.append(run([[16], [17]], [(0, 0), (1, 0)], held=held)[0])
    assert torch.equal(*said[:2])
    assert torch.allclose(said[0], said[2], rtol=0, atol=1e-5)


def test_padding_without_a_mask_is_asked_for_by_name() -> None:
    loaded = tiny_loaded()
    run, seen = ForwardPass(loaded), []

    def masked(_module: Any, _args: Any, call: dict[str, Any]) -> None:
        seen.append("attention_mask" in call)

    hook = loaded.model.register_forward_pre_hook(masked, with_kwargs=True)
    with run.quiet():
        held = run.left(ROWS, early=True)
        run.left(ROWS, early=True, unmasked=True)
        run.left(AFTER, held=held, early=True, unmasked=True)  # what is held may have holes
        run.left(ROWS, early=True, unmasked=True, hidden=[{1}, ()])
    hook.remove()
    assert seen == [True, False, True, True]


def test_the_last_layer_ends_with_its_keys() -> None:
    loaded = tiny_loaded()
    run, layers = ForwardPass(loaded), loaded.model.model.layers
    with run.quiet():
        assert calls_of(layers[-1].mlp, lambda: run.left(ROWS, early=True)) == 0
        assert calls_of(layers[0].mlp, lambda: run.left(ROWS, early=True)) == 1
        assert calls_of(layers[-1].mlp, lambda: run.left(ROWS, early=False)) == 1


def test_nothing_ends_early_where_something_waits_for_the_end() -> None:
    loaded = tiny_loaded()
    assert may_end_early(loaded)
    hook = loaded.model.model.layers[0].register_forward_hook(lambda *_: None)
    run = ForwardPass(loaded)
    with run.quiet():
        ways = ways_of(run, loaded)
    assert (ways.holes, ways.early) == (True, False)
    hook.remove()
    assert may_end_early(loaded)


def test_other_errors_are_not_swallowed() -> None:
    cache = empty_cache(tiny_loaded().model)
    with pytest.raises(ValueError, match="mine"), ended_early(cache):
        raise ValueError("mine")
    assert "update" not in vars(cache.layers[-1])


def test_ids_of_texts_are_those_of_the_tokenizer() -> None:
    tokenizer = tiny_tokenizer()
    texts = ["", " ", "I lied.", "<s>I <|user|> lied</s>", "আমি 🐈 她说谎了", "word " * 60]
    said = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert text_ids(texts, tokenizer) == said
    assert text_ids(texts[:1], tokenizer) == said[:1]

    class Louder(type(tokenizer)):  # type: ignore[misc]
        """A tokenizer with a way of its own."""

        def __call__(self, text: Any, **more: Any) -> Any:
            return super().__call__([one.upper() for one in text], **more)

    own = Louder(tokenizer_object=tokenizer.backend_tokenizer)
    assert text_ids(["lied", "paid"], own) == [
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("LIED", "PAID")
    ]
