"""What stands for nothing: a token that means nothing, zeros, or the mean of all embeddings."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import Baseline
from dfar_toolkit.errors import EngineError

_TOKENS: Final = ("mask", "unk", "pad", "eos")
_AT_ONCE: Final = 4096  # tokens whose embeddings are looked up at a time
_LOUD: Final = 0.01  # share of the usual size of embeddings below which one is as good as zeros
ZERO: Final = "zero embedding"
MEAN: Final = "mean embedding"


class Nothing(NamedTuple):
    """A baseline.

    Attributes:
        embedding: (hidden,), in float32; what the model's embedding module gives for it.
        text: The token as text, or ``zero embedding``, ``mean embedding``.
    """

    embedding: Any
    text: str


def baseline_tokens(tokenizer: Any, wanted: Baseline, rows: int) -> list[tuple[int, str]]:
    """The wanted token and what may stand in for it, in the order mask, unknown, padding and end-of-text token.

    Args:
        tokenizer: The tokenizer; it is not changed.
        wanted: ``mask``, ``unk`` or ``pad``.
        rows: Tokens that the model has embeddings of.

    Returns:
        Ids and texts of those that there are.

    Raises:
        EngineError: There is none.

    Example:
        >>> from types import SimpleNamespace
        >>> ids = {"unk_token": None, "unk_token_id": None, "pad_token": "<p>", "pad_token_id": 0}
        >>> baseline_tokens(SimpleNamespace(**ids, eos_token="</s>", eos_token_id=2), "unk", 400)
        [(0, '<p>'), (2, '</s>')]
    """
    names = _TOKENS[_TOKENS.index(wanted) :]
    held = [(getattr(tokenizer, f"{name}_token_id"), str(getattr(tokenizer, f"{name}_token"))) for name in names]
    found = [(int(token), text) for token, text in held if token is not None and token < rows]
    if not found:
        raise EngineError(
            f"wanted a token that stands for nothing, found a tokenizer without {', '.join(names)} token; "
            "take the baseline 'mean' or 'zero'."
        )
    return found


def nothing(loaded: LoadedModel, wanted: Baseline) -> Nothing:
    """The embedding of a baseline.

    Args:
        loaded: The model, within :func:`~dfar_toolkit.engines.attribution.frozen.frozen`.
        wanted: Which baseline.

    Returns:
        The embedding, as it comes out of the model's embedding module, and the token's text. Where the tokenizer has
        no such token, the next one stands in whose embedding is at least 1 % of the usual size: padding often has
        zeros, from which a path says nothing where norms rescale. Where there is none, the mean embedding does.

    Raises:
        EngineError: The tokenizer has no such token and none to stand in.
    """
    import torch

    module = loaded.model.get_input_embeddings()
    rows, device = int(module.weight.shape[0]), module.weight.device
    with torch.no_grad():
        if wanted in _TOKENS:
            found = baseline_tokens(loaded.tokenizer, wanted, rows)
            embeddings = module(torch.tensor([[token for token, _ in found]], device=device))[0].float()
            if found[0][0] == getattr(loaded.tokenizer, f"{wanted}_token_id"):
                return Nothing(embeddings[0], found[0][1])
            least = _LOUD * _usual_size(module, rows, device)
            at = next((at for at, embedding in enumerate(embeddings) if float(embedding.norm()) >= least), None)
            return _mean(module, rows, device) if at is None else Nothing(embeddings[at], found[at][1])
        if wanted == "zero":
            return Nothing(torch.zeros_like(module(torch.tensor([[0]], device=device))[0, 0].float()), ZERO)
        return _mean(module, rows, device)


def _usual_size(module: Any, rows: int, device: Any) -> float:
    """The mean norm of embeddings: of all, or of as many as are looked up at once, evenly spaced."""
    import torch

    ids = torch.arange(0, rows, -(-rows // _AT_ONCE), device=device)
    return float(module(ids[None])[0].float().norm(dim=-1).mean())


def _mean(module: Any, rows: int, device: Any) -> Nothing:
    import torch

    total: Any = 0
    for start in range(0, rows, _AT_ONCE):
        ids = torch.arange(start, min(start + _AT_ONCE, rows), device=device)
        total = total + module(ids[None])[0].double().sum(0)
    return Nothing((total / rows).float(), MEAN)
