"""Whether a model's tokens can be hidden from its attention, all else left as it is: tried out on a short sentence.

A hidden token must not change anything after it, and the others must keep their positions. The logits are compared with
those of the sentence without the token, the others at the positions that they had. Models whose states run over all
tokens, and those that count positions themselves, do not pass.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.forward_pass import ForwardPass
from dfar_toolkit.engines.loaded import LoadedModel

_SENTENCE: Final = "Is it right or is it wrong to do so?"
_TRIED: Final = 8
_HIDDEN: Final = (2, 4)
_LEADING: Final = (0, 1)  # their queries see nothing, which some implementations make no number of
_FAULTS: Final = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError)


class ClassHiding(NamedTuple):
    """How a classifier's tokens are hidden.

    Attributes:
        causal: Tokens see only what stands before them; positions must be given.
        first: The classes are read at the first token.
        last: The classes are read at the last token.
    """

    causal: bool
    first: bool
    last: bool


def hides(run: ForwardPass, loaded: LoadedModel) -> bool:
    """Whether tokens of a causal model can be hidden from its attention.

    Args:
        run: The model's pass, within ``run.quiet()``.
        loaded: The model.

    Returns:
        Whether logits are those of the sentence without the hidden tokens: to 1e-3 in float32, in narrower types to
        0.1 or a quarter of what hiding them changes.
    """
    if not run.takes_positions:
        return False
    row = _row(loaded)
    end = [(0, len(row) - 1)]
    try:
        seen, _ = run([row], end)
        for some in (_HIDDEN, _LEADING):
            hidden, _ = run([row], end, hidden=[some])
            without = run.model(**_without(row, some, run.device)).logits[:, -1].float()
            if not _same(hidden.log_softmax(-1), without.log_softmax(-1), seen.log_softmax(-1), run.model):
                return False
    except _FAULTS:
        return False
    return True


def class_hiding(loaded: LoadedModel) -> ClassHiding | None:
    """How tokens of a classifier can be hidden from its attention, in evaluation mode and without gradients.

    Args:
        loaded: A classifier.

    Returns:
        How; None where they cannot.
    """
    try:
        return _class_hiding(loaded)
    except _FAULTS:
        return None


def _class_hiding(loaded: LoadedModel) -> ClassHiding | None:
    row, model = _row(loaded), loaded.model
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    seen, ends = _answer(model, row, ()), _answer(model, [*row[:-1], row[1]], ())
    causal = bool((ends.hidden_states[-1][0, 0] - seen.hidden_states[-1][0, 0]).abs().max() == 0)
    if causal and "position_ids" not in inspect.signature(inner.forward).parameters:
        return None
    hidden = _answer(model, row, _HIDDEN, causal=causal).logits
    other = [row[1] if at in _HIDDEN else token for at, token in enumerate(row)]
    same = _answer(model, other, _HIDDEN, causal=causal).logits
    if causal:
        same = model(**_without(row, _HIDDEN, model.device)).logits
    if not _same(hidden.float(), same.float(), seen.logits.float(), model):
        return None
    last = len(row) - 1
    end, begin = (_answer(model, row, (at,), causal=causal).logits for at in (last, 0))
    other_end = _answer(model, [*row[:-1], row[1]], (last,), causal=causal).logits
    other_begin = _answer(model, [row[1], *row[1:]], (0,), causal=causal).logits
    return ClassHiding(causal, bool((begin != other_begin).any()), bool((end != other_end).any()))


def _answer(model: Any, row: list[int], hidden: tuple[int, ...], *, causal: bool = False) -> Any:
    import torch

    mask = torch.tensor([[int(at not in hidden) for at in range(len(row))]], device=model.device)
    call = {"input_ids": torch.tensor([row], device=model.device), "attention_mask": mask}
    if causal:
        call["position_ids"] = torch.arange(len(row), device=model.device)[None]
    return model(**call, output_hidden_states=True)


def _without(row: list[int], hidden: tuple[int, ...], device: Any) -> dict[str, Any]:
    """The row without hidden tokens, positions as they were; with a mask, as gaps alone would part the row."""
    import torch

    places = [at for at in range(len(row)) if at not in hidden]
    ids = torch.tensor([[row[at] for at in places]], device=device)
    positions = torch.tensor([places], device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": positions}


def _same(found: Any, wanted: Any, seen: Any, model: Any) -> bool:
    import torch

    exact = next(iter(model.parameters())).dtype == torch.float32
    effect = float((seen - wanted).abs().max())
    return float((found - wanted).abs().max()) <= (1e-3 if exact else max(0.1, effect / 4))


def _row(loaded: LoadedModel) -> list[int]:
    """Eight tokens, no two neighbours alike where the tokenizer knows several."""
    tokens = list(loaded.tokenizer(_SENTENCE)["input_ids"])
    return (tokens * (_TRIED // max(len(tokens), 1) + 1))[:_TRIED]
